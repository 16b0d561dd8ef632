//! A journal in memory that lets a test decide what happens between two calls.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::sync::Mutex;
use std::time::Duration;

use assent_journal::{
    Batch, Checkpoint, Error, ErrorKind, Journal, Position, ReadLimit, Record, Stored, Topic,
};
use async_trait::async_trait;

/// What happens to the next append.
pub enum Next {
    /// These records are written before it.
    After(Vec<Record>),
    /// Its records and these are written in turn, these last.
    Between(Vec<Record>),
    /// Only so many of its records are written, and the answer is lost.
    Breaks(usize),
}

pub struct Memory {
    topic: Topic,
    partitions: u32,
    log: Mutex<Vec<Stored>>,
    next: Mutex<Option<Next>>,
    /// How many records one read returns.
    pub batch: usize,
}

impl Memory {
    pub fn new(topic: Topic) -> Self {
        let (log, next) = (Mutex::default(), Mutex::default());
        Self {
            topic,
            partitions: 1,
            log,
            next,
            batch: 3,
        }
    }

    pub fn with_partitions(topic: Topic, partitions: u32) -> Self {
        Self {
            partitions,
            ..Self::new(topic)
        }
    }

    pub fn log(&self) -> Vec<Stored> {
        self.log.lock().unwrap().clone()
    }

    pub fn next(&self, next: Next) {
        *self.next.lock().unwrap() = Some(next);
    }

    pub fn write(&self, records: Vec<Record>) -> Vec<Position> {
        let mut log = self.log.lock().unwrap();
        let mut positions = Vec::new();
        for record in records {
            let offset = u64::try_from(log.len()).unwrap();
            let position = Position {
                topic: record.topic,
                partition: 0,
                offset,
            };
            positions.push(position.clone());
            log.push(Stored {
                position,
                key: record.key,
                value: record.value,
                headers: record.headers,
            });
        }
        positions
    }

    fn end(&self) -> u64 {
        u64::try_from(self.log.lock().unwrap().len()).unwrap()
    }
}

#[async_trait]
impl Journal for Memory {
    fn partitions(&self, _: &Topic) -> Result<u32, Error> {
        Ok(self.partitions)
    }

    async fn append(&self, mut records: Vec<Record>) -> Result<Vec<Position>, Error> {
        let next = self.next.lock().unwrap().take();
        match next {
            None => Ok(self.write(records)),
            Some(Next::After(others)) => {
                self.write(others);
                Ok(self.write(records))
            }
            Some(Next::Between(others)) => {
                let mut positions = Vec::new();
                let mut others = others.into_iter();
                for record in records {
                    positions.extend(self.write(vec![record]));
                    self.write(others.by_ref().take(1).collect());
                }
                self.write(others.collect());
                Ok(positions)
            }
            Some(Next::Breaks(kept)) => {
                records.truncate(kept);
                self.write(records);
                Err(Error::new(ErrorKind::Unavailable, "the answer was lost"))
            }
        }
    }

    async fn read(&self, _: &Topic, _: u32, from: u64, _: ReadLimit) -> Result<Batch, Error> {
        let log = self.log.lock().unwrap();
        let start = usize::try_from(from).unwrap();
        let records: Vec<Stored> = log.iter().skip(start).take(self.batch).cloned().collect();
        let next = from + u64::try_from(records.len()).unwrap();
        let end = u64::try_from(log.len()).unwrap();
        Ok(Batch { records, next, end })
    }

    async fn end_positions(&self, _: &[Topic]) -> Result<Checkpoint, Error> {
        let mut ends = Checkpoint::new();
        ends.set(&self.topic, 0, self.end());
        Ok(ends)
    }

    async fn changed(&self, _: &Checkpoint, _: Duration) -> Result<(), Error> {
        Ok(())
    }
}
