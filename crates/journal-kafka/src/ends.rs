//! Where partitions begin and end: asked of their leaders afresh, and remembered only to wake those
//! who wait.
//!
//! A leader tells its high watermark, which covers what was acknowledged with `acks=all`. A leader just
//! elected does not know it yet and says so instead of telling less (KIP-207). One that does not lead any
//! more and has not noticed would tell less: where it matters, what it says is confirmed
//! ([`confirm`](crate::confirm)). What cannot be asked is an error, and the barrier that asked is refused
//! (I2).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use assent_journal::{Checkpoint, Error, ErrorKind, Position, Topic};
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::{Semaphore, watch};

use crate::client::{Ear, listen};
use crate::confirm::Confirm;
use crate::error::{failed, unavailable};

/// A question that found no leader is put again after this, while there is time.
const AGAIN: Duration = Duration::from_millis(50);
/// How many questions are put at once: each holds a thread until it is answered or given up.
const AT_ONCE: usize = 64;

/// Which edge of a partition is asked for.
#[derive(Clone, Copy)]
pub(crate) enum Edge {
    Start,
    End,
}

/// Whom a question is put to.
#[derive(Clone, Copy)]
enum Leaders {
    /// Those that the client has heard of last.
    AsKnown,
    /// Those that the brokers name now. The client does not ask for itself when a leader dies: it goes on trying to reach
    /// the dead one.
    Afresh,
}

/// Asks for positions and remembers the latest answers.
pub(crate) struct Ends {
    asker: Arc<BaseConsumer<Ear>>,
    confirm: Option<Confirm>,
    patience: Duration,
    at_once: Semaphore,
    known: Mutex<Checkpoint>,
    moved: watch::Sender<()>,
}

impl Ends {
    /// `confirm` wherever another broker than the leader may have acknowledged something.
    pub(crate) fn new(
        asker: Arc<BaseConsumer<Ear>>,
        confirm: Option<Confirm>,
        patience: Duration,
    ) -> Self {
        Self {
            asker,
            confirm,
            patience,
            at_once: Semaphore::new(AT_ONCE),
            known: Mutex::new(Checkpoint::new()),
            moved: watch::Sender::new(()),
        }
    }

    /// Asks the leaders for one edge of every partition and takes their word for it, which may lack the
    /// latest records while leaders change.
    pub(crate) async fn ask(
        &self,
        partitions: &[(Topic, u32)],
        edge: Edge,
    ) -> Result<Checkpoint, Error> {
        if partitions.is_empty() {
            return Ok(Checkpoint::new());
        }
        let begin = Instant::now();
        let mut leaders = Leaders::AsKnown;
        let found = loop {
            let left = self.patience.saturating_sub(begin.elapsed());
            // A leader that hangs is not waited for so long that its successor cannot be asked.
            let attempt = left.min(self.patience / 2);
            match self.ask_once(partitions, edge, leaders, attempt).await {
                Ok(found) => break found,
                // A leader that is just being replaced, whose successor answers soon; or a topic made a
                // moment ago that this broker has not heard of.
                Err(error)
                    if error.kind() == ErrorKind::Unavailable
                        && begin.elapsed() + AGAIN < self.patience =>
                {
                    leaders = Leaders::Afresh;
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => return Err(error),
            }
        };
        if let Edge::End = edge {
            self.learn(&found);
        }
        Ok(found)
    }

    async fn ask_once(
        &self,
        partitions: &[(Topic, u32)],
        edge: Edge,
        leaders: Leaders,
        patience: Duration,
    ) -> Result<Checkpoint, Error> {
        let begin = Instant::now();
        let turn = tokio::time::timeout(patience, self.at_once.acquire());
        let Ok(Ok(_turn)) = turn.await else {
            return Err(unavailable("too many questions wait for the brokers"));
        };
        let (asker, partitions) = (Arc::clone(&self.asker), partitions.to_vec());
        let patience = patience.saturating_sub(begin.elapsed());
        tokio::task::spawn_blocking(move || {
            let begin = Instant::now();
            let known = match leaders {
                Leaders::AsKnown => Ok(()),
                Leaders::Afresh => learn_leaders(&asker, &partitions, patience),
            };
            let answer = known.and_then(|()| {
                let left = patience.saturating_sub(begin.elapsed());
                positions(&asker, &partitions, edge, left)
            });
            listen(&asker);
            answer
        })
        .await
        .map_err(|error| unavailable("a question for positions was cut off").with_source(error))?
    }

    /// The ends, which cover every append that was acknowledged before the call, to whomever.
    pub(crate) async fn ask_confirmed(
        &self,
        partitions: &[(Topic, u32)],
    ) -> Result<Checkpoint, Error> {
        let Some(confirm) = &self.confirm else {
            // Nobody else has a copy, so nobody else can have acknowledged anything.
            return self.ask(partitions, Edge::End).await;
        };
        if partitions.is_empty() {
            return Ok(Checkpoint::new());
        }
        let found = confirm.ask(partitions).await?;
        self.learn(&found);
        Ok(found)
    }

    /// Remembers what an append was told.
    pub(crate) fn appended(&self, positions: &[Position]) {
        let mut told = Checkpoint::new();
        for position in positions {
            let (topic, partition) = (&position.topic, position.partition);
            let next = told.get(topic, partition).max(position.offset + 1);
            told.set(topic, partition, next);
        }
        self.learn(&told);
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

    fn learn(&self, told: &Checkpoint) {
        {
            let mut known = self.known.lock();
            for (topic, partition, next) in told.iter() {
                // A leader that is none any more tells less; that is not news.
                let next = next.max(known.get(topic, partition));
                known.set(topic, partition, next);
            }
        }
        self.moved.send_replace(());
    }
}

/// Has the client hear who leads the partitions now.
fn learn_leaders(
    asker: &BaseConsumer<Ear>,
    partitions: &[(Topic, u32)],
    patience: Duration,
) -> Result<(), Error> {
    let begin = Instant::now();
    let topics: BTreeSet<&Topic> = partitions.iter().map(|(topic, _)| topic).collect();
    for topic in topics {
        let left = patience.saturating_sub(begin.elapsed());
        asker
            .fetch_metadata(Some(topic.as_str()), left)
            .map_err(|error| failed("the brokers do not tell who leads", error))?;
    }
    Ok(())
}

/// Asks the leaders for one edge of every partition: one request per broker, not per partition.
pub(crate) fn positions(
    asker: &BaseConsumer<Ear>,
    partitions: &[(Topic, u32)],
    edge: Edge,
    patience: Duration,
) -> Result<Checkpoint, Error> {
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
    let answer = asker
        .offsets_for_times(question, patience)
        .map_err(|error| failed("the brokers did not tell their positions", error))?;
    let mut found = Checkpoint::new();
    for (topic, partition) in partitions {
        let place = format!("{topic}/{partition}");
        let not_told = format!("the leader of {place} did not tell its position");
        let Some(element) = answer.find_partition(topic.as_str(), *partition as i32) else {
            return Err(unavailable(not_told));
        };
        element
            .error()
            .map_err(|error| failed(not_told.as_str(), error))?;
        match element.offset() {
            Offset::Offset(offset) if offset >= 0 => found.set(topic, *partition, offset as u64),
            _ => return Err(unavailable(not_told)),
        }
    }
    Ok(found)
}
