//! What the SDKs of Segment and RudderStack send.

use assent_event::{Kind, Payload};
use assent_intake::{Caller, Code, Outcome, Route, WarningCode};
use serde_json::{Value, json};

use crate::room::{BROWSER_KEY, Found, NOW, Room, SERVER_KEY, at, code, journalled, with};

fn order() -> Value {
    json!({"userId": "42", "event": "Order Completed", "messageId": "m1"})
}

#[tokio::test]
async fn a_track_call_becomes_behaviour() {
    let room = Room::new();
    let body = with(
        order(),
        "properties",
        json!({
            "revenue": "11.77", "currency": "USD", "quantity": 2, "product_id": "p1",
            "coupon": null, "items": [{"sku": "a"}], "gift": true,
            "diagnosis": "planted-flu", "email": "planted@example.com",
            "buyer": {"mobile": "planted-138", "tier": 1},
        }),
    );
    let warnings = room.call(SERVER_KEY, Route::Track, body).await;
    let codes: Vec<_> = warnings.iter().map(|warning| warning.code).collect();
    // The nested one, too.
    assert_eq!(codes, [WarningCode::IdentifierInProperties; 2]);
    let found = room.of_kind(Kind::Behaviour).await.remove(0);
    let Payload::Behaviour(behaviour) = found.payload else {
        panic!();
    };
    let profile = behaviour.profile.unwrap();
    assert_eq!(profile.name, "Order Completed");
    assert_eq!((profile.revenue, profile.quantity), (Some(11.77), Some(2)));
    assert_eq!(
        (profile.currency.as_deref(), profile.product.as_deref()),
        (Some("USD"), Some("p1"))
    );
    let properties: Vec<_> = profile
        .properties
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    assert_eq!(
        properties,
        [
            ("buyer", r#"{"tier":1}"#),
            ("gift", "true"),
            ("items", r#"[{"sku":"a"}]"#),
            ("product_id", "\"p1\""),
        ]
    );
    assert_eq!(
        behaviour.sensitive.unwrap().properties["diagnosis"],
        "\"planted-flu\""
    );
}

#[tokio::test]
async fn pages_and_screens_are_behaviour_with_a_name() {
    let room = Room::new();
    let body = json!({"anonymousId": "a1", "name": "Home", "properties": {"url": "/"}});
    room.call(BROWSER_KEY, Route::Page, body.clone()).await;
    room.call(BROWSER_KEY, Route::Screen, body).await;
    let names: Vec<_> = room
        .of_kind(Kind::Behaviour)
        .await
        .into_iter()
        .map(|found| match found.payload {
            Payload::Behaviour(behaviour) => {
                let profile = behaviour.profile.unwrap();
                assert_eq!(profile.properties["name"], "\"Home\"");
                profile.name
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(names, ["Page Viewed", "Screen Viewed"]);
}

#[tokio::test]
async fn traits_go_to_their_blocks_and_undeclared_ones_are_reported() {
    let room = Room::new();
    let body = json!({
        "userId": 42,
        "context": {"traits": {"city": "Beijing", "age_band": "30"}, "ip": "planted-10.0.0.1"},
        "traits": {
            "city": "Suzhou", "allergy": "planted-nuts", "email": "a@example.com",
            "mobile": 13800138000_u64, "shoe/size": 44, "openid": null,
        },
    });
    let warnings = room.call(SERVER_KEY, Route::Identify, body).await;
    let told: Vec<_> = warnings
        .iter()
        .map(|w| (w.code, w.pointer.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (WarningCode::FieldIgnored, "/traits/openid"),
            (WarningCode::TraitUndeclared, "/traits/shoe~1size"),
        ]
    );
    assert!(warnings[1].message.contains("traits.yaml"));
    let found = room.of_kind(Kind::Traits).await.remove(0);
    assert_eq!(Some(found.envelope.subject), room.subject("customer", "42"));
    let Payload::Traits(traits) = found.payload else {
        panic!();
    };
    let profile = traits.profile.unwrap().values;
    assert_eq!(
        profile.into_iter().collect::<Vec<_>>(),
        [
            ("age_band".to_owned(), "30".to_owned()),
            ("city".to_owned(), "\"Suzhou\"".to_owned()),
        ]
    );
    assert_eq!(
        traits.sensitive.unwrap().values["allergy"],
        "\"planted-nuts\""
    );
    let identifiers = traits.identity.unwrap().identifiers;
    assert_eq!(identifiers["email"], "a@example.com");
    assert_eq!(identifiers["phone"], "+8613800138000");
    assert_eq!(identifiers.len(), 2);
}

#[tokio::test]
async fn both_ids_under_a_server_key_are_linked_once() {
    let mut room = Room::new();
    let body = with(
        with(order(), "anonymousId", json!("a1")),
        "messageId",
        Value::Null,
    );
    room.call(BROWSER_KEY, Route::Track, body.clone()).await;
    assert_eq!(room.of_kind(Kind::IdentityLink).await.len(), 0);
    room.call(SERVER_KEY, Route::Track, body.clone()).await;
    room.call(SERVER_KEY, Route::Track, body.clone()).await;
    let links = room.of_kind(Kind::IdentityLink).await;
    assert_eq!(links.len(), 1);
    let Payload::IdentityLink(link) = &links[0].payload else {
        panic!();
    };
    assert!(link.clear.linked);
    assert_eq!(
        Some(links[0].envelope.subject),
        room.subject("customer", "42")
    );
    assert_eq!(Some(link.clear.other), room.subject("anonymous", "a1"));
    assert_eq!(room.of_kind(Kind::Behaviour).await.len(), 3);
    // What is forgotten over a restart is said once more; the fold does not mind.
    room.restart();
    room.call(SERVER_KEY, Route::Track, body).await;
    assert_eq!(room.of_kind(Kind::IdentityLink).await.len(), 2);
}

#[tokio::test]
async fn an_alias_links_the_known_id_or_else_the_anonymous_one() {
    let room = Room::new();
    let alias = |user: &str, previous: &str| json!({"userId": user, "previousId": previous});
    room.call(
        SERVER_KEY,
        Route::Track,
        json!({"userId": "old", "event": "e"}),
    )
    .await;
    room.call(SERVER_KEY, Route::Alias, alias("42", "old"))
        .await;
    room.call(SERVER_KEY, Route::Alias, alias("42", "visitor"))
        .await;
    let others: Vec<_> = room
        .of_kind(Kind::IdentityLink)
        .await
        .iter()
        .map(|found| match &found.payload {
            Payload::IdentityLink(link) => Some(link.clear.other),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        others,
        [
            room.subject("customer", "old"),
            room.subject("anonymous", "visitor")
        ]
    );
    for (body, expected) in [
        (json!({"userId": "42"}), Code::FieldMissing),
        (alias("42", "42"), Code::FieldInvalid),
    ] {
        assert_eq!(
            room.refused_call(SERVER_KEY, Route::Alias, body).await.code,
            expected
        );
    }
    let why = room
        .refused_call(BROWSER_KEY, Route::Alias, alias("42", "a1"))
        .await;
    assert_eq!(why.code, Code::ServerKeyRequired);
}

#[tokio::test]
async fn browsers_do_not_describe_known_people() {
    let room = Room::new();
    let known =
        json!({"userId": "42", "anonymousId": "a1", "groupId": "acme", "traits": {"city": "x"}});
    for route in [Route::Identify, Route::Group] {
        let why = room.refused_call(BROWSER_KEY, route, known.clone()).await;
        assert_eq!(
            (why.code, why.pointer.as_str()),
            (Code::ServerKeyRequired, "/userId")
        );
        room.call(
            BROWSER_KEY,
            route,
            with(known.clone(), "userId", Value::Null),
        )
        .await;
    }
    let started = json!({"userId": "42", "event": "Subscription Started", "properties": {"subscription_id": "s1"}});
    let warnings = room.call(BROWSER_KEY, Route::Track, started).await;
    assert_eq!(warnings[0].code, WarningCode::ServerKeyRequired);
    assert_eq!(room.of_kind(Kind::SubscriptionChange).await.len(), 0);
    assert_eq!(room.of_kind(Kind::Behaviour).await.len(), 1);
}

#[tokio::test]
async fn a_group_call_becomes_membership() {
    let room = Room::new();
    let body = json!({"userId": "42", "groupId": "acme", "traits": {
        "name": "Acme", "industry": "steel", "role": "CTO", "buying_role": "decider",
        "country": {"x": 1}, "revenue": 5, "department": null,
    }});
    let warnings = room.call(SERVER_KEY, Route::Group, body).await;
    let codes: Vec<_> = warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(
        codes,
        [WarningCode::TraitMistyped, WarningCode::TraitUndeclared]
    );
    let left = json!({"userId": "42", "groupId": "acme", "traits": {"left": true}});
    room.call(SERVER_KEY, Route::Group, left).await;
    let found = room.of_kind(Kind::AccountMembership).await;
    let Payload::AccountMembership(joined) = &found[0].payload else {
        panic!();
    };
    assert_eq!(
        (joined.clear.account.as_str(), joined.clear.left),
        ("acme", false)
    );
    assert_eq!(joined.clear.industry.as_deref(), Some("steel"));
    let profile = joined.profile.as_ref().unwrap();
    assert_eq!(profile.buying_role.as_deref(), Some("decider"));
    let Payload::AccountMembership(left) = &found[1].payload else {
        panic!();
    };
    assert!(left.clear.left && left.profile.is_none());
}

#[tokio::test]
async fn a_subscription_event_is_a_change_and_behaviour() {
    let room = Room::new();
    let event = |stage: &str, properties: Value| json!({"userId": "42", "event": stage, "properties": properties, "timestamp": "2026-02-01T00:00:00Z"});
    let started =
        json!({"subscription_id": "s1", "plan": "gold", "amount": "20", "currency": "CNY"});
    let mut body = event("Subscription Started", started);
    body["messageId"] = json!("m1");
    room.call(SERVER_KEY, Route::Track, body).await;
    room.call(
        SERVER_KEY,
        Route::Track,
        event("Subscription Ended", json!({"subscription": "s1"})),
    )
    .await;
    let found = room.of_kind(Kind::SubscriptionChange).await;
    let profiles: Vec<_> = found
        .iter()
        .map(|found| match &found.payload {
            Payload::SubscriptionChange(change) => change.profile.clone().unwrap(),
            other => panic!("{other:?}"),
        })
        .collect();
    let happened = Some(at("2026-02-01T00:00:00Z"));
    assert_eq!(profiles[0].status.as_deref(), Some("active"));
    assert_eq!(
        (profiles[0].amount, profiles[0].started_at),
        (Some(20.0), happened)
    );
    assert_eq!(
        (profiles[1].status.as_deref(), profiles[1].ends_at),
        (Some("ended"), happened)
    );
    let behaviour = room.of_kind(Kind::Behaviour).await;
    assert_eq!(found[0].envelope.message_id, "m1");
    assert_eq!(behaviour[0].envelope.message_id, "m1/behaviour");
    let why = room
        .refused_call(
            SERVER_KEY,
            Route::Track,
            event("Subscription Updated", json!({"plan": "x"})),
        )
        .await;
    assert_eq!(
        (why.code, why.pointer.as_str()),
        (Code::FieldMissing, "/properties/subscription_id")
    );
}

#[tokio::test]
async fn the_clock_of_the_sender_is_corrected_and_never_ahead() {
    let mut room = Room::new();
    let received = at(NOW);
    // (timestamp, originalTimestamp, sentAt, event time, original)
    let hour = |h: &str| format!("2026-03-01T{h}:00:00Z");
    let cases = [
        (None, None, None, hour("08"), None),
        (Some(hour("06")), None, None, hour("06"), Some(hour("06"))),
        (
            Some("2026-03-01T14:00:00+08:00".to_owned()),
            None,
            None,
            hour("06"),
            Some(hour("06")),
        ),
        // An hour slow: sent at 7 by its own clock, received at 8.
        (
            Some(hour("06")),
            None,
            Some(hour("07")),
            hour("07"),
            Some(hour("06")),
        ),
        (
            None,
            Some(hour("05")),
            Some(hour("07")),
            hour("06"),
            Some(hour("05")),
        ),
        (
            Some(hour("06")),
            Some(hour("05")),
            None,
            hour("06"),
            Some(hour("06")),
        ),
        // Without an event's own time sentAt corrects nothing.
        (None, None, Some(hour("07")), hour("08"), None),
        // A year ahead, with and without a correction.
        (
            Some("2027-03-01T06:00:00Z".to_owned()),
            None,
            Some("2027-03-01T07:00:00Z".to_owned()),
            hour("07"),
            Some("2027-03-01T06:00:00Z".to_owned()),
        ),
        (
            Some("2027-03-01T06:00:00Z".to_owned()),
            None,
            None,
            hour("08"),
            Some("2027-03-01T06:00:00Z".to_owned()),
        ),
    ];
    for (index, (timestamp, original, sent, event, kept)) in cases.into_iter().enumerate() {
        room.restart();
        let body = json!({
            "userId": format!("u{index}"), "event": "e", "timestamp": timestamp,
            "originalTimestamp": original, "sentAt": sent,
        });
        let warnings = room.call(SERVER_KEY, Route::Track, body).await;
        let ahead = warnings
            .iter()
            .any(|warning| warning.code == WarningCode::ClockAhead);
        assert_eq!(ahead, index == 8, "{index}");
        let subject = room.subject("customer", &format!("u{index}"));
        let found = room.of_kind(Kind::Behaviour).await;
        let found = found
            .iter()
            .find(|found| Some(found.envelope.subject) == subject)
            .unwrap();
        let times = found.envelope.times;
        assert_eq!(times.event_time, at(&event), "{index}");
        assert_eq!(times.original, kept.as_deref().map(at), "{index}");
        assert_eq!(times.sent_at, sent.as_deref().map(at), "{index}");
        assert_eq!(times.received_at, received, "{index}");
    }
    let why = room
        .refused_call(
            SERVER_KEY,
            Route::Track,
            with(order(), "timestamp", json!("noon")),
        )
        .await;
    assert_eq!(
        (why.code, why.pointer.as_str()),
        (Code::TimeInvalid, "/timestamp")
    );
    let warnings = room
        .call(SERVER_KEY, Route::Track, with(order(), "sentAt", json!(7)))
        .await;
    assert_eq!(warnings[0].code, WarningCode::TimeIgnored);
}

#[tokio::test]
async fn a_batch_answers_for_each_item_in_order() {
    let room = Room::new();
    let body = json!({
        "sentAt": "2026-03-01T07:00:00Z",
        "batch": [
            {"type": "track", "userId": "42", "event": "e", "messageId": "a", "timestamp": "2026-03-01T06:00:00Z"},
            {"type": "dance", "userId": "42"},
            {"type": "track", "event": "e"},
            {"type": "track", "userId": "42"},
            {"type": "track", "userId": "42", "event": "e", "messageId": "a"},
            {"type": "page", "anonymousId": "a1", "sentAt": "2026-03-01T08:00:00Z", "timestamp": "2026-03-01T06:00:00Z"},
            {"type": "track", "userId": "42", "event": "e", "messageId": "x".repeat(100)},
            {"type": "track", "userId": "42", "event": "e", "properties": {"x": "y".repeat(40_000)}},
            [],
            {"type": "batch", "userId": "42"},
        ],
    });
    let outcomes = room.events(SERVER_KEY, Route::Batch, body.clone()).await;
    let codes: Vec<_> = outcomes.iter().map(code).collect();
    assert_eq!(
        codes,
        [
            None,
            Some(Code::UnknownType),
            Some(Code::NoUserAnonId),
            Some(Code::FieldMissing),
            None,
            None,
            Some(Code::MessageIdTooLong),
            Some(Code::EventTooLarge),
            Some(Code::NotAnObject),
            Some(Code::UnknownType),
        ]
    );
    assert_eq!(outcomes[4], Outcome::Duplicate);
    let Outcome::Rejected(why) = &outcomes[3] else {
        panic!();
    };
    assert_eq!(why.pointer, "/batch/3/event");
    let times: Vec<_> = room
        .of_kind(Kind::Behaviour)
        .await
        .iter()
        .map(|found| found.envelope.times.event_time)
        .collect();
    assert_eq!(
        times,
        [at("2026-03-01T07:00:00Z"), at("2026-03-01T06:00:00Z")],
        "the item's sentAt wins"
    );
    assert_eq!(room.of_kind(Kind::Rejection).await.len(), 7);
    // The same batch again: what was journalled is a duplicate if it had an id.
    let again = room.events(SERVER_KEY, Route::Batch, body).await;
    assert_eq!(again[0], Outcome::Duplicate);
}

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
