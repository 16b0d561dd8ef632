//! What else `evaluate` folds about a subject: contracts, age, guardianship, restriction, erasure,
//! public sources.

use assent_consent::{SubjectId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::wire::{block, micros, subject};

/// A fact about the envelope's subject. Made with the constructor named after the fact.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SubjectFact {
    /// What the fold needs.
    pub clear: SubjectFactClear,
    /// The birth date, when it is that.
    pub identity: Option<SubjectFactIdentity>,
    /// What proves it.
    pub evidence: Option<SubjectFactEvidence>,
}

/// Which fact, without personal data.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct SubjectFactClear {
    /// One of `contract_started`, `contract_ended`, `birth_date`, `guardianship_started`,
    /// `guardianship_ended`, `restricted`, `restriction_lifted`, `erased`, `public_source`.
    pub fact: String,
    /// The purpose it is limited to.
    #[serde(default)]
    pub purpose: Option<String>,
    /// An opaque reference of the contract, never its number.
    #[serde(default)]
    pub contract: Option<String>,
    /// When the contract starts or ends.
    #[serde(default, with = "micros::option")]
    pub at: Option<Timestamp>,
    /// The guardian.
    #[serde(default, with = "subject::option")]
    pub guardian: Option<SubjectId>,
    /// Is it known where and when the public information was found (PIPL art. 27)?
    #[serde(default)]
    pub provenance: Option<bool>,
}
block!(SubjectFactClear);

/// The birth date, sealed under the identity key.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct SubjectFactIdentity {
    /// Days since 1970-01-01.
    #[serde(default)]
    pub birth_date: Option<i32>,
}
block!(personal SubjectFactIdentity);

/// What proves a fact, sealed under the evidence key.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct SubjectFactEvidence {
    /// Where the public information was found (PIPL art. 27).
    #[serde(default)]
    pub url: Option<String>,
    /// Why it was recorded, e.g. the request of the person.
    #[serde(default)]
    pub reason: Option<String>,
    /// Who recorded it.
    #[serde(default)]
    pub recorded_by: Option<String>,
}
block!(personal SubjectFactEvidence);

impl SubjectFact {
    fn of(fact: &str) -> Self {
        Self {
            clear: SubjectFactClear {
                fact: fact.to_owned(),
                ..SubjectFactClear::default()
            },
            ..Self::default()
        }
    }

    /// A contract with the subject starts (PIPL art. 13(1)(2)); without a purpose it carries every
    /// contract purpose.
    #[must_use]
    pub fn contract_started(
        contract: impl Into<String>,
        purpose: Option<String>,
        starts_at: Timestamp,
    ) -> Self {
        let mut fact = Self::of("contract_started");
        fact.clear.contract = Some(contract.into());
        fact.clear.purpose = purpose;
        fact.clear.at = Some(starts_at);
        fact
    }

    /// The contract ends.
    #[must_use]
    pub fn contract_ended(contract: impl Into<String>, ends_at: Timestamp) -> Self {
        let mut fact = Self::of("contract_ended");
        fact.clear.contract = Some(contract.into());
        fact.clear.at = Some(ends_at);
        fact
    }

    /// The subject was born on this day, in days since 1970-01-01 (PIPL art. 31).
    #[must_use]
    pub fn birth_date(days: i32) -> Self {
        let mut fact = Self::of("birth_date");
        fact.identity = Some(SubjectFactIdentity {
            birth_date: Some(days),
        });
        fact
    }

    /// `guardian` is a parent or guardian of the subject (PIPL art. 31).
    #[must_use]
    pub fn guardianship_started(guardian: SubjectId) -> Self {
        let mut fact = Self::of("guardianship_started");
        fact.clear.guardian = Some(guardian);
        fact
    }

    /// `guardian` no longer is.
    #[must_use]
    pub fn guardianship_ended(guardian: SubjectId) -> Self {
        let mut fact = Self::of("guardianship_ended");
        fact.clear.guardian = Some(guardian);
        fact
    }

    /// Processing is restricted (PIPL art. 44, 47), for a purpose or for all.
    #[must_use]
    pub fn restricted(purpose: Option<String>) -> Self {
        let mut fact = Self::of("restricted");
        fact.clear.purpose = purpose;
        fact
    }

    /// The restriction is lifted.
    #[must_use]
    pub fn restriction_lifted(purpose: Option<String>) -> Self {
        let mut fact = Self::of("restriction_lifted");
        fact.clear.purpose = purpose;
        fact
    }

    /// The subject's data is erased (PIPL art. 47). Nothing undoes it.
    #[must_use]
    pub fn erased() -> Self {
        Self::of("erased")
    }

    /// The subject's information is public (PIPL art. 13(1)(6), 27); without a URL its provenance
    /// is unknown.
    #[must_use]
    pub fn public_source(url: Option<String>) -> Self {
        let mut fact = Self::of("public_source");
        fact.clear.provenance = Some(url.is_some());
        fact.evidence = url.map(|url| SubjectFactEvidence {
            url: Some(url),
            ..SubjectFactEvidence::default()
        });
        fact
    }

    /// With the reason for which it was recorded.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.evidence.get_or_insert_default().reason = Some(reason.into());
        self
    }

    /// With who recorded it.
    #[must_use]
    pub fn recorded_by(mut self, recorder: impl Into<String>) -> Self {
        self.evidence.get_or_insert_default().recorded_by = Some(recorder.into());
        self
    }
}
