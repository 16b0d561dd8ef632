//! The embedded journal: one redb file of one process, with group commit and durable acknowledgement.
//!
//! Same model as Kafka (topics, partitions, positions), so that everything above it is the same. One
//! thread commits ([`commit`]); readers go to the database directly and see what was durable when they
//! began. Retention is not offered: what was appended stays.

mod batch;
mod commit;
mod faults;
mod layout;
mod store;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use redb::Database;
use tokio::sync::{Semaphore, oneshot, watch};

use self::commit::{Committer, Pending};
pub use self::faults::{FaultPoint, Faults};
use self::layout::Layout;
use self::store::Store;
use crate::{
    Batch, Checkpoint, Error, ErrorKind, Journal, Position, ReadLimit, Record, Topic, partition_of,
};

/// How to open an [`EmbeddedJournal`].
#[derive(Clone)]
pub struct EmbeddedConfig {
    /// The topics and their partition counts. New ones are created; those already stored must have the
    /// count they were created with. A stored topic that is not named here stays readable.
    pub partitions: Vec<(Topic, u32)>,
    /// How much of the file is kept in memory, in bytes.
    pub cache_bytes: usize,
    /// How much one commit takes at most, in bytes (a larger single append is one commit).
    pub commit_bytes: usize,
    /// How much may wait for a commit, in bytes; appends beyond it wait for their turn.
    pub queue_bytes: usize,
    /// Faults put in by tests.
    #[doc(hidden)]
    pub faults: Option<Arc<dyn Faults>>,
}

impl EmbeddedConfig {
    /// The defaults, with these topics.
    pub fn new(partitions: Vec<(Topic, u32)>) -> Self {
        Self {
            partitions,
            ..Self::default()
        }
    }
}

impl Default for EmbeddedConfig {
    /// No topics, 64 MiB of cache, 8 MiB in a commit, 64 MiB waiting.
    fn default() -> Self {
        Self {
            partitions: Vec::new(),
            cache_bytes: 64 << 20,
            commit_bytes: 8 << 20,
            queue_bytes: 64 << 20,
            faults: None,
        }
    }
}

/// The journal in one file. Dropping it commits what is queued and closes the file.
pub struct EmbeddedJournal {
    store: Arc<Store>,
    layout: Arc<Layout>,
    /// `None` only while dropping.
    queue: Option<mpsc::Sender<Pending>>,
    /// The queue's room, in units of [`ROOM_UNIT`] bytes.
    room: Arc<Semaphore>,
    room_units: u32,
    committed: watch::Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

/// Permits of the queue are counted in these, since a semaphore's permits are u32.
const ROOM_UNIT: usize = 1024;
/// What a record costs in the queue besides its bytes, roughly.
const RECORD_COST: usize = 128;

impl EmbeddedJournal {
    /// Opens the journal in the file at `path`, or creates it there. Blocks while it does.
    ///
    /// Every partition's last batch is checked against its recorded end. A partition where they
    /// disagree stays readable up to the damage and takes no more records; the others work on.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when the file is in use, was written by another version, or holds a
    /// topic with another partition count; [`ErrorKind::Invalid`] for a bad topic; [`ErrorKind::Corrupt`]
    /// when the file as a whole cannot be trusted; [`ErrorKind::Unavailable`] when the disk refuses.
    pub fn open(path: &Path, config: EmbeddedConfig) -> Result<Self, Error> {
        let database = store::open_file(path, config.cache_bytes)?;
        Self::start(database, config)
    }

    fn start(database: Database, config: EmbeddedConfig) -> Result<Self, Error> {
        let internal = |error: std::io::Error| {
            Error::new(
                ErrorKind::Unavailable,
                "the journal cannot start its commits",
            )
            .with_source(error)
        };
        let (store, layout) = Store::open(database, &config.partitions)?;
        let (store, layout) = (Arc::new(store), Arc::new(layout));
        let (committed_sender, committed) = watch::channel(());
        let committer = Committer {
            store: Arc::clone(&store),
            layout: Arc::clone(&layout),
            packer: batch::Packer::new().map_err(internal)?,
            group_bytes: config.commit_bytes,
            committed: committed_sender,
            faults: config.faults,
        };
        let (queue, waiting) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("journal-commit".to_owned())
            .spawn(move || committer.run(waiting))
            .map_err(internal)?;
        let room_units = u32::try_from(config.queue_bytes / ROOM_UNIT)
            .unwrap_or(u32::MAX >> 4)
            .clamp(1, u32::MAX >> 4);
        Ok(Self {
            store,
            layout,
            queue: Some(queue),
            room: Arc::new(Semaphore::new(room_units as usize)),
            room_units,
            committed,
            thread: Some(thread),
        })
    }

    /// Checks the records and finds their slots and their cost in the queue.
    fn place(&self, records: &[Record]) -> Result<(Vec<usize>, usize), Error> {
        let mut slots = Vec::with_capacity(records.len());
        let mut bytes = 0;
        for record in records {
            record.check()?;
            let partitions = self.layout.partitions(&record.topic)?;
            let partition = partition_of(&record.key, partitions);
            let slot = self.layout.find(&record.topic, partition)?;
            if let Some(damage) = &self.layout.slot(slot).damage {
                return Err(damage.clone());
            }
            bytes += record.weight() + RECORD_COST;
            slots.push(slot);
        }
        Ok((slots, bytes))
    }
}

fn stopped() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the journal's committing thread has stopped; start again",
    )
}

#[async_trait]
impl Journal for EmbeddedJournal {
    fn partitions(&self, topic: &Topic) -> Result<u32, Error> {
        self.layout.partitions(topic)
    }

    async fn append(&self, records: Vec<Record>) -> Result<Vec<Position>, Error> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let (slots, bytes) = self.place(&records)?;
        // An append larger than the whole queue waits until it has the queue for itself.
        let units = u32::try_from(bytes / ROOM_UNIT + 1)
            .unwrap_or(self.room_units)
            .min(self.room_units);
        // The semaphore is fair, so appends enter the queue in the order in which they asked.
        let share = Arc::clone(&self.room)
            .acquire_many_owned(units)
            .await
            .map_err(|_| stopped())?;
        let (answer, answered) = oneshot::channel();
        let pending = Pending {
            records,
            slots,
            bytes,
            answer,
            share,
        };
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.send(pending).map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }

    async fn read(
        &self,
        topic: &Topic,
        partition: u32,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Batch, Error> {
        let number = self.layout.find(topic, partition)?;
        let end = self.layout.slot(number).end();
        if from > end {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "{topic}/{partition} ends at {end}, before the position {from} asked for: \
                     the journal was replaced by an older one, or the checkpoint belongs to another"
                ),
            ));
        }
        if from == end {
            return Ok(Batch {
                records: Vec::new(),
                next: from,
                end,
            });
        }
        let (store, layout) = (Arc::clone(&self.store), Arc::clone(&self.layout));
        tokio::task::spawn_blocking(move || store.read(layout.slot(number), from, end, limit))
            .await
            .map_err(|error| {
                Error::new(ErrorKind::Unavailable, "a read of the journal was cut off")
                    .with_source(error)
            })?
    }

    async fn end_positions(&self, topics: &[Topic]) -> Result<Checkpoint, Error> {
        // This process is the only one and raises ends before it acknowledges, so these are no cache:
        // they are the leader's own.
        let mut ends = Checkpoint::new();
        for topic in topics {
            for slot in self.layout.of(topic)? {
                ends.set(topic, slot.partition, slot.end());
            }
        }
        Ok(ends)
    }

    async fn changed(&self, seen: &Checkpoint, timeout: Duration) -> Result<(), Error> {
        let watched = seen
            .iter()
            .map(|(topic, partition, next)| Ok((self.layout.find(topic, partition)?, next)))
            .collect::<Result<Vec<_>, Error>>()?;
        let mut committed = self.committed.clone();
        let more = async {
            loop {
                // Marked as seen before looking, so that a commit in between is not missed.
                committed.mark_unchanged();
                if watched
                    .iter()
                    .any(|(slot, next)| self.layout.slot(*slot).end() > *next)
                {
                    return;
                }
                if committed.changed().await.is_err() {
                    // The committing thread is gone: nothing will change any more.
                    std::future::pending::<()>().await;
                }
            }
        };
        // Running out of time is an answer, too.
        let _ = tokio::time::timeout(timeout, more).await;
        Ok(())
    }
}

impl Drop for EmbeddedJournal {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was answered to those who waited; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
