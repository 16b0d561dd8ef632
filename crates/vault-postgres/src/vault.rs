//! [`Vault`] on PostgreSQL.
//!
//! A call looks into its memory, asks the store for the rest and for the head, and lets the head
//! decide: a format or a master key that is not ours is an error, a destruction that touches what
//! memory answered begins the call anew.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use assent_consent::{Namespace, SubjectId};
use assent_event::{Identifier, KeyClass};
use assent_vault::stores::{Blind, FORMAT, Keyring, Place, new_subject, place};
use assent_vault::{Error, KeyState, MasterKey, RandomSource, Vault};
use futures::FutureExt;
use parking_lot::RwLock;

use crate::config::PostgresConfig;
use crate::connections::Connections;
use crate::error::asked;
use crate::migrate;
use crate::queries::{self, Head, NewSubject, Pairs};
use crate::remembered::{Mark, Remembered};
use crate::roll::Roll;

/// [`Vault`] in a schema of a PostgreSQL database, shared by any number of processes.
pub struct PostgresVault {
    connections: Connections,
    /// Held for the length of a call; alone only while the master key changes.
    keyring: RwLock<Arc<Keyring>>,
    remembered: Arc<Remembered>,
    random: Arc<dyn RandomSource>,
}

impl PostgresVault {
    /// Opens the store: makes the schema when it is missing, migrates it when it is older, checks
    /// the master key, or founds the store under it.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when PostgreSQL does not answer, [`Error::Refused`] when it does not
    /// let the account in, [`Error::WrongMasterKey`] when the key is not the store's,
    /// [`Error::Format`] when a newer program made the store, [`Error::Settings`] when the settings
    /// or the server's are not safe.
    pub fn open(
        config: &PostgresConfig,
        master: &MasterKey,
        random: Box<dyn RandomSource>,
    ) -> Result<Self, Error> {
        let remembered = Arc::new(Remembered::new(config.cached_subjects, config.cached_keys));
        let forgetting = Arc::clone(&remembered);
        // A new connection may be to another server, which lost what the first one confirmed last.
        let connections = Connections::new(config, move || forgetting.forget())?;
        let schema = config.schema.clone();
        let fingerprint = *Keyring::new(master, 0).fingerprint();
        let version = connections.ask("open", move |c| {
            async move { migrate::open(c, &schema, fingerprint).await }.boxed()
        })?;
        Ok(Self {
            connections,
            keyring: RwLock::new(Arc::new(Keyring::new(master, version))),
            remembered,
            random: Arc::from(random),
        })
    }

    /// Lets the head decide whether the rest of an answer may be used.
    fn admit(keyring: &Keyring, head: &Head) -> Result<(), Error> {
        if head.format != FORMAT {
            return Err(Error::Format {
                found: head.format,
                known: FORMAT,
            });
        }
        if head.version != keyring.version() {
            return Err(Error::WrongMasterKey {
                version: head.version,
            });
        }
        Ok(())
    }

    fn ask_head(&self, mark: Mark) -> Result<(Head, Pairs), Error> {
        self.connections.ask("look at its head", move |c| {
            async move { queries::head(c, mark.epoch).await }
                .map(|head| Ok((head.map_err(asked("look at its head"))?, Pairs::new())))
                .boxed()
        })
    }

    fn ask_subjects(
        &self,
        keyring: &Keyring,
        mark: Mark,
        missing: &BTreeMap<Blind, &Identifier>,
        create: bool,
    ) -> Result<(Head, Pairs), Error> {
        const ACTION: &str = "look up subjects";
        if missing.is_empty() {
            return self.ask_head(mark);
        }
        if !create {
            let blinds: Vec<Blind> = missing.keys().copied().collect();
            return self.connections.ask(ACTION, move |c| {
                async move { queries::find_subjects(c, mark.epoch, &blinds).await }
                    .map(|answer| answer.map_err(asked(ACTION)))
                    .boxed()
            });
        }
        let random = self.random.as_ref();
        let new: Vec<NewSubject> = missing
            .values()
            .map(|id| {
                let subject = new_subject(random);
                let (blind, record) = keyring.seal_identifier(subject, id, random);
                NewSubject {
                    subject: *subject.as_bytes(),
                    blind,
                    record,
                }
            })
            .collect();
        let version = keyring.version();
        self.connections.ask(ACTION, move |c| {
            async move { queries::make_subjects(c, mark.epoch, version, &new).await }
                .map(|answer| answer.map_err(asked(ACTION)))
                .boxed()
        })
    }

    fn ask_keys(
        &self,
        keyring: &Keyring,
        mark: Mark,
        missing: Vec<Place>,
        create: bool,
    ) -> Result<(Head, Pairs), Error> {
        const ACTION: &str = "look up keys";
        if missing.is_empty() {
            return self.ask_head(mark);
        }
        if !create {
            return self.connections.ask(ACTION, move |c| {
                async move { queries::find_keys(c, mark.epoch, &missing).await }
                    .map(|answer| answer.map_err(asked(ACTION)))
                    .boxed()
            });
        }
        let new: Vec<(Place, Vec<u8>)> = missing
            .into_iter()
            .map(|place| (place, keyring.new_key(&place, self.random.as_ref()).1))
            .collect();
        let version = keyring.version();
        self.connections.ask(ACTION, move |c| {
            async move { queries::make_keys(c, mark.epoch, version, &new).await }
                .map(|answer| answer.map_err(asked(ACTION)))
                .boxed()
        })
    }
}

impl Vault for PostgresVault {
    fn subjects(&self, ids: &[Identifier], create: bool) -> Result<Vec<Option<SubjectId>>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let keyring = self.keyring.read();
        let blinds: Vec<Blind> = ids.iter().map(|id| keyring.blind(id)).collect();
        loop {
            let mark = self.remembered.mark();
            let mut known: HashMap<Blind, SubjectId> = HashMap::with_capacity(ids.len());
            self.remembered.subjects(&blinds, |at, subject| {
                known.insert(blinds[at], subject);
            });
            // In the order of the index.
            let missing: BTreeMap<Blind, &Identifier> = blinds
                .iter()
                .copied()
                .zip(ids)
                .filter(|(blind, _)| !known.contains_key(blind))
                .collect();
            let (head, rows) = self.ask_subjects(&keyring, mark, &missing, create)?;
            Self::admit(&keyring, &head)?;
            let as_of = self.remembered.advance(mark, head.epoch, &head.destroyed);
            let gone = |subject: &SubjectId| {
                let identity = place(*subject, KeyClass::Identity);
                head.destroyed.contains(&identity)
            };
            if known.values().any(gone) {
                continue;
            }
            let learnt = rows
                .into_iter()
                .map(|(blind, subject)| {
                    Ok((sized(&blind)?, SubjectId::from_bytes(sized(&subject)?)))
                })
                .collect::<Result<Vec<(Blind, SubjectId)>, Error>>()?;
            known.extend(learnt.iter().copied());
            self.remembered.add_subjects(as_of, learnt);
            let answers: Vec<_> = blinds
                .iter()
                .map(|blind| known.get(blind).copied())
                .collect();
            if create && answers.iter().any(Option::is_none) {
                // It was there when we wanted to make it, and forgotten before we could read it.
                continue;
            }
            return Ok(answers);
        }
    }

    fn identifiers(
        &self,
        subjects: &[SubjectId],
        namespace: &Namespace,
    ) -> Result<Vec<Option<String>>, Error> {
        const ACTION: &str = "read identifiers";
        if subjects.is_empty() {
            return Ok(Vec::new());
        }
        let keyring = self.keyring.read();
        let mark = self.remembered.mark();
        let wanted: Vec<[u8; 16]> = subjects.iter().map(|subject| *subject.as_bytes()).collect();
        let (head, rows) = self.connections.ask(ACTION, move |c| {
            async move { queries::find_identifiers(c, mark.epoch, &wanted).await }
                .map(|answer| answer.map_err(asked(ACTION)))
                .boxed()
        })?;
        Self::admit(&keyring, &head)?;
        self.remembered.advance(mark, head.epoch, &head.destroyed);
        let records: HashMap<Vec<u8>, Vec<u8>> = rows.into_iter().collect();
        subjects
            .iter()
            .map(|subject| match records.get(&subject.as_bytes()[..]) {
                Some(record) => keyring.open_identifier(*subject, namespace, record),
                None => Ok(None),
            })
            .collect()
    }

    fn keys(&self, wanted: &[(SubjectId, KeyClass)], create: bool) -> Result<Vec<KeyState>, Error> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let keyring = self.keyring.read();
        let places: Vec<Place> = wanted.iter().map(|(s, class)| place(*s, *class)).collect();
        loop {
            let mark = self.remembered.mark();
            let mut known: HashMap<Place, KeyState> = HashMap::with_capacity(places.len());
            self.remembered.keys(&places, |at, key| {
                known.insert(places[at], KeyState::Live(key));
            });
            let mut missing: Vec<Place> = places.clone();
            missing.retain(|place| !known.contains_key(place));
            missing.sort_unstable();
            missing.dedup();
            let (head, rows) = self.ask_keys(&keyring, mark, missing, create)?;
            Self::admit(&keyring, &head)?;
            let as_of = self.remembered.advance(mark, head.epoch, &head.destroyed);
            if head.destroyed.iter().any(|place| known.contains_key(place)) {
                continue;
            }
            let mut learnt = Vec::with_capacity(rows.len());
            for (place, record) in rows {
                let place: Place = sized(&place)?;
                let state = keyring.unwrap(&place, &record)?;
                if let KeyState::Live(key) = &state {
                    learnt.push((place, key.clone()));
                }
                known.insert(place, state);
            }
            self.remembered.add_keys(as_of, learnt);
            let answers = places.iter().map(|place| known.get(place).cloned());
            if create {
                // Keys are never removed: one that was just made and is not there was tampered with.
                let damaged = Error::Damaged { what: "data key" };
                return answers.collect::<Option<Vec<_>>>().ok_or(damaged);
            }
            return Ok(answers
                .map(|state| state.unwrap_or(KeyState::Absent))
                .collect());
        }
    }

    /// Needs no master key: nothing is opened, and an erasure must not wait for the new one.
    fn destroy_classes(&self, subject: SubjectId, classes: &[KeyClass]) -> Result<(), Error> {
        const ACTION: &str = "destroy keys";
        if classes.is_empty() {
            return Ok(());
        }
        let mut places: Vec<Place> = classes.iter().map(|class| place(subject, *class)).collect();
        places.sort_unstable();
        places.dedup();
        let forgotten = classes
            .contains(&KeyClass::Identity)
            .then_some(*subject.as_bytes());
        // What is remembered of them is dropped by the next call, which hears of it from the head.
        let done = self.connections.ask(ACTION, move |c| {
            async move { queries::destroy(c, &places, forgotten).await }
                .map(|answer| answer.map_err(asked(ACTION)))
                .boxed()
        })?;
        if done {
            return Ok(());
        }
        let (head, _) = self.ask_head(self.remembered.mark())?;
        Err(Error::Format {
            found: head.format,
            known: FORMAT,
        })
    }

    fn master_version(&self) -> u32 {
        self.keyring.read().version()
    }

    fn roll(&self, new: &MasterKey) -> Result<(), Error> {
        let mut keyring = self.keyring.write();
        let next = Arc::new(Keyring::new(new, keyring.version() + 1));
        let roll = Roll {
            old: Arc::clone(&keyring),
            new: Arc::clone(&next),
            random: Arc::clone(&self.random),
        };
        self.connections
            .ask_patiently("roll the master key", move |c| roll.run(c))?;
        // Index entries are other ones now.
        self.remembered.forget();
        *keyring = next;
        Ok(())
    }

    fn adopt(&self, master: &MasterKey) -> Result<(), Error> {
        let mut keyring = self.keyring.write();
        let fingerprint = *Keyring::new(master, 0).fingerprint();
        let version = self.connections.ask("look at its head", move |c| {
            async move { migrate::check(c, fingerprint).await }.boxed()
        })?;
        self.remembered.forget();
        *keyring = Arc::new(Keyring::new(master, version));
        Ok(())
    }
}

impl fmt::Debug for PostgresVault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresVault").finish_non_exhaustive()
    }
}

/// Bytes of the store of a length that its tables check.
fn sized<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Error> {
    bytes.try_into().map_err(|_| Error::Damaged { what: "row" })
}
