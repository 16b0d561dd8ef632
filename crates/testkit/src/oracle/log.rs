//! R2: which of the facts that were written count at all.

use assent_consent::{DecisionState, Fact, FactKind};

use super::r2_received_after;

/// A fact as it was written, with the message that brought it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The fact; its `order` is its place in the log of its subject.
    pub fact: Fact,
    /// One number for each source and message id.
    pub message: u64,
}

/// R2: the facts that count, of everything written, in the order given.
#[must_use]
pub fn what_counts(written: &[Written]) -> Vec<Fact> {
    let mut counting = Vec::new();
    for one in written {
        if !r2_is_repeated(written, one) && !r2_was_erased(written, one) {
            counting.push(one.fact.clone());
        }
    }
    counting
}

/// R2, sent again.
fn r2_is_repeated(written: &[Written], one: &Written) -> bool {
    written.iter().any(|earlier| {
        let before = earlier.fact.subject == one.fact.subject
            && earlier.message == one.message
            && earlier.fact.order < one.fact.order;
        before
            && match one.fact.kind {
                FactKind::BirthDate(_) => earlier.fact.kind == one.fact.kind,
                _ => widens(&one.fact),
            }
    })
}

/// Words: what widens.
fn widens(fact: &Fact) -> bool {
    match &fact.kind {
        FactKind::Decision(decision) => decision.state == DecisionState::Granted,
        FactKind::Unlinked { .. } | FactKind::RestrictionLifted { .. } => true,
        FactKind::ContractStarted { .. } | FactKind::GuardianshipStarted { .. } => true,
        FactKind::PublicSource { .. } => true,
        _ => false,
    }
}

/// R2, after an erasure.
fn r2_was_erased(written: &[Written], one: &Written) -> bool {
    if !widens(&one.fact) {
        return false;
    }
    let brought_for = written.iter().filter(|other| {
        other.message == one.message
            && widens(&other.fact)
            && other.fact.subject != one.fact.subject
    });
    brought_for.into_iter().any(|other| {
        written.iter().any(|erasure| {
            erasure.fact.subject == other.fact.subject
                && erasure.fact.kind == FactKind::Erased
                && !r2_received_after(&erasure.fact, &one.fact)
        })
    })
}
