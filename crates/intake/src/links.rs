//! How many people one identifier may be said to belong to.
//!
//! Whoever is linked is one person for everything that restricts (rule R1), and one row of the profiles. An
//! identifier that many share (`unknown` for a visitor, a no-reply address, the telephone of a shop) would make
//! one person of them all. So a link beyond a bound is not recorded, and its sender is told. The bound is on
//! direct links; it refuses to judge who is right.

use std::collections::{BTreeSet, HashMap};

use assent_consent::SubjectId;
use parking_lot::Mutex;

use crate::repeats::Known;

/// The most subjects that one may be linked with which a call only mentions: a visitor, an address, a telephone.
pub(crate) const MOST_OF_MENTIONED: usize = 20;

/// The same of the subject that a call is about: a customer visits with many devices in the course of years.
pub(crate) const MOST_OF_SUBJECT: usize = 100;

type Neighbours = HashMap<SubjectId, BTreeSet<SubjectId>>;

/// Links recorded lately, which whoever follows the log may not have seen yet. It forgets the older half of what
/// it holds.
#[derive(Default)]
pub(crate) struct RecentLinks(Mutex<(Neighbours, Neighbours)>);

/// How many subjects one half holds.
const HALF: usize = 50_000;

impl RecentLinks {
    pub(crate) fn remember(&self, pairs: &[(SubjectId, SubjectId)]) {
        let mut halves = self.0.lock();
        for (one, other) in pairs {
            for (one, other) in [(one, other), (other, one)] {
                if halves.0.len() >= HALF {
                    halves.1 = std::mem::take(&mut halves.0);
                }
                halves.0.entry(*one).or_default().insert(*other);
            }
        }
    }

    fn of(&self, subject: SubjectId) -> BTreeSet<SubjectId> {
        let halves = self.0.lock();
        let found = [&halves.0, &halves.1].map(|half| half.get(&subject));
        found.into_iter().flatten().flatten().copied().collect()
    }
}

/// The links of a request.
pub(crate) struct Links<'r> {
    recent: &'r RecentLinks,
    known: Option<&'r dyn Known>,
    neighbours: Neighbours,
    /// Those that are recorded.
    pub(crate) gained: Vec<(SubjectId, SubjectId)>,
}

impl<'r> Links<'r> {
    pub(crate) fn new(recent: &'r RecentLinks, known: Option<&'r dyn Known>) -> Self {
        Self {
            recent,
            known,
            neighbours: Neighbours::new(),
            gained: Vec::new(),
        }
    }

    /// Whether the subject may be linked with one that is mentioned. If so it counts as linked from now on.
    pub(crate) fn gain(&mut self, subject: SubjectId, mentioned: SubjectId) -> bool {
        let may = self.has_room(mentioned, subject, MOST_OF_MENTIONED)
            && self.has_room(subject, mentioned, MOST_OF_SUBJECT);
        if may {
            self.of(subject).insert(mentioned);
            self.of(mentioned).insert(subject);
            self.gained.push((subject, mentioned));
        }
        may
    }

    fn has_room(&mut self, one: SubjectId, other: SubjectId, most: usize) -> bool {
        let neighbours = self.of(one);
        neighbours.contains(&other) || neighbours.len() < most
    }

    fn of(&mut self, subject: SubjectId) -> &mut BTreeSet<SubjectId> {
        let (recent, known) = (self.recent, self.known);
        self.neighbours.entry(subject).or_insert_with(|| {
            let mut neighbours = recent.of(subject);
            neighbours.extend(
                known
                    .into_iter()
                    .flat_map(|known| known.linked_with(subject)),
            );
            neighbours
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(number: u16) -> SubjectId {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        SubjectId::from_bytes(bytes)
    }

    #[test]
    fn who_is_mentioned_belongs_to_few_and_a_subject_has_many() {
        let recent = RecentLinks::default();
        let shared = subject(0);
        for number in 1..=30 {
            let mut links = Links::new(&recent, None);
            let one = subject(number);
            assert_eq!(links.gain(one, shared), number <= 20, "{number}");
            recent.remember(&links.gained);
            // What is linked already is no further link.
            assert!(Links::new(&recent, None).gain(subject(1), shared));
        }
        let customer = subject(1_000);
        let mut links = Links::new(&recent, None);
        for number in 1..=150 {
            let gained = links.gain(customer, subject(2_000 + number));
            assert_eq!(gained, number <= 100, "{number}");
        }
        assert_eq!(links.gained.len(), 100);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let recent = RecentLinks::default();
        let many = (0..=u16::MAX).map(|number| (subject(number), subject(number ^ 1)));
        recent.remember(&many.collect::<Vec<_>>());
        let halves = recent.0.lock();
        assert!(halves.0.len() <= HALF && halves.1.len() <= HALF);
        assert!(halves.0.len() + halves.1.len() > HALF);
    }
}
