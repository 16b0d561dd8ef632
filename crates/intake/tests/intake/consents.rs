//! Decisions and facts, as `POST /v1/consents` takes them.

use std::collections::{BTreeMap, BTreeSet};

use assent_consent::{Act, FactKind, Selector, SubjectId};
use assent_event::{ConsentDecision, EventId, Kind, Payload, indication_digest, to_fact};
use assent_intake::{Code, Outcome, WarningCode};
use serde_json::{Value, json};

use crate::room::{BROWSER_KEY, Found, Room, SERVER_KEY, at, code, grant, journalled, with};

fn decision(found: &Found) -> &ConsentDecision {
    match &found.payload {
        Payload::ConsentDecision(decision) => decision,
        other => panic!("{other:?}"),
    }
}

fn withdrawal() -> Value {
    json!({"subject": {"customer": "42"}, "purpose": "email_marketing", "state": "withdrawn"})
}

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

#[tokio::test]
async fn browsers_may_withdraw_and_narrow_but_not_grant_or_state_facts() {
    let room = Room::new();
    room.introduce(&["42"]);
    let why = room.refuse(BROWSER_KEY, grant()).await;
    assert_eq!(why.code, Code::ServerKeyRequired);
    let fact =
        json!({"subject": {"customer": "42"}, "fact": "birth_date", "birth_date": "2001-01-01"});
    assert_eq!(
        room.refuse(BROWSER_KEY, fact).await.code,
        Code::ServerKeyRequired
    );
    let body = with(
        with(withdrawal(), "authenticated", json!(true)),
        "actor",
        json!("agent"),
    );
    assert_eq!(room.decide(BROWSER_KEY, body).await, []);
    let narrowing = with(withdrawal(), "personalisation", json!(false));
    let narrowing = with(narrowing, "purpose", json!("marketing"));
    assert_eq!(room.decide(BROWSER_KEY, narrowing).await, []);
    let found = room.of_kind(Kind::ConsentDecision).await;
    assert_eq!(found.len(), 2);
    let clear = &decision(&found[0]).clear;
    assert_eq!(
        (clear.actor.as_str(), clear.authenticated),
        ("subject", false)
    );
    assert_eq!(decision(&found[1]).clear.personalisation, Some(false));
}

#[tokio::test]
async fn a_restriction_is_never_refused_for_a_detail_and_widens_to_what_can_be_read() {
    use WarningCode::{
        EvidenceDropped, FieldIgnored, IdentifierIgnored, LimitWidened, MessageIdReplaced,
        NamespaceUnknown, PurposeWidened, StateUnreadable, SubjectUnknown, TimeIgnored,
    };
    let room = Room::new();
    room.introduce(&["42"]);
    let purpose = Some("email_marketing");
    let cases: Vec<(Value, Option<&str>, &str, Vec<WarningCode>)> = vec![
        (withdrawal(), purpose, "withdrawn", vec![]),
        (
            with(withdrawal(), "state", json!("refused")),
            purpose,
            "refused",
            vec![],
        ),
        (
            with(withdrawal(), "state", json!("Unsubscribed")),
            purpose,
            "withdrawn",
            vec![],
        ),
        (
            with(withdrawal(), "state", json!("denied")),
            purpose,
            "refused",
            vec![],
        ),
        (
            with(withdrawal(), "purpose", json!("all")),
            None,
            "withdrawn",
            vec![],
        ),
        (
            with(withdrawal(), "purpose", Value::Null),
            None,
            "withdrawn",
            vec![PurposeWidened],
        ),
        (
            with(withdrawal(), "purpose", json!("emails")),
            None,
            "withdrawn",
            vec![PurposeWidened],
        ),
        (
            with(withdrawal(), "purpose", json!([1])),
            None,
            "withdrawn",
            vec![PurposeWidened],
        ),
        (
            with(withdrawal(), "channel", json!("pigeon")),
            purpose,
            "withdrawn",
            vec![LimitWidened],
        ),
        (
            with(withdrawal(), "channel", json!("sms")),
            purpose,
            "withdrawn",
            vec![LimitWidened],
        ),
        (
            with(withdrawal(), "channel", json!(5)),
            purpose,
            "withdrawn",
            vec![LimitWidened],
        ),
        (
            with(withdrawal(), "recipient", json!("nobody")),
            purpose,
            "withdrawn",
            vec![LimitWidened],
        ),
        (
            with(withdrawal(), "categories", json!(["transaction", "x y"])),
            purpose,
            "withdrawn",
            vec![LimitWidened],
        ),
        (
            with(withdrawal(), "categories", json!([])),
            purpose,
            "withdrawn",
            vec![LimitWidened],
        ),
        (
            with(withdrawal(), "personalisation", json!("false")),
            purpose,
            "withdrawn",
            vec![LimitWidened],
        ),
        (
            with(withdrawal(), "personalisation", json!(true)),
            purpose,
            "withdrawn",
            vec![LimitWidened],
        ),
        // Neither the purpose nor one below it personalises: nothing would be left of it.
        (
            with(withdrawal(), "personalisation", json!(false)),
            purpose,
            "withdrawn",
            vec![LimitWidened],
        ),
        (
            with(withdrawal(), "notice", json!(7)),
            purpose,
            "withdrawn",
            vec![FieldIgnored],
        ),
        (
            with(withdrawal(), "form", json!("oral")),
            purpose,
            "withdrawn",
            vec![],
        ),
        (
            with(withdrawal(), "actor", json!({"x": 1})),
            purpose,
            "withdrawn",
            vec![],
        ),
        (
            with(withdrawal(), "actor", json!("guardian")),
            purpose,
            "withdrawn",
            vec![],
        ),
        (
            with(withdrawal(), "expires_at", json!("x")),
            purpose,
            "withdrawn",
            vec![FieldIgnored],
        ),
        (
            with(withdrawal(), "event_time", json!("later")),
            purpose,
            "withdrawn",
            vec![TimeIgnored],
        ),
        (
            with(withdrawal(), "message_id", json!("x".repeat(200))),
            purpose,
            "withdrawn",
            vec![MessageIdReplaced],
        ),
        (
            with(withdrawal(), "why", json!("spam")),
            purpose,
            "withdrawn",
            vec![FieldIgnored],
        ),
        (
            with(withdrawal(), "state", json!("gone")),
            purpose,
            "unreadable",
            vec![StateUnreadable],
        ),
        (
            with(withdrawal(), "state", json!(false)),
            purpose,
            "unreadable",
            vec![StateUnreadable],
        ),
        (
            with(withdrawal(), "state", Value::Null),
            purpose,
            "unreadable",
            vec![StateUnreadable],
        ),
        (
            with(
                withdrawal(),
                "subject",
                json!({"customer": "42", "x y": "1"}),
            ),
            purpose,
            "withdrawn",
            vec![IdentifierIgnored],
        ),
        (
            with(withdrawal(), "subject", json!({"custmer": "42"})),
            purpose,
            "withdrawn",
            vec![NamespaceUnknown, SubjectUnknown],
        ),
        (
            with(withdrawal(), "evidence", json!("x".repeat(40_000))),
            purpose,
            "withdrawn",
            vec![EvidenceDropped],
        ),
    ];
    for (body, purpose, state, warnings) in cases {
        let before = room.of_kind(Kind::ConsentDecision).await.len();
        assert_eq!(
            room.decide(SERVER_KEY, body.clone()).await,
            warnings,
            "{body}"
        );
        let mut found = room.of_kind(Kind::ConsentDecision).await;
        // A channel that nobody knows may be any, and each is refused besides.
        let unread = body.get("channel").is_some();
        assert_eq!(found.len(), before + 1 + usize::from(unread), "{body}");
        if unread {
            let refusal = found.pop().unwrap();
            let clear = &decision(&refusal).clear;
            assert_eq!(clear.channel.as_deref(), Some("email"));
            assert_eq!(
                (clear.purpose.as_deref(), clear.state.as_str()),
                (purpose, state)
            );
        }
        let found = found.pop().unwrap();
        let clear = &decision(&found).clear;
        assert_eq!(
            (clear.purpose.as_deref(), clear.state.as_str()),
            (purpose, state),
            "{body}"
        );
        assert_eq!((&clear.channel, &clear.recipient), (&None, &None), "{body}");
        assert_eq!(
            (&clear.categories, clear.personalisation),
            (&None, None),
            "{body}"
        );
        // Whatever it was, the fold reads a restriction of that purpose in it.
        let fact = to_fact(&found.envelope, &found.payload).unwrap().unwrap();
        let FactKind::Decision(read) = fact.kind else {
            panic!("{fact:?}");
        };
        assert_eq!(read.state.as_str(), state, "{body}");
        match (read.purpose, purpose) {
            (Selector::All, None) => {}
            (Selector::One(id), Some(purpose)) => assert_eq!(id.as_str(), purpose),
            (other, _) => panic!("{other:?} of {body}"),
        }
    }
    // Only when nobody is named can nobody be protected.
    let why = room
        .refuse(SERVER_KEY, with(withdrawal(), "subject", Value::Null))
        .await;
    assert_eq!(why.code, Code::SubjectMissing);
}

#[tokio::test]
async fn limits_that_are_known_are_kept() {
    let room = Room::new();
    room.introduce(&["42"]);
    let body = json!({
        "subject": {"customer": "42"}, "purpose": "marketing", "state": "withdrawn",
        "channel": "sms", "categories": ["transaction"], "event_time": "2026-02-01T00:00:00Z",
    });
    assert_eq!(room.decide(SERVER_KEY, body).await, []);
    let found = room.of_kind(Kind::ConsentDecision).await;
    let clear = &decision(&found[0]).clear;
    assert_eq!(
        clear.channel.as_deref(),
        Some("sms"),
        "a child's channel is the parent's"
    );
    assert_eq!(
        clear.categories.as_deref(),
        Some(&["transaction".to_owned()][..])
    );
    assert_eq!(
        found[0].envelope.times.event_time,
        at("2026-02-01T00:00:00Z")
    );
}

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

/// A restriction limited to the personalisation is kept so where something below personalises.
#[tokio::test]
async fn a_channel_that_cannot_be_read_leaves_the_channels_to_the_personalisation() {
    let room = Room::new();
    let body = json!({
        "subject": {"customer": "42"}, "purpose": "marketing", "state": "refused",
        "personalisation": false, "channel": "pigeon",
    });
    room.decide(SERVER_KEY, body).await;
    let found = room.of_kind(Kind::ConsentDecision).await;
    assert_eq!(found.len(), 1);
    assert_eq!(decision(&found[0]).clear.personalisation, Some(false));
}

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
async fn a_reused_message_id_does_not_silence_a_withdrawal() {
    let room = Room::new();
    room.decide(SERVER_KEY, grant()).await;
    assert_eq!(
        room.consents(SERVER_KEY, grant()).await,
        [Outcome::Duplicate]
    );
    room.decide(SERVER_KEY, with(withdrawal(), "message_id", json!("g1")))
        .await;
    assert_eq!(room.of_kind(Kind::ConsentDecision).await.len(), 2);
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
