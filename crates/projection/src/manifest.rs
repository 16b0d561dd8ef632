//! The manifest: what the projection consists of at one checkpoint. Its format is versioned and checksummed.

use std::collections::BTreeMap;
use std::path::Path;

use assent_consent::Timestamp;
use assent_journal::{Checkpoint, Position, Topic};
use serde::{Deserialize, Serialize};

use crate::{Definitions, Error, Table};

/// The format written and the newest one read. It is part of the digest of the definitions, so that a change of the
/// fold rebuilds the projection.
pub(crate) const FORMAT: u32 = 1;

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

/// The projection at one checkpoint: files and positions that were committed together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this format.
    pub format: u32,
    /// Number of the manifest, its file name.
    pub number: u64,
    /// The manifest it was made from; `None` for the first.
    pub parent: Option<u64>,
    /// How often the projection was rebuilt from the journal.
    pub generation: u64,
    /// Per partition, the next position to read.
    pub checkpoint: Checkpoint,
    /// The files of every table, in no order that matters.
    pub tables: BTreeMap<Table, Vec<DataFile>>,
    /// The files of the de-duplication window.
    pub seen: Vec<DataFile>,
    /// [`Definitions::digest`] of the definitions folded with.
    pub definitions_digest: String,
    /// The definitions folded with.
    pub definitions: Definitions,
    /// Schema ids met in the log, by kind of event, with the number of records.
    pub schema_ids: BTreeMap<u32, u64>,
    /// The latest time of any event folded: an evaluation later than that needs no day bucket left out.
    pub latest: Option<Timestamp>,
    /// What became of the records.
    pub counts: Counts,
    /// The greatest skipped records and values by position, at most 100.
    pub skipped: Vec<Skipped>,
    /// CRC-32 (IEEE) of this manifest as compact JSON with this field zero.
    pub crc32: u32,
}

impl Manifest {
    /// What stands before the first commit: no file, nothing read.
    pub(crate) fn empty(definitions: Definitions) -> Self {
        Self {
            format: FORMAT,
            number: 0,
            parent: None,
            generation: 0,
            checkpoint: Checkpoint::new(),
            tables: BTreeMap::new(),
            seen: Vec::new(),
            definitions_digest: definitions.digest(),
            definitions,
            schema_ids: BTreeMap::new(),
            latest: None,
            counts: Counts::default(),
            skipped: Vec::new(),
            crc32: 0,
        }
    }

    /// The files of a table.
    #[must_use]
    pub fn files(&self, table: Table) -> &[DataFile] {
        self.tables.get(&table).map_or(&[], Vec::as_slice)
    }

    /// Every file the manifest names.
    pub(crate) fn all_files(&self) -> impl Iterator<Item = &DataFile> {
        self.tables.values().flatten().chain(&self.seen)
    }

    /// The position of a partition.
    #[must_use]
    pub fn next(&self, topic: &Topic, partition: u32) -> u64 {
        self.checkpoint.get(topic, partition)
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
    /// [`Error::Format`] for a newer format, [`Error::Corrupt`] for anything that was not written by `seal`.
    pub(crate) fn read(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let version: Version = serde_json::from_slice(bytes)
            .map_err(|error| Error::corrupt(path, format!("not a manifest: {error}")))?;
        if version.format > FORMAT {
            return Err(Error::Format {
                path: path.to_owned(),
                found: version.format,
                known: FORMAT,
            });
        }
        let manifest: Self = serde_json::from_slice(bytes)
            .map_err(|error| Error::corrupt(path, format!("not a manifest: {error}")))?;
        if manifest.digest()? != manifest.crc32 {
            return Err(Error::corrupt(path, "its checksum does not match"));
        }
        Ok(manifest)
    }
}
