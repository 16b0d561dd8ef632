//! What restricts, sent to `POST /v1/consents`: never refused for a detail.

use assent_consent::{FactKind, Selector};
use assent_event::{Kind, to_fact};
use assent_intake::{Code, Outcome, WarningCode};
use serde_json::{Value, json};

use crate::room::{BROWSER_KEY, Room, SERVER_KEY, at, decision, grant, with, withdrawal};

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
