//! The journal, watched: how long appends take, how they end, and which trace they belong to. Whatever it is asked, it
//! asks the journal it wraps, and answers the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use assent_journal::{Batch, Checkpoint, Error, Journal, Position, ReadLimit, Record, Topic};
use async_trait::async_trait;
use tracing::Instrument as _;

use crate::metrics;
use crate::tracing_context as context;

/// A journal that is watched.
pub struct Observed {
    journal: Arc<dyn Journal>,
}

impl Observed {
    /// Watches this journal.
    pub fn of(journal: Arc<dyn Journal>) -> Self {
        Self { journal }
    }
}

#[async_trait]
impl Journal for Observed {
    fn partitions(&self, topic: &Topic) -> Result<u32, Error> {
        self.journal.partitions(topic)
    }

    async fn append(&self, mut records: Vec<Record>) -> Result<Vec<Position>, Error> {
        let span = tracing::info_span!(
            "journal append",
            otel.kind = "producer",
            records = records.len(),
        );
        if let Some(header) = context::header_of(&span) {
            for record in &mut records {
                record.headers.push(header.clone());
            }
        }
        let by_topic = counted(&records);
        let begin = Instant::now();
        let outcome = self.journal.append(records).instrument(span).await;
        metrics::appended(begin.elapsed(), &by_topic, &outcome);
        outcome
    }

    async fn read(
        &self,
        topic: &Topic,
        partition: u32,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Batch, Error> {
        let batch = self.journal.read(topic, partition, from, limit).await?;
        context::join(&batch.records);
        Ok(batch)
    }

    async fn end_positions(&self, topics: &[Topic]) -> Result<Checkpoint, Error> {
        self.journal.end_positions(topics).await
    }

    async fn start_positions(&self, topics: &[Topic]) -> Result<Checkpoint, Error> {
        self.journal.start_positions(topics).await
    }

    async fn changed(&self, seen: &Checkpoint, timeout: Duration) -> Result<(), Error> {
        self.journal.changed(seen, timeout).await
    }
}

fn counted(records: &[Record]) -> BTreeMap<Topic, u64> {
    let mut by_topic = BTreeMap::new();
    for record in records {
        *by_topic.entry(record.topic.clone()).or_default() += 1;
    }
    by_topic
}
