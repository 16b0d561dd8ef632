//! Where randomness comes from: injected, so that a failure replays from its seed.

use std::fmt;

use parking_lot::Mutex;
use rand::CryptoRng;

/// A source of unpredictable bytes. The binary gives one seeded by the operating system; tests
/// give one with a fixed seed.
pub trait RandomSource: Send + Sync + 'static {
    /// Fills the whole slice.
    fn fill(&self, bytes: &mut [u8]);
}

impl<T: RandomSource + ?Sized> RandomSource for std::sync::Arc<T> {
    fn fill(&self, bytes: &mut [u8]) {
        (**self).fill(bytes);
    }
}

/// A cryptographic generator shared behind a lock.
pub struct SharedRng<R>(Mutex<R>);

impl<R: CryptoRng + Send + 'static> SharedRng<R> {
    /// Shares this generator.
    pub fn new(rng: R) -> Self {
        Self(Mutex::new(rng))
    }
}

impl<R: CryptoRng + Send + 'static> RandomSource for SharedRng<R> {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().fill_bytes(bytes);
    }
}

impl<R> fmt::Debug for SharedRng<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedRng")
    }
}
