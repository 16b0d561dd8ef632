//! The records of one partition that were fetched and not yet asked for. Pure: no Kafka in here.

use std::collections::VecDeque;

use assent_journal::{ReadLimit, Stored};

/// A gapless stretch of one partition: `start..next`, of which the front was handed out.
pub(super) struct Buffer {
    start: u64,
    next: u64,
    records: VecDeque<Stored>,
    bytes: usize,
}

/// What became of a fetched record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Accepted {
    /// It was the next one.
    Taken,
    /// It came before and is known already.
    Old,
    /// Records before it are missing.
    Gap,
}

impl Buffer {
    pub(super) fn at(from: u64) -> Self {
        Self {
            start: from,
            next: from,
            records: VecDeque::new(),
            bytes: 0,
        }
    }

    /// The position of the record to come next.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// What the records weigh.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn accept(&mut self, record: Stored) -> Accepted {
        match record.position.offset.cmp(&self.next) {
            std::cmp::Ordering::Less => Accepted::Old,
            std::cmp::Ordering::Greater => Accepted::Gap,
            std::cmp::Ordering::Equal => {
                self.next += 1;
                self.bytes += record.weight();
                self.records.push_back(record);
                Accepted::Taken
            }
        }
    }

    /// Whether a reader at `from` can be served from here, now or when more has come.
    pub(super) fn leads_to(&self, from: u64) -> bool {
        (self.start..=self.next).contains(&from)
    }

    /// Whether there is as much from `from` on as a reader wants: up to its limit, or to `end`.
    /// Records before `from` are dropped. Call only when it [`leads_to`](Self::leads_to) `from`.
    pub(super) fn is_enough(&mut self, from: u64, end: u64, limit: ReadLimit) -> bool {
        while self.start < from {
            self.drop_front();
        }
        self.next >= end
            || self.records.len() >= limit.records.max(1)
            || (self.bytes >= limit.bytes && !self.records.is_empty())
    }

    /// Hands out the front, within the limit and before `end`.
    pub(super) fn take(&mut self, end: u64, limit: ReadLimit) -> Vec<Stored> {
        let mut taken = Vec::new();
        let mut bytes = 0;
        while let Some(record) = self.records.front() {
            let weight = record.weight();
            if self.start >= end || !limit.admits(taken.len(), bytes, weight) {
                break;
            }
            bytes += weight;
            taken.extend(self.drop_front());
        }
        taken
    }

    fn drop_front(&mut self) -> Option<Stored> {
        let record = self.records.pop_front()?;
        self.start = record.position.offset + 1;
        self.bytes -= record.weight();
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assent_journal::Position;

    fn record(offset: u64) -> Stored {
        Stored {
            position: Position {
                topic: "t".into(),
                partition: 0,
                offset,
            },
            key: b"0123456789".as_slice().into(),
            value: Default::default(),
            headers: vec![],
        }
    }

    fn offsets(taken: &[Stored]) -> Vec<u64> {
        taken.iter().map(|r| r.position.offset).collect()
    }

    const ALL: ReadLimit = ReadLimit {
        records: 1_000,
        bytes: 1_000_000,
    };

    #[test]
    fn only_the_next_record_is_taken() {
        let mut buffer = Buffer::at(5);
        assert_eq!(buffer.accept(record(6)), Accepted::Gap);
        assert_eq!(buffer.accept(record(4)), Accepted::Old);
        assert_eq!(buffer.accept(record(5)), Accepted::Taken);
        assert_eq!(buffer.accept(record(5)), Accepted::Old);
        assert_eq!(buffer.accept(record(6)), Accepted::Taken);
        assert_eq!((buffer.next(), buffer.bytes()), (7, 20));
    }

    #[test]
    fn a_reader_is_served_up_to_its_limit_or_the_end() {
        let mut buffer = Buffer::at(0);
        for offset in 0..10 {
            buffer.accept(record(offset));
        }
        assert!(!buffer.is_enough(0, 11, ALL));
        assert!(buffer.is_enough(0, 10, ALL));
        let three = ReadLimit {
            records: 3,
            bytes: 1_000,
        };
        assert!(buffer.is_enough(0, 99, three));
        assert_eq!(offsets(&buffer.take(99, three)), [0, 1, 2]);
        let bytes = ReadLimit {
            records: 100,
            bytes: 25,
        };
        // Reading on from a later place drops what lies before it.
        assert!(buffer.is_enough(4, 99, bytes));
        assert!(!buffer.leads_to(3));
        assert_eq!(offsets(&buffer.take(99, bytes)), [4, 5]);
        assert_eq!(offsets(&buffer.take(8, ALL)), [6, 7]);
        assert!(buffer.leads_to(10) && !buffer.leads_to(11));
        // At the front of what is to come there is nothing yet.
        assert!(!buffer.is_enough(10, 11, ALL));
        assert!(buffer.take(11, ALL).is_empty());
        assert_eq!(buffer.bytes(), 0);
    }

    #[test]
    fn zero_limits_still_give_one_record() {
        let none = ReadLimit {
            records: 0,
            bytes: 0,
        };
        let mut buffer = Buffer::at(3);
        assert!(!buffer.is_enough(3, 9, none));
        buffer.accept(record(3));
        buffer.accept(record(4));
        assert!(buffer.is_enough(3, 9, none));
        assert_eq!(offsets(&buffer.take(9, none)), [3]);
    }
}
