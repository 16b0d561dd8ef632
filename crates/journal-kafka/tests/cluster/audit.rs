//! What must be in the log once all is whole again.

use std::collections::{BTreeMap, BTreeSet};

use assent_journal::{Journal, Position, ReadLimit};
use assent_journal_kafka::{KafkaConfig, KafkaJournal};

use super::load::{PARTITIONS, Told};

/// Reads the whole topic afresh and compares it with what was told (I3): what was acknowledged stands
/// where it was said to stand and nowhere else, nothing stands twice, what was read before is unchanged,
/// and the records of one writer are in the order in which it wrote them.
pub async fn audit(config: &KafkaConfig, told: &Told) {
    let topic = config.partitions[0].0.clone();
    let journal = KafkaJournal::connect(config.clone()).await.unwrap();
    let ends = journal
        .end_positions(std::slice::from_ref(&topic))
        .await
        .unwrap();
    let mut places: BTreeMap<String, Position> = BTreeMap::new();
    let mut order: BTreeMap<(u32, String), u64> = BTreeMap::new();
    let mut broken = Vec::new();
    let mut log: BTreeMap<(u32, u64), String> = BTreeMap::new();
    for partition in 0..PARTITIONS {
        let mut at = 0;
        while at < ends.get(&topic, partition) {
            let batch = journal
                .read(&topic, partition, at, ReadLimit::default())
                .await
                .unwrap();
            for stored in batch.records {
                assert_eq!(stored.position.offset, at, "without gaps");
                at += 1;
                let key = String::from_utf8(stored.key.to_vec()).unwrap();
                let (writer, number) = key.split_once(' ').unwrap();
                let number: u64 = number.parse().unwrap();
                let place = (partition, stored.position.offset);
                log.insert(place, key.clone());
                if let Some(earlier) = places.insert(key.clone(), stored.position.clone()) {
                    broken.push(format!(
                        "{key} stands at {earlier} and at {}",
                        stored.position
                    ));
                }
                let last = order.insert((partition, writer.to_owned()), number);
                if last >= Some(number) {
                    let at = &stored.position;
                    broken.push(format!("{key} stands at {at}, after {writer} {last:?}"));
                }
            }
        }
    }
    for (key, position) in &told.acknowledged {
        let found = places.get(key);
        if found != Some(position) {
            broken.push(format!(
                "{key} was acknowledged at {position} and stands at {found:?}"
            ));
        }
    }
    for (place, key) in &told.seen {
        let found = log.get(place);
        if found != Some(key) {
            broken.push(format!(
                "{key} was read at {place:?}, where {found:?} stands now"
            ));
        }
    }
    for line in &broken {
        println!("{line}");
    }
    let unknown: BTreeSet<&String> = told.unknown.iter().collect();
    let written = places.keys().filter(|key| unknown.contains(key)).count();
    assert_eq!(places.len(), told.acknowledged.len() + written);
    assert_eq!(
        broken,
        [""; 0],
        "promises broken: {} unknown: {:?}",
        broken.len(),
        told.unknown
    );
    println!(
        "{} records acknowledged, each once; of {} unknown {written} stand; {} read meanwhile; \
         ends told {} times, refused {} times",
        told.acknowledged.len(),
        unknown.len(),
        told.seen.len(),
        told.ends.0,
        told.ends.1
    );
    assert!(told.acknowledged.len() > 100, "the load was one");
}
