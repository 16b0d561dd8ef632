//! The projection's directory: durable files, exclusive manifests, the lock, and cleaning up.
//!
//! ```text
//! DIR/projector.lock           held by the one projector that writes here
//! DIR/data/TABLE-N-A.parquet   immutable; N the manifest it was written for, A the attempt
//! DIR/manifest/N.json          immutable, created exclusively; names data files that are durable already
//! ```
//!
//! A file comes into being by being written under a temporary name, synced, linked to its own name (which fails when
//! that exists), and having its directory synced. So a name always means a whole file, and a manifest number has one
//! winner. `object_store` 0.13 never syncs local files, hence none of it here.
//!
//! A crash leaves files that no manifest names. They are ignored by readers and removed by the next projector.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use crate::settings::{FailPoint, Step};
use crate::{DataFile, Error, Manifest};

const LOCK: &str = "projector.lock";
const DATA: &str = "data";
const MANIFESTS: &str = "manifest";
/// Every temporary file begins so; no other file does.
const TEMPORARY: &str = ".tmp-";

/// The projector's hold on a directory.
pub(crate) struct Store {
    dir: PathBuf,
    fail: Arc<dyn FailPoint>,
    /// What manifests name, by number.
    known: Mutex<BTreeMap<u64, Vec<String>>>,
    /// Held, not read: the lock ends with the file.
    _lock: File,
}

impl Store {
    /// Makes the directory and takes its lock.
    pub(crate) fn open(dir: &Path, fail: Arc<dyn FailPoint>) -> Result<Self, Error> {
        for sub in [dir.to_owned(), dir.join(DATA), dir.join(MANIFESTS)] {
            fs::create_dir_all(&sub).map_err(Error::io("create", &sub))?;
        }
        sync_dir(dir)?;
        let path = dir.join(LOCK);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(Error::io("open", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(Error::Locked { path }),
            Err(fs::TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
        }
        Ok(Self {
            dir: dir.to_owned(),
            fail,
            known: Mutex::default(),
            _lock: lock,
        })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn reached(&self, step: Step) {
        self.fail.reached(step);
    }

    /// Writes a data file and gives it a free name; returns that name, relative to the directory. It is durable only
    /// after [`Store::sync_data`].
    pub(crate) fn create_data(
        &self,
        stem: &str,
        number: u64,
        write: impl FnOnce(&mut File, &Path) -> Result<(), Error>,
    ) -> Result<String, Error> {
        let temporary = self.dir.join(DATA).join(format!("{TEMPORARY}{stem}"));
        let mut file = File::create(&temporary).map_err(Error::io("create", &temporary))?;
        write(&mut file, &temporary)?;
        file.sync_all().map_err(Error::io("sync", &temporary))?;
        for attempt in 0_u32.. {
            let name = format!("{DATA}/{stem}-{number:020}-{attempt}.parquet");
            let path = self.dir.join(&name);
            match fs::hard_link(&temporary, &path) {
                Ok(()) => {
                    fs::remove_file(&temporary).map_err(Error::io("remove", &temporary))?;
                    return Ok(name);
                }
                // Left by a crash, or by a commit that was overtaken.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io("create", &path)(error)),
            }
        }
        Err(Error::io("name", &temporary)(
            ErrorKind::AlreadyExists.into(),
        ))
    }

    /// Makes the names of data files durable.
    pub(crate) fn sync_data(&self) -> Result<(), Error> {
        sync_dir(&self.dir.join(DATA))
    }

    /// Puts the manifest under its number, if that is free.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the number is taken.
    pub(crate) fn publish(&self, manifest: &mut Manifest) -> Result<(), Error> {
        let bytes = manifest.seal()?;
        let dir = self.dir.join(MANIFESTS);
        let temporary = dir.join(format!("{TEMPORARY}manifest"));
        let mut file = File::create(&temporary).map_err(Error::io("create", &temporary))?;
        file.write_all(&bytes)
            .and_then(|()| file.sync_all())
            .map_err(Error::io("write", &temporary))?;
        self.reached(Step::BeforeManifest);
        let path = manifest_path(&self.dir, manifest.number);
        match fs::hard_link(&temporary, &path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(Error::Conflict {
                    number: manifest.number,
                });
            }
            Err(error) => return Err(Error::io("create", &path)(error)),
        }
        sync_dir(&dir)?;
        self.reached(Step::AfterManifest);
        fs::remove_file(&temporary).map_err(Error::io("remove", &temporary))
    }

    /// Removes a file that no manifest names.
    pub(crate) fn discard(&self, file: &DataFile) -> Result<(), Error> {
        remove(&self.dir.join(&file.path))
    }

    /// Removes old manifests, and every data file that no manifest names. Call it only when nothing is being written.
    ///
    /// A manifest is old when `keep` newer ones are there and its successor is older than the newest by `keep_for`,
    /// by the times of the files, so that no clock is asked. A damaged manifest names nothing.
    pub(crate) fn clean(&self, keep: usize, keep_for: Duration) -> Result<(), Error> {
        let numbers = numbers(&self.dir)?;
        let spare = numbers.len().saturating_sub(keep.max(1));
        let mut old = 0;
        if let Some(newest) = numbers.last() {
            let newest = self.published_at(*newest)?;
            while old < spare {
                let superseded = self.published_at(numbers[old + 1])?;
                if newest.duration_since(superseded).unwrap_or_default() < keep_for {
                    break;
                }
                old += 1;
            }
        }
        for number in &numbers[..old] {
            remove(&manifest_path(&self.dir, *number))?;
        }
        let named = self.named(&numbers[old..])?;
        for sub in [DATA, MANIFESTS] {
            let dir = self.dir.join(sub);
            for entry in entries(&dir)? {
                let orphan = sub == DATA && !named.contains(&format!("{sub}/{entry}"));
                if orphan || entry.starts_with(TEMPORARY) {
                    remove(&dir.join(&entry))?;
                }
            }
        }
        Ok(())
    }

    fn published_at(&self, number: u64) -> Result<SystemTime, Error> {
        let path = manifest_path(&self.dir, number);
        fs::metadata(&path)
            .and_then(|metadata| metadata.modified())
            .map_err(Error::io("read", &path))
    }

    /// Every data file that these manifests name. Manifests never change, so each is read once.
    fn named(&self, numbers: &[u64]) -> Result<BTreeSet<String>, Error> {
        let mut known = self
            .known
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        known.retain(|number, _| numbers.contains(number));
        for number in numbers {
            if known.contains_key(number) {
                continue;
            }
            let files = match read(&self.dir, *number) {
                Ok(manifest) => manifest.all_files().map(|file| file.path.clone()).collect(),
                Err(Error::Corrupt { .. }) => continue,
                Err(other) => return Err(other),
            };
            known.insert(*number, files);
        }
        Ok(known.values().flatten().cloned().collect())
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
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(Error::io("sync", dir))
}

fn manifest_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(MANIFESTS).join(format!("{number:020}.json"))
}

/// File names in a directory.
fn entries(dir: &Path) -> Result<Vec<String>, Error> {
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

/// The numbers of all manifests, ascending.
pub(crate) fn numbers(dir: &Path) -> Result<Vec<u64>, Error> {
    let mut numbers: Vec<u64> = entries(&dir.join(MANIFESTS))?
        .iter()
        .filter_map(|name| name.strip_suffix(".json")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Reads one manifest.
pub(crate) fn read(dir: &Path, number: u64) -> Result<Manifest, Error> {
    let path = manifest_path(dir, number);
    let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
    let manifest = Manifest::read(&path, &bytes)?;
    if manifest.number != number {
        return Err(Error::corrupt(
            &path,
            format!("it calls itself {}", manifest.number),
        ));
    }
    Ok(manifest)
}

/// Reads the newest manifest.
pub(crate) fn latest(dir: &Path) -> Result<Option<Manifest>, Error> {
    // The newest may be cleaned away between listing and reading, but only when a newer one is there.
    loop {
        let Some(number) = numbers(dir)?.last().copied() else {
            return Ok(None);
        };
        match read(dir, number) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            read => return read.map(Some),
        }
    }
}
