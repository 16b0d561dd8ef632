//! Told values: of all that was told, the first or last in the total order (time, event id, value).
//!
//! Time is the event's own, never that of its arrival, so that the order of arrival does not matter (I4). The event
//! id breaks ties between events of the same microsecond. The value itself breaks the last tie, which only a repeated
//! event id with another content can make; null, a value that was cleared, is the smallest.

use std::cmp::Ordering;

use arrow::array::{
    Array, ArrayRef, FixedSizeBinaryArray, FixedSizeBinaryBuilder, RecordBatch,
    TimestampMicrosecondArray, make_comparator, new_null_array,
};
use arrow::compute::SortOptions;
use arrow::datatypes::DataType;

use super::scalar::instant_array;
use super::{columns, pick, typed};
use crate::Error;
use crate::groups::{NOBODY, Rows, bytes_at};
use crate::layout::{Order, Part};

/// A value that was told: when, by which event, and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    pub(crate) at: i64,
    pub(crate) by: u128,
    /// Index of the array of values, and of the row in it.
    pub(crate) place: (u32, u32),
}

/// Whether the newcomer replaces what is kept.
pub(crate) fn replaces(
    new: &Told,
    kept: &Told,
    order: Order,
    values: &[&ArrayRef],
) -> Result<bool, Error> {
    let ordering = match (new.at, new.by).cmp(&(kept.at, kept.by)) {
        Ordering::Equal => {
            let [a, b] = [new, kept].map(|told| values[told.place.0 as usize]);
            let compare = make_comparator(a, b, SortOptions::default())?;
            compare(new.place.1 as usize, kept.place.1 as usize)
        }
        decided @ (Ordering::Less | Ordering::Greater) => decided,
    };
    Ok(match order {
        Order::Earliest => ordering == Ordering::Less,
        Order::Latest => ordering == Ordering::Greater,
    })
}

/// Offers a value to a slot.
pub(crate) fn offer(
    slot: &mut Option<Told>,
    new: Told,
    order: Order,
    values: &[&ArrayRef],
) -> Result<(), Error> {
    let wins = match slot {
        None => true,
        Some(kept) => replaces(&new, kept, order, values)?,
    };
    if wins {
        *slot = Some(new);
    }
    Ok(())
}

/// The winner of each group.
pub(crate) fn winners(
    part: &Part,
    order: Order,
    partials: &[RecordBatch],
    rows: &Rows,
) -> Result<Vec<Option<Told>>, Error> {
    let values = columns(partials, &part.column)?;
    let ats = typed::<TimestampMicrosecondArray>(partials, &part.at_column())?;
    let bys = typed::<FixedSizeBinaryArray>(partials, &part.by_column())?;
    let mut kept: Vec<Option<Told>> = vec![None; rows.count];
    for (batch, of) in rows.of.iter().enumerate() {
        let (at, by) = (ats[batch], bys[batch]);
        for (row, group) in of.iter().enumerate() {
            if *group == NOBODY || at.is_null(row) {
                continue;
            }
            let new = Told {
                at: at.value(row),
                by: u128::from_be_bytes(bytes_at(by, row)),
                place: (batch as u32, row as u32),
            };
            offer(&mut kept[*group as usize], new, order, &values)?;
        }
    }
    Ok(kept)
}

/// The values that won, null where nothing did.
pub(crate) fn value_array(
    values: &[&ArrayRef],
    data_type: &DataType,
    kept: &[Option<Told>],
) -> Result<ArrayRef, Error> {
    let nothing = new_null_array(data_type, 1);
    let mut arrays = values.to_vec();
    arrays.push(&nothing);
    let places: Vec<(usize, usize)> = kept
        .iter()
        .map(|kept| match kept {
            Some(told) => (told.place.0 as usize, told.place.1 as usize),
            None => (values.len(), 0),
        })
        .collect();
    pick(&arrays, &places)
}

/// The event ids that won.
pub(crate) fn by_array(kept: &[Option<Told>]) -> Result<ArrayRef, Error> {
    let mut ids = FixedSizeBinaryBuilder::with_capacity(kept.len(), 16);
    for kept in kept {
        match kept {
            Some(told) => ids.append_value(told.by.to_be_bytes())?,
            None => ids.append_null(),
        }
    }
    Ok(std::sync::Arc::new(ids.finish()))
}

/// The times that won.
pub(crate) fn at_array(kept: &[Option<Told>]) -> ArrayRef {
    instant_array(kept.iter().map(|kept| kept.map(|told| told.at)).collect())
}

pub(super) fn merge(
    part: &Part,
    order: Order,
    data_type: &DataType,
    partials: &[RecordBatch],
    rows: &Rows,
    until: Option<i64>,
) -> Result<Vec<ArrayRef>, Error> {
    let mut kept = winners(part, order, partials, rows)?;
    if let Some(until) = until {
        // After the merge, not before: what an older file still knows must not show through, or the answer would
        // depend on compaction.
        for slot in &mut kept {
            *slot = slot.filter(|told| told.at <= until);
        }
    }
    let values = columns(partials, &part.column)?;
    Ok(vec![
        value_array(&values, data_type, &kept)?,
        at_array(&kept),
        by_array(&kept)?,
    ])
}
