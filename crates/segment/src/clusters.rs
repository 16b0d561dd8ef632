//! Whose rows are read together: those of subjects who are lawful for the same purposes.
//!
//! A query for a purpose reads the rows of whoever is lawful for it. Subjects are put into clusters by a tree that asks, at
//! each fork, about the purpose that parts its subjects best, the largest parts first. It is a hint for the layout of files,
//! as verdicts stand when files are put together; which rows a query reads is decided by the gate alone, at the time of the
//! query.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use assent_consent::{LegalBasis, Use};
use assent_permit::{Permit, PermitSet};
use assent_projection::{Clustering, Clusters};

use crate::engine::Clock;

/// Of so many purposes at most it is asked who is lawful: a bit each.
const PURPOSES: usize = 8;

/// A fork leaves at least one subject in so many of an average cluster on either side.
const LEAST_PART: u64 = 4;

/// Clusters of subjects by what they are lawful for.
pub struct ByConsent {
    permit: Arc<Permit>,
    clock: Arc<dyn Clock>,
    ready: AtomicBool,
}

impl ByConsent {
    /// By the verdicts of this index, which has caught up with the journal once: what is laid out by half of the decisions
    /// stays so for long.
    #[must_use]
    pub fn new(permit: Arc<Permit>, clock: Arc<dyn Clock>) -> Self {
        let loading = Self::loading(permit, clock);
        loading.ready.store(true, Ordering::Relaxed);
        loading
    }

    /// By an index that was just started: there are no clusters until [`ByConsent::load`] has returned.
    #[must_use]
    pub fn loading(permit: Arc<Permit>, clock: Arc<dyn Clock>) -> Self {
        Self {
            permit,
            clock,
            ready: AtomicBool::new(false),
        }
    }

    /// Waits until the index has caught up with the journal once.
    ///
    /// # Errors
    /// As [`Permit::barrier`]; but for [`assent_permit::ErrorKind::Unavailable`], which is waited out.
    pub async fn load(&self) -> Result<(), assent_permit::Error> {
        const PAUSE: Duration = Duration::from_secs(1);
        while let Err(error) = self.permit.barrier().await {
            if error.kind() != assent_permit::ErrorKind::Unavailable {
                return Err(error);
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.ready.store(true, Ordering::Relaxed);
        Ok(())
    }
}

impl fmt::Debug for ByConsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            permit,
            clock: _,
            ready,
        } = self;
        f.debug_struct("ByConsent")
            .field("permit", permit)
            .field("ready", ready)
            .finish_non_exhaustive()
    }
}

impl Clustering for ByConsent {
    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    fn clusters(&self, at_most: usize) -> Option<Clusters> {
        let registry = self.permit.registry();
        let purposes = registry.consent().purposes();
        // On other bases all are lawful, or nearly.
        let purposes = purposes.filter(|purpose| purpose.basis == LegalBasis::Consent);
        let sets = purposes.filter_map(|purpose| {
            let asked = Use::of(purpose.id.clone());
            // The present of each: verdicts may take long to be worked out, and those of queries do not go back.
            let set = self.permit.permitted_live(&asked, self.clock.now());
            set.inspect_err(|error| {
                tracing::warn!(%error, "files are laid out as if nobody were lawful for a purpose");
            })
            .ok()
        });
        let parting = sets.filter(|set| (1..set.len()).contains(&set.permitted_len()));
        let sets: Vec<Arc<PermitSet>> = parting.take(PURPOSES).collect();
        let numbers = Arc::clone(sets.first()?);
        let known = sets.iter().map(|set| set.len()).min()?;
        let known = u32::try_from(known).unwrap_or(u32::MAX);
        let lawful_for = move |number: u32| -> u16 {
            let sets = sets.iter().enumerate();
            sets.map(|(bit, set)| u16::from(set.is_permitted(number)) << bit)
                .sum()
        };
        let of_each: Vec<u16> = (0..known).map(lawful_for).collect();
        // Whom nobody has heard of is lawful for nothing, and is to have a place with those who are lawful for least.
        let mut subjects: BTreeMap<u16, u64> = BTreeMap::from([(0, 1)]);
        for lawful_for in &of_each {
            *subjects.entry(*lawful_for).or_default() += 1;
        }
        let clusters = parted(&subjects, at_most);
        Some(Clusters {
            count: clusters.values().max().map_or(1, |last| last + 1),
            of: Box::new(move |subject| {
                let number = numbers.number_of(subject);
                let lawful_for = number.and_then(|number| of_each.get(number as usize));
                clusters.get(lawful_for.unwrap_or(&0)).copied().unwrap_or(0)
            }),
        })
    }
}

/// The cluster of each set of purposes, by how many subjects are lawful for just that.
fn parted(subjects: &BTreeMap<u16, u64>, at_most: usize) -> BTreeMap<u16, usize> {
    let all: u64 = subjects.values().sum();
    let least = (all / (at_most.max(1) as u64 * LEAST_PART)).max(1);
    let count = |part: &[u16]| -> u64 { part.iter().map(|set| subjects[set]).sum() };
    let mut parts: Vec<Vec<u16>> = vec![subjects.keys().copied().collect()];
    while parts.len() < at_most {
        let forks = parts.iter().enumerate().flat_map(|(place, part)| {
            (0..PURPOSES).map(move |bit| {
                let (with, without): (Vec<u16>, Vec<u16>) =
                    part.iter().partition(|set| *set & (1 << bit) != 0);
                (place, with, without)
            })
        });
        let best = forks
            .map(|(place, with, without)| (count(&with).min(count(&without)), place, with, without))
            .max_by_key(|(gain, place, ..)| (*gain, std::cmp::Reverse(*place)));
        match best {
            Some((gain, place, with, without)) if gain >= least => {
                parts[place] = with;
                parts.push(without);
            }
            Some(_) | None => break,
        }
    }
    let parts = parts.into_iter().enumerate();
    parts
        .flat_map(|(cluster, part)| part.into_iter().map(move |set| (set, cluster)))
        .collect()
}

#[cfg(test)]
mod tests {
    use assent_consent::{PurposeId, SubjectId};

    use super::*;
    use crate::tests::world::{now, world};

    #[test]
    fn with_clusters_enough_each_is_lawful_for_the_same_purposes() {
        let world = world();
        let permit = world.engine.permit();
        let by_consent = ByConsent::new(Arc::clone(permit), Arc::new(now));
        let clusters = by_consent.clusters(256).expect("purposes that part");
        let purpose = PurposeId::parse("marketing").expect("a purpose");
        let set = permit.permitted_live(&Use::of(purpose), now());
        let set = set.expect("verdicts");
        let lawful = |person: &SubjectId| {
            let number = set.number_of(person);
            number.is_some_and(|number| set.is_permitted(number))
        };
        let mut of_clusters: BTreeMap<usize, Vec<bool>> = BTreeMap::new();
        for person in &world.people {
            let cluster = (clusters.of)(&person.subject);
            assert!(cluster < clusters.count);
            let lawful = lawful(&person.subject);
            of_clusters.entry(cluster).or_default().push(lawful);
        }
        let alike = |cluster: &Vec<bool>| cluster.iter().all(|lawful| *lawful == cluster[0]);
        assert!(of_clusters.values().all(alike), "{of_clusters:?}");
        let of = |wanted| of_clusters.values().any(|cluster| cluster[0] == wanted);
        assert!(of(true) && of(false), "control: there are both");
    }

    #[test]
    fn the_purpose_that_parts_most_comes_first() {
        let subjects = BTreeMap::from([(0b00, 400), (0b01, 500), (0b10, 95), (0b11, 120)]);
        assert_eq!(parted(&subjects, 1).values().max(), Some(&0));
        let two = parted(&subjects, 2);
        assert_eq!(two[&0b00], two[&0b10]);
        assert_eq!(two[&0b01], two[&0b11]);
        assert_ne!(two[&0b00], two[&0b01]);
        let three = parted(&subjects, 3);
        assert_eq!(three.values().max(), Some(&2));
        assert_ne!(
            three[&0b01], three[&0b11],
            "the largest part is parted next"
        );
    }

    #[test]
    fn a_handful_is_no_cluster_of_its_own() {
        let subjects = BTreeMap::from([(0b0, 1_000), (0b1, 30)]);
        assert_eq!(parted(&subjects, 8)[&0b1], 0);
        let subjects = BTreeMap::from([(0b0, 1_000), (0b1, 40)]);
        assert_eq!(parted(&subjects, 8).values().max(), Some(&1));
        assert!(parted(&BTreeMap::new(), 8).is_empty());
    }
}
