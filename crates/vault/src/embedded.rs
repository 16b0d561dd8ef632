//! The vault of one process, in redb.
//!
//! Lookups take a read transaction and no commit; only what is new costs one. A reader–writer lock
//! around the working keys makes [`Vault::destroy`] and [`Vault::roll`] exclusive, so that
//! no lookup under way can put a destroyed key back into the cache.

mod head;
mod roll;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use assent_consent::{Namespace, SubjectId};
use assent_event::{Identifier, KeyClass};
use parking_lot::RwLock;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, WriteTransaction};

use self::tables::{IDENTIFIERS, INDEX, KEYS};
use crate::Vault;
use crate::blind::Blind;
use crate::cache::Cache;
use crate::error::{Error, store};
use crate::keyring::{DESTROYED_RECORD, Keyring, Place, blind_of, new_subject, place};
use crate::master::MasterKey;
use crate::random::RandomSource;
use crate::sealer::Sealing;
use crate::secret::{DataKey, KeyState};

/// How much the vault keeps in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultConfig {
    /// Identifiers whose subject is remembered; about 100 bytes each.
    pub cached_subjects: usize,
    /// Data keys remembered; about 120 bytes each.
    pub cached_keys: usize,
    /// Page cache of the store, in bytes.
    pub store_cache_bytes: usize,
}

impl Default for VaultConfig {
    fn default() -> Self {
        Self {
            cached_subjects: 200_000,
            cached_keys: 400_000,
            store_cache_bytes: 64 << 20,
        }
    }
}

/// [`Vault`] in one file.
pub struct EmbeddedVault {
    db: Database,
    working: RwLock<Keyring>,
    subjects: Cache<Blind, SubjectId>,
    keys: Cache<(SubjectId, KeyClass), DataKey>,
    random: Box<dyn RandomSource>,
    sealing: Sealing,
}

impl EmbeddedVault {
    /// Opens the store, or makes it when the file is missing.
    ///
    /// # Errors
    /// [`Error::InUse`] when another process has it open, [`Error::WrongMasterKey`] when the key
    /// is not the one the store is wrapped with.
    pub fn open(
        path: &Path,
        master: MasterKey,
        random: Box<dyn RandomSource>,
    ) -> Result<Self, Error> {
        Self::open_with(path, master, random, &VaultConfig::default())
    }

    /// As [`EmbeddedVault::open`], with these bounds.
    ///
    /// # Errors
    /// As [`EmbeddedVault::open`].
    pub fn open_with(
        path: &Path,
        master: MasterKey,
        random: Box<dyn RandomSource>,
        config: &VaultConfig,
    ) -> Result<Self, Error> {
        let db = Database::builder()
            .set_cache_size(config.store_cache_bytes)
            .create(path)
            .map_err(|error| match error {
                DatabaseError::DatabaseAlreadyOpen => Error::InUse {
                    path: path.to_owned(),
                },
                other => store("open")(other),
            })?;
        let version = head::check_or_found(&db, &master)?;
        Ok(Self {
            db,
            working: RwLock::new(Keyring::new(&master, version)),
            subjects: Cache::new(config.cached_subjects),
            keys: Cache::new(config.cached_keys),
            random,
            sealing: Sealing::On,
        })
    }

    /// For the control of the planted-values test: blocks sealed for this vault stand in clear.
    #[doc(hidden)]
    pub fn unsealed_as_test_control(mut self) -> Self {
        self.sealing = Sealing::Off;
        self
    }

    fn write(&self) -> Result<WriteTransaction, Error> {
        let mut write = self.db.begin_write().map_err(store("begin a change"))?;
        // Without it a crash is followed by a repair that reads the whole file.
        write.set_quick_repair(true);
        Ok(write)
    }

    /// Fills in what the store knows of the places still empty.
    fn look_up_subjects(
        &self,
        blinds: &[Blind],
        found: &mut [Option<SubjectId>],
    ) -> Result<(), Error> {
        let read = self.db.begin_read().map_err(store("read"))?;
        let table = read.open_table(INDEX).map_err(store("read"))?;
        let mut learnt = Vec::new();
        for (blind, slot) in blinds.iter().zip(found).filter(|(_, slot)| slot.is_none()) {
            if let Some(subject) = table.get(blind).map_err(store("look up a subject"))? {
                let subject = SubjectId::from_bytes(*subject.value());
                *slot = Some(subject);
                learnt.push((*blind, subject));
            }
        }
        self.subjects.insert_each(learnt);
        Ok(())
    }

    /// Makes the subjects still missing, in one commit.
    fn make_subjects(
        &self,
        working: &Keyring,
        ids: &[Identifier],
        blinds: &[Blind],
        found: &mut [Option<SubjectId>],
    ) -> Result<(), Error> {
        let write = self.write()?;
        let mut made: HashMap<Blind, SubjectId> = HashMap::new();
        {
            let mut index = write.open_table(INDEX).map_err(store("change"))?;
            let mut identifiers = write.open_table(IDENTIFIERS).map_err(store("change"))?;
            for (place, id) in ids.iter().enumerate() {
                if found[place].is_some() {
                    continue;
                }
                let blind = blinds[place];
                // Another thread may have made it since we looked.
                let known = index
                    .get(&blind)
                    .map_err(store("look up a subject"))?
                    .map(|subject| SubjectId::from_bytes(*subject.value()));
                let subject = match known {
                    Some(subject) => subject,
                    None => {
                        let subject = new_subject(self.random.as_ref());
                        let (blind, record) =
                            working.seal_identifier(subject, id, self.random.as_ref());
                        index
                            .insert(&blind, subject.as_bytes())
                            .map_err(store("add a subject"))?;
                        identifiers
                            .insert(subject.as_bytes(), record.as_slice())
                            .map_err(store("add a subject"))?;
                        subject
                    }
                };
                made.insert(blind, subject);
                found[place] = Some(subject);
            }
        }
        write.commit().map_err(store("commit"))?;
        self.subjects.insert_each(made);
        Ok(())
    }

    /// Fills in what the store knows of the keys not yet found.
    fn look_up_keys(
        &self,
        working: &Keyring,
        wanted: &[(SubjectId, KeyClass)],
        found: &mut [KeyState],
    ) -> Result<(), Error> {
        let mut places: Vec<(usize, Place)> = wanted
            .iter()
            .enumerate()
            .filter(|(at, _)| matches!(found[*at], KeyState::Absent))
            .map(|(at, (subject, class))| (at, place(*subject, *class)))
            .collect();
        // In the order of the tree: a rebuild asks for many, and neighbours share a page.
        places.sort_unstable_by_key(|(_, place)| *place);
        let read = self.db.begin_read().map_err(store("read"))?;
        let table = read.open_table(KEYS).map_err(store("read"))?;
        let mut learnt = Vec::new();
        for (at, place) in places {
            if let Some(record) = table.get(&place).map_err(store("look up a key"))? {
                let state = working.unwrap(&place, record.value())?;
                if let KeyState::Live(key) = &state {
                    learnt.push((wanted[at], key.clone()));
                }
                found[at] = state;
            }
        }
        self.keys.insert_each(learnt);
        Ok(())
    }

    /// Makes the keys still absent, in one commit.
    fn make_keys(
        &self,
        working: &Keyring,
        wanted: &[(SubjectId, KeyClass)],
        found: &mut [KeyState],
    ) -> Result<(), Error> {
        let write = self.write()?;
        let mut made = Vec::new();
        {
            let mut table = write.open_table(KEYS).map_err(store("change"))?;
            for (slot, (subject, class)) in found.iter_mut().zip(wanted) {
                if !matches!(slot, KeyState::Absent) {
                    continue;
                }
                let place = place(*subject, *class);
                let known = match table.get(&place).map_err(store("look up a key"))? {
                    Some(record) => Some(working.unwrap(&place, record.value())?),
                    None => None,
                };
                *slot = match known {
                    Some(state) => state,
                    None => {
                        let (key, record) = working.new_key(&place, self.random.as_ref());
                        table
                            .insert(&place, record.as_slice())
                            .map_err(store("add a key"))?;
                        KeyState::Live(key)
                    }
                };
                if let KeyState::Live(key) = slot {
                    made.push(((*subject, *class), key.clone()));
                }
            }
        }
        write.commit().map_err(store("commit"))?;
        self.keys.insert_each(made);
        Ok(())
    }
}

impl Vault for EmbeddedVault {
    fn subjects(&self, ids: &[Identifier], create: bool) -> Result<Vec<Option<SubjectId>>, Error> {
        let working = self.working.read();
        let blinds: Vec<Blind> = ids.iter().map(|id| working.blind(id)).collect();
        let mut found = vec![None; ids.len()];
        self.subjects
            .get_each(&blinds, |place, subject| found[place] = Some(subject));
        if found.iter().any(Option::is_none) {
            self.look_up_subjects(&blinds, &mut found)?;
        }
        if create && found.iter().any(Option::is_none) {
            self.make_subjects(&working, ids, &blinds, &mut found)?;
        }
        Ok(found)
    }

    fn identifiers(
        &self,
        subjects: &[SubjectId],
        namespace: &Namespace,
    ) -> Result<Vec<Option<String>>, Error> {
        let working = self.working.read();
        let read = self.db.begin_read().map_err(store("read"))?;
        let table = read.open_table(IDENTIFIERS).map_err(store("read"))?;
        subjects
            .iter()
            .map(|subject| {
                let record = table
                    .get(subject.as_bytes())
                    .map_err(store("read an identifier"))?;
                match record {
                    Some(record) => working.open_identifier(*subject, namespace, record.value()),
                    None => Ok(None),
                }
            })
            .collect()
    }

    fn keys(&self, wanted: &[(SubjectId, KeyClass)], create: bool) -> Result<Vec<KeyState>, Error> {
        let working = self.working.read();
        let mut found = vec![KeyState::Absent; wanted.len()];
        self.keys
            .get_each(wanted, |place, key| found[place] = KeyState::Live(key));
        let absent = |found: &[KeyState]| found.iter().any(|s| matches!(s, KeyState::Absent));
        if absent(&found) {
            self.look_up_keys(&working, wanted, &mut found)?;
        }
        if create && absent(&found) {
            self.make_keys(&working, wanted, &mut found)?;
        }
        Ok(found)
    }

    fn destroy_classes(&self, subject: SubjectId, classes: &[KeyClass]) -> Result<(), Error> {
        let _exclusive = self.working.write();
        let write = self.write()?;
        let mut forgotten = None;
        {
            let mut keys = write.open_table(KEYS).map_err(store("change"))?;
            for class in classes {
                keys.insert(&place(subject, *class), DESTROYED_RECORD)
                    .map_err(store("destroy a key"))?;
            }
            if classes.contains(&KeyClass::Identity) {
                let mut identifiers = write.open_table(IDENTIFIERS).map_err(store("change"))?;
                let mut index = write.open_table(INDEX).map_err(store("change"))?;
                let removed = identifiers
                    .remove(subject.as_bytes())
                    .map_err(store("forget an identifier"))?;
                if let Some(record) = removed {
                    let blind = blind_of(record.value())?;
                    index
                        .remove(&blind)
                        .map_err(store("forget an identifier"))?;
                    forgotten = Some(blind);
                }
            }
        }
        write.commit().map_err(store("commit"))?;
        for class in classes {
            self.keys.remove(&(subject, *class));
        }
        if let Some(blind) = forgotten {
            self.subjects.remove(&blind);
        }
        Ok(())
    }

    fn master_version(&self) -> u32 {
        self.working.read().version()
    }

    fn roll(&self, new: &MasterKey) -> Result<(), Error> {
        self.roll_to(new)
    }

    /// Nobody else can have rolled it, so the key is this vault's or a wrong one.
    fn adopt(&self, master: &MasterKey) -> Result<(), Error> {
        let working = self.working.read();
        if master.derive().fingerprint == *working.fingerprint() {
            return Ok(());
        }
        Err(Error::WrongMasterKey {
            version: working.version(),
        })
    }

    fn sealing(&self) -> Sealing {
        self.sealing
    }
}

impl fmt::Debug for EmbeddedVault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedVault").finish_non_exhaustive()
    }
}
