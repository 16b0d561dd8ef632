//! What holds for every request: keys, limits, durability, secrecy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use assent_event::{Kind, topics};
use assent_intake::{Caller, ErrorKind, Intake, Limits, Outcome, Route};
use assent_journal::{
    Batch, Checkpoint, Error, ErrorKind as JournalErrorKind, Journal, Position, ReadLimit, Record,
    Topic,
};
use assent_vault::{KeyState, SharedRng, Vault};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::json;

use crate::room::{BROWSER_KEY, NOW, Room, SERVER_KEY, at, code, grant, with};

#[tokio::test]
async fn the_key_may_stand_in_the_header_or_in_the_body_but_not_differ() {
    let room = Room::new();
    let body = json!({"writeKey": BROWSER_KEY, "anonymousId": "a1", "event": "e"})
        .to_string()
        .into_bytes();
    let room = &room;
    let send = |caller: Caller, body: Vec<u8>| async move {
        room.intake.events(&caller, Route::Track, body).await
    };
    send(Caller::key_in_body(), body.clone()).await.unwrap();
    send(Caller::with_key(BROWSER_KEY), body.clone())
        .await
        .unwrap();
    let error = send(Caller::with_key(SERVER_KEY), body).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Denied, "write_keys_disagree")
    );
    let error = send(Caller::key_in_body(), b"{}".to_vec())
        .await
        .unwrap_err();
    assert_eq!(error.code(), "write_key_missing");
    let error = send(Caller::with_key("nobody's"), b"{}".to_vec())
        .await
        .unwrap_err();
    assert_eq!(error.code(), "unknown_write_key");
    assert!(!error.to_string().contains("nobody"));
    assert_eq!(room.intake.authenticate(SERVER_KEY).unwrap().id(), "shop");
    assert!(room.intake.authenticate("").is_err());
    assert!(!format!("{:?}", Caller::with_key("planted")).contains("planted"));
}

#[tokio::test]
async fn a_body_that_is_too_much_or_not_json_is_refused_as_a_whole() {
    let cases = [
        (
            Route::Track,
            "x".repeat(2_001),
            (ErrorKind::TooLarge, "body_too_large"),
        ),
        (
            Route::Track,
            "{".to_owned(),
            (ErrorKind::Invalid, "not_json"),
        ),
        (
            Route::Track,
            "[]".to_owned(),
            (ErrorKind::Invalid, "wrong_shape"),
        ),
        (
            Route::Batch,
            "{}".to_owned(),
            (ErrorKind::Invalid, "wrong_shape"),
        ),
        (
            Route::Batch,
            r#"{"batch":[1,2,3,4]}"#.to_owned(),
            (ErrorKind::TooLarge, "too_many_events"),
        ),
        (
            Route::Track,
            "[".repeat(1_000),
            (ErrorKind::Invalid, "not_json"),
        ),
    ];
    let limits = Limits {
        body_bytes: 2_000,
        events: 3,
        event_bytes: 300,
        ..Limits::default()
    };
    let room = Room::with_limits(limits);
    let count = cases.len();
    for (route, body, expected) in cases {
        let caller = Caller::with_key(SERVER_KEY);
        let error = room
            .intake
            .events(&caller, route, body.into_bytes())
            .await
            .unwrap_err();
        assert_eq!((error.kind(), error.code()), expected);
    }
    // Each is on record.
    assert_eq!(room.of_kind(Kind::Rejection).await.len(), count);
    let body = json!([grant(), grant(), grant(), grant()]);
    let error = room
        .intake
        .consents(&Caller::with_key(SERVER_KEY), body)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "too_many_events");
    let caller = Caller::with_key(SERVER_KEY);
    for (body, code) in [("[{},{},{},{}]", "too_many_events"), ("[{]", "not_json")] {
        let body = body.as_bytes().to_vec();
        let error = room.intake.consents_bytes(&caller, body).await.unwrap_err();
        assert_eq!(error.code(), code);
    }
    // These, too; but nothing of whoever has no key.
    assert_eq!(room.of_kind(Kind::Rejection).await.len(), count + 3);
    let nobody = Caller::with_key("x");
    let error = room.intake.consents_bytes(&nobody, b"[{]".to_vec()).await;
    assert_eq!(error.unwrap_err().code(), "unknown_write_key");
    assert_eq!(room.of_kind(Kind::Rejection).await.len(), count + 3);
    let long = with(grant(), "evidence", json!("x".repeat(300)));
    assert_eq!(
        code(&room.consents(SERVER_KEY, long).await[0])
            .unwrap()
            .as_str(),
        "event_too_large"
    );
    assert!(room.consents(SERVER_KEY, json!([])).await.is_empty());
}

#[tokio::test]
async fn nothing_personal_stands_in_clear_in_the_journal() {
    let room = Room::new();
    let planted = "planted-13800138000";
    room.call(
        SERVER_KEY,
        Route::Identify,
        json!({
            "userId": planted, "traits": {"phone": planted, "city": planted, "allergy": planted},
        }),
    )
    .await;
    room.call(
        SERVER_KEY,
        Route::Track,
        json!({
            "userId": planted, "event": "e", "properties": {"note": planted, "diagnosis": planted},
            "context": {"ip": planted},
        }),
    )
    .await;
    let body = with(
        with(grant(), "recorded_by", json!(planted)),
        "subject",
        json!({"customer": planted}),
    );
    room.decide(SERVER_KEY, body).await;
    room.refuse(
        SERVER_KEY,
        json!({"subject": planted, "state": "granted", "evidence": planted}),
    )
    .await;
    let found = room.journal().await;
    assert!(found.len() >= 4);
    for found in &found {
        let bytes = found.envelope.encode().unwrap();
        assert!(
            !bytes
                .windows(planted.len())
                .any(|window| window == planted.as_bytes())
        );
    }
    // Control: it was there, and opens.
    let shown = found
        .iter()
        .filter(|found| match &found.payload {
            assent_event::Payload::Traits(traits) => traits
                .identity
                .as_ref()
                .is_some_and(|block| block.identifiers["phone"] == planted),
            assent_event::Payload::Rejection(rejection) => rejection
                .evidence
                .as_ref()
                .is_some_and(|block| block.body.contains(planted)),
            _ => false,
        })
        .count();
    assert_eq!(shown, 2);
}

#[tokio::test]
async fn rejects_of_a_source_and_month_are_forgotten_together() {
    let room = Room::new();
    room.refuse(SERVER_KEY, json!({})).await;
    room.refuse(SERVER_KEY, json!({})).await;
    room.set_now("2026-03-31T17:00:00Z");
    room.refuse(SERVER_KEY, json!({})).await;
    room.refuse(BROWSER_KEY, json!({})).await;
    let found = room.of_kind(Kind::Rejection).await;
    let mut subjects: Vec<_> = found.iter().map(|found| found.envelope.subject).collect();
    assert_eq!(subjects[0], subjects[1]);
    subjects.sort();
    subjects.dedup();
    assert_eq!(subjects.len(), 3, "April begins in Shanghai at 16:00 UTC");
}

#[tokio::test]
async fn who_was_erased_comes_back_as_somebody_new() {
    let room = Room::new();
    let body = json!({"userId": "42", "event": "e"});
    room.call(SERVER_KEY, Route::Track, body.clone()).await;
    let before = room.subject("customer", "42").unwrap();
    room.vault.destroy(before).unwrap();
    room.call(SERVER_KEY, Route::Track, body).await;
    let after = room.subject("customer", "42").unwrap();
    assert_ne!(before, after);
    let key = (before, assent_event::KeyClass::Profile);
    assert!(matches!(
        room.vault.keys(&[key], false).unwrap()[0],
        KeyState::Destroyed
    ));
}

#[tokio::test]
async fn times_of_receipt_rise_under_load() {
    let room = Room::new();
    let items: Vec<_> = (0..500)
        .map(|n| json!({"type": "track", "userId": n, "event": "e"}))
        .collect();
    for _ in 0..3 {
        room.events(SERVER_KEY, Route::Batch, json!({"batch": items.clone()}))
            .await;
    }
    let found = room.of_kind(Kind::Behaviour).await;
    assert_eq!(found.len(), 1_500);
    let received: Vec<_> = found
        .iter()
        .map(|found| found.envelope.times.received_at)
        .collect();
    assert!(received.is_sorted_by(|a, b| a < b));
    // The first request had room behind the clock; each further item is a microsecond ahead.
    assert_eq!(received.last(), Some(&at(NOW).plus_micros(1_000)));
}

/// A journal that can fail, and that counts.
struct Flaky {
    inner: Arc<dyn Journal>,
    fail: AtomicBool,
    appends: AtomicUsize,
}

#[async_trait::async_trait]
impl Journal for Flaky {
    fn partitions(&self, topic: &Topic) -> Result<u32, Error> {
        self.inner.partitions(topic)
    }

    async fn append(&self, records: Vec<Record>) -> Result<Vec<Position>, Error> {
        self.appends.fetch_add(1, Ordering::SeqCst);
        if self.fail.load(Ordering::SeqCst) {
            return Err(Error::new(JournalErrorKind::Unavailable, "no leader"));
        }
        self.inner.append(records).await
    }

    async fn read(
        &self,
        topic: &Topic,
        partition: u32,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Batch, Error> {
        self.inner.read(topic, partition, from, limit).await
    }

    async fn end_positions(&self, topics: &[Topic]) -> Result<Checkpoint, Error> {
        self.inner.end_positions(topics).await
    }

    async fn changed(&self, seen: &Checkpoint, timeout: Duration) -> Result<(), Error> {
        self.inner.changed(seen, timeout).await
    }
}

#[tokio::test]
async fn one_append_a_request_and_nothing_is_acknowledged_or_remembered_before_it() {
    let room = Room::new();
    let flaky = Arc::new(Flaky {
        inner: Arc::clone(&room.journal) as Arc<dyn Journal>,
        fail: AtomicBool::new(true),
        appends: AtomicUsize::new(0),
    });
    let registry = Arc::clone(&room.registry);
    let intake = Intake::new(
        Arc::clone(&flaky) as Arc<dyn Journal>,
        Arc::clone(&room.vault) as Arc<dyn Vault>,
        Arc::new(move || Arc::clone(&registry)),
        Arc::new(|| at(NOW)),
        Arc::new(SharedRng::new(StdRng::seed_from_u64(3))),
    );
    let caller = Caller::with_key(SERVER_KEY);
    let items: Vec<_> = (0..20)
        .map(|n| json!({"type": "identify", "userId": n, "anonymousId": n, "messageId": format!("m{n}")}))
        .chain([json!({"type": "nothing"})])
        .collect();
    let body = json!({"batch": items}).to_string().into_bytes();
    let error = intake
        .events(&caller, Route::Batch, body.clone())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    flaky.fail.store(false, Ordering::SeqCst);
    let outcomes = intake
        .events(&caller, Route::Batch, body.clone())
        .await
        .unwrap();
    let journalled = |outcomes: &[Outcome]| {
        outcomes
            .iter()
            .filter(|outcome| matches!(outcome, Outcome::Journalled { .. }))
            .count()
    };
    assert_eq!(journalled(&outcomes), 20);
    assert_eq!(flaky.appends.load(Ordering::SeqCst), 2);
    assert_eq!(room.of_kind(Kind::IdentityLink).await.len(), 20);
    // Nothing but duplicates: nothing to append.
    let one = json!({"userId": 1, "messageId": "m1"})
        .to_string()
        .into_bytes();
    let outcomes = intake.events(&caller, Route::Identify, one).await.unwrap();
    assert_eq!(outcomes, [Outcome::Duplicate]);
    assert_eq!(flaky.appends.load(Ordering::SeqCst), 2);
    // Another source's id of the same name is another event.
    let other = json!({"anonymousId": 1, "event": "e", "messageId": "m1"})
        .to_string()
        .into_bytes();
    let browser = Caller::with_key(BROWSER_KEY);
    let outcomes = intake.events(&browser, Route::Track, other).await.unwrap();
    assert_eq!(journalled(&outcomes), 1);
    assert!(topics::ALL.len() > 1);
}

#[tokio::test]
async fn who_is_known_costs_the_vault_nothing() {
    let room = Room::new();
    let body = |n: u32| json!({"userId": "42", "event": "e", "messageId": format!("m{n}")});
    room.call(SERVER_KEY, Route::Track, body(1)).await;
    let before = std::fs::metadata(room.dir.path().join("vault.redb"))
        .unwrap()
        .modified()
        .unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    room.call(SERVER_KEY, Route::Track, body(2)).await;
    let after = std::fs::metadata(room.dir.path().join("vault.redb"))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(before, after);
}

#[tokio::test]
async fn a_body_without_a_key_is_not_taken() {
    let room = Room::new();
    let error = room
        .intake
        .consents(&Caller::key_in_body(), grant())
        .await
        .unwrap_err();
    assert_eq!(error.code(), "write_key_missing");
    let error = room
        .intake
        .consents(&Caller::with_key("x"), grant())
        .await
        .unwrap_err();
    assert_eq!(error.code(), "unknown_write_key");
    assert_eq!(room.journal().await.len(), 0);
}
