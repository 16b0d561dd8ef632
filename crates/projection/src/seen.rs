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
    AsArray, BooleanBuilder, FixedSizeBinaryArray, Int64Array, RecordBatch, StringArray,
    UInt32Array,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt32Type};
use assent_event::Envelope;
use assent_journal::{Position, Topic};
use sha2::{Digest, Sha256};

use crate::groups::{bytes_at, ids, strings};
use crate::storage::Storage;
use crate::{DataFile, Error, files};

/// What was admitted, per partition.
#[derive(Debug, Default)]
pub(crate) struct Window {
    width_micros: i64,
    partitions: BTreeMap<(Topic, u32), Partition>,
}

#[derive(Debug)]
struct Partition {
    log_time: i64,
    /// Log times of admissions. The keys are bytes, since a number of that size would be aligned: a third more memory.
    admitted: HashMap<[u8; 16], i64>,
}

/// An admission, to be made durable with the batch.
#[derive(Clone, Debug)]
pub(crate) struct Admitted {
    pub(crate) topic: Topic,
    pub(crate) partition: u32,
    pub(crate) hash: [u8; 16],
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

    /// What of the window is still needed on disk, as things stand.
    pub(crate) fn horizon(&self) -> Horizon {
        let places = self.partitions.iter();
        Horizon {
            width_micros: self.width_micros,
            log_times: places
                .map(|((topic, partition), entries)| {
                    ((topic.as_str().to_owned(), *partition), entries.log_time)
                })
                .collect(),
        }
    }
}

/// Which admissions may be asked after again. Later it may be fewer, never more.
pub(crate) struct Horizon {
    width_micros: i64,
    log_times: BTreeMap<(String, u32), i64>,
}

impl Horizon {
    /// What files of admissions say that is still needed. The admission at log time itself always is, so log time survives
    /// a restart.
    pub(crate) fn still_needed(
        &self,
        storage: &dyn Storage,
        merged: &[&DataFile],
        batch_rows: usize,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, Error>>, Error> {
        let files = merged
            .iter()
            .map(|file| files::read(storage, file, batch_rows))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(files
            .into_iter()
            .flatten()
            .map(|batch| self.of_batch(&batch?)))
    }

    fn of_batch(&self, batch: &RecordBatch) -> Result<RecordBatch, Error> {
        let columns = Columns::of(batch)?;
        let mut needed = BooleanBuilder::with_capacity(batch.num_rows());
        let mut place = (String::new(), 0);
        for row in 0..batch.num_rows() {
            let (topic, partition, at) = columns.place(row);
            if place.0 != topic {
                topic.clone_into(&mut place.0);
            }
            place.1 = partition;
            let log_time = self.log_times.get(&place);
            needed.append_value(log_time.is_none_or(|log_time| {
                at == *log_time || log_time.saturating_sub(at) < self.width_micros
            }));
        }
        Ok(filter_record_batch(batch, &needed.finish())?)
    }
}

/// 128 bits of SHA-256 over kind, subject, source and message id, each delimited.
fn key_of(envelope: &Envelope) -> [u8; 16] {
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
    half
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
    let hashes: Vec<u8> = admitted.iter().flat_map(|entry| entry.hash).collect();
    Ok(RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(StringArray::from_iter_values(
                admitted.iter().map(|entry| entry.topic.as_str()),
            )),
            Arc::new(UInt32Array::from_iter_values(
                admitted.iter().map(|entry| entry.partition),
            )),
            Arc::new(FixedSizeBinaryArray::try_new(16, hashes.into(), None)?),
            Arc::new(Int64Array::from_iter_values(
                admitted.iter().map(|entry| entry.at),
            )),
        ],
    )?)
}

/// The columns of a batch of admissions.
struct Columns<'b> {
    topics: &'b StringArray,
    partitions: &'b UInt32Array,
    hashes: &'b FixedSizeBinaryArray,
    ats: &'b Int64Array,
}

impl<'b> Columns<'b> {
    fn of(batch: &'b RecordBatch) -> Result<Self, Error> {
        let partitions = batch
            .column_by_name("partition")
            .and_then(|column| column.as_primitive_opt::<UInt32Type>())
            .ok_or_else(|| Error::shape("`partition` is to be UInt32"))?;
        let ats = batch
            .column_by_name("at")
            .and_then(|column| column.as_primitive_opt::<Int64Type>())
            .ok_or_else(|| Error::shape("`at` is to be Int64"))?;
        Ok(Self {
            topics: strings(batch, "topic")?,
            partitions,
            hashes: ids(batch, "hash")?,
            ats,
        })
    }

    /// Topic, partition and log time.
    fn place(&self, row: usize) -> (&'b str, u32, i64) {
        (
            self.topics.value(row),
            self.partitions.value(row),
            self.ats.value(row),
        )
    }
}

/// Reads a batch of admissions into the window.
pub(crate) fn restore_batch(window: &mut Window, batch: &RecordBatch) -> Result<(), Error> {
    let columns = Columns::of(batch)?;
    let mut known = Topic::new("");
    for row in 0..batch.num_rows() {
        let (topic, partition, at) = columns.place(row);
        if known.as_str() != topic {
            known = Topic::new(topic);
        }
        window.restore(&Admitted {
            topic: known.clone(),
            partition,
            hash: bytes_at(columns.hashes, row),
            at,
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

    /// Which records are admitted when the window is read back from disk before these records; where the offset is
    /// below a thousand, after what is not needed any more was swept from memory and disk.
    fn verdicts(records: &[(u8, i64)], restarts: &[usize]) -> Vec<bool> {
        let mut window = Window::new(10);
        let mut stored: Vec<RecordBatch> = Vec::new();
        let mut verdicts = Vec::new();
        for (offset, (message, received)) in records.iter().enumerate() {
            let swept = restarts.contains(&offset);
            if swept {
                window.forget_expired();
                let horizon = window.horizon();
                for batch in &mut stored {
                    *batch = horizon.of_batch(batch).unwrap();
                }
            }
            if swept || restarts.contains(&(offset + 1000)) {
                window = Window::new(10);
                for batch in &stored {
                    restore_batch(&mut window, batch).unwrap();
                }
            }
            let position = Position {
                topic: Topic::new("assent.behaviour"),
                partition: 0,
                offset: offset as u64,
            };
            let admitted = window.admit(&position, &envelope(*message, *received));
            verdicts.push(admitted.is_some());
            stored.extend(admitted.map(|admitted| to_batch(&[admitted]).unwrap()));
        }
        verdicts
    }

    #[test]
    fn what_nobody_asks_after_again_goes_from_the_disk() {
        let mut window = Window::new(10);
        let kept = |window: &mut Window, received: &[i64]| {
            let mut stored = Vec::new();
            for (message, received) in received.iter().enumerate() {
                let position = Position {
                    topic: Topic::new("assent.behaviour"),
                    partition: 0,
                    offset: message as u64,
                };
                let admitted = window.admit(&position, &envelope(message as u8, *received));
                stored.extend(admitted);
            }
            let needed = window.horizon().of_batch(&to_batch(&stored).unwrap());
            needed.unwrap().num_rows()
        };
        assert_eq!(kept(&mut window, &[0, 5, 10, 19]), 2);
        assert_eq!(
            kept(&mut Window::new(0), &[0, 5, 5]),
            2,
            "log time itself stays"
        );
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
