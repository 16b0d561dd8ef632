//! Decisions as `POST /v1/consents` takes them: about whom, in which order, and one by one.

use std::collections::{BTreeMap, BTreeSet};

use assent_consent::SubjectId;
use assent_event::{EventId, Kind};
use assent_intake::{Code, Outcome, WarningCode};
use serde_json::{Value, json};

use crate::room::{BROWSER_KEY, Room, SERVER_KEY, at, code, grant, with, withdrawal};

#[tokio::test]
async fn several_identifiers_are_one_decision_recorded_for_each() {
    let room = Room::new();
    let body = with(
        grant(),
        "subject",
        json!([{"customer": "42"}, {"namespace": "phone", "value": "138"}]),
    );
    let body = with(body, "authenticated", json!(true));
    assert_eq!(room.decide(SERVER_KEY, body).await, []);
    let ids = by_subject(&room).await;
    let subjects: Vec<_> = ids.keys().copied().collect();
    let mut expected =
        [("customer", "42"), ("phone", "138")].map(|(name, id)| room.subject(name, id).unwrap());
    expected.sort_unstable();
    assert_eq!(subjects, expected);
}

/// The ids of the decisions about each subject.
async fn by_subject(room: &Room) -> BTreeMap<SubjectId, BTreeSet<EventId>> {
    let mut ids: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for found in room.of_kind(Kind::ConsentDecision).await {
        let of_subject = ids.entry(found.envelope.subject).or_default();
        of_subject.insert(found.envelope.id);
    }
    ids
}

/// R2: the same message is the same grant of a person, whoever else is named in it.
#[tokio::test]
async fn one_more_identifier_makes_no_new_grant() {
    let mut room = Room::new();
    let granted = with(grant(), "authenticated", json!(true));
    let one = with(granted.clone(), "subject", json!({"phone": "138"}));
    // The customer's number sorts before the telephone's.
    let two = with(
        granted,
        "subject",
        json!({"customer": "42", "phone": "138"}),
    );
    for body in [one, two] {
        room.decide(SERVER_KEY, body).await;
        room.restart();
    }
    let ids = by_subject(&room).await;
    assert_eq!(ids.len(), 2);
    assert!(ids.values().all(|ids| ids.len() == 1), "{ids:?}");
    assert_eq!(room.of_kind(Kind::ConsentDecision).await.len(), 3);
    // What restricts of several is one message, too; a fact as a decision.
    let linked = json!({
        "subject": [{"customer": "42"}, {"phone": "138"}], "fact": "linked",
        "other": {"phone": "139"}, "message_id": "l1",
    });
    room.decide(SERVER_KEY, linked).await;
    let links = room.of_kind(Kind::IdentityLink).await;
    assert_ne!(links[0].envelope.id, links[1].envelope.id);
    assert!(links.iter().all(|found| found.envelope.message_id == "l1"));
}

/// A page names the few identifiers of its visitor; a service may name many.
#[tokio::test]
async fn a_browser_names_few_identifiers() {
    let room = Room::new();
    let people: Vec<_> = (0..8).map(|n| json!({"customer": n})).collect();
    let body = with(withdrawal(), "subject", json!(people));
    let told = room.decide(BROWSER_KEY, body.clone()).await;
    assert!(told.contains(&WarningCode::IdentifierIgnored));
    assert_eq!(room.of_kind(Kind::ConsentDecision).await.len(), 5);
    room.decide(SERVER_KEY, body).await;
    assert_eq!(room.of_kind(Kind::ConsentDecision).await.len(), 13);
}

#[tokio::test]
async fn decisions_of_a_body_are_received_in_its_order() {
    let room = Room::new();
    let body = json!([
        with(withdrawal(), "message_id", json!("a")),
        with(grant(), "message_id", json!("b"))
    ]);
    room.consents(SERVER_KEY, body).await;
    room.decide(SERVER_KEY, with(withdrawal(), "message_id", json!("c")))
        .await;
    let found = room.of_kind(Kind::ConsentDecision).await;
    let received: Vec<_> = found
        .iter()
        .map(|found| found.envelope.times.received_at)
        .collect();
    let now = at(crate::room::NOW);
    assert_eq!(received, [now.plus_micros(-1), now, now.plus_micros(1)]);
}

#[tokio::test]
async fn a_clock_ahead_is_clamped_and_what_it_claimed_is_kept() {
    let room = Room::new();
    let ahead = "2027-03-01T00:00:00Z";
    room.decide(SERVER_KEY, with(withdrawal(), "event_time", json!(ahead)))
        .await;
    let times = room.of_kind(Kind::ConsentDecision).await[0].envelope.times;
    assert_eq!(
        (times.event_time, times.original),
        (times.received_at, Some(at(ahead)))
    );
}

#[tokio::test]
async fn a_bad_item_does_not_spoil_the_others() {
    let room = Room::new();
    let body = json!([
        grant(),
        5,
        with(grant(), "notice", Value::Null),
        withdrawal()
    ]);
    let outcomes = room.consents(SERVER_KEY, body).await;
    let codes: Vec<_> = outcomes.iter().map(code).collect();
    assert_eq!(
        codes,
        [
            None,
            Some(Code::NotAnObject),
            Some(Code::NoticeMissing),
            None
        ]
    );
    let Outcome::Rejected(why) = &outcomes[2] else {
        panic!();
    };
    assert_eq!(why.pointer, "/2/notice");
    assert_eq!(room.journal().await.len(), 4);
}
