//! A shard of the projection: what was folded of one partition number, and whose it is.
//!
//! A shard is fenced by its *epoch*: the number of the manifest by which its owner took it over. Numbers only grow, so
//! a later owner always has the greater epoch, and whoever finds another epoch than its own has lost the shard. All
//! that is said of a shard is changed by its owner alone, but for one thing that everybody may do and that comes out
//! the same whoever does it: the swap of a finished rebuild ([`crate::Manifest`]).

use std::collections::BTreeMap;

use assent_consent::Timestamp;
use assent_journal::Checkpoint;
use serde::{Deserialize, Serialize};

use crate::manifest::{Counts, DataFile, SKIPPED_NAMED, Skipped};
use crate::{Definitions, Owner, Table};

/// Files of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pile {
    Table(Table),
    /// Those of the de-duplication window.
    Seen,
}

impl Pile {
    /// Every kind.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Table::ALL.into_iter().map(Self::Table).chain([Self::Seen])
    }

    /// How the names of its files begin.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Table(table) => table.as_str(),
            Self::Seen => "seen",
        }
    }
}

/// What was folded of a shard's partitions, with the positions up to which it was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The next position to read of the shard's partitions.
    pub checkpoint: Checkpoint,
    /// The files of every table, in no order that matters.
    pub tables: BTreeMap<Table, Vec<DataFile>>,
    /// The files of the de-duplication window.
    pub seen: Vec<DataFile>,
    /// Schema ids met in the log, with the number of records.
    pub schema_ids: BTreeMap<u32, u64>,
    /// The latest time of any event folded.
    pub latest: Option<Timestamp>,
    /// What became of the records.
    pub counts: Counts,
    /// The greatest skipped records and values by position, at most 100.
    pub skipped: Vec<Skipped>,
}

impl Line {
    /// Nothing folded, from these positions on.
    pub(crate) fn starting(checkpoint: Checkpoint) -> Self {
        Self {
            checkpoint,
            ..Self::default()
        }
    }

    /// The files of a table.
    #[must_use]
    pub fn files(&self, table: Table) -> &[DataFile] {
        self.tables.get(&table).map_or(&[], Vec::as_slice)
    }

    /// The files of one kind.
    pub(crate) fn pile(&self, pile: Pile) -> &[DataFile] {
        match pile {
            Pile::Table(table) => self.files(table),
            Pile::Seen => &self.seen,
        }
    }

    /// As [`Line::pile`].
    pub(crate) fn pile_mut(&mut self, pile: Pile) -> &mut Vec<DataFile> {
        match pile {
            Pile::Table(table) => self.tables.entry(table).or_default(),
            Pile::Seen => &mut self.seen,
        }
    }

    /// Every file it names.
    pub(crate) fn all_files(&self) -> impl Iterator<Item = &DataFile> {
        self.tables.values().flatten().chain(&self.seen)
    }

    /// Keeps the greatest skipped positions: the same whatever the batches were.
    pub(crate) fn note(&mut self, skipped: Vec<Skipped>) {
        self.skipped.extend(skipped);
        greatest(&mut self.skipped);
    }
}

/// Cuts a list to the greatest [`SKIPPED_NAMED`] positions.
pub(crate) fn greatest(skipped: &mut Vec<Skipped>) {
    skipped.sort();
    let surplus = skipped.len().saturating_sub(SKIPPED_NAMED);
    skipped.drain(..surplus);
}

/// A generation in the making, of one shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Next {
    /// The generation it will belong to.
    pub generation: u64,
    /// [`Definitions::digest`] of the definitions it is folded with.
    pub digest: String,
    /// The definitions it is folded with.
    pub definitions: Definitions,
    /// Whether it has caught up with the journal once. It waits for the other shards then, and follows the journal.
    pub complete: bool,
    /// What was folded so far.
    pub line: Line,
}

/// One shard as a manifest has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shard {
    /// Number of the manifest by which its owner took it over: the fence.
    pub epoch: u64,
    /// Who took it over.
    pub owner: Owner,
    /// The request to purge that its owner has fulfilled last; see [`crate::Manifest::purge`].
    pub purged: u64,
    /// What readers see, unless the manifest says that nothing can be shown.
    pub live: Line,
    /// What will replace it.
    pub next: Option<Next>,
}

/// How a shard stands in a manifest, seen by somebody who left it in some way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// As it was left.
    Same,
    /// As it was left, but that the finished rebuild is live now.
    Swapped,
    /// It is ours and has moved: by a commit of our own whose outcome we did not learn.
    Moved,
    /// It was taken over, under this epoch.
    Fenced(u64),
}

impl Shard {
    /// The line that is being folded: the one in the making, if there is one. An owner keeps it only while it is needed.
    pub(crate) fn line(&self) -> &Line {
        match &self.next {
            Some(next) => &next.line,
            None => &self.live,
        }
    }

    /// As [`Shard::line`].
    pub(crate) fn line_mut(&mut self) -> &mut Line {
        match &mut self.next {
            Some(next) => &mut next.line,
            None => &mut self.live,
        }
    }

    /// How this shard stands in a manifest that has `found` of it.
    pub(crate) fn standing(&self, found: Option<&Self>) -> Standing {
        let Some(found) = found else {
            // Only a chain that was begun anew names a shard no more.
            return Standing::Fenced(0);
        };
        if (found.epoch, found.owner) != (self.epoch, self.owner) {
            return Standing::Fenced(found.epoch);
        }
        if found == self {
            return Standing::Same;
        }
        if self.clone().swapped().as_ref() == Some(found) {
            return Standing::Swapped;
        }
        Standing::Moved
    }

    /// This shard with what was rebuilt as what readers see.
    pub(crate) fn swapped(mut self) -> Option<Self> {
        self.live = self.next.take()?.line;
        Some(self)
    }

    /// Every file it names.
    pub(crate) fn all_files(&self) -> impl Iterator<Item = &DataFile> {
        let next = self.next.as_ref().map(|next| &next.line);
        std::iter::once(&self.live)
            .chain(next)
            .flat_map(Line::all_files)
    }
}
