//! The journal on one real broker: its contract, and what only Kafka can get wrong.
//!
//! Runs when `ASSENT_KAFKA` names the broker (`127.0.0.1:19092`), otherwise it says how to get one.

#![allow(clippy::unwrap_used)]

mod group;
mod log;
#[path = "../on_kafka/mod.rs"]
mod on_kafka;
mod security;
mod several;
mod topics;

use assent_journal::Topic;
use assent_journal::contract::{self, Backend};
use assent_journal_kafka::{KafkaConfig, KafkaJournal};

use self::on_kafka::{OnKafka, Place, record};

fn broker() -> Option<String> {
    Place::One.brokers()
}

fn names(broker: &str) -> OnKafka {
    OnKafka::new(Place::One, broker)
}

fn config(broker: &str, topics: &[(Topic, u32)]) -> KafkaConfig {
    names(broker).config(topics)
}

/// A new topic and a journal that holds it.
async fn journal(broker: &str, partitions: u32) -> (KafkaJournal, Topic) {
    let topic = names(broker).topic("t");
    let config = config(broker, &[(topic.clone(), partitions)]);
    KafkaJournal::provision(&config).await.unwrap();
    (KafkaJournal::connect(config).await.unwrap(), topic)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_keeps_the_contract() {
    let Some(broker) = broker() else { return };
    contract::all(|| names(&broker)).await;
}
