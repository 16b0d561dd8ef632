//! A question that many ask at once is asked once: whoever comes while it is under way waits for the next one, which all
//! that came meanwhile share.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

/// Shares the answers to one question.
#[derive(Default)]
pub struct Turns {
    /// Askings that began.
    begun: AtomicU64,
    /// The number of the last asking that ended well.
    done: Mutex<u64>,
}

impl Turns {
    /// Returns when an asking that began after this call has ended well: one's own, or that of another.
    ///
    /// # Errors
    /// Those of one's own asking; whoever waited asks anew.
    pub async fn share<E>(&self, ask: impl AsyncFnOnce() -> Result<(), E>) -> Result<(), E> {
        let needed = self.begun.load(Ordering::SeqCst) + 1;
        let mut done = self.done.lock().await;
        if *done >= needed {
            return Ok(());
        }
        // Only whoever has the turn counts on, so the number is this asking's.
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        ask().await?;
        *done = number;
        Ok(())
    }
}
