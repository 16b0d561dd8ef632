//! Brokers that go away and come back. librdkafka's own mock stands in for them, so this runs
//! everywhere; it proves nothing about durability, only what callers are told.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use assent_journal::{ErrorKind, Group, Journal, ReadLimit, Record, Topic, partition_of};
use assent_journal_kafka::{GroupConfig, KafkaConfig, KafkaGroup, KafkaJournal};
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

fn record(topic: &Topic, value: &str) -> Record {
    Record {
        topic: topic.clone(),
        key: "k".into(),
        value: value.to_owned().into(),
        headers: vec![],
    }
}

/// Where the key `k` of these tests belongs among three partitions.
fn place() -> u32 {
    partition_of(b"k", 3)
}

/// A cluster of one broker with a topic of three partitions, and how to reach it.
fn cluster() -> (
    MockCluster<'static, rdkafka::producer::DefaultProducerContext>,
    KafkaConfig,
    Topic,
) {
    let topic = Topic::new("t");
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(topic.as_str(), 3, 1).unwrap();
    let mut config = KafkaConfig::new(cluster.bootstrap_servers(), vec![(topic.clone(), 3)]);
    config.replication.factor = 1;
    // The stand-in has no topic settings to be asked for.
    config.verify_settings = false;
    config
        .properties
        .insert("reconnect.backoff.max.ms".into(), "100".into());
    (cluster, config, topic)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_told_and_survived() {
    let (cluster, mut config, topic) = cluster();
    let topics = [topic.clone()];
    // Short, since both run out below; long enough for a first append (connection, producer id) on a busy machine.
    config.request_timeout = Duration::from_secs(2);
    config.append_timeout = Duration::from_secs(5);
    let journal = KafkaJournal::connect(config).await.unwrap();
    let limit = ReadLimit::default();

    journal
        .append(vec![record(&topic, "before")])
        .await
        .unwrap();
    let before = journal.end_positions(&topics).await.unwrap();
    assert_eq!(
        journal.read(&topic, place(), 0, limit).await.unwrap().next,
        1
    );

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
    assert!(error.retry_after().is_some());
    let error = journal.read(&topic, place(), 1, limit).await.unwrap_err();
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
    assert_eq!(ends.get(&topic, place()), placed[0].offset + 1);
    let batch = journal
        .read(&topic, place(), placed[0].offset, limit)
        .await
        .unwrap();
    assert_eq!(&batch.records[0].value[..], b"after");
}

/// Two hundred appends at once over a line with a long round trip, and one append of many records, each
/// take a few round trips, not one for every record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_are_pipelined() {
    const ROUND_TRIP: Duration = Duration::from_millis(100);
    let (cluster, config, topic) = cluster();
    let journal = Arc::new(KafkaJournal::connect(config).await.unwrap());
    journal.append(vec![record(&topic, "first")]).await.unwrap();
    cluster.broker_round_trip_time(1, ROUND_TRIP).unwrap();

    let begin = Instant::now();
    let appends: Vec<_> = (0..200)
        .map(|n| {
            let (journal, mut record) = (Arc::clone(&journal), record(&topic, "v"));
            record.key = format!("{n}").into();
            tokio::spawn(async move { journal.append(vec![record]).await })
        })
        .collect();
    for append in appends {
        append.await.unwrap().unwrap();
    }
    let at_once = begin.elapsed();
    let begin = Instant::now();
    journal
        .append(vec![record(&topic, "v"); 5_000])
        .await
        .unwrap();
    let many = begin.elapsed();
    println!("two hundred at once {at_once:?}, five thousand in one {many:?}");
    // The machine may be busy: a tenth of what they would take one after the other.
    assert!(
        at_once > ROUND_TRIP && at_once < ROUND_TRIP * 20,
        "{at_once:?}"
    );
    assert!(many < ROUND_TRIP * 20, "{many:?}");
}

/// What waits for brokers that do not answer is bounded; the rest is turned away at once, and can be
/// told when to come again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_much_under_way_is_turned_away() {
    let (cluster, mut config, topic) = cluster();
    config.append_timeout = Duration::from_secs(4);
    config.in_flight_bytes = 1 << 20;
    config.queue_timeout = Duration::from_millis(100);
    let journal = Arc::new(KafkaJournal::connect(config).await.unwrap());
    journal
        .append(vec![record(&topic, "before")])
        .await
        .unwrap();
    cluster.broker_down(1).unwrap();

    let large = "v".repeat(200_000);
    let appends: Vec<_> = (0..20)
        .map(|_| {
            let (journal, record) = (Arc::clone(&journal), record(&topic, &large));
            let begin = Instant::now();
            tokio::spawn(async move {
                let error = journal.append(vec![record]).await.unwrap_err();
                (error, begin.elapsed())
            })
        })
        .collect();
    let (mut waited, mut turned_away) = (0, 0);
    for append in appends {
        let (error, took) = append.await.unwrap();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.retry_after().is_some());
        match error.to_string().contains("nothing was written") {
            true => {
                turned_away += 1;
                assert!(took < Duration::from_secs(2), "{took:?}");
            }
            false => waited += 1,
        }
    }
    assert_eq!((waited, turned_away), (5, 15));
    cluster.broker_up(1).unwrap();
    let begin = Instant::now();
    while let Err(error) = journal.append(vec![record(&topic, "after")]).await {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(begin.elapsed() < Duration::from_secs(30));
    }
}

/// A producer that finds its numbers and the broker's apart stops for good; the journal goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_that_cannot_go_on_is_replaced() {
    let (cluster, config, topic) = cluster();
    let journal = KafkaJournal::connect(config).await.unwrap();
    journal
        .append(vec![record(&topic, "before")])
        .await
        .unwrap();
    cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER],
    );
    let error = journal.append(vec![record(&topic, "during")]).await;
    // Whether it was written cannot be known.
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Unavailable);
    let placed = journal.append(vec![record(&topic, "after")]).await.unwrap();
    let batch = journal
        .read(&topic, place(), placed[0].offset, ReadLimit::default())
        .await
        .unwrap();
    assert_eq!(&batch.records[0].value[..], b"after");
}

/// Leaving a group whose brokers are gone takes seconds, not for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_can_be_left_without_brokers() {
    let (cluster, config, topic) = cluster();
    let member = KafkaGroup::join(&config, &GroupConfig::new("g", topic)).unwrap();
    let mut shards = member.shards();
    let all = shards.wait_for(|shards| shards.len() == 3);
    let all = tokio::time::timeout(Duration::from_secs(60), all).await;
    assert!(all.unwrap().is_ok());
    cluster.broker_down(1).unwrap();
    let begin = Instant::now();
    let left = tokio::task::spawn_blocking(move || drop(member));
    tokio::time::timeout(Duration::from_secs(15), left)
        .await
        .expect("leaving ends")
        .unwrap();
    println!("left after {:?}", begin.elapsed());
}
