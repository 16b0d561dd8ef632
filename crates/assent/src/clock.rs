//! The wall clock and the machine's randomness: read here and nowhere else, injected everywhere below.

use std::time::Duration;

use assent_consent::Timestamp;
use assent_intake::Clock;
use assent_vault::SharedRng;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// The current instant.
#[expect(
    clippy::disallowed_methods,
    reason = "the binary is where the wall clock comes in"
)]
pub fn now() -> Timestamp {
    let since_epoch = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}

/// The clock on the wall, and how long the machine has been running, sleep included.
pub struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        now()
    }

    fn uptime(&self) -> Option<Duration> {
        let since_boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::try_from(since_boot).ok()
    }
}

/// `N` bytes of the operating system's randomness.
#[expect(
    clippy::disallowed_methods,
    reason = "the binary is where randomness comes in"
)]
pub fn random<const N: usize>() -> [u8; N] {
    rand::random()
}

/// A cryptographic generator seeded by the operating system.
pub fn generator() -> SharedRng<StdRng> {
    SharedRng::new(StdRng::from_seed(random()))
}
