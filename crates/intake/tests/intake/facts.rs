//! Facts, as `POST /v1/consents` takes them.

use assent_event::{Kind, Payload, to_fact};
use assent_intake::{Code, WarningCode};
use serde_json::json;

use crate::room::{Room, SERVER_KEY, code, decision, grant, journalled, with};

/// I6: no detail costs a restriction anything, whether it is a decision or a fact.
#[tokio::test]
async fn a_fact_that_restricts_is_never_refused_for_a_detail() {
    use WarningCode::{
        EvidenceDropped, IdentifierIgnored, MessageIdReplaced, PurposeWidened, TimeIgnored,
    };
    let room = Room::new();
    room.introduce(&["42"]);
    let restricted = r#"{"subject":{"customer":"42"},"fact":"restricted""#;
    let ended = r#"{"subject":{"customer":"42"},"fact":"contract_ended","contract":"k1""#;
    let long = "x".repeat(40_000);
    let cases = [
        (restricted, r#""event_time":7"#.to_owned(), TimeIgnored),
        (
            restricted,
            r#""message_id":[]"#.to_owned(),
            MessageIdReplaced,
        ),
        (restricted, format!(r#""reason":"{long}""#), EvidenceDropped),
        (
            restricted,
            r#""purpose":"a","purpose":"b""#.to_owned(),
            PurposeWidened,
        ),
        (
            restricted,
            r#""identifiers":[5]"#.to_owned(),
            IdentifierIgnored,
        ),
        (
            restricted,
            r#""event_time":"x","event_time":"y""#.to_owned(),
            TimeIgnored,
        ),
        (ended, r#""ends_at":"soon""#.to_owned(), TimeIgnored),
        (ended, r#""event_time":7"#.to_owned(), TimeIgnored),
        (
            ended,
            r#""message_id":"a","message_id":"b""#.to_owned(),
            MessageIdReplaced,
        ),
    ];
    let count = cases.len();
    for (head, detail, warning) in cases {
        let body = format!("{head},{detail}}}");
        let outcome = room.consents_text(SERVER_KEY, &body).await.remove(0);
        let told: Vec<_> = journalled(outcome).iter().map(|told| told.code).collect();
        assert_eq!(told, [warning], "{head}");
    }
    assert_eq!(room.of_kind(Kind::SubjectFact).await.len(), count);
    // Of several facts a restriction counts, as of several states.
    let twice = r#"{"subject":{"customer":"42"},"fact":"restriction_lifted","fact":"restricted"}"#;
    journalled(room.consents_text(SERVER_KEY, twice).await.remove(0));
    let found = room.of_kind(Kind::SubjectFact).await.pop().unwrap();
    let Payload::SubjectFact(fact) = found.payload else {
        panic!();
    };
    assert_eq!(fact.clear.fact, "restricted");
    // What widens needs all of it.
    for body in [
        r#"{"subject":{"customer":"42"},"fact":"restriction_lifted","event_time":7}"#,
        r#"{"subject":{"customer":"42"},"fact":"restriction_lifted","reason":"a","reason":"b"}"#,
    ] {
        let outcome = room.consents_text(SERVER_KEY, body).await.remove(0);
        assert!(code(&outcome).is_some(), "{body}");
    }
}

#[tokio::test]
async fn guardians_are_subjects_too() {
    let room = Room::new();
    let guardianship = json!({
        "subject": {"customer": "7"}, "fact": "guardianship_started", "guardian": {"customer": "42"},
        "message_id": "s1",
    });
    room.decide(SERVER_KEY, guardianship).await;
    let body = with(
        with(grant(), "subject", json!({"customer": "7"})),
        "actor",
        json!("guardian"),
    );
    room.decide(
        SERVER_KEY,
        with(body, "guardian", json!({"customer": "42"})),
    )
    .await;
    let found = room.of_kind(Kind::ConsentDecision).await;
    let clear = &decision(&found[0]).clear;
    assert_eq!(
        (clear.actor.as_str(), clear.form.as_str()),
        ("guardian", "guardian")
    );
    assert_eq!(clear.guardian, room.subject("customer", "42"));
    let facts = room.of_kind(Kind::SubjectFact).await;
    let Payload::SubjectFact(fact) = &facts[0].payload else {
        panic!();
    };
    assert_eq!(fact.clear.guardian, room.subject("customer", "42"));
}

#[tokio::test]
async fn facts_become_what_the_fold_reads() {
    let room = Room::new();
    let cases = [
        (
            json!({"fact": "contract_started", "contract": "k1", "purpose": "delivery"}),
            "contract_started",
        ),
        (
            json!({"fact": "contract_ended", "contract": "k1", "ends_at": "2026-06-01T00:00:00Z"}),
            "contract_ended",
        ),
        (
            json!({"fact": "birth_date", "birth_date": "2013-02-28", "reason": "asked"}),
            "birth_date",
        ),
        (
            json!({"fact": "restricted", "purpose": "delivery"}),
            "restricted",
        ),
        (
            json!({"fact": "restricted", "purpose": "nonsense"}),
            "restricted",
        ),
        (json!({"fact": "restriction_lifted"}), "restriction_lifted"),
        (
            json!({"fact": "public_source", "url": "https://example.com/a"}),
            "public_source",
        ),
        (
            json!({"fact": "linked", "other": {"phone": "138"}}),
            "linked",
        ),
        (
            json!({"fact": "unlinked", "other": {"phone": "138"}}),
            "unlinked",
        ),
    ];
    for (body, name) in cases {
        let body = with(body, "subject", json!({"customer": "42"}));
        let widens = !["contract_ended", "birth_date", "restricted", "linked"].contains(&name);
        let body = if widens {
            let why = room.refuse(SERVER_KEY, body.clone()).await;
            assert_eq!(why.pointer, "/message_id", "{name}");
            with(body, "event_time", json!("2026-02-01T00:00:00Z"))
        } else {
            body
        };
        let before: Vec<_> = room.journal().await.iter().map(|f| f.envelope.id).collect();
        room.decide(SERVER_KEY, body).await;
        let found = room.journal().await;
        let found = found
            .iter()
            .find(|f| !before.contains(&f.envelope.id) && f.envelope.kind != Kind::Rejection)
            .unwrap();
        let fact = to_fact(&found.envelope, &found.payload).unwrap().unwrap();
        assert_eq!(fact.kind.name(), name);
    }
    let of = |body| with(body, "subject", json!({"customer": "42"}));
    let cases = [
        (json!({"fact": "erased"}), Code::UnknownFact),
        (
            json!({"fact": "contract_started", "contract": "k", "purpose": "email_marketing"}),
            Code::NotAContractPurpose,
        ),
        (json!({"fact": "contract_started"}), Code::FieldMissing),
        (
            json!({"fact": "birth_date", "birth_date": "2030-01-01"}),
            Code::FieldInvalid,
        ),
        (
            json!({"fact": "linked", "other": {"customer": "42"}}),
            Code::FieldInvalid,
        ),
        (json!({"fact": "linked"}), Code::SubjectMissing),
        (
            json!({"fact": "restriction_lifted", "purpose": "nonsense"}),
            Code::UnknownPurpose,
        ),
        (json!({"fact": "guardianship_ended"}), Code::GuardianMissing),
    ];
    for (body, expected) in cases {
        assert_eq!(
            room.refuse(SERVER_KEY, of(body.clone())).await.code,
            expected,
            "{body}"
        );
    }
}
