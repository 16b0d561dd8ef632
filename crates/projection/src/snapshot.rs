//! A reader's view of the projection: one manifest and the files it names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use assent_programme::TraitCatalog;

use crate::layout::{Layout, events_schema};
use crate::{DataFile, Error, Manifest, Table};

/// All tables at one checkpoint. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Snapshot {
    manifest: Arc<Manifest>,
    dir: Arc<Path>,
}

impl Snapshot {
    pub(crate) fn new(dir: &Path, manifest: Arc<Manifest>) -> Self {
        Self {
            manifest,
            dir: dir.into(),
        }
    }

    /// The newest snapshot in the directory; `None` when nothing was projected there yet.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming a damaged manifest, [`Error::Io`].
    pub fn latest(dir: &Path) -> Result<Option<Self>, Error> {
        let manifest = crate::store::latest(dir)?;
        Ok(manifest.map(|manifest| Self::new(dir, Arc::new(manifest))))
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    /// The directory of the projection.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The files of a table. Merge the rows of all of them.
    #[must_use]
    pub fn files(&self, table: Table) -> &[DataFile] {
        self.manifest.files(table)
    }

    /// Where a file stands.
    #[must_use]
    pub fn path(&self, file: &DataFile) -> PathBuf {
        self.dir.join(&file.path)
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
            .all_files()
            .try_for_each(|file| self.verify_file(file))
    }

    /// Checks size and CRC-32 of one file.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming the file.
    pub fn verify_file(&self, file: &DataFile) -> Result<(), Error> {
        crate::files::verify(&self.dir, file)
    }

    /// All rows of a table's files, unmerged, one or more batches a file. For tests and small tools: a scan reads the
    /// files itself.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming a damaged file.
    pub fn read(&self, table: Table) -> Result<Vec<RecordBatch>, Error> {
        let mut batches = Vec::new();
        for file in self.files(table) {
            for batch in crate::files::read(&self.dir, file, 65_536)? {
                batches.push(batch?);
            }
        }
        Ok(batches)
    }
}
