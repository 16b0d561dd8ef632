//! What is told about people without a verdict, and what the use log tells about those who asked.

use crate::{Asked, LawfulSession};
use assent_event::ConsentDecision;

use super::sessions::uses;
use super::world::{World, days_ago, decide, fresh, world};

fn open(world: &World, principal: &str, purpose: &str) -> LawfulSession {
    let asked = Asked {
        purpose: Some(purpose.to_owned()),
        ..Asked::default()
    };
    world
        .runtime
        .block_on(LawfulSession::open(
            &world.engine,
            &world.principal(principal),
            &asked,
            None,
        ))
        .expect("a session")
}

#[test]
fn one_decision_does_not_show_in_the_counts_that_everybody_may_ask_for() {
    let world = fresh();
    let counts = |principal| {
        let session = open(&world, principal, "marketing");
        world
            .runtime
            .block_on(session.base_counts())
            .expect("counts")
    };
    let (exact, told) = (counts("officer"), counts("analyst"));
    assert_eq!(exact.few, None, "officers are told exactly");
    assert!(
        exact.denied.values().any(|n| n % 5 != 0),
        "control: {exact:?}"
    );
    let few = told.few.expect("told roughly");
    assert_eq!(few.k, 5);
    for count in [told.base, told.permitted, few.members]
        .into_iter()
        .chain(told.denied.values().copied())
    {
        assert_eq!(count % 5, 0, "{told:?}");
    }
    assert!(told.denied.values().all(|n| *n >= 5), "{told:?}");
    assert!(told.permitted.abs_diff(exact.permitted) < 5, "{told:?}");
    // Whoever it is: here one who granted, at the border of a multiple, and one who withdrew.
    for (who, decision) in [
        (0, ConsentDecision::withdrawn("marketing")),
        (4, ConsentDecision::granted("marketing")),
    ] {
        let before = counts("officer");
        decide(&world, who, decision);
        assert_ne!(before, counts("officer"), "control: officers see it");
        assert_eq!(told, counts("analyst"));
    }
    // Nor of an earlier instant, one after the other.
    let asked = Asked {
        purpose: Some("marketing".to_owned()),
        ..Asked::default()
    };
    let back = |principal| {
        world.runtime.block_on(async {
            LawfulSession::open(
                &world.engine,
                &world.principal(principal),
                &asked,
                Some(days_ago(30)),
            )
            .await
            .expect("a session")
            .base_counts()
            .await
        })
    };
    assert_eq!(back("analyst").expect_err("told").code(), "officer_only");
    back("officer").expect("told");
}

#[test]
fn whom_an_officer_looked_at_and_about_what_stands_in_the_use_log() {
    let world = fresh();
    let about = Asked {
        purpose: Some("marketing".to_owned()),
        ..Asked::default()
    };
    let subject = world.people[4].subject;
    let ask = |principal, purpose, about: &Asked| {
        let session = open(&world, principal, purpose);
        world
            .runtime
            .block_on(session.explain_member(subject, about, None))
    };
    ask("officer", "audit", &about).expect("told");
    ask("analyst", "marketing", &about).expect_err("not told");
    let planted = Asked {
        purpose: Some("what the officer's friend said".to_owned()),
        ..Asked::default()
    };
    ask("officer", "audit", &planted).expect_err("no such purpose");
    world
        .ask("marketing", "SELECT 1")
        .expect("a use that is about nobody in particular");
    let mut told: Vec<_> = uses(&world)
        .into_iter()
        .map(|(record, _)| {
            (
                record.outcome,
                record.purpose,
                record.about,
                record.about_purpose,
            )
        })
        .collect();
    told.sort();
    let of = |outcome: &str, purpose: &str, about: Option<&str>| {
        (
            outcome.to_owned(),
            purpose.to_owned(),
            about.map(|_| subject.to_string()),
            about.filter(|name| !name.is_empty()).map(str::to_owned),
        )
    };
    assert_eq!(
        told,
        [
            of("answered", "audit", Some("marketing")),
            of("answered", "marketing", None),
            of("failed: officer_only", "marketing", Some("marketing")),
            // Not what was written in the place of a purpose.
            of("failed: purpose_unknown", "audit", Some("")),
        ]
    );
}

#[test]
fn who_is_in_no_registry_opens_nothing() {
    let world = world();
    let ask = |principal: &assent_programme::Principal| {
        let asked = Asked {
            purpose: Some("marketing".to_owned()),
            ..Asked::default()
        };
        world
            .runtime
            .block_on(LawfulSession::open(&world.engine, principal, &asked, None))
    };
    let known = world.principal("analyst");
    ask(&known).expect("control");
    let mut stranger = known.clone();
    stranger.name = "root".to_owned();
    assert_eq!(
        ask(&stranger).expect_err("a stranger").code(),
        "principal_unknown"
    );
    // The token was replaced since.
    let mut stale = known;
    stale.token_sha256 = assent_programme::token_sha256("old");
    assert_eq!(ask(&stale).expect_err("stale").code(), "principal_unknown");
}
