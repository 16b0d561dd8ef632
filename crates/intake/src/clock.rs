//! What time it is, and when it is not believed.
//!
//! Time is injected, so that tests and replays decide. Receipts rise for ever, so one reading of a clock that is far
//! ahead would hold "now" there until the world has caught up. So a clock is believed no further than a day ahead of
//! what it should show.

use std::time::Duration;

use assent_consent::Timestamp;
use parking_lot::Mutex;

use crate::error::Error;

/// Tells the time. Only the binary has one that reads the wall clock.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;

    /// How long this machine has been running, by a clock that nobody sets. Without it the time is believed whatever
    /// it is.
    fn uptime(&self) -> Option<Duration> {
        None
    }
}

impl<F: Fn() -> Timestamp + Send + Sync + 'static> Clock for F {
    fn now(&self) -> Timestamp {
        self()
    }
}

/// How far ahead a clock may be.
const BELIEVED: Duration = Duration::from_secs(86_400);

/// What a clock is held against: an instant, and how long the machine had been running when it was known to be past.
#[derive(Default)]
pub(crate) struct Watch(Mutex<Option<(Timestamp, Duration)>>);

impl Watch {
    /// Something was received then. Only the first such instant counts: from then on time passes by itself.
    pub(crate) fn begin(&self, latest: Timestamp, clock: &dyn Clock) {
        if let Some(uptime) = clock.uptime().filter(|_| latest > Timestamp::MIN) {
            self.0.lock().get_or_insert((latest, uptime));
        }
    }

    /// Somebody looked at the clock and says that it is right.
    pub(crate) fn confirm(&self, clock: &dyn Clock) {
        *self.0.lock() = clock.uptime().map(|uptime| (clock.now(), uptime));
    }

    /// Now, if that can be believed. The first answer is, where nothing was ever received.
    ///
    /// # Errors
    /// [`Error::ClockAhead`].
    pub(crate) fn now(&self, clock: &dyn Clock) -> Result<Timestamp, Error> {
        let now = clock.now();
        let Some(uptime) = clock.uptime() else {
            return Ok(now);
        };
        let (then, at) = *self.0.lock().get_or_insert((now, uptime));
        let passed = uptime.saturating_sub(at).saturating_add(BELIEVED);
        let passed = i64::try_from(passed.as_micros()).unwrap_or(i64::MAX);
        if now > then.plus_micros(passed) {
            return Err(Error::ClockAhead { now, then });
        }
        Ok(now)
    }
}
