//! Who is one person: links between subjects, folded (rule R12).

use std::collections::{BTreeMap, BTreeSet};

use crate::fact::{Fact, FactKind};
use crate::ids::SubjectId;
use crate::time::Timestamp;

use super::supersede::supersedes;

/// The subjects of one person at an instant.
pub(super) enum Person {
    /// One subject, linked with no other.
    Alone(SubjectId),
    /// Several subjects.
    Linked(BTreeSet<SubjectId>),
}

impl Person {
    /// The person to whom `subject` belongs at `at`. Allocates only where there are links.
    pub(super) fn at(history: &[Fact], subject: SubjectId, at: Timestamp) -> Self {
        let is_link = |fact: &Fact| matches!(fact.kind, FactKind::Linked { .. });
        if history
            .iter()
            .any(|fact| fact.received_at <= at && is_link(fact))
        {
            Self::Linked(component(history, subject, at))
        } else {
            Self::Alone(subject)
        }
    }

    pub(super) fn includes(&self, subject: SubjectId) -> bool {
        match self {
            Self::Alone(only) => *only == subject,
            Self::Linked(subjects) => subjects.contains(&subject),
        }
    }
}

/// The subjects linked with `subject` at `at`, itself included (rule R12).
///
/// A pair is linked when a known link of the pair is not superseded by an un-link of the same
/// pair, whichever of the two subjects carries it. Links are mutual and reach through others.
/// Facts that are neither links nor un-links are ignored.
#[must_use]
pub fn component<'a>(
    links: impl IntoIterator<Item = &'a Fact>,
    subject: SubjectId,
    at: Timestamp,
) -> BTreeSet<SubjectId> {
    let known = links.into_iter().filter(|fact| fact.received_at <= at);
    together(known, subject)
}

/// The subjects that were surely linked with a grant's when we received it (R3): by links surely
/// received by then, and in spite of every un-link not surely received after it.
pub(super) fn linked_when_received<'a>(
    known: impl Iterator<Item = &'a Fact>,
    grant: &Fact,
) -> BTreeSet<SubjectId> {
    let stood = known.filter(|fact| match fact.kind {
        FactKind::Linked { .. } => fact.had_been_received_with(grant),
        FactKind::Unlinked { .. } => !fact.was_received_after(grant),
        FactKind::Decision(_)
        | FactKind::ContractStarted { .. }
        | FactKind::ContractEnded { .. }
        | FactKind::BirthDate(_)
        | FactKind::GuardianshipStarted { .. }
        | FactKind::GuardianshipEnded { .. }
        | FactKind::Restricted { .. }
        | FactKind::RestrictionLifted { .. }
        | FactKind::Erased
        | FactKind::PublicSource { .. } => false,
    });
    together(stood, grant.subject)
}

/// The subjects that these links and un-links put together with `subject`.
fn together<'a>(links: impl Iterator<Item = &'a Fact>, subject: SubjectId) -> BTreeSet<SubjectId> {
    let neighbours = neighbours(links);
    let mut found = BTreeSet::from([subject]);
    let mut open = vec![subject];
    while let Some(next) = open.pop() {
        for &neighbour in neighbours.get(&next).into_iter().flatten() {
            if found.insert(neighbour) {
                open.push(neighbour);
            }
        }
    }
    found
}

#[derive(Default)]
struct Pair<'a> {
    linked: Vec<&'a Fact>,
    unlinked: Vec<&'a Fact>,
}

fn neighbours<'a>(links: impl Iterator<Item = &'a Fact>) -> BTreeMap<SubjectId, Vec<SubjectId>> {
    let mut pairs: BTreeMap<(SubjectId, SubjectId), Pair<'_>> = BTreeMap::new();
    for fact in links {
        if let FactKind::Linked { other } = fact.kind {
            pairs
                .entry(pair(fact.subject, other))
                .or_default()
                .linked
                .push(fact);
        } else if let FactKind::Unlinked { other } = fact.kind {
            pairs
                .entry(pair(fact.subject, other))
                .or_default()
                .unlinked
                .push(fact);
        }
    }
    let mut neighbours: BTreeMap<SubjectId, Vec<SubjectId>> = BTreeMap::new();
    for ((one, other), Pair { linked, unlinked }) in pairs {
        // R3, R12: an un-link widens, so it supersedes a link only strictly.
        let undone = |link: &Fact| unlinked.iter().any(|unlink| supersedes(unlink, link));
        if linked.into_iter().any(|link| !undone(link)) {
            neighbours.entry(one).or_default().push(other);
            neighbours.entry(other).or_default().push(one);
        }
    }
    neighbours
}

fn pair(one: SubjectId, other: SubjectId) -> (SubjectId, SubjectId) {
    (one.min(other), one.max(other))
}
