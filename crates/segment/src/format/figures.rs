//! How a drawn table shows floating-point numbers: rounded, for people. Every other format keeps each value whole.
//!
//! Money is summed as floats, and 0.1 + 0.2 is not 0.30000000000000004 to whoever reads. A column has as many decimals as
//! its values need: none where all are whole, else two, and more as long as rounding would move a value by more than
//! [`TOLERANCE`] of itself.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};

use super::failed;
use crate::error::Result;

/// Decimals of a column whose values are not all whole: those of money.
const LEAST: usize = 2;
/// Decimals of a column at most.
const MOST: usize = 6;
/// How far rounding may move a value, as a share of it.
const TOLERANCE: f64 = 1e-3;
/// What is smaller than this share of the largest value of its column is what additions leave behind.
const RESIDUE: f64 = 1e-12;
/// From here on a value is written with an exponent.
const HUGE: f64 = 1e15;

/// The batches with their columns of floats as texts.
///
/// # Errors
/// `Internal` when a column does not cast.
pub(super) fn rounded(
    schema: &SchemaRef,
    mut batches: Vec<RecordBatch>,
) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let mut schema = Arc::clone(schema);
    for index in 0..schema.fields().len() {
        if !schema.field(index).data_type().is_floating() {
            continue;
        }
        let columns: Vec<ArrayRef> = batches
            .iter()
            .map(|batch| cast(batch.column(index), &DataType::Float64).map_err(failed))
            .collect::<Result<_>>()?;
        let columns: Vec<&Float64Array> = columns
            .iter()
            .map(|column| column.as_primitive::<Float64Type>())
            .collect();
        let values: Vec<f64> = columns
            .iter()
            .flat_map(|column| column.iter().flatten())
            .collect();
        let figures = Figures::of(&values);
        let texts = columns.iter().map(|column| {
            let texts = column
                .iter()
                .map(|value| value.map(|value| figures.text(value)));
            Arc::new(texts.collect::<StringArray>()) as ArrayRef
        });
        schema = with_texts(&schema, index);
        batches = batches
            .iter()
            .zip(texts)
            .map(|(batch, texts)| {
                let mut columns = batch.columns().to_vec();
                columns[index] = texts;
                RecordBatch::try_new(with_texts(&batch.schema(), index), columns).map_err(failed)
            })
            .collect::<Result<_>>()?;
    }
    Ok((schema, batches))
}

/// The schema with texts in this column.
fn with_texts(schema: &Schema, index: usize) -> SchemaRef {
    let fields = schema.fields().iter().enumerate().map(|(at, field)| {
        if at == index {
            Arc::new(Field::new(field.name(), DataType::Utf8, true))
        } else {
            Arc::clone(field)
        }
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// How one column is written.
struct Figures {
    decimals: usize,
    /// What is not larger than this shows as nought.
    residue: f64,
}

impl Figures {
    fn of(values: &[f64]) -> Self {
        let plain = || values.iter().copied().filter(|value| value.abs() < HUGE);
        let residue = plain().map(f64::abs).fold(0.0, f64::max) * RESIDUE;
        let decimals = plain()
            .filter(|value| value.abs() > residue)
            .map(|value| decimals(value, residue))
            .max();
        Self {
            decimals: decimals.unwrap_or_default(),
            residue,
        }
    }

    fn text(&self, value: f64) -> String {
        let decimals = self.decimals;
        if value.abs() <= self.residue {
            return format!("{:.decimals$}", 0.0);
        }
        let text = format!("{value:.decimals$}");
        // Also of what is no number.
        if value.abs() < HUGE && text.contains(|digit: char| ('1'..='9').contains(&digit)) {
            text
        } else {
            format!("{value:e}")
        }
    }
}

/// How many decimals a value needs.
fn decimals(value: f64, residue: f64) -> usize {
    if (value - value.round()).abs() <= residue.max(value.abs() * RESIDUE) {
        return 0;
    }
    let near = |decimals: &usize| {
        let rounded: f64 = format!("{value:.decimals$}").parse().unwrap_or(f64::NAN);
        (rounded - value).abs() <= value.abs() * TOLERANCE
    };
    (LEAST..=MOST).find(near).unwrap_or(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(values: &[Option<f64>]) -> Vec<Option<String>> {
        let column = Arc::new(Float64Array::from(values.to_vec())) as ArrayRef;
        let batch = RecordBatch::try_from_iter([("f", column)]).expect("a batch");
        // Decimals are the column's, not the batch's.
        let halves = values.len() / 2;
        let batches = vec![
            batch.slice(0, halves),
            batch.slice(halves, values.len() - halves),
        ];
        let (_, batches) = rounded(&batch.schema(), batches).expect("texts");
        batches
            .iter()
            .flat_map(|batch| batch.column(0).as_string::<i32>().iter())
            .map(|cell| cell.map(str::to_owned))
            .collect()
    }

    fn of(values: &[f64]) -> Vec<String> {
        let values: Vec<Option<f64>> = values.iter().copied().map(Some).collect();
        drawn(&values).into_iter().flatten().collect()
    }

    #[test]
    fn money_has_two_decimals() {
        assert_eq!(of(&[1234.5, 0.1 + 0.2]), ["1234.50", "0.30"]);
        assert_eq!(of(&[0.05, 98.0, -3.999]), ["0.05", "98.00", "-4.00"]);
        assert_eq!(of(&[370.0 / 3.0, 88.0]), ["123.33", "88.00"]);
        assert_eq!(
            drawn(&[None, Some(2.5), None]),
            [None, Some("2.50".to_owned()), None]
        );
    }

    #[test]
    fn what_is_whole_stays_whole() {
        assert_eq!(of(&[300.0, 42.0, 0.0, -0.0]), ["300", "42", "0", "0"]);
        assert_eq!(of(&[300.000_000_000_000_06]), ["300"]);
        assert_eq!(of(&[]), [""; 0]);
    }

    #[test]
    fn shares_keep_three_figures() {
        assert_eq!(of(&[0.4567, 0.4589]), ["0.457", "0.459"]);
        assert_eq!(of(&[0.000_123_456]), ["0.000123"]);
        assert_eq!(of(&[1.0, 1e-9]), ["1.000000", "1e-9"]);
    }

    #[test]
    fn what_an_addition_leaves_behind_is_nought() {
        assert_eq!(of(&[12.5, 0.1 + 0.2 - 0.3]), ["12.50", "0.00"]);
    }

    #[test]
    fn what_is_no_amount_is_written_out() {
        assert_eq!(
            of(&[1e300, f64::NAN, f64::NEG_INFINITY, 1.5]),
            ["1e300", "NaN", "-inf", "1.50"]
        );
    }
}
