//! The journal: the ordered, durable log from which everything else in Assent is folded.
//!
//! This crate owns the [`Journal`] trait, positions and checkpoints, the embedded implementation
//! ([`EmbeddedJournal`], on redb) and the contract suite that every implementation must pass
//! ([`contract`]). It refuses to know what an event means: keys, values and headers are bytes.
//!
//! Invariants held here: I3 (what was acknowledged survives a crash and stands exactly once) and the
//! journal's half of I2 (end positions are what has been acknowledged, never a guess from a cache).

mod checkpoint;
#[doc(hidden)]
pub mod contract;
mod embedded;
mod error;
mod group;
mod partition;
mod record;

pub use checkpoint::{Checkpoint, Delta};
pub use embedded::{EmbeddedConfig, EmbeddedJournal, FaultPoint, Faults};
pub use error::{Error, ErrorKind};
pub use group::{Alone, Group};
pub use partition::partition_of;
pub use record::{Batch, MAX_RECORD_BYTES, Position, ReadLimit, Record, Stored, Topic};

use std::time::Duration;

use async_trait::async_trait;

/// A durable log of records, split into topics and these into partitions.
///
/// Within a partition records have consecutive positions and one order, which every reader sees. The
/// trait offers what Kafka and an embedded store can both keep, and no more: in particular there is no
/// conditional append.
///
/// All methods need a running Tokio runtime.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// How many partitions the topic has. Partition numbers are `0..partitions`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when the journal does not hold the topic.
    fn partitions(&self, topic: &Topic) -> Result<u32, Error>;

    /// Appends records and returns their positions, in the order given.
    ///
    /// When this returns `Ok`, the records are durable (I3). Records of one key go to one partition
    /// ([`partition_of`]) and keep their order, within the call and between calls that follow one
    /// another. When it returns an error of kind [`ErrorKind::Unavailable`], or when the future is
    /// dropped, the outcome is unknown: some, all or none of the records may be there. An error of kind
    /// [`ErrorKind::Invalid`] or [`ErrorKind::NotFound`] means that nothing was written.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a topic the journal does not hold, [`ErrorKind::Invalid`] for a
    /// record above [`MAX_RECORD_BYTES`], [`ErrorKind::Unavailable`] when durability was not confirmed.
    async fn append(&self, records: Vec<Record>) -> Result<Vec<Position>, Error>;

    /// Reads records of one partition, the first at or after `from`, within `limit`.
    ///
    /// At the end the batch is empty and `next == from`. Never waits for records to come.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an unknown topic or partition and for a position that is no longer
    /// retained (see [`Journal::start_positions`]); [`ErrorKind::Conflict`] for a position behind the
    /// end, which means that the log was truncated or replaced; [`ErrorKind::Corrupt`] naming topic,
    /// partition and offset when what is stored cannot be trusted.
    async fn read(
        &self,
        topic: &Topic,
        partition: u32,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Batch, Error>;

    /// The end of every partition of the topics: the position the next record will take.
    ///
    /// Covers every append acknowledged, by any process, before the call. It is asked of the leaders
    /// afresh and never answered from a cache, for the barrier rests on it (I2).
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an unknown topic, [`ErrorKind::Unavailable`] when it cannot be asked.
    async fn end_positions(&self, topics: &[Topic]) -> Result<Checkpoint, Error>;

    /// The first position still retained in every partition of the topics.
    ///
    /// # Errors
    /// As [`Journal::end_positions`].
    async fn start_positions(&self, topics: &[Topic]) -> Result<Checkpoint, Error> {
        let mut start = Checkpoint::new();
        for topic in topics {
            for partition in 0..self.partitions(topic)? {
                start.set(topic, partition, 0);
            }
        }
        Ok(start)
    }

    /// Returns as soon as a partition named by `seen` may hold more than `seen` says, or after
    /// `timeout`. A partition is named even when its position is zero. May return early.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an unknown topic or partition.
    async fn changed(&self, seen: &Checkpoint, timeout: Duration) -> Result<(), Error>;
}
