//! Instants, counts and sums.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Decimal128Array, Int64Array, RecordBatch, TimestampMicrosecondArray,
};

use super::typed;
use crate::Error;
use crate::groups::{NOBODY, Rows};
use crate::layout::{Order, SUM_SCALE};

/// Calls `offer` with (group, batch, row) for every row that takes part and whose cell is not null.
pub(crate) fn visit<'a, A: Array>(
    columns: &[&'a A],
    rows: &Rows,
    mut offer: impl FnMut(usize, &'a A, usize),
) {
    for (column, of) in columns.iter().zip(&rows.of) {
        let nulls = column.nulls();
        for (row, group) in of.iter().enumerate() {
            if *group != NOBODY && nulls.is_none_or(|nulls| nulls.is_valid(row)) {
                offer(*group as usize, column, row);
            }
        }
    }
}

/// Keeps the earlier or the later of two.
pub(crate) fn keep(slot: &mut Option<i64>, at: i64, order: Order) {
    *slot = Some(match (*slot, order) {
        (None, Order::Earliest | Order::Latest) => at,
        (Some(kept), Order::Earliest) => kept.min(at),
        (Some(kept), Order::Latest) => kept.max(at),
    });
}

/// The earliest or latest instant of each group.
pub(crate) fn instants(
    name: &str,
    order: Order,
    partials: &[RecordBatch],
    rows: &Rows,
) -> Result<Vec<Option<i64>>, Error> {
    let columns = typed::<TimestampMicrosecondArray>(partials, name)?;
    let mut kept = vec![None; rows.count];
    visit(&columns, rows, |group, column, row| {
        keep(&mut kept[group], column.value(row), order);
    });
    Ok(kept)
}

/// An array of instants.
pub(crate) fn instant_array(instants: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(instants).with_timezone("+00:00"))
}

pub(super) fn at(
    name: &str,
    order: Order,
    partials: &[RecordBatch],
    rows: &Rows,
) -> Result<ArrayRef, Error> {
    Ok(instant_array(instants(name, order, partials, rows)?))
}

/// The number of events of each group. Wrapping, so that it stays associative in any case.
pub(crate) fn counts(
    name: &str,
    partials: &[RecordBatch],
    rows: &Rows,
) -> Result<Vec<Option<i64>>, Error> {
    let columns = typed::<Int64Array>(partials, name)?;
    let mut total: Vec<Option<i64>> = vec![None; rows.count];
    visit(&columns, rows, |group, column, row| {
        let slot = &mut total[group];
        *slot = Some(slot.unwrap_or(0).wrapping_add(column.value(row)));
    });
    Ok(total)
}

pub(super) fn count(name: &str, partials: &[RecordBatch], rows: &Rows) -> Result<ArrayRef, Error> {
    Ok(Arc::new(Int64Array::from(counts(name, partials, rows)?)))
}

/// The exact sum of each group, in millionths.
pub(crate) fn sums(
    name: &str,
    partials: &[RecordBatch],
    rows: &Rows,
) -> Result<Vec<Option<i128>>, Error> {
    let columns = typed::<Decimal128Array>(partials, name)?;
    let mut total: Vec<Option<i128>> = vec![None; rows.count];
    visit(&columns, rows, |group, column, row| {
        let slot = &mut total[group];
        *slot = Some(slot.unwrap_or(0).wrapping_add(column.value(row)));
    });
    Ok(total)
}

/// An array of exact sums.
pub(crate) fn sum_array(sums: Vec<Option<i128>>) -> Result<ArrayRef, Error> {
    Ok(Arc::new(
        Decimal128Array::from(sums).with_precision_and_scale(38, SUM_SCALE)?,
    ))
}

pub(super) fn sum(name: &str, partials: &[RecordBatch], rows: &Rows) -> Result<ArrayRef, Error> {
    sum_array(sums(name, partials, rows)?)
}
