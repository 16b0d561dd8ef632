//! Subjects by number: small, dense, stable within a process, given in order of first sight.
//!
//! Numbers are only ever added, so one table serves all snapshots; a snapshot knows how many
//! numbers it was made of and does not see later ones. They differ between processes and must not
//! be written anywhere.

use std::collections::HashMap;

use assent_consent::SubjectId;
use parking_lot::{RwLock, RwLockReadGuard};

const SHARDS: usize = 64;

#[derive(Debug)]
pub(crate) struct Numbers {
    by_subject: Vec<RwLock<HashMap<SubjectId, u32>>>,
    by_number: RwLock<Vec<SubjectId>>,
}

impl Default for Numbers {
    fn default() -> Self {
        Self {
            by_subject: (0..SHARDS).map(|_| RwLock::default()).collect(),
            by_number: RwLock::default(),
        }
    }
}

impl Numbers {
    fn shard(&self, subject: &SubjectId) -> &RwLock<HashMap<SubjectId, u32>> {
        // Subject ids are random, so any byte spreads them evenly.
        &self.by_subject[usize::from(subject.as_bytes()[0]) % SHARDS]
    }

    pub(crate) fn get(&self, subject: &SubjectId) -> Option<u32> {
        self.shard(subject).read().get(subject).copied()
    }

    /// The number of the subject, given now if it has none. Called under the state's write lock only.
    ///
    /// `None` when all numbers are used up.
    pub(crate) fn get_or_add(&self, subject: SubjectId) -> Option<u32> {
        if let Some(number) = self.get(&subject) {
            return Some(number);
        }
        let mut by_number = self.by_number.write();
        let number = u32::try_from(by_number.len())
            .ok()
            .filter(|n| *n != u32::MAX)?;
        by_number.push(subject);
        self.shard(&subject).write().insert(subject, number);
        Some(number)
    }

    pub(crate) fn subject(&self, number: u32) -> Option<SubjectId> {
        self.subjects().get(usize::try_from(number).ok()?).copied()
    }

    /// All subjects, by number. No new one can be numbered meanwhile.
    pub(crate) fn subjects(&self) -> RwLockReadGuard<'_, Vec<SubjectId>> {
        self.by_number.read()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_given_in_order_of_first_sight_and_stay() {
        let numbers = Numbers::default();
        let subjects: Vec<SubjectId> = (0..200_u8)
            .rev()
            .map(|n| SubjectId::from_bytes([n; 16]))
            .collect();
        for (n, subject) in (0_u32..).zip(&subjects) {
            assert_eq!(numbers.get(subject), None);
            assert_eq!(numbers.get_or_add(*subject), Some(n));
            assert_eq!(numbers.get_or_add(*subject), Some(n));
        }
        for (n, subject) in (0_u32..).zip(&subjects) {
            assert_eq!(numbers.get(subject), Some(n));
            assert_eq!(numbers.subject(n), Some(*subject));
        }
        assert_eq!(numbers.subject(200), None);
    }
}
