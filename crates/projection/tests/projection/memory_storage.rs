//! Storage in memory, and one that fails: before it does anything, after it did, or so that it does it much later.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use assent_projection::{
    Created, DataFile, Entry, Error, ErrorKind, LocalStorage, Staged, Storage,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Objects in memory; files are staged, and opened, in a directory.
#[derive(Debug)]
pub struct MemoryStorage {
    objects: Mutex<BTreeMap<String, (Vec<u8>, SystemTime)>>,
    ticks: AtomicU64,
    removed: Mutex<Vec<String>>,
    scratch: tempfile::TempDir,
    local: LocalStorage,
}

impl Default for MemoryStorage {
    fn default() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        Self {
            objects: Mutex::default(),
            ticks: AtomicU64::new(0),
            removed: Mutex::default(),
            local: LocalStorage::new(scratch.path()),
            scratch,
        }
    }
}

impl MemoryStorage {
    /// The names of all objects of a folder.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let objects = self.objects.lock().unwrap();
        let names = objects.keys().filter(|name| name.starts_with(folder));
        names.cloned().collect()
    }

    /// What of a folder was removed, in that order.
    pub fn removed(&self, folder: &str) -> Vec<String> {
        let mut removed = self.removed.lock().unwrap().clone();
        removed.retain(|name| name.starts_with(folder));
        removed
    }

    /// Puts an object if the name is free.
    fn add(&self, name: &str, bytes: &[u8]) -> Created {
        let mut objects = self.objects.lock().unwrap();
        if objects.contains_key(name) {
            return Created::Taken;
        }
        // A clock that ticks with every object.
        let tick = self.ticks.fetch_add(1, Ordering::SeqCst);
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(tick);
        objects.insert(name.to_owned(), (bytes.to_vec(), at));
        Created::New
    }
}

impl Storage for MemoryStorage {
    fn locate(&self, name: &str) -> PathBuf {
        PathBuf::from("memory:").join(name)
    }

    fn stage(&self, name: &str) -> Result<Staged, Error> {
        self.local.stage(name)
    }

    fn put(&self, staged: Vec<Staged>) -> Result<(), Error> {
        for mut file in staged {
            let name = file.name().to_owned();
            let mut bytes = Vec::new();
            file.file().rewind().unwrap();
            file.file().read_to_end(&mut bytes).unwrap();
            assert_eq!(self.add(&name, &bytes), Created::New, "{name} comes twice");
        }
        Ok(())
    }

    fn open(&self, file: &DataFile) -> Result<File, Error> {
        let Some(bytes) = self.read(&file.path)? else {
            return Err(Error::Corrupt {
                path: self.locate(&file.path),
                what: "it is missing".to_owned(),
            });
        };
        let mut copy = tempfile::tempfile_in(self.scratch.path()).unwrap();
        copy.write_all(&bytes).unwrap();
        copy.rewind().unwrap();
        Ok(copy)
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<Created, Error> {
        Ok(self.add(name, bytes))
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let objects = self.objects.lock().unwrap();
        Ok(objects.get(name).map(|(bytes, _)| bytes.clone()))
    }

    fn list(&self, folder: &str, after: &str) -> Result<Vec<Entry>, Error> {
        let objects = self.objects.lock().unwrap();
        let within = objects.iter().filter_map(|(name, (_, created_at))| {
            let name = name.strip_prefix(folder)?.strip_prefix('/')?;
            (name > after).then(|| Entry {
                name: name.to_owned(),
                created_at: *created_at,
            })
        });
        Ok(within.collect())
    }

    fn remove(&self, name: &str) -> Result<(), Error> {
        let removed = self.objects.lock().unwrap().remove(name);
        if removed.is_some() {
            self.removed.lock().unwrap().push(name.to_owned());
        }
        Ok(())
    }

    fn sweep(&self, _dead: &dyn Fn(&str) -> bool) -> Result<(), Error> {
        Ok(())
    }

    fn forget_copies(&self, _wanted: &dyn Fn(&str) -> bool) -> Result<(), Error> {
        Ok(())
    }
}

/// Fails one operation in so many, in one of three ways.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn Storage>,
    rng: Mutex<StdRng>,
    /// One operation in this many fails; 0 for none.
    one_in: AtomicU32,
    /// Creations that were refused and will take place all the same.
    late: Mutex<Vec<(String, Vec<u8>)>>,
}

enum Fault {
    None,
    Before,
    After,
    Late,
}

impl Faulty {
    pub fn new(inner: Arc<dyn Storage>, seed: u64) -> Self {
        Self {
            inner,
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
            one_in: AtomicU32::new(0),
            late: Mutex::default(),
        }
    }

    pub fn fail_one_in(&self, operations: u32) {
        self.one_in.store(operations, Ordering::SeqCst);
    }

    /// Lets everything that is still on its way arrive.
    pub fn arrive(&self) {
        let late = std::mem::take(&mut *self.late.lock().unwrap());
        for (name, bytes) in late {
            self.inner.create(&name, &bytes).unwrap();
        }
    }

    fn fault(&self) -> Fault {
        let mut rng = self.rng.lock().unwrap();
        if rng.random_ratio(1, 6) {
            let mut late = self.late.lock().unwrap();
            if let Some((name, bytes)) = late.pop() {
                self.inner.create(&name, &bytes).unwrap();
            }
        }
        let one_in = self.one_in.load(Ordering::SeqCst);
        if one_in == 0 || !rng.random_ratio(1, one_in) {
            return Fault::None;
        }
        match rng.random_range(0..3) {
            0 => Fault::Before,
            1 => Fault::After,
            _ => Fault::Late,
        }
    }

    fn error(&self, verb: &'static str, name: &str) -> Error {
        Error::Storage {
            verb,
            path: self.locate(name),
            kind: ErrorKind::Unavailable,
            source: "a fault of the test".into(),
        }
    }

    /// For operations of which it does not matter whether they took place.
    fn plainly<T>(
        &self,
        verb: &'static str,
        name: &str,
        operation: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        match self.fault() {
            Fault::None => operation(),
            Fault::Before | Fault::Late => Err(self.error(verb, name)),
            Fault::After => {
                operation()?;
                Err(self.error(verb, name))
            }
        }
    }
}

impl Storage for Faulty {
    fn locate(&self, name: &str) -> PathBuf {
        self.inner.locate(name)
    }

    fn stage(&self, name: &str) -> Result<Staged, Error> {
        self.plainly("write", name, || self.inner.stage(name))
    }

    fn put(&self, staged: Vec<Staged>) -> Result<(), Error> {
        self.plainly("write", "data", || self.inner.put(staged))
    }

    fn open(&self, file: &DataFile) -> Result<File, Error> {
        self.plainly("read", &file.path, || self.inner.open(file))
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<Created, Error> {
        match self.fault() {
            Fault::None => self.inner.create(name, bytes),
            Fault::Before => Err(self.error("create", name)),
            Fault::After => {
                // The client tried again by itself and met its own first attempt.
                let created = self.inner.create(name, bytes)?;
                if created == Created::New && self.rng.lock().unwrap().random() {
                    return Ok(Created::Taken);
                }
                Err(self.error("create", name))
            }
            Fault::Late => {
                let mut late = self.late.lock().unwrap();
                late.push((name.to_owned(), bytes.to_vec()));
                Err(self.error("create", name))
            }
        }
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        self.plainly("read", name, || self.inner.read(name))
    }

    fn list(&self, folder: &str, after: &str) -> Result<Vec<Entry>, Error> {
        self.plainly("list", folder, || self.inner.list(folder, after))
    }

    fn remove(&self, name: &str) -> Result<(), Error> {
        self.plainly("remove", name, || self.inner.remove(name))
    }

    fn sweep(&self, dead: &dyn Fn(&str) -> bool) -> Result<(), Error> {
        self.inner.sweep(dead)
    }

    fn forget_copies(&self, wanted: &dyn Fn(&str) -> bool) -> Result<(), Error> {
        self.inner.forget_copies(wanted)
    }
}
