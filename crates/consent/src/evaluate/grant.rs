//! Which grants are valid and what they cover (rules R8, R9, R13 to R15).

use std::cell::OnceCell;
use std::collections::BTreeSet;

use crate::basis::ConsentForm;
use crate::decision::{Act, Actor, Decision, DecisionState, Selector};
use crate::fact::Fact;
use crate::ids::SubjectId;
use crate::notice::{Notice, NoticedPurpose};
use crate::slug::PurposeId;
use crate::time::Timestamp;

use super::age::{Age, Standing, was_guardian};
use super::case::Case;
use super::links::linked_when_received;
use super::record::with_decision;
use super::scope::{Scope, scope};
use super::supersede::supersedes;

/// How a valid grant fails to cover a use, nearest first (R4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Miss {
    /// It was given without personalisation (R11).
    Personalisation,
    /// Its form is too weak (R8, R9).
    Separate,
    /// The notice changed, or only a newer one reaches the use (R14).
    Notice,
    /// It ended with time (R15) or was outgrown (R13).
    Expired,
    /// It does not reach the use (R9).
    Scope,
}

/// A valid grant of the subject and what it covers of the use, enders left aside.
pub(super) struct Grant<'a> {
    pub(super) fact: &'a Fact,
    pub(super) decision: &'a Decision,
    pub(super) scope: Scope<'a>,
    /// Who was linked with the subject when the grant was received; asked for only where an
    /// ender of another subject stands against it.
    linked_then: OnceCell<BTreeSet<SubjectId>>,
}

impl Grant<'_> {
    /// Whether the grant supersedes a refusal, withdrawal or unreadable decision (R3). One of
    /// another subject only if the authenticated person granted, linked with that subject then.
    pub(super) fn supersedes(&self, case: &Case<'_>, ender: &Fact) -> bool {
        if !supersedes(self.fact, ender) {
            return false;
        }
        if ender.subject == self.fact.subject {
            return true;
        }
        self.decision.authenticated
            && self
                .linked_then
                .get_or_init(|| linked_when_received(case.record.all_known(), self.fact))
                .contains(&ender.subject)
    }
}

/// The valid grants of the subject for the use (R8). What is not valid is as if absent.
pub(super) fn grants<'a>(case: &Case<'a>, age: &Age) -> Vec<Grant<'a>> {
    let own_decisions = case.record.own().filter_map(with_decision);
    own_decisions
        .filter_map(|(fact, decision)| grant(case, age, fact, decision))
        .collect()
}

fn grant<'a>(
    case: &Case<'a>,
    age: &Age,
    fact: &'a Fact,
    decision: &'a Decision,
) -> Option<Grant<'a>> {
    let purpose = granted_purpose(case, decision)?;
    if !Act::is_explicit(&decision.act) {
        return None;
    }
    let standing = standing(case, age, fact, decision);
    if standing == Standing::Absent {
        return None;
    }
    let (notice, statement) = notice_shown(case, fact, decision)?;
    let ended = standing == Standing::Outgrown
        || expiry(case, fact, decision, purpose).is_some_and(|end| end <= case.record.at);
    Some(Grant {
        fact,
        decision,
        scope: scope(case, fact, decision, (notice, statement), ended),
        linked_then: OnceCell::new(),
    })
}

/// The purpose a grant names, if it reaches the use's. A wildcard never grants: consent is to a
/// purpose (art. 14).
pub(super) fn granted_purpose<'a>(
    case: &Case<'_>,
    decision: &'a Decision,
) -> Option<&'a PurposeId> {
    match (decision.state, &decision.purpose) {
        (DecisionState::Granted, Selector::One(purpose)) if case.lineage.includes(purpose) => {
            Some(purpose)
        }
        (
            DecisionState::Granted
            | DecisionState::Refused
            | DecisionState::Withdrawn
            | DecisionState::Unreadable,
            Selector::One(_) | Selector::All,
        ) => None,
    }
}

/// Whether whoever granted could (R8, R13): the person; an agent or a system with an artefact;
/// for a child a guardian, in that form.
fn standing(case: &Case<'_>, age: &Age, fact: &Fact, decision: &Decision) -> Standing {
    let is_guardian_form = decision.form == ConsentForm::Guardian;
    match decision.actor {
        Actor::Guardian { guardian } => {
            if is_guardian_form && was_guardian(case.record, guardian, fact) {
                age.of_guardian_grant(fact, case.record.at)
            } else {
                Standing::Absent
            }
        }
        Actor::Subject if !is_guardian_form => age.of_own_grant(fact, case.record.at),
        Actor::Agent | Actor::System if !is_guardian_form && decision.evidence => {
            age.of_own_grant(fact, case.record.at)
        }
        Actor::Subject | Actor::Agent | Actor::System => Standing::Absent,
    }
}

/// The notice shown, if it is known, was in force when the grant was given, and lists the use's
/// purpose (art. 14, 17).
fn notice_shown<'a>(
    case: &Case<'a>,
    fact: &Fact,
    decision: &Decision,
) -> Option<(&'a Notice, &'a NoticedPurpose)> {
    let notice = case.registry.notice(decision.notice.as_ref()?)?;
    let statement = notice.purposes.get(&case.purpose.id)?;
    (notice.effective_from <= fact.time()).then_some((notice, statement))
}

/// R15: the first instant without the grant, if it ends by itself. The validity is the shortest
/// of the purposes from the use's up to the one that was granted.
pub(super) fn expiry(
    case: &Case<'_>,
    fact: &Fact,
    decision: &Decision,
    granted: &PurposeId,
) -> Option<Timestamp> {
    let days = case
        .lineage
        .up_to(granted)
        .filter_map(|id| case.registry.purpose(id)?.grant_validity_days)
        .min();
    let calendar = case.registry.calendar();
    let lapse = days.map(|days| {
        let days = i32::try_from(days).unwrap_or(i32::MAX);
        calendar.start_of(calendar.day_of(fact.time()).plus_days(days))
    });
    match (decision.expires_at, lapse) {
        (Some(stated), Some(lapse)) => Some(stated.min(lapse)),
        (stated, lapse) => stated.or(lapse),
    }
}
