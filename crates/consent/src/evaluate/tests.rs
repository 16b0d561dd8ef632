//! What the consent cases do not ask: who made a verdict, links by themselves, odd registries.

use std::collections::BTreeSet;

use crate::{
    CLOCK_TOLERANCE_MICROS, Calendar, Decision, DecisionState, Fact, FactKind, Purpose, Reason,
    Registry, Selector, SubjectId, Timestamp, Use, Verdict, component, evaluate,
};

const PERSON: SubjectId = SubjectId::from_bytes([1; 16]);

fn subject(number: u8) -> SubjectId {
    SubjectId::from_bytes([number; 16])
}

/// Instants further apart than the clocks of receivers may be.
fn at(number: i64) -> Timestamp {
    Timestamp::from_micros(number * 2 * CLOCK_TOLERANCE_MICROS)
}

fn fact(number: u8, of: SubjectId, time: i64, kind: FactKind) -> Fact {
    Fact {
        id: [number; 16],
        subject: of,
        event_time: at(time),
        received_at: at(time),
        order: u64::from(number),
        kind,
    }
}

fn purpose(id: &str, parent: Option<&str>) -> Purpose {
    let parent = parent.map_or("null".to_owned(), |parent| format!("{parent:?}"));
    let text = format!(
        r#"{{ "id": {id:?}, "version": 1, "title": {{}}, "basis": "consent",
            "parent": {parent}, "categories": ["contact"], "default_retention_days": 1 }}"#
    );
    serde_json::from_str(&text).unwrap()
}

fn registry() -> Registry {
    let mut registry = Registry::new(Calendar::default())
        .with_purpose(purpose("whole", Some("nowhere")))
        .with_purpose(purpose("part", Some("whole")))
        .with_purpose(purpose("hen", Some("egg")))
        .with_purpose(purpose("egg", Some("hen")));
    let statement = r#"{ "method": "m", "categories": ["contact"], "retention": "r" }"#;
    let notice = format!(
        r#"{{ "id": "terms", "version": 1, "change": "material",
            "effective_from": "1970-01-01T00:00:00Z", "handler": {{ "name": "n", "contact": "c" }},
            "rights": "r", "purposes": {{ "part": {statement}, "egg": {statement} }} }}"#
    );
    let notice = serde_json::from_str(&notice).unwrap();
    registry.insert_notice(notice).unwrap();
    registry
}

fn decision(state: DecisionState, purpose: &str) -> FactKind {
    FactKind::Decision(Decision {
        notice: Some("terms@1".parse().unwrap()),
        ..Decision::new(state, Selector::One(purpose.parse().unwrap()))
    })
}

fn evaluated(history: &[Fact], purpose: &str) -> (Verdict, Option<u8>) {
    let use_ = Use::of(purpose.parse().unwrap());
    let evaluation = evaluate(&registry(), history, PERSON, &use_, at(1_000));
    (evaluation.verdict, evaluation.decided_by.map(|id| id[0]))
}

#[test]
fn the_latest_contributing_grant_decides() {
    let history = [
        fact(1, PERSON, 30, decision(DecisionState::Granted, "part")),
        fact(2, PERSON, 20, decision(DecisionState::Granted, "whole")),
    ];
    let (verdict, by) = evaluated(&history, "part");
    assert!(verdict.coverage().is_some());
    assert_eq!(by, Some(1));
}

#[test]
fn the_latest_withdrawal_decides_and_a_tie_is_a_withdrawal() {
    let history = [
        fact(1, PERSON, 10, decision(DecisionState::Granted, "part")),
        fact(2, PERSON, 30, decision(DecisionState::Withdrawn, "whole")),
        fact(3, PERSON, 30, decision(DecisionState::Refused, "part")),
        fact(4, PERSON, 20, decision(DecisionState::Refused, "part")),
    ];
    let expected = (Verdict::Denied(Reason::Withdrawn), Some(2));
    assert_eq!(evaluated(&history, "part"), expected);
}

#[test]
fn nothing_decides_that_nothing_was_decided() {
    let expected = (Verdict::Denied(Reason::NoDecision), None);
    assert_eq!(evaluated(&[], "part"), expected);
}

#[test]
fn a_parent_that_is_not_registered_still_reaches_down() {
    let history = [fact(
        1,
        PERSON,
        1,
        decision(DecisionState::Refused, "nowhere"),
    )];
    let expected = (Verdict::Denied(Reason::Refused), Some(1));
    assert_eq!(evaluated(&history, "part"), expected);
}

#[test]
fn parents_in_a_circle_end() {
    let history = [fact(1, PERSON, 1, decision(DecisionState::Refused, "hen"))];
    assert_eq!(evaluated(&history, "egg").1, Some(1));
    assert_eq!(evaluated(&history, "hen").1, Some(1));
}

#[test]
fn an_unregistered_purpose_is_erased_or_restricted_or_undecided() {
    let restricted = fact(1, PERSON, 1, FactKind::Restricted { purpose: None });
    let erased = fact(2, PERSON, 1, FactKind::Erased);
    for (history, reason) in [
        (vec![], Reason::NoDecision),
        (vec![restricted.clone()], Reason::Restricted),
        (vec![restricted, erased], Reason::Erased),
    ] {
        assert_eq!(evaluated(&history, "mystery").0, Verdict::Denied(reason));
    }
}

#[test]
fn a_component_is_closed_under_links_in_either_direction() {
    let links = [
        fact(1, subject(2), 10, FactKind::Linked { other: PERSON }),
        fact(2, subject(2), 20, FactKind::Linked { other: subject(3) }),
        fact(3, subject(4), 10, FactKind::Linked { other: subject(5) }),
        fact(4, subject(3), 30, FactKind::Unlinked { other: subject(2) }),
        fact(5, PERSON, 10, FactKind::Unlinked { other: subject(2) }),
        fact(6, PERSON, 10, FactKind::Linked { other: PERSON }),
    ];
    for (then, expected) in [
        (9, vec![1]),
        (10, vec![1, 2]),
        (20, vec![1, 2, 3]),
        (29, vec![1, 2, 3]),
        (30, vec![1, 2]),
    ] {
        let expected: BTreeSet<_> = expected.into_iter().map(subject).collect();
        assert_eq!(component(&links, PERSON, at(then)), expected, "at {then}");
    }
}
