//! A journal in memory whose ends can be hidden, so that a test decides how the log is cut into runs.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use assent_journal::{
    Batch, Checkpoint, Error, ErrorKind, Journal, Position, ReadLimit, Record, Stored, Topic,
    partition_of,
};
use async_trait::async_trait;

pub const PARTITIONS: u32 = 3;

#[derive(Default)]
pub struct MemoryJournal {
    records: Mutex<BTreeMap<(Topic, u32), Vec<Stored>>>,
    /// What readers may see; `None` is everything.
    visible: Mutex<Option<Checkpoint>>,
    /// How many partitions a topic claims to have, where that is not the truth.
    claims: Mutex<BTreeMap<String, u32>>,
}

impl MemoryJournal {
    pub fn show(&self, visible: Option<Checkpoint>) {
        *self.visible.lock().unwrap() = visible;
    }

    pub fn claim_partitions(&self, topic: &str, partitions: u32) {
        let mut claims = self.claims.lock().unwrap();
        claims.insert(topic.to_owned(), partitions);
    }

    pub fn put(&self, record: Record) -> Position {
        let partition = partition_of(&record.key, PARTITIONS);
        let mut records = self.records.lock().unwrap();
        let log = records
            .entry((record.topic.clone(), partition))
            .or_default();
        let position = Position {
            topic: record.topic,
            partition,
            offset: log.len() as u64,
        };
        log.push(Stored {
            position: position.clone(),
            key: record.key,
            value: record.value,
            headers: record.headers,
        });
        position
    }

    fn end(&self, topic: &Topic, partition: u32) -> u64 {
        let records = self.records.lock().unwrap();
        let all = records
            .get(&(topic.clone(), partition))
            .map_or(0, |log| log.len() as u64);
        match &*self.visible.lock().unwrap() {
            Some(visible) => visible.get(topic, partition).min(all),
            None => all,
        }
    }

    pub fn values(&self, topic: &Topic) -> Vec<bytes::Bytes> {
        let records = self.records.lock().unwrap();
        let logs = records.iter().filter(|((of, _), _)| of == topic);
        logs.flat_map(|(_, log)| log.iter().map(|record| record.value.clone()))
            .collect()
    }

    pub fn ends(&self, topics: &[Topic]) -> Checkpoint {
        let mut ends = Checkpoint::new();
        for topic in topics {
            for partition in 0..PARTITIONS {
                ends.set(topic, partition, self.end(topic, partition));
            }
        }
        ends
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    fn partitions(&self, topic: &Topic) -> Result<u32, Error> {
        let claims = self.claims.lock().unwrap();
        Ok(claims.get(topic.as_str()).copied().unwrap_or(PARTITIONS))
    }

    async fn append(&self, records: Vec<Record>) -> Result<Vec<Position>, Error> {
        Ok(records.into_iter().map(|record| self.put(record)).collect())
    }

    async fn read(
        &self,
        topic: &Topic,
        partition: u32,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Batch, Error> {
        let end = self.end(topic, partition);
        if from > end {
            return Err(Error::new(ErrorKind::Conflict, "behind the end"));
        }
        let records = self.records.lock().unwrap();
        let log = records.get(&(topic.clone(), partition));
        let read: Vec<Stored> = log
            .into_iter()
            .flatten()
            .take(end as usize)
            .skip(from as usize)
            .take(limit.records)
            .cloned()
            .collect();
        Ok(Batch {
            next: from + read.len() as u64,
            records: read,
            end,
        })
    }

    async fn end_positions(&self, topics: &[Topic]) -> Result<Checkpoint, Error> {
        Ok(self.ends(topics))
    }

    async fn changed(&self, _seen: &Checkpoint, timeout: Duration) -> Result<(), Error> {
        tokio::time::sleep(timeout.min(Duration::from_millis(1))).await;
        Ok(())
    }
}
