//! The comparison of what is wanted with what is in force.

use std::collections::BTreeSet;

use assent_consent::Purpose;
use serde::Serialize;
use serde_json::Value;

use super::{Action, Change, Plan};
use crate::definition::{Definition, DefinitionKey, DefinitionKind};
use crate::notice_text::notice_sha256;
use crate::programme::Programme;
use crate::read::SINGLE;
use crate::registry::{PublishedNotice, RegistryState};
use crate::segment::SegmentDefinition;

/// Fields of a body that are no content: its number, and where it stands in a file.
const NO_CONTENT: &[&str] = &["version", "query_line", "query_column"];

pub(super) struct Comparison<'r> {
    current: &'r RegistryState,
    changes: Vec<Change>,
    definitions: Vec<Definition>,
    wanted: BTreeSet<(DefinitionKind, String)>,
}

pub(super) fn programme(into: &mut Comparison<'_>, wanted: &Programme) -> Result<(), String> {
    into.single(DefinitionKind::Settings, &wanted.settings)?;
    for purpose in wanted.purposes.values() {
        let name = purpose.id.as_str();
        let version = into.next_version(DefinitionKind::Purpose, name);
        let body = Purpose {
            version,
            ..purpose.clone()
        };
        into.counted(DefinitionKind::Purpose, name, version, &body)?;
    }
    into.retire(DefinitionKind::Purpose);
    for notice in wanted.notices.values() {
        let key = DefinitionKey {
            kind: DefinitionKind::Notice,
            name: notice.id.as_str().to_owned(),
            version: notice.version,
        };
        if into.current.consent().notice(&notice.reference()).is_some() {
            // Equal to what is published: anything else was refused before.
            into.note(Action::Unchanged, key, Vec::new());
        } else {
            let published = PublishedNotice {
                notice: notice.clone(),
                sha256: notice_sha256(notice),
            };
            let body = body(&published)?;
            into.note(Action::Create, key.clone(), Vec::new());
            into.definitions.push(Definition { key, body });
        }
    }
    into.single(DefinitionKind::Traits, &wanted.traits)?;
    for source in &wanted.sources {
        let version = into.next_version(DefinitionKind::Source, &source.id);
        into.counted(DefinitionKind::Source, &source.id, version, source)?;
    }
    into.retire(DefinitionKind::Source);
    for segment in &wanted.segments {
        let version = into.next_version(DefinitionKind::Segment, &segment.name);
        let body = SegmentDefinition {
            version,
            ..segment.clone()
        };
        into.counted(DefinitionKind::Segment, &segment.name, version, &body)?;
    }
    into.retire(DefinitionKind::Segment);
    Ok(())
}

impl<'r> Comparison<'r> {
    pub(super) fn new(current: &'r RegistryState) -> Self {
        Self {
            current,
            changes: Vec::new(),
            definitions: Vec::new(),
            wanted: BTreeSet::new(),
        }
    }

    pub(super) fn finish(mut self) -> Plan {
        self.changes.sort_by(|a, b| a.key.cmp(&b.key));
        self.definitions.sort_by(|a, b| a.key.cmp(&b.key));
        Plan {
            parent: self.current.digest(),
            changes: self.changes,
            definitions: self.definitions,
        }
    }

    fn note(&mut self, action: Action, key: DefinitionKey, fields: Vec<String>) {
        self.changes.push(Change {
            action,
            key,
            fields,
        });
    }

    fn last(&self, kind: DefinitionKind, name: &str) -> Option<&'r Definition> {
        let versions = self.current.history(kind, name);
        versions.last().map(|recorded| &recorded.definition)
    }

    fn next_version(&self, kind: DefinitionKind, name: &str) -> u32 {
        self.last(kind, name)
            .map_or(1, |d| d.key.version.saturating_add(1))
    }

    fn single(&mut self, kind: DefinitionKind, wanted: &impl Serialize) -> Result<(), String> {
        let version = self.next_version(kind, SINGLE);
        self.counted(kind, SINGLE, version, wanted)
    }

    /// A definition whose version is counted: `version` follows if the content differs.
    fn counted(
        &mut self,
        kind: DefinitionKind,
        name: &str,
        version: u32,
        wanted: &impl Serialize,
    ) -> Result<(), String> {
        self.wanted.insert((kind, name.to_owned()));
        let mut key = DefinitionKey {
            kind,
            name: name.to_owned(),
            version,
        };
        let body = body(wanted)?;
        let action = match self.last(kind, name) {
            Some(last) if !last.is_retirement() => {
                let fields = differing(&last.body, &body);
                if fields.is_empty() {
                    key.version = last.key.version;
                    self.note(Action::Unchanged, key, fields);
                    return Ok(());
                }
                (Action::Update, fields)
            }
            Some(_) | None => (Action::Create, Vec::new()),
        };
        self.note(action.0, key.clone(), action.1);
        self.definitions.push(Definition { key, body });
        Ok(())
    }

    /// Ends what is in force and no longer wanted.
    fn retire(&mut self, kind: DefinitionKind) {
        for recorded in self.current.latest(kind) {
            let last = &recorded.definition;
            if last.is_retirement() || self.wanted.contains(&(kind, last.key.name.clone())) {
                continue;
            }
            let version = last.key.version.saturating_add(1);
            let key = DefinitionKey {
                version,
                ..last.key.clone()
            };
            self.note(Action::Retire, key.clone(), Vec::new());
            self.definitions.push(Definition {
                key,
                body: Value::Null,
            });
        }
    }
}

fn body(value: &impl Serialize) -> Result<Value, String> {
    serde_json::to_value(value).map_err(|error| error.to_string())
}

/// The names of the fields that say something else.
fn differing(a: &Value, b: &Value) -> Vec<String> {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else {
        return if a == b {
            Vec::new()
        } else {
            vec!["everything".to_owned()]
        };
    };
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    names
        .into_iter()
        .filter(|name| !NO_CONTENT.contains(&name.as_str()) && a.get(*name) != b.get(*name))
        .cloned()
        .collect()
}
