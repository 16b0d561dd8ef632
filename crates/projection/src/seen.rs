//! The de-duplication window: which (source, message id) was folded lately (decision 13 of the brief).
//!
//! A record repeats an earlier one when kind, subject, source and message id are the same and it comes within the
//! window. The window is judged by the log, not by a clock on the wall: per partition, *log time* is the greatest
//! `received_at` of the records admitted so far, and a record is judged at the greater of log time and its own
//! `received_at`. So the verdict depends on nothing but the order of the partition: any batch split, any interleaving
//! of partitions and any restart gives the same (I4).
//!
//! The subject belongs to the key because it is the key of the record, too: one subject's records of a topic stand in
//! one partition, in order, whichever intake wrote them, so a window for each shard sees every repetition. A message id
//! that comes again about *another* subject is another record and counts: repetitions across partitions have no order
//! to judge by, and an honest retry never changes its subject, since the vault gives one identifier one subject until it
//! is erased. (After an erasure the identifier gets a new subject, and what is sent again about it counts again; what
//! it repeats is gone.) The kind belongs to the key because one message may yield several events.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{
    AsArray, FixedSizeBinaryArray, Int64Array, RecordBatch, StringArray, UInt32Array,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt32Type};
use assent_event::Envelope;
use assent_journal::{Position, Topic};
use sha2::{Digest, Sha256};

use crate::Error;
use crate::fold::columns::id_array;
use crate::groups::{bytes_at, ids, strings};

/// What was admitted, per partition.
#[derive(Debug, Default)]
pub(crate) struct Window {
    width_micros: i64,
    partitions: BTreeMap<(Topic, u32), Partition>,
}

#[derive(Debug)]
struct Partition {
    log_time: i64,
    admitted: HashMap<u128, i64>,
}

/// An admission, to be made durable with the batch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Admitted {
    pub(crate) topic: Topic,
    pub(crate) partition: u32,
    pub(crate) hash: u128,
    /// Log time of the admission.
    pub(crate) at: i64,
}

impl Window {
    pub(crate) fn new(width_micros: i64) -> Self {
        Self {
            width_micros,
            partitions: BTreeMap::new(),
        }
    }

    /// Admits a record, or returns `None` when it repeats one within the window.
    pub(crate) fn admit(&mut self, position: &Position, envelope: &Envelope) -> Option<Admitted> {
        let received = envelope.times.received_at.micros();
        let hash = key_of(envelope);
        let place = (position.topic.clone(), position.partition);
        let partition = self.partitions.entry(place).or_insert_with(|| Partition {
            log_time: received,
            admitted: HashMap::new(),
        });
        let now = partition.log_time.max(received);
        if let Some(at) = partition.admitted.get(&hash)
            && now.saturating_sub(*at) < self.width_micros
        {
            return None;
        }
        let admitted = Admitted {
            topic: position.topic.clone(),
            partition: position.partition,
            hash,
            at: now,
        };
        self.restore(&admitted);
        Some(admitted)
    }

    /// Takes in an admission read back from disk, in any order.
    pub(crate) fn restore(&mut self, admitted: &Admitted) {
        let place = (admitted.topic.clone(), admitted.partition);
        let partition = self.partitions.entry(place).or_insert_with(|| Partition {
            log_time: admitted.at,
            admitted: HashMap::new(),
        });
        partition.log_time = partition.log_time.max(admitted.at);
        let at = partition
            .admitted
            .entry(admitted.hash)
            .or_insert(admitted.at);
        *at = admitted.at.max(*at);
    }

    /// Forgets what can never be judged a repetition again. The admission at log time itself always stays, so log
    /// time survives a restart.
    pub(crate) fn forget_expired(&mut self) {
        for partition in self.partitions.values_mut() {
            let log_time = partition.log_time;
            let width = self.width_micros;
            partition
                .admitted
                .retain(|_, at| *at == log_time || log_time.saturating_sub(*at) < width);
        }
    }

    /// Everything remembered, in order.
    pub(crate) fn all(&self) -> Vec<Admitted> {
        let mut all: Vec<Admitted> = self
            .partitions
            .iter()
            .flat_map(|((topic, partition), entries)| {
                entries.admitted.iter().map(move |(hash, at)| Admitted {
                    topic: topic.clone(),
                    partition: *partition,
                    hash: *hash,
                    at: *at,
                })
            })
            .collect();
        all.sort();
        all
    }
}

/// 128 bits of SHA-256 over kind, subject, source and message id, each delimited.
fn key_of(envelope: &Envelope) -> u128 {
    let mut digest = Sha256::new();
    digest.update(envelope.kind.name().as_bytes());
    digest.update([0]);
    digest.update(envelope.subject.as_bytes());
    digest.update((envelope.source.len() as u64).to_be_bytes());
    digest.update(envelope.source.as_bytes());
    digest.update(envelope.message_id.as_bytes());
    let hash = digest.finalize();
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    u128::from_be_bytes(half)
}

/// The schema of a file of admissions.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("topic", DataType::Utf8, false),
        Field::new("partition", DataType::UInt32, false),
        Field::new("hash", DataType::FixedSizeBinary(16), false),
        Field::new("at", DataType::Int64, false),
    ]))
}

/// Admissions as a batch.
pub(crate) fn to_batch(admitted: &[Admitted]) -> Result<RecordBatch, Error> {
    let hashes: Vec<u128> = admitted.iter().map(|entry| entry.hash).collect();
    Ok(RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(StringArray::from_iter_values(
                admitted.iter().map(|entry| entry.topic.as_str()),
            )),
            Arc::new(UInt32Array::from_iter_values(
                admitted.iter().map(|entry| entry.partition),
            )),
            id_array(&hashes)?,
            Arc::new(Int64Array::from_iter_values(
                admitted.iter().map(|entry| entry.at),
            )),
        ],
    )?)
}

/// Reads a batch of admissions into the window.
pub(crate) fn restore_batch(window: &mut Window, batch: &RecordBatch) -> Result<(), Error> {
    let topics = strings(batch, "topic")?;
    let hashes: &FixedSizeBinaryArray = ids(batch, "hash")?;
    let partitions = batch
        .column_by_name("partition")
        .and_then(|column| column.as_primitive_opt::<UInt32Type>())
        .ok_or_else(|| Error::shape("`partition` is to be UInt32"))?;
    let ats = batch
        .column_by_name("at")
        .and_then(|column| column.as_primitive_opt::<Int64Type>())
        .ok_or_else(|| Error::shape("`at` is to be Int64"))?;
    let mut topic = Topic::new("");
    for row in 0..batch.num_rows() {
        if topic.as_str() != topics.value(row) {
            topic = Topic::new(topics.value(row));
        }
        window.restore(&Admitted {
            topic: topic.clone(),
            partition: partitions.value(row),
            hash: u128::from_be_bytes(bytes_at(hashes, row)),
            at: ats.value(row),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use assent_consent::{SubjectId, Timestamp};
    use assent_event::{EventId, Kind, Times};
    use proptest::prelude::*;

    use super::*;

    fn envelope(message: u8, received: i64) -> Envelope {
        Envelope {
            id: EventId::from_bytes([0; 16]),
            kind: Kind::Behaviour,
            schema_id: Kind::Behaviour.schema_id(),
            subject: SubjectId::from([1; 16]),
            source: "shop".to_owned(),
            message_id: message.to_string(),
            times: Times::at(Timestamp::from_micros(received)),
            clear: Vec::new(),
            sealed: Vec::new(),
        }
    }

    /// Which records are admitted when the window is read back from disk, and swept, before these records.
    fn verdicts(records: &[(u8, i64)], restarts: &[usize]) -> Vec<bool> {
        let mut window = Window::new(10);
        let mut stored = Vec::new();
        let mut verdicts = Vec::new();
        for (offset, (message, received)) in records.iter().enumerate() {
            if restarts.contains(&offset) {
                window.forget_expired();
                stored = window.all();
                window = Window::new(10);
                let batch = to_batch(&stored).unwrap();
                restore_batch(&mut window, &batch).unwrap();
            } else if restarts.contains(&(offset + 1000)) {
                window = Window::new(10);
                restore_batch(&mut window, &to_batch(&stored).unwrap()).unwrap();
            }
            let position = Position {
                topic: Topic::new("assent.behaviour"),
                partition: 0,
                offset: offset as u64,
            };
            let admitted = window.admit(&position, &envelope(*message, *received));
            verdicts.push(admitted.is_some());
            stored.extend(admitted);
        }
        verdicts
    }

    proptest! {
        #[test]
        fn restarts_and_sweeps_change_no_verdict(
            steps in proptest::collection::vec((0_u8..4, -6_i64..8), 1..60),
            restarts in proptest::collection::vec(0_usize..60, 0..12),
            plain in proptest::collection::vec(1000_usize..1060, 0..12),
        ) {
            // Times that mostly move on and sometimes fall back.
            let mut now = 0;
            let records: Vec<(u8, i64)> = steps
                .iter()
                .map(|(message, step)| {
                    now += step;
                    (*message, now)
                })
                .collect();
            let all: Vec<usize> = restarts.into_iter().chain(plain).collect();
            prop_assert_eq!(verdicts(&records, &all), verdicts(&records, &[]));
        }
    }

    #[test]
    fn the_window_is_half_open_and_begins_with_the_admission() {
        // Admitted at 0; at 9 a repetition, at 10 not; the one admitted at 10 counts from then on.
        let records = [(1, 0), (1, 9), (1, 10), (1, 19), (2, 19), (1, 20)];
        assert_eq!(
            verdicts(&records, &[]),
            [true, false, true, false, true, true]
        );
        // A clock that falls back is judged at log time.
        let records = [(1, 0), (2, 12), (1, 5)];
        assert_eq!(verdicts(&records, &[]), [true, true, true]);
    }
}
