//! I3 and I4 with several projectors: whatever the group, the scheduler, crashes and the storage do, what stands in the
//! end is what one projector folds alone, and what stands on the way is never wrong.

use std::collections::VecDeque;

use assent_journal::Checkpoint;
use assent_programme::Measure;
use assent_projection::{Definitions, Settings};
use assent_vault::Vault;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::catalog::{definitions, derived};
use crate::fleet::{Act, Fleet};
use crate::memory_journal::PARTITIONS;
use crate::replay::{assert_same, at_once, dump, reveal, run, settings};
use crate::story::{Room, malformed, story, subject, topics};

/// A few acts for the steps that a projector will come to.
fn plan(rng: &mut StdRng, members: usize) -> VecDeque<Act> {
    let length = rng.random_range(0..12);
    (0..length)
        .map(|_| match rng.random_range(0..10) {
            0 => Act::Crash,
            1..=3 => Act::Let(rng.random_range(0..members)),
            _ => Act::Go,
        })
        .collect()
}

/// Another catalogue: everything is to be folded again.
pub fn extended() -> Definitions {
    let mut extended = definitions();
    let again = derived("again", Measure::Count, None);
    extended.catalog.derived.push(again);
    extended
}

/// Some minutes in the life of a fleet.
async fn live(fleet: &Fleet, rng: &mut StdRng, faults: bool, erasing: bool) {
    let ends = fleet.journal.ends(&topics());
    let mut shown = Checkpoint::new();
    fleet.share(rng);
    let mut erased = false;
    while !shown.covers(&ends) {
        fleet
            .storage
            .fail_one_in(if faults && rng.random() { 12 } else { 0 });
        match rng.random_range(0..16) {
            0..=3 => {
                shown = reveal(rng, &shown, &ends);
                fleet.journal.show(Some(shown.clone()));
            }
            4 => fleet.share(rng),
            // The group is late: a shard is given to two, or to nobody.
            5 => {
                let number = rng.random_range(0..fleet.members.len());
                let shards = (0..PARTITIONS).filter(|_| rng.random());
                fleet.assign(number, shards.collect::<Vec<_>>());
            }
            6 => {
                let number = rng.random_range(0..fleet.members.len());
                let mut projector = fleet.members[number].projector.lock().await;
                fleet.reopen(number, &mut projector);
            }
            7 => {
                let number = rng.random_range(0..fleet.members.len());
                let with = if rng.random() {
                    extended()
                } else {
                    definitions()
                };
                fleet.definitions.lock().unwrap()[number] = with;
            }
            8 if rng.random_ratio(1, 4) => {
                let number = rng.random_range(0..fleet.members.len());
                fleet.job(number, async |one| one.rebuild().await).await;
            }
            9 if erasing && shown != Checkpoint::new() => {
                if !erased {
                    fleet.room.vault.destroy(subject(2)).unwrap();
                    erased = true;
                }
                let number = rng.random_range(0..fleet.members.len());
                fleet
                    .job(number, async |one| one.purge_erased().await)
                    .await;
            }
            _ => {
                let number = rng.random_range(0..fleet.members.len());
                let acts = plan(rng, fleet.members.len());
                *fleet.members[number].script.plan.lock().unwrap() = acts;
                if rng.random() {
                    fleet.run(number).await;
                } else {
                    fleet.keep_up(number).await;
                }
                fleet.members[number].script.plan.lock().unwrap().clear();
            }
        }
        // While storage fails, so might the reader; it reads the storage behind the faults.
        fleet.look();
    }
    let everybody = if rng.random() {
        extended()
    } else {
        definitions()
    };
    fleet.definitions.lock().unwrap().fill(everybody);
}

/// Few by default; `ASSENT_TEST_RIVALS` asks for more.
fn cases() -> u32 {
    let asked = std::env::var("ASSENT_TEST_RIVALS").ok();
    asked.and_then(|cases| cases.parse().ok()).unwrap_or(12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn many_projectors_say_what_one_says(
        seed: u64, members in 2_usize..4, length in 20_usize..150, faults: bool, erasing: bool,
    ) {
        let room = Room::new();
        let journal = room.journal(story(seed, length, 9, true));
        malformed(&room, &journal);
        run(async {
            let mut rng = StdRng::seed_from_u64(seed);
            let settings = Settings {
                batch_records: 1 + (seed % 40) as usize,
                max_files: 1 + (seed % 4) as usize,
                ..settings()
            };
            let fleet = Fleet::new(room, journal, members, settings, seed);
            live(&fleet, &mut rng, faults, erasing).await;
            let mut rested = fleet.rest(&mut rng).await;
            if erasing {
                fleet.room.vault.destroy(subject(2)).unwrap();
                fleet.job(0, async |one| one.purge_erased().await).await.unwrap();
                rested = fleet.rest(&mut rng).await;
                for number in 0..members {
                    fleet.run(number).await.unwrap();
                }
                let subjects = fleet.subjects();
                assert!(!subjects.contains(&subject(2)), "not even in files that nothing names");
                assert!(length < 100 || subjects.contains(&subject(1)));
            }
            let definitions = fleet.definitions.lock().unwrap()[0].clone();
            let whole = at_once(&fleet.room, "whole", &fleet.journal, &definitions).await;
            if erasing {
                // How many of the erased records count as folded depends on when they were erased.
                assert_eq!(dump(&rested), dump(&whole));
            } else {
                assert_same(&rested, &whole);
            }
        });
    }
}
