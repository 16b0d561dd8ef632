//! The fold: which records count, and what they make of the registry.
//!
//! Nothing here depends on how the log is cut into reads, on time or on the reader: all that follow the
//! topic hold the same state at the same position (I4).

use std::collections::BTreeMap;
use std::sync::Arc;

use assent_consent::Timestamp;
use assent_journal::{Journal, ReadLimit, Stored};

use super::view::View;
use super::{Absorbed, AcceptedSet, History, PendingSet, Recorded, RegistryState};
use crate::definition::{Definition, DefinitionKind, Digest};
use crate::error::Error;
use crate::record::{DefinitionRecord, FORMAT, set_digest};

impl RegistryState {
    /// Folds the whole topic as it stands now.
    ///
    /// # Errors
    /// [`Error::Journal`], [`Error::Corrupt`], [`Error::Partitions`].
    pub async fn fold(journal: &dyn Journal) -> Result<Self, Error> {
        let mut state = Self::new();
        state.catch_up(journal).await?;
        Ok(state)
    }

    /// Folds the topic up to, not including, `end`: the registry as it was known there (I10).
    ///
    /// # Errors
    /// As [`RegistryState::fold`].
    pub async fn fold_until(journal: &dyn Journal, end: u64) -> Result<Self, Error> {
        let mut state = Self::new();
        state.read_to(journal, end).await?;
        Ok(state)
    }

    /// Reads on to the end of the topic as it stands now.
    ///
    /// # Errors
    /// As [`RegistryState::fold`]; the state is then as far as it could be read.
    pub async fn catch_up(&mut self, journal: &dyn Journal) -> Result<(), Error> {
        let topic = Self::topic();
        let ends = journal.end_positions(std::slice::from_ref(&topic)).await?;
        self.read_to(journal, ends.get(&topic, 0)).await
    }

    async fn read_to(&mut self, journal: &dyn Journal, end: u64) -> Result<(), Error> {
        let topic = Self::topic();
        let partitions = journal.partitions(&topic)?;
        if partitions != 1 {
            let topic = topic.as_str().to_owned();
            return Err(Error::Partitions { topic, partitions });
        }
        while self.next < end {
            let from = self.next;
            let limit = ReadLimit::default();
            let batch = journal.read(&topic, 0, from, limit).await?;
            for stored in batch.records.iter().filter(|s| s.position.offset < end) {
                self.absorb(stored)?;
            }
            if batch.next <= from {
                // Nothing more where there should be: the rest are markers, not records.
                break;
            }
            self.next = batch.next.min(end);
        }
        Ok(())
    }

    /// Takes in the next record of the topic. A record that was read before changes nothing.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming the position; the state is unchanged then.
    pub fn absorb(&mut self, stored: &Stored) -> Result<Absorbed, Error> {
        let offset = stored.position.offset;
        if offset < self.next {
            return Ok(Absorbed::Known);
        }
        let absorbed = self
            .weigh(&stored.value, offset)
            .map_err(|reason| Error::Corrupt {
                position: stored.position.clone(),
                reason,
            })?;
        self.next = offset + 1;
        Ok(absorbed)
    }

    /// Decides what a record does; changes nothing unless it returns `Ok`.
    fn weigh(&mut self, value: &[u8], offset: u64) -> Result<Absorbed, String> {
        let record: DefinitionRecord = serde_json::from_slice(value).map_err(|error| {
            format!(
                "it is no definition record ({:?} error at line {} column {})",
                error.classify(),
                error.line(),
                error.column()
            )
        })?;
        if record.assent != FORMAT {
            return Err(format!(
                "it has format {}, this version reads {FORMAT}: read it with a newer version",
                record.assent
            ));
        }
        let parent = digest(&record.parent, "parent")?;
        let set = digest(&record.set, "set")?;
        if record.index >= record.of {
            return Err(format!(
                "it is number {} of a set of {}",
                record.index, record.of
            ));
        }
        if parent != self.digest {
            return Ok(Absorbed::Ignored);
        }
        let (at, of, index) = (record.at, record.of, record.index);
        let mut pending = self.pending.get(&set).cloned().unwrap_or(PendingSet {
            at,
            of,
            definitions: BTreeMap::new(),
        });
        let definition = record.definition();
        if (pending.at, pending.of) != (at, of) {
            return Err("it contradicts the other records of its set".to_owned());
        }
        if let Some(known) = pending.definitions.get(&index)
            && *known != definition
        {
            return Err("it contradicts the other records of its set".to_owned());
        }
        pending.definitions.insert(index, definition);
        if u32::try_from(pending.definitions.len()) != Ok(of) {
            self.pending.insert(set, pending);
            return Ok(Absorbed::Pending);
        }
        let definitions: Vec<Definition> = pending.definitions.into_values().collect();
        if set_digest(parent, at, &definitions) != Some(set) {
            return Err("the set it completes does not have the digest it names".to_owned());
        }
        self.accept(set, at, offset, definitions)
            .map(Absorbed::Accepted)
    }

    fn accept(
        &mut self,
        set: Digest,
        at: Timestamp,
        offset: u64,
        definitions: Vec<Definition>,
    ) -> Result<AcceptedSet, String> {
        let mut history = History::clone(&self.history);
        let keys = definitions.iter().map(|d| d.key.clone()).collect();
        for definition in definitions {
            let versions = history
                .entry(definition.key.kind)
                .or_default()
                .entry(definition.key.name.clone())
                .or_default();
            follows(versions, &definition)?;
            versions.push(Recorded {
                definition,
                at,
                offset,
                set,
            });
        }
        let view = View::of(&history)?;
        let accepted = AcceptedSet {
            digest: set,
            parent: self.digest,
            at,
            offset,
            keys,
        };
        self.view = Arc::new(view);
        self.history = Arc::new(history);
        Arc::make_mut(&mut self.sets).push(accepted.clone());
        self.pending.clear();
        self.digest = set;
        Ok(accepted)
    }

    /// The registry as it will be with these definitions, for checks before anything is journalled.
    ///
    /// # Errors
    /// [`Error::Refused`] when they contradict what is in force.
    pub fn with(&self, definitions: &[Definition], at: Timestamp) -> Result<Self, Error> {
        let mut state = self.clone();
        if definitions.is_empty() {
            return Ok(state);
        }
        let refused = |reason: String| Error::Refused {
            key: "the set of definitions".to_owned(),
            reason,
        };
        let set = set_digest(self.digest, at, definitions)
            .ok_or_else(|| refused("a body holds a fraction".to_owned()))?;
        state
            .accept(set, at, self.next, definitions.to_vec())
            .map_err(refused)?;
        Ok(state)
    }
}

fn digest(text: &str, field: &str) -> Result<Digest, String> {
    text.parse().map_err(|error| format!("{field}: {error}"))
}

/// Whether a version may follow the ones before: counted without gaps, notices rising, never twice.
fn follows(versions: &[Recorded], definition: &Definition) -> Result<(), String> {
    let key = &definition.key;
    let last = versions.last().map_or(0, |r| r.definition.key.version);
    let right = match key.kind {
        DefinitionKind::Notice => key.version > last && !definition.is_retirement(),
        DefinitionKind::Settings
        | DefinitionKind::Purpose
        | DefinitionKind::Traits
        | DefinitionKind::Source
        | DefinitionKind::Segment
        | DefinitionKind::Principal => last.checked_add(1) == Some(key.version),
    };
    if right {
        Ok(())
    } else {
        Err(format!("{key} cannot follow version {last}"))
    }
}
