//! A second consent evaluator, as naive as possible: loops over everything, one function a rule.
//!
//! It was written from `docs/consent-rules.md` (R1 to R17, C1 to C21) alone, without sight of the
//! real evaluator, and must stay so: two readings of one text that agree on hundreds of thousands
//! of cases are worth more than one reading tested against itself. It owns no cleverness: when it
//! and the evaluator differ, the text decides.

mod age;
mod enders;
mod grants;
mod links;
mod log;

use std::collections::BTreeSet;

use assent_consent::{
    Category, Channel, Coverage, Fact, FactKind, LegalBasis, Purpose, PurposeId, Reason,
    RecipientId, Registry, SubjectId, Timestamp, Use, Verdict,
};

use enders::{
    Ender, c5_reason_of_blockers, c5_reason_without_grant, r10_channel, r10_refusals,
    r11_personalisation, r11_refusals, r16_enders, r16_leaves,
};
use grants::{Grant, r4_nearest_miss, r8_valid_grants};
pub use log::{Written, what_counts};

use links::{r3_beats, r3_supersedes, r12_component};

/// Everything a rule may look at.
pub(crate) struct Case<'a> {
    registry: &'a Registry,
    /// R2: the facts received by `at`, of whichever subject.
    known: Vec<&'a Fact>,
    /// Those of `known` that are about the component.
    facts: Vec<&'a Fact>,
    component: BTreeSet<SubjectId>,
    subject: SubjectId,
    use_: &'a Use,
    at: Timestamp,
}

/// The verdict of the rules for one subject and one use at one instant.
///
/// `history` may hold facts in any order, of the subject's component and of others.
#[must_use]
pub fn evaluate_naively(
    registry: &Registry,
    history: &[Fact],
    subject: SubjectId,
    use_: &Use,
    at: Timestamp,
) -> Verdict {
    let known: Vec<&Fact> = history
        .iter()
        .filter(|fact| r2_is_known(fact, at))
        .collect();
    let component = r12_component(&known, subject);
    let facts = known
        .iter()
        .copied()
        .filter(|fact| component.contains(&fact.subject))
        .collect();
    let case = Case {
        registry,
        known,
        facts,
        component,
        subject,
        use_,
        at,
    };
    match r4_verdict(&case) {
        Ok(categories) => Verdict::Lawful(Coverage { categories }),
        Err(reason) => Verdict::Denied(reason),
    }
}

/// The subjects who are one person with this one at an instant, itself among them (R2, R12).
#[must_use]
pub fn person_naively(history: &[Fact], subject: SubjectId, at: Timestamp) -> BTreeSet<SubjectId> {
    let known: Vec<&Fact> = history
        .iter()
        .filter(|fact| r2_is_known(fact, at))
        .collect();
    r12_component(&known, subject)
}

type Answer = Result<BTreeSet<Category>, Reason>;

/// R2: a fact does not exist before it was received.
fn r2_is_known(fact: &Fact, at: Timestamp) -> bool {
    fact.received_at <= at
}

/// R2: the earlier of the two times, so that a clock ahead is clamped.
pub(crate) fn r2_time(fact: &Fact) -> Timestamp {
    if fact.event_time < fact.received_at {
        fact.event_time
    } else {
        fact.received_at
    }
}

/// R2: how much later a receipt must be to tell anything of facts of different subjects.
const R2_TOLERANCE_MICROS: i64 = 1_000_000;

/// R2: one fact was received after another: by receipt and log, or by more than the tolerance.
pub(crate) fn r2_received_after(later: &Fact, earlier: &Fact) -> bool {
    let gap = later.received_at.micros() - earlier.received_at.micros();
    if later.subject == earlier.subject {
        gap > 0 && later.order > earlier.order
    } else {
        gap > R2_TOLERANCE_MICROS
    }
}

/// R2: a fact had been received when another was: that one came after it, both came together, or
/// it is earlier by the tolerance at least.
pub(crate) fn r2_had_been_received(fact: &Fact, when: &Fact) -> bool {
    let gap = when.received_at.micros() - fact.received_at.micros();
    if fact.subject == when.subject {
        gap == 0 || r2_received_after(when, fact)
    } else {
        gap >= R2_TOLERANCE_MICROS
    }
}

/// R4, C3: the order of reasons.
fn r4_verdict(case: &Case<'_>) -> Answer {
    r5_erased(case)?;
    r6_restricted(case)?;
    let Some(purpose) = case.registry.purpose(&case.use_.purpose) else {
        return Err(Reason::NoDecision);
    };
    r11_personalisation(case, purpose)?;
    r10_channel(case, purpose)?;
    if !use_names_a_listed_recipient(case, purpose) {
        return Err(Reason::ScopeNotCovered);
    }
    match purpose.basis {
        LegalBasis::Consent => consent(case, purpose),
        LegalBasis::Contract
        | LegalBasis::LegalDuty
        | LegalBasis::Emergency
        | LegalBasis::PublicInterestNews
        | LegalBasis::PublicInformation
        | LegalBasis::OtherLaw => r7_other_basis(case, purpose),
    }
}

/// R5: nothing supersedes an erasure.
fn r5_erased(case: &Case<'_>) -> Result<(), Reason> {
    for fact in &case.facts {
        if fact.kind == FactKind::Erased {
            return Err(Reason::Erased);
        }
    }
    Ok(())
}

/// R6: restrictions, for everything or for a purpose and its descendants.
fn r6_restricted(case: &Case<'_>) -> Result<(), Reason> {
    let chain = with_ancestors(case.registry, &case.use_.purpose);
    for restriction in &case.facts {
        let FactKind::Restricted { purpose } = &restriction.kind else {
            continue;
        };
        let touches = match purpose {
            None => true,
            Some(restricted) => chain.contains(restricted),
        };
        if touches && !r6_is_lifted(case, restriction, purpose.as_ref()) {
            return Err(Reason::Restricted);
        }
    }
    Ok(())
}

/// R6, C2: lifting None lifts all, lifting p lifts p only; never another subject's.
fn r6_is_lifted(case: &Case<'_>, restriction: &Fact, restricted: Option<&PurposeId>) -> bool {
    case.facts.iter().any(|lift| {
        let FactKind::RestrictionLifted { purpose } = &lift.kind else {
            return false;
        };
        let wide_enough = purpose.is_none() || purpose.as_ref() == restricted;
        wide_enough && lift.subject == restriction.subject && r3_beats(lift, restriction)
    })
}

/// R7: the six bases other than consent.
fn r7_other_basis(case: &Case<'_>, purpose: &Purpose) -> Answer {
    if !r7_is_noticed(case, purpose) {
        return Err(Reason::NoDecision);
    }
    match purpose.basis {
        LegalBasis::Contract => r7_contract(case, purpose)?,
        LegalBasis::PublicInformation => r7_public_information(case, purpose)?,
        LegalBasis::Consent
        | LegalBasis::LegalDuty
        | LegalBasis::Emergency
        | LegalBasis::PublicInterestNews
        | LegalBasis::OtherLaw => {}
    }
    Ok(purpose.categories.clone())
}

/// R7, C7: bases 2 to 7 remove consent, never notice.
fn r7_is_noticed(case: &Case<'_>, purpose: &Purpose) -> bool {
    case.registry.notices().any(|notice| {
        if !notice.purposes.contains_key(&purpose.id) {
            return false;
        }
        let replaced = case.registry.notices().any(|other| {
            other.id == notice.id
                && other.version > notice.version
                && other.effective_from <= case.at
        });
        let in_force = notice.effective_from <= case.at && !replaced;
        let exempt = match &notice.exemption {
            Some(citation) => !citation.trim().is_empty(),
            None => false,
        };
        in_force || (exempt && !replaced)
    })
}

/// R7, C8: a contract of the subject itself that started and did not end.
fn r7_contract(case: &Case<'_>, purpose: &Purpose) -> Result<(), Reason> {
    let mut had_one = false;
    for start in &case.facts {
        let FactKind::ContractStarted {
            contract,
            purpose: supports,
            starts_at,
        } = &start.kind
        else {
            continue;
        };
        let for_this = supports.is_none() || supports.as_ref() == Some(&purpose.id);
        if start.subject != case.subject || !for_this || *starts_at > case.at {
            continue;
        }
        had_one = true;
        let ended = case.facts.iter().any(|end| {
            let FactKind::ContractEnded {
                contract: other,
                ends_at,
            } = &end.kind
            else {
                return false;
            };
            end.subject == case.subject
                && other == contract
                && *ends_at <= case.at
                && !r3_beats(start, end)
        });
        if !ended {
            return Ok(());
        }
    }
    Err(if had_one {
        Reason::BasisEnded
    } else {
        Reason::NoDecision
    })
}

/// R7, C9: published information, until the person objects (art. 27).
fn r7_public_information(case: &Case<'_>, purpose: &Purpose) -> Result<(), Reason> {
    let published = case.facts.iter().any(|fact| {
        fact.subject == case.subject && fact.kind == FactKind::PublicSource { provenance: true }
    });
    if !published {
        return Err(Reason::NoDecision);
    }
    let enders = r16_enders(case, purpose);
    if enders.is_empty() {
        return Ok(());
    }
    for grant in covering_grants(case, purpose) {
        let supersedes_all = enders
            .iter()
            .all(|ender| r3_supersedes(case, grant.fact, ender.fact));
        if !grant.names_categories && supersedes_all {
            return Ok(());
        }
    }
    Err(c5_reason_without_grant(case, &enders))
}

/// The basis of consent, in the order of R4.
fn consent(case: &Case<'_>, purpose: &Purpose) -> Answer {
    age::r13_age_is_known(case, purpose)?;
    let valid = r8_valid_grants(case, purpose);
    age::r13_has_guardian_grant(case, &valid)?;
    let enders = r16_enders(case, purpose);
    if valid.is_empty() {
        return Err(c5_reason_without_grant(case, &enders));
    }
    let covering: Vec<&Grant<'_>> = valid.iter().filter(|g| g.would_cover()).collect();
    if covering.is_empty() {
        return Err(r4_nearest_miss(&valid));
    }
    grants_less_enders(case, purpose, &covering, &enders)
}

/// R9, R16, C5, C11: what the grants cover together, each less what its own enders take away.
fn grants_less_enders(
    case: &Case<'_>,
    purpose: &Purpose,
    covering: &[&Grant<'_>],
    enders: &[Ender<'_>],
) -> Answer {
    let mut refusals = r11_refusals(case, purpose);
    refusals.extend(r10_refusals(case, purpose));
    let mut together = BTreeSet::new();
    for grant in covering {
        let frees = refusals
            .iter()
            .all(|refusal| r3_supersedes(case, grant.fact, refusal));
        if frees {
            together.extend(r16_leaves(case, grant, enders));
        }
    }
    if !together.is_empty() {
        return Ok(together);
    }
    let blockers: Vec<&Fact> = enders
        .iter()
        .filter(|ender| {
            covering.iter().any(|grant| {
                ender.takes_from(&grant.categories) && !r3_supersedes(case, grant.fact, ender.fact)
            })
        })
        .map(|ender| ender.fact)
        .collect();
    Err(c5_reason_of_blockers(case, &blockers))
}

/// C11: the subject's own grants that cover this very use at `at`, R16 included.
fn covering_grants<'a>(case: &Case<'a>, purpose: &Purpose) -> Vec<Grant<'a>> {
    let enders = r16_enders(case, purpose);
    r8_valid_grants(case, purpose)
        .into_iter()
        .filter(|grant| grant.would_cover() && !r16_leaves(case, grant, &enders).is_empty())
        .collect()
}

/// The purpose and those it is part of (C12: an unknown parent is still an ancestor, a circle is
/// walked once).
fn with_ancestors(registry: &Registry, id: &PurposeId) -> Vec<PurposeId> {
    let mut chain = vec![id.clone()];
    let mut next = registry.purpose(id).and_then(|p| p.parent.clone());
    while let Some(parent) = next {
        if chain.contains(&parent) {
            break;
        }
        next = registry.purpose(&parent).and_then(|p| p.parent.clone());
        chain.push(parent);
    }
    chain
}

/// R9: the use's channel; the purpose's only one when the use names none.
fn channel_of_use(case: &Case<'_>, purpose: &Purpose) -> Option<Channel> {
    if case.use_.channel.is_some() {
        return case.use_.channel.clone();
    }
    if purpose.channels.len() == 1 {
        return purpose.channels.iter().next().cloned();
    }
    None
}

/// R9: the use's recipient; the purpose's only one when the use names none.
fn recipient_of_use(case: &Case<'_>, purpose: &Purpose) -> Option<RecipientId> {
    if case.use_.recipient.is_some() {
        return case.use_.recipient.clone();
    }
    if purpose.recipients.len() == 1 {
        return purpose.recipients.iter().next().cloned();
    }
    None
}

/// R9, C3: a purpose with recipients needs one of them, a purpose without takes none.
fn use_names_a_listed_recipient(case: &Case<'_>, purpose: &Purpose) -> bool {
    match recipient_of_use(case, purpose) {
        Some(recipient) => purpose.recipients.contains(&recipient),
        None => purpose.recipients.is_empty(),
    }
}
