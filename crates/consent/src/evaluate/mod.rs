//! Evaluation: from facts to a verdict (rules R1 to R17 of `docs/consent-rules.md`).
//!
//! This module owns the order of reasons (R4); each of its parts owns a group of rules and
//! refuses to know the others' insides: `record` who and what is known (R1, R2), `supersede`
//! which fact beats which (R3), `restriction` (R5, R6), `bases` (R7), `grant` and `form` validity
//! (R8, R15), `scope` reach (R9, R14), `enders` what stands against (R10, R11, R16), `links`
//! (R12), `age` (R13), `notices` (R14), `horizon` (R17).

mod age;
mod bases;
mod case;
mod consent;
mod enders;
mod form;
mod grant;
mod horizon;
mod links;
mod notices;
mod outcome;
mod record;
mod restriction;
mod scope;
mod supersede;

use crate::fact::Fact;
use crate::ids::SubjectId;
use crate::registry::Registry;
use crate::time::Timestamp;
use crate::verdict::{Evaluation, Reason, Use};

use case::Case;
use consent::Consent;
use outcome::Outcome;
use record::{Lineage, Record};

pub use links::component;

#[cfg(test)]
mod tests;

/// Whether, and for which categories, a use of the data of `subject` is lawful at `at`.
///
/// `history` holds the facts of `subject` and of all subjects that are or were linked with it,
/// in any order; facts of others change nothing. Facts received after `at` do not exist yet,
/// they only show in [`Evaluation::reconsider_at`].
///
/// The function is total and pure: what is unknown, unreadable or contradictory is denied with a
/// reason (I5), and on ties the restricting fact wins (I6).
#[must_use]
pub fn evaluate(
    registry: &Registry,
    history: &[Fact],
    subject: SubjectId,
    use_: &Use,
    at: Timestamp,
) -> Evaluation {
    let record = Record::new(history, subject, at);
    let lineage = Lineage::of(registry, &use_.purpose);
    let until_next_fact = |outcome| evaluation(outcome, horizon::next_receipt(&record));
    if let Some(erasure) = restriction::erasure(&record) {
        return until_next_fact(Outcome::denied(Reason::Erased, Some(erasure)));
    }
    if let Some(restriction) = restriction::restriction(&record, &lineage) {
        return until_next_fact(Outcome::denied(Reason::Restricted, Some(restriction)));
    }
    let Some(purpose) = registry.purpose(&use_.purpose) else {
        return until_next_fact(Outcome::denied(Reason::NoDecision, None));
    };
    let case = Case::new(registry, &record, &lineage, purpose, use_);
    evaluation(outcome(&case), horizon::reconsider_at(&case))
}

/// The rest of the order of reasons (R4), for a registered purpose that is not restricted.
fn outcome<'a>(case: &Case<'a>) -> Outcome<'a> {
    let consent = Consent::weigh(case);
    if let Some(refusal) = consent.refused_personalisation() {
        return Outcome::denied(Reason::PersonalisationRefused, Some(refusal));
    }
    if !case.purpose_has_channel() {
        return Outcome::denied(Reason::ChannelNotPermitted, None);
    }
    if let Some(refusal) = consent.refused_channel() {
        return Outcome::denied(Reason::ChannelNotPermitted, Some(refusal));
    }
    if !case.purpose_has_recipient() {
        return Outcome::denied(Reason::ScopeNotCovered, None);
    }
    bases::on_basis(case, &consent)
}

fn evaluation(outcome: Outcome<'_>, reconsider_at: Option<Timestamp>) -> Evaluation {
    Evaluation {
        verdict: outcome.verdict,
        decided_by: outcome.by.map(|fact| fact.id),
        reconsider_at,
    }
}
