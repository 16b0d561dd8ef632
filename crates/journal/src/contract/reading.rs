//! Reading from any position, within limits, and across a restart.

use super::{Backend, append, assert_kind, read_all, record};
use crate::{Checkpoint, Delta, ErrorKind, ReadLimit};

pub(super) async fn any_position(backend: &dyn Backend) {
    const COUNT: u64 = 60;
    let topic = backend.topic("any");
    let journal = backend.open(&[(topic.clone(), 1)]).await;
    // Calls of different sizes, so that positions fall on and between the edges of stored batches.
    let mut next = 0;
    for size in [1, 2, 3, 14, 30, 10] {
        let records = (next..next + size)
            .map(|n| record(&topic, "key", format!("{n}")))
            .collect();
        append(&*journal, records).await;
        next += size;
    }
    assert_eq!(next, COUNT);
    for from in 0..=COUNT {
        let batch = journal
            .read(&topic, 0, from, ReadLimit::default())
            .await
            .expect("every position up to the end can be read from");
        assert_eq!(batch.end, COUNT);
        if from == COUNT {
            assert!(batch.records.is_empty());
            assert_eq!(batch.next, COUNT);
            continue;
        }
        let first = &batch.records[0];
        assert_eq!(first.position.offset, from);
        let found = read_all(&*journal, &topic, 0, from, ReadLimit::default()).await;
        let values: Vec<_> = found.iter().map(|r| r.value.to_vec()).collect();
        let wanted: Vec<_> = (from..COUNT).map(|n| n.to_string().into_bytes()).collect();
        assert_eq!(values, wanted);
    }
    // Behind the end means that the log is not the one the position was taken from.
    let behind = journal
        .read(&topic, 0, COUNT + 1, ReadLimit::default())
        .await;
    assert_kind(behind, ErrorKind::Conflict);
}

pub(super) async fn limits(backend: &dyn Backend) {
    const COUNT: usize = 2_000;
    let topic = backend.topic("limits");
    let journal = backend.open(&[(topic.clone(), 1)]).await;
    let records = (0..COUNT)
        .map(|n| record(&topic, "key", format!("{n:0200}")))
        .collect();
    append(&*journal, records).await;
    let weight = 203;
    for limit in [
        ReadLimit {
            records: 1,
            bytes: usize::MAX,
        },
        ReadLimit {
            records: 0,
            bytes: 0,
        },
        ReadLimit {
            records: 7,
            bytes: usize::MAX,
        },
        ReadLimit {
            records: usize::MAX,
            bytes: weight * 5 + 1,
        },
        ReadLimit {
            records: usize::MAX,
            bytes: 1,
        },
    ] {
        let batch = journal
            .read(&topic, 0, 3, limit)
            .await
            .expect("a read within the partition succeeds");
        let most = limit.records.min(limit.bytes / weight).max(1);
        assert!((1..=most).contains(&batch.records.len()), "{limit:?}");
        assert_eq!(batch.next, 3 + batch.records.len() as u64);
        assert_eq!(batch.end, COUNT as u64);
    }
    // Step by step one sees what one sees at once.
    let at_once = read_all(&*journal, &topic, 0, 0, ReadLimit::default()).await;
    assert_eq!(at_once.len(), COUNT);
    let steps = ReadLimit {
        records: 333,
        bytes: weight * 250,
    };
    let stepwise = read_all(&*journal, &topic, 0, 0, steps).await;
    assert_eq!(stepwise, at_once);
}

pub(super) async fn resume(backend: &dyn Backend) {
    const PARTITIONS: u32 = 2;
    let topic = backend.topic("resume");
    let mut checkpoint = Checkpoint::new();
    let mut seen = Vec::new();
    let mut written = Vec::new();
    let limit = ReadLimit {
        records: 9,
        bytes: 1 << 20,
    };
    // Each round is a restart: some more is written, part of what is there is read on.
    for round in 0..4 {
        let journal = backend.open(&[(topic.clone(), PARTITIONS)]).await;
        let values: Vec<String> = (0..25).map(|n| format!("{round} {n}")).collect();
        let records = values
            .iter()
            .map(|value| record(&topic, value.clone(), value.clone()))
            .collect();
        append(&*journal, records).await;
        written.extend(values.into_iter().map(String::into_bytes));
        for partition in 0..PARTITIONS {
            // The last round reads what is left, the others a step.
            loop {
                let from = checkpoint.get(&topic, partition);
                let batch = journal
                    .read(&topic, partition, from, limit)
                    .await
                    .expect("a read within the partition succeeds");
                let step = Delta::of(&topic, partition, from, batch.next)
                    .expect("a read does not run backwards");
                checkpoint
                    .advance(&step)
                    .expect("the read began at the checkpoint");
                let done = batch.next == batch.end;
                seen.extend(batch.records.into_iter().map(|r| r.value.to_vec()));
                if done || round < 3 {
                    break;
                }
            }
        }
        if round == 3 {
            let ends = journal
                .end_positions(std::slice::from_ref(&topic))
                .await
                .expect("ends can be asked");
            assert_eq!(ends, checkpoint);
        }
    }
    seen.sort();
    written.sort();
    assert_eq!(seen, written, "every record once, none twice");
}
