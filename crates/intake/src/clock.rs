//! Where intake learns what time it is: injected, so that tests and replays decide.

use assent_consent::Timestamp;

/// Tells the time. Only the binary has one that reads the wall clock.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;
}

impl<F: Fn() -> Timestamp + Send + Sync + 'static> Clock for F {
    fn now(&self) -> Timestamp {
        self()
    }
}
