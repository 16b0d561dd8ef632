//! Creating topics, and being refused what is not there or not as configured.

use std::time::Duration;

use assent_journal::contract::Backend;
use assent_journal::{ErrorKind, Journal, Topic};
use assent_journal_kafka::{KafkaConfig, KafkaJournal, Replication};

use super::{OnKafka, broker, config};

async fn connect_error(config: KafkaConfig) -> assent_journal::Error {
    match KafkaJournal::connect(config).await {
        Ok(_) => panic!("the journal was opened"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn topics_are_created_once_and_never_changed() {
    let Some(broker) = broker() else { return };
    let names = OnKafka::new(&broker);
    let (one, two) = (names.topic("one"), names.topic("two"));
    let first = config(&broker, &[(one.clone(), 2)]);

    let error = connect_error(first.clone()).await;
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("assent topics"), "{error}");

    let created = KafkaJournal::provision(&first).await.unwrap();
    assert_eq!(created, std::slice::from_ref(&one));
    let both = config(&broker, &[(one.clone(), 2), (two.clone(), 3)]);
    let created = KafkaJournal::provision(&both).await.unwrap();
    assert_eq!(created, std::slice::from_ref(&two));
    assert!(KafkaJournal::provision(&both).await.unwrap().is_empty());
    let journal = KafkaJournal::connect(both).await.unwrap();
    assert_eq!(journal.partitions(&two).unwrap(), 3);

    // Other counts are refused before anything is created.
    let three = names.topic("three");
    let other = config(&broker, &[(three.clone(), 1), (one, 4)]);
    let error = KafkaJournal::provision(&other).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(
        error
            .to_string()
            .contains("has 2 partitions in Kafka, but 4"),
        "{error}"
    );
    let error = connect_error(config(&broker, &[(three, 1)])).await;
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn what_the_brokers_refuse_is_told() {
    let Some(broker) = broker() else { return };
    let topic = OnKafka::new(&broker).topic("copies");
    let mut config = config(&broker, &[(topic, 1)]);
    config.replication = Replication {
        factor: 3,
        min_in_sync: 2,
    };
    let error = KafkaJournal::provision(&config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    for bad in [("a b", 1), ("t", 0)] {
        let config = super::config(&broker, &[(Topic::new(bad.0), bad.1)]);
        let error = KafkaJournal::provision(&config).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
}

/// Needs no broker: nothing listens on port 1.
#[tokio::test]
async fn brokers_out_of_reach_are_unavailable() {
    let mut config = config("127.0.0.1:1", &[("t".into(), 1)]);
    config.request_timeout = Duration::from_millis(300);
    let error = KafkaJournal::provision(&config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let error = connect_error(config.clone()).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    config
        .properties
        .insert("no.such.property".into(), "1".into());
    let error = connect_error(config).await;
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}
