//! Under which names the schemas are registered.
//!
//! Several kinds of event share a topic, and each record's value is an envelope around the blocks of one kind. So the
//! envelope is the schema of a topic's values (`TopicNameStrategy`, which clients assume unless told otherwise), and
//! every record type is registered under topic and name (`TopicRecordNameStrategy`): the envelope and the kinds that
//! the topic carries. Topics that carry no Avro (definitions are JSON) have no subject.

use assent_event::Kind;
use assent_event::schema::{self, Published};

use super::refusal::Refusal;

/// A name and the schema of which it has the versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) name: String,
    /// The kind whose payload it is; none is the envelope.
    pub(super) kind: Option<Kind>,
}

impl Subject {
    /// The subject of this name.
    pub(super) fn named(name: &str) -> Result<Self, Refusal> {
        let found = all().into_iter().find(|subject| subject.name == name);
        found.ok_or_else(|| Refusal::subject_not_found(name))
    }

    /// Its versions, ascending.
    pub(super) fn versions(&self) -> impl DoubleEndedIterator<Item = &'static Published> {
        let kind = self.kind;
        schema::all().iter().filter(move |one| one.kind() == kind)
    }

    /// The version of a number, or the latest (`latest`, `-1`).
    pub(super) fn version(&self, text: &str) -> Result<&'static Published, Refusal> {
        let latest = matches!(text, "latest" | "-1");
        let number = text.parse().ok().filter(|number: &i32| *number > 0);
        if !latest && number.is_none() {
            return Err(Refusal::not_a_version(text));
        }
        let asked = |one: &&Published| Some(one.version()) == number.map(i32::unsigned_abs);
        let found = if latest {
            self.versions().next_back()
        } else {
            self.versions().find(asked)
        };
        found.ok_or_else(|| Refusal::version_not_found(text))
    }
}

/// Every subject, topic by topic.
pub(super) fn all() -> Vec<Subject> {
    let mut subjects: Vec<Subject> = Vec::new();
    for kind in Kind::ALL {
        let topic = kind.topic();
        let values = Subject {
            name: format!("{topic}-value"),
            kind: None,
        };
        if !subjects.contains(&values) {
            subjects.push(values);
            subjects.push(record(topic, None));
        }
        subjects.push(record(topic, Some(kind)));
    }
    subjects
}

fn record(topic: &str, kind: Option<Kind>) -> Subject {
    let id = kind.map_or(schema::ENVELOPE_ID, Kind::schema_id);
    let record = schema::published(id)
        .map(Published::name)
        .unwrap_or_default();
    Subject {
        name: format!("{topic}-{record}"),
        kind,
    }
}
