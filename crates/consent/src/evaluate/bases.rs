//! The bases that need no consent (rule R7; art. 13(1)(2) to (7), 27).

use crate::basis::LegalBasis;
use crate::fact::{Fact, FactKind};
use crate::verdict::Reason;

use super::case::Case;
use super::consent::Consent;
use super::notices::is_noticed;
use super::outcome::Outcome;
use super::record::latest;
use super::supersede::supersedes;

/// The outcome on the purpose's declared basis, the only one tried.
pub(super) fn on_basis<'a>(case: &Case<'a>, consent: &Consent<'a, '_>) -> Outcome<'a> {
    if case.purpose.basis == LegalBasis::Consent {
        return consent.outcome();
    }
    if !is_noticed(case.registry, &case.purpose.id, case.record.at) {
        return Outcome::denied(Reason::NoDecision, None);
    }
    match case.purpose.basis {
        LegalBasis::Contract => contract(case),
        LegalBasis::PublicInformation => public_information(case, consent),
        LegalBasis::Consent
        | LegalBasis::LegalDuty
        | LegalBasis::Emergency
        | LegalBasis::PublicInterestNews
        | LegalBasis::OtherLaw => everything(case, None),
    }
}

fn everything<'a>(case: &Case<'a>, by: Option<&'a Fact>) -> Outcome<'a> {
    Outcome::lawful(case.purpose.categories.clone(), by)
}

/// Art. 13(1)(2): the subject itself is party to a contract that runs.
fn contract<'a>(case: &Case<'a>) -> Outcome<'a> {
    let begun = || {
        case.record
            .own()
            .filter_map(|fact| Some((fact, begun_contract(case, fact)?)))
    };
    let running = begun().filter(|(start, contract)| end(case, start, contract).is_none());
    if let Some(start) = latest(running.map(|(start, _)| start)) {
        return everything(case, Some(start));
    }
    let ends = begun().filter_map(|(start, contract)| end(case, start, contract));
    match latest(ends) {
        Some(end) => Outcome::denied(Reason::BasisEnded, Some(end)),
        None => Outcome::denied(Reason::NoDecision, None),
    }
}

/// The contract that a fact says has begun for the purpose, or for every purpose.
fn begun_contract<'a>(case: &Case<'_>, fact: &'a Fact) -> Option<&'a str> {
    let FactKind::ContractStarted {
        contract,
        purpose,
        starts_at,
    } = &fact.kind
    else {
        return None;
    };
    let is_for_purpose = purpose.as_ref().is_none_or(|p| *p == case.purpose.id);
    (is_for_purpose && *starts_at <= case.record.at).then_some(contract)
}

/// The latest end of the contract that has come and that the start does not supersede (R3).
fn end<'a>(case: &Case<'a>, start: &Fact, started: &str) -> Option<&'a Fact> {
    latest(case.record.own().filter(|fact| {
        let FactKind::ContractEnded { contract, ends_at } = &fact.kind else {
            return false;
        };
        contract == started && *ends_at <= case.record.at && !supersedes(start, fact)
    }))
}

/// Art. 13(1)(6) and 27: public, with provenance, and not refused.
fn public_information<'a>(case: &Case<'a>, consent: &Consent<'a, '_>) -> Outcome<'a> {
    let sources = case
        .record
        .own()
        .filter(|fact| matches!(fact.kind, FactKind::PublicSource { provenance: true }));
    let Some(source) = latest(sources) else {
        return Outcome::denied(Reason::NoDecision, None);
    };
    match consent.refused() {
        Some((reason, fact)) => Outcome::denied(reason, fact),
        None => everything(case, Some(source)),
    }
}
