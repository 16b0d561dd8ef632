//! What a sender repeats is no new fact, and revives nothing of somebody erased (rule R2).
//!
//! Which facts count follows from what was written alone, never from the order in which partitions are read
//! (I4): whatever a fact decides about another, it decides when the later of the two is applied.

use std::sync::Arc;

use assent_consent::{Fact, FactKind};

use crate::history::index;
use crate::messages::Message;
use crate::state::State;

impl State {
    /// Whether the subject's log has said this before, by the same message.
    pub(crate) fn is_repeated(&self, number: u32, fact: &Fact, message: Message) -> bool {
        let Some(history) = self.histories.get(index(number)) else {
            return false;
        };
        if let FactKind::BirthDate(_) = fact.kind {
            let mut facts = history.facts.iter();
            return facts.any(|one| one.id == fact.id && one.kind == fact.kind);
        }
        // What was brought and does not count any more was said, too.
        let was_brought = || history.brought.iter().any(|(one, _)| *one == message);
        fact.kind.widens() && (history.has(fact.id) || was_brought())
    }

    /// Remembers that the message brought the subject a fact that widens, whether it counts or not.
    pub(crate) fn note(&mut self, number: u32, message: Message, order: u64) {
        if let Some(history) = self.histories.get_mut(index(number))
            && !history.brought.iter().any(|(one, _)| *one == message)
        {
            Arc::make_mut(history).brought.push((message, order));
        }
        self.messages.lock().add(message, number);
    }

    /// After a fact of this subject was applied, and if it widens noted: takes back what a message brought that
    /// had brought something for a subject erased since.
    pub(crate) fn take_back(&mut self, number: u32, message: Message, kind: &FactKind) {
        let messages: Vec<Message> = if *kind == FactKind::Erased {
            let history = self.histories.get(index(number));
            let brought = history.iter().flat_map(|history| &history.brought);
            brought.map(|(message, _)| *message).collect()
        } else if kind.widens() {
            vec![message]
        } else {
            return;
        };
        for message in messages {
            let others = self.messages.lock().others(message, number);
            for other in others {
                self.take_back_of(number, other, message);
                self.take_back_of(other, number, message);
            }
        }
    }

    /// Whether the message brought something for a subject that was erased.
    pub(crate) fn is_of_erased(&self, message: Message) -> bool {
        let brought_for = self.messages.lock();
        let mut numbers = brought_for.all(message);
        numbers.any(|number| self.erasures(number).next().is_some())
    }

    fn erasures(&self, number: u32) -> impl Iterator<Item = &Fact> {
        let history = self.histories.get(index(number));
        let facts = history.into_iter().flat_map(|history| &history.facts);
        facts.filter(|fact| fact.kind == FactKind::Erased)
    }

    /// What the message brought the subject does not count if the other one was erased, unless the erasure was
    /// received after it.
    fn take_back_of(&mut self, number: u32, other: u32, message: Message) {
        let erasures: Vec<Fact> = self.erasures(other).cloned().collect();
        let Some(history) = self.histories.get(index(number)) else {
            return;
        };
        let is_by_message = |fact: &Fact| history.brought.contains(&(message, fact.order));
        let Some(place) = history.facts.iter().position(|fact| {
            is_by_message(fact) && erasures.iter().any(|e| !e.was_received_after(fact))
        }) else {
            return;
        };
        tracing::debug!(
            "a fact that widens came again for somebody whose data was erased; it does not count"
        );
        let mut paired = None;
        if let Some(history) = self.histories.get_mut(index(number)) {
            let history = Arc::make_mut(history);
            let fact = history.facts.remove(place);
            history.places.remove(place);
            paired = fact.kind.pair();
        }
        self.touch(number);
        if let Some(other) = paired.and_then(|other| self.numbers.get(&other)) {
            self.touch(other);
            self.settle_members(number);
        }
    }
}
