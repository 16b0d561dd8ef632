//! Builders of the partial state of single events: one row an event, most cells neutral.
//!
//! A row per event is the simplest element of the monoid; [`crate::merge`] then joins the rows of a subject, so that
//! there is one implementation of what "latest" or "sum" means.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, new_null_array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType;

use super::scalar::{Scalar, scalar_array};
use crate::Error;
use crate::layout::{Cell, Order, Part, Rule};
use crate::merge::days::list_array;
use crate::merge::scalar::{instant_array, sum_array};
use crate::merge::told::{Told, at_array, by_array};

/// When an event happened and which it was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    /// Microseconds since the epoch.
    pub(crate) at: i64,
    /// The event id, big-endian.
    pub(crate) by: u128,
}

impl Stamp {
    fn told(self) -> Told {
        Told {
            at: self.at,
            by: self.by,
            place: (0, 0),
        }
    }
}

/// Values told of one trait or attribute.
#[derive(Debug)]
pub(crate) struct ToldColumn {
    data_type: DataType,
    values: Vec<(u32, Scalar)>,
    stamps: Vec<(u32, Stamp)>,
}

impl ToldColumn {
    pub(crate) fn new(data_type: DataType) -> Self {
        Self {
            data_type,
            values: Vec::new(),
            stamps: Vec::new(),
        }
    }

    /// Rows come in ascending order.
    pub(crate) fn tell(&mut self, row: u32, value: Scalar, stamp: Stamp) {
        self.values.push((row, value));
        self.stamps.push((row, stamp));
    }

    /// Value, time and event id.
    pub(crate) fn finish(self, rows: usize) -> Result<Vec<ArrayRef>, Error> {
        let mut told = vec![None; rows];
        for (row, stamp) in &self.stamps {
            told[*row as usize] = Some(stamp.told());
        }
        Ok(vec![
            scalar_array(&self.data_type, rows, self.values)?,
            at_array(&told),
            by_array(&told)?,
        ])
    }
}

/// Events that one derived trait sums up.
#[derive(Debug)]
pub(crate) struct DerivedColumn {
    cell: Cell,
    entries: Vec<Entry>,
}

/// What one event contributes.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) row: u32,
    /// Day of the event in the programme's calendar.
    pub(crate) day: i32,
    pub(crate) stamp: Stamp,
    /// Millionths, for sums.
    pub(crate) amount: i128,
    /// The property, for first and last values.
    pub(crate) value: String,
}

impl DerivedColumn {
    /// The column of a trait whose day buckets are this part.
    pub(crate) fn new(days: &Part) -> Result<Self, Error> {
        match days.rule {
            Rule::Days(cell) => Ok(Self {
                cell,
                entries: Vec::new(),
            }),
            Rule::At(_) | Rule::Told(..) | Rule::Count | Rule::Sum => {
                Err(Error::shape("a derived trait has day buckets"))
            }
        }
    }

    /// Rows come in ascending order, each at most once.
    pub(crate) fn add(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// Total and day buckets, in the order of the layout.
    pub(crate) fn finish(self, rows: usize) -> Result<Vec<ArrayRef>, Error> {
        let mut lengths = vec![0_usize; rows];
        for entry in &self.entries {
            lengths[entry.row as usize] = 1;
        }
        let days = self.entries.iter().map(|entry| entry.day).collect();
        let told = || -> Vec<Option<Told>> {
            let entries = self.entries.iter();
            entries.map(|entry| Some(entry.stamp.told())).collect()
        };
        let (mut columns, buckets): (Vec<ArrayRef>, Vec<ArrayRef>) = match self.cell {
            Cell::Count => {
                let counts: Vec<i64> = lengths.iter().map(|len| *len as i64).collect();
                let ones = vec![1; self.entries.len()];
                (
                    vec![Arc::new(Int64Array::from(counts))],
                    vec![Arc::new(Int64Array::from(ones))],
                )
            }
            Cell::Sum => {
                let mut sums = vec![Some(0); rows];
                for entry in &self.entries {
                    sums[entry.row as usize] = Some(entry.amount);
                }
                let amounts = self.entries.iter().map(|entry| Some(entry.amount));
                (vec![sum_array(sums)?], vec![sum_array(amounts.collect())?])
            }
            Cell::At(Order::Earliest | Order::Latest) => {
                let mut instants = vec![None; rows];
                for entry in &self.entries {
                    instants[entry.row as usize] = Some(entry.stamp.at);
                }
                (vec![instant_array(instants)], vec![at_array(&told())])
            }
            Cell::Told(Order::Earliest | Order::Latest) => {
                let mut whole = ToldColumn::new(DataType::Utf8);
                let mut values = Vec::with_capacity(self.entries.len());
                for (index, entry) in self.entries.iter().enumerate() {
                    let value = Scalar::Text(entry.value.clone());
                    values.push((index as u32, value.clone()));
                    whole.tell(entry.row, value, entry.stamp);
                }
                let told = told();
                (
                    whole.finish(rows)?,
                    vec![
                        at_array(&told),
                        by_array(&told)?,
                        scalar_array(&DataType::Utf8, told.len(), values)?,
                    ],
                )
            }
        };
        let offsets = OffsetBuffer::from_lengths(lengths);
        columns.push(list_array(self.cell, offsets, days, buckets, None)?);
        Ok(columns)
    }
}

/// Told attributes of a keyed table (accounts, contacts, subscriptions): one row an event.
#[derive(Debug)]
pub(crate) struct KeyedRows {
    pub(crate) layout: crate::layout::Layout,
    subjects: Vec<u128>,
    keys: Vec<(u32, Scalar)>,
    columns: Vec<ToldColumn>,
}

impl KeyedRows {
    pub(crate) fn new(layout: crate::layout::Layout) -> Self {
        let columns = layout
            .parts
            .iter()
            .map(|part| {
                ToldColumn::new(match &part.rule {
                    Rule::Told(_, data_type) => data_type.clone(),
                    Rule::At(_) | Rule::Count | Rule::Sum | Rule::Days(_) => DataType::Null,
                })
            })
            .collect();
        Self {
            layout,
            subjects: Vec::new(),
            keys: Vec::new(),
            columns,
        }
    }

    /// Adds a row; an attribute that is `None` was not told. Attributes come in the order of the layout.
    pub(crate) fn add<const N: usize>(
        &mut self,
        subject: u128,
        key: String,
        attributes: [Option<Scalar>; N],
        stamp: Stamp,
    ) {
        let row = self.subjects.len() as u32;
        self.subjects.push(subject);
        self.keys.push((row, Scalar::Text(key)));
        for (column, attribute) in self.columns.iter_mut().zip(attributes) {
            if let Some(value) = attribute {
                column.tell(row, value, stamp);
            }
        }
    }

    /// The rows as a batch of the layout, unmerged and unsorted.
    pub(crate) fn finish(self) -> Result<arrow::array::RecordBatch, Error> {
        let rows = self.subjects.len();
        let mut columns = vec![id_array(&self.subjects)?];
        columns.push(if rows == 0 {
            new_null_array(&DataType::Utf8, 0)
        } else {
            scalar_array(&DataType::Utf8, rows, self.keys)?
        });
        for column in self.columns {
            columns.extend(column.finish(rows)?);
        }
        Ok(arrow::array::RecordBatch::try_new(
            self.layout.schema(),
            columns,
        )?)
    }
}

/// A column of ids without nulls.
pub(crate) fn id_array(ids: &[u128]) -> Result<ArrayRef, Error> {
    let mut builder = arrow::array::FixedSizeBinaryBuilder::with_capacity(ids.len(), 16);
    for id in ids {
        builder.append_value(id.to_be_bytes())?;
    }
    Ok(Arc::new(builder.finish()))
}
