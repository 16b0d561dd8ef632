//! Several processes take events in: what one acknowledged counts in all of them before they take the next request.

use std::sync::Arc;

use assent_consent::Timestamp;
use assent_intake::{Caller, CurrentRegistry, Error, ErrorKind, Route, Unheard};
use assent_programme::RegistryState;
use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::json;

use crate::room::{NOW, Room, SERVER_KEY, at};

/// What other processes did: the definitions they applied, and the latest receipt they gave; known once it is asked for.
struct Others {
    known: Mutex<Arc<RegistryState>>,
    applied: Mutex<Arc<RegistryState>>,
    latest: Mutex<Option<Timestamp>>,
}

impl Others {
    fn with(registry: &Arc<RegistryState>) -> Arc<Self> {
        Arc::new(Self {
            known: Mutex::new(Arc::clone(registry)),
            applied: Mutex::new(Arc::clone(registry)),
            latest: Mutex::new(Some(Timestamp::MIN)),
        })
    }
}

#[async_trait]
impl CurrentRegistry for Others {
    fn current(&self) -> Arc<RegistryState> {
        Arc::clone(&self.known.lock())
    }

    async fn heard(&self) -> Result<Timestamp, Unheard> {
        let latest = *self.latest.lock();
        *self.known.lock() = Arc::clone(&self.applied.lock());
        latest.ok_or_else(|| "nobody answers".into())
    }
}

fn withdrawal() -> serde_json::Value {
    json!({ "subject": { "customer_no": "1" }, "purpose": "all", "state": "withdrawn" })
}

#[tokio::test]
async fn what_is_received_here_is_received_after_what_another_process_received() {
    let room = Room::new();
    let others = Others::with(&room.registry);
    let intake = room.intake_among(Arc::clone(&others) as Arc<dyn CurrentRegistry>);
    // A process whose clock is ten seconds fast took a grant in.
    let fast = at(NOW).plus_micros(10_000_000);
    *others.latest.lock() = Some(fast);
    let caller = Caller::with_key(SERVER_KEY);
    intake.consents(&caller, withdrawal()).await.unwrap();
    let bytes = withdrawal().to_string();
    intake
        .consents_bytes(&caller, bytes.as_bytes())
        .await
        .unwrap();
    let call = json!({ "userId": "1", "event": "Seen" }).to_string();
    intake
        .events(&caller, Route::Track, call.into_bytes())
        .await
        .unwrap();
    let found = room.journal().await;
    assert!(found.len() >= 3);
    for event in found {
        let received = event.envelope.times.received_at;
        assert!(received > fast, "received at {received}");
    }
}

#[tokio::test]
async fn a_key_taken_away_through_another_process_opens_nothing() {
    let room = Room::new();
    let others = Others::with(&room.registry);
    let intake = room.intake_among(Arc::clone(&others) as Arc<dyn CurrentRegistry>);
    let caller = Caller::with_key(SERVER_KEY);
    intake.consents(&caller, withdrawal()).await.unwrap();
    *others.applied.lock() = Arc::new(RegistryState::new());
    let refused = intake.consents(&caller, withdrawal()).await.unwrap_err();
    assert!(matches!(refused, Error::UnknownKey), "{refused}");
    let call = json!({ "userId": "1", "event": "Seen" }).to_string();
    let refused = intake
        .events(&caller, Route::Track, call.into_bytes())
        .await;
    assert!(matches!(refused, Err(Error::UnknownKey)), "{refused:?}");
}

#[tokio::test]
async fn without_word_of_the_others_nothing_is_taken() {
    let room = Room::new();
    let others = Others::with(&room.registry);
    let intake = room.intake_among(Arc::clone(&others) as Arc<dyn CurrentRegistry>);
    *others.latest.lock() = None;
    let caller = Caller::with_key(SERVER_KEY);
    let refused = intake.consents(&caller, withdrawal()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert_eq!(room.journal().await.len(), 0);
}
