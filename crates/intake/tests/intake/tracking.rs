//! What the SDKs of Segment and RudderStack send.

use assent_event::{Kind, Payload};
use assent_intake::{Code, Outcome, Route, WarningCode};
use serde_json::{Value, json};

use crate::room::{BROWSER_KEY, NOW, Room, SERVER_KEY, at, code, with};

/// An order with a message id.
pub(crate) fn order() -> Value {
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
