//! What an append takes, keeps and refuses.

use std::time::Duration;

use bytes::Bytes;

use super::{Backend, append, assert_kind, read_all, record};
use crate::{Checkpoint, ErrorKind, MAX_RECORD_BYTES, ReadLimit, Record};

pub(super) async fn records_come_back(backend: &dyn Backend) {
    let topic = backend.topic("back");
    let journal = backend.open(&[(topic.clone(), 1)]).await;
    assert_eq!(journal.partitions(&topic).expect("the topic is there"), 1);
    let all_bytes: Vec<u8> = (0..=255).collect();
    let header = |name: &str, value: &'static [u8]| (name.to_owned(), Bytes::from_static(value));
    let records = vec![
        record(&topic, "key", "value"),
        record(&topic, "", ""),
        record(&topic, all_bytes.clone(), all_bytes),
        Record {
            headers: vec![
                header("b", b"1"),
                header("a", b""),
                header("b", b"\xff\x00"),
                header("ä", b"2"),
            ],
            ..record(&topic, "key", "with headers")
        },
    ];
    let positions = append(&*journal, records.clone()).await;
    let stored = read_all(&*journal, &topic, 0, 0, ReadLimit::default()).await;
    assert_eq!(stored.len(), records.len());
    for (at, (found, wanted)) in stored.iter().zip(&records).enumerate() {
        assert_eq!(found.position.offset, at as u64);
        assert_eq!(found.position, positions[at]);
        assert_eq!(found.key, wanted.key);
        assert_eq!(found.value, wanted.value);
        assert_eq!(found.headers, wanted.headers);
    }
    let more = append(&*journal, vec![record(&topic, "key", "later")]).await;
    assert_eq!(more[0].offset, records.len() as u64);
}

pub(super) async fn empty_append(backend: &dyn Backend) {
    let topic = backend.topic("empty");
    let journal = backend.open(&[(topic.clone(), 2)]).await;
    assert!(append(&*journal, Vec::new()).await.is_empty());
    let ends = journal
        .end_positions(std::slice::from_ref(&topic))
        .await
        .expect("ends can be asked");
    assert_eq!(ends, Checkpoint::new());
}

pub(super) async fn large_records(backend: &dyn Backend) {
    let topic = backend.topic("large");
    let journal = backend.open(&[(topic.clone(), 1)]).await;
    // Bytes that do not compress, so that what is stored is large as well.
    let mut state = 7u32;
    let noise: Vec<u8> = (0..MAX_RECORD_BYTES - 3)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    let largest = record(&topic, "key", noise.clone());
    assert_eq!(largest.weight(), MAX_RECORD_BYTES);
    let beyond = record(&topic, "key4", noise);

    // Refused as a whole: what stands beside a record that is too large is not written either.
    let refused = journal
        .append(vec![record(&topic, "key", "small"), beyond])
        .await;
    assert_kind(refused, ErrorKind::Invalid);

    let records = vec![
        largest.clone(),
        record(&topic, "key", "small"),
        largest.clone(),
        largest,
    ];
    append(&*journal, records.clone()).await;
    // A limit far below one record still makes progress.
    let tight = ReadLimit {
        records: 10,
        bytes: 10,
    };
    for limit in [ReadLimit::default(), tight] {
        let stored = read_all(&*journal, &topic, 0, 0, limit).await;
        assert_eq!(stored.len(), records.len());
        for (found, wanted) in stored.iter().zip(&records) {
            // Not `assert_eq`, which would print a megabyte.
            assert!(found.value == wanted.value, "{}", found.position);
        }
    }
}

pub(super) async fn unknown_topics(backend: &dyn Backend) {
    let topic = backend.topic("known");
    let unknown = backend.topic("unknown");
    let journal = backend.open(&[(topic.clone(), 2)]).await;
    assert_kind(journal.partitions(&unknown), ErrorKind::NotFound);
    let mixed = vec![record(&topic, "key", "value"), record(&unknown, "key", "v")];
    assert_kind(journal.append(mixed).await, ErrorKind::NotFound);
    let limit = ReadLimit::default();
    assert_kind(
        journal.read(&unknown, 0, 0, limit).await,
        ErrorKind::NotFound,
    );
    assert_kind(journal.read(&topic, 2, 0, limit).await, ErrorKind::NotFound);
    let both = [topic.clone(), unknown.clone()];
    assert_kind(journal.end_positions(&both).await, ErrorKind::NotFound);
    assert_kind(journal.start_positions(&both).await, ErrorKind::NotFound);
    for (topic, partition) in [(&unknown, 0), (&topic, 2)] {
        let mut seen = Checkpoint::new();
        seen.set(topic, partition, 0);
        let waited = journal.changed(&seen, Duration::from_secs(60)).await;
        assert_kind(waited, ErrorKind::NotFound);
    }
    // Nothing of the mixed append was written.
    let ends = journal
        .end_positions(&[topic])
        .await
        .expect("ends can be asked");
    assert_eq!(ends, Checkpoint::new());
}
