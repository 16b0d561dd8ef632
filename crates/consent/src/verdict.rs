//! What a use declares, and what evaluation answers.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::slug::{Category, Channel, PurposeId, RecipientId};
use crate::time::Timestamp;

/// What a session declares it will do with the data.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Use {
    /// For which purpose.
    pub purpose: PurposeId,
    /// On which channel people will be reached, if at all.
    #[serde(default)]
    pub channel: Option<Channel>,
    /// To which other handler the data goes, if to any.
    #[serde(default)]
    pub recipient: Option<RecipientId>,
}

impl Use {
    /// A use for a purpose that names neither channel nor recipient.
    #[must_use]
    pub fn of(purpose: PurposeId) -> Self {
        Self {
            purpose,
            channel: None,
            recipient: None,
        }
    }
}

/// Why a use is denied. One reason a verdict; rule R4 orders them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Nothing on record supports the use.
    NoDecision,
    /// The person refused.
    Refused,
    /// The person withdrew (art. 15).
    Withdrawn,
    /// What was granted ended with time.
    Expired,
    /// The notice changed in what the person decided on (art. 14(2)).
    NoticeSuperseded,
    /// What was granted does not reach this use.
    ScopeNotCovered,
    /// Separate consent is needed (art. 23, 29) and was not given.
    SeparateConsentMissing,
    /// A guardian's consent is needed (art. 31) and was not given.
    GuardianConsentMissing,
    /// The person, or the purpose, does not allow the channel.
    ChannelNotPermitted,
    /// The person refused personalisation (art. 24).
    PersonalisationRefused,
    /// The basis ended, such as a contract.
    BasisEnded,
    /// Handling is restricted (art. 44, 47).
    Restricted,
    /// The person's data was erased (art. 47).
    Erased,
    /// Records contradict each other: another subject of the same person, or an unreadable
    /// decision, stands against a grant.
    Conflict,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 14] = [
        Self::NoDecision,
        Self::Refused,
        Self::Withdrawn,
        Self::Expired,
        Self::NoticeSuperseded,
        Self::ScopeNotCovered,
        Self::SeparateConsentMissing,
        Self::GuardianConsentMissing,
        Self::ChannelNotPermitted,
        Self::PersonalisationRefused,
        Self::BasisEnded,
        Self::Restricted,
        Self::Erased,
        Self::Conflict,
    ];

    /// The name in answers, such as `no_decision`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoDecision => "no_decision",
            Self::Refused => "refused",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
            Self::NoticeSuperseded => "notice_superseded",
            Self::ScopeNotCovered => "scope_not_covered",
            Self::SeparateConsentMissing => "separate_consent_missing",
            Self::GuardianConsentMissing => "guardian_consent_missing",
            Self::ChannelNotPermitted => "channel_not_permitted",
            Self::PersonalisationRefused => "personalisation_refused",
            Self::BasisEnded => "basis_ended",
            Self::Restricted => "restricted",
            Self::Erased => "erased",
            Self::Conflict => "conflict",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Lawful for what, or denied why.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The use is lawful for the categories covered.
    Lawful(Coverage),
    /// The use is denied.
    Denied(Reason),
}

impl Verdict {
    /// What is covered, if the use is lawful.
    #[must_use]
    pub const fn coverage(&self) -> Option<&Coverage> {
        match self {
            Self::Lawful(coverage) => Some(coverage),
            Self::Denied(_) => None,
        }
    }

    /// Why the use is denied, if it is.
    #[must_use]
    pub const fn reason(&self) -> Option<Reason> {
        match self {
            Self::Lawful(_) => None,
            Self::Denied(reason) => Some(*reason),
        }
    }
}

/// What a lawful verdict covers. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Coverage {
    /// The categories of data that may be used; everything else is masked.
    pub categories: BTreeSet<Category>,
}

/// The answer of [`crate::evaluate`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// The verdict.
    pub verdict: Verdict,
    /// The id of the fact that made it, where one did.
    pub decided_by: Option<[u8; 16]>,
    /// The earliest later instant at which the verdict could change without a new fact; `None`:
    /// never. May be early, never late (rule R17).
    pub reconsider_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_written_as_in_their_serde_form() {
        for reason in Reason::ALL {
            let text = serde_json::to_string(&reason).unwrap();
            assert_eq!(text, format!("\"{reason}\""));
        }
    }
}
