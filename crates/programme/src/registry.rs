//! The registry: what is defined, folded from `assent.registry` in order.
//!
//! Owns the rule which records count (see `record.rs`), the history of every definition, and the typed
//! view of what is in force. It refuses to guess: a record it cannot read, or one that rewrites the past,
//! is an error naming the position, and nothing is answered until somebody has looked (I5).

mod view;

use std::collections::BTreeMap;
use std::sync::Arc;

use assent_consent::{
    NoticeRef, Purpose, PurposeId, Registry as ConsentRegistry, Timestamp,
};
use assent_event::topics;
use assent_journal::{Journal, Position, ReadLimit, Stored, Topic};

use crate::definition::{Definition, DefinitionKey, DefinitionKind, Digest};
use crate::error::Error;
use crate::plan::plan;
use crate::principal::Principal;
use crate::programme::Programme;
use crate::record::{DefinitionRecord, FORMAT, set_digest};
use crate::segment::SegmentDefinition;
use crate::settings::Settings;
use crate::source::SourceDefinition;
use crate::traits::TraitCatalog;
use view::View;

pub(crate) use view::PublishedNotice;

/// One version of a definition, as it was accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// The definition.
    pub definition: Definition,
    /// When it was applied, as told by whoever applied it.
    pub at: Timestamp,
    /// Offset of the record that completed its set: from there on it is in force.
    pub offset: u64,
    /// The registry's digest from there on.
    pub set: Digest,
}

/// A set of definitions that took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedSet {
    /// Its digest, which became the registry's.
    pub digest: Digest,
    /// The registry's digest before.
    pub parent: Digest,
    /// When it was applied, as told by whoever applied it.
    pub at: Timestamp,
    /// Offset of the record that completed it.
    pub offset: u64,
    /// What it defined.
    pub keys: Vec<DefinitionKey>,
}

/// What a record did to the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absorbed {
    /// It was read before.
    Known,
    /// It belongs to a set of which more is to come.
    Pending,
    /// It completed a set; the registry has changed.
    Accepted(AcceptedSet),
    /// It was planned on another state than the one in force and counts for nothing.
    Ignored,
}

#[derive(Clone, Debug, PartialEq)]
struct PendingSet {
    at: Timestamp,
    of: u32,
    definitions: BTreeMap<u32, Definition>,
}

type History = BTreeMap<DefinitionKind, BTreeMap<String, Vec<Recorded>>>;

/// Everything defined, at one place of the journal. Cloning is cheap.
#[derive(Clone, Debug, PartialEq)]
pub struct RegistryState {
    digest: Digest,
    next: u64,
    history: Arc<History>,
    sets: Arc<Vec<AcceptedSet>>,
    pending: BTreeMap<Digest, PendingSet>,
    view: Arc<View>,
}

impl Default for RegistryState {
    fn default() -> Self {
        Self {
            digest: Digest::EMPTY,
            next: 0,
            history: Arc::default(),
            sets: Arc::default(),
            pending: BTreeMap::new(),
            view: Arc::default(),
        }
    }
}

impl RegistryState {
    /// The registry before anything was defined.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The topic that holds definitions.
    #[must_use]
    pub fn topic() -> Topic {
        Topic::new(topics::REGISTRY)
    }

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
            let batch = journal.read(&topic, 0, self.next, ReadLimit::default()).await?;
            for stored in batch.records.iter().filter(|s| s.position.offset < end) {
                self.absorb(stored)?;
            }
            if batch.next <= self.next {
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
        let record: DefinitionRecord = serde_json::from_slice(value)
            .map_err(|error| format!("it is no definition record ({:?} error at line {} column {})", error.classify(), error.line(), error.column()))?;
        if record.assent != FORMAT {
            return Err(format!(
                "it has format {}, this version reads {FORMAT}: read it with a newer version",
                record.assent
            ));
        }
        let parent = digest(&record.parent, "parent")?;
        let set = digest(&record.set, "set")?;
        if record.index >= record.of {
            return Err(format!("it is number {} of a set of {}", record.index, record.of));
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
        self.accept(set, at, offset, definitions).map(Absorbed::Accepted)
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
            versions.push(Recorded { definition, at, offset, set });
        }
        let view = View::of(&history)?;
        let accepted = AcceptedSet { digest: set, parent: self.digest, at, offset, keys };
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

    /// The registry that a programme alone makes: what `plan` and `apply` on an empty journal lead to.
    ///
    /// # Errors
    /// [`Error::Refused`] when the programme cannot be planned.
    pub fn of_programme(programme: &Programme, at: Timestamp) -> Result<Self, Error> {
        let empty = Self::new();
        let plan = plan(&empty, programme).map_err(|faults| Error::Refused {
            key: "the programme".to_owned(),
            reason: faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        })?;
        empty.with(&plan.definitions, at)
    }

    /// The digest of everything ever defined.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The next offset to read.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The next position to read, for a checkpoint.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { topic: Self::topic(), partition: 0, offset: self.next }
    }

    /// Every set that took effect, in order.
    #[must_use]
    pub fn sets(&self) -> &[AcceptedSet] {
        &self.sets
    }

    /// Purposes and notices in force, as `evaluate` reads them.
    #[must_use]
    pub fn consent(&self) -> &ConsentRegistry {
        &self.view.consent
    }

    /// The same, to be kept.
    #[must_use]
    pub fn consent_arc(&self) -> Arc<ConsentRegistry> {
        Arc::clone(&self.view.consent)
    }

    /// The purpose of that id, if it is in force.
    #[must_use]
    pub fn purpose(&self, id: &PurposeId) -> Option<&Purpose> {
        self.view.consent.purpose(id)
    }

    /// SHA-256 of the rendered text of a published notice.
    #[must_use]
    pub fn notice_sha256(&self, notice: &NoticeRef) -> Option<&str> {
        self.view.notice_hashes.get(notice).map(String::as_str)
    }

    /// The segment of that name in its latest version, unless it was retired.
    #[must_use]
    pub fn segment(&self, name: &str) -> Option<&SegmentDefinition> {
        self.view.segments.get(name)
    }

    /// A segment in any version that was ever in force.
    #[must_use]
    pub fn segment_version(&self, name: &str, version: u32) -> Option<&SegmentDefinition> {
        self.view.segment_versions.get(&(name.to_owned(), version))
    }

    /// Segments in force, by name.
    pub fn segments(&self) -> impl Iterator<Item = &SegmentDefinition> {
        self.view.segments.values()
    }

    /// The source of that id, if it is in force.
    #[must_use]
    pub fn source(&self, id: &str) -> Option<&SourceDefinition> {
        self.view.sources.get(id)
    }

    /// The source whose write key has this SHA-256 (lower-case hex).
    #[must_use]
    pub fn source_by_key_sha256(&self, sha256: &str) -> Option<&SourceDefinition> {
        self.sources().find(|s| s.write_key_sha256 == sha256)
    }

    /// Sources in force, by id.
    pub fn sources(&self) -> impl Iterator<Item = &SourceDefinition> {
        self.view.sources.values()
    }

    /// The trait catalogue in force.
    #[must_use]
    pub fn traits(&self) -> &TraitCatalog {
        &self.view.traits
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.view.settings
    }

    /// The principal of that name, revoked ones included.
    #[must_use]
    pub fn principal(&self, name: &str) -> Option<&Principal> {
        self.view.principals.get(name)
    }

    /// The principal whose token has this SHA-256 (lower-case hex), unless it was revoked.
    #[must_use]
    pub fn principal_by_token_sha256(&self, sha256: &str) -> Option<&Principal> {
        self.principals()
            .find(|p| p.token_sha256 == sha256 && !p.revoked)
    }

    /// Every principal, revoked ones included, by name.
    pub fn principals(&self) -> impl Iterator<Item = &Principal> {
        self.view.principals.values()
    }

    /// Every version of a definition, oldest first.
    #[must_use]
    pub fn history(&self, kind: DefinitionKind, name: &str) -> &[Recorded] {
        self.history
            .get(&kind)
            .and_then(|names| names.get(name))
            .map_or(&[], Vec::as_slice)
    }

    /// The latest version of every name of a kind, retired ones included.
    pub fn latest(&self, kind: DefinitionKind) -> impl Iterator<Item = &Recorded> {
        self.history
            .get(&kind)
            .into_iter()
            .flat_map(BTreeMap::values)
            .filter_map(|versions| versions.last())
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
