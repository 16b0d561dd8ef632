//! Consent decisions: a grant, refusal or withdrawal by a person, at an instant.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::basis::ConsentForm;
use crate::ids::{NoticeRef, SubjectId};
use crate::slug::{Category, Channel, PurposeId, RecipientId};
use crate::time::Timestamp;

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DecisionState {
    /// Consent was given.
    Granted,
    /// Consent was asked for and refused.
    Refused,
    /// Consent given before was withdrawn (art. 15).
    Withdrawn,
    /// Something was decided that cannot be read: it restricts like a refusal (I5).
    Unreadable,
}

impl DecisionState {
    /// The name in events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Refused => "refused",
            Self::Withdrawn => "withdrawn",
            Self::Unreadable => "unreadable",
        }
    }
}

impl From<&str> for DecisionState {
    /// Reads the name in events; what is not known is [`DecisionState::Unreadable`].
    fn from(text: &str) -> Self {
        match text {
            "granted" => Self::Granted,
            "refused" => Self::Refused,
            "withdrawn" => Self::Withdrawn,
            _ => Self::Unreadable,
        }
    }
}

impl fmt::Display for DecisionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for DecisionState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for DecisionState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from(String::deserialize(deserializer)?.as_str()))
    }
}

/// Which purposes a decision is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selector {
    /// Every purpose. Only refusals and withdrawals can be about all of them.
    All,
    /// One purpose and those that are part of it.
    One(PurposeId),
}

/// Who made or recorded a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// The person.
    Subject,
    /// A parent or guardian (art. 31).
    Guardian {
        /// Who.
        guardian: SubjectId,
    },
    /// An agent of the handler who recorded what the person said.
    Agent,
    /// A system, such as an import.
    System,
}

/// The acts by which people indicate a will; see [`Decision::act`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Act;

impl Act {
    /// Every act that makes a grant one (rule R8; art. 14: voluntary and explicit). The set is
    /// closed: an act that is not named here indicates nothing (I5).
    pub const EXPLICIT: [&str; 9] = [
        "checkbox_ticked",
        "option_selected",
        "switch_turned_on",
        "button_pressed",
        "code_entered",
        "reply_sent",
        "signature",
        "written_statement",
        "oral_statement",
    ];

    /// Whether an act, written exactly so, indicates a will.
    #[must_use]
    pub fn is_explicit(act: &str) -> bool {
        Self::EXPLICIT.contains(&act)
    }
}

/// A decision, without its subject and times, which stand in the [`crate::Fact`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// What was decided.
    pub state: DecisionState,
    /// For which purposes.
    pub purpose: Selector,
    /// For one channel only; `None`: not limited to one.
    pub channel: Option<Channel>,
    /// On an unreadable decision: the channel it names cannot be read, so it may be any (rule R16).
    #[serde(default)]
    pub channel_unread: bool,
    /// For one recipient only; `None`: a grant names no recipient, a withdrawal reaches all.
    pub recipient: Option<RecipientId>,
    /// For these categories only; `None`: not limited.
    pub categories: Option<BTreeSet<Category>>,
    /// On a refusal or withdrawal, `Some(false)` limits it to the personalisation (art. 24); on a
    /// grant it means granted without personalisation.
    pub personalisation: Option<bool>,
    /// The notice version that was shown.
    pub notice: Option<NoticeRef>,
    /// The form it took.
    pub form: ConsentForm,
    /// The act that indicated it. A grant counts only if it is one of [`Act::EXPLICIT`]; what a
    /// refusal or withdrawal was indicated by does not matter.
    pub act: String,
    /// Identifies the indication, so that one indication for two things shows (bundling). A
    /// digest, never what the person wrote.
    pub indication: Option<String>,
    /// Whether there is an artefact that proves it.
    pub evidence: bool,
    /// Who made or recorded it.
    pub actor: Actor,
    /// Whether the person was authenticated when deciding.
    pub authenticated: bool,
    /// When it ends by itself; the instant itself is already without it.
    pub expires_at: Option<Timestamp>,
}

impl Decision {
    /// A decision of this state, by the person, authenticated, in general form, by ticking a box,
    /// with nothing else named.
    #[must_use]
    pub fn new(state: DecisionState, purpose: Selector) -> Self {
        Self {
            state,
            purpose,
            channel: None,
            channel_unread: false,
            recipient: None,
            categories: None,
            personalisation: None,
            notice: None,
            form: ConsentForm::General,
            act: "checkbox_ticked".to_owned(),
            indication: None,
            evidence: false,
            actor: Actor::Subject,
            authenticated: true,
            expires_at: None,
        }
    }

    /// What must be taken of a decision of which nothing can be read: it restricts everything, and
    /// refuses every channel and the personalisation.
    #[must_use]
    pub fn unreadable() -> Self {
        Self {
            channel_unread: true,
            personalisation: Some(false),
            act: String::new(),
            authenticated: false,
            actor: Actor::System,
            ..Self::new(DecisionState::Unreadable, Selector::All)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_act_that_is_not_named_indicates_nothing() {
        for act in Act::EXPLICIT {
            assert!(Act::is_explicit(act), "{act:?}");
        }
        for act in [
            "",
            "pre_ticked",
            "silence",
            "clicked",
            "Signature",
            " signature",
            "checkbox-ticked",
        ] {
            assert!(!Act::is_explicit(act), "{act:?}");
        }
    }

    #[test]
    fn a_state_that_is_not_known_is_unreadable() {
        for state in ["granted", "refused", "withdrawn"] {
            assert_eq!(DecisionState::from(state).as_str(), state);
        }
        for text in ["Granted", "", "given", "unreadable"] {
            assert_eq!(DecisionState::from(text), DecisionState::Unreadable);
        }
        let read: DecisionState = serde_json::from_str("\"perhaps\"").unwrap();
        assert_eq!(read, DecisionState::Unreadable);
    }

    #[test]
    fn what_stands_for_an_unreadable_decision_is_about_everything() {
        let decision = Decision::unreadable();
        assert_eq!(decision.purpose, Selector::All);
        assert_eq!(decision.state, DecisionState::Unreadable);
        assert!(decision.channel_unread);
        assert_eq!(decision.personalisation, Some(false));
    }
}
