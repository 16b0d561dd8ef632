//! Topics, positions, and records before and after they have one.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::{Error, ErrorKind};

/// The most that key, value and headers of one record may weigh together, in bytes: what a Kafka
/// broker takes with its default settings, framing included.
pub const MAX_RECORD_BYTES: usize = 1_000_000;

/// The most headers one record may carry.
const MAX_HEADERS: usize = 1_000;

/// The name of a topic.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Arc<str>);

impl Topic {
    /// A topic of a name known to be good, such as a constant. A journal refuses to *create* a topic
    /// whose name [`Topic::parse`] would refuse.
    pub fn new(name: impl AsRef<str>) -> Self {
        Self(name.as_ref().into())
    }

    /// A topic of a name that came from outside.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] unless the name has 1 to 249 of the characters that Kafka allows: ASCII
    /// letters and digits, `.`, `_`, `-`, and is neither `.` nor `..`.
    pub fn parse(name: &str) -> Result<Self, Error> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if name.is_empty() || name.len() > 249 || name == "." || name == ".." {
            return Err(Error::new(
                ErrorKind::Invalid,
                "a topic's name has 1 to 249 characters and is not `.` or `..`",
            ));
        }
        if !name.bytes().all(allowed) {
            return Err(Error::new(
                ErrorKind::Invalid,
                "a topic's name consists of ASCII letters, digits, `.`, `_` and `-`",
            ));
        }
        Ok(Self::new(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Topic {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The place of one record.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// The topic.
    pub topic: Topic,
    /// The partition, counted from zero.
    pub partition: u32,
    /// The record's number within the partition, counted from zero.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

/// A record to be appended.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it goes.
    pub topic: Topic,
    /// What decides the partition and, with it, the order: an opaque subject id, never personal data.
    pub key: Bytes,
    /// The content.
    pub value: Bytes,
    /// Named values beside the content, in order. Names may repeat.
    pub headers: Vec<(String, Bytes)>,
}

impl Record {
    /// What the record weighs against [`MAX_RECORD_BYTES`] and [`ReadLimit::bytes`].
    pub fn weight(&self) -> usize {
        weight(&self.key, &self.value, &self.headers)
    }

    /// Refuses a record that no journal could take.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when it weighs more than [`MAX_RECORD_BYTES`] or has more than a thousand
    /// headers.
    pub fn check(&self) -> Result<(), Error> {
        if self.headers.len() > MAX_HEADERS {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "a record for {} has {} headers; the most is {MAX_HEADERS}",
                    self.topic,
                    self.headers.len()
                ),
            ));
        }
        let weight = self.weight();
        if weight > MAX_RECORD_BYTES {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "a record for {} weighs {weight} bytes with key and headers; the most is {MAX_RECORD_BYTES}",
                    self.topic
                ),
            ));
        }
        Ok(())
    }
}

// Keys, values and headers may be personal data: `Debug` shows their sizes only.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("topic", &self.topic)
            .field("key_bytes", &self.key.len())
            .field("value_bytes", &self.value.len())
            .field("headers", &self.headers.len())
            .finish()
    }
}

/// A record as it stands in the journal.
///
/// The bytes may be slices of one larger buffer; copy what is to be kept for long.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its place.
    pub position: Position,
    /// The key it was appended with.
    pub key: Bytes,
    /// The content.
    pub value: Bytes,
    /// Named values beside the content, in order.
    pub headers: Vec<(String, Bytes)>,
}

impl Stored {
    /// What the record weighs against [`ReadLimit::bytes`].
    pub fn weight(&self) -> usize {
        weight(&self.key, &self.value, &self.headers)
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored")
            .field("position", &self.position)
            .field("key_bytes", &self.key.len())
            .field("value_bytes", &self.value.len())
            .field("headers", &self.headers.len())
            .finish()
    }
}

fn weight(key: &Bytes, value: &Bytes, headers: &[(String, Bytes)]) -> usize {
    let headers: usize = headers.iter().map(|(n, v)| n.len() + v.len()).sum();
    key.len() + value.len() + headers
}

/// How much one read may return. Progress is never denied: the first record comes even when it weighs
/// more than `bytes`, and zero counts as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimit {
    /// At most this many records.
    pub records: usize,
    /// At most this many bytes of keys, values and headers.
    pub bytes: usize,
}

impl Default for ReadLimit {
    /// Ten thousand records, eight mebibytes.
    fn default() -> Self {
        Self {
            records: 10_000,
            bytes: 8 << 20,
        }
    }
}

impl ReadLimit {
    /// Whether a further record of `weight` bytes still fits after `records` records of `bytes` bytes.
    pub fn admits(&self, records: usize, bytes: usize, weight: usize) -> bool {
        records == 0 || (records < self.records && bytes.saturating_add(weight) <= self.bytes)
    }
}

/// What one read returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The records, in order. Numbers may be skipped (Kafka keeps markers of its own in the log).
    pub records: Vec<Stored>,
    /// Where to read on.
    pub next: u64,
    /// The end of the partition as it was known while reading; at least `next`.
    pub end: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_kafka() {
        for good in ["assent.consent", "A-1_b", &"x".repeat(249)] {
            assert_eq!(Topic::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "a b", "ä", "a/b", &"x".repeat(250)] {
            assert_eq!(Topic::parse(bad).unwrap_err().kind(), ErrorKind::Invalid);
        }
    }

    #[test]
    fn debug_tells_sizes_and_no_content() {
        let record = Record {
            topic: "t".into(),
            key: Bytes::from_static(b"planted-key"),
            value: Bytes::from_static(b"planted-value"),
            headers: vec![("planted-name".into(), Bytes::from_static(b"planted"))],
        };
        let shown = format!("{record:?}");
        assert!(!shown.contains("planted"), "{shown}");
        assert!(shown.contains("value_bytes: 13"), "{shown}");
    }

    #[test]
    fn a_limit_always_admits_the_first_record() {
        let limit = ReadLimit {
            records: 0,
            bytes: 0,
        };
        assert!(limit.admits(0, 0, 99));
        assert!(!limit.admits(1, 99, 0));
        let limit = ReadLimit {
            records: 3,
            bytes: 10,
        };
        assert!(limit.admits(2, 5, 5));
        assert!(!limit.admits(2, 5, 6));
        assert!(!limit.admits(3, 0, 0));
    }
}
