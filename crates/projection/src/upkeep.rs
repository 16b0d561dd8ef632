//! What an owner does to its files beside adding to them: compaction, and the purge of the erased.

use std::collections::BTreeSet;
use std::sync::Arc;

use assent_consent::SubjectId;
use assent_programme::TraitCatalog;

use crate::compact::{BATCH_ROWS, Keep, Merge, choose, choose_at_rest};
use crate::held::Held;
use crate::shard::{Line, Shard};
use crate::take_in::{Tools, live};
use crate::worker::Worker;
use crate::{DataFile, Error, Snapshot, Table, metrics};

/// One of a shard's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Live,
    Next,
}

impl Which {
    /// The one that is being folded.
    fn folded(shard: &Shard) -> Self {
        if shard.next.is_some() {
            Self::Next
        } else {
            Self::Live
        }
    }

    fn of(self, shard: &mut Shard) -> Option<&mut Line> {
        match self {
            Self::Live => Some(&mut shard.live),
            Self::Next => shard.next.as_mut().map(|next| &mut next.line),
        }
    }
}

/// When files are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// While more is to be folded: only where there are too many.
    Busy,
    /// When nothing more is to be folded.
    AtRest,
}

impl Worker {
    /// Compacts the tables with too many files in these shards, which are as they were committed; says whether there were
    /// any. Nothing is published here. A shard that fails is as it was, and those behind it are left alone.
    pub(crate) fn compact(&mut self, shards: &BTreeSet<u32>, when: When) -> Result<bool, Error> {
        let mut any = false;
        for number in shards {
            // A shard may have been lost since it was folded into.
            let Some(mut held) = self.held.remove(number) else {
                continue;
            };
            let done = held.compact(&self.tools(), when);
            let left = held.base.clone();
            let compacted = match self.unless_lost(*number, Some(&left), done) {
                Ok(Some(compacted)) => compacted,
                Ok(None) => continue,
                Err(error) => {
                    held.restore();
                    self.held.insert(*number, held);
                    return Err(error);
                }
            };
            any |= held.changed();
            self.held.insert(*number, held);
            self.of_shard(*number).compactions += compacted.len() as u64;
            self.progress.compacted.extend(compacted);
        }
        Ok(any)
    }

    /// Removes the erased from the shards whose owner was asked to and has not; says whether there were any.
    pub(crate) fn purge(&mut self) -> Result<bool, Error> {
        let manifest = self.base();
        let asked: Vec<u32> = self
            .held
            .values()
            .filter(|held| held.base.purged < manifest.purge)
            .map(|held| held.number)
            .collect();
        for number in &asked {
            let Some(mut held) = self.held.remove(number) else {
                continue;
            };
            let shown = manifest.live.as_ref().map(|live| &live.definitions.catalog);
            let done = held.purge(&self.tools(), shown);
            let left = held.base.clone();
            let Some(compacted) = self.unless_lost(*number, Some(&left), done)? else {
                continue;
            };
            held.now.purged = manifest.purge;
            self.held.insert(*number, held);
            self.of_shard(*number).compactions += compacted.len() as u64;
            self.progress.compacted.extend(compacted);
        }
        Ok(!asked.is_empty())
    }
}

impl Held {
    fn compact(&mut self, tools: &Tools<'_>, when: When) -> Result<BTreeSet<Table>, Error> {
        let most = tools.settings.max_files;
        let which = Which::folded(&self.now);
        let definitions = Arc::clone(&self.definitions);
        let mut compacted = BTreeSet::new();
        for table in Table::ALL {
            let files = self.now.line().files(table);
            let chosen = match when {
                When::Busy => choose(files, most),
                When::AtRest => choose_at_rest(files),
            };
            if let Some(chosen) = chosen {
                self.merge(tools, which, &definitions.catalog, table, &chosen, None)?;
                compacted.insert(table);
            }
        }
        if self.now.line().seen.len() > most {
            self.window.forget_expired();
            let file = self.write_seen(tools, &self.window.all())?;
            self.now.line_mut().seen = file.into_iter().collect();
        }
        Ok(compacted)
    }

    /// Merges all files of every table into one without the erased, in both lines; `shown` is the catalogue of the one
    /// that readers see.
    fn purge(
        &mut self,
        tools: &Tools<'_>,
        shown: Option<&TraitCatalog>,
    ) -> Result<BTreeSet<Table>, Error> {
        let making = self.now.next.as_ref();
        let making = making.map(|next| next.definitions.catalog.clone());
        let mut compacted = BTreeSet::new();
        for (which, catalog) in [(Which::Live, shown), (Which::Next, making.as_ref())] {
            let Some(catalog) = catalog else {
                continue;
            };
            for table in Table::ALL {
                let files = which
                    .of(&mut self.now)
                    .map_or(0, |line| line.files(table).len());
                if files == 0 {
                    continue;
                }
                let vault = tools.vault;
                let mut keep = move |subjects: &[SubjectId]| {
                    live(vault, subjects).map_err(|source| Error::Vault {
                        position: format!("compaction of {table}"),
                        source: Box::new(source),
                    })
                };
                let all: Vec<usize> = (0..files).collect();
                self.merge(tools, which, catalog, table, &all, Some(&mut keep))?;
                compacted.insert(table);
            }
        }
        Ok(compacted)
    }

    /// Replaces the chosen files of a table by one.
    fn merge<'k>(
        &mut self,
        tools: &Tools<'_>,
        which: Which,
        catalog: &TraitCatalog,
        table: Table,
        chosen: &[usize],
        keep: Option<&'k mut Keep<'k>>,
    ) -> Result<(), Error> {
        let Some(line) = which.of(&mut self.now) else {
            return Ok(());
        };
        let old: Vec<DataFile> = line.files(table).to_vec();
        let merged: Vec<&DataFile> = chosen.iter().map(|at| &old[*at]).collect();
        let rows = Merge::new(tools.storage, table, catalog, &merged, BATCH_ROWS, keep)?;
        let schema = Snapshot::file_schema(table, catalog);
        let file = self.write(tools, table.as_str(), &schema, rows)?;
        metrics::compacted(table);
        if let Some(line) = which.of(&mut self.now) {
            let left = old.iter().enumerate();
            let left = left.filter(|(at, _)| !chosen.contains(at));
            let files = left.map(|(_, file)| file.clone()).chain(file).collect();
            line.tables.insert(table, files);
        }
        Ok(())
    }
}
