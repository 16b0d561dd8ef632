//! A journal that fails when told to, in front of a real one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use assent_journal::{
    Batch, Checkpoint, Error, ErrorKind, Journal, Position, ReadLimit, Record, Topic,
};
use async_trait::async_trait;

/// What to interrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// [`Journal::append`].
    Append,
    /// [`Journal::read`] and [`Journal::changed`].
    Read,
    /// [`Journal::end_positions`].
    EndPositions,
}

/// [`Journal`] with faults: a call that is interrupted fails as a journal that cannot be reached.
pub struct Interrupted {
    inner: Arc<dyn Journal>,
    append: AtomicBool,
    read: AtomicBool,
    end_positions: AtomicBool,
    unknown: AtomicBool,
}

impl Interrupted {
    /// Nothing is interrupted at first.
    #[must_use]
    pub fn new(inner: Arc<dyn Journal>) -> Self {
        Self {
            inner,
            append: AtomicBool::new(false),
            read: AtomicBool::new(false),
            end_positions: AtomicBool::new(false),
            unknown: AtomicBool::new(false),
        }
    }

    /// From now on what is interrupted fails as if the journal did not hold the topic, as brokers that
    /// were just elected do.
    pub fn know_nothing(&self) {
        self.unknown.store(true, Ordering::SeqCst);
    }

    /// Interrupts a call from now on, or lets it through again.
    pub fn interrupt(&self, call: Call, interrupted: bool) {
        self.flag(call).store(interrupted, Ordering::SeqCst);
    }

    fn flag(&self, call: Call) -> &AtomicBool {
        match call {
            Call::Append => &self.append,
            Call::Read => &self.read,
            Call::EndPositions => &self.end_positions,
        }
    }

    fn check(&self, call: Call) -> Result<(), Error> {
        if self.flag(call).load(Ordering::SeqCst) {
            let kind = match self.unknown.load(Ordering::SeqCst) {
                true => ErrorKind::NotFound,
                false => ErrorKind::Unavailable,
            };
            return Err(Error::new(kind, "interrupted by a test"));
        }
        Ok(())
    }
}

#[async_trait]
impl Journal for Interrupted {
    fn partitions(&self, topic: &Topic) -> Result<u32, Error> {
        self.inner.partitions(topic)
    }

    async fn append(&self, records: Vec<Record>) -> Result<Vec<Position>, Error> {
        self.check(Call::Append)?;
        self.inner.append(records).await
    }

    async fn read(
        &self,
        topic: &Topic,
        partition: u32,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Batch, Error> {
        self.check(Call::Read)?;
        self.inner.read(topic, partition, from, limit).await
    }

    async fn end_positions(&self, topics: &[Topic]) -> Result<Checkpoint, Error> {
        self.check(Call::EndPositions)?;
        self.inner.end_positions(topics).await
    }

    async fn start_positions(&self, topics: &[Topic]) -> Result<Checkpoint, Error> {
        self.inner.start_positions(topics).await
    }

    async fn changed(&self, seen: &Checkpoint, timeout: Duration) -> Result<(), Error> {
        self.check(Call::Read)?;
        self.inner.changed(seen, timeout).await
    }
}
