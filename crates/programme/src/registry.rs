//! The registry: what is defined, folded from `assent.registry` in order.
//!
//! Owns the rule which records count (see `record.rs`), the history of every definition, and the typed
//! view of what is in force. It refuses to guess: a record it cannot read, or one that rewrites the past,
//! is an error naming the position, and nothing is answered until somebody has looked (I5).

mod fold;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;

use assent_consent::{NoticeRef, Purpose, PurposeId, Registry as ConsentRegistry, Timestamp};
use assent_event::topics;
use assent_journal::{Position, Topic};

use crate::definition::{Definition, DefinitionKey, DefinitionKind, Digest};
use crate::error::Error;
use crate::plan::plan;
use crate::principal::Principal;
use crate::programme::Programme;
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

    /// The registry that a programme alone makes: what `plan` and `apply` on an empty journal lead to.
    ///
    /// # Errors
    /// [`Error::Refused`] when the programme cannot be planned.
    pub fn of_programme(programme: &Programme, at: Timestamp) -> Result<Self, Error> {
        let empty = Self::new();
        let plan = plan(&empty, programme).map_err(|faults| Error::Refused {
            key: "the programme".to_owned(),
            reason: faults
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; "),
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
        Position {
            topic: Self::topic(),
            partition: 0,
            offset: self.next,
        }
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

    /// The source whose write key has this SHA-256 (lower-case hex). How long it takes tells of the digest at most,
    /// and nobody finds a key by that.
    #[must_use]
    pub fn source_by_key_sha256(&self, sha256: &str) -> Option<&SourceDefinition> {
        self.sources().find(|s| s.write_key_sha256 == sha256)
    }

    /// Sources in force, by id.
    pub fn sources(&self) -> impl Iterator<Item = &SourceDefinition> {
        self.view.sources.values()
    }

    /// Every version of every source that was ever in force, retired ones included: what one of them called an
    /// identifier or sensitive lies in old data and stays so.
    pub fn source_versions(&self) -> impl Iterator<Item = &SourceDefinition> {
        self.view.source_versions.iter()
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
