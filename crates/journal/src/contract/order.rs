//! Order per key, and appends from many sides at once.

use std::collections::{BTreeMap, BTreeSet};

use super::{Backend, append, read_all, record};
use crate::{ReadLimit, partition_of};

pub(super) async fn per_key(backend: &dyn Backend) {
    const PARTITIONS: u32 = 4;
    const KEYS: u32 = 40;
    let topic = backend.topic("order");
    let journal = backend.open(&[(topic.clone(), PARTITIONS)]).await;
    // Within a call (keys interleaved) and from call to call.
    for round in 0..3u32 {
        let records = (0..10u32)
            .flat_map(|step| (0..KEYS).map(move |key| (key, round * 10 + step)))
            .map(|(key, n)| record(&topic, key.to_be_bytes().to_vec(), n.to_be_bytes().to_vec()))
            .collect();
        append(&*journal, records).await;
    }
    let mut seen: BTreeMap<Vec<u8>, Vec<u32>> = BTreeMap::new();
    for partition in 0..PARTITIONS {
        let stored = read_all(&*journal, &topic, partition, 0, ReadLimit::default()).await;
        assert!(!stored.is_empty(), "forty keys spread over four partitions");
        for record in stored {
            assert_eq!(partition_of(&record.key, PARTITIONS), partition);
            let n = record.value[..].try_into().expect("four bytes");
            seen.entry(record.key.to_vec())
                .or_default()
                .push(u32::from_be_bytes(n));
        }
    }
    assert_eq!(seen.len(), KEYS as usize);
    for (key, order) in seen {
        assert_eq!(order, (0..30).collect::<Vec<_>>(), "key {key:?}");
    }
}

pub(super) async fn concurrent(backend: &dyn Backend) {
    const PARTITIONS: u32 = 3;
    const TASKS: u32 = 12;
    const CALLS: u32 = 15;
    let topic = backend.topic("concurrent");
    let journal = backend.open(&[(topic.clone(), PARTITIONS)]).await;
    let journal = std::sync::Arc::<dyn crate::Journal>::from(journal);
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (journal, topic) = (journal.clone(), topic.clone());
            tokio::spawn(async move {
                let mut placed = Vec::new();
                for call in 0..CALLS {
                    // One record under the task's own key, some under keys that all tasks share.
                    let mut records =
                        vec![record(&topic, format!("own-{task}"), format!("{call}"))];
                    for shared in 0..call % 4 {
                        let value = format!("{task} {call} {shared}");
                        records.push(record(&topic, format!("shared-{shared}"), value));
                    }
                    let values: Vec<_> = records.iter().map(|r| r.value.clone()).collect();
                    let positions = append(&*journal, records).await;
                    placed.extend(positions.into_iter().zip(values));
                }
                placed
            })
        })
        .collect();
    let mut placed = BTreeMap::new();
    for task in tasks {
        for (position, value) in task.await.expect("the task does not panic") {
            let other = placed.insert(position, value);
            assert!(other.is_none(), "a position is given once");
        }
    }
    let mut stored = BTreeMap::new();
    let mut own: BTreeMap<Vec<u8>, Vec<u32>> = BTreeMap::new();
    for partition in 0..PARTITIONS {
        for found in read_all(&*journal, &topic, partition, 0, ReadLimit::default()).await {
            if found.key.starts_with(b"own-") {
                let text = std::str::from_utf8(&found.value).expect("a number");
                own.entry(found.key.to_vec())
                    .or_default()
                    .push(text.parse().expect("a number"));
            }
            stored.insert(found.position, found.value);
        }
    }
    // What was acknowledged stands where the answer said, and there is nothing else (I3).
    assert_eq!(stored, placed);
    let values: BTreeSet<_> = stored.keys().collect();
    assert_eq!(values.len(), placed.len());
    assert_eq!(own.len(), TASKS as usize);
    for (key, order) in own {
        assert_eq!(order, (0..CALLS).collect::<Vec<_>>(), "key {key:?}");
    }
}
