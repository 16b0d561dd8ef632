//! Which rows of a file belong to which subject, computed once per file and kept.
//!
//! Profile files never change, so what is cached here holds for the life of the process, as do the numbers of the permit
//! index. A subject that had no number when its file was first read is kept by id and looked up again by every query: it
//! may have decided since.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, AsArray};
use assent_consent::SubjectId;
use assent_projection::StoredFile;
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
#[derive(Debug)]
pub(crate) struct ProfileFile {
    stored: StoredFile,
    pub(crate) metadata: ArrowReaderMetadata,
    /// Rows per row group.
    pub(crate) groups: Vec<usize>,
    pub(crate) runs: Vec<Run>,
    /// Runs whose subject had no number, by index, in ascending order.
    pub(crate) unknown: Vec<(usize, SubjectId)>,
}

impl ProfileFile {
    fn read(stored: StoredFile, number_of: impl Fn(&SubjectId) -> Option<u32>) -> Result<Self> {
        let options = ArrowReaderOptions::new().with_offset_index_policy(PageIndexPolicy::Optional);
        let file = open(&stored)?;
        let rows = stored.data().rows;
        let metadata =
            ArrowReaderMetadata::load(&file, options).map_err(|error| unreadable(&error))?;
        let groups: Vec<usize> = metadata
            .metadata()
            .row_groups()
            .iter()
            .map(|group| usize::try_from(group.num_rows()).unwrap_or(0))
            .collect();
        if groups.iter().sum::<usize>() as u64 != rows {
            return Err(damaged("its row count is not the manifest's"));
        }
        let column = metadata
            .schema()
            .index_of(SUBJECT)
            .map_err(|_| damaged("it has no subjects"))?;
        let mask = ProjectionMask::roots(metadata.parquet_schema(), [column]);
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata.clone())
            .with_projection(mask)
            .with_batch_size(65_536)
            .build()
            .map_err(|error| unreadable(&error))?;
        let mut runs = Runs::default();
        for batch in reader {
            let batch = batch.map_err(|error| unreadable(&error))?;
            let subjects = batch
                .column(0)
                .as_fixed_size_binary_opt()
                .filter(|subjects| subjects.null_count() == 0)
                .ok_or_else(|| damaged("its subjects are not ids"))?;
            for row in 0..subjects.len() {
                let bytes: [u8; 16] = subjects
                    .value(row)
                    .try_into()
                    .map_err(|_| damaged("its subjects are not ids"))?;
                runs.add(SubjectId::from_bytes(bytes), &number_of);
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
        })
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
    last: Option<SubjectId>,
    rows: u64,
}

impl Runs {
    fn add(&mut self, subject: SubjectId, number_of: &impl Fn(&SubjectId) -> Option<u32>) {
        self.rows += 1;
        if self.last == Some(subject)
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
        self.runs.push(Run { number, rows: 1 });
        self.last = Some(subject);
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

    /// The file that a manifest names, read if need be. Blocks on disk.
    pub(crate) fn get(
        &self,
        stored: StoredFile,
        number_of: impl Fn(&SubjectId) -> Option<u32>,
    ) -> Result<Arc<ProfileFile>> {
        if let Some(file) = self.lock().files.get(&stored.data().path) {
            return Ok(Arc::clone(file));
        }
        let path = stored.data().path.clone();
        let file = Arc::new(ProfileFile::read(stored, number_of)?);
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
