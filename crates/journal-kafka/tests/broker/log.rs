//! Logs that are not what a reader thought: trimmed, with gaps, read from many places at once.

use std::time::{Duration, Instant};

use assent_journal::{ErrorKind, Journal, ReadLimit, Record, Topic};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::{broker, journal, record};

fn client(broker: &str) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", broker);
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn positions_no_longer_retained_are_told() {
    let Some(broker) = broker() else { return };
    let (journal, topic) = journal(&broker, 1).await;
    let records: Vec<Record> = (0..50)
        .map(|n| record(&topic, "k", &n.to_string()))
        .collect();
    journal.append(records).await.unwrap();

    let admin: AdminClient<DefaultClientContext> = client(&broker).create().unwrap();
    let mut before = TopicPartitionList::new();
    before
        .add_partition_offset(topic.as_str(), 0, Offset::Offset(20))
        .unwrap();
    admin
        .delete_records(&before, &AdminOptions::new())
        .await
        .unwrap();

    let limit = ReadLimit::default();
    let error = journal.read(&topic, 0, 0, limit).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(
        error.to_string().contains("the first position is 20"),
        "{error}"
    );
    let start = journal
        .start_positions(std::slice::from_ref(&topic))
        .await
        .unwrap();
    assert_eq!(start.get(&topic, 0), 20);
    let batch = journal.read(&topic, 0, 20, limit).await.unwrap();
    assert_eq!((batch.records.len(), batch.next), (30, 50));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_is_never_passed_over() {
    let Some(broker) = broker() else { return };
    let (journal, topic) = journal(&broker, 1).await;
    journal
        .append(vec![record(&topic, "k", "0"), record(&topic, "k", "1")])
        .await
        .unwrap();
    // A transaction leaves its marker at position 3.
    let transactional: ThreadedProducer<DefaultProducerContext> = client(&broker)
        .set("transactional.id", topic.as_str())
        .create()
        .unwrap();
    let patience = Duration::from_secs(20);
    let key = "k".to_owned();
    let (sender, name) = (transactional, topic.clone());
    tokio::task::spawn_blocking(move || {
        sender.init_transactions(patience).unwrap();
        sender.begin_transaction().unwrap();
        let message = BaseRecord::to(name.as_str()).partition(0).key(&key);
        sender
            .send(message.payload("2"))
            .map_err(|(error, _)| error)
            .unwrap();
        sender.commit_transaction(patience).unwrap();
    })
    .await
    .unwrap();
    // The coordinator answers a commit before the markers stand.
    let begin = Instant::now();
    let end = async || {
        let ends = journal.end_positions(std::slice::from_ref(&topic)).await;
        ends.unwrap().get(&topic, 0)
    };
    while end().await < 4 {
        assert!(begin.elapsed() < patience, "the marker does not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    journal
        .append(vec![record(&topic, "k", "4")])
        .await
        .unwrap();

    // Records 0 to 2 stand before the marker, 4 behind it.
    let three = ReadLimit {
        records: 3,
        ..ReadLimit::default()
    };
    let batch = journal.read(&topic, 0, 0, three).await.unwrap();
    assert_eq!((batch.records.len(), batch.next), (3, 3));
    let error = journal
        .read(&topic, 0, 3, ReadLimit::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains("@3 is missing"), "{error}");
    // What lies behind the gap can be read by who asks for it.
    let batch = journal
        .read(&topic, 0, 4, ReadLimit::default())
        .await
        .unwrap();
    assert_eq!(batch.records.len(), 1);
}

async fn check_stretch(
    journal: &dyn Journal,
    topic: &Topic,
    partition: u32,
    mut at: u64,
    end: u64,
) {
    let limit = ReadLimit {
        records: 700,
        bytes: 300_000,
    };
    while at < end {
        let batch = journal.read(topic, partition, at, limit).await.unwrap();
        assert!(batch.next > at);
        for stored in batch.records {
            assert_eq!(stored.position.offset, at);
            at += 1;
        }
    }
}

/// More than is fetched ahead, read by several readers of the same partitions at different places:
/// pausing, going on and assigning anew lose nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_at_many_places_lose_nothing() {
    const COUNT: u64 = 12_000;
    let Some(broker) = broker() else { return };
    let (journal, topic) = journal(&broker, 2).await;
    let value = "v".repeat(2_000);
    for _ in 0..4 {
        let records: Vec<Record> = (0..COUNT / 2)
            .map(|n| record(&topic, &n.to_string(), &value))
            .collect();
        journal.append(records).await.unwrap();
    }
    let ends = journal
        .end_positions(std::slice::from_ref(&topic))
        .await
        .unwrap();
    assert_eq!(ends.get(&topic, 0) + ends.get(&topic, 1), COUNT * 2);
    let journal = std::sync::Arc::new(journal);
    let readers: Vec<_> = [(0, 0), (1, 0), (0, 5_000), (1, 900), (0, 0)]
        .into_iter()
        .map(|(partition, from)| {
            let (journal, topic) = (journal.clone(), topic.clone());
            let end = ends.get(&topic, partition);
            tokio::spawn(async move {
                check_stretch(&*journal, &topic, partition, from, end).await;
            })
        })
        .collect();
    for reader in readers {
        reader.await.unwrap();
    }
}
