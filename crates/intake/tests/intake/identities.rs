//! Whom the calls of SDKs name, link and describe.

use assent_event::{Kind, Payload};
use assent_intake::{Code, Route, WarningCode};
use serde_json::{Value, json};

use crate::room::{BROWSER_KEY, Room, SERVER_KEY, with};
use crate::tracking::order;

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
