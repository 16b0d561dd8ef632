//! The typed view of what is in force, made anew from the history whenever a set is accepted.

use std::collections::BTreeMap;
use std::sync::Arc;

use assent_consent::{Notice, NoticeRef, Purpose, Registry as ConsentRegistry};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{History, Recorded};
use crate::definition::{Definition, DefinitionKind};
use crate::principal::Principal;
use crate::segment::SegmentDefinition;
use crate::settings::Settings;
use crate::source::SourceDefinition;
use crate::traits::TraitCatalog;

/// A published notice with the hash of the text people were shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublishedNotice {
    pub(crate) notice: Notice,
    /// SHA-256 of the rendered texts, fixed when published: it proves what was shown even after the
    /// rendering changed.
    pub(crate) sha256: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct View {
    pub(super) consent: Arc<ConsentRegistry>,
    pub(super) notice_hashes: BTreeMap<NoticeRef, String>,
    pub(super) segments: BTreeMap<String, SegmentDefinition>,
    pub(super) segment_versions: BTreeMap<(String, u32), SegmentDefinition>,
    pub(super) sources: BTreeMap<String, SourceDefinition>,
    /// Every version of every source that was ever in force.
    pub(super) source_versions: Vec<SourceDefinition>,
    pub(super) traits: TraitCatalog,
    pub(super) settings: Settings,
    pub(super) principals: BTreeMap<String, Principal>,
}

impl View {
    pub(super) fn of(history: &History) -> Result<Self, String> {
        let mut view = Self::default();
        for recorded in latest(history, DefinitionKind::Settings) {
            view.settings = body(recorded)?;
        }
        let mut consent = ConsentRegistry::new(view.settings.calendar);
        let mut basis_of = BTreeMap::new();
        for recorded in every(history, DefinitionKind::Purpose) {
            let purpose: Purpose = body(recorded)?;
            named(recorded, purpose.id.as_str(), purpose.version)?;
            let basis = *basis_of.entry(purpose.id.clone()).or_insert(purpose.basis);
            if basis != purpose.basis {
                return Err(format!(
                    "{} changes the legal basis from {basis} to {}",
                    recorded.key, purpose.basis
                ));
            }
        }
        for recorded in latest(history, DefinitionKind::Purpose) {
            consent.insert_purpose(body(recorded)?);
        }
        for recorded in every(history, DefinitionKind::Notice) {
            let PublishedNotice { notice, sha256 } = body(recorded)?;
            named(recorded, notice.id.as_str(), notice.version)?;
            view.notice_hashes.insert(notice.reference(), sha256);
            consent.insert_notice(notice).map_err(|e| e.to_string())?;
        }
        view.consent = Arc::new(consent);
        for recorded in every(history, DefinitionKind::Segment) {
            let segment: SegmentDefinition = body(recorded)?;
            named(recorded, &segment.name, segment.version)?;
            view.segment_versions
                .insert((segment.name.clone(), segment.version), segment);
        }
        for recorded in latest(history, DefinitionKind::Segment) {
            let segment: SegmentDefinition = body(recorded)?;
            view.segments.insert(segment.name.clone(), segment);
        }
        for recorded in every(history, DefinitionKind::Source) {
            let source: SourceDefinition = body(recorded)?;
            named(recorded, &source.id, recorded.key.version)?;
            view.source_versions.push(source);
        }
        for recorded in latest(history, DefinitionKind::Source) {
            let source: SourceDefinition = body(recorded)?;
            view.sources.insert(source.id.clone(), source);
        }
        for recorded in latest(history, DefinitionKind::Traits) {
            view.traits = body(recorded)?;
        }
        for recorded in latest(history, DefinitionKind::Principal) {
            let principal: Principal = body(recorded)?;
            named(recorded, &principal.name, recorded.key.version)?;
            view.principals.insert(principal.name.clone(), principal);
        }
        Ok(view)
    }
}

fn names(history: &History, kind: DefinitionKind) -> impl Iterator<Item = &Vec<Recorded>> {
    history.get(&kind).into_iter().flat_map(BTreeMap::values)
}

/// The latest version of each name, unless it retires it.
fn latest(history: &History, kind: DefinitionKind) -> impl Iterator<Item = &Definition> {
    names(history, kind)
        .filter_map(|versions| versions.last())
        .map(|recorded| &recorded.definition)
        .filter(|definition| !definition.is_retirement())
}

/// Every version of each name, but for those that retire it.
fn every(history: &History, kind: DefinitionKind) -> impl Iterator<Item = &Definition> {
    names(history, kind)
        .flatten()
        .map(|recorded| &recorded.definition)
        .filter(|definition| !definition.is_retirement())
}

fn body<T: DeserializeOwned>(definition: &Definition) -> Result<T, String> {
    T::deserialize(&definition.body).map_err(|error| format!("{}: {error}", definition.key))
}

fn named(definition: &Definition, name: &str, version: u32) -> Result<(), String> {
    if definition.key.name == name && definition.key.version == version {
        Ok(())
    } else {
        Err(format!(
            "{}: its body names {name}@{version}",
            definition.key
        ))
    }
}
