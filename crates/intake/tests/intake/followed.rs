//! Somebody who follows the log, as the permit index does, and knows all of it.

use std::sync::Arc;

use assent_consent::{Fact, FactKind, SubjectId};
use assent_event::{EventId, to_fact};
use assent_intake::Known;

use crate::room::Room;

pub(crate) struct Followed {
    facts: Vec<Fact>,
    erased: Vec<String>,
}

impl Followed {
    pub(crate) async fn from(room: &Room, erased: &[&str]) -> Arc<Self> {
        let facts = room.journal().await;
        let facts = facts
            .iter()
            .filter_map(|found| to_fact(&found.envelope, &found.payload).unwrap());
        Arc::new(Self {
            facts: facts.collect(),
            erased: erased.iter().map(|&id| id.to_owned()).collect(),
        })
    }
}

impl Known for Followed {
    fn fact(&self, subject: SubjectId, event: EventId) -> Option<FactKind> {
        let mut facts = self.facts.iter();
        let fact = facts.find(|f| f.subject == subject && f.id == event.to_bytes())?;
        Some(fact.kind.clone())
    }

    fn is_of_erased(&self, source: &str, message_id: &str) -> bool {
        source == "shop" && self.erased.iter().any(|id| id == message_id)
    }

    fn links_ended(&self) -> u64 {
        let is_end = |fact: &&Fact| matches!(fact.kind, FactKind::Unlinked { .. });
        self.facts.iter().filter(is_end).count() as u64
    }

    fn linked_with(&self, subject: SubjectId) -> Vec<SubjectId> {
        let linked = self.facts.iter().filter_map(|fact| match fact.kind {
            FactKind::Linked { other } if fact.subject == subject => Some(other),
            FactKind::Linked { other } if other == subject => Some(fact.subject),
            _ => None,
        });
        linked.collect()
    }

    fn is_more_than_restricted(&self, subject: SubjectId) -> bool {
        let permits = |fact: &Fact| fact.subject == subject && fact.kind.widens();
        self.facts.iter().any(permits) || !self.linked_with(subject).is_empty()
    }
}
