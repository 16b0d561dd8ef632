//! A group of processes that share shards, by Kafka's classic consumer groups.
//!
//! Membership is all that is taken from Kafka: a member subscribes to one topic whose partitions stand
//! for the shards, fetches nothing from it and commits nothing. Whoever folds keeps its own checkpoint,
//! and its fence excludes a second owner; the group only suggests who that should be.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use assent_journal::{Error, ErrorKind, Group, Topic};
use parking_lot::Mutex;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tokio::sync::watch;

use crate::client::Ear;
use crate::config::KafkaConfig;
use crate::error::failed;

/// How long one poll waits: how late the member notices that its owner is stuck, or gone.
const POLL: Duration = Duration::from_millis(100);

/// Which group, and when a member counts as lost.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// The group's name, one for each deployment that folds a cluster's topics.
    pub name: String,
    /// The topic whose partitions stand for the shards: any of those keyed by subject, as they have
    /// equal partition counts.
    pub topic: Topic,
    /// After this without a sign of life the brokers give a member's shards to others. Brokers take
    /// six seconds at least by default.
    pub session_timeout: Duration,
    /// After this without [`Group::working`] a member gives its shards up: the process lives, but who
    /// folds in it is stuck.
    pub max_silence: Duration,
}

impl GroupConfig {
    /// The defaults for a group of this name over this topic.
    pub fn new(name: impl Into<String>, topic: Topic) -> Self {
        Self {
            name: name.into(),
            topic,
            session_timeout: Duration::from_secs(10),
            max_silence: Duration::from_secs(60),
        }
    }
}

/// This process's membership of a group. Dropping it leaves the group, which takes a round trip; from
/// brokers that do not answer it takes five seconds at most.
pub struct KafkaGroup {
    shards: watch::Receiver<BTreeSet<u32>>,
    pulse: Arc<Pulse>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl KafkaGroup {
    /// Joins the group. The shards come later, through [`Group::shards`]; it needs no broker to answer
    /// now.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for settings that Kafka's client does not take.
    pub fn join(config: &KafkaConfig, group: &GroupConfig) -> Result<Self, Error> {
        let (shards, watched) = watch::channel(BTreeSet::new());
        let member = Member {
            ear: Ear::new("group"),
            shards,
        };
        let consumer: BaseConsumer<Member> = config
            .member(&group.name, group.session_timeout)?
            .create_with_context(member)
            .map_err(|error| failed("the Kafka client cannot be made", error))?;
        let pulse = Arc::new(Pulse::new(group.max_silence));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = Thread {
            consumer,
            topic: group.topic.clone(),
            pulse: Arc::clone(&pulse),
            stop: Arc::clone(&stop),
        };
        let thread = std::thread::Builder::new()
            .name("journal-group".to_owned())
            .spawn(move || thread.run())
            .map_err(|error| {
                Error::new(ErrorKind::Internal, "no thread for the group").with_source(error)
            })?;
        Ok(Self {
            shards: watched,
            pulse,
            stop,
            thread: Some(thread),
        })
    }
}

impl Group for KafkaGroup {
    fn shards(&self) -> watch::Receiver<BTreeSet<u32>> {
        self.shards.clone()
    }

    fn working(&self) {
        self.pulse.beat();
    }
}

impl Drop for KafkaGroup {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A panic there has taken the shards away from whoever watches; there is nobody else to tell.
            let _ = thread.join();
        }
    }
}

/// When the owner was last heard.
struct Pulse {
    last: Mutex<Instant>,
    most: Duration,
}

impl Pulse {
    fn new(most: Duration) -> Self {
        Self {
            last: Mutex::new(Instant::now()),
            most,
        }
    }

    fn beat(&self) {
        *self.last.lock() = Instant::now();
    }

    fn is_silent(&self) -> bool {
        self.last.lock().elapsed() > self.most
    }
}

/// Polls the consumer, without which it would count as stuck itself.
struct Thread {
    consumer: BaseConsumer<Member>,
    topic: Topic,
    pulse: Arc<Pulse>,
    stop: Arc<AtomicBool>,
}

impl Thread {
    fn run(self) {
        let mut subscribed = false;
        while !self.stop.load(Ordering::Acquire) {
            match (subscribed, self.pulse.is_silent()) {
                (false, false) => subscribed = self.subscribe(),
                (true, true) => {
                    tracing::warn!(
                        topic = self.topic.as_str(),
                        "nobody works on this process's shards; they are given up"
                    );
                    self.consumer.context().give_up();
                    self.consumer.unsubscribe();
                    subscribed = false;
                }
                (true, false) | (false, true) => {}
            }
            match self.consumer.poll(POLL) {
                // Fetched before the pause took hold; who folds reads for itself.
                Some(Ok(_)) | None => {}
                Some(Err(error)) => {
                    tracing::debug!(error = %error, "the group's consumer has trouble");
                }
            }
        }
        // Dropping the consumer leaves the group.
    }

    fn subscribe(&self) -> bool {
        match self.consumer.subscribe(&[self.topic.as_str()]) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(error = %error, "the group cannot be joined");
                // The next round tries again.
                std::thread::sleep(POLL);
                false
            }
        }
    }
}

/// Hears of rebalances, and publishes what they give and take.
struct Member {
    ear: Ear,
    shards: watch::Sender<BTreeSet<u32>>,
}

impl Member {
    fn give_up(&self) {
        self.shards.send_if_modified(|shards| {
            let held = !shards.is_empty();
            shards.clear();
            held
        });
    }

    fn publish(&self, list: &TopicPartitionList, held: bool) {
        let elements = list.elements();
        let named: BTreeSet<u32> = elements
            .iter()
            .filter_map(|element| u32::try_from(element.partition()).ok())
            .collect();
        self.shards.send_if_modified(|shards| {
            let before = shards.len();
            match held {
                true => shards.extend(&named),
                false => shards.retain(|shard| !named.contains(shard)),
            }
            before != shards.len()
        });
        let all = self.shards.borrow().len();
        tracing::info!(shards = ?named, held, all, "the group shared out anew");
    }
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.ear.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.ear.error(error, reason);
    }
}

impl ConsumerContext for Member {
    /// Takes over, or hands back, what the group's leader decided. Called in [`Thread::run`]'s poll.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let outcome = match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => list
                // A place is named so that none is looked up; nothing is fetched from it.
                .set_all_offsets(Offset::End)
                .and_then(|()| consumer.incremental_assign(list))
                .and_then(|()| consumer.pause(list))
                .inspect(|()| self.publish(list, true)),
            // Told to the owner first, so that it may stop before another begins.
            _ => {
                self.publish(list, false);
                consumer.incremental_unassign(list)
            }
        };
        if let Err(error) = outcome {
            tracing::warn!(error = %error, "the group's decision could not be taken over");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_heard_is_silent_until_heard_again() {
        let pulse = Pulse::new(Duration::from_millis(30));
        assert!(!pulse.is_silent());
        std::thread::sleep(Duration::from_millis(60));
        assert!(pulse.is_silent());
        pulse.beat();
        assert!(!pulse.is_silent());
    }

    #[test]
    fn what_is_given_and_taken_is_published() {
        let member = Member {
            ear: Ear::new("group"),
            shards: watch::Sender::new(BTreeSet::new()),
        };
        let list = |partitions: &[i32]| {
            let mut list = TopicPartitionList::new();
            for partition in partitions {
                list.add_partition("t", *partition);
            }
            list
        };
        let mut watched = member.shards.subscribe();
        member.publish(&list(&[0, 3, 5]), true);
        assert!(watched.has_changed().unwrap());
        assert_eq!(*watched.borrow_and_update(), BTreeSet::from([0, 3, 5]));
        member.publish(&list(&[3]), false);
        assert_eq!(*watched.borrow_and_update(), BTreeSet::from([0, 5]));
        // What changes nothing wakes nobody.
        member.publish(&list(&[3]), false);
        member.publish(&list(&[5]), true);
        assert!(!watched.has_changed().unwrap());
        member.give_up();
        assert!(watched.borrow_and_update().is_empty());
    }
}
