//! Who writes, reads and asks while brokers break.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use assent_journal::{Checkpoint, Error, ErrorKind, Journal, Position, ReadLimit, Topic};
use assent_journal_kafka::{KafkaConfig, KafkaJournal};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::on_kafka::record;

pub const PARTITIONS: u32 = 6;
const WRITERS: u32 = 6;
/// An append takes this long at most, retries included.
pub const APPEND_TIMEOUT: Duration = Duration::from_secs(8);
/// A question takes this long at most.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// What a busy machine adds to a timeout.
pub const SLACK: Duration = Duration::from_secs(4);

/// What was told to whom.
#[derive(Default)]
pub struct Told {
    /// Key and position of every record that was acknowledged.
    pub acknowledged: BTreeMap<String, Position>,
    /// Keys of which nobody knows.
    pub unknown: Vec<String>,
    /// How far the acknowledged records reach.
    pub reach: Checkpoint,
    /// What a reader has seen, by partition and offset.
    pub seen: BTreeMap<(u32, u64), String>,
    /// Answers and refusals to who asked for end positions.
    pub ends: (u64, u64),
    /// Why who reads or asks was refused last.
    pub refused: Option<Error>,
}

impl Told {
    /// Notes what an append of these keys was told. Whether it was acknowledged.
    pub fn was_told(
        &mut self,
        topic: &Topic,
        keys: Vec<String>,
        outcome: Result<Vec<Position>, Error>,
    ) -> bool {
        match outcome {
            Ok(positions) => {
                for (key, position) in keys.into_iter().zip(positions) {
                    let (partition, next) = (position.partition, position.offset + 1);
                    let reach = self.reach.get(topic, partition).max(next);
                    self.reach.set(topic, partition, reach);
                    self.acknowledged.insert(key, position);
                }
                true
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                assert!(error.retry_after().is_some());
                self.unknown.extend(keys);
                false
            }
        }
    }
}

pub struct Load {
    pub topic: Topic,
    pub told: Arc<Mutex<Told>>,
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<()>>,
}

pub fn config(mut config: KafkaConfig) -> KafkaConfig {
    config.append_timeout = APPEND_TIMEOUT;
    config.request_timeout = REQUEST_TIMEOUT;
    config
}

impl Load {
    /// Writers through one journal, a reader and an asker each through one of their own, as if in other
    /// processes.
    pub async fn start(config: &KafkaConfig) -> Self {
        let topic = config.partitions[0].0.clone();
        let journals = [(); 3].map(|()| KafkaJournal::connect(config.clone()));
        let [writer, reader, asker] = journals;
        let writer = Arc::new(writer.await.unwrap());
        let (reader, asker) = (reader.await.unwrap(), asker.await.unwrap());
        let mut load = Self {
            topic: topic.clone(),
            told: Arc::default(),
            stop: Arc::default(),
            calls: Arc::default(),
            tasks: Vec::new(),
        };
        for number in 0..WRITERS {
            let task = Task::of(&load);
            let writer = Arc::clone(&writer);
            load.tasks.push(tokio::spawn(task.write(writer, number)));
        }
        let task = Task::of(&load);
        load.tasks.push(tokio::spawn(task.read(reader)));
        let task = Task::of(&load);
        load.tasks.push(tokio::spawn(task.ask(asker)));
        load
    }

    /// How many appends were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Waits until appends are acknowledged and ends told (again), several more than now, and until the reader has come
    /// as far as they reach by then.
    pub async fn goes_on(&self) {
        let ends = || self.told.lock().ends.0;
        let appended = self.acknowledged() + 5 * u64::from(WRITERS);
        let answered = ends() + 5;
        self.wait("appends", || self.acknowledged() >= appended)
            .await;
        self.wait("ends", || ends() >= answered).await;
        let reach = self.told.lock().reach.clone();
        let read = || {
            let told = self.told.lock();
            let mut last = reach
                .iter()
                .map(|(_, partition, next)| (partition, next - 1));
            last.all(|position| told.seen.contains_key(&position))
        };
        self.wait("reading", read).await;
    }

    async fn wait(&self, what: &str, goes_on: impl Fn() -> bool) {
        let begin = Instant::now();
        while !goes_on() {
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "{what} does not go on; refused last: {:?}",
                self.told.lock().refused
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends the load; a task that found a promise broken ends the test here.
    pub async fn stop(self) -> Told {
        self.stop.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await.unwrap();
        }
        std::mem::take(&mut *self.told.lock())
    }
}

struct Task {
    topic: Topic,
    told: Arc<Mutex<Told>>,
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
}

impl Task {
    fn of(load: &Load) -> Self {
        Self {
            topic: load.topic.clone(),
            told: Arc::clone(&load.told),
            stop: Arc::clone(&load.stop),
            calls: Arc::clone(&load.calls),
        }
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    /// Appends batches of records, every key once and never again.
    async fn write(self, journal: Arc<KafkaJournal>, number: u32) {
        let mut next = 0;
        while self.goes_on() {
            let keys: Vec<String> = (next..next + 10).map(|n| format!("{number} {n}")).collect();
            next += 10;
            let records = keys
                .iter()
                .map(|key| record(&self.topic, key, "v"))
                .collect();
            let begin = Instant::now();
            let outcome = journal.append(records).await;
            let took = begin.elapsed();
            assert!(took < APPEND_TIMEOUT + SLACK, "an append took {took:?}");
            if self.told.lock().was_told(&self.topic, keys, outcome) {
                self.calls.fetch_add(1, Ordering::SeqCst);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Reads on and on, from every partition in turn.
    async fn read(self, journal: KafkaJournal) {
        let mut at = [0; PARTITIONS as usize];
        while self.goes_on() {
            for partition in 0..PARTITIONS {
                let from = at[partition as usize];
                let read = journal.read(&self.topic, partition, from, ReadLimit::default());
                match read.await {
                    Ok(batch) => {
                        let mut told = self.told.lock();
                        for stored in batch.records {
                            let key = String::from_utf8(stored.key.to_vec()).unwrap();
                            told.seen.insert((partition, stored.position.offset), key);
                        }
                        at[partition as usize] = batch.next;
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                        self.told.lock().refused = Some(error);
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Asks for the ends on and on: an answer covers what was acknowledged before (I2), and where none
    /// can be had there is none.
    async fn ask(self, journal: KafkaJournal) {
        let topics = [self.topic.clone()];
        while self.goes_on() {
            let before = self.told.lock().reach.clone();
            let begin = Instant::now();
            let answer = journal.end_positions(&topics).await;
            let took = begin.elapsed();
            assert!(took < REQUEST_TIMEOUT + SLACK, "a question took {took:?}");
            self.check_ends(&before, answer, took);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn check_ends(&self, before: &Checkpoint, answer: Result<Checkpoint, Error>, took: Duration) {
        let mut told = self.told.lock();
        match answer {
            Ok(ends) => {
                for (topic, partition, next) in before.iter() {
                    let end = ends.get(topic, partition);
                    assert!(
                        end >= next,
                        "{topic}/{partition}: told {end} after {took:?}, but {next} stood before"
                    );
                }
                told.ends.0 += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                told.ends.1 += 1;
                told.refused = Some(error);
            }
        }
    }
}
