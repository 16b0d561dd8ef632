//! Which topics an open journal holds, how they are split, and where each partition ends.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Error, ErrorKind, Position, Topic};

/// One partition of an open journal.
pub(super) struct Slot {
    pub(super) topic: Topic,
    /// The topic's number in stored keys.
    pub(super) id: u16,
    pub(super) partition: u32,
    /// The position the next record takes: raised only after the record before it is durable.
    end: AtomicU64,
    /// Why nothing may be appended, when what is stored contradicts itself.
    pub(super) damage: Option<Error>,
}

impl Slot {
    pub(super) fn new(topic: Topic, id: u16, partition: u32, end: u64) -> Self {
        Self {
            topic,
            id,
            partition,
            end: AtomicU64::new(end),
            damage: None,
        }
    }

    pub(super) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    pub(super) fn raise_end(&self, end: u64) {
        self.end.store(end, Ordering::Release);
    }

    pub(super) fn position(&self, offset: u64) -> Position {
        Position {
            topic: self.topic.clone(),
            partition: self.partition,
            offset,
        }
    }

    /// The error for stored bytes that cannot be trusted.
    pub(super) fn corrupt(&self, offset: u64, why: &str) -> Error {
        Error::new(
            ErrorKind::Corrupt,
            format!(
                "{}: {why}; restore the journal from a backup",
                self.position(offset)
            ),
        )
    }
}

/// All partitions of an open journal; a slot's number is its place in `slots`.
pub(super) struct Layout {
    topics: HashMap<Topic, TopicEntry>,
    slots: Vec<Slot>,
}

struct TopicEntry {
    partitions: u32,
    first_slot: usize,
}

impl Layout {
    /// `topics` are name, number and partition count; `end` tells where a partition ends.
    pub(super) fn new(
        topics: Vec<(Topic, u16, u32)>,
        mut end: impl FnMut(u16, u32) -> Result<u64, Error>,
    ) -> Result<Self, Error> {
        let mut layout = Self {
            topics: HashMap::new(),
            slots: Vec::new(),
        };
        for (topic, id, partitions) in topics {
            let first_slot = layout.slots.len();
            for partition in 0..partitions {
                let end = end(id, partition)?;
                layout
                    .slots
                    .push(Slot::new(topic.clone(), id, partition, end));
            }
            let entry = TopicEntry {
                partitions,
                first_slot,
            };
            layout.topics.insert(topic, entry);
        }
        Ok(layout)
    }

    pub(super) fn partitions(&self, topic: &Topic) -> Result<u32, Error> {
        Ok(self.entry(topic)?.partitions)
    }

    pub(super) fn slot(&self, number: usize) -> &Slot {
        &self.slots[number]
    }

    pub(super) fn slots_mut(&mut self) -> &mut [Slot] {
        &mut self.slots
    }

    /// The number of a partition's slot.
    pub(super) fn find(&self, topic: &Topic, partition: u32) -> Result<usize, Error> {
        let entry = self.entry(topic)?;
        if partition >= entry.partitions {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!(
                    "{topic} has no partition {partition}, only 0..{}",
                    entry.partitions
                ),
            ));
        }
        Ok(entry.first_slot + partition as usize)
    }

    /// The slots of a topic.
    pub(super) fn of(&self, topic: &Topic) -> Result<&[Slot], Error> {
        let entry = self.entry(topic)?;
        let end = entry.first_slot + entry.partitions as usize;
        Ok(&self.slots[entry.first_slot..end])
    }

    fn entry(&self, topic: &Topic) -> Result<&TopicEntry, Error> {
        self.topics.get(topic).ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("the journal holds no topic {topic}; name it in the configuration"),
            )
        })
    }
}
