//! Several processes take events in: what one acknowledged counts in all of them before they take the next request.

use std::sync::Arc;

use assent_consent::Timestamp;
use assent_intake::{Caller, CurrentRegistry, Error, ErrorKind, Intake, Outcome, Route, Unheard};
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

/// The ways in.
#[derive(Clone, Copy, Debug)]
enum Way {
    Consents,
    Bytes,
    Events,
}

const WAYS: [Way; 3] = [Way::Consents, Way::Bytes, Way::Events];

impl Way {
    async fn take(self, intake: &Intake) -> Result<Vec<Outcome>, Error> {
        let caller = Caller::with_key(SERVER_KEY);
        let withdrawal =
            json!({ "subject": { "customer_no": "1" }, "purpose": "all", "state": "withdrawn" });
        let call = json!({ "userId": "1", "event": "Seen" });
        match self {
            Self::Consents => intake.consents(&caller, withdrawal).await,
            Self::Bytes => {
                let body = withdrawal.to_string();
                intake
                    .consents_bytes(&caller, body.as_bytes().to_vec())
                    .await
            }
            Self::Events => {
                let body = call.to_string().into_bytes();
                intake.events(&caller, Route::Track, body).await
            }
        }
    }
}

#[tokio::test]
async fn what_is_received_here_is_received_after_what_another_process_received() {
    for way in WAYS {
        let room = Room::new();
        let others = Others::with(&room.registry);
        let intake = room.intake_among(Arc::clone(&others) as Arc<dyn CurrentRegistry>);
        // A process whose clock is ten seconds fast took a grant in.
        let fast = at(NOW).plus_micros(10_000_000);
        *others.latest.lock() = Some(fast);
        way.take(&intake).await.unwrap();
        let found = room.journal().await;
        assert!(!found.is_empty());
        for event in found {
            let received = event.envelope.times.received_at;
            assert!(received > fast, "{way:?}: received at {received}");
        }
    }
}

#[tokio::test]
async fn a_key_taken_away_through_another_process_opens_nothing() {
    for way in WAYS {
        let room = Room::new();
        let others = Others::with(&room.registry);
        let intake = room.intake_among(Arc::clone(&others) as Arc<dyn CurrentRegistry>);
        *others.applied.lock() = Arc::new(RegistryState::new());
        let refused = way.take(&intake).await;
        assert!(
            matches!(refused, Err(Error::UnknownKey)),
            "{way:?}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn without_word_of_the_others_nothing_is_taken() {
    for way in WAYS {
        let room = Room::new();
        let others = Others::with(&room.registry);
        let intake = room.intake_among(Arc::clone(&others) as Arc<dyn CurrentRegistry>);
        *others.latest.lock() = None;
        let refused = way.take(&intake).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable, "{way:?}");
        assert_eq!(room.journal().await.len(), 0);
    }
}

/// A key is known by its header before anybody reads a body; one declared through another process a moment ago, too.
#[tokio::test]
async fn a_key_is_asked_for_before_the_body() {
    let room = Room::new();
    let others = Others::with(&room.registry);
    *others.known.lock() = Arc::default();
    let intake = room.intake_among(Arc::clone(&others) as Arc<dyn CurrentRegistry>);
    let known = intake.admit(&Caller::with_key(SERVER_KEY)).await;
    assert!(known.is_ok(), "{known:?}");
    let error = intake.admit(&Caller::with_key("x")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Denied, "unknown_write_key")
    );
    intake.admit(&Caller::key_in_body()).await.unwrap();
}
