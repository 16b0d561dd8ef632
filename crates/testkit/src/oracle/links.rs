//! R3 and R12: what supersedes what, and who is linked with whom.

use std::collections::BTreeSet;

use assent_consent::{Fact, FactKind, SubjectId};

use super::{Case, r2_had_been_received, r2_received_after, r2_time};

/// R3: happened strictly later and received after; what restricts happened at most a day before its
/// receipt.
pub(crate) fn r3_beats(widening: &Fact, restricting: &Fact) -> bool {
    let a_day_before = restricting.received_at.micros() - 24 * 3_600_000_000;
    r2_time(widening) > r2_time(restricting)
        && r2_time(widening).micros() > a_day_before
        && r2_received_after(widening, restricting)
}

/// R3, C2: whether a grant supersedes an ender, of its own subject or of another of the person.
pub(crate) fn r3_supersedes(case: &Case<'_>, grant: &Fact, ender: &Fact) -> bool {
    if !r3_beats(grant, ender) {
        return false;
    }
    if grant.subject == ender.subject {
        return true;
    }
    let FactKind::Decision(decision) = &grant.kind else {
        return false;
    };
    decision.authenticated
        && reachable(grant.subject, &r3_pairs_linked_when_received(case, grant))
            .contains(&ender.subject)
}

/// R12: the subject and all who are linked with it, by facts known at `at`.
pub(crate) fn r12_component(known: &[&Fact], subject: SubjectId) -> BTreeSet<SubjectId> {
    let links: Vec<&Fact> = known.iter().copied().filter(|f| is_link(f)).collect();
    let unlinks: Vec<&Fact> = known.iter().copied().filter(|f| is_unlink(f)).collect();
    reachable(subject, &standing_pairs(&links, &unlinks))
}

/// R3: known links that had been received when the grant was, less un-links not received after it.
fn r3_pairs_linked_when_received(case: &Case<'_>, grant: &Fact) -> Vec<(SubjectId, SubjectId)> {
    let mut links = Vec::new();
    let mut unlinks = Vec::new();
    for fact in case.known.iter().copied() {
        if is_link(fact) && r2_had_been_received(fact, grant) {
            links.push(fact);
        }
        if is_unlink(fact) && !r2_received_after(fact, grant) {
            unlinks.push(fact);
        }
    }
    standing_pairs(&links, &unlinks)
}

/// R12, C2: a pair is linked by a link that no un-link of the pair supersedes.
fn standing_pairs(links: &[&Fact], unlinks: &[&Fact]) -> Vec<(SubjectId, SubjectId)> {
    let mut pairs = Vec::new();
    for link in links {
        let Some((a, b)) = pair_of(link) else {
            continue;
        };
        let undone = unlinks.iter().any(|unlink| {
            (pair_of(unlink) == Some((a, b)) || pair_of(unlink) == Some((b, a)))
                && r3_beats(unlink, link)
        });
        if !undone {
            pairs.push((a, b));
        }
    }
    pairs
}

/// R12: the transitive closure, by going over all pairs until nothing is added.
fn reachable(from: SubjectId, pairs: &[(SubjectId, SubjectId)]) -> BTreeSet<SubjectId> {
    let mut reached = BTreeSet::from([from]);
    loop {
        let before = reached.len();
        for (a, b) in pairs {
            if reached.contains(a) {
                reached.insert(*b);
            }
            if reached.contains(b) {
                reached.insert(*a);
            }
        }
        if reached.len() == before {
            return reached;
        }
    }
}

fn is_link(fact: &Fact) -> bool {
    matches!(fact.kind, FactKind::Linked { .. })
}

fn is_unlink(fact: &Fact) -> bool {
    matches!(fact.kind, FactKind::Unlinked { .. })
}

fn pair_of(fact: &Fact) -> Option<(SubjectId, SubjectId)> {
    if let FactKind::Linked { other } | FactKind::Unlinked { other } = &fact.kind {
        return Some((fact.subject, *other));
    }
    None
}
