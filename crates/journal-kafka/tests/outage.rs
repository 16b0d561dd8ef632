//! Brokers that go away and come back. librdkafka's own mock stands in for them, so this runs
//! everywhere; it proves nothing about durability, only what callers are told.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use assent_journal::{ErrorKind, Journal, ReadLimit, Record, Topic};
use assent_journal_kafka::{KafkaConfig, KafkaJournal};
use rdkafka::mocking::MockCluster;

fn record(topic: &Topic, value: &str) -> Record {
    Record {
        topic: topic.clone(),
        key: "k".into(),
        value: value.to_owned().into(),
        headers: vec![],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_told_and_survived() {
    let topic = Topic::new("t");
    let topics = [topic.clone()];
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(topic.as_str(), 1, 1).unwrap();
    let mut config = KafkaConfig::new(cluster.bootstrap_servers(), vec![(topic.clone(), 1)]);
    config.request_timeout = Duration::from_millis(800);
    config.append_timeout = Duration::from_millis(800);
    config
        .properties
        .insert("reconnect.backoff.max.ms".into(), "100".into());
    let journal = KafkaJournal::connect(config).await.unwrap();
    let limit = ReadLimit::default();

    journal
        .append(vec![record(&topic, "before")])
        .await
        .unwrap();
    let before = journal.end_positions(&topics).await.unwrap();
    assert_eq!(journal.read(&topic, 0, 0, limit).await.unwrap().next, 1);

    cluster.broker_down(1).unwrap();
    let begin = Instant::now();
    // I2: an end that cannot be asked is an error, never the last one heard.
    let error = journal.end_positions(&topics).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    // I3: what is not acknowledged is not answered with success.
    let error = journal
        .append(vec![record(&topic, "during")])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let error = journal.read(&topic, 0, 1, limit).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    // Waiting goes on waiting.
    journal
        .changed(&before, Duration::from_millis(300))
        .await
        .unwrap();
    assert!(begin.elapsed() < Duration::from_secs(20));

    cluster.broker_up(1).unwrap();
    let begin = Instant::now();
    let placed = loop {
        match journal.append(vec![record(&topic, "after")]).await {
            Ok(placed) => break placed,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
        }
        assert!(begin.elapsed() < Duration::from_secs(30));
    };
    let ends = journal.end_positions(&topics).await.unwrap();
    assert_eq!(ends.get(&topic, 0), placed[0].offset + 1);
    let batch = journal
        .read(&topic, 0, placed[0].offset, limit)
        .await
        .unwrap();
    assert_eq!(&batch.records[0].value[..], b"after");
}
