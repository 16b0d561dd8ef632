//! Whole copies of immutable data files on the local disk, for readers that read files.
//!
//! Bounded: beyond the limit the copy that was used longest ago goes first; only what is being read or written just now
//! can exceed it. A copy has its final name only when it is whole, and is checked against length and CRC-32 before it is
//! read for the first time in this process, since nothing here is synced. The directory belongs to one process, by a
//! lock, and holds nothing that could not be fetched again.
//!
//! Erased data must not linger in copies (I8): [`Cache::retain`] removes what no manifest in use names, and
//! [`Cache::remove`] what was removed from the store.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Staged, TEMPORARY};
use crate::{DataFile, Error};

const LOCK: &str = "lock";

/// Where copies lie, and how much of them.
#[derive(Clone, Debug)]
pub struct CacheSettings {
    /// A directory of this process alone, on a disk that only its owner can read: the copies are in clear.
    pub dir: PathBuf,
    /// The most bytes of copies kept.
    pub bytes: u64,
}

#[derive(Debug)]
pub(super) struct Cache {
    settings: CacheSettings,
    held: Mutex<Held>,
    /// Held, not read: the lock ends with the file.
    _lock: File,
}

#[derive(Debug, Default)]
struct Held {
    copies: HashMap<String, Copied>,
    bytes: u64,
    /// Counts uses; orders them without a clock.
    uses: u64,
    /// Whoever fetches a file holds its lock, so that it is fetched once.
    fetching: HashMap<String, Arc<Mutex<()>>>,
}

#[derive(Debug)]
struct Copied {
    bytes: u64,
    used: u64,
    /// Whether this process knows that the bytes are right.
    checked: bool,
}

impl Cache {
    /// Takes the directory over, with the copies that an earlier process left.
    pub(super) fn open(settings: CacheSettings) -> Result<Self, Error> {
        let dir = &settings.dir;
        fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
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
        let mut held = Held::default();
        for entry in fs::read_dir(dir).map_err(Error::io("list", dir))? {
            let entry = entry.map_err(Error::io("list", dir))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(TEMPORARY) {
                remove(&entry.path())?;
            } else if name != LOCK {
                let metadata = entry.metadata().map_err(Error::io("read", &entry.path()))?;
                held.add(name, metadata.len(), false);
            }
        }
        let cache = Self {
            settings,
            held: Mutex::new(held),
            _lock: lock,
        };
        cache.make_room()?;
        Ok(cache)
    }

    /// A file to be written here, for a copy or for an upload.
    pub(super) fn stage(&self, name: &str) -> Result<Staged, Error> {
        Staged::within(&self.settings.dir, name)
    }

    /// The copy of a file, open; made by `fetch` when there is none.
    pub(super) fn open_or(
        &self,
        file: &DataFile,
        fetch: impl FnOnce(&mut Staged) -> Result<(), Error>,
    ) -> Result<File, Error> {
        let name = file_name(&file.path);
        let turn = Arc::clone(self.lock().fetching.entry(name.to_owned()).or_default());
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = self.find(name, file)? {
            return Ok(found);
        }
        let mut staged = self.stage(&file.path)?;
        let fetched = fetch(&mut staged).and_then(|()| self.keep(staged));
        self.lock().fetching.remove(name);
        fetched
    }

    /// The copy, if there is one and it is right.
    fn find(&self, name: &str, file: &DataFile) -> Result<Option<File>, Error> {
        let checked = {
            let mut held = self.lock();
            held.uses += 1;
            let uses = held.uses;
            let Some(copied) = held.copies.get_mut(name) else {
                return Ok(None);
            };
            copied.used = uses;
            copied.checked && copied.bytes == file.bytes
        };
        let path = self.settings.dir.join(name);
        let copy = match File::open(&path) {
            Ok(copy) => copy,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.lock().drop_copy(name);
                return Ok(None);
            }
            Err(error) => return Err(Error::io("open", &path)(error)),
        };
        if checked {
            return Ok(Some(copy));
        }
        if matches(&copy, &path, file)? {
            if let Some(copied) = self.lock().copies.get_mut(name) {
                copied.checked = true;
            }
            // Opened again, to be read from its beginning.
            return File::open(&path)
                .map(Some)
                .map_err(Error::io("open", &path));
        }
        tracing::warn!(file = %path.display(), "a local copy is damaged and is fetched again");
        self.remove(name)?;
        Ok(None)
    }

    /// Takes in a whole file that is known to be right, and opens it.
    pub(super) fn keep(&self, staged: Staged) -> Result<File, Error> {
        let Staged { name, file } = staged;
        let name = file_name(&name).to_owned();
        let path = self.settings.dir.join(&name);
        file.persist(&path)
            .map_err(|failed| Error::io("create", &path)(failed.error))?;
        // Opened before there is room for it, since it may be the one that has to go.
        let copy = File::open(&path).map_err(Error::io("open", &path))?;
        let bytes = copy.metadata().map_err(Error::io("read", &path))?.len();
        self.lock().add(name, bytes, true);
        self.make_room()?;
        Ok(copy)
    }

    /// Removes a copy.
    pub(super) fn remove(&self, name: &str) -> Result<(), Error> {
        let name = file_name(name);
        self.lock().drop_copy(name);
        remove(&self.settings.dir.join(name))
    }

    /// Removes every copy that is not wanted; names are those of the storage.
    pub(super) fn retain(&self, wanted: &dyn Fn(&str) -> bool) -> Result<(), Error> {
        let unwanted: Vec<String> = self
            .lock()
            .copies
            .keys()
            .filter(|name| !wanted(&format!("{}/{name}", super::DATA)))
            .cloned()
            .collect();
        unwanted.iter().try_for_each(|name| self.remove(name))
    }

    fn make_room(&self) -> Result<(), Error> {
        loop {
            let oldest = {
                let held = self.lock();
                if held.bytes <= self.settings.bytes {
                    return Ok(());
                }
                let oldest = held.copies.iter().min_by_key(|(_, copied)| copied.used);
                match oldest {
                    Some((name, _)) => name.clone(),
                    None => return Ok(()),
                }
            };
            self.remove(&oldest)?;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn add(&mut self, name: String, bytes: u64, checked: bool) {
        self.uses += 1;
        let copied = Copied {
            bytes,
            used: self.uses,
            checked,
        };
        self.bytes += bytes;
        if let Some(before) = self.copies.insert(name, copied) {
            self.bytes -= before.bytes;
        }
    }

    fn drop_copy(&mut self, name: &str) {
        if let Some(gone) = self.copies.remove(name) {
            self.bytes -= gone.bytes;
        }
    }
}

/// The file name of a name in the storage.
fn file_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// Whether length and CRC-32 are those of the manifest.
fn matches(mut copy: &File, path: &Path, file: &DataFile) -> Result<bool, Error> {
    let mut hash = crc32fast::Hasher::new();
    let mut bytes = 0_u64;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = copy.read(&mut buffer).map_err(Error::io("read", path))?;
        if read == 0 {
            return Ok(bytes == file.bytes && hash.finalize() == file.crc32);
        }
        hash.update(&buffer[..read]);
        bytes += read as u64;
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("remove", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::Write;

    use super::*;

    fn file(name: &str, content: &[u8]) -> DataFile {
        DataFile {
            path: format!("data/{name}"),
            rows: 1,
            bytes: content.len() as u64,
            crc32: crc32fast::hash(content),
            first_subject: String::new(),
            last_subject: String::new(),
        }
    }

    fn open(dir: &Path, bytes: u64) -> Cache {
        Cache::open(CacheSettings {
            dir: dir.to_owned(),
            bytes,
        })
        .unwrap()
    }

    /// Reads through the cache; says whether it was fetched.
    fn read(cache: &Cache, name: &str, content: &[u8]) -> bool {
        let fetched = Cell::new(false);
        let mut copy = cache
            .open_or(&file(name, content), |staged| {
                fetched.set(true);
                staged.file().write_all(content).unwrap();
                Ok(())
            })
            .unwrap();
        let mut found = Vec::new();
        copy.read_to_end(&mut found).unwrap();
        assert_eq!(found, content);
        fetched.get()
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != LOCK)
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        let cache = open(dir.path(), 10);
        assert!(read(&cache, "a", b"aaaa"));
        assert!(read(&cache, "b", b"bbbb"));
        assert!(!read(&cache, "a", b"aaaa"));
        assert!(read(&cache, "c", b"cccc"), "now b must go");
        assert_eq!(names(dir.path()), ["a", "c"]);
        // One that is larger than everything allowed is read and not kept.
        assert!(read(&cache, "large", b"0123456789ab"));
        assert_eq!(names(dir.path()), Vec::<String>::new());
    }

    #[test]
    fn copies_outlive_the_process_and_damaged_ones_are_fetched_again() {
        let dir = tempfile::tempdir().unwrap();
        let cache = open(dir.path(), 100);
        for name in ["a", "b", "c"] {
            assert!(read(&cache, name, b"right"));
        }
        let busy = Cache::open(CacheSettings {
            dir: dir.path().to_owned(),
            bytes: 100,
        });
        assert!(matches!(busy.unwrap_err(), Error::Locked { .. }));
        drop(cache);
        fs::write(dir.path().join("a"), b"wrong").unwrap();
        fs::write(dir.path().join("b"), b"rig").unwrap();
        fs::write(dir.path().join(".tmp-d~x"), b"half").unwrap();
        let cache = open(dir.path(), 100);
        assert_eq!(names(dir.path()), ["a", "b", "c"]);
        assert!(read(&cache, "a", b"right"));
        assert!(read(&cache, "b", b"right"));
        assert!(!read(&cache, "c", b"right"));
    }

    #[test]
    fn what_nobody_wants_does_not_linger() {
        let dir = tempfile::tempdir().unwrap();
        let cache = open(dir.path(), 100);
        for name in ["a", "b"] {
            read(&cache, name, b"bytes");
        }
        cache.retain(&|name| name == "data/b").unwrap();
        assert_eq!(names(dir.path()), ["b"]);
        cache.remove("data/b").unwrap();
        assert_eq!(names(dir.path()), Vec::<String>::new());
        assert!(read(&cache, "a", b"bytes"));
    }

    #[test]
    fn a_file_wanted_by_many_is_fetched_once() {
        let dir = tempfile::tempdir().unwrap();
        let cache = open(dir.path(), 100);
        let fetched: usize = std::thread::scope(|scope| {
            let readers: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| usize::from(read(&cache, "a", b"bytes"))))
                .collect();
            readers.into_iter().map(|one| one.join().unwrap()).sum()
        });
        assert_eq!(fetched, 1);
    }
}
