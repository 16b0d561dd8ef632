//! Facts: everything that bears on a verdict, each with its two times.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::calendar::Day;
use crate::decision::{Decision, DecisionState};
use crate::hex16;
use crate::ids::SubjectId;
use crate::slug::PurposeId;
use crate::time::Timestamp;

/// Something that happened to one subject and bears on verdicts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// The id of the event it came in.
    #[serde(with = "hex16")]
    pub id: [u8; 16],
    /// Whom it is about.
    pub subject: SubjectId,
    /// When it happened, as the source claims.
    pub event_time: Timestamp,
    /// When we received it, by the clock of the process that did.
    pub received_at: Timestamp,
    /// Where it stands in its subject's log: of two facts of one subject the one written later has
    /// the greater number (rule R2). Says nothing of facts of different subjects. Facts that all
    /// have the same number supersede nothing (I5).
    pub order: u64,
    /// What happened.
    pub kind: FactKind,
}

/// What happened. [`fmt::Debug`] shows no birth date.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactKind {
    /// A consent decision.
    Decision(Decision),
    /// The subject and another were found to be one person.
    Linked {
        /// The other subject.
        other: SubjectId,
    },
    /// The subject and another were found not to be one person after all.
    Unlinked {
        /// The other subject.
        other: SubjectId,
    },
    /// The person became party to a contract (art. 13(1)(2)).
    ContractStarted {
        /// An opaque id of the contract.
        contract: String,
        /// The purpose it supports; `None`: every purpose with contract as its basis.
        purpose: Option<PurposeId>,
        /// From when on.
        starts_at: Timestamp,
    },
    /// A contract ended.
    ContractEnded {
        /// The contract's id.
        contract: String,
        /// The first instant without it.
        ends_at: Timestamp,
    },
    /// The person's day of birth (art. 31).
    BirthDate(Day),
    /// Someone is the subject's guardian (art. 31).
    GuardianshipStarted {
        /// Who.
        guardian: SubjectId,
    },
    /// Someone is no longer the subject's guardian.
    GuardianshipEnded {
        /// Who.
        guardian: SubjectId,
    },
    /// Handling is restricted (art. 44, 47).
    Restricted {
        /// For one purpose and its parts; `None`: for every purpose.
        purpose: Option<PurposeId>,
    },
    /// A restriction was lifted.
    RestrictionLifted {
        /// The purpose of the restriction; `None`: every restriction.
        purpose: Option<PurposeId>,
    },
    /// The person's data was erased (art. 47). Nothing undoes it. Written before the identifiers are
    /// forgotten, so that what is sent again for a new subject is known by it (rule R2).
    Erased,
    /// The data was taken from a public source (art. 27).
    PublicSource {
        /// Whether address and time of the source are on record.
        provenance: bool,
    },
}

/// How far the clocks of the processes that receive facts may be apart, in microseconds: a second.
///
/// Facts of one subject stand in one log, whose order no clock can turn. Facts of different
/// subjects have nothing but their receipts, so those decide only if they differ by more (R2).
pub const CLOCK_TOLERANCE_MICROS: i64 = 1_000_000;

impl Fact {
    /// Whether it was surely received after `earlier` (rule R2): by the clocks and, for one
    /// subject, by the log, since a clock that runs ahead must not put a grant after a withdrawal
    /// that was acknowledged after it (I2).
    #[must_use]
    pub fn was_received_after(&self, earlier: &Self) -> bool {
        if self.subject == earlier.subject {
            self.received_at > earlier.received_at && self.order > earlier.order
        } else {
            self.received_at > earlier.received_at.plus_micros(CLOCK_TOLERANCE_MICROS)
        }
    }

    /// Whether it had surely been received when `other` was, before it or together with it
    /// (rule R2). What bears the same receipt in one log came together.
    #[must_use]
    pub fn had_been_received_with(&self, other: &Self) -> bool {
        if self.subject == other.subject {
            self.received_at == other.received_at || other.was_received_after(self)
        } else {
            self.received_at.plus_micros(CLOCK_TOLERANCE_MICROS) <= other.received_at
        }
    }

    /// When the fact counts as having happened: a clock ahead of ours is clamped (rule R2).
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.event_time.min(self.received_at)
    }
}

impl FactKind {
    /// The decision, if it is one.
    #[must_use]
    pub const fn decision(&self) -> Option<&Decision> {
        if let Self::Decision(decision) = self {
            Some(decision)
        } else {
            None
        }
    }

    /// The other subject of a link or un-link.
    #[must_use]
    pub const fn pair(&self) -> Option<SubjectId> {
        match self {
            Self::Linked { other } | Self::Unlinked { other } => Some(*other),
            Self::Decision(_)
            | Self::ContractStarted { .. }
            | Self::ContractEnded { .. }
            | Self::BirthDate(_)
            | Self::GuardianshipStarted { .. }
            | Self::GuardianshipEnded { .. }
            | Self::Restricted { .. }
            | Self::RestrictionLifted { .. }
            | Self::Erased
            | Self::PublicSource { .. } => None,
        }
    }

    /// Whether it can make more lawful than was before (the words of `docs/consent-rules.md`).
    #[must_use]
    pub fn widens(&self) -> bool {
        match self {
            Self::Decision(decision) => decision.state == DecisionState::Granted,
            Self::Unlinked { .. }
            | Self::RestrictionLifted { .. }
            | Self::ContractStarted { .. }
            | Self::GuardianshipStarted { .. }
            | Self::PublicSource { .. } => true,
            Self::Linked { .. }
            | Self::ContractEnded { .. }
            | Self::BirthDate(_)
            | Self::GuardianshipEnded { .. }
            | Self::Restricted { .. }
            | Self::Erased => false,
        }
    }

    /// The name of what happened, without any of its contents.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Decision(_) => "decision",
            Self::Linked { .. } => "linked",
            Self::Unlinked { .. } => "unlinked",
            Self::ContractStarted { .. } => "contract_started",
            Self::ContractEnded { .. } => "contract_ended",
            Self::BirthDate(_) => "birth_date",
            Self::GuardianshipStarted { .. } => "guardianship_started",
            Self::GuardianshipEnded { .. } => "guardianship_ended",
            Self::Restricted { .. } => "restricted",
            Self::RestrictionLifted { .. } => "restriction_lifted",
            Self::Erased => "erased",
            Self::PublicSource { .. } => "public_source",
        }
    }
}

impl fmt::Debug for FactKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct(self.name());
        match self {
            Self::Decision(decision) => shown.field("decision", decision),
            Self::Linked { other } | Self::Unlinked { other } => shown.field("other", other),
            Self::ContractStarted {
                contract,
                purpose,
                starts_at,
            } => shown
                .field("contract", contract)
                .field("purpose", purpose)
                .field("starts_at", starts_at),
            Self::ContractEnded { contract, ends_at } => {
                shown.field("contract", contract).field("ends_at", ends_at)
            }
            Self::BirthDate(_) => shown.field("day", &format_args!("(not shown)")),
            Self::GuardianshipStarted { guardian } | Self::GuardianshipEnded { guardian } => {
                shown.field("guardian", guardian)
            }
            Self::Restricted { purpose } | Self::RestrictionLifted { purpose } => {
                shown.field("purpose", purpose)
            }
            Self::Erased => &mut shown,
            Self::PublicSource { provenance } => shown.field("provenance", provenance),
        }
        .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(event: i64, received: i64, kind: FactKind) -> Fact {
        Fact {
            id: [7; 16],
            subject: SubjectId::from_bytes([1; 16]),
            event_time: Timestamp::from_micros(event),
            received_at: Timestamp::from_micros(received),
            order: 0,
            kind,
        }
    }

    #[test]
    fn a_clock_ahead_is_clamped_and_one_behind_is_believed() {
        assert_eq!(fact(9, 5, FactKind::Erased).time().micros(), 5);
        assert_eq!(fact(3, 5, FactKind::Erased).time().micros(), 3);
    }

    #[test]
    fn of_one_subject_the_log_and_the_clock_must_agree_and_of_two_a_second_decides() {
        let at = |received, order| Fact {
            order,
            ..fact(0, received, FactKind::Erased)
        };
        assert!(at(2, 2).was_received_after(&at(1, 1)));
        assert!(!at(2, 1).was_received_after(&at(1, 2)));
        assert!(!at(1, 2).was_received_after(&at(2, 1)));
        assert!(!at(1, 2).was_received_after(&at(1, 1)));
        assert!(at(1, 2).had_been_received_with(&at(1, 1)));
        assert!(at(1, 1).had_been_received_with(&at(2, 2)));
        assert!(!at(1, 2).had_been_received_with(&at(2, 1)));
        let other = |received| Fact {
            subject: SubjectId::from_bytes([2; 16]),
            ..at(received, 0)
        };
        let second = CLOCK_TOLERANCE_MICROS;
        assert!(!other(second).was_received_after(&at(0, 9)));
        assert!(other(second + 1).was_received_after(&at(0, 9)));
        assert!(at(0, 9).had_been_received_with(&other(second)));
        assert!(!at(1, 0).had_been_received_with(&other(second)));
    }

    #[test]
    fn debug_shows_no_birth_date() {
        let shown = format!(
            "{:?}",
            fact(1, 1, FactKind::BirthDate(Day::from_days(15_000)))
        );
        assert!(shown.contains("birth_date"), "{shown}");
        assert!(!shown.contains("2011"), "{shown}");
        assert!(!shown.contains("15000"), "{shown}");
    }

    #[test]
    fn a_fact_survives_serde() {
        for kind in [
            FactKind::Decision(Decision::unreadable()),
            FactKind::BirthDate(Day::from_days(15_000)),
            FactKind::Erased,
            FactKind::Restricted { purpose: None },
        ] {
            let fact = fact(1, 2, kind);
            let text = serde_json::to_string(&fact).unwrap();
            assert_eq!(serde_json::from_str::<Fact>(&text).unwrap(), fact);
        }
    }
}
