//! What a grant sent to `POST /v1/consents` must say.

use assent_consent::Act;
use assent_event::{ConsentDecision, Kind, Payload, indication_digest};
use assent_intake::Code;
use serde_json::{Value, json};

use crate::room::{Room, SERVER_KEY, at, decision, grant, with, withdrawal};

#[tokio::test]
async fn a_grant_that_lacks_nothing_is_recorded_as_it_was_given() {
    let room = Room::new();
    let body = json!({
        "subject": {"customer": "42"}, "purpose": "ad_sharing", "state": "granted",
        "recipient": "ad_network", "categories": ["behaviour"], "personalisation": false,
        "notice": "terms@2", "form": "separate", "act": "signature", "indication": "act-1",
        "evidence": {"scan": "sha256:00"}, "actor": "agent", "authenticated": true,
        "expires_at": "2027-01-01T00:00:00Z", "event_time": "2026-02-01T00:00:00+08:00",
        "recorded_by": "desk 4", "collection_point": "shop 7", "language": "zh", "agent": "till",
        "message_id": "g1",
    });
    assert_eq!(room.decide(SERVER_KEY, body).await, []);
    let found = room.of_kind(Kind::ConsentDecision).await;
    assert_eq!(found.len(), 1);
    let envelope = &found[0].envelope;
    assert_eq!(
        (envelope.source.as_str(), envelope.message_id.as_str()),
        ("shop", "g1")
    );
    assert_eq!(Some(envelope.subject), room.subject("customer", "42"));
    assert_eq!(envelope.times.event_time, at("2026-01-31T16:00:00Z"));
    assert_eq!(envelope.times.received_at, at(crate::room::NOW));
    let expected = ConsentDecision::granted("ad_sharing")
        .recipient("ad_network")
        .categories(["behaviour"])
        .personalisation(false)
        .notice("terms", 2)
        .form("separate")
        .act("signature")
        .indication("shop", "act-1")
        .artefact(r#"{"scan":"sha256:00"}"#)
        .by_agent()
        .recorded_by("desk 4")
        .collection_point("shop 7")
        .language("zh")
        .expires_at(at("2027-01-01T00:00:00Z"));
    let mut expected = expected;
    expected.evidence.as_mut().unwrap().agent = Some("till".to_owned());
    assert_eq!(*decision(&found[0]), expected);
    assert_eq!(
        decision(&found[0]).clear.indication_digest,
        Some(indication_digest("shop", "act-1"))
    );
}

#[tokio::test]
async fn a_grant_that_lacks_something_is_rejected_with_the_reason() {
    let room = Room::new();
    let of_all = with(grant(), "purpose", json!("all"));
    let separate = with(grant(), "form", json!("separate"));
    let two = json!({"customer": "42", "phone": "13800138000"});
    let cases = [
        (
            with(grant(), "subject", Value::Null),
            Code::SubjectMissing,
            "/subject",
        ),
        (
            with(grant(), "subject", json!({"Bad Name": "1"})),
            Code::SubjectMissing,
            "/subject",
        ),
        (
            with(grant(), "subject", json!({"assent_rejects": "1"})),
            Code::SubjectMissing,
            "/subject",
        ),
        (
            with(grant(), "subject", two),
            Code::NotAuthenticated,
            "/authenticated",
        ),
        (
            with(grant(), "purpose", Value::Null),
            Code::FieldMissing,
            "/purpose",
        ),
        (
            with(grant(), "purpose", json!("email")),
            Code::UnknownPurpose,
            "/purpose",
        ),
        (of_all, Code::GrantOfAll, "/purpose"),
        (
            with(grant(), "purpose", json!("sms_marketing")),
            Code::PurposeNotInNotice,
            "/purpose",
        ),
        (
            with(grant(), "notice", Value::Null),
            Code::NoticeMissing,
            "/notice",
        ),
        (
            with(grant(), "notice", json!("terms@9")),
            Code::NoticeUnknown,
            "/notice",
        ),
        (
            with(grant(), "notice", json!({"id": "terms"})),
            Code::NoticeUnknown,
            "/notice",
        ),
        (
            with(grant(), "notice", json!("terms@3")),
            Code::NoticeNotEffective,
            "/notice",
        ),
        (
            with(grant(), "event_time", json!("2025-06-01T00:00:00Z")),
            Code::NoticeNotEffective,
            "/notice",
        ),
        (
            with(grant(), "act", Value::Null),
            Code::FieldMissing,
            "/act",
        ),
        (
            with(grant(), "act", json!("pre_ticked")),
            Code::ActNotExplicit,
            "/act",
        ),
        (
            with(grant(), "act", json!("clicked_somewhere")),
            Code::ActNotExplicit,
            "/act",
        ),
        (
            with(grant(), "act", json!("Checkbox-Ticked")),
            Code::ActNotExplicit,
            "/act",
        ),
        (
            with(grant(), "actor", json!("agent")),
            Code::EvidenceMissing,
            "/evidence",
        ),
        (
            with(grant(), "actor", json!("system")),
            Code::EvidenceMissing,
            "/evidence",
        ),
        (
            with(grant(), "actor", json!("guardian")),
            Code::GuardianMissing,
            "/guardian",
        ),
        (
            with(grant(), "actor", json!("somebody")),
            Code::FieldInvalid,
            "/actor",
        ),
        (separate, Code::IndicationMissing, "/indication"),
        (
            with(grant(), "form", json!("guardian")),
            Code::FieldInvalid,
            "/form",
        ),
        (
            with(grant(), "form", json!("oral")),
            Code::FieldInvalid,
            "/form",
        ),
        (
            with(grant(), "channel", json!("sms")),
            Code::ScopeNotInNotice,
            "/channel",
        ),
        (
            with(grant(), "recipient", json!("ad_network")),
            Code::ScopeNotInNotice,
            "/recipient",
        ),
        (
            with(grant(), "categories", json!(["health"])),
            Code::ScopeNotInNotice,
            "/categories",
        ),
        (
            with(grant(), "categories", json!("transaction")),
            Code::ScopeNotInNotice,
            "/categories",
        ),
        (
            with(grant(), "chanel", json!("email")),
            Code::FieldUnknown,
            "",
        ),
        (
            with(grant(), "authenticated", json!("yes")),
            Code::FieldInvalid,
            "/authenticated",
        ),
        (
            with(grant(), "event_time", json!("yesterday")),
            Code::TimeInvalid,
            "/event_time",
        ),
        (
            with(grant(), "expires_at", json!("2020-01-01T00:00:00Z")),
            Code::TimeInvalid,
            "/expires_at",
        ),
        (
            with(grant(), "message_id", json!("x".repeat(100))),
            Code::MessageIdTooLong,
            "/message_id",
        ),
        (
            with(grant(), "state", json!("opt_in")),
            Code::StateInvalid,
            "/state",
        ),
        (
            with(grant(), "evidence", json!("x".repeat(40_000))),
            Code::EventTooLarge,
            "",
        ),
        (json!("granted"), Code::NotAnObject, ""),
    ];
    let count = cases.len();
    for (body, expected, pointer) in cases {
        let why = room.refuse(SERVER_KEY, body.clone()).await;
        assert_eq!(
            (why.code, why.pointer.as_str()),
            (expected, pointer),
            "{body}"
        );
    }
    assert_eq!(room.of_kind(Kind::ConsentDecision).await.len(), 0);
    // Each refusal is recorded (I9), its body sealed, its reason in clear.
    let rejections = room.of_kind(Kind::Rejection).await;
    assert_eq!(rejections.len(), count);
    for found in rejections {
        let Payload::Rejection(rejection) = &found.payload else {
            panic!("{:?}", found.payload);
        };
        assert_eq!(rejection.clear.source, "shop");
        assert!(
            Code::ALL
                .iter()
                .any(|code| code.as_str() == rejection.clear.code)
        );
        assert!(!rejection.evidence.as_ref().unwrap().body.is_empty());
        assert!(!String::from_utf8_lossy(&found.envelope.clear).contains("13800138000"));
    }
}

#[tokio::test]
async fn the_known_purposes_are_named() {
    let room = Room::new();
    let why = room
        .refuse(SERVER_KEY, with(grant(), "purpose", json!("nope")))
        .await;
    assert!(
        why.fix.contains("email_marketing") && why.fix.contains("delivery"),
        "{why:?}"
    );
}

#[tokio::test]
async fn the_acts_of_a_grant_are_named_and_those_of_a_restriction_are_free() {
    let room = Room::new();
    room.introduce(&["42"]);
    for act in [json!("agreed"), Value::Null] {
        let why = room.refuse(SERVER_KEY, with(grant(), "act", act)).await;
        for named in Act::EXPLICIT {
            assert!(why.fix.contains(named), "{named}: {why:?}");
        }
    }
    for (number, act) in Act::EXPLICIT.iter().enumerate() {
        let body = with(grant(), "act", json!(act));
        let body = with(body, "message_id", json!(format!("a{number}")));
        assert_eq!(room.decide(SERVER_KEY, body).await, [], "{act}");
    }
    for state in ["refused", "withdrawn"] {
        let body = with(withdrawal(), "state", json!(state));
        let body = with(body, "act", json!("muttered"));
        assert_eq!(room.decide(SERVER_KEY, body).await, []);
    }
    let found = room.of_kind(Kind::ConsentDecision).await;
    assert_eq!(found.len(), Act::EXPLICIT.len() + 2);
    assert_eq!(decision(found.last().unwrap()).clear.act, "muttered");
}

#[tokio::test]
async fn a_parent_is_granted_when_the_notice_lists_a_child() {
    let room = Room::new();
    let body = with(
        with(grant(), "purpose", json!("marketing")),
        "channel",
        json!("email"),
    );
    assert_eq!(room.decide(SERVER_KEY, body).await, []);
}

/// Taken as of its receipt, a grant with a mistyped year would undo a withdrawal that came after it.
#[tokio::test]
async fn what_widens_is_not_dated_ahead() {
    let room = Room::new();
    let seconds_ahead = |seconds: i64| at(crate::room::NOW).plus_micros(seconds * 1_000_000);
    let link = json!({
        "subject": {"customer": "7"}, "fact": "unlinked", "other": {"customer": "42"},
    });
    for body in [grant(), link] {
        let ahead = with(body, "event_time", json!(seconds_ahead(90).to_string()));
        let outcome = room.refuse(SERVER_KEY, ahead).await;
        assert_eq!(
            (outcome.code, outcome.pointer.as_str()),
            (Code::TimeInvalid, "/event_time")
        );
    }
    // Clocks differ a little.
    let jitter = with(grant(), "event_time", json!(seconds_ahead(30).to_string()));
    room.decide(SERVER_KEY, jitter).await;
    let times = room.of_kind(Kind::ConsentDecision).await[0].envelope.times;
    assert_eq!(times.event_time, times.received_at);
}
