//! The logical content of a table as text: what I4 tests compare.

use std::fmt::Write as _;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::compact::conform;
use crate::groups::Rows;
use crate::layout::Layout;
use crate::merge::partial_rows;
use crate::{Error, Snapshot, Table};

/// The logical rows of a table, sorted: partial rows merged per subject (and key), events as they are. Two snapshots
/// that say the same have the same dump, however their files are cut.
///
/// # Errors
/// [`Error::Corrupt`] naming a damaged file.
pub fn canonical_dump(snapshot: &Snapshot, table: Table) -> Result<Vec<String>, Error> {
    let catalog = &snapshot.definitions().catalog;
    let schema = Snapshot::file_schema(table, catalog);
    let batches = snapshot
        .read(table)?
        .iter()
        .map(|batch| conform(batch, &schema))
        .collect::<Result<Vec<_>, _>>()?;
    let logical = match Layout::of(table, catalog) {
        Some(layout) => {
            let rows = Rows::by_key(&batches, layout.key)?;
            partial_rows(&layout, &batches, &rows)?
        }
        None => concat_batches(&schema, &batches)?,
    };
    let mut lines = lines(&logical)?;
    lines.sort();
    Ok(lines)
}

fn lines(batch: &RecordBatch) -> Result<Vec<String>, Error> {
    let options = FormatOptions::default().with_null("∅");
    let columns = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
        .collect::<Result<Vec<_>, _>>()?;
    let mut lines = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let mut line = String::new();
        for (field, column) in batch.schema_ref().fields().iter().zip(&columns) {
            let _infallible = write!(line, "{}={} ", field.name(), column.value(row));
        }
        lines.push(line);
    }
    Ok(lines)
}
