//! Where a projection lies: the few operations it needs, and the two places that offer them.
//!
//! ```text
//! data/TABLE-SHARD-EPOCH-WRITER-SERIAL.parquet   immutable; named by manifests; TABLE.N: rows of one cluster
//! manifest/N.json                                immutable, created exclusively
//! ```
//!
//! [`LocalStorage`] is a directory, [`ObjectStorage`] a bucket behind the S3 protocol. Whoever implements [`Storage`]
//! promises three things and nothing else is built upon: what was put is whole and durable under its name, of several
//! creations of one name at most one succeeds, and a list shows everything created before it was asked. There is no
//! rename, no append, no lock and no clock.
//!
//! All of it blocks. It is called from threads that may: the projector's worker and the readers of files.

mod cache;
mod local;
mod objects;

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tempfile::NamedTempFile;

pub use cache::CacheSettings;
pub use local::LocalStorage;
pub use objects::{ObjectStorage, S3Credentials, S3Settings};

use crate::{DataFile, Error};

/// The folder of data files.
pub(crate) const DATA: &str = "data";
/// The folder of manifests.
pub(crate) const MANIFESTS: &str = "manifest";
/// Every file that is still being written begins so; no other file does.
const TEMPORARY: &str = ".tmp-";

/// Where a projection lies. Names are relative, with `/` between folder and file.
pub trait Storage: fmt::Debug + Send + Sync + 'static {
    /// Where a name lies, for people.
    fn locate(&self, name: &str) -> PathBuf;

    /// A file to be written that becomes the data file of that name with [`Storage::put`]. Dropped before, it is gone.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn stage(&self, name: &str) -> Result<Staged, Error>;

    /// Makes staged files durable under their names, which nobody has used before.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Storage`]. Some of them may be there then.
    fn put(&self, staged: Vec<Staged>) -> Result<(), Error>;

    /// Opens a data file for reading; it is on the local disk then, whole.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it is missing or, where it has to be fetched, not as it was written; [`Error::Io`],
    /// [`Error::Storage`].
    fn open(&self, file: &DataFile) -> Result<File, Error>;

    /// Creates a small object if the name is free. An error may also mean that it was created, or will be soon:
    /// whoever must know reads it back.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Storage`].
    fn create(&self, name: &str, bytes: &[u8]) -> Result<Created, Error>;

    /// Reads a small object; `None` when there is none.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Storage`].
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error>;

    /// The objects of a folder whose file names come after `after`, ascending by name. Half-written ones do not count.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Storage`].
    fn list(&self, folder: &str, after: &str) -> Result<Vec<Entry>, Error>;

    /// Removes an object and every copy of it. One that is not there was removed already.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Storage`].
    fn remove(&self, name: &str) -> Result<(), Error>;

    /// Removes what writers that died left half-written, for names of which `dead` says that nobody will finish them.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn sweep(&self, dead: &dyn Fn(&str) -> bool) -> Result<(), Error>;

    /// Removes local copies of data files that are not `wanted`, where copies are made at all.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn forget_copies(&self, wanted: &dyn Fn(&str) -> bool) -> Result<(), Error>;
}

/// What became of a creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The object is there, durable, with these bytes.
    New,
    /// The name seems to be taken: by a rival, or by an earlier attempt of our own.
    Taken,
}

/// An object of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The file name, without the folder.
    pub name: String,
    /// When it was created, by the clock of the storage.
    pub created_at: SystemTime,
}

/// A data file in the making.
#[derive(Debug)]
pub struct Staged {
    name: String,
    file: NamedTempFile,
}

impl Staged {
    /// In this directory of the local disk.
    fn within(dir: &Path, name: &str) -> Result<Self, Error> {
        let file = tempfile::Builder::new()
            .prefix(&temporary(name))
            .tempfile_in(dir)
            .map_err(Error::io("create a file in", dir))?;
        Ok(Self {
            name: name.to_owned(),
            file,
        })
    }

    /// The name it will have.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file to be written.
    pub fn file(&mut self) -> &mut File {
        self.file.as_file_mut()
    }
}

/// How the temporary file of a name begins; the rest is random.
fn temporary(name: &str) -> String {
    let file = name.rsplit('/').next().unwrap_or(name);
    format!("{TEMPORARY}{file}~")
}

/// The file name for which a temporary file was meant.
fn meant(temporary: &str) -> Option<&str> {
    Some(temporary.strip_prefix(TEMPORARY)?.rsplit_once('~')?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_file_tells_what_it_was_to_become() {
        let dir = tempfile::tempdir().unwrap();
        let staged = Staged::within(dir.path(), "data/a-1.parquet").unwrap();
        let name = staged.file.path().file_name().unwrap().to_str().unwrap();
        assert_eq!(meant(name), Some("a-1.parquet"));
        assert_eq!(meant("a-1.parquet"), None);
        let path = staged.file.path().to_owned();
        drop(staged);
        assert!(!path.exists());
    }
}
