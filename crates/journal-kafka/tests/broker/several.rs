//! Several processes on one cluster: what one is told is durable, the others see (I2).

use std::time::{Duration, Instant};

use assent_journal::{Journal, partition_of};
use assent_journal_kafka::KafkaJournal;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};

use super::{broker, config, journal, record};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_elsewhere_is_covered_at_once_and_wakes_who_waits() {
    let Some(broker) = broker() else { return };
    let (writer, topic) = journal(&broker, 3).await;
    let other = config(&broker, &[(topic.clone(), 3)]);
    let reader = KafkaJournal::connect(other).await.unwrap();
    let reader = std::sync::Arc::new(reader);
    let topics = [topic.clone()];
    for n in 0..20 {
        let seen = reader.end_positions(&topics).await.unwrap();
        let waiting = tokio::spawn({
            let (reader, seen) = (reader.clone(), seen.clone());
            async move { reader.changed(&seen, Duration::from_secs(30)).await }
        });
        let begin = Instant::now();
        let placed = writer
            .append(vec![record(&topic, &n.to_string(), "v")])
            .await
            .unwrap();
        let place = &placed[0];
        let ends = reader.end_positions(&topics).await.unwrap();
        assert_eq!(ends.get(&topic, place.partition), place.offset + 1);
        waiting.await.unwrap().unwrap();
        assert!(begin.elapsed() < Duration::from_secs(10));
        let batch = reader
            .read(&topic, place.partition, place.offset, Default::default())
            .await
            .unwrap();
        assert_eq!(batch.records[0].position, *place);
    }
}

/// librdkafka's `murmur2` partitioner is Java's; a record of another client lands where ours would.
#[tokio::test]
async fn other_clients_and_we_agree_on_partitions() {
    let Some(broker) = broker() else { return };
    let (journal, topic) = journal(&broker, 7).await;
    let theirs: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &broker)
        .set("partitioner", "murmur2")
        .create()
        .unwrap();
    let deliveries: Vec<_> = (0..200u32)
        .map(|n| {
            let key: Vec<u8> = n.to_be_bytes().repeat(n as usize % 5 + 1);
            let message = FutureRecord::to(topic.as_str()).key(&key).payload("v");
            (key.clone(), theirs.send_result(message).unwrap())
        })
        .collect();
    for (key, delivery) in deliveries {
        let delivered = delivery.await.unwrap().unwrap();
        assert_eq!(delivered.partition, partition_of(&key, 7) as i32, "{key:?}");
    }
    let ends = journal.end_positions(&[topic]).await.unwrap();
    assert_eq!(ends.iter().map(|(_, _, next)| next).sum::<u64>(), 200);
}
