//! The chain of manifests in the storage: finding the newest, and adding the next.
//!
//! A number is given once: whoever creates `manifest/N+1.json` first has committed. Whether it was us is never guessed:
//! unless the storage says that the object is new, it is read back and compared, for an answer can be lost and a client
//! can be told that its own first attempt is in its way.
//!
//! Old manifests are removed, so a name that was given can come free again, and a writer who slept that long can create
//! what follows nothing. It would not be read, being no longer the newest; but the writer must not believe that it has
//! committed. Manifests are removed in ascending order: as long as the parent is there, the child was never removed
//! ([`Chain::follows`]).

use std::sync::Arc;
use std::time::Duration;

use crate::settings::{FailPoint, Step};
use crate::storage::{Created, Entry, MANIFESTS, Storage};
use crate::{Error, ErrorKind, Manifest, Owner};

/// How often an unknown outcome is asked after, before it is given up: about four seconds.
const ATTEMPTS: u32 = 7;
/// The pause before the second question; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(30);

/// What became of a commit.
#[derive(Debug)]
pub(crate) enum Committed {
    /// It stands.
    Ours,
    /// Another commit has the number.
    Lost,
}

/// Manifests of one storage.
pub(crate) struct Chain {
    storage: Arc<dyn Storage>,
    fail: Arc<dyn FailPoint>,
}

impl Chain {
    pub(crate) fn new(storage: Arc<dyn Storage>, fail: Arc<dyn FailPoint>) -> Self {
        Self { storage, fail }
    }

    /// Puts the manifest under its number, if that is free.
    ///
    /// # Errors
    /// [`Error::Unsettled`], or what the storage said, when it cannot be learnt whether the manifest stands. It may even
    /// come to stand later, as long as its number is free.
    pub(crate) fn publish(&self, manifest: &mut Manifest) -> Result<Committed, Error> {
        let bytes = manifest.seal()?;
        let name = name_of(manifest.number);
        self.fail.reached(Step::BeforeManifest);
        let mut pause = FIRST_PAUSE;
        let mut attempt = 1;
        loop {
            let unknown = match self.create_and_read_back(&name, &bytes) {
                Ok(Some(Committed::Lost)) => return Ok(Committed::Lost),
                Ok(Some(Committed::Ours)) => {
                    if self.follows(manifest)? {
                        self.fail.reached(Step::AfterManifest);
                        return Ok(Committed::Ours);
                    }
                    return Err(Error::Unsettled {
                        number: manifest.number,
                    });
                }
                Ok(None) => None,
                Err(error) if error.kind() == ErrorKind::Unavailable => Some(error),
                Err(error) => return Err(error),
            };
            if attempt == ATTEMPTS {
                return Err(unknown.unwrap_or(Error::Unsettled {
                    number: manifest.number,
                }));
            }
            tracing::warn!(
                manifest = manifest.number,
                error = unknown.map(tracing::field::display),
                "the outcome of a commit is unknown; asking again"
            );
            std::thread::sleep(pause);
            pause *= 2;
            attempt += 1;
        }
    }

    /// `None`: whether it stands is not known.
    fn create_and_read_back(&self, name: &str, bytes: &[u8]) -> Result<Option<Committed>, Error> {
        match self.storage.create(name, bytes) {
            Ok(Created::New) => return Ok(Some(Committed::Ours)),
            Ok(Created::Taken) => {}
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                tracing::warn!(%error, "a commit was not acknowledged");
            }
            Err(error) => return Err(error),
        }
        Ok(self.storage.read(name)?.map(|found| {
            if found == bytes {
                Committed::Ours
            } else {
                Committed::Lost
            }
        }))
    }

    /// Whether a manifest that was created is certain to follow the chain: its parent is still there, or nothing newer
    /// is.
    fn follows(&self, manifest: &Manifest) -> Result<bool, Error> {
        let from = manifest.number.saturating_sub(2);
        let numbers = numbers(self.storage.list(MANIFESTS, &file_of(from))?);
        let parent_there = manifest
            .parent
            .is_some_and(|parent| numbers.contains(&parent));
        Ok(parent_there || numbers.last() == Some(&manifest.number))
    }

    /// The newest manifest. What is `known` already is not read again.
    ///
    /// # Errors
    /// As [`Manifest::read`], and when the storage fails.
    pub(crate) fn latest(
        &self,
        known: Option<&Arc<Manifest>>,
    ) -> Result<Option<Arc<Manifest>>, Error> {
        latest(self.storage.as_ref(), known)
    }

    /// The number of the newest manifest, readable or not.
    pub(crate) fn newest_number(&self) -> Result<u64, Error> {
        let numbers = numbers(self.storage.list(MANIFESTS, "")?);
        Ok(numbers.last().copied().unwrap_or(0))
    }
}

/// How long a writer waits who lost a number for the `attempt`th time in a row: the first time not at all, then longer
/// and longer, and rivals differently long.
pub(crate) fn pause_after_loss(owner: &Owner, attempt: usize) -> Duration {
    let unit = u64::from(owner.jitter(attempt)) + 1;
    Duration::from_micros(100 * unit * attempt.min(16) as u64)
}

/// The newest manifest in a storage; see [`Chain::latest`].
pub(crate) fn latest(
    storage: &dyn Storage,
    known: Option<&Arc<Manifest>>,
) -> Result<Option<Arc<Manifest>>, Error> {
    let mut after = known.map_or_else(String::new, |known| file_of(known.number.saturating_sub(1)));
    loop {
        match (numbers(storage.list(MANIFESTS, &after)?).last(), known) {
            (Some(newest), Some(known)) if *newest == known.number => {
                return Ok(Some(Arc::clone(known)));
            }
            (Some(newest), _) => {
                // If it was removed between listing and reading, a newer one is there.
                if let Some(manifest) = read(storage, *newest)? {
                    return Ok(Some(Arc::new(manifest)));
                }
            }
            // Not even the known one is there: somebody emptied the storage.
            (None, Some(_)) if !after.is_empty() => after.clear(),
            (None, _) => return Ok(None),
        }
    }
}

/// Reads one manifest; `None` when it is not there.
pub(crate) fn read(storage: &dyn Storage, number: u64) -> Result<Option<Manifest>, Error> {
    let name = name_of(number);
    let path = storage.locate(&name);
    let Some(bytes) = storage.read(&name)? else {
        return Ok(None);
    };
    let manifest = Manifest::read(&path, &bytes)?;
    if manifest.number != number {
        return Err(Error::corrupt(
            &path,
            format!("it calls itself {}", manifest.number),
        ));
    }
    Ok(Some(manifest))
}

fn file_of(number: u64) -> String {
    format!("{number:020}.json")
}

/// The name of a manifest in the storage.
pub(crate) fn name_of(number: u64) -> String {
    format!("{MANIFESTS}/{}", file_of(number))
}

/// The number that a file name of the folder stands for.
pub(crate) fn number_of(file: &str) -> Option<u64> {
    file.strip_suffix(".json")?.parse().ok()
}

fn numbers(entries: Vec<Entry>) -> Vec<u64> {
    entries
        .iter()
        .filter_map(|entry| number_of(&entry.name))
        .collect()
}
