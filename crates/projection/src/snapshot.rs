//! A reader's view of the projection: one manifest and the files it names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use assent_programme::TraitCatalog;

use crate::layout::{Layout, events_schema};
use crate::storage::{LocalStorage, Storage};
use crate::{DataFile, Definitions, Error, Manifest, Owner, Table, chain, files};

/// The door by which readers come to snapshots. One for each process: it remembers the newest manifest, and sees to it
/// that copies of files on the local disk go when nobody can need them any more.
///
/// A process that reads seldom is to ask for the newest snapshot from time to time all the same, every minute say:
/// what was erased elsewhere leaves its local copies then (I8).
#[derive(Debug)]
pub struct Profiles {
    storage: Arc<dyn Storage>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    newest: Option<Arc<Manifest>>,
    /// Manifests of snapshots that may be in use.
    handed_out: Vec<Weak<Manifest>>,
}

impl Profiles {
    /// Readers of what lies in the storage.
    #[must_use]
    pub fn new(storage: Arc<dyn Storage>) -> Self {
        Self {
            storage,
            known: Mutex::default(),
        }
    }

    /// Where they lie. What is derived from them may lie beside them, in a folder of its own.
    #[must_use]
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// The newest snapshot; `None` when nothing was projected yet. Blocks.
    ///
    /// # Errors
    /// [`Error::Rebuilding`] while there is nothing to be shown, [`Error::Corrupt`] naming a damaged manifest,
    /// [`Error::Outdated`], [`Error::Format`], [`Error::Io`], [`Error::Storage`].
    pub fn latest(&self) -> Result<Option<Snapshot>, Error> {
        let known = self.lock().newest.clone();
        let newest = chain::latest(self.storage.as_ref(), known.as_ref())?;
        let wanted = {
            let mut known = self.lock();
            known.newest.clone_from(&newest);
            if let Some(newest) = &newest {
                known.hand_out(newest);
            }
            let in_use = known.handed_out.iter().filter_map(Weak::upgrade);
            in_use.collect::<Vec<_>>()
        };
        let names: OnceLock<BTreeSet<&str>> = OnceLock::new();
        self.storage.forget_copies(&|name| {
            let names = names.get_or_init(|| {
                let files = wanted.iter().flat_map(|manifest| manifest.all_files());
                files.map(|file| file.path.as_str()).collect()
            });
            names.contains(name)
        })?;
        newest
            .map(|manifest| Snapshot::new(&self.storage, manifest))
            .transpose()
    }

    /// The snapshot of one manifest, by its number and who wrote it, for work that was begun on it elsewhere; `None` when
    /// it is not there, or not any more. Blocks.
    ///
    /// # Errors
    /// As [`Profiles::latest`].
    pub fn at(&self, number: u64, writer: Owner) -> Result<Option<Snapshot>, Error> {
        let is_it = |one: &Arc<Manifest>| one.number == number && one.writer == writer;
        let in_use = self
            .lock()
            .handed_out
            .iter()
            .filter_map(Weak::upgrade)
            .find(is_it);
        let found = match in_use {
            Some(manifest) => Some(manifest),
            None => chain::read(self.storage.as_ref(), number)?
                .map(Arc::new)
                .filter(is_it),
        };
        if let Some(manifest) = &found {
            self.lock().hand_out(manifest);
        }
        let open = |manifest| Snapshot::new(&self.storage, manifest);
        found.map(open).transpose()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn hand_out(&mut self, manifest: &Arc<Manifest>) {
        self.handed_out.retain(|one| one.strong_count() > 0);
        let is_it = |open: &Weak<Manifest>| std::ptr::eq(open.as_ptr(), Arc::as_ptr(manifest));
        if !self.handed_out.iter().any(is_it) {
            self.handed_out.push(Arc::downgrade(manifest));
        }
    }
}

/// All tables at one checkpoint. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Snapshot {
    manifest: Arc<Manifest>,
    storage: Arc<dyn Storage>,
    definitions: Arc<Definitions>,
    files: Arc<BTreeMap<Table, Vec<DataFile>>>,
}

impl Snapshot {
    fn new(storage: &Arc<dyn Storage>, manifest: Arc<Manifest>) -> Result<Self, Error> {
        let Some(live) = &manifest.live else {
            return Err(Error::Rebuilding {
                number: manifest.number,
            });
        };
        let of_table = |table| manifest.files(table).into_iter().cloned().collect();
        let files = Table::ALL.into_iter().map(|table| (table, of_table(table)));
        Ok(Self {
            files: Arc::new(files.collect()),
            definitions: Arc::new(live.definitions.clone()),
            storage: Arc::clone(storage),
            manifest,
        })
    }

    /// The newest snapshot in a directory; `None` when nothing was projected there yet. For tests and small tools.
    ///
    /// # Errors
    /// As [`Profiles::latest`].
    pub fn latest(dir: &Path) -> Result<Option<Self>, Error> {
        Profiles::new(Arc::new(LocalStorage::new(dir))).latest()
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    /// The definitions that all shards were folded with.
    #[must_use]
    pub fn definitions(&self) -> &Definitions {
        &self.definitions
    }

    /// The files of a table. Merge the rows of all of them.
    #[must_use]
    pub fn files(&self, table: Table) -> &[DataFile] {
        self.files.get(&table).map_or(&[], Vec::as_slice)
    }

    /// A file of this snapshot, to be opened as often as need be.
    #[must_use]
    pub fn stored(&self, file: &DataFile) -> StoredFile {
        StoredFile {
            storage: Arc::clone(&self.storage),
            file: file.clone(),
        }
    }

    /// The schema on disk of a table's partial rows, for this catalogue (see the crate's documentation). Read
    /// columns by name: a file written before the catalogue was re-ordered has them in another order.
    #[must_use]
    pub fn file_schema(table: Table, catalog: &TraitCatalog) -> SchemaRef {
        Layout::of(table, catalog).map_or_else(events_schema, |layout| layout.schema())
    }

    /// Checks size and CRC-32 of every file.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming the first damaged file.
    pub fn verify(&self) -> Result<(), Error> {
        self.manifest
            .live_files()
            .try_for_each(|file| files::verify(self.storage.as_ref(), file))
    }

    /// All rows of a table's files, unmerged, one or more batches a file. For tests and small tools: a scan reads the
    /// files itself.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming a damaged file.
    pub fn read(&self, table: Table) -> Result<Vec<RecordBatch>, Error> {
        let mut batches = Vec::new();
        for file in self.files(table) {
            for batch in files::read(self.storage.as_ref(), file, 65_536)? {
                batches.push(batch?);
            }
        }
        Ok(batches)
    }
}

/// An immutable file of the projection, wherever it lies.
#[derive(Clone, Debug)]
pub struct StoredFile {
    storage: Arc<dyn Storage>,
    file: DataFile,
}

impl StoredFile {
    /// What the manifest says of it. No two files ever have the same path.
    #[must_use]
    pub fn data(&self) -> &DataFile {
        &self.file
    }

    /// Opens it for reading, whole, on the local disk; it is fetched there if need be. Blocks.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it is missing or damaged, [`Error::Io`], [`Error::Storage`].
    pub fn open(&self) -> Result<File, Error> {
        self.storage.open(&self.file)
    }
}
