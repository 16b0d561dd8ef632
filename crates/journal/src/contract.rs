//! The contract of [`Journal`], as a suite of cases that every implementation passes.
//!
//! An implementation's test gives a [`Backend`] and calls [`all`]. A case panics where the contract is
//! broken; the last case printed is the one before it. Timing is asserted only where the trait speaks of time.

mod ends;
mod order;
mod reading;
mod writing;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Error, ErrorKind, Journal, Position, ReadLimit, Record, Stored, Topic};

/// What stores the records of one case.
#[async_trait]
pub trait Backend: Send + Sync {
    /// A topic of this name that no other case and no earlier run has used.
    fn topic(&self, name: &str) -> Topic;

    /// Opens the journal with these topics, and creates those that are not there yet. A case drops a
    /// journal before it opens the next, which then holds what the first one stored.
    async fn open(&self, topics: &[(Topic, u32)]) -> Box<dyn Journal>;
}

type Run<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A case: its name and what it does.
type Case = (&'static str, for<'a> fn(&'a dyn Backend) -> Run<'a>);

/// Every case of the suite.
const CASES: &[Case] = &[
    ("records come back as they were", |b| {
        Box::pin(writing::records_come_back(b))
    }),
    ("an empty append does nothing", |b| {
        Box::pin(writing::empty_append(b))
    }),
    ("large records", |b| Box::pin(writing::large_records(b))),
    ("unknown topics and partitions", |b| {
        Box::pin(writing::unknown_topics(b))
    }),
    ("records of one key keep their order", |b| {
        Box::pin(order::per_key(b))
    }),
    ("concurrent appends all stand once", |b| {
        Box::pin(order::concurrent(b))
    }),
    ("reading from any position", |b| {
        Box::pin(reading::any_position(b))
    }),
    ("reading within limits", |b| Box::pin(reading::limits(b))),
    ("resuming from a checkpoint", |b| {
        Box::pin(reading::resume(b))
    }),
    ("end positions", |b| Box::pin(ends::end_positions(b))),
    ("waiting for change", |b| Box::pin(ends::changed(b))),
];

/// Far more than a case takes; what is not done by then never will be.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs every case, each on a backend of its own.
pub async fn all<B: Backend>(mut backend: impl FnMut() -> B) {
    for (name, case) in CASES {
        let begin = std::time::Instant::now();
        tokio::time::timeout(PATIENCE, case(&backend()))
            .await
            .unwrap_or_else(|_| panic!("the case `{name}` hangs"));
        println!("contract: {name}, {} ms", begin.elapsed().as_millis());
    }
}

fn record(topic: &Topic, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Record {
    Record {
        topic: topic.clone(),
        key: key.into(),
        value: value.into(),
        headers: Vec::new(),
    }
}

/// Everything from `from` to the end, read in steps of `limit`.
async fn read_all(
    journal: &dyn Journal,
    topic: &Topic,
    partition: u32,
    from: u64,
    limit: ReadLimit,
) -> Vec<Stored> {
    let mut records = Vec::new();
    let mut at = from;
    loop {
        let batch = journal
            .read(topic, partition, at, limit)
            .await
            .expect("a read within the partition succeeds");
        assert!(batch.next >= at && batch.end >= batch.next, "{batch:?}");
        assert!(
            batch.next > at || batch.next == batch.end,
            "a read before the end makes progress"
        );
        if batch.records.is_empty() && batch.next == batch.end {
            return records;
        }
        for stored in &batch.records {
            assert_eq!(
                (&stored.position.topic, stored.position.partition),
                (topic, partition)
            );
            assert!(stored.position.offset >= at, "records come in order");
            at = stored.position.offset + 1;
        }
        assert!(batch.next >= at, "`next` lies behind the last record");
        at = batch.next;
        records.extend(batch.records);
    }
}

async fn append(journal: &dyn Journal, records: Vec<Record>) -> Vec<Position> {
    let count = records.len();
    let positions = journal.append(records).await.expect("the append succeeds");
    assert_eq!(positions.len(), count, "one position per record");
    positions
}

fn assert_kind<T: std::fmt::Debug>(result: Result<T, Error>, kind: ErrorKind) {
    match result {
        Ok(value) => panic!("expected an error of kind {kind}, got {value:?}"),
        Err(error) => assert_eq!(error.kind(), kind, "{error}"),
    }
}
