use std::collections::BTreeSet;

use assent_consent::{Decision, DecisionState, FactKind, Registry, Selector, SubjectId, component};
use assent_journal::Checkpoint;
use assent_testkit::generate::{PURPOSES, day_zero, story, story_in};
use assent_testkit::seeded::Seeded;

use super::*;
use crate::history::Place;
use crate::messages::Message;
use crate::state::Arrived;

/// The facts of many stories under one registry.
struct World {
    registry: Registry,
    facts: Vec<Fact>,
    uses: Vec<Use>,
}

fn world(seed: u64, stories: u64) -> World {
    let mut seeded = Seeded::new(seed);
    let registry = story(seed).registry;
    let mut facts = Vec::new();
    let mut uses = BTreeSet::new();
    for number in 0..stories {
        let told = story_in(registry.clone(), seed * 1_000 + number);
        facts.extend(told.history);
        uses.extend(told.questions.into_iter().map(|question| question.use_));
    }
    // Links across stories make larger components.
    let subjects: Vec<SubjectId> = facts.iter().map(|fact| fact.subject).collect();
    for _ in 0..stories / 2 {
        let mut link = seeded.pick(&facts).clone();
        link.id = seeded.bytes16();
        let other = *seeded.pick(&subjects);
        link.kind = if seeded.chance(70) {
            FactKind::Linked { other }
        } else {
            FactKind::Unlinked { other }
        };
        facts.push(link);
    }
    seeded.shuffle(&mut facts);
    if seeded.chance(70) {
        // Mostly the log has the order of the clocks.
        facts.sort_by_key(|fact| fact.received_at);
    }
    for (order, fact) in (0..).zip(&mut facts) {
        fact.order = order;
    }
    World {
        registry,
        facts,
        uses: uses.into_iter().take(12).collect(),
    }
}

fn state_under(registry: &Registry) -> State {
    let mut state = State::new(Checkpoint::new());
    state.consent = Arc::new(registry.clone());
    state
}

fn apply(state: &mut State, facts: &[Fact], offset: &mut u64) {
    let arrived = facts
        .iter()
        .map(|fact| {
            *offset += 1;
            Arrived {
                fact: fact.clone(),
                place: Place {
                    partition: 0,
                    offset: *offset - 1,
                },
                message: Message::numbered(*offset),
            }
        })
        .collect();
    state.apply(0, arrived, *offset).unwrap();
}

/// The set must be what the rules say of the facts, subject by subject, without any index.
fn assert_true(set: &PermitSet, registry: &Registry, facts: &[Fact]) {
    let subjects: BTreeSet<SubjectId> = facts
        .iter()
        .flat_map(|fact| match fact.kind {
            FactKind::Linked { other } | FactKind::Unlinked { other } => {
                vec![fact.subject, other]
            }
            _ => vec![fact.subject],
        })
        .collect();
    assert_eq!(set.len(), subjects.len());
    let mut permitted = 0;
    for subject in subjects {
        let number = set.number_of(&subject).unwrap();
        let said = evaluate(registry, facts, subject, &set.use_, set.at).verdict;
        match &said {
            Verdict::Lawful(coverage) => {
                assert_eq!(set.coverage(number), Some(coverage));
                assert_eq!(set.reason(number), None);
                for category in &coverage.categories {
                    assert!(set.mask(category).covers(set.code(number)));
                }
                permitted += 1;
            }
            Verdict::Denied(reason) => {
                assert_eq!(set.reason(number), Some(*reason), "{subject} at {}", set.at);
                assert_eq!(set.coverage(number), None);
                assert!(!set.is_permitted(number));
            }
        }
        let smallest = *component(facts, subject, set.at).first().unwrap();
        assert_eq!(set.member_of(number), Some(smallest));
        assert_eq!(set.subject_of(number), Some(subject));
    }
    assert_eq!(set.permitted_len(), permitted);
}

fn later(seeded: &mut Seeded, at: Timestamp) -> Timestamp {
    at.plus_micros(seeded.between(0, 12 * 86_400_000_000))
}

/// Incremental equals worked out anew: random facts in random order and batches, instants that
/// move on as they like, definitions that change in between.
#[test]
fn what_is_kept_up_to_date_is_what_would_be_worked_out_anew() {
    let mut lawful = 0;
    for seed in 0..12 {
        let World {
            mut registry,
            facts,
            uses,
        } = world(seed, 25);
        let mut seeded = Seeded::new(seed);
        let mut state = state_under(&registry);
        let mut caches: Vec<(UseCache, Timestamp)> = uses
            .iter()
            .map(|use_| (UseCache::new(use_.clone(), 2), day_zero()))
            .collect();
        let (mut done, mut offset) = (0, 0);
        while done < facts.len() {
            let to = (done + seeded.index(30) + 1).min(facts.len());
            apply(&mut state, &facts[done..to], &mut offset);
            done = to;
            if seeded.chance(8) {
                registry = story(seed + seeded.below(2)).registry;
                state.consent = Arc::new(registry.clone());
                state.generation += 1;
            }
            let which = seeded.index(caches.len());
            let (cache, at) = &mut caches[which];
            *at = later(&mut seeded, *at);
            let set = cache.set_at(&state, *at).unwrap();
            assert_true(&set, &registry, &facts[..done]);
            lawful += set.permitted_len();
        }
        for (cache, at) in &mut caches {
            let set = cache.set_at(&state, *at).unwrap();
            assert_true(&set, &registry, &facts);
        }
    }
    assert!(lawful > 250, "only {lawful} lawful verdicts were seen");
}

/// Time alone: the same facts, asked about at every later instant.
#[test]
fn verdicts_follow_time_without_new_facts() {
    let mut changes = 0;
    for seed in 100..106 {
        let World {
            registry,
            facts,
            uses,
        } = world(seed, 25);
        let mut state = state_under(&registry);
        apply(&mut state, &facts, &mut 0);
        for use_ in uses.iter().take(4) {
            let mut cache = UseCache::new(use_.clone(), 2);
            let mut seeded = Seeded::new(seed);
            let mut at = day_zero().plus_micros(-86_400_000_000);
            let mut before = None;
            for _ in 0..12 {
                at = later(&mut seeded, at);
                let set = cache.set_at(&state, at).unwrap();
                assert_true(&set, &registry, &facts);
                changes += usize::from(before.is_some_and(|b| b != set.permitted_len()));
                before = Some(set.permitted_len());
            }
        }
    }
    assert!(changes > 50, "time hardly matters: {changes}");
}

/// The work done is that of what changed.
#[test]
fn one_fact_among_many_costs_one_verdict() {
    let registry = story(7).registry;
    let mut state = state_under(&registry);
    let mut seeded = Seeded::new(3);
    let use_ = Use::of(assent_consent::PurposeId::parse(PURPOSES[0]).unwrap());
    let decides = |subject, at| Fact {
        id: [1; 16],
        subject,
        event_time: at,
        received_at: at,
        order: 0,
        kind: FactKind::Decision(Decision::new(DecisionState::Withdrawn, Selector::All)),
    };
    let at = day_zero();
    let subjects: Vec<SubjectId> = (0..5_000)
        .map(|_| SubjectId::from_bytes(seeded.bytes16()))
        .collect();
    let facts: Vec<Fact> = subjects.iter().map(|s| decides(*s, at)).collect();
    let mut offset = 0;
    apply(&mut state, &facts, &mut offset);
    let mut cache = UseCache::new(use_, 1);
    cache.set_at(&state, at).unwrap();
    assert_eq!(cache.judged, 5_000);
    let later = at.plus_micros(10);
    apply(&mut state, &[decides(subjects[77], later)], &mut offset);
    let set = cache.set_at(&state, later).unwrap();
    assert_eq!(cache.judged, 5_001);
    let again = cache.set_at(&state, later).unwrap();
    assert!(Arc::ptr_eq(&set, &again));
    // Notices that come into force later may make all of them due, but only once each.
    cache.set_at(&state, later.plus_micros(1)).unwrap();
    assert_eq!(cache.judged, 5_001);
}

/// Whoever is introduced is counted by the next reader, although nothing was applied.
#[test]
fn who_is_introduced_is_seen_at_once() {
    let registry = story(7).registry;
    let mut state = state_under(&registry);
    let mut cache = UseCache::new(
        Use::of(assent_consent::PurposeId::parse(PURPOSES[0]).unwrap()),
        1,
    );
    let at = day_zero();
    assert_eq!(cache.set_at(&state, at).unwrap().len(), 0);
    let subject = SubjectId::from_bytes([7; 16]);
    state.introduce(subject).unwrap();
    let set = cache.set_at(&state, at).unwrap();
    assert_eq!(set.number_of(&subject), Some(0));
}

/// What is remembered for those who follow is bounded; whoever read too little of it looks at everybody.
#[test]
fn touches_do_not_grow_for_ever() {
    let world = world(11, 3);
    let mut state = state_under(&world.registry);
    let mut offset = 0;
    let at = day_zero().plus_micros(60 * 86_400_000_000);
    let mut caches: Vec<UseCache> = world
        .uses
        .iter()
        .map(|u| UseCache::new(u.clone(), 1))
        .collect();
    apply(&mut state, &world.facts, &mut offset);
    let mut facts = world.facts.clone();
    let mut seeded = Seeded::new(5);
    let mut most = 0;
    for round in 0..2_000 {
        let mut fact = seeded.pick(&world.facts).clone();
        fact.id = seeded.bytes16();
        fact.order = offset;
        apply(&mut state, std::slice::from_ref(&fact), &mut offset);
        facts.push(fact);
        most = most.max(state.touched.len());
        // Some follow closely, some seldom.
        for (number, cache) in caches.iter_mut().enumerate() {
            if round % (1 + 300 * number) == 0 || round == 1_999 {
                let kept = cache.set_at(&state, at).unwrap();
                let anew = UseCache::new(kept.use_.clone(), 1)
                    .set_at(&state, at)
                    .unwrap();
                assert!(kept.codes.iter().eq(anew.codes.iter()), "{round}");
            }
        }
    }
    assert!(most <= 4 * state.histories.len().max(64), "{most}");
    assert!(state.generation > 5, "the control");
}

#[test]
fn thinning_out_keeps_the_earliest_instant_of_each() {
    let mut cache = UseCache::new(
        Use::of(assent_consent::PurposeId::parse(PURPOSES[0]).unwrap()),
        1,
    );
    for (instant, number) in [(5, 1), (3, 1), (9, 2), (4, 1), (8, 2)] {
        cache
            .due
            .push(Reverse((Timestamp::from_micros(instant), number)));
    }
    cache.thin_out();
    let mut left: Vec<(i64, u32)> = cache
        .due
        .iter()
        .map(|Reverse((instant, number))| (instant.micros(), *number))
        .collect();
    left.sort_unstable();
    assert_eq!(left, [(3, 1), (8, 2)]);
}

/// Figures for the record: `cargo test -p assent-permit --release -- --ignored --nocapture`.
#[test]
#[ignore = "prints times"]
fn a_hundred_thousand_subjects_and_six_purposes() {
    let registry = story(7).registry;
    let mut state = state_under(&registry);
    let mut seeded = Seeded::new(3);
    let mut offset = 0;
    let mut facts = Vec::new();
    for number in 0..25_000 {
        facts.extend(story_in(registry.clone(), number).history);
    }
    let begun = std::time::Instant::now();
    apply(&mut state, &facts, &mut offset);
    println!(
        "{} facts of {} subjects applied in {:?}",
        facts.len(),
        state.histories.len(),
        begun.elapsed()
    );
    let mut at = day_zero().plus_micros(100 * 86_400_000_000);
    let mut caches: Vec<UseCache> = PURPOSES[..6]
        .iter()
        .map(|name| UseCache::new(Use::of(assent_consent::PurposeId::parse(name).unwrap()), 2))
        .collect();
    let begun = std::time::Instant::now();
    for cache in &mut caches {
        let set = cache.set_at(&state, at).unwrap();
        println!("{} of {} permitted", set.permitted_len(), set.len());
    }
    println!("six purposes worked out in {:?}", begun.elapsed());
    let begun = std::time::Instant::now();
    let rounds = 1_000;
    for _ in 0..rounds {
        let mut fact = seeded.pick(&facts).clone();
        at = at.plus_micros(1_000);
        fact.received_at = at;
        apply(&mut state, &[fact], &mut offset);
        for cache in &mut caches {
            cache.set_at(&state, at).unwrap();
        }
    }
    println!("a fact and six reads: {:?}", begun.elapsed() / rounds);
}

/// What a set says of everybody but strangers, whom nobody needs to know.
fn dump(set: &PermitSet) -> Vec<(SubjectId, Result<Coverage, Reason>, SubjectId)> {
    let mut dump: Vec<_> = (0..u32::try_from(set.len()).unwrap())
        .filter(|n| set.code(*n) != set.untold || set.member_number(*n) != Some(*n))
        .map(|n| {
            let says = set.says(set.code(n)).cloned();
            (set.subject_of(n).unwrap(), says, set.member_of(n).unwrap())
        })
        .collect();
    dump.sort();
    dump
}

/// Two processes that number people differently, hear in batches of their own and know of other strangers agree
/// when, and only when, they say the same of everybody.
#[test]
fn fingerprints_are_equal_when_the_verdicts_are() {
    let mut seen: HashMap<u64, (Use, Vec<_>)> = HashMap::new();
    let mut agreed = 0;
    for seed in 40..48 {
        let World {
            registry,
            facts,
            uses,
        } = world(seed, 20);
        let mut seeded = Seeded::new(seed);
        let [mut one, mut other] = [(); 2].map(|()| state_under(&registry));
        for fact in facts.iter().rev() {
            other.introduce(fact.subject).unwrap();
        }
        other
            .introduce(SubjectId::from_bytes(seeded.bytes16()))
            .unwrap();
        let mut pairs: Vec<[UseCache; 2]> = uses
            .iter()
            .map(|use_| [(); 2].map(|()| UseCache::new(use_.clone(), 1)))
            .collect();
        let (mut at, mut done, mut ahead, mut offsets) = (day_zero(), 0, 0, [0, 0]);
        while done < facts.len() {
            let to = (done + seeded.index(40) + 1).min(facts.len());
            apply(&mut one, &facts[done..to], &mut offsets[0]);
            done = to;
            let further = (to + seeded.index(4)).min(facts.len()).max(ahead);
            apply(&mut other, &facts[ahead..further], &mut offsets[1]);
            ahead = further;
            at = later(&mut seeded, at);
            for [here, there] in &mut pairs {
                let sets = [
                    here.set_at(&one, at).unwrap(),
                    there.set_at(&other, at).unwrap(),
                ];
                let prints = [here.fingerprint(&sets[0]), there.fingerprint(&sets[1])];
                let dumps = sets.each_ref().map(|set| dump(set));
                assert_eq!(prints[0] == prints[1], dumps[0] == dumps[1]);
                agreed += usize::from(prints[0] == prints[1] && !dumps[0].is_empty());
                let anew = UseCache::new(sets[0].use_.clone(), 1).fingerprint(&sets[0]);
                assert_eq!(anew, prints[0], "by the difference or from nothing");
                for (set, (print, dump)) in sets.iter().zip(prints.into_iter().zip(dumps)) {
                    let known = seen
                        .entry(print)
                        .or_insert_with(|| (set.use_.clone(), dump.clone()));
                    assert_eq!(*known, (set.use_.clone(), dump));
                }
            }
        }
    }
    assert!(agreed > 200 && seen.len() > 100, "{agreed}, {}", seen.len());
}
