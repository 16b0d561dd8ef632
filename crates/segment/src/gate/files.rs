//! Which rows of a file belong to which subject, computed once per file and kept.
//!
//! Profile files never change, so what is cached here holds for the life of the process, as do the numbers of the permit
//! index. A subject that had no number when its file was first read is kept by id and looked up again until it has one: it
//! may have decided since.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, AsArray};
use assent_consent::{PurposeId, SubjectId};
use assent_projection::{DENIED, StoredFile, Table, denies};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::PageIndexPolicy;

use super::selection::{Run, UNKNOWN};
use crate::error::{Error, Result};

/// The column that says whom a row is about.
pub(crate) const SUBJECT: &str = "subject";

/// A profile file as the gate sees it: its footer and its subjects, run by run.
#[derive(Debug, Clone)]
pub(crate) struct ProfileFile {
    stored: StoredFile,
    pub(crate) metadata: ArrowReaderMetadata,
    /// Rows per row group.
    pub(crate) groups: Vec<u32>,
    pub(crate) runs: Vec<Run>,
    /// Runs whose subject had no number, by index, in ascending order.
    pub(crate) unknown: Vec<(usize, SubjectId)>,
    /// What stamps deny, as [`DENIED`] says it; each text once.
    stamps: Vec<String>,
    /// Runs of rows that carry a stamp, by index, in ascending order, and the stamp's place in `stamps`.
    stamped: Vec<(usize, usize)>,
}

impl ProfileFile {
    fn read(
        stored: StoredFile,
        table: Table,
        number_of: impl Fn(&SubjectId) -> Option<u32>,
    ) -> Result<Self> {
        let options = ArrowReaderOptions::new().with_offset_index_policy(PageIndexPolicy::Optional);
        let file = open(&stored)?;
        let rows = stored.data().rows;
        let metadata =
            ArrowReaderMetadata::load(&file, options).map_err(|error| unreadable(&error))?;
        let groups: Vec<u32> = metadata
            .metadata()
            .row_groups()
            .iter()
            .map(|group| u32::try_from(group.num_rows()).unwrap_or(0))
            .collect();
        if groups.iter().copied().map(u64::from).sum::<u64>() != rows {
            return Err(damaged("its row count is not the manifest's"));
        }
        let place = |name, missing| {
            let schema = metadata.schema();
            schema.index_of(name).map_err(|_| damaged(missing))
        };
        let mut columns = vec![place(SUBJECT, "it has no subjects")?];
        if table.is_stamped() {
            columns.push(place(DENIED, "it does not say what stamps deny")?);
        }
        let mask = ProjectionMask::roots(metadata.parquet_schema(), columns);
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata.clone())
            .with_projection(mask)
            .with_batch_size(65_536)
            .build()
            .map_err(|error| unreadable(&error))?;
        let mut runs = Runs::default();
        for batch in reader {
            let batch = batch.map_err(|error| unreadable(&error))?;
            let subjects = batch
                .column_by_name(SUBJECT)
                .and_then(|subjects| subjects.as_fixed_size_binary_opt())
                .filter(|subjects| subjects.null_count() == 0)
                .ok_or_else(|| damaged("its subjects are not ids"))?;
            let denied = batch.column_by_name(DENIED).map(|denied| {
                denied
                    .as_string_opt::<i32>()
                    .filter(|denied| denied.null_count() == 0)
                    .ok_or_else(|| damaged("what stamps deny is not text"))
            });
            let denied = denied.transpose()?;
            for row in 0..subjects.len() {
                let bytes: [u8; 16] = subjects
                    .value(row)
                    .try_into()
                    .map_err(|_| damaged("its subjects are not ids"))?;
                let denied = denied.map_or("", |denied| denied.value(row));
                runs.add(SubjectId::from_bytes(bytes), denied, &number_of);
            }
        }
        if runs.rows != rows {
            return Err(damaged("it has fewer subjects than rows"));
        }
        runs.runs.shrink_to_fit();
        Ok(Self {
            stored,
            metadata,
            groups,
            runs: runs.runs,
            unknown: runs.unknown,
            stamps: runs.stamps,
            stamped: runs.stamped,
        })
    }

    /// The same with the numbers that subjects were given since; `None` when there are none.
    fn renumbered(&self, number_of: impl Fn(&SubjectId) -> Option<u32>) -> Option<Self> {
        let mut runs = None;
        let mut unknown = Vec::new();
        for (run, subject) in &self.unknown {
            match number_of(subject) {
                Some(number) => runs.get_or_insert_with(|| self.runs.clone())[*run].number = number,
                None => unknown.push((*run, *subject)),
            }
        }
        Some(Self {
            runs: runs?,
            unknown,
            ..self.clone()
        })
    }

    /// The runs, by index, of which nothing may be read for a purpose of this lineage, whoever they are about: their
    /// stamps deny it.
    pub(crate) fn denied_to(&self, lineage: &[&PurposeId]) -> Vec<usize> {
        let stamps = self.stamps.iter();
        let denying: Vec<bool> = stamps.map(|stamp| denies(stamp, lineage)).collect();
        let stamped = self.stamped.iter();
        stamped
            .filter(|(_, stamp)| denying[*stamp])
            .map(|(run, _)| *run)
            .collect()
    }

    /// Opens the file for reading; blocks, and fetches it where profiles lie elsewhere.
    pub(crate) fn open(&self) -> Result<File> {
        open(&self.stored)
    }
}

fn open(stored: &StoredFile) -> Result<File> {
    stored.open().map_err(|error| {
        tracing::warn!(
            kind = error.kind().as_str(),
            "a profile file could not be opened"
        );
        Error::unavailable("profile_file", "a profile file is not there")
            .help("ask again: compaction may just have replaced it")
    })
}

fn unreadable(error: &dyn std::error::Error) -> Error {
    tracing::error!(%error, "a profile file could not be read");
    damaged("it does not read as Parquet")
}

/// The error of a file that is not as it should be.
pub(crate) fn damaged(what: &str) -> Error {
    Error::corrupt("profile_file", format!("a profile file is damaged: {what}"))
        .help("run `assent project --rebuild`")
}

#[derive(Default)]
struct Runs {
    runs: Vec<Run>,
    unknown: Vec<(usize, SubjectId)>,
    stamps: Vec<String>,
    stamped: Vec<(usize, usize)>,
    last: Option<(SubjectId, Option<usize>)>,
    rows: u64,
}

impl Runs {
    fn add(
        &mut self,
        subject: SubjectId,
        denied: &str,
        number_of: &impl Fn(&SubjectId) -> Option<u32>,
    ) {
        self.rows += 1;
        let stamp = self.stamp(denied);
        if self.last == Some((subject, stamp))
            && let Some(run) = self.runs.last_mut()
            && run.rows < u32::MAX
        {
            run.rows += 1;
            return;
        }
        let number = number_of(&subject).unwrap_or(UNKNOWN);
        if number == UNKNOWN {
            self.unknown.push((self.runs.len(), subject));
        }
        self.stamped
            .extend(stamp.map(|stamp| (self.runs.len(), stamp)));
        self.runs.push(Run { number, rows: 1 });
        self.last = Some((subject, stamp));
    }

    /// The place of a stamp; nothing for one that denies nothing. There are few: what a source's visitors refuse.
    fn stamp(&mut self, denied: &str) -> Option<usize> {
        if denied.is_empty() {
            return None;
        }
        let known = self.stamps.iter().position(|stamp| stamp == denied);
        Some(known.unwrap_or_else(|| {
            self.stamps.push(denied.to_owned());
            self.stamps.len() - 1
        }))
    }
}

/// The files in use, by path, bounded by the number of runs they hold; the one taken in first gives way. No path ever
/// names two files.
#[derive(Debug)]
pub(crate) struct FileCache {
    budget: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    files: HashMap<String, Arc<ProfileFile>>,
    order: VecDeque<String>,
    runs: usize,
}

impl FileCache {
    /// A cache of at most `budget` runs.
    pub(crate) fn new(budget: usize) -> Self {
        Self {
            budget,
            held: Mutex::default(),
        }
    }

    /// The file that a manifest names for the table, read if need be. Blocks on disk.
    pub(crate) fn get(
        &self,
        stored: StoredFile,
        table: Table,
        number_of: impl Fn(&SubjectId) -> Option<u32>,
    ) -> Result<Arc<ProfileFile>> {
        let path = stored.data().path.clone();
        let known = self.lock().files.get(&path).cloned();
        let file = match known {
            Some(known) => match known.renumbered(number_of) {
                Some(renumbered) => renumbered,
                None => return Ok(known),
            },
            None => ProfileFile::read(stored, table, number_of)?,
        };
        let file = Arc::new(file);
        let mut held = self.lock();
        held.runs += file.runs.len();
        match held.files.insert(path.clone(), Arc::clone(&file)) {
            Some(before) => held.runs -= before.runs.len(),
            None => held.order.push_back(path),
        }
        while held.runs > self.budget
            && let Some(oldest) = held.order.pop_front()
        {
            if let Some(gone) = held.files.remove(&oldest) {
                held.runs -= gone.runs.len();
            }
        }
        Ok(file)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
