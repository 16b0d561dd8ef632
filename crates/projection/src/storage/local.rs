//! A directory as storage: whole files, exclusive creation, durable against power loss.
//!
//! A file comes into being by being written under a temporary name, synced, given its own name (which fails when that
//! exists), and having its directory synced. So a name always means a whole file, and a name has one winner.
//! `object_store` 0.13 never syncs local files, hence none of it here.
//!
//! Several projectors may work on one directory: nothing here is locked, since names have one winner each, temporary
//! names are random, and only what is known to be dead is removed.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::{Created, DATA, Entry, MANIFESTS, Staged, Storage, TEMPORARY, meant};
use crate::{DataFile, Error};

/// A projection in a directory of a local file system.
#[derive(Debug)]
pub struct LocalStorage {
    dir: PathBuf,
}

impl LocalStorage {
    /// The storage in this directory, which is made by the first thing written there.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
        }
    }

    /// A folder, made durably where it is missing.
    fn folder(&self, folder: &str) -> Result<PathBuf, Error> {
        let path = self.dir.join(folder);
        if !path.is_dir() {
            fs::create_dir_all(&path).map_err(Error::io("create", &path))?;
            sync_dir(&self.dir)?;
            if let Some(above) = self.dir.parent() {
                sync_dir(above)?;
            }
        }
        Ok(path)
    }

    /// Gives a synced file its name; `false` when that is taken, or when the file was swept away, as is done with those
    /// whose name can no longer be had.
    fn name(&self, staged: Staged) -> Result<bool, Error> {
        let Staged { name, file } = staged;
        file.as_file()
            .sync_all()
            .map_err(Error::io("sync", file.path()))?;
        let path = self.dir.join(name);
        match file.persist_noclobber(&path) {
            Ok(_) => Ok(true),
            Err(failed)
                if matches!(
                    failed.error.kind(),
                    ErrorKind::AlreadyExists | ErrorKind::NotFound
                ) =>
            {
                Ok(false)
            }
            Err(failed) => Err(Error::io("create", &path)(failed.error)),
        }
    }
}

impl Storage for LocalStorage {
    fn locate(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn stage(&self, name: &str) -> Result<Staged, Error> {
        Staged::within(&self.folder(DATA)?, name)
    }

    fn put(&self, staged: Vec<Staged>) -> Result<(), Error> {
        if staged.is_empty() {
            return Ok(());
        }
        for file in staged {
            let path = self.dir.join(file.name());
            if !self.name(file)? {
                return Err(Error::io("create", &path)(ErrorKind::AlreadyExists.into()));
            }
        }
        sync_dir(&self.dir.join(DATA))
    }

    fn open(&self, file: &DataFile) -> Result<File, Error> {
        let path = self.dir.join(&file.path);
        File::open(&path).map_err(|error| {
            if error.kind() == ErrorKind::NotFound {
                Error::corrupt(&path, "it is missing")
            } else {
                Error::io("open", &path)(error)
            }
        })
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<Created, Error> {
        let path = self.dir.join(name);
        let folder = self.folder(name.split('/').next().unwrap_or(MANIFESTS))?;
        let mut staged = Staged::within(&folder, name)?;
        staged
            .file()
            .write_all(bytes)
            .map_err(Error::io("write", &path))?;
        if !self.name(staged)? {
            return Ok(Created::Taken);
        }
        sync_dir(&folder)?;
        Ok(Created::New)
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = self.dir.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    fn list(&self, folder: &str, after: &str) -> Result<Vec<Entry>, Error> {
        let dir = self.dir.join(folder);
        let mut entries = Vec::new();
        for name in names(&dir)? {
            if name.as_str() <= after || name.starts_with(TEMPORARY) {
                continue;
            }
            let path = dir.join(&name);
            match fs::metadata(&path).and_then(|metadata| metadata.modified()) {
                Ok(created_at) => entries.push(Entry { name, created_at }),
                // Removed since the folder was read.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io("read", &path)(error)),
            }
        }
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    fn remove(&self, name: &str) -> Result<(), Error> {
        remove(&self.dir.join(name))
    }

    fn sweep(&self, dead: &dyn Fn(&str) -> bool) -> Result<(), Error> {
        for folder in [DATA, MANIFESTS] {
            let dir = self.dir.join(folder);
            for name in names(&dir)? {
                // What has no meaning was written by no version that may still be at work.
                let forsaken = name.starts_with(TEMPORARY) && meant(&name).is_none_or(dead);
                if forsaken {
                    remove(&dir.join(name))?;
                }
            }
        }
        Ok(())
    }

    fn forget_copies(&self, _wanted: &dyn Fn(&str) -> bool) -> Result<(), Error> {
        // Nothing is copied: readers read what the projector wrote.
        Ok(())
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("remove", path)(error)),
    }
}

fn sync_dir(dir: &Path) -> Result<(), Error> {
    // The parent of a relative path of one part is the empty path.
    let dir = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(Error::io("sync", dir))
}

/// File names in a directory.
fn names(dir: &Path) -> Result<Vec<String>, Error> {
    let listing = match fs::read_dir(dir) {
        Ok(listing) => listing,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("list", dir)(error)),
    };
    listing
        .map(|entry| {
            let entry = entry.map_err(Error::io("list", dir))?;
            Ok(entry.file_name().to_string_lossy().into_owned())
        })
        .collect()
}
