//! What the calls of SDKs decide: preferences, the privacy signal, and consent stamps.

use assent_event::{Kind, Payload};
use assent_intake::{Caller, Code, Outcome, Route, WarningCode};
use serde_json::{Value, json};

use crate::room::{BROWSER_KEY, Found, NOW, Room, SERVER_KEY, at, code, journalled, with};

#[tokio::test]
async fn preferences_withdraw_what_is_not_true_and_grant_only_with_all_it_takes() {
    let room = Room::new();
    let event = |preferences: Value, properties: Value| {
        json!({
            "anonymousId": "a1", "event": "Segment Consent Preference Updated",
            "context": {"consent": {"categoryPreferences": preferences}}, "properties": properties,
            "timestamp": NOW,
        })
    };
    let why = room
        .refused_call(
            BROWSER_KEY,
            Route::Track,
            json!({"anonymousId": "a1", "event": "Segment Consent Preference Updated"}),
        )
        .await;
    assert_eq!(
        why.message,
        "context.consent.categoryPreferences object is required"
    );
    let warnings = room
        .call(
            BROWSER_KEY,
            Route::Track,
            event(json!({"Email": true}), json!({})),
        )
        .await;
    assert_eq!(warnings[0].code, WarningCode::GrantNotRecorded);
    let states = |found: &[crate::room::Found]| -> Vec<(String, String)> {
        let mut states: Vec<_> = found
            .iter()
            .map(|found| match &found.payload {
                Payload::ConsentDecision(decision) => (
                    decision.clear.purpose.clone().unwrap(),
                    decision.clear.state.clone(),
                ),
                other => panic!("{other:?}"),
            })
            .collect();
        states.sort();
        states
    };
    let pair = |purpose: &str, state: &str| (purpose.to_owned(), state.to_owned());
    let found = room.of_kind(Kind::ConsentDecision).await;
    assert_eq!(
        states(&found),
        [pair("ad_sharing", "withdrawn")],
        "missing counts as false"
    );
    let notice = json!({"notice": "terms@2", "act": "button_pressed"});
    let body = event(json!({"Email": true, "Advertising": "true"}), notice);
    assert_eq!(room.call(SERVER_KEY, Route::Track, body).await, []);
    let found = room.of_kind(Kind::ConsentDecision).await;
    assert_eq!(
        states(&found),
        [
            pair("ad_sharing", "withdrawn"),
            pair("ad_sharing", "withdrawn"),
            pair("email_marketing", "granted"),
        ]
    );
    let all = event(json!({"Email": true, "Advertising": true}), json!({}));
    let why = room.refused_call(SERVER_KEY, Route::Track, all).await;
    assert_eq!(
        why.code,
        Code::NoticeMissing,
        "nothing was recorded, so it is refused"
    );
}

#[tokio::test]
async fn the_privacy_signal_refuses_for_the_visitor_each_time() {
    let room = Room::new();
    let body = json!({"anonymousId": "a1", "event": "e"})
        .to_string()
        .into_bytes();
    let with_signal = Caller::with_key(BROWSER_KEY).global_privacy_control(true);
    for _ in 0..2 {
        room.intake
            .events(&with_signal, Route::Track, body.clone())
            .await
            .unwrap();
    }
    let server = Caller::with_key(SERVER_KEY).global_privacy_control(true);
    room.intake
        .events(&server, Route::Track, body)
        .await
        .unwrap();
    let found = room.of_kind(Kind::ConsentDecision).await;
    assert_eq!(found.len(), 2, "something may have been granted in between");
    assert_eq!(
        Some(found[0].envelope.subject),
        room.subject("anonymous", "a1")
    );
    let Payload::ConsentDecision(decision) = &found[0].payload else {
        panic!();
    };
    assert_eq!(decision.clear.state, "refused");
    assert_eq!(decision.clear.purpose.as_deref(), Some("ad_sharing"));
    assert_eq!(room.of_kind(Kind::Behaviour).await.len(), 3);
}

fn denied(found: &Found) -> Vec<String> {
    let Payload::Behaviour(behaviour) = &found.payload else {
        panic!("{:?}", found.payload);
    };
    behaviour.clear.denied_purposes.clone().unwrap_or_default()
}

#[tokio::test]
async fn a_consent_stamp_narrows_the_event_it_stands_on() {
    let room = Room::new();
    const ADS: &str = "ad_sharing";
    const EMAIL: &str = "email_marketing";
    let segment = |preferences: Value| json!({"consent": {"categoryPreferences": preferences}});
    let rudder = |management: Value| json!({"consentManagement": management});
    let cases: Vec<(Value, &[&str], usize)> = vec![
        (json!({}), &[], 0),
        (json!({"consent": {}}), &[], 0),
        (json!({"consent": null, "consentManagement": null}), &[], 0),
        (segment(json!({"Advertising": true, "Email": true})), &[], 0),
        (
            segment(json!({"Advertising": false, "Email": true})),
            &[ADS],
            0,
        ),
        // What is missing, or not plainly true, is denied; what the banner does not know says nothing.
        (segment(json!({"Email": true, "Other": false})), &[ADS], 0),
        (
            segment(json!({"Email": "true", "Advertising": 1})),
            &[ADS, EMAIL],
            0,
        ),
        (segment(json!({})), &[ADS, EMAIL], 0),
        (segment(json!([])), &[ADS, EMAIL], 1),
        (json!({"consent": "denied"}), &[ADS, EMAIL], 1),
        (rudder(json!({"provider": "custom"})), &[], 0),
        (
            rudder(json!({"allowedConsentIds": ["Email", "Advertising"]})),
            &[],
            0,
        ),
        (
            rudder(json!({"deniedConsentIds": ["Email", "other"]})),
            &[EMAIL],
            0,
        ),
        (
            rudder(json!({"allowedConsentIds": ["Email"], "deniedConsentIds": []})),
            &[ADS],
            0,
        ),
        (
            rudder(json!({
                "allowedConsentIds": ["Email", "Advertising"], "deniedConsentIds": ["Email"],
                "resolutionStrategy": "or",
            })),
            &[EMAIL],
            0,
        ),
        (
            rudder(json!({"allowedConsentIds": ["email", "Advertising"]})),
            &[EMAIL],
            0,
        ),
        (
            rudder(json!({"deniedConsentIds": "Email"})),
            &[ADS, EMAIL],
            1,
        ),
        (rudder(json!({"allowedConsentIds": [7]})), &[ADS, EMAIL], 1),
        (
            json!({
                "consent": {"categoryPreferences": {"Email": true, "Advertising": false}},
                "consentManagement": {"deniedConsentIds": ["Email"]},
            }),
            &[ADS, EMAIL],
            0,
        ),
    ];
    for (context, purposes, warnings) in cases {
        for (key, user) in [(SERVER_KEY, "userId"), (BROWSER_KEY, "anonymousId")] {
            let body = json!({user: "42", "event": "e", "context": context});
            let told = room.call(key, Route::Track, body).await;
            assert_eq!(told.len(), warnings, "{context}");
            assert!(told.iter().all(|w| w.code == WarningCode::LimitWidened));
            let found = room.of_kind(Kind::Behaviour).await;
            assert_eq!(denied(found.last().unwrap()), purposes, "{context}");
        }
    }
    // The ledger does not change.
    assert!(room.of_kind(Kind::ConsentDecision).await.is_empty());
}

#[tokio::test]
async fn a_stamp_of_a_batch_narrows_its_pages_and_subscriptions_too() {
    let room = Room::new();
    let body = json!({
        "context": {"consent": {"categoryPreferences": {"Email": true}}},
        "batch": [
            {"type": "page", "userId": "42", "name": "Tea"},
            {"type": "screen", "userId": "42", "name": "Tea"},
            {"type": "track", "userId": "42", "event": "Subscription Started",
             "properties": {"subscription": "s1", "plan": "p"}},
            {"type": "track", "userId": "42", "event": "e",
             "context": {"consent": {"categoryPreferences": {"Email": true, "Advertising": true}}}},
        ],
    });
    for outcome in room.events(SERVER_KEY, Route::Batch, body).await {
        journalled(outcome);
    }
    let found = room.of_kind(Kind::Behaviour).await;
    let denied: Vec<_> = found.iter().map(denied).collect();
    let ads = || vec!["ad_sharing".to_owned()];
    assert_eq!(denied, [ads(), ads(), ads(), vec![]]);
}

/// An SDK that re-uses `sentAt` on a late retry must not move a grant past a withdrawal, nor one that
/// runs ahead move a withdrawal before a grant.
#[tokio::test]
async fn a_retry_with_the_first_sent_at_does_not_make_a_grant_later() {
    let room = Room::new();
    let hour = |h: &str| format!("2026-03-01T{h}:00:00Z");
    // Received at 8: tried first at 3, so the clock seems five hours slow; then one hour ahead.
    for (sent, granted, withdrawn) in [("03", "02", "07"), ("09", "01", "02")] {
        let body = json!({
            "userId": sent, "event": "Segment Consent Preference Updated", "messageId": sent,
            "timestamp": hour("02"), "sentAt": hour(sent),
            "context": {"consent": {"categoryPreferences": {"Email": true}}},
            "properties": {"notice": "terms@2", "act": "checkbox_ticked"},
        });
        assert_eq!(room.call(SERVER_KEY, Route::Track, body).await, []);
        let subject = room.subject("customer", sent).unwrap();
        let found = room.of_kind(Kind::ConsentDecision).await;
        let of_subject = found
            .iter()
            .filter(|found| found.envelope.subject == subject);
        let mut times: Vec<_> = of_subject
            .map(|found| match &found.payload {
                Payload::ConsentDecision(decision) => {
                    let times = found.envelope.times;
                    assert_eq!(times.original, Some(at(&hour("02"))));
                    (decision.clear.state.clone(), times.event_time)
                }
                other => panic!("{other:?}"),
            })
            .collect();
        times.sort();
        let expected = [
            ("granted".to_owned(), at(&hour(granted))),
            ("withdrawn".to_owned(), at(&hour(withdrawn))),
        ];
        assert_eq!(times, expected, "sent at {sent}");
    }
}

/// States and purposes of the decisions about a visitor, sorted.
async fn decided(room: &Room, visitor: &str) -> Vec<(String, String)> {
    let subject = room.subject("anonymous", visitor);
    let found = room.of_kind(Kind::ConsentDecision).await;
    let mut decided: Vec<_> = found
        .iter()
        .filter(|found| Some(found.envelope.subject) == subject)
        .map(|found| match &found.payload {
            Payload::ConsentDecision(decision) => {
                assert_eq!(
                    found.envelope.times.event_time,
                    found.envelope.times.received_at
                );
                let purpose = decision.clear.purpose.clone().unwrap();
                (decision.clear.state.clone(), purpose)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    decided.sort();
    decided
}

fn pair(state: &str, purpose: &str) -> (String, String) {
    (state.to_owned(), purpose.to_owned())
}

/// I6: a call that is refused for a detail is refused as a call, not as a withdrawal or a signal.
#[tokio::test]
async fn what_restricts_in_a_refused_call_is_recorded() {
    let details: [(&str, Value, Code); 4] = [
        ("timestamp", json!(1_772_000_000_000_u64), Code::TimeInvalid),
        ("messageId", json!("x".repeat(100)), Code::MessageIdTooLong),
        ("filler", json!("x".repeat(40_000)), Code::EventTooLarge),
        ("userId", json!({"$oid": "1"}), Code::FieldInvalid),
    ];
    let room = Room::new();
    let signal = Caller::with_key(BROWSER_KEY).global_privacy_control(true);
    let refused = async |body: &Value| {
        let bytes = body.to_string().into_bytes();
        let taken = room.intake.events(&signal, Route::Track, bytes).await;
        match taken.unwrap().remove(0) {
            Outcome::Rejected(why) => why,
            other @ (Outcome::Duplicate | Outcome::Journalled { .. }) => panic!("{other:?}"),
        }
    };
    for (index, (field, value, code)) in details.into_iter().enumerate() {
        let visitor = format!("a{index}");
        let call = json!({"anonymousId": visitor, "event": "e"});
        let why = refused(&with(call, field, value.clone())).await;
        assert_eq!(why.code, code);
        assert!(why.message.contains("what restricts in it was recorded"));
        let expected = [pair("refused", "ad_sharing")];
        assert_eq!(decided(&room, &visitor).await, expected, "{field}");

        let visitor = format!("b{index}");
        let preferences = json!({
            "anonymousId": visitor, "event": "Segment Consent Preference Updated",
            "context": {"consent": {"categoryPreferences": {"Advertising": true, "Email": false}}},
        });
        let why = refused(&with(preferences, field, value)).await;
        assert_eq!(why.code, code);
        let expected = [
            pair("refused", "ad_sharing"),
            pair("withdrawn", "email_marketing"),
        ];
        assert_eq!(decided(&room, &visitor).await, expected, "{field}");
    }
    // Whatever the call is refused for.
    let nameless = json!({"anonymousId": "c", "event": ""});
    assert_eq!(refused(&nameless).await.code, Code::FieldMissing);
    assert_eq!(decided(&room, "c").await, [pair("refused", "ad_sharing")]);
    assert_eq!(room.of_kind(Kind::Behaviour).await.len(), 0);
    assert_eq!(room.of_kind(Kind::Rejection).await.len(), 9);
    // Of nobody nothing can be kept, and nothing is said to be.
    let nobody = json!({"anonymousId": [], "event": "e", "timestamp": 7});
    assert!(!refused(&nobody).await.message.contains("recorded"));
}

#[tokio::test]
async fn the_signal_counts_once_in_a_request() {
    let room = Room::new();
    let call = |visitor: &str| json!({"type": "track", "anonymousId": visitor, "event": "e"});
    let items = [
        call("a1"),
        call("a1"),
        json!({"type": "?", "anonymousId": "a1"}),
        call("a2"),
    ];
    let body = json!({"batch": items}).to_string().into_bytes();
    let signal = Caller::with_key(BROWSER_KEY).global_privacy_control(true);
    let outcomes = room
        .intake
        .events(&signal, Route::Batch, body)
        .await
        .unwrap();
    assert_eq!(code(&outcomes[2]), Some(Code::UnknownType));
    for visitor in ["a1", "a2"] {
        assert_eq!(
            decided(&room, visitor).await,
            [pair("refused", "ad_sharing")]
        );
    }
    assert_eq!(room.of_kind(Kind::Behaviour).await.len(), 3);
}
