//! Where partitions begin and end: asked of their leaders afresh, and remembered only to wake those
//! who wait.
//!
//! A leader tells its high watermark, which covers what was acknowledged with `acks=all`. A leader just
//! elected does not know it yet and says so instead of telling less (KIP-207); that is an error here, and
//! the barrier that asked is refused (I2).

use std::sync::Arc;
use std::time::Duration;

use assent_journal::{Checkpoint, Error, ErrorKind, Position, Topic};
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::watch;

use crate::error::failed;

/// Which edge of a partition is asked for.
#[derive(Clone, Copy)]
pub(crate) enum Edge {
    Start,
    End,
}

/// Asks for positions and remembers the latest answers.
pub(crate) struct Ends {
    asker: Arc<BaseConsumer>,
    patience: Duration,
    known: Mutex<Checkpoint>,
    moved: watch::Sender<()>,
}

impl Ends {
    pub(crate) fn new(asker: Arc<BaseConsumer>, patience: Duration) -> Self {
        Self {
            asker,
            patience,
            known: Mutex::new(Checkpoint::new()),
            moved: watch::Sender::new(()),
        }
    }

    /// Asks the leaders for one edge of every partition: one request per broker, not per partition.
    pub(crate) async fn ask(
        &self,
        partitions: &[(Topic, u32)],
        edge: Edge,
    ) -> Result<Checkpoint, Error> {
        let mut found = Checkpoint::new();
        if partitions.is_empty() {
            return Ok(found);
        }
        // ListOffsets takes these in the place of a time: the earliest and the latest position.
        let at = match edge {
            Edge::Start => Offset::Beginning,
            Edge::End => Offset::End,
        };
        let mut question = TopicPartitionList::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            question
                .add_partition_offset(topic.as_str(), *partition as i32, at)
                .map_err(|error| failed("a question for positions cannot be put", error))?;
        }
        let (asker, patience) = (Arc::clone(&self.asker), self.patience);
        let answer =
            tokio::task::spawn_blocking(move || asker.offsets_for_times(question, patience))
                .await
                .map_err(|error| {
                    Error::new(
                        ErrorKind::Unavailable,
                        "a question for positions was cut off",
                    )
                    .with_source(error)
                })?
                .map_err(|error| failed("the brokers did not tell their positions", error))?;
        for (topic, partition) in partitions {
            let element = answer.find_partition(topic.as_str(), *partition as i32);
            let place = format!("{topic}/{partition}");
            let Some(element) = element else {
                return Err(unanswered(&place));
            };
            element.error().map_err(|error| {
                failed(
                    format!("the leader of {place} did not tell its position"),
                    error,
                )
            })?;
            match element.offset() {
                Offset::Offset(offset) if offset >= 0 => {
                    found.set(topic, *partition, offset as u64);
                }
                _ => return Err(unanswered(&place)),
            }
        }
        if let Edge::End = edge {
            self.learn(|known| {
                for (topic, partition, next) in found.iter() {
                    known.set(topic, partition, next);
                }
            });
        }
        Ok(found)
    }

    /// Remembers what an append was told.
    pub(crate) fn appended(&self, positions: &[Position]) {
        self.learn(|known| {
            for position in positions {
                let end = known.get(&position.topic, position.partition);
                known.set(
                    &position.topic,
                    position.partition,
                    end.max(position.offset + 1),
                );
            }
        });
    }

    /// Forgets a partition whose log is not what it was.
    pub(crate) fn forget(&self, topic: &Topic, partition: u32) {
        self.known.lock().set(topic, partition, 0);
    }

    /// The end as last heard; it may have moved since.
    pub(crate) fn last_known(&self, topic: &Topic, partition: u32) -> u64 {
        self.known.lock().get(topic, partition)
    }

    /// Whether a partition named by `seen` is known to hold more.
    pub(crate) fn exceed(&self, seen: &Checkpoint) -> bool {
        let known = self.known.lock();
        seen.iter()
            .any(|(topic, partition, next)| known.get(topic, partition) > next)
    }

    /// Told whenever something was learnt.
    pub(crate) fn moved(&self) -> watch::Receiver<()> {
        self.moved.subscribe()
    }

    fn learn(&self, change: impl FnOnce(&mut Checkpoint)) {
        change(&mut self.known.lock());
        self.moved.send_replace(());
    }
}

fn unanswered(place: &str) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!("the leader of {place} did not tell its position"),
    )
}
