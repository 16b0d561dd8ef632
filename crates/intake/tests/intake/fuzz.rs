//! Whatever is sent: no panic, one outcome for each item, and a restriction is never turned away.

use assent_event::Kind;
use assent_intake::{Caller, Outcome, Route};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof};
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};

use crate::room::{BROWSER_KEY, Room, SERVER_KEY, grant};

/// Names and values that matter to intake, so that random JSON reaches deep.
const WORDS: [&str; 40] = [
    "subject",
    "identifiers",
    "namespace",
    "value",
    "customer",
    "phone",
    "purpose",
    "state",
    "granted",
    "refused",
    "withdrawn",
    "all",
    "email_marketing",
    "ad_sharing",
    "channel",
    "notice",
    "terms@2",
    "form",
    "separate",
    "act",
    "evidence",
    "actor",
    "guardian",
    "fact",
    "linked",
    "birth_date",
    "type",
    "track",
    "identify",
    "group",
    "userId",
    "anonymousId",
    "event",
    "properties",
    "traits",
    "timestamp",
    "sentAt",
    "messageId",
    "context",
    "consent",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::sample::select(&WORDS[..]).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => Just("2026-03-01T00:00:00Z".to_owned()),
        1 => Just("Segment Consent Preference Updated".to_owned()),
        1 => Just("Subscription Started".to_owned()),
    ]
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            proptest::collection::vec((word(), inner), 0..8)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// A body that is right, with some fields replaced.
fn nearly(base: Value) -> impl Strategy<Value = Value> {
    proptest::collection::vec((word(), json_value()), 0..4).prop_map(move |changes| {
        let mut fields: Map<String, Value> = base.as_object().unwrap().clone();
        fields.extend(changes);
        Value::Object(fields)
    })
}

/// Runs `check` on many values, all in one place: making one is what takes time.
fn check<S, F>(strategy: S, check: F)
where
    S: Strategy,
    F: AsyncFn(&Room, S::Value),
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let room = Room::new();
    let config = ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    TestRunner::new(config)
        .run(&strategy, |value| {
            runtime.block_on(check(&room, value));
            Ok(())
        })
        .unwrap();
    // Whatever came in, everything in the journal can be opened and read.
    assert!(!runtime.block_on(room.journal()).is_empty());
}

fn count_rejected(outcomes: &[Outcome]) -> usize {
    let rejected = |outcome: &&Outcome| matches!(outcome, Outcome::Rejected(_));
    outcomes.iter().filter(rejected).count()
}

#[test]
fn one_outcome_for_each_item() {
    let call = json!({"type": "track", "userId": "42", "event": "e", "properties": {}});
    let items = (
        proptest::collection::vec(json_value(), 0..20),
        proptest::collection::vec(nearly(grant()), 0..10),
        proptest::collection::vec(nearly(call), 0..10),
    );
    check(items, async |room, (random, grants, calls)| {
        let items: Vec<Value> = random.into_iter().chain(grants).chain(calls).collect();
        for key in [SERVER_KEY, BROWSER_KEY] {
            let outcomes = room.consents(key, Value::Array(items.clone())).await;
            assert_eq!(outcomes.len(), items.len());
            let body = json!({"batch": items.clone()});
            let outcomes = room.events(key, Route::Batch, body).await;
            assert_eq!(outcomes.len(), items.len());
        }
    });
}

#[test]
fn every_rejection_is_on_record_once() {
    let rejected = std::cell::Cell::new(0);
    let items = proptest::collection::vec(nearly(grant()), 1..10);
    check(items, async |room, items| {
        let outcomes = room.consents(SERVER_KEY, Value::Array(items)).await;
        rejected.set(rejected.get() + count_rejected(&outcomes));
        let recorded = room.of_kind(Kind::Rejection).await.len();
        assert_eq!(recorded, rejected.get());
    });
    assert!(rejected.get() > 10, "the changes must matter");
}

#[test]
fn a_restriction_of_somebody_is_always_recorded() {
    let body = (
        nearly(json!({"purpose": "email_marketing"})),
        proptest::sample::select(&["refused", "withdrawn", "opt_out"][..]),
        any::<bool>(),
    );
    check(body, async |room, (mut body, state, browser)| {
        let key = if browser { BROWSER_KEY } else { SERVER_KEY };
        body["subject"] = json!({"customer": "42"});
        body["state"] = json!(state);
        body.as_object_mut().unwrap().remove("message_id");
        let outcome = room.consents(key, body.clone()).await.remove(0);
        assert!(
            matches!(outcome, Outcome::Journalled { .. }),
            "{body}: {outcome:?}"
        );
    });
}

#[test]
fn random_bytes_never_panic() {
    let bytes = proptest::collection::vec(any::<u8>(), 0..300);
    check(bytes, async |room, bytes| {
        for route in [Route::Track, Route::Batch] {
            let caller = Caller::with_key(SERVER_KEY);
            let sent = room.intake.events(&caller, route, bytes.clone()).await;
            assert!(sent.is_err(), "random bytes are hardly ever an object");
        }
    });
}
