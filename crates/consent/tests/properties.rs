//! Properties of evaluation that hold for every history (I5, I6; rules R1, R2, R3, R12, R17).

#![allow(clippy::unwrap_used, reason = "test code: a panic is the report")]

#[path = "properties/scenario.rs"]
mod scenario;

use std::cell::Cell;
use std::fmt::Debug;

use assent_consent::{Fact, FactKind, SubjectId, Verdict, component};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use scenario::{
    OTHERS, PERSON, STRANGER, Scenario, TICKS, fact, grant, restricting, scenario, tick,
};

const CASES: u32 = 1_000;
/// For the property that evaluates each scenario at every instant of the grid.
const CASES_OVER_TIME: u32 = 150;

/// Runs a property over many scenarios, always the same ones.
fn check<S>(strategy: S, property: impl Fn(S::Value) -> Result<(), TestCaseError>)
where
    S: Strategy,
    S::Value: Debug,
{
    check_cases(CASES, strategy, property);
}

fn check_cases<S>(cases: u32, strategy: S, property: impl Fn(S::Value) -> Result<(), TestCaseError>)
where
    S: Strategy,
    S::Value: Debug,
{
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    if let Err(error) = runner.run(&strategy, property) {
        panic!("{error}");
    }
}

/// Counts how often something was seen, as the control of a property.
#[derive(Default)]
struct Count(Cell<u32>);

impl Count {
    fn see(&self, is_seen: bool) {
        self.0.set(self.0.get() + u32::from(is_seen));
    }

    fn share(&self, of: u32) -> f64 {
        f64::from(self.0.get()) / f64::from(of)
    }
}

/// Whether `after` permits nothing that `before` did not.
fn is_no_wider(before: &Verdict, after: &Verdict) -> bool {
    match (before.coverage(), after.coverage()) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(before), Some(after)) => after.categories.is_subset(&before.categories),
    }
}

#[test]
fn many_of_the_scenarios_are_lawful_and_many_are_not() {
    let (lawful, by_consent, lawful_by_consent) =
        (Count::default(), Count::default(), Count::default());
    check(scenario(), |scenario| {
        let is_lawful = scenario.evaluate().verdict.coverage().is_some();
        lawful.see(is_lawful);
        by_consent.see(scenario.is_by_consent());
        lawful_by_consent.see(is_lawful && scenario.is_by_consent());
        Ok(())
    });
    let consent_share = lawful_by_consent.share(by_consent.0.get());
    for share in [lawful.share(CASES), consent_share] {
        assert!((0.40..=0.75).contains(&share), "share of lawful: {share}");
    }
}

#[test]
fn the_order_of_the_history_never_matters() {
    let shuffled = scenario().prop_flat_map(|scenario| {
        let history = Just(scenario.history.clone()).prop_shuffle();
        (Just(scenario), history)
    });
    check(shuffled, |(scenario, history)| {
        let shuffled = scenario.evaluate_with(&history, scenario.at);
        prop_assert_eq!(scenario.evaluate(), shuffled);
        Ok(())
    });
}

#[test]
fn a_restricting_fact_never_widens() {
    let narrowed = Count::default();
    let more = scenario().prop_flat_map(|scenario| {
        let subject = select(vec![PERSON, PERSON, OTHERS[0], OTHERS[1]]);
        let more = restricting(scenario.use_.purpose.clone(), subject);
        (Just(scenario), more)
    });
    check(more, |(scenario, more)| {
        let before = scenario.evaluate().verdict;
        let after = scenario
            .evaluate_with(&scenario.with([more]), scenario.at)
            .verdict;
        narrowed.see(before.coverage() != after.coverage());
        prop_assert!(
            is_no_wider(&before, &after),
            "{:?} became {:?}",
            before,
            after
        );
        Ok(())
    });
    assert!(narrowed.share(CASES) > 0.05, "the facts restrict nothing");
}

#[test]
fn a_grant_of_another_subject_never_widens() {
    let more = scenario().prop_flat_map(|scenario| {
        let more = grant(scenario.use_.purpose.clone());
        (Just(scenario), more, select(&OTHERS[..]))
    });
    check(more, |(scenario, mut more, other)| {
        more.subject = other;
        more.id = [99; 16];
        let before = scenario.evaluate().verdict;
        let after = scenario
            .evaluate_with(&scenario.with([more]), scenario.at)
            .verdict;
        prop_assert!(
            is_no_wider(&before, &after),
            "{:?} became {:?}",
            before,
            after
        );
        Ok(())
    });
}

fn linked(one: SubjectId, other: SubjectId, event: i64, received: i64) -> Fact {
    fact(one, event, received, FactKind::Linked { other })
}

/// A link made now: received after every fact on record, whatever time it claims (C19).
#[test]
fn a_link_never_widens() {
    let narrowed = Count::default();
    let pairs = vec![
        (PERSON, OTHERS[0]),
        (OTHERS[1], PERSON),
        (OTHERS[0], OTHERS[1]),
    ];
    let more = (scenario(), select(pairs), 0..TICKS + 40);
    check(more, |(scenario, (one, other), event)| {
        let link = linked(one, other, event, TICKS + 40);
        let at = tick(TICKS + 40);
        let before = scenario.evaluate_with(&scenario.history, at).verdict;
        let after = scenario.evaluate_with(&scenario.with([link]), at).verdict;
        narrowed.see(before.coverage() != after.coverage());
        prop_assert!(
            is_no_wider(&before, &after),
            "{:?} became {:?}",
            before,
            after
        );
        Ok(())
    });
    assert!(narrowed.share(CASES) > 0.02, "the links restrict nothing");
}

#[test]
fn an_unlink_restores_exactly_what_stood_before() {
    let changed = Count::default();
    let more = scenario().prop_flat_map(|scenario| {
        let theirs = restricting(scenario.use_.purpose.clone(), Just(STRANGER));
        (Just(scenario), theirs, 0..100_i64, 1..50_i64, any::<bool>())
    });
    check(more, |(scenario, mut theirs, then, later, is_mine)| {
        theirs.id = [99; 16];
        let history = scenario.with([theirs]);
        let (link, unlink) = (then, then + later);
        let (one, other) = if is_mine {
            (PERSON, STRANGER)
        } else {
            (STRANGER, PERSON)
        };
        let mut joined = history.clone();
        joined.push(linked(PERSON, STRANGER, link, link));
        let while_linked = scenario.evaluate_with(&joined, tick(TICKS)).verdict;
        let mut parted = joined;
        parted.push(fact(one, unlink, unlink, FactKind::Unlinked { other }));
        let before = scenario.evaluate_with(&history, tick(TICKS));
        let after = scenario.evaluate_with(&parted, tick(TICKS));
        changed.see(before.verdict != while_linked);
        prop_assert_eq!(before, after);
        Ok(())
    });
    assert!(changed.share(CASES) > 0.10, "the links change nothing");
}

/// R17: sampled at every instant of the grid, at instants of facts and beside the horizon.
#[test]
fn a_verdict_holds_until_it_must_be_looked_at_again() {
    let changed = Count::default();
    check_cases(CASES_OVER_TIME, scenario(), |scenario: Scenario| {
        let now = scenario.evaluate();
        let until = now.reconsider_at.unwrap_or(tick(100_000));
        prop_assert!(until > scenario.at);
        let on_grid = (0..TICKS + 200).map(tick);
        let far = [400, 2_000, 6_000, 10_000, 90_000].map(tick);
        let beside = [until.plus_micros(-1), scenario.at.plus_micros(1)];
        for at in on_grid.chain(far).chain(beside) {
            if scenario.at < at && at < until {
                let then = scenario.evaluate_with(&scenario.history, at);
                prop_assert_eq!(&now.verdict, &then.verdict, "at {}", at);
                prop_assert_eq!(now.reconsider_at, then.reconsider_at, "at {}", at);
            }
        }
        if let Some(until) = now.reconsider_at {
            let then = scenario.evaluate_with(&scenario.history, until);
            changed.see(then.verdict != now.verdict);
        }
        Ok(())
    });
    assert!(
        changed.share(CASES_OVER_TIME) > 0.10,
        "nothing ever changes with time"
    );
}

#[test]
fn what_is_not_known_yet_and_who_is_not_linked_change_nothing() {
    check(scenario(), |scenario| {
        let person = component(&scenario.history, PERSON, scenario.at);
        let mut known = scenario.history.clone();
        known.retain(|fact| fact.received_at <= scenario.at);
        let verdict = scenario.evaluate().verdict;
        prop_assert_eq!(
            &verdict,
            &scenario.evaluate_with(&known, scenario.at).verdict
        );
        let is_link =
            |kind: &FactKind| matches!(kind, FactKind::Linked { .. } | FactKind::Unlinked { .. });
        known.retain(|fact| person.contains(&fact.subject) || is_link(&fact.kind));
        prop_assert_eq!(
            &verdict,
            &scenario.evaluate_with(&known, scenario.at).verdict
        );
        Ok(())
    });
}
