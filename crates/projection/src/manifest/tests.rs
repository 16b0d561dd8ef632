//! The algebra of shards: what owners of different shards commit can come in any order, and what one owner commits
//! never enters where another has taken over.

use assent_consent::Calendar;
use assent_event::topics;
use assent_journal::Topic;
use assent_programme::TraitCatalog;
use proptest::prelude::*;

use super::*;
use crate::shard::{Next, Standing};

const SHARDS: u32 = 4;

fn definitions(window: i64) -> Definitions {
    let catalog = TraitCatalog {
        identified: Vec::new(),
        derived: Vec::new(),
    };
    Definitions {
        dedup_window_micros: window,
        ..Definitions::new(catalog, Calendar::default())
    }
}

fn owner(number: u8) -> Owner {
    Owner::from_bytes([number; 16])
}

fn line(shard: u32, next: u64) -> Line {
    let mut checkpoint = Checkpoint::new();
    checkpoint.set(&Topic::new(topics::PROFILE), shard, next);
    let mut line = Line::starting(checkpoint);
    line.counts.folded = next;
    line
}

/// A generation in the making: by definitions of one of two windows, in one of three generations.
fn next(shard: u32) -> impl Strategy<Value = Option<Next>> {
    proptest::option::weighted(
        0.9,
        (
            prop_oneof![9 => Just(1_i64), 1 => Just(2)],
            prop_oneof![9 => Just(3_u64), 1 => Just(4), 1 => Just(1)],
            prop_oneof![9 => Just(true), 1 => Just(false)],
            0_u64..9,
        ),
    )
    .prop_map(move |next| {
        let (window, generation, complete, position) = next?;
        Some(Next {
            generation,
            digest: definitions(window).digest(),
            definitions: definitions(window),
            complete,
            line: line(shard, 100 + position),
        })
    })
}

fn shard(number: u32) -> impl Strategy<Value = Shard> {
    (1_u64..9, 0_u8..3, 0_u64..3, 0_u64..99, next(number)).prop_map(
        move |(epoch, by, purged, position, next)| Shard {
            epoch,
            owner: owner(by),
            purged,
            live: line(number, position),
            next,
        },
    )
}

prop_compose! {
    fn manifest()(
        shards in (shard(0), shard(1), shard(2), shard(3)),
        absent in prop_oneof![9 => Just(SHARDS), 1 => 0..SHARDS],
        shown in prop_oneof![9 => Just(true), 1 => Just(false)],
        wanted in 0_u64..4,
    ) -> Manifest {
        let (zero, one, two, three) = shards;
        let mut shards: BTreeMap<u32, Shard> = (0..).zip([zero, one, two, three]).collect();
        shards.remove(&absent);
        Manifest {
            number: 20,
            parent: Some(19),
            writer: owner(9),
            partitions: SHARDS,
            live: shown.then(|| Generation {
                number: 2,
                digest: definitions(0).digest(),
                definitions: definitions(0),
            }),
            wanted,
            purge: 2,
            shards,
            ..Manifest::nothing()
        }
    }
}

/// What an owner does to its shard.
#[derive(Clone, Debug)]
enum Change {
    Fold(u64),
    Complete,
    Purge,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (1_u64..9).prop_map(Change::Fold),
        Just(Change::Complete),
        Just(Change::Purge),
    ]
}

fn changed(shard: &Shard, number: u32, change: &Change, purge: u64) -> Shard {
    let mut shard = shard.clone();
    match change {
        Change::Fold(step) => {
            let position = shard.line().counts.folded + step;
            *shard.line_mut() = line(number, position);
        }
        Change::Complete => {
            if let Some(next) = &mut shard.next {
                next.complete = true;
            }
        }
        Change::Purge => shard.purged = purge,
    }
    shard
}

/// The commit of an owner that left its shard as `base` has it, onto whatever is newest.
fn commit(newest: &Manifest, base: &Shard, number: u32, change: &Change) -> Manifest {
    let mut next = newest.child(base.owner);
    let now = changed(base, number, change, newest.purge);
    let now = match base.standing(newest.shards.get(&number)) {
        Standing::Same => Some(now),
        Standing::Swapped => now.swapped(),
        Standing::Moved | Standing::Fenced(_) => None,
    };
    if let Some(now) = now {
        next.shards.insert(number, now);
    }
    next.swap_when_complete();
    next.forget_when_purged();
    next
}

/// What a manifest says, but for who wrote it when.
fn said(manifest: &Manifest) -> impl PartialEq + std::fmt::Debug {
    let forgets = manifest.forget_before > 0;
    (
        manifest.live.clone(),
        manifest.wanted,
        manifest.shards.clone(),
        forgets,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Owners of different shards do not hinder each other, whichever is first; not even when one of them swaps.
    #[test]
    fn commits_of_different_shards_come_in_any_order(
        manifest in manifest(), one in change(), other in change(),
    ) {
        let (Some(a), Some(b)) = (manifest.shards.get(&0), manifest.shards.get(&1)) else {
            return Ok(());
        };
        let forth = commit(&commit(&manifest, a, 0, &one), b, 1, &other);
        let back = commit(&commit(&manifest, b, 1, &other), a, 0, &one);
        prop_assert_eq!(said(&forth), said(&back));
        prop_assert_eq!((forth.number, forth.parent), (22, Some(21)));
    }

    /// A swap takes place when all shards are ready and alike, and then in all of them.
    #[test]
    fn a_swap_is_whole_or_not_at_all(manifest in manifest()) {
        let mut swapped = manifest.clone();
        swapped.swap_when_complete();
        let least = manifest.next_generation();
        let nexts: Vec<&Next> = manifest
            .shards
            .values()
            .filter_map(|shard| shard.next.as_ref())
            .filter(|next| next.complete && next.generation >= least)
            .collect();
        let digests: BTreeSet<&str> = nexts.iter().map(|next| next.digest.as_str()).collect();
        if nexts.len() == SHARDS as usize && digests.len() == 1 {
            let live = swapped.live.clone().unwrap();
            prop_assert_eq!(live.digest.as_str(), *digests.first().unwrap());
            prop_assert!(live.number >= least);
            for (number, shard) in &swapped.shards {
                let before = &manifest.shards[number];
                prop_assert_eq!(Some(&shard.live), before.next.as_ref().map(|next| &next.line));
                prop_assert_eq!(&shard.next, &None);
                prop_assert_eq!(before.standing(Some(shard)), Standing::Swapped);
            }
            let again = swapped.clone();
            swapped.swap_when_complete();
            prop_assert_eq!(&swapped, &again);
        } else {
            prop_assert_eq!(&swapped, &manifest);
        }
    }

    /// Once a shard was taken over, nothing that its former owner commits changes it.
    #[test]
    fn the_fenced_change_nothing(manifest in manifest(), zombie in change(), by in 0_u8..3) {
        let Some(base) = manifest.shards.get(&0) else {
            return Ok(());
        };
        let mut taken = manifest.child(owner(by));
        let shard = taken.shards.get_mut(&0).unwrap();
        (shard.epoch, shard.owner) = (taken.number, owner(by));
        prop_assert_eq!(base.standing(taken.shards.get(&0)), Standing::Fenced(taken.number));
        let mut untouched = taken.child(owner(by));
        untouched.swap_when_complete();
        untouched.forget_when_purged();
        let after = commit(&taken, base, 0, &zombie);
        prop_assert_eq!(said(&after), said(&untouched));
    }

    /// Whatever is asked for is done in the end, and not before.
    #[test]
    fn a_rebuild_that_was_asked_for_begins_all_over(manifest in manifest()) {
        let mut asked = manifest.clone();
        asked.want_rebuild();
        for shard in asked.shards.values().filter_map(|shard| shard.next.as_ref()) {
            prop_assert!(shard.generation < asked.next_generation());
        }
        let before = asked.clone();
        asked.swap_when_complete();
        prop_assert_eq!(&asked, &before, "what was being made is no answer");
        prop_assert_eq!(asked.outdated(&definitions(0).digest()), Some(Rebuilt::Asked));
    }

    #[test]
    fn it_is_read_as_it_was_sealed_and_no_byte_can_change(
        manifest in manifest(), place: prop::sample::Index, bit in 0_u8..7,
    ) {
        let mut sealed = manifest;
        let mut bytes = sealed.seal().unwrap();
        let path = Path::new("m");
        prop_assert_eq!(&Manifest::read(path, &bytes).unwrap(), &sealed);
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        // A changed name of something absent is no change of what is said.
        if let Ok(read) = Manifest::read(path, &bytes) {
            prop_assert_eq!(read, sealed);
        }
    }
}

#[test]
fn manifests_of_before_are_forgotten_when_the_last_shard_is_purged() {
    let shard = |purged| Shard {
        epoch: 1,
        owner: owner(1),
        purged,
        live: Line::default(),
        next: None,
    };
    let mut manifest = Manifest {
        number: 7,
        purge: 5,
        shards: BTreeMap::from([(0, shard(5)), (1, shard(0))]),
        ..Manifest::nothing()
    };
    manifest.forget_when_purged();
    assert_eq!(
        (manifest.forget_before, manifest.to_be_purged()),
        (0, BTreeSet::from([1]))
    );
    manifest.shards.insert(1, shard(5));
    manifest.forget_when_purged();
    assert_eq!(manifest.forget_before, 7);
    let mut later = manifest.child(owner(1));
    later.forget_when_purged();
    assert_eq!(later.forget_before, 7, "what came after may be kept");
}
