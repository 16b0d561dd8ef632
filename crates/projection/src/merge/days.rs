//! Day buckets: per group a list of days, each merged by its own rule.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Decimal128Array, FixedSizeBinaryArray, Int32Array, Int64Array, ListArray,
    RecordBatch, StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};

use super::scalar::{instant_array, sum_array};
use super::told::{Told, at_array, by_array, offer, value_array};
use super::{downcast, typed};
use crate::Error;
use crate::groups::{NOBODY, Rows, bytes_at};
use crate::layout::{Cell, Order};

/// The buckets of one batch, taken apart.
struct Buckets<'b> {
    lists: &'b ListArray,
    day: &'b Int32Array,
    fields: &'b StructArray,
}

/// The day buckets of a trait in all batches.
pub(crate) struct Days<'b> {
    name: &'b str,
    batches: Vec<Buckets<'b>>,
}

impl<'b> Days<'b> {
    pub(crate) fn new(name: &'b str, partials: &'b [RecordBatch]) -> Result<Self, Error> {
        let batches = typed::<ListArray>(partials, name)?
            .into_iter()
            .map(|lists| {
                let fields = downcast::<StructArray>(lists.values().as_ref(), name)?;
                let day = fields
                    .column_by_name("day")
                    .ok_or_else(|| Error::shape(format!("`{name}` has no days")))?;
                Ok(Buckets {
                    lists,
                    day: downcast(day.as_ref(), name)?,
                    fields,
                })
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self { name, batches })
    }

    /// A field of the buckets, per batch.
    pub(crate) fn field(&self, field: &str) -> Result<Vec<&ArrayRef>, Error> {
        self.batches
            .iter()
            .map(|batch| {
                batch.fields.column_by_name(field).ok_or_else(|| {
                    Error::shape(format!("the buckets of `{}` have no `{field}`", self.name))
                })
            })
            .collect()
    }

    pub(crate) fn typed_field<T: 'static>(&self, field: &str) -> Result<Vec<&T>, Error> {
        self.field(field)?
            .into_iter()
            .map(|column| downcast(column.as_ref(), self.name))
            .collect()
    }

    /// Calls `bucket` with (group, day, batch, index within the batch's buckets) for every bucket of a row that takes
    /// part; returns which groups had a list at all.
    pub(crate) fn visit(
        &self,
        rows: &Rows,
        mut bucket: impl FnMut(u32, i32, usize, usize) -> Result<(), Error>,
    ) -> Result<Vec<bool>, Error> {
        let mut seen = vec![false; rows.count];
        for (at, (batch, of)) in self.batches.iter().zip(&rows.of).enumerate() {
            let offsets = batch.lists.value_offsets();
            for (row, group) in of.iter().enumerate() {
                if *group == NOBODY || batch.lists.is_null(row) {
                    continue;
                }
                seen[*group as usize] = true;
                for index in offsets[row] as usize..offsets[row + 1] as usize {
                    bucket(*group, batch.day.value(index), at, index)?;
                }
            }
        }
        Ok(seen)
    }

    /// The winners of told buckets, as they are offered.
    pub(crate) fn told(&self) -> Result<ToldBuckets<'_>, Error> {
        Ok(ToldBuckets {
            values: self.field("value")?,
            at: self.typed_field("at")?,
            by: self.typed_field("by")?,
        })
    }
}

/// The columns of buckets that hold told values.
pub(crate) struct ToldBuckets<'d> {
    pub(crate) values: Vec<&'d ArrayRef>,
    at: Vec<&'d TimestampMicrosecondArray>,
    by: Vec<&'d FixedSizeBinaryArray>,
}

impl ToldBuckets<'_> {
    pub(crate) fn read(&self, batch: usize, index: usize) -> Told {
        Told {
            at: self.at[batch].value(index),
            by: u128::from_be_bytes(bytes_at(self.by[batch], index)),
            place: (batch as u32, index as u32),
        }
    }
}

/// Buckets of groups, merged by day and ascending, with the offsets of the groups' lists.
struct Joined<C> {
    offsets: OffsetBuffer<i32>,
    days: Vec<i32>,
    cells: Vec<C>,
}

/// Sorts buckets by (group, day) and joins those of the same day.
fn join<C>(
    groups: usize,
    mut buckets: Vec<(u32, i32, C)>,
    mut join: impl FnMut(&mut C, C) -> Result<(), Error>,
) -> Result<Joined<C>, Error> {
    // Stable, and so a merge of the ascending runs that files are.
    buckets.sort_by_key(|(group, day, _)| (*group, *day));
    let mut lengths = vec![0_usize; groups];
    let mut days = Vec::with_capacity(buckets.len());
    let mut cells: Vec<C> = Vec::with_capacity(buckets.len());
    let mut last = None;
    for (group, day, cell) in buckets {
        match cells.last_mut() {
            Some(kept) if last == Some((group, day)) => join(kept, cell)?,
            _another_day => {
                last = Some((group, day));
                lengths[group as usize] += 1;
                days.push(day);
                cells.push(cell);
            }
        }
    }
    Ok(Joined {
        offsets: OffsetBuffer::from_lengths(lengths),
        days,
        cells,
    })
}

/// Lists of buckets from their columns.
pub(crate) fn list_array(
    cell: Cell,
    offsets: OffsetBuffer<i32>,
    days: Vec<i32>,
    mut columns: Vec<ArrayRef>,
    seen: Option<Vec<bool>>,
) -> Result<ArrayRef, Error> {
    columns.insert(0, Arc::new(Int32Array::from(days)));
    let buckets = StructArray::try_new(cell.fields(), columns, None)?;
    let nulls = seen
        .map(NullBuffer::from)
        .filter(|nulls| nulls.null_count() > 0);
    Ok(Arc::new(ListArray::try_new(
        cell.item(),
        offsets,
        Arc::new(buckets),
        nulls,
    )?))
}

/// Merges the day buckets of each group.
pub(super) fn merge(
    name: &str,
    cell: Cell,
    partials: &[RecordBatch],
    rows: &Rows,
) -> Result<ArrayRef, Error> {
    let days = Days::new(name, partials)?;
    match cell {
        Cell::Count => {
            let counts = days.typed_field::<Int64Array>("count")?;
            let (joined, seen) = gather(
                &days,
                rows,
                |batch, index| counts[batch].value(index),
                |kept, new| {
                    *kept = kept.wrapping_add(new);
                    Ok(())
                },
            )?;
            let column: ArrayRef = Arc::new(Int64Array::from(joined.cells));
            list_array(cell, joined.offsets, joined.days, vec![column], Some(seen))
        }
        Cell::Sum => {
            let sums = days.typed_field::<Decimal128Array>("sum")?;
            let (joined, seen) = gather(
                &days,
                rows,
                |batch, index| sums[batch].value(index),
                |kept, new| {
                    *kept = kept.wrapping_add(new);
                    Ok(())
                },
            )?;
            let column = sum_array(joined.cells.into_iter().map(Some).collect())?;
            list_array(cell, joined.offsets, joined.days, vec![column], Some(seen))
        }
        Cell::At(order) => {
            let ats = days.typed_field::<TimestampMicrosecondArray>("at")?;
            let (joined, seen) = gather(
                &days,
                rows,
                |batch, index| ats[batch].value(index),
                |kept, new| {
                    *kept = match order {
                        Order::Earliest => new.min(*kept),
                        Order::Latest => new.max(*kept),
                    };
                    Ok(())
                },
            )?;
            let column = instant_array(joined.cells.into_iter().map(Some).collect());
            list_array(cell, joined.offsets, joined.days, vec![column], Some(seen))
        }
        Cell::Told(order) => {
            let told = days.told()?;
            let (joined, seen) = gather(
                &days,
                rows,
                |batch, index| Some(told.read(batch, index)),
                |kept, new| match new {
                    Some(new) => offer(kept, new, order, &told.values),
                    None => Ok(()),
                },
            )?;
            let columns = vec![
                at_array(&joined.cells),
                by_array(&joined.cells)?,
                value_array(
                    &told.values,
                    &arrow::datatypes::DataType::Utf8,
                    &joined.cells,
                )?,
            ];
            list_array(cell, joined.offsets, joined.days, columns, Some(seen))
        }
    }
}

fn gather<C>(
    days: &Days<'_>,
    rows: &Rows,
    read: impl Fn(usize, usize) -> C,
    merge: impl FnMut(&mut C, C) -> Result<(), Error>,
) -> Result<(Joined<C>, Vec<bool>), Error> {
    let mut buckets = Vec::new();
    let seen = days.visit(rows, |group, day, batch, index| {
        buckets.push((group, day, read(batch, index)));
        Ok(())
    })?;
    Ok((join(rows.count, buckets, merge)?, seen))
}
