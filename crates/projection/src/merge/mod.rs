//! Merging partial rows, part by part: the operation of the monoid, used by the fold, by compaction and by readers.
//!
//! Rows are scattered into dense groups; each part is merged by itself, so only one part's state is held at a time.
//! Null is neutral. Nothing here depends on the order of batches or rows (I4).

pub(crate) mod days;
pub(crate) mod scalar;
pub(crate) mod told;

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, RecordBatch, Scalar, TimestampMicrosecondArray, new_null_array,
};
use arrow::compute::interleave;
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::{Field, Schema};

use crate::Error;
use crate::groups::Rows;
use crate::layout::{Layout, Part, Rule, SUBJECT};

/// The column of that name in every batch.
pub(crate) fn columns<'b>(
    batches: &'b [RecordBatch],
    name: &str,
) -> Result<Vec<&'b ArrayRef>, Error> {
    batches
        .iter()
        .map(|batch| {
            batch
                .column_by_name(name)
                .ok_or_else(|| Error::shape(format!("the column `{name}` is missing")))
        })
        .collect()
}

/// The columns of that name, downcast.
pub(crate) fn typed<'b, T: 'static>(
    batches: &'b [RecordBatch],
    name: &str,
) -> Result<Vec<&'b T>, Error> {
    columns(batches, name)?
        .into_iter()
        .map(|column| downcast(column.as_ref(), name))
        .collect()
}

pub(crate) fn downcast<'b, T: 'static>(column: &'b dyn Array, name: &str) -> Result<&'b T, Error> {
    column.as_any().downcast_ref().ok_or_else(|| {
        Error::shape(format!(
            "the column `{name}` has type {}",
            column.data_type()
        ))
    })
}

/// One value per group, taken from the (batch, row) given.
pub(crate) fn pick(arrays: &[&ArrayRef], from: &[(usize, usize)]) -> Result<ArrayRef, Error> {
    let arrays: Vec<&dyn Array> = arrays.iter().map(|array| array.as_ref()).collect();
    Ok(interleave(&arrays, from)?)
}

/// Merges one part; the columns come in the order of [`Part::fields`], the value first. A told value that won and is stamped
/// later than `until` becomes null; without `until`, nothing can be.
pub(crate) fn part(
    part: &Part,
    partials: &[RecordBatch],
    rows: &Rows,
    until: Option<i64>,
) -> Result<Vec<ArrayRef>, Error> {
    if rows.each {
        return as_it_is(part, partials, until);
    }
    match &part.rule {
        Rule::At(order) => Ok(vec![scalar::at(&part.column, *order, partials, rows)?]),
        Rule::Count => Ok(vec![scalar::count(&part.column, partials, rows)?]),
        Rule::Sum => Ok(vec![scalar::sum(&part.column, partials, rows)?]),
        Rule::Told(order, data_type) => told::merge(part, *order, data_type, partials, rows, until),
        Rule::Days(cell) => Ok(vec![days::merge(&part.column, *cell, partials, rows)?]),
    }
}

/// The value of a part of which every row is a group of its own.
fn as_it_is(
    part: &Part,
    partials: &[RecordBatch],
    until: Option<i64>,
) -> Result<Vec<ArrayRef>, Error> {
    let [value] = columns(partials, &part.column)?[..] else {
        return Err(Error::shape("rows by themselves lie in one batch"));
    };
    let value = match (&part.rule, until) {
        (Rule::Told(..), Some(until)) => {
            let [at] = typed::<TimestampMicrosecondArray>(partials, &part.at_column())?[..] else {
                return Err(Error::shape("rows by themselves lie in one batch"));
            };
            let known: BooleanArray = at
                .iter()
                .map(|at| Some(at.is_some_and(|at| at <= until)))
                .collect();
            if known.true_count() == known.len() {
                Arc::clone(value)
            } else {
                // Not `nullif`, which keeps the bytes under the nulls.
                zip(
                    &known,
                    value,
                    &Scalar::new(new_null_array(value.data_type(), 1)),
                )?
            }
        }
        (Rule::Told(..) | Rule::At(_) | Rule::Count | Rule::Sum | Rule::Days(_), _) => {
            Arc::clone(value)
        }
    };
    Ok(vec![value])
}

/// Merges the rows of a table into one partial row per group, in the order of the groups.
pub(crate) fn partial_rows(
    layout: &Layout,
    partials: &[RecordBatch],
    rows: &Rows,
) -> Result<RecordBatch, Error> {
    let schema = layout.schema();
    if rows.count == 0 {
        return Ok(RecordBatch::new_empty(schema));
    }
    let first = rows.representatives();
    let mut merged = vec![
        pick(&columns(partials, SUBJECT)?, &first)?,
        pick(&columns(partials, layout.key)?, &first)?,
    ];
    for p in &layout.parts {
        merged.extend(part(p, partials, rows, None)?);
    }
    Ok(RecordBatch::try_new(schema, merged)?)
}

/// Merges only the values of the parts, beside key columns made by the caller.
pub(crate) fn values(
    mut fields: Vec<Field>,
    mut merged: Vec<ArrayRef>,
    parts: &[&Part],
    partials: &[RecordBatch],
    rows: &Rows,
    until: Option<i64>,
) -> Result<RecordBatch, Error> {
    for p in parts {
        fields.extend(p.fields().into_iter().take(1));
        merged.extend(part(p, partials, rows, until)?.into_iter().take(1));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), merged)?)
}
