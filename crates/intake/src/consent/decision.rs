//! What grants and restrictions have in common: state, evidence, the fields known.

use assent_consent::Timestamp;
use assent_event::ConsentDecision;
use serde_json::Value;

use crate::outcome::{Code, Rejected, Warning, WarningCode};
use crate::planned::{Context, ItemTimes, JITTER_MICROS};
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

/// The most identifiers of one decision by a service, and by a page, whose key everybody can read.
const MOST_IDENTIFIERS: usize = 100;
const MOST_BY_BROWSER: usize = 5;

/// How many identifiers one decision or fact of this source may name.
pub(super) fn most_identifiers(cx: &Context<'_>) -> usize {
    if cx.server() {
        MOST_IDENTIFIERS
    } else {
        MOST_BY_BROWSER
    }
}

/// When what restricts happened: as of its receipt if its time cannot be read.
pub(super) fn time_or_receipt(object: &Object, warnings: &mut Vec<Warning>) -> ItemTimes {
    let time = text::time(object, "event_time").unwrap_or_else(|_| {
        warnings.push(Warning::new(
            WarningCode::TimeIgnored,
            "/event_time",
            "it is not an RFC 3339 time; the time of receipt was taken",
        ));
        None
    });
    ItemTimes::told(time)
}

/// When what widens happened. A date ahead of its receipt is wrong, and what is taken as of its receipt in its stead would
/// undo whatever was withdrawn since it really happened.
///
/// # Errors
/// [`Code::TimeInvalid`]
pub(super) fn time_of_what_widens(
    cx: &Context<'_>,
    object: &Object,
) -> Result<Option<Timestamp>, Rejected> {
    let time = text::time(object, "event_time")?;
    if time.is_some_and(|time| time > cx.now.plus_micros(JITTER_MICROS)) {
        return Err(Rejected::new(
            Code::TimeInvalid,
            "/event_time",
            "it lies in the future; what widens cannot have happened yet, and taken as of now it would undo what was \
             withdrawn since",
            "send when it happened; set the clock it was read from",
        ));
    }
    Ok(time)
}

/// The message id of what restricts: none, which asks for a new one, if it cannot be used.
pub(super) fn id_or_new(object: &Object, warnings: &mut Vec<Warning>) -> Option<String> {
    text::message_id(object, "message_id").unwrap_or_else(|_| {
        warnings.push(Warning::new(
            WarningCode::MessageIdReplaced,
            "/message_id",
            "it could not be used; a new one was made",
        ));
        None
    })
}

/// The message id of what widens. Without one, and without a time, nobody could tell the same sent
/// again, after an answer was lost, from a new permission; and it would undo what was withdrawn in
/// between.
///
/// # Errors
/// [`Code::FieldMissing`], or what is wrong with the id.
pub(super) fn recognisable(
    object: &Object,
    event_time: Option<Timestamp>,
) -> Result<Option<String>, Rejected> {
    let id = text::message_id(object, "message_id")?;
    if id.is_none() && event_time.is_none() {
        return Err(Rejected::new(
            Code::FieldMissing,
            "/message_id",
            "without message_id and event_time, the same sent again could not be told from a new \
             permission, and would undo what was withdrawn in between",
            "send message_id, the same when you try again; or event_time, when it happened",
        ));
    }
    Ok(id)
}

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
