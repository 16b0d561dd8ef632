//! The manifest: what the projection consists of at one checkpoint. Its format is versioned and checksummed.
//!
//! There is one chain of manifests for a deployment, whoever writes them: each is made from the one before it by
//! somebody who changed the shards they own and left the others as they were.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use assent_consent::Timestamp;
use assent_journal::{Checkpoint, Position};
use serde::{Deserialize, Serialize};

use crate::shard::{Line, greatest};
use crate::{Definitions, Error, Owner, Rebuilt, Shard, Table};

/// The format written and the only one read. It is part of the digest of the definitions, so that a change of the fold
/// rebuilds the projection.
///
/// 1: one projector, one line of everything. 2: shards. 3: what the stamps of events deny.
pub(crate) const FORMAT: u32 = 3;

/// How many skipped records a manifest names; their counts are kept without limit.
pub(crate) const SKIPPED_NAMED: usize = 100;

/// One immutable Parquet file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// The path below the projection's directory.
    pub path: String,
    /// Number of rows.
    pub rows: u64,
    /// Size.
    pub bytes: u64,
    /// CRC-32 (IEEE) of the whole file.
    pub crc32: u32,
    /// The smallest subject in it, 32 hexadecimal digits; empty where rows have no subject.
    pub first_subject: String,
    /// The greatest subject in it.
    pub last_subject: String,
}

/// A record, or a value of a record, that could not be folded (I9: recorded, never dropped in silence).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Skipped {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The position within the partition.
    pub offset: u64,
    /// Why, a stable code: see [`crate::skip`].
    pub code: String,
}

impl Skipped {
    pub(crate) fn new(position: &Position, code: &str) -> Self {
        Self {
            topic: position.topic.as_str().to_owned(),
            partition: position.partition,
            offset: position.offset,
            code: code.to_owned(),
        }
    }
}

/// What became of the records read so far. Every record counts in exactly one of `folded`, `duplicates`, `erased` and
/// `skipped` (I9); `values` counts single values left out of records that were folded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Folded into the tables.
    pub folded: u64,
    /// Dropped as a repetition within the window.
    pub duplicates: u64,
    /// Tombstones: the vault records that the key was destroyed.
    pub erased: u64,
    /// Malformed, by code.
    pub skipped: BTreeMap<String, u64>,
    /// Values left out of folded records, by code.
    pub values: BTreeMap<String, u64>,
}

impl Counts {
    /// Number of records accounted for.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.folded + self.duplicates + self.erased + self.skipped.values().sum::<u64>()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.folded += other.folded;
        self.duplicates += other.duplicates;
        self.erased += other.erased;
        for (mine, theirs) in [
            (&mut self.skipped, &other.skipped),
            (&mut self.values, &other.values),
        ] {
            for (code, count) in theirs {
                *mine.entry(code.clone()).or_default() += count;
            }
        }
    }
}

/// A generation: everything folded from the journal's beginning with the same definitions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// How often the projection was rebuilt from the journal, at least.
    pub number: u64,
    /// [`Definitions::digest`] of the definitions folded with.
    pub digest: String,
    /// The definitions folded with.
    pub definitions: Definitions,
}

/// The projection at one checkpoint: files and positions that were committed together, shard by shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this format.
    pub format: u32,
    /// Number of the manifest, its file name.
    pub number: u64,
    /// The manifest it was made from; `None` for the first.
    pub parent: Option<u64>,
    /// Who wrote it. With the number it tells one attempt to commit from every other.
    pub writer: Owner,
    /// How many shards there are.
    pub partitions: u32,
    /// What the live lines of all shards were folded with; `None` when a damaged projection is being rebuilt.
    pub live: Option<Generation>,
    /// The least generation wanted: a live one below it is to be rebuilt.
    pub wanted: u64,
    /// Number of the manifest that asked last for the erased to be purged; owners answer in [`Shard::purged`].
    pub purge: u64,
    /// Manifests below this number name what was purged and must not be kept.
    pub forget_before: u64,
    /// The shards that were ever taken over.
    pub shards: BTreeMap<u32, Shard>,
    /// CRC-32 (IEEE) of this manifest as compact JSON with this field zero.
    pub crc32: u32,
}

impl Manifest {
    /// What stands before the first commit.
    pub(crate) fn nothing() -> Self {
        Self {
            format: FORMAT,
            number: 0,
            parent: None,
            writer: Owner::from_bytes([0; 16]),
            partitions: 0,
            live: None,
            wanted: 0,
            purge: 0,
            forget_before: 0,
            shards: BTreeMap::new(),
            crc32: 0,
        }
    }

    /// What stands after a manifest that cannot be read: nothing, to be rebuilt. Every rebuild is a commit, so no
    /// generation is greater than its manifest's number.
    pub(crate) fn after_damage(number: u64) -> Self {
        Self {
            number,
            wanted: number + 1,
            ..Self::nothing()
        }
    }

    /// The next manifest, by this writer, before anything is changed in it.
    pub(crate) fn child(&self, writer: Owner) -> Self {
        Self {
            number: self.number + 1,
            parent: (self.number > 0).then_some(self.number),
            writer,
            crc32: 0,
            ..self.clone()
        }
    }

    /// Why whoever folds with these definitions must rebuild; `None` when the live generation will do.
    pub(crate) fn outdated(&self, digest: &str) -> Option<Rebuilt> {
        match &self.live {
            None => Some(Rebuilt::Asked),
            Some(live) if live.number < self.wanted => Some(Rebuilt::Asked),
            Some(live) if live.digest != digest => Some(Rebuilt::DefinitionsChanged),
            Some(_) => None,
        }
    }

    /// The number of the generation that follows the live one.
    pub(crate) fn next_generation(&self) -> u64 {
        let after = self.live.as_ref().map_or(0, |live| live.number + 1);
        after.max(self.wanted)
    }

    /// Asks for everything to be folded again, whatever is being rebuilt already.
    pub(crate) fn want_rebuild(&mut self) {
        let begun = self.shards.values().filter_map(|shard| shard.next.as_ref());
        let begun = begun.map(|next| next.generation + 1).max().unwrap_or(0);
        self.wanted = self.next_generation().max(begun);
    }

    /// Swaps to the next generation in all shards at once, when every one of them has caught up in it. Whoever commits
    /// does this, so readers never see shards of two generations.
    pub(crate) fn swap_when_complete(&mut self) {
        let least = self.next_generation();
        let ready = |shard: u32| {
            let next = self.shards.get(&shard)?.next.as_ref()?;
            (next.complete && next.generation >= least).then_some(next)
        };
        let Some(ready) = (0..self.partitions).map(ready).collect::<Option<Vec<_>>>() else {
            return;
        };
        let Some(first) = ready.first() else {
            return;
        };
        if ready.iter().any(|next| next.digest != first.digest) {
            return;
        }
        self.live = Some(Generation {
            number: ready
                .iter()
                .map(|next| next.generation)
                .max()
                .unwrap_or(least),
            digest: first.digest.clone(),
            definitions: first.definitions.clone(),
        });
        for shard in self.shards.values_mut() {
            if let Some(swapped) = shard.clone().swapped() {
                *shard = swapped;
            }
        }
    }

    /// The shards whose owners have not yet removed the erased as asked.
    #[must_use]
    pub fn to_be_purged(&self) -> BTreeSet<u32> {
        let late = self
            .shards
            .iter()
            .filter(|(_, shard)| shard.purged < self.purge);
        late.map(|(number, _)| *number).collect()
    }

    /// The shards that have not yet caught up in the generation being made; empty when none is.
    #[must_use]
    pub fn to_be_rebuilt(&self) -> BTreeSet<u32> {
        let making = |shard: &Shard| shard.next.is_some();
        if self.live.is_some() && !self.shards.values().any(making) {
            return BTreeSet::new();
        }
        (0..self.partitions)
            .filter(|shard| {
                let next = self.shards.get(shard).and_then(|shard| shard.next.as_ref());
                next.is_none_or(|next| !next.complete)
            })
            .collect()
    }

    /// Forbids older manifests once every owner has purged: they name the files that still hold the erased.
    pub(crate) fn forget_when_purged(&mut self) {
        if self.forget_before < self.purge && self.to_be_purged().is_empty() {
            self.forget_before = self.number;
        }
    }

    fn lines(&self) -> impl Iterator<Item = &Line> {
        self.shards.values().map(|shard| &shard.live)
    }

    /// Number of the live generation.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.live.as_ref().map_or(0, |live| live.number)
    }

    /// Per partition, the next position to read.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        self.lines().fold(Checkpoint::new(), |whole, line| {
            whole.join(&line.checkpoint)
        })
    }

    /// The files of a table, of all shards.
    #[must_use]
    pub fn files(&self, table: Table) -> Vec<&DataFile> {
        self.lines().flat_map(|line| line.files(table)).collect()
    }

    /// Every file that readers may want.
    pub(crate) fn live_files(&self) -> impl Iterator<Item = &DataFile> {
        self.lines().flat_map(Line::all_files)
    }

    /// Every file the manifest names.
    pub(crate) fn all_files(&self) -> impl Iterator<Item = &DataFile> {
        self.shards.values().flat_map(Shard::all_files)
    }

    /// The latest time of any event folded: an evaluation later than that needs no day bucket left out.
    #[must_use]
    pub fn latest(&self) -> Option<Timestamp> {
        self.lines().filter_map(|line| line.latest).max()
    }

    /// What became of the records.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.lines().for_each(|line| counts.add(&line.counts));
        counts
    }

    /// Schema ids met in the log, with the number of records.
    #[must_use]
    pub fn schema_ids(&self) -> BTreeMap<u32, u64> {
        let mut ids = BTreeMap::new();
        for (id, records) in self.lines().flat_map(|line| &line.schema_ids) {
            *ids.entry(*id).or_default() += records;
        }
        ids
    }

    /// The greatest skipped records and values by position, at most 100.
    #[must_use]
    pub fn skipped(&self) -> Vec<Skipped> {
        let mut skipped: Vec<Skipped> = self
            .lines()
            .flat_map(|line| line.skipped.iter().cloned())
            .collect();
        greatest(&mut skipped);
        skipped
    }

    fn digest(&self) -> Result<u32, serde_json::Error> {
        let mut unsealed = self.clone();
        unsealed.crc32 = 0;
        Ok(crc32fast::hash(&serde_json::to_vec(&unsealed)?))
    }

    /// The bytes to be stored, with the checksum in place.
    pub(crate) fn seal(&mut self) -> Result<Vec<u8>, Error> {
        self.crc32 = self.digest()?;
        Ok(serde_json::to_vec(self)?)
    }

    /// Reads what [`Manifest::seal`] wrote.
    ///
    /// # Errors
    /// [`Error::Format`] for a newer format, [`Error::Outdated`] for an older one, [`Error::Corrupt`] for anything that
    /// was not written by `seal`.
    pub(crate) fn read(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let damaged =
            |error: serde_json::Error| Error::corrupt(path, format!("not a manifest: {error}"));
        let version: Version = serde_json::from_slice(bytes).map_err(damaged)?;
        let (path, found, known) = (path.to_owned(), version.format, FORMAT);
        if found > known {
            return Err(Error::Format { path, found, known });
        }
        if found < known {
            return Err(Error::Outdated { path, found, known });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(damaged)?;
        if manifest.digest()? != manifest.crc32 {
            return Err(Error::corrupt(&path, "its checksum does not match"));
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests;
