//! What kinds of event there are, which topic carries each, and the classes of keys that seal their
//! blocks.
//!
//! Refuses unknown names: a kind this program does not know is an error the caller has to answer
//! for.

use std::fmt;
use std::str::FromStr;

/// The topics of the log. Subject-keyed topics have equal partition counts.
pub mod topics {
    /// Everything `evaluate` folds; kept for ever.
    pub const CONSENT: &str = "assent.consent";
    /// Traits, accounts, subscriptions; kept for ever.
    pub const PROFILE: &str = "assent.profile";
    /// What people did; retention is configurable.
    pub const BEHAVIOUR: &str = "assent.behaviour";
    /// Definitions as canonical JSON, one partition; kept for ever (I10).
    pub const REGISTRY: &str = "assent.registry";
    /// Segments entered and left, for others to read.
    pub const MEMBERSHIP: &str = "assent.membership";
    /// Every use of data (I7).
    pub const USE: &str = "assent.use";
    /// What was refused and why (I9); short retention.
    pub const REJECTS: &str = "assent.rejects";
    /// All of them.
    pub const ALL: [&str; 7] = [
        CONSENT, PROFILE, BEHAVIOUR, REGISTRY, MEMBERSHIP, USE, REJECTS,
    ];
}

/// What an event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A grant, refusal or withdrawal.
    ConsentDecision,
    /// Two subjects are one person, or are not after all.
    IdentityLink,
    /// A fact `evaluate` needs: contract, birth date, guardianship, restriction, erasure, public
    /// source.
    SubjectFact,
    /// Traits and identifiers of a subject.
    Traits,
    /// A subject belongs to an account, or no longer does.
    AccountMembership,
    /// A subscription of a subject changed.
    SubscriptionChange,
    /// Something a subject did.
    Behaviour,
    /// A use of data by a principal.
    Use,
    /// An event that intake refused.
    Rejection,
    /// A member entered a segment, or left it.
    SegmentChange,
}

impl Kind {
    /// Every kind, in the order in which they came to be.
    pub const ALL: [Self; 10] = [
        Self::ConsentDecision,
        Self::IdentityLink,
        Self::SubjectFact,
        Self::Traits,
        Self::AccountMembership,
        Self::SubscriptionChange,
        Self::Behaviour,
        Self::Use,
        Self::Rejection,
        Self::SegmentChange,
    ];

    /// The id of the newest published schema of this kind: what this program writes.
    #[must_use]
    pub const fn schema_id(self) -> u32 {
        match self {
            Self::ConsentDecision => 10,
            Self::IdentityLink => 11,
            Self::SubjectFact => 12,
            Self::Traits => 13,
            Self::AccountMembership => 14,
            Self::SubscriptionChange => 15,
            Self::Behaviour => 19,
            Self::Use => 20,
            Self::Rejection => 18,
            Self::SegmentChange => 21,
        }
    }

    /// The topic that carries it.
    #[must_use]
    pub const fn topic(self) -> &'static str {
        match self {
            Self::ConsentDecision | Self::IdentityLink | Self::SubjectFact => topics::CONSENT,
            Self::Traits | Self::AccountMembership | Self::SubscriptionChange => topics::PROFILE,
            Self::Behaviour => topics::BEHAVIOUR,
            Self::Use => topics::USE,
            Self::Rejection => topics::REJECTS,
            Self::SegmentChange => topics::MEMBERSHIP,
        }
    }

    /// Its name in envelopes, messages and file names.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConsentDecision => "consent_decision",
            Self::IdentityLink => "identity_link",
            Self::SubjectFact => "subject_fact",
            Self::Traits => "traits",
            Self::AccountMembership => "account_membership",
            Self::SubscriptionChange => "subscription_change",
            Self::Behaviour => "behaviour",
            Self::Use => "use",
            Self::Rejection => "rejection",
            Self::SegmentChange => "segment_change",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name of no kind this program knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a kind of event this version knows")]
pub struct UnknownKind;

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or(UnknownKind)
    }
}

/// Which of a subject's keys seals a block: what is erased together is sealed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyClass {
    /// Direct identifiers and the birth date.
    Identity,
    /// Traits and behaviour that are not sensitive.
    Profile,
    /// Sensitive personal information (PIPL art. 28).
    Sensitive,
    /// What proves a decision; kept longer than the profile (law: three years after the last
    /// processing).
    Evidence,
}

impl KeyClass {
    /// Every class.
    pub const ALL: [Self; 4] = [
        Self::Identity,
        Self::Profile,
        Self::Sensitive,
        Self::Evidence,
    ];

    /// Its name, which is also the name of the block's field in a payload schema.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Profile => "profile",
            Self::Sensitive => "sensitive",
            Self::Evidence => "evidence",
        }
    }

    /// Its number, for keys and associated data. Never 0, never reused.
    #[must_use]
    pub const fn as_u8(self) -> u8 {
        match self {
            Self::Identity => 1,
            Self::Profile => 2,
            Self::Sensitive => 3,
            Self::Evidence => 4,
        }
    }

    /// The class of this number.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_u8() == number)
    }
}

impl fmt::Display for KeyClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name of no key class this program knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key class is one of identity, profile, sensitive, evidence")]
pub struct UnknownKeyClass;

impl FromStr for KeyClass {
    type Err = UnknownKeyClass;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|class| class.as_str() == name)
            .ok_or(UnknownKeyClass)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_classes_read_back_their_names() {
        for kind in Kind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
            assert!(topics::ALL.contains(&kind.topic()));
        }
        for class in KeyClass::ALL {
            assert_eq!(class.as_str().parse(), Ok(class));
            assert_eq!(KeyClass::from_u8(class.as_u8()), Some(class));
        }
        assert_eq!(KeyClass::from_u8(0), None);
        assert_eq!("consent".parse::<Kind>(), Err(UnknownKind));
    }
}
