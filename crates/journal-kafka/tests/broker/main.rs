//! The journal on a real broker: its contract, and what only Kafka can get wrong.
//!
//! Runs when `ASSENT_KAFKA` names one (`127.0.0.1:19092`), otherwise it says how to get one.

#![allow(clippy::unwrap_used)]

mod log;
mod several;
mod topics;

use std::io::Write;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use assent_journal::contract::{self, Backend};
use assent_journal::{Journal, Record, Topic};
use assent_journal_kafka::{KafkaConfig, KafkaJournal, Replication};
use async_trait::async_trait;

fn broker() -> Option<String> {
    static TOLD: Once = Once::new();
    let broker = std::env::var("ASSENT_KAFKA").ok();
    if broker.is_none() {
        // Written past the test harness, which would swallow the words of a test that passes.
        TOLD.call_once(|| {
            let _ = writeln!(
                std::io::stderr(),
                "the tests on a Kafka broker are skipped. Run `cargo xtask kafka up`, then this with \
                 ASSENT_KAFKA=127.0.0.1:19092, or everything with `cargo xtask test`"
            );
        });
    }
    broker
}

fn config(broker: &str, topics: &[(Topic, u32)]) -> KafkaConfig {
    KafkaConfig {
        // The broker for tests is alone.
        replication: Replication {
            factor: 1,
            min_in_sync: 1,
        },
        ..KafkaConfig::new(broker, topics.to_vec())
    }
}

/// Topics of this process and this case only.
struct OnKafka {
    broker: String,
    run: String,
}

impl OnKafka {
    fn new(broker: &str) -> Self {
        static CASES: AtomicU32 = AtomicU32::new(0);
        let case = CASES.fetch_add(1, Ordering::SeqCst);
        // The file system's random name tells runs apart, even with a process number used again.
        let unique = tempfile::NamedTempFile::new().unwrap();
        let unique = unique.path().file_name().unwrap().to_string_lossy();
        let unique = unique.trim_matches('.');
        Self {
            broker: broker.to_owned(),
            run: format!("test-{unique}-{case}"),
        }
    }
}

#[async_trait]
impl Backend for OnKafka {
    fn topic(&self, name: &str) -> Topic {
        Topic::new(format!("{}-{name}", self.run))
    }

    async fn open(&self, topics: &[(Topic, u32)]) -> Box<dyn Journal> {
        let config = config(&self.broker, topics);
        KafkaJournal::provision(&config).await.unwrap();
        Box::new(KafkaJournal::connect(config).await.unwrap())
    }
}

fn record(topic: &Topic, key: &str, value: &str) -> Record {
    Record {
        topic: topic.clone(),
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        headers: vec![],
    }
}

/// A new topic and a journal that holds it.
async fn journal(broker: &str, partitions: u32) -> (KafkaJournal, Topic) {
    let topic = OnKafka::new(broker).topic("t");
    let config = config(broker, &[(topic.clone(), partitions)]);
    KafkaJournal::provision(&config).await.unwrap();
    (KafkaJournal::connect(config).await.unwrap(), topic)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_keeps_the_contract() {
    let Some(broker) = broker() else { return };
    contract::all(|| OnKafka::new(&broker)).await;
}
