//! How the index is run, and the hooks by which tests prove that readers wait for it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How to run a [`crate::Permit`].
#[derive(Clone, Debug)]
pub struct Config {
    /// How long a reader waits for the index to catch up before it is refused.
    pub barrier_timeout: Duration,
    /// How many records are applied before readers may see them; bounds the time a write lock is
    /// held.
    pub batch_records: usize,
    /// How many bytes of records are read at once.
    pub batch_bytes: usize,
    /// How long to pause after the journal or the vault failed before asking again.
    pub retry_after: Duration,
    /// How many different uses are kept up to date; the one asked for longest ago gives way.
    pub cached_uses: usize,
    /// How many threads work out the verdicts of a use that nobody asked about before.
    pub threads: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            barrier_timeout: Duration::from_secs(5),
            batch_records: 1_024,
            batch_bytes: 4 << 20,
            retry_after: Duration::from_millis(50),
            cached_uses: 256,
            threads: 4,
        }
    }
}

/// Faults that tests put in. Without them a test of the barrier would pass for an index that is
/// merely fast.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct Hooks {
    delay_micros: AtomicU64,
    bypass_barrier: AtomicBool,
}

impl Hooks {
    /// Makes the applier wait this long before each batch.
    pub fn delay_applier(&self, delay: Duration) {
        let micros = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        self.delay_micros.store(micros, Ordering::SeqCst);
    }

    /// Lets readers through without waiting: the control of the barrier's test. Never in
    /// production.
    pub fn bypass_barrier(&self, bypass: bool) {
        self.bypass_barrier.store(bypass, Ordering::SeqCst);
    }

    pub(crate) fn delay(&self) -> Duration {
        Duration::from_micros(self.delay_micros.load(Ordering::SeqCst))
    }

    pub(crate) fn bypassed(&self) -> bool {
        self.bypass_barrier.load(Ordering::SeqCst)
    }
}
