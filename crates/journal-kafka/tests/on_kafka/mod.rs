//! What the tests on real brokers share: where the brokers are, and topics that no other test uses.

// Each test binary uses its part.
#![allow(dead_code)]

use std::io::Write;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use assent_journal::contract::Backend;
use assent_journal::{Journal, Record, Topic};
use assent_journal_kafka::{KafkaConfig, KafkaJournal, Replication};
use async_trait::async_trait;

/// Where the tests find brokers.
#[derive(Clone, Copy)]
pub enum Place {
    /// One broker.
    One,
    /// The same, where it asks for TLS and SASL.
    Secure,
    /// Three brokers.
    Three,
}

impl Place {
    fn variable(self) -> &'static str {
        match self {
            Self::One => "ASSENT_KAFKA",
            Self::Secure => "ASSENT_KAFKA_SECURE",
            Self::Three => "ASSENT_KAFKA_CLUSTER",
        }
    }

    /// The brokers' addresses, or else a word on how to get them.
    pub fn brokers(self) -> Option<String> {
        static TOLD: Once = Once::new();
        let brokers = std::env::var(self.variable()).ok();
        if brokers.is_none() {
            // Written past the test harness, which would swallow the words of a test that passes.
            TOLD.call_once(|| {
                let _ = writeln!(
                    std::io::stderr(),
                    "tests on Kafka brokers are skipped for want of {}. `cargo xtask test` runs everything; \
                     `cargo xtask kafka up --secure` and `up --brokers 3` print what these need",
                    self.variable()
                );
            });
        }
        brokers
    }

    pub fn replication(self) -> Replication {
        match self {
            Self::One | Self::Secure => Replication {
                factor: 1,
                min_in_sync: 1,
            },
            Self::Three => Replication::default(),
        }
    }
}

/// A name of this test and run only.
pub fn unique(name: &str) -> String {
    static CASES: AtomicU32 = AtomicU32::new(0);
    let case = CASES.fetch_add(1, Ordering::SeqCst);
    // The file system's random name tells runs apart, even with a process number used again.
    let file = tempfile::NamedTempFile::new().unwrap();
    let file = file.path().file_name().unwrap().to_string_lossy();
    format!("test-{}-{case}-{name}", file.trim_matches('.'))
}

/// Topics of one case of the contract.
pub struct OnKafka {
    place: Place,
    brokers: String,
    run: String,
}

impl OnKafka {
    pub fn new(place: Place, brokers: &str) -> Self {
        Self {
            place,
            brokers: brokers.to_owned(),
            run: unique("case"),
        }
    }

    pub fn config(&self, topics: &[(Topic, u32)]) -> KafkaConfig {
        KafkaConfig {
            replication: self.place.replication(),
            ..KafkaConfig::new(&self.brokers, topics.to_vec())
        }
    }
}

#[async_trait]
impl Backend for OnKafka {
    fn topic(&self, name: &str) -> Topic {
        Topic::new(format!("{}-{name}", self.run))
    }

    async fn open(&self, topics: &[(Topic, u32)]) -> Box<dyn Journal> {
        let config = self.config(topics);
        KafkaJournal::provision(&config).await.unwrap();
        Box::new(KafkaJournal::connect(config).await.unwrap())
    }
}

pub fn record(topic: &Topic, key: &str, value: &str) -> Record {
    Record {
        topic: topic.clone(),
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        headers: vec![],
    }
}
