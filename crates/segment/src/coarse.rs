//! Counts as those are told them who are no officers: so roughly that nobody sees one person move.
//!
//! Whoever may ask can ask again and again. A count that was rounded anew each time would show every change that carries
//! it over a multiple of k, and with k at five that is one decision in three. So a count that was told once stays until it
//! is off by k, and then jumps to the nearest multiple: between two jumps at least half of k people changed, and each
//! count is off by less than k.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use assent_consent::{Reason, Use};

use crate::explain::{BaseCounts, Few};

/// What was told last, for each use. It ends with the process.
#[derive(Debug, Default)]
pub(crate) struct Coarse {
    told: Mutex<HashMap<Use, Told>>,
    single: Mutex<HashMap<String, u64>>,
}

#[derive(Debug, Default)]
struct Told {
    base: Option<u64>,
    permitted: Option<u64>,
    denied: BTreeMap<Reason, u64>,
    few: Option<u64>,
}

impl Coarse {
    /// What to tell of one exact count; `what` tells it from all others.
    pub(crate) fn one(&self, what: &str, exact: u64, k: u64) -> u64 {
        let mut single = self.single.lock().unwrap_or_else(PoisonError::into_inner);
        // What begins below k is nobody.
        let told = single.entry(what.to_owned()).or_default();
        *told = stay(Some(*told), exact, k.max(1));
        *told
    }

    /// What to tell of exact counts.
    pub(crate) fn of(&self, declared: &Use, exact: &BaseCounts, k: u64) -> BaseCounts {
        let k = k.max(1);
        let mut all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let told = all.entry(declared.clone()).or_default();
        for reason in Reason::ALL {
            let exact = exact.denied.get(&reason).copied().unwrap_or(0);
            let before = told.denied.get(&reason).copied();
            // What begins below k is told with the others that are.
            told.denied
                .insert(reason, stay(Some(before.unwrap_or(0)), exact, k));
        }
        let shown = |reason: &Reason| told.denied.get(reason).is_some_and(|n| *n > 0);
        let rare = exact.denied.iter().filter(|(reason, _)| !shown(reason));
        let rare = rare.map(|(_, members)| members).sum();
        told.base = Some(stay(told.base, exact.base, k));
        told.permitted = Some(stay(told.permitted, exact.permitted, k));
        told.few = Some(stay(told.few, rare, k));
        BaseCounts {
            base: told.base.unwrap_or(0),
            permitted: told.permitted.unwrap_or(0),
            denied: told
                .denied
                .iter()
                .filter(|(_, members)| **members > 0)
                .map(|(reason, members)| (*reason, *members))
                .collect(),
            few: Some(Few {
                members: told.few.unwrap_or(0),
                k,
            }),
        }
    }
}

/// What was told, unless it is off by k or more: then the nearest multiple of k.
fn stay(told: Option<u64>, exact: u64, k: u64) -> u64 {
    match told {
        Some(told) if told.abs_diff(exact) < k => told,
        Some(_) | None => (exact + k / 2) / k * k,
    }
}

#[cfg(test)]
mod tests {
    use assent_consent::PurposeId;

    use super::*;

    fn exact(permitted: u64, denied: &[(Reason, u64)]) -> BaseCounts {
        BaseCounts {
            base: permitted + denied.iter().map(|(_, n)| n).sum::<u64>(),
            permitted,
            denied: denied.iter().copied().collect(),
            few: None,
        }
    }

    #[test]
    fn a_count_stays_until_it_is_off_by_k() {
        let coarse = Coarse::default();
        let declared = Use::of(PurposeId::parse("marketing").expect("a purpose"));
        let told = |permitted, withdrawn| {
            let counts = exact(permitted, &[(Reason::Withdrawn, withdrawn)]);
            let told = coarse.of(&declared, &counts, 5);
            (told.permitted, told.denied.get(&Reason::Withdrawn).copied())
        };
        assert_eq!(told(20, 10), (20, Some(10)));
        // Wherever the exact counts stand, one person more or less does not show.
        for moved in [19, 21, 24, 16, 20] {
            assert_eq!(told(moved, 30 - moved), (20, Some(10)));
        }
        assert_eq!(told(25, 5), (25, Some(5)));
        assert_eq!(told(21, 9), (25, Some(5)));
    }

    #[test]
    fn rare_reasons_are_told_together() {
        let coarse = Coarse::default();
        let declared = Use::of(PurposeId::parse("marketing").expect("a purpose"));
        let told = |counts: &[(Reason, u64)]| coarse.of(&declared, &exact(0, counts), 5);
        let first = told(&[
            (Reason::Erased, 1),
            (Reason::Expired, 4),
            (Reason::Refused, 8),
        ]);
        assert_eq!(first.denied, BTreeMap::from([(Reason::Refused, 10)]));
        assert_eq!(first.few, Some(Few { members: 5, k: 5 }));
        assert_eq!(first.base, 15);
        let second = told(&[
            (Reason::Erased, 1),
            (Reason::Expired, 5),
            (Reason::Refused, 8),
        ]);
        assert_eq!(
            second.denied,
            BTreeMap::from([(Reason::Expired, 5), (Reason::Refused, 10)])
        );
    }
}
