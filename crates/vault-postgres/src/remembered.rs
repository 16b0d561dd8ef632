//! What this process remembers of the store, and as of when.
//!
//! The store counts destructions in *epochs*. The caches are right as of one epoch: when a call
//! hears of a later one, it hears of the keys destroyed since, too, and they are forgotten before
//! the epoch moves. What a call learnt is kept only when nothing was destroyed meanwhile.

use std::collections::HashSet;

use assent_consent::SubjectId;
use assent_event::KeyClass;
use assent_vault::DataKey;
use assent_vault::stores::{Blind, Cache, Place, place};
use parking_lot::Mutex;

/// A moment of the caches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The epoch as of which they are right.
    pub(crate) epoch: i64,
    /// Counts how often everything was forgotten.
    life: u64,
}

/// The caches of one process.
pub(crate) struct Remembered {
    subjects: Cache<Blind, SubjectId>,
    keys: Cache<Place, DataKey>,
    mark: Mutex<Mark>,
}

impl Remembered {
    pub(crate) fn new(subjects: usize, keys: usize) -> Self {
        Self {
            subjects: Cache::new(subjects),
            keys: Cache::new(keys),
            mark: Mutex::new(Mark { epoch: 0, life: 0 }),
        }
    }

    /// As of when the caches are right. Take it before looking into them.
    pub(crate) fn mark(&self) -> Mark {
        *self.mark.lock()
    }

    /// `found` hears the place and the subject of each hit.
    pub(crate) fn subjects(&self, blinds: &[Blind], found: impl FnMut(usize, SubjectId)) {
        self.subjects.get_each(blinds, found);
    }

    /// `found` hears the place and the key of each hit.
    pub(crate) fn keys(&self, places: &[Place], found: impl FnMut(usize, DataKey)) {
        self.keys.get_each(places, found);
    }

    /// Brings the caches up to an epoch: `destroyed` are the keys destroyed since `from`. The mark
    /// under which a call may add what it learnt as of that epoch.
    pub(crate) fn advance(&self, from: Mark, epoch: i64, destroyed: &HashSet<Place>) -> Mark {
        let mut mark = self.mark.lock();
        if mark.life == from.life {
            if epoch < from.epoch {
                // The store is an older one than it was: what was learnt since is void.
                self.clear(&mut mark);
                mark.epoch = epoch;
            } else {
                self.drop_destroyed(destroyed);
                // Another call may be further; what it dropped includes this.
                mark.epoch = mark.epoch.max(epoch);
            }
        }
        Mark {
            epoch,
            life: from.life,
        }
    }

    /// Adds subjects that were read under `as_of`, unless more was destroyed since.
    pub(crate) fn add_subjects(&self, as_of: Mark, learnt: Vec<(Blind, SubjectId)>) {
        let mark = self.mark.lock();
        if *mark == as_of {
            self.subjects.insert_each(learnt);
        }
    }

    /// Adds keys that were read under `as_of`, unless more was destroyed since.
    pub(crate) fn add_keys(&self, as_of: Mark, learnt: Vec<(Place, DataKey)>) {
        let mark = self.mark.lock();
        if *mark == as_of {
            self.keys.insert_each(learnt);
        }
    }

    /// Forgets everything, also what calls under way are about to add.
    pub(crate) fn forget(&self) {
        self.clear(&mut self.mark.lock());
    }

    fn clear(&self, mark: &mut Mark) {
        mark.life += 1;
        self.subjects.clear();
        self.keys.clear();
    }

    fn drop_destroyed(&self, destroyed: &HashSet<Place>) {
        if destroyed.is_empty() {
            return;
        }
        for place in destroyed {
            self.keys.remove(place);
        }
        // With the identity class goes the identifier, of which the store keeps no trace to find
        // the entry by.
        self.subjects
            .retain(|subject| !destroyed.contains(&place(*subject, KeyClass::Identity)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: SubjectId = SubjectId::from_bytes([1; 16]);
    const TWO: SubjectId = SubjectId::from_bytes([2; 16]);

    fn knows(remembered: &Remembered) -> [bool; 2] {
        let mut known = [false; 2];
        remembered.subjects(&[[1; 32], [2; 32]], |at, _| known[at] = true);
        known
    }

    fn learnt() -> Vec<(Blind, SubjectId)> {
        vec![([1; 32], ONE), ([2; 32], TWO)]
    }

    fn identity(subject: SubjectId) -> HashSet<Place> {
        HashSet::from([place(subject, KeyClass::Identity)])
    }

    #[test]
    fn what_was_destroyed_is_forgotten_and_nothing_else() {
        let remembered = Remembered::new(10, 10);
        let mark = remembered.advance(remembered.mark(), 5, &HashSet::new());
        remembered.add_subjects(mark, learnt());
        assert_eq!(knows(&remembered), [true, true]);
        remembered.advance(mark, 6, &identity(ONE));
        assert_eq!(knows(&remembered), [false, true]);
        // Another class of the subject leaves the identifier alone.
        let profile = HashSet::from([place(TWO, KeyClass::Profile)]);
        remembered.advance(remembered.mark(), 7, &profile);
        assert_eq!(knows(&remembered), [false, true]);
    }

    #[test]
    fn a_late_call_does_not_bring_the_destroyed_back() {
        let remembered = Remembered::new(10, 10);
        let late = remembered.mark();
        // It reads, then another call hears of a destruction, then it adds what it read.
        let read = remembered.advance(late, 0, &HashSet::new());
        remembered.advance(remembered.mark(), 1, &identity(ONE));
        remembered.add_subjects(read, learnt());
        assert_eq!(knows(&remembered), [false, false]);
        // A call further behind does not set the epoch back.
        remembered.advance(late, 0, &HashSet::new());
        assert_eq!(remembered.mark().epoch, 1);
    }

    #[test]
    fn a_store_set_back_is_not_trusted_with_what_was_learnt_before() {
        let remembered = Remembered::new(10, 10);
        let mark = remembered.advance(remembered.mark(), 5, &HashSet::new());
        remembered.add_subjects(mark, learnt());
        remembered.advance(remembered.mark(), 4, &HashSet::new());
        assert_eq!(knows(&remembered), [false, false]);
        assert_eq!(remembered.mark().epoch, 4);
        // Nor is a call that began before.
        remembered.add_subjects(mark, learnt());
        remembered.add_subjects(Mark { epoch: 4, ..mark }, learnt());
        assert_eq!(knows(&remembered), [false, false]);
    }

    #[test]
    fn what_is_forgotten_is_not_added_by_calls_under_way() {
        let remembered = Remembered::new(10, 10);
        let mark = remembered.mark();
        remembered.add_subjects(mark, learnt());
        remembered.forget();
        assert_eq!(knows(&remembered), [false, false]);
        remembered.add_subjects(mark, learnt());
        assert_eq!(knows(&remembered), [false, false]);
        remembered.add_subjects(remembered.mark(), learnt());
        assert_eq!(knows(&remembered), [true, true]);
    }
}
