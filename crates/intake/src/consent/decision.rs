//! What grants and restrictions have in common: state, evidence, the fields known.

use assent_event::ConsentDecision;
use serde_json::Value;

use crate::text::{self, Object};

/// Every field of a decision.
pub(super) const FIELDS: [&str; 22] = [
    "subject",
    "identifiers",
    "purpose",
    "state",
    "channel",
    "recipient",
    "categories",
    "personalisation",
    "notice",
    "form",
    "act",
    "indication",
    "evidence",
    "actor",
    "guardian",
    "authenticated",
    "expires_at",
    "event_time",
    "message_id",
    "recorded_by",
    "collection_point",
    "language",
];

/// The one further field, which describes the program that made the decision.
pub(super) const AGENT: &str = "agent";

/// The state, as far as it can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stated {
    Granted,
    Refused,
    Withdrawn,
    /// Clearly meant as a grant, but not the word for it.
    Misspelt,
    /// It might be a restriction.
    Unreadable,
    Missing,
}

impl Stated {
    pub(super) fn read(object: &Object) -> Self {
        Self::of(text::field(object, "state"))
    }

    /// The most restrictive of the states in a list, when `state` was repeated.
    pub(super) fn of_all(state: Option<&Value>) -> Self {
        let Some(Value::Array(states)) = state else {
            return Self::of(state);
        };
        let stated: Vec<Self> = states
            .iter()
            .map(|state| Self::of(Some(state).filter(|state| !state.is_null())))
            .collect();
        [
            Self::Withdrawn,
            Self::Refused,
            Self::Unreadable,
            Self::Granted,
            Self::Misspelt,
        ]
        .into_iter()
        .find(|one| stated.contains(one))
        .unwrap_or(Self::Missing)
    }

    fn of(state: Option<&Value>) -> Self {
        let text = match state {
            None => return Self::Missing,
            Some(Value::String(text)) => text.trim().to_ascii_lowercase().replace([' ', '-'], "_"),
            Some(
                Value::Bool(_)
                | Value::Number(_)
                | Value::Array(_)
                | Value::Object(_)
                | Value::Null,
            ) => {
                return Self::Unreadable;
            }
        };
        match text.as_str() {
            "granted" => Self::Granted,
            "refused" | "denied" | "declined" | "objected" | "rejected" => Self::Refused,
            "withdrawn" | "revoked" | "unsubscribed" | "opt_out" | "opted_out" => Self::Withdrawn,
            "" => Self::Missing,
            "grant"
            | "given"
            | "consentgiven"
            | "renewedconsentgiven"
            | "accepted"
            | "allowed"
            | "opt_in"
            | "opted_in"
            | "subscribed"
            | "yes"
            | "true" => Self::Misspelt,
            _ => Self::Unreadable,
        }
    }
}

/// The evidence of a decision as text: a string as it is, any other JSON as its text.
pub(super) fn evidence_text(object: &Object) -> Option<String> {
    match text::field(object, "evidence")? {
        Value::String(text) if text.trim().is_empty() => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(false) => None,
        Value::Array(items) if items.is_empty() => None,
        Value::Object(fields) if fields.is_empty() => None,
        other @ (Value::Bool(true)
        | Value::Number(_)
        | Value::Array(_)
        | Value::Object(_)
        | Value::Null) => Some(other.to_string()),
    }
}

/// Adds the texts that prove a decision.
pub(super) fn with_evidence(
    mut decision: ConsentDecision,
    object: &Object,
    source: &str,
) -> ConsentDecision {
    let of = |name: &str| text::field(object, name).and_then(text::plain);
    if let Some(indication) = of("indication") {
        decision = decision.indication(source, indication);
    }
    if let Some(evidence) = evidence_text(object) {
        decision = decision.artefact(evidence);
    }
    if let Some(recorder) = of("recorded_by") {
        decision = decision.recorded_by(recorder);
    }
    if let Some(point) = of("collection_point") {
        decision = decision.collection_point(point);
    }
    if let Some(language) = of("language") {
        decision = decision.language(language);
    }
    if let Some(agent) = of(AGENT) {
        decision.evidence.get_or_insert_default().agent = Some(agent);
    }
    decision
}
