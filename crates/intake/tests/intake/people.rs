//! Who is whom: one spelling for an identifier, and links to what identifies a person.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use assent_consent::{FactKind, SubjectId};
use assent_event::{EventId, Kind, Payload};
use assent_intake::{Caller, Code, ErrorKind, Intake, Known, Limits, Outcome, Route, WarningCode};
use assent_journal::{Batch, Checkpoint, Error, Journal, Position, ReadLimit, Record, Topic};
use assent_vault::{SharedRng, Vault};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use crate::followed::Followed;
use crate::room::{BROWSER_KEY, NOW, Room, SERVER_KEY, at, code, grant, journalled, with};

fn identify(customer: &str, traits: Value) -> Value {
    json!({"userId": customer, "traits": traits})
}

/// The pairs of all links, each with the smaller subject first.
async fn links(room: &Room) -> Vec<(SubjectId, SubjectId)> {
    let found = room.of_kind(Kind::IdentityLink).await;
    let pairs = found.iter().map(|found| match &found.payload {
        Payload::IdentityLink(link) => {
            let (one, other) = (found.envelope.subject, link.clear.other);
            (one.min(other), one.max(other))
        }
        other => panic!("{other:?}"),
    });
    pairs.collect()
}

async fn withdraw(room: &Room, subject: Value) -> (SubjectId, Vec<WarningCode>) {
    let body = json!({"subject": subject, "purpose": "email_marketing", "state": "withdrawn"});
    let warnings = room.decide(SERVER_KEY, body).await;
    let found = room.of_kind(Kind::ConsentDecision).await.pop().unwrap();
    (found.envelope.subject, warnings)
}

/// A withdrawal by the address we write to is one of the person we write to.
#[tokio::test]
async fn who_is_identified_is_linked_with_the_address_and_the_telephone() {
    let room = Room::new();
    let traits = json!({"email": " A@Example.COM", "mobile": "138-0013-8000", "city": "Suzhou"});
    for _ in 0..2 {
        let warnings = room
            .call(SERVER_KEY, Route::Identify, identify("42", traits.clone()))
            .await;
        assert_eq!(warnings, []);
    }
    let customer = room.subject("customer", "42").unwrap();
    let linked: BTreeSet<_> = links(&room).await.into_iter().collect();
    assert_eq!(links(&room).await.len(), 2, "once");
    let pair = |one: SubjectId| (one.min(customer), one.max(customer));
    for (namespace, spelt) in [
        ("email", json!("a@example.com")),
        ("email", json!("\u{ff21}@example.com ")),
        ("phone", json!(13_800_138_000_u64)),
        ("phone", json!("+86 138 0013 8000")),
        ("phone", json!("\u{ff11}38 0013 8000")),
    ] {
        let (subject, warnings) = withdraw(&room, json!({namespace: spelt})).await;
        assert!(linked.contains(&pair(subject)), "{namespace} {spelt}");
        assert_eq!(warnings, [], "{namespace} {spelt}");
    }
    let found = room.of_kind(Kind::Traits).await.remove(0);
    let Payload::Traits(told) = found.payload else {
        panic!();
    };
    let told = told.identity.unwrap().identifiers;
    assert_eq!(
        (told["email"].as_str(), told["phone"].as_str()),
        ("a@example.com", "+8613800138000")
    );
    // Every way in spells alike.
    let track = |user: &str| json!({"userId": user, "event": "e"});
    for user in ["\u{ff14}2", " 42\u{200b}"] {
        room.call(SERVER_KEY, Route::Track, track(user)).await;
    }
    let found = room.of_kind(Kind::Behaviour).await;
    assert!(found.iter().all(|found| found.envelope.subject == customer));
}

/// Everybody can read a page's key, and say that an address is theirs.
#[tokio::test]
async fn a_page_links_nobody() {
    let room = Room::new();
    let body = json!({"anonymousId": "a1", "traits": {"email": "a@example.com"}});
    room.call(BROWSER_KEY, Route::Identify, body).await;
    assert_eq!(links(&room).await, []);
}

/// An address or visitor that many share would make one person of them all.
#[tokio::test]
async fn what_many_share_links_nobody_further() {
    let mut room = Room::new();
    let call = |customer: usize| json!({"userId": customer, "anonymousId": "unknown", "event": "e", "messageId": format!("m{customer}")});
    let traits = |customer: usize| {
        identify(
            &customer.to_string(),
            json!({"email": "noreply@example.com"}),
        )
    };
    for customer in 0..25 {
        let told = room.call(SERVER_KEY, Route::Track, call(customer)).await;
        let further: &[WarningCode] = if customer < 20 {
            &[]
        } else {
            &[WarningCode::LinkNotRecorded]
        };
        let codes: Vec<_> = told.iter().map(|told| told.code).collect();
        assert_eq!(codes, further, "{customer}");
    }
    assert_eq!(links(&room).await.len(), 20);
    assert_eq!(room.of_kind(Kind::Behaviour).await.len(), 25);
    // Within one request, too; and after a restart by what the log says.
    let batch: Vec<_> = (0..25)
        .map(|n| with(traits(n), "type", json!("identify")))
        .collect();
    for outcome in room
        .events(SERVER_KEY, Route::Batch, json!({"batch": batch}))
        .await
    {
        journalled(outcome);
    }
    assert_eq!(links(&room).await.len(), 40);
    assert_eq!(room.of_kind(Kind::Traits).await.len(), 25);
    let known = Followed::from(&room, &[]).await;
    room.restart();
    room.intake.ask(known);
    let told = room.call(SERVER_KEY, Route::Identify, traits(99)).await;
    assert_eq!(told[0].code, WarningCode::LinkNotRecorded);
    // Who is linked already is so again; who asks for nothing but a link is refused.
    room.call(SERVER_KEY, Route::Identify, traits(3)).await;
    assert_eq!(links(&room).await.len(), 41);
    let alias = json!({"userId": "77", "previousId": "unknown", "messageId": "l1"});
    let fact = json!({
        "subject": {"customer": "77"}, "fact": "linked", "other": {"email": "noreply@example.com"},
    });
    for _ in 0..2 {
        let why = room
            .refused_call(SERVER_KEY, Route::Alias, alias.clone())
            .await;
        assert_eq!(
            why.code,
            Code::TooManyLinks,
            "and it is no repetition either"
        );
        assert_eq!(
            room.refuse(SERVER_KEY, fact.clone()).await.code,
            Code::TooManyLinks
        );
    }
    assert_eq!(links(&room).await.len(), 41);
    assert_eq!(room.of_kind(Kind::Rejection).await.len(), 4);
}

/// Of whom nothing but refusals is on record may still be nobody's identifier.
#[tokio::test]
async fn a_stranger_remains_one_until_there_is_more_than_restrictions() {
    let mut room = Room::new();
    let told = async |room: &Room| withdraw(room, json!({"customer": "42"})).await.1;
    for _ in 0..2 {
        assert_eq!(told(&room).await, [WarningCode::SubjectUnknown]);
        let known = Followed::from(&room, &[]).await;
        room.restart();
        room.intake.ask(known);
    }
    // Data, a permission and a link each make somebody of a stranger.
    for (customer, body) in [
        ("1", json!({"type": "track", "userId": "1", "event": "e"})),
        (
            "2",
            json!({"type": "alias", "userId": "2", "previousId": "9"}),
        ),
    ] {
        withdraw(&room, json!({"customer": customer})).await;
        room.events(SERVER_KEY, Route::Batch, json!({"batch": [body]}))
            .await;
    }
    let granted = with(grant(), "subject", json!({"customer": "3"}));
    room.decide(SERVER_KEY, granted).await;
    let known = Followed::from(&room, &[]).await;
    room.restart();
    room.intake.ask(known);
    for customer in ["1", "2", "3"] {
        let (_, warnings) = withdraw(&room, json!({"customer": customer})).await;
        assert_eq!(warnings, [], "{customer}");
    }
    assert_eq!(told(&room).await, [WarningCode::SubjectUnknown]);
}

/// One small body must not become a quarter of a million records.
#[tokio::test]
async fn records_are_counted_not_only_events() {
    let limits = Limits {
        records: 30,
        ..Limits::default()
    };
    let room = Room::with_limits(limits);
    let people: Vec<_> = (0..10).map(|n| json!({"customer": n})).collect();
    let refusal = json!({"subject": people, "state": "refused"});
    let caller = Caller::with_key(SERVER_KEY);
    let bodies = |count: usize| Value::Array(vec![refusal.clone(); count]);
    let error = room.intake.consents(&caller, bodies(4)).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::TooLarge, "too_many_records")
    );
    assert_eq!(room.of_kind(Kind::ConsentDecision).await.len(), 0);
    room.consents(SERVER_KEY, bodies(3)).await;
    assert_eq!(room.of_kind(Kind::ConsentDecision).await.len(), 30);
}

/// A journal that writes and, while it is held, tells nobody.
struct Silent {
    inner: Arc<dyn Journal>,
    held: AtomicBool,
}

#[async_trait::async_trait]
impl Journal for Silent {
    fn partitions(&self, topic: &Topic) -> Result<u32, Error> {
        self.inner.partitions(topic)
    }

    async fn append(&self, records: Vec<Record>) -> Result<Vec<Position>, Error> {
        let appended = self.inner.append(records).await;
        if self.held.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        appended
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

/// The end of a link may be in the journal although nobody waited for it.
#[tokio::test]
async fn an_end_of_a_link_that_nobody_waits_for_forgets_the_link() {
    let room = Room::new();
    let silent = Arc::new(Silent {
        inner: Arc::clone(&room.journal) as Arc<dyn Journal>,
        held: AtomicBool::new(false),
    });
    let registry = Arc::clone(&room.registry);
    let intake = Intake::new(
        Arc::clone(&silent) as Arc<dyn Journal>,
        Arc::clone(&room.vault) as Arc<dyn Vault>,
        Arc::new(move || Arc::clone(&registry)),
        Arc::new(|| at(NOW)),
        Arc::new(SharedRng::new(StdRng::seed_from_u64(3))),
    );
    let caller = Caller::with_key(SERVER_KEY);
    let call = |id: &str| {
        let call = json!({"userId": "42", "anonymousId": "a1", "event": "e", "messageId": id});
        call.to_string().into_bytes()
    };
    intake
        .events(&caller, Route::Track, call("m1"))
        .await
        .unwrap();
    let unlinked = json!({
        "subject": {"customer": "42"}, "fact": "unlinked", "other": {"anonymous": "a1"},
        "message_id": "u1",
    });
    silent.held.store(true, Ordering::SeqCst);
    let waiting = intake.consents(&caller, unlinked);
    let waited = tokio::time::timeout(Duration::from_secs(1), waiting).await;
    assert!(waited.is_err(), "the control");
    silent.held.store(false, Ordering::SeqCst);
    assert_eq!(links(&room).await.len(), 2, "the control");
    intake
        .events(&caller, Route::Track, call("m2"))
        .await
        .unwrap();
    assert_eq!(links(&room).await.len(), 3);
}

/// Knows of nothing but how many links were ended.
struct Ended(AtomicU64);

impl Known for Ended {
    fn fact(&self, _: SubjectId, _: EventId) -> Option<FactKind> {
        None
    }

    fn is_of_erased(&self, _: &str, _: &str) -> bool {
        false
    }

    fn links_ended(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn linked_with(&self, _: SubjectId) -> Vec<SubjectId> {
        Vec::new()
    }

    fn is_more_than_restricted(&self, _: SubjectId) -> bool {
        true
    }
}

/// Another process ended the link; the log tells.
#[tokio::test]
async fn an_end_of_a_link_through_another_process_forgets_the_link() {
    let room = Room::new();
    let call =
        |id: &str| json!({"userId": "42", "anonymousId": "a1", "event": "e", "messageId": id});
    let known = Arc::new(Ended(AtomicU64::new(0)));
    room.intake.ask(Arc::clone(&known) as Arc<dyn Known>);
    room.call(SERVER_KEY, Route::Track, call("m1")).await;
    room.call(SERVER_KEY, Route::Track, call("m2")).await;
    assert_eq!(links(&room).await.len(), 1, "the control");
    known.0.fetch_add(1, Ordering::SeqCst);
    room.call(SERVER_KEY, Route::Track, call("m3")).await;
    assert_eq!(links(&room).await.len(), 2);
}

/// What is within the limit as JSON may be beyond it as a record: that item is refused, the others are not,
/// and what restricts in it is kept.
#[tokio::test]
async fn one_event_too_large_for_a_record_costs_nobody_else_anything() {
    let room = Room::with_limits(Limits {
        event_bytes: 256 << 10,
        body_bytes: 8 << 20,
        ..Limits::default()
    });
    // As JSON in a text each of these becomes six characters.
    let long = "\u{1}".repeat(200_000);
    let events = json!({"batch": [
        {"type": "track", "userId": "1", "event": "e"},
        {"type": "track", "userId": "2", "event": "e", "properties": {"note": long}},
        {"type": "track", "userId": "3", "event": "e"},
    ]});
    let outcomes = room.events(SERVER_KEY, Route::Batch, events).await;
    let codes: Vec<_> = outcomes.iter().map(code).collect();
    assert_eq!(codes, [None, Some(Code::EventTooLarge), None]);
    assert_eq!(room.of_kind(Kind::Behaviour).await.len(), 2);
    assert_eq!(room.of_kind(Kind::Rejection).await.len(), 1);
    let Outcome::Rejected(why) = &outcomes[1] else {
        panic!();
    };
    assert_eq!(why.pointer, "/batch/1");
    let signal = Caller::with_key(BROWSER_KEY).global_privacy_control(true);
    let call = json!({"anonymousId": "a1", "event": "e", "properties": {"note": long}});
    let taken = room
        .intake
        .events(&signal, Route::Track, call.to_string().into_bytes());
    assert_eq!(code(&taken.await.unwrap()[0]), Some(Code::EventTooLarge));
    let found = room.of_kind(Kind::ConsentDecision).await;
    assert_eq!(found.len(), 1);
    assert!(found[0].envelope.times.received_at >= at("2026-03-01T08:00:00Z"));
}
