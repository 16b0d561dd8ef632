//! What is known at an instant of one subject and of those linked with it (rules R1, R2).

use crate::decision::{Decision, Selector};
use crate::fact::Fact;
use crate::ids::SubjectId;
use crate::registry::Registry;
use crate::slug::PurposeId;
use crate::time::Timestamp;

use super::links::Person;

/// The facts that exist for an evaluation: those received by `at` (R2) of the subject's person.
pub(super) struct Record<'a> {
    history: &'a [Fact],
    pub(super) subject: SubjectId,
    pub(super) at: Timestamp,
    person: Person,
}

impl<'a> Record<'a> {
    pub(super) fn new(history: &'a [Fact], subject: SubjectId, at: Timestamp) -> Self {
        Self {
            history,
            subject,
            at,
            person: Person::at(history, subject, at),
        }
    }

    /// Known facts of every subject of the person: what restricts counts for all of them (R1).
    pub(super) fn known(&self) -> impl Iterator<Item = &'a Fact> {
        self.all_known()
            .filter(|fact| self.person.includes(fact.subject))
    }

    /// Known facts of the subject itself: what widens counts for it alone (R1).
    pub(super) fn own(&self) -> impl Iterator<Item = &'a Fact> {
        self.all_known().filter(|fact| fact.subject == self.subject)
    }

    /// Known facts of everybody in the history: those who are no longer linked, too.
    pub(super) fn all_known(&self) -> impl Iterator<Item = &'a Fact> {
        self.history
            .iter()
            .filter(|fact| fact.received_at <= self.at)
    }

    /// Known decisions of every subject of the person.
    pub(super) fn decisions(&self) -> impl Iterator<Item = (&'a Fact, &'a Decision)> {
        self.known().filter_map(with_decision)
    }

    /// The whole history, what is not known yet and what belongs to others included.
    pub(super) fn history(&self) -> &'a [Fact] {
        self.history
    }
}

/// The fact with its decision, if it is one.
pub(super) fn with_decision(fact: &Fact) -> Option<(&Fact, &Decision)> {
    Some((fact, fact.kind.decision()?))
}

/// The latest of several facts: by time, then receipt, then id, so that the order in which facts
/// are listed never shows.
pub(super) fn latest<'a>(facts: impl Iterator<Item = &'a Fact>) -> Option<&'a Fact> {
    facts.max_by_key(|fact| (fact.time(), fact.received_at, fact.id))
}

/// A purpose and its ancestors, as [`Registry::lineage`] tells them.
pub(super) struct Lineage<'a>(Vec<&'a PurposeId>);

impl<'a> Lineage<'a> {
    pub(super) fn of(registry: &'a Registry, purpose: &'a PurposeId) -> Self {
        Self(registry.lineage(purpose))
    }

    pub(super) fn includes(&self, purpose: &PurposeId) -> bool {
        self.0.contains(&purpose)
    }

    /// Whether a decision about `selector` is about the purpose; wildcards are.
    pub(super) fn selected_by(&self, selector: &Selector) -> bool {
        match selector {
            Selector::All => true,
            Selector::One(purpose) => self.includes(purpose),
        }
    }

    /// The purpose and its ancestors up to and including `last`.
    pub(super) fn up_to(&self, last: &PurposeId) -> impl Iterator<Item = &'a PurposeId> {
        let length = self
            .0
            .iter()
            .position(|id| *id == last)
            .map_or(0, |i| i + 1);
        self.0[..length].iter().copied()
    }
}
