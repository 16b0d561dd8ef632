//! A clock that is far ahead is not believed: what is received by it would hold "now" there for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use assent_consent::Timestamp;
use assent_event::Kind;
use assent_intake::{Caller, Clock, Error, ErrorKind, Intake, Limits, Outcome};
use assent_journal::Journal;
use assent_vault::{SharedRng, Vault};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::json;

use crate::room::{NOW, Room, SERVER_KEY, at};

const HOUR: i64 = 3_600_000_000;

/// The clock on the wall, which somebody may set, and time itself, in microseconds.
#[derive(Default)]
struct Wall {
    shows: AtomicI64,
    passed: AtomicI64,
}

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.shows.load(Ordering::SeqCst))
    }

    fn uptime(&self) -> Option<Duration> {
        let passed = self.passed.load(Ordering::SeqCst);
        Some(Duration::from_micros(u64::try_from(passed).unwrap()))
    }
}

impl Wall {
    fn new() -> Arc<Self> {
        let wall = Self::default();
        wall.shows.store(at(NOW).micros(), Ordering::SeqCst);
        wall.passed.store(500 * HOUR, Ordering::SeqCst);
        Arc::new(wall)
    }

    /// So much time passes, and the clock with it.
    fn wait(&self, micros: i64) {
        self.passed.fetch_add(micros, Ordering::SeqCst);
        self.turn(micros);
    }

    /// Somebody turns the clock.
    fn turn(&self, micros: i64) {
        self.shows.fetch_add(micros, Ordering::SeqCst);
    }
}

fn intake(room: &Room, wall: &Arc<Wall>) -> Intake {
    let registry = Arc::clone(&room.registry);
    Intake::with_limits(
        Arc::clone(&room.journal) as Arc<dyn Journal>,
        Arc::clone(&room.vault) as Arc<dyn Vault>,
        Arc::new(move || Arc::clone(&registry)),
        Arc::clone(wall) as Arc<dyn Clock>,
        Arc::new(SharedRng::new(StdRng::seed_from_u64(3))),
        Limits::default(),
    )
}

async fn take(intake: &Intake) -> Result<Vec<Outcome>, Error> {
    let refusal = json!({"subject": {"customer": "42"}, "state": "refused"});
    let caller = Caller::with_key(SERVER_KEY);
    intake.consents(&caller, refusal).await
}

async fn refused(intake: &Intake) {
    let error = take(intake).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Unavailable, "clock_ahead")
    );
    assert!(error.to_string().contains("--today"), "{error}");
}

async fn latest(room: &Room) -> Timestamp {
    let found = room.of_kind(Kind::ConsentDecision).await;
    found.last().unwrap().envelope.times.received_at
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_is_not_believed_until_it_is_set_right() {
    let (room, wall) = (Room::new(), Wall::new());
    let intake = intake(&room, &wall);
    take(&intake).await.unwrap();
    // Idle for weeks, and right.
    wall.wait(1_000 * HOUR);
    take(&intake).await.unwrap();
    // A day may be a mistake of anybody, and is not much.
    wall.turn(24 * HOUR);
    take(&intake).await.unwrap();
    let before = latest(&room).await;
    wall.turn(1);
    refused(&intake).await;
    wall.turn(1_000_000 * HOUR);
    refused(&intake).await;
    assert_eq!(latest(&room).await, before, "nothing was received");
    // Nor does it creep.
    wall.turn(-1_000_000 * HOUR - 1);
    for _ in 0..3 {
        take(&intake).await.unwrap();
        wall.turn(HOUR);
        refused(&intake).await;
        wall.turn(-HOUR);
    }
    // Set back it is followed no more than ever.
    wall.turn(-48 * HOUR);
    take(&intake).await.unwrap();
    assert!(latest(&room).await > before);
}

#[tokio::test]
async fn after_a_long_pause_the_date_is_to_be_confirmed() {
    let (room, wall) = (Room::new(), Wall::new());
    // Where nothing was ever received, nothing tells that the clock is wrong.
    take(&intake(&room, &wall)).await.unwrap();
    let received = latest(&room).await;
    wall.wait(23 * HOUR);
    let soon = intake(&room, &wall);
    soon.received_until(received);
    take(&soon).await.unwrap();
    wall.wait(100 * HOUR);
    let late = intake(&room, &wall);
    late.received_until(received);
    refused(&late).await;
    // What another process received meanwhile is no proof of this clock.
    late.received_until(received.plus_micros(HOUR));
    refused(&late).await;
    late.confirm_clock();
    take(&late).await.unwrap();
    wall.turn(25 * HOUR);
    refused(&late).await;
}
