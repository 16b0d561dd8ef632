//! What was acknowledged lately: saves work, decides nothing.
//!
//! Duplicates are decided in the fold: behaviour by (source, message id) within the declared window,
//! facts that widen by the id of their event, which is made of source, message id and person. This filter forgets, and an event it has forgotten is simply journalled once more. It is deterministic:
//! two generations of equal size, no time and no chance.
//!
//! Links are remembered until any link is ended: then all are forgotten, and each is recorded again
//! with its next call.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

/// A fingerprint of what was acknowledged.
pub(crate) type Mark = u128;

/// The mark of these parts; no two lists of parts run together alike.
pub(crate) fn mark<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> Mark {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let digest: [u8; 32] = hasher.finalize().into();
    let (half, _) = digest
        .split_first_chunk::<16>()
        .expect("32 is more than 16");
    Mark::from_be_bytes(*half)
}

/// A bounded memory of marks.
pub(crate) struct Recent {
    halves: Mutex<(HashSet<Mark>, HashSet<Mark>)>,
    half: usize,
    /// How often links were ended; part of the mark of a link.
    unlinked: AtomicU64,
}

impl Recent {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            halves: Mutex::default(),
            half: capacity / 2,
            unlinked: AtomicU64::new(0),
        }
    }

    /// What a mark of a link holds for; another one after [`Recent::forget_links`].
    pub(crate) fn links(&self) -> u64 {
        self.unlinked.load(Ordering::SeqCst)
    }

    /// A link was ended. Call it after that is in the journal: a link recorded before it must not be
    /// taken for one that still stands.
    pub(crate) fn forget_links(&self) {
        self.unlinked.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn contains(&self, mark: Mark) -> bool {
        let halves = self.halves.lock();
        halves.0.contains(&mark) || halves.1.contains(&mark)
    }

    pub(crate) fn remember(&self, marks: impl IntoIterator<Item = Mark>) {
        if self.half == 0 {
            return;
        }
        let mut halves = self.halves.lock();
        for mark in marks {
            if halves.0.len() >= self.half {
                halves.1 = std::mem::take(&mut halves.0);
            }
            halves.0.insert(mark);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Recent, mark};

    #[test]
    fn remembers_at_least_half_and_at_most_all_of_its_capacity() {
        let recent = Recent::new(10);
        recent.remember(0..1_000);
        for mark in 995..1_000 {
            assert!(recent.contains(mark));
        }
        assert_eq!((0..1_000).filter(|mark| recent.contains(*mark)).count(), 10);
        let none = Recent::new(0);
        none.remember([1]);
        assert!(!none.contains(1));
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(mark([&b"ab"[..], b"c"]), mark([&b"a"[..], b"bc"]));
    }
}
