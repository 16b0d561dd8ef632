//! Compaction: several files of a table become one, by the same merge that readers do.
//!
//! Files are sorted by subject, so they are merged in one streaming pass over all of them: rows below the smallest
//! "last subject read so far" are complete and go out. Memory is bounded by a batch per file (more only for a subject
//! with more events than that).

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::SchemaRef;
use assent_consent::SubjectId;

use crate::fold::events;
use crate::groups::{Rows, bytes_at, subjects};
use crate::layout::Layout;
use crate::merge::partial_rows;
use crate::names::is_clustered;
use crate::storage::Storage;
use crate::{DataFile, Error, Snapshot, Table, files};

/// Rows read at a time from so many files, each: fewer where there are many, since memory holds a batch of each.
pub(crate) fn batch_rows(files: usize) -> usize {
    const EACH: usize = 8_192;
    const TOGETHER: usize = 12 * EACH;
    (TOGETHER / files.max(1)).clamp(512, EACH)
}

/// A larger file joins a compaction only when it is at most this many times what the smaller ones are together, so
/// that a large base is not written again for every few small files.
const GROWTH: u64 = 4;

/// Which files to merge when there are more than `most`: the smallest ones, as far as that is worth it.
pub(crate) fn choose(files: &[&DataFile], most: usize) -> Option<Vec<usize>> {
    if files.len() <= most.max(1) {
        return None;
    }
    let mut by_size: Vec<usize> = (0..files.len()).collect();
    by_size.sort_by_key(|at| files[*at].bytes);
    let mut chosen = Vec::new();
    let mut bytes = 0_u64;
    for at in by_size {
        let size = files[at].bytes;
        if chosen.len() >= 2 && size > GROWTH.saturating_mul(bytes) {
            break;
        }
        bytes += size;
        chosen.push(at);
    }
    Some(chosen)
}

/// At rest, what was put together has at least so many times the rows that the other files have: what readers have to put
/// together of several files is little.
const REST: u64 = 16;

/// Whether to merge all of these files when there is nothing else to do: until nearly everything lies in one, or in those of
/// the clusters, which have no subject in common. All is written again each time the others grow to a [`REST`]th of it, so a
/// stream of small commits stays cheap. `clustered`: whether there are to be clusters.
pub(crate) fn choose_at_rest(files: &[&DataFile], clustered: bool) -> bool {
    let rows = |wanted: &dyn Fn(&DataFile) -> bool| -> u64 {
        let files = files.iter().filter(|file| wanted(file));
        files.map(|file| file.rows).sum()
    };
    let all = rows(&|_| true);
    let of_clusters = rows(&|file| is_clustered(&file.path));
    let largest = files.iter().map(|file| file.rows).max().unwrap_or(0);
    let settled = match clustered {
        true => of_clusters,
        false => of_clusters.max(largest),
    };
    (all - settled).saturating_mul(REST) > settled
}

/// Whether subjects are to be kept, in the order asked.
pub(crate) type Keep<'k> = dyn FnMut(&[SubjectId]) -> Result<Vec<bool>, Error> + 'k;

/// A streaming merge of files of one table.
pub(crate) struct Merge<'k> {
    /// `None` for events, whose rows are only interleaved.
    layout: Option<Layout>,
    schema: SchemaRef,
    cursors: Vec<Cursor>,
    keep: Option<&'k mut Keep<'k>>,
}

struct Cursor {
    batches: files::Batches,
    /// What was read and not yet put out.
    rest: RecordBatch,
    exhausted: bool,
}

impl<'k> Merge<'k> {
    pub(crate) fn new(
        storage: &dyn Storage,
        table: Table,
        catalog: &assent_programme::TraitCatalog,
        merged: &[&DataFile],
        batch_rows: usize,
        keep: Option<&'k mut Keep<'k>>,
    ) -> Result<Self, Error> {
        let schema = Snapshot::file_schema(table, catalog);
        let cursors = merged
            .iter()
            .map(|file| {
                Ok(Cursor {
                    batches: files::read(storage, file, batch_rows)?,
                    rest: RecordBatch::new_empty(schema.clone()),
                    exhausted: false,
                })
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self {
            layout: Layout::of(table, catalog),
            schema,
            cursors,
            keep,
        })
    }

    /// The next rows, complete up to some subject; `None` at the end.
    fn advance(&mut self) -> Result<Option<RecordBatch>, Error> {
        loop {
            for cursor in &mut self.cursors {
                if cursor.rest.num_rows() == 0 {
                    cursor.extend(&self.schema)?;
                }
            }
            // Beyond this subject a file that is still being read may have more to say.
            let mut bound: Option<u128> = None;
            for cursor in &self.cursors {
                if !cursor.exhausted {
                    let last = cursor.last()?;
                    bound = Some(bound.map_or(last, |bound| bound.min(last)));
                }
            }
            let mut ready = Vec::with_capacity(self.cursors.len());
            for cursor in &mut self.cursors {
                let rows = cursor.take_below(bound)?;
                if rows.num_rows() > 0 {
                    ready.push(rows);
                }
            }
            if !ready.is_empty() {
                return self.joined(&ready).map(Some);
            }
            let Some(bound) = bound else {
                return Ok(None);
            };
            for cursor in &mut self.cursors {
                if !cursor.exhausted && cursor.last()? == bound {
                    cursor.extend(&self.schema)?;
                }
            }
        }
    }

    fn joined(&mut self, ready: &[RecordBatch]) -> Result<RecordBatch, Error> {
        let joined = match &self.layout {
            Some(layout) => {
                let rows = Rows::by_key(ready, layout.key)?;
                partial_rows(layout, ready, &rows)?
            }
            None => events::sorted(&concat_batches(&self.schema, ready)?)?,
        };
        let Some(keep) = &mut self.keep else {
            return Ok(joined);
        };
        let subjects = subjects(&joined)?;
        let asked: Vec<SubjectId> = (0..joined.num_rows())
            .map(|row| SubjectId::from(bytes_at(subjects, row)))
            .collect();
        let kept = BooleanArray::from(keep(&asked)?);
        Ok(filter_record_batch(&joined, &kept)?)
    }
}

impl Iterator for Merge<'_> {
    type Item = Result<RecordBatch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

impl Cursor {
    /// Reads one more batch behind the rest.
    fn extend(&mut self, schema: &SchemaRef) -> Result<(), Error> {
        let Some(batch) = self.batches.next().transpose()? else {
            self.exhausted = true;
            return Ok(());
        };
        let batch = conform(&batch, schema)?;
        self.rest = if self.rest.num_rows() == 0 {
            batch
        } else {
            concat_batches(schema, [&self.rest, &batch])?
        };
        Ok(())
    }

    /// The greatest subject read.
    fn last(&self) -> Result<u128, Error> {
        let subjects = subjects(&self.rest)?;
        Ok(u128::from_be_bytes(bytes_at(
            subjects,
            self.rest.num_rows() - 1,
        )))
    }

    fn take_below(&mut self, bound: Option<u128>) -> Result<RecordBatch, Error> {
        let rows = self.rest.num_rows();
        let end = match bound {
            None => rows,
            Some(bound) => {
                let subjects = subjects(&self.rest)?;
                let (mut low, mut high) = (0, rows);
                while low < high {
                    let middle = usize::midpoint(low, high);
                    if u128::from_be_bytes(bytes_at(subjects, middle)) < bound {
                        low = middle + 1;
                    } else {
                        high = middle;
                    }
                }
                low
            }
        };
        let taken = self.rest.slice(0, end);
        self.rest = self.rest.slice(end, rows - end);
        Ok(taken)
    }
}

/// The batch with the columns of the schema, by name: a catalogue may have been re-ordered since it was written.
pub(crate) fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, Error> {
    let columns = schema
        .fields()
        .iter()
        .map(|field| {
            batch
                .column_by_name(field.name())
                .cloned()
                .ok_or_else(|| Error::shape(format!("the column `{}` is missing", field.name())))
        })
        .collect::<Result<_, _>>()?;
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use arrow::array::AsArray;
    use arrow::datatypes::TimestampMicrosecondType;
    use assent_consent::{Calendar, Timestamp};
    use assent_event::{Behaviour, Envelope, EventId, Kind, Payload, Times};
    use assent_programme::{DerivedTrait, Measure, TraitCatalog};
    use proptest::prelude::*;

    use super::*;
    use crate::Definitions;
    use crate::denial::DENIED;
    use crate::fold::Fold;
    use crate::groups::{ids, strings};
    use crate::storage::LocalStorage;

    fn definitions() -> Definitions {
        let category = assent_consent::Category::parse("transaction").unwrap();
        let catalog = TraitCatalog {
            identified: Vec::new(),
            derived: vec![DerivedTrait {
                name: "bought".to_owned(),
                event: "Order Completed".to_owned(),
                measure: Measure::Count,
                window_days: None,
                category,
                sensitive: false,
                description: String::new(),
            }],
        };
        Definitions::new(catalog, Calendar::default())
    }

    /// One file of events of these (subject, time, whether its stamp denies something).
    fn written(
        storage: &LocalStorage,
        table: Table,
        log: &[(u8, i64, bool)],
        file: u64,
    ) -> Option<DataFile> {
        let definitions = definitions();
        let mut fold = Fold::new(&definitions).unwrap();
        for (number, (who, at, stamped)) in log.iter().enumerate() {
            let mut id = [file as u8; 16];
            id[0] = number as u8;
            let envelope = Envelope {
                id: EventId::from_bytes(id),
                kind: Kind::Behaviour,
                schema_id: Kind::Behaviour.schema_id(),
                subject: SubjectId::from([*who; 16]),
                source: "shop".to_owned(),
                message_id: String::new(),
                times: Times::at(Timestamp::from_micros(*at)),
                clear: Vec::new(),
                sealed: Vec::new(),
            };
            let denied = stamped.then_some("ads");
            let behaviour = Behaviour::named("Order Completed").denied(denied);
            fold.add(&envelope, &Payload::from(behaviour));
        }
        let rows = fold.finish().unwrap().remove(&table)?;
        let name = format!("data/{table}-{file}.parquet");
        let schema = rows.schema();
        let written = files::write(storage, &name, &schema, 4, std::iter::once(Ok(rows)));
        let (file, staged) = written.unwrap()?;
        storage.put(vec![staged]).unwrap();
        Some(file)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        /// Files are read a few rows at a time, so that subjects lie across the seams.
        #[test]
        fn a_streaming_merge_is_sorted_whole_and_has_one_row_a_subject_and_stamp(
            logs in proptest::collection::vec(
                proptest::collection::vec((0_u8..6, 0_i64..50, any::<bool>()), 0..12), 1..5),
            batch_rows in 1_usize..5,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let storage = LocalStorage::new(dir.path());
            let catalog = definitions().catalog;
            for table in [Table::Members, Table::Events] {
                let files: Vec<DataFile> = logs
                    .iter()
                    .enumerate()
                    .filter_map(|(file, log)| written(&storage, table, log, file as u64))
                    .collect();
                let files: Vec<&DataFile> = files.iter().collect();
                let merge = Merge::new(&storage, table, &catalog, &files, batch_rows, None);
                let merged: Vec<RecordBatch> = merge.unwrap().map(Result::unwrap).collect();
                let schema = Snapshot::file_schema(table, &catalog);
                let merged = concat_batches(&schema, &merged).unwrap();
                let total: usize = logs.iter().map(Vec::len).sum();
                let subjects = subjects(&merged).unwrap();
                let rows = 0..merged.num_rows();
                if table == Table::Events {
                    prop_assert_eq!(merged.num_rows(), total);
                    let times = merged.column_by_name("event_time").unwrap();
                    let times = times.as_primitive::<TimestampMicrosecondType>();
                    let events = ids(&merged, "event_id").unwrap();
                    let keys: Vec<_> = rows
                        .map(|row| {
                            (bytes_at(subjects, row), times.value(row), bytes_at(events, row))
                        })
                        .collect();
                    prop_assert!(keys.is_sorted());
                } else {
                    let denied = strings(&merged, DENIED).unwrap();
                    let keys: Vec<_> = rows
                        .map(|row| (bytes_at(subjects, row), denied.value(row).to_owned()))
                        .collect();
                    prop_assert!(keys.is_sorted_by(|a, b| a < b), "one row a subject and stamp");
                    let counted = merged.column_by_name("bought__count").unwrap();
                    let counted = counted.as_primitive::<arrow::datatypes::Int64Type>();
                    prop_assert_eq!(counted.values().iter().sum::<i64>(), total as i64);
                    let told: BTreeSet<_> = logs
                        .iter()
                        .flatten()
                        .map(|(who, _, stamped)| ([*who; 16], *stamped))
                        .collect();
                    prop_assert_eq!(told.len(), keys.len());
                }
            }
        }
    }

    fn file(bytes: u64) -> DataFile {
        DataFile {
            path: String::new(),
            rows: 1,
            bytes,
            crc32: 0,
            first_subject: String::new(),
            last_subject: String::new(),
        }
    }

    #[test]
    fn a_large_base_is_left_alone_until_the_small_ones_are_worth_it() {
        let chosen = |sizes: &[u64]| {
            let files: Vec<DataFile> = sizes.iter().map(|size| file(*size)).collect();
            choose(&files.iter().collect::<Vec<_>>(), 3)
        };
        assert_eq!(chosen(&[1, 1, 1]), None);
        assert_eq!(chosen(&[1_000, 1, 1, 1]), Some(vec![1, 2, 3]));
        assert_eq!(chosen(&[12, 1, 1, 1]), Some(vec![1, 2, 3, 0]));
        assert_eq!(chosen(&[1, 10, 100, 1_000]), Some(vec![0, 1]));
    }

    #[test]
    fn at_rest_nearly_everything_lies_in_one_file_or_in_those_of_the_clusters() {
        let chosen = |rows: &[(&str, u64)], clustered| {
            let files = rows.iter().map(|(stem, rows)| DataFile {
                path: format!("data/{stem}-00000-1-a-1.parquet"),
                rows: *rows,
                ..file(1)
            });
            let files: Vec<DataFile> = files.collect();
            choose_at_rest(&files.iter().collect::<Vec<_>>(), clustered)
        };
        let m = |rows: &[u64]| rows.iter().map(|rows| ("m", *rows)).collect::<Vec<_>>();
        assert!(!chosen(&[], false) && !chosen(&[], true));
        assert!(!chosen(&m(&[7]), false));
        assert!(chosen(&m(&[7]), true), "not yet in clusters");
        assert!(chosen(&m(&[7, 7]), false));
        assert!(!chosen(&m(&[1_600, 40, 60]), false));
        assert!(chosen(&m(&[1_600, 40, 61]), false));
        for clustered in [false, true] {
            assert!(!chosen(
                &[("m.0", 800), ("m.1", 800), ("m", 100)],
                clustered
            ));
            assert!(chosen(&[("m.0", 800), ("m.1", 800), ("m", 101)], clustered));
        }
    }
}
