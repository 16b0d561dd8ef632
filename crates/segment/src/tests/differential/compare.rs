//! Whether two answers are the same answer.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::sql::{Limit, Query};
use crate::tests::plain::{Failure, Outcome};
use crate::{Error, QueryResult};

/// Relative difference up to which two numbers whose last digits depend on the order of rows count as equal.
const TOLERANCE: f64 = 1e-6;

/// How two answers agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agreement {
    /// In their rows, so many.
    Rows(usize),
    /// In their rows, but for an order that one of them, or both, did not keep.
    Disorder(usize),
    /// In failing the same way.
    Failure(String),
}

/// Compares what a session answered with what the plain engine says of `query`; `whole` is the plain answer without
/// the limit, for queries that have one.
///
/// # Errors
/// What differs.
pub fn compare(
    query: &Query,
    ours: &Result<QueryResult, Error>,
    plain: &Outcome,
    whole: Option<&Outcome>,
) -> Result<Agreement, String> {
    match (ours, plain) {
        (Ok(ours), Ok(plain)) => {
            same_types(&ours.schema, &plain.schema)?;
            let ours = table(&ours.batches, query.inexact);
            let plain = table(&plain.batches, query.inexact);
            if query.ordered && same(&ours, &plain) {
                return Ok(Agreement::Rows(ours.len()));
            }
            match (&query.limit, whole) {
                (Some(limit), Some(Ok(whole))) => {
                    taken_from(&ours, table(&whole.batches, query.inexact), limit)?;
                }
                (Some(_), _) => return Err("the query without its limit failed".to_owned()),
                (None, _) => same_rows(&ours, &plain)?,
            }
            Ok(if query.ordered {
                Agreement::Disorder(ours.len())
            } else {
                Agreement::Rows(ours.len())
            })
        }
        (Err(ours), Err(plain)) => same_failure(ours, plain),
        (Ok(ours), Err(plain)) => Err(format!(
            "{} rows, where the plain engine fails: {}",
            ours.rows, plain.text
        )),
        (Err(ours), Ok(plain)) => Err(format!(
            "{} ({ours}), where the plain engine has {} rows",
            ours.code(),
            plain
                .batches
                .iter()
                .map(RecordBatch::num_rows)
                .sum::<usize>()
        )),
    }
}

fn same_failure(ours: &Error, plain: &Failure) -> Result<Agreement, String> {
    // Codes of planning; the plain engine has one class for all of them.
    let planning = [
        "ambiguous_column",
        "cannot_be_planned",
        "constant",
        "duplicate_column",
        "not_supported",
        // What only fails to become physical is told like what fails while it runs.
        "query_failed",
        "syntax",
        "unknown_column",
    ];
    // An assertion of the engine breaks on whichever task computes it.
    let broken = ["query", "query_failed"];
    let same = match plain.class.as_str() {
        "plan" => planning.contains(&ours.code()),
        "panic" | "query_failed" => broken.contains(&ours.code()),
        class => class == ours.code(),
    };
    if same {
        Ok(Agreement::Failure(ours.code().to_owned()))
    } else {
        Err(format!(
            "{} ({ours}), where the plain engine says {}: {}",
            ours.code(),
            plain.class,
            plain.text
        ))
    }
}

fn same_types(ours: &SchemaRef, plain: &SchemaRef) -> Result<(), String> {
    let types = |schema: &SchemaRef| -> Vec<(String, DataType)> {
        schema
            .fields()
            .iter()
            .map(|field| (field.name().clone(), field.data_type().clone()))
            .collect()
    };
    let (ours, plain) = (types(ours), types(plain));
    if ours == plain {
        Ok(())
    } else {
        Err(format!(
            "columns {ours:?}, where the plain engine has {plain:?}"
        ))
    }
}

/// A cell: its text, or a number that may differ in its last digits.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
enum Shown {
    Text(String),
    About(f64),
}

type Row = Vec<Shown>;

fn table(batches: &[RecordBatch], inexact: bool) -> Vec<Row> {
    let options = FormatOptions::default().with_null("∅");
    let mut rows = Vec::new();
    for batch in batches {
        let formatters: Vec<ArrayFormatter<'_>> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).expect("a formatter"))
            .collect();
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().zip(&formatters);
            rows.push(
                cells
                    .map(|(column, formatter)| {
                        match column.as_primitive_opt::<Float64Type>() {
                            Some(numbers) if inexact && numbers.is_valid(row) => {
                                Shown::About(numbers.value(row))
                            }
                            // Zero has two signs that SQL does not tell apart.
                            Some(numbers) if numbers.is_valid(row) => {
                                Shown::Text(format!("{:?}", numbers.value(row) + 0.0))
                            }
                            Some(_) | None => {
                                Shown::Text(match formatter.value(row).try_to_string() {
                                    Ok(text) => text,
                                    Err(_) => "no text".to_owned(),
                                })
                            }
                        }
                    })
                    .collect(),
            );
        }
    }
    rows
}

fn same(ours: &[Row], plain: &[Row]) -> bool {
    ours.len() == plain.len() && ours.iter().zip(plain).all(|(a, b)| near(a, b))
}

/// Whether these are the same rows, in whatever order.
fn same_rows(ours: &[Row], plain: &[Row]) -> Result<(), String> {
    let sorted = |rows: &[Row]| {
        let mut rows = rows.to_vec();
        rows.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
        rows
    };
    if same(&sorted(ours), &sorted(plain)) {
        return Ok(());
    }
    let only = |these: &[Row], those: &[Row]| -> Vec<String> {
        let mut left = those.to_vec();
        let missing = these.iter().filter(|row| !take(&mut left, row));
        missing.take(3).map(|row| format!("{row:?}")).collect()
    };
    let (more, fewer) = (only(ours, plain), only(plain, ours));
    if more.is_empty() && fewer.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{} rows against {}; only ours: {more:?}; only plain: {fewer:?}",
        ours.len(),
        plain.len(),
    ))
}

/// Takes such a row out, if there is one.
fn take(rows: &mut Vec<Row>, row: &Row) -> bool {
    let place = rows.iter().position(|other| near(row, other));
    place.map(|place| rows.swap_remove(place)).is_some()
}

fn near(a: &Row, b: &Row) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|cells| match cells {
            (Shown::About(a), Shown::About(b)) => {
                a == b
                    || (a.is_nan() && b.is_nan())
                    || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()).max(1.0)
            }
            (a, b) => a == b,
        })
}

/// Whether a limit could have taken these rows from the whole.
fn taken_from(rows: &[Row], mut whole: Vec<Row>, limit: &Limit) -> Result<(), String> {
    let expected = whole.len().saturating_sub(limit.skipped).min(limit.rows);
    if rows.len() != expected {
        return Err(format!("{} rows, where {expected} are to be", rows.len()));
    }
    match rows.iter().find(|row| !take(&mut whole, row)) {
        Some(row) => Err(format!("a row that the whole does not have: {row:?}")),
        None => Ok(()),
    }
}

/// Everything a failure says.
pub fn said(error: &Error) -> String {
    format!("{error} {error:?}")
}
