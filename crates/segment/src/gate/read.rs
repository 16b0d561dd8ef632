//! The reading itself: selected rows in, masked and cut batches out. Nothing denied passes this file.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray, new_null_array,
};
use arrow::datatypes::{Field, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::files::damaged;
use super::input::{Access, Cut, Input, InputColumn};
use super::mask::Mask;
use super::place::Gate;
use super::retention::{buckets, since};
use super::selection::Walk;
use super::standing::Cover;
use super::work::Piece;
use crate::error::{Error, Result};
use crate::guards::Guard;

/// Rows per batch.
const BATCH_ROWS: usize = 8_192;

/// Lawful rows, with the subject of each.
#[derive(Debug)]
pub(crate) struct Lawful {
    pub(crate) batch: RecordBatch,
    /// Subjects by number, each with its rows.
    pub(crate) spans: Vec<(u32, Range<usize>)>,
    /// The pick of the piece's selection that the first of them belongs to; each of the others to the next.
    pub(crate) first_pick: usize,
}

/// Reads the selected rows of a piece and hands them on batch by batch, until `next` says stop by returning `false`.
pub(crate) fn read(
    gate: &Gate,
    input: &Input,
    piece: &Piece,
    mut next: impl FnMut(Lawful) -> Result<bool>,
) -> Result<()> {
    let mut walk = Walk::new(&piece.selection.picks);
    for batch in open(input, piece)? {
        gate.go_on()?;
        let batch = batch.map_err(|error| {
            tracing::error!(%error, "a profile file could not be read");
            damaged("its pages do not read")
        })?;
        let first_pick = walk.passed();
        let spans = walk.next(batch.num_rows()).ok_or_else(misaligned)?;
        let batch = vet(gate, input, &batch, &spans)?;
        let lawful = Lawful {
            batch,
            spans,
            first_pick,
        };
        if !next(lawful)? {
            return Ok(());
        }
    }
    if walk.is_finished() {
        Ok(())
    } else {
        Err(misaligned())
    }
}

/// The reader returned other rows than were selected: whose they are is unknown, so none may pass.
fn misaligned() -> Error {
    Error::internal(
        "selection",
        "a profile file returned other rows than were asked for",
    )
}

fn open(input: &Input, piece: &Piece) -> Result<ParquetRecordBatchReader> {
    let metadata = piece.file.metadata.clone();
    let mut roots = Vec::new();
    for column in input.columns.iter().filter(|column| is_read(column)) {
        let Ok(root) = metadata.schema().index_of(&column.name) else {
            continue;
        };
        if !metadata
            .schema()
            .field(root)
            .data_type()
            .equals_datatype(&column.data_type)
        {
            return Err(damaged("a column has another type than it should"));
        }
        roots.push(root);
    }
    let mask = ProjectionMask::roots(metadata.parquet_schema(), roots);
    let mut reader =
        ParquetRecordBatchReaderBuilder::new_with_metadata(piece.file.open()?, metadata)
            .with_row_groups(vec![piece.selection.group])
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS);
    let rows = piece.file.groups.get(piece.selection.group);
    if rows.is_none_or(|rows| piece.selection.rows != *rows as usize) {
        reader = reader.with_row_selection(piece.selection.to_parquet());
    }
    reader.build().map_err(|error| {
        tracing::error!(%error, "a profile file could not be read");
        damaged("it does not read as Parquet")
    })
}

fn is_read(column: &InputColumn) -> bool {
    match column.access {
        Access::Row | Access::Covered(_) | Access::Properties(_) => true,
        Access::Nobody => false,
    }
}

/// Masks what is not covered and cuts what is too old, column by column.
fn vet(
    gate: &Gate,
    input: &Input,
    batch: &RecordBatch,
    spans: &[(u32, Range<usize>)],
) -> Result<RecordBatch> {
    let mut fields = Vec::with_capacity(input.columns.len());
    let mut columns = Vec::with_capacity(input.columns.len());
    for column in &input.columns {
        fields.push(Field::new(&column.name, column.data_type.clone(), true));
        columns.push(match batch.column_by_name(&column.name) {
            Some(cells) if is_read(column) => {
                let cells = cover(gate, &column.access, cells, spans)?;
                cut(gate, &column.cut, &cells, batch)?
            }
            // Not read, or not yet there when the file was written.
            Some(_) | None => new_null_array(&column.data_type, batch.num_rows()),
        });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
        .map_err(|_| damaged("its columns do not fit together"))
}

fn cover(
    gate: &Gate,
    access: &Access,
    cells: &ArrayRef,
    spans: &[(u32, Range<usize>)],
) -> Result<ArrayRef> {
    match access {
        Access::Row => Ok(Arc::clone(cells)),
        Access::Nobody => Ok(new_null_array(cells.data_type(), cells.len())),
        // Nobody else's rows are read, so nobody has to be looked up.
        Access::Covered(cover) if cover.is_for_all_lawful() && gate.guards.stand(Guard::Rows) => {
            Ok(Arc::clone(cells))
        }
        Access::Covered(cover) => Mask::of(spans, |number| {
            gate.standing.covers(cover, number) || !gate.guards.stand(Guard::Cells)
        })
        .apply(cells, gate.guards)
        .map_err(|_| damaged("a column cannot be masked")),
        Access::Properties(properties) => objects(gate, properties, cells, spans),
    }
}

fn cut(gate: &Gate, cut: &Cut, cells: &ArrayRef, batch: &RecordBatch) -> Result<ArrayRef> {
    match cut {
        Cut::Nothing => Ok(Arc::clone(cells)),
        Cut::Before { at, start } => {
            let times = batch
                .column_by_name(at)
                .ok_or_else(|| damaged("a value has no time"))?;
            since(times, *start)?
                .apply(cells, gate.guards)
                .map_err(|_| damaged("a column cannot be masked"))
        }
        Cut::Days(first) => buckets(cells, *first),
    }
}

/// JSON objects with only those properties of which every category is covered, at every depth.
fn objects(
    gate: &Gate,
    properties: &[(String, Vec<Cover>)],
    cells: &ArrayRef,
    spans: &[(u32, Range<usize>)],
) -> Result<ArrayRef> {
    let texts = cells
        .as_string_opt::<i32>()
        .ok_or_else(|| damaged("properties are no text"))?;
    let mut kept: Vec<Option<String>> = Vec::with_capacity(texts.len());
    for (number, rows) in spans {
        let allowed: Vec<&str> = properties
            .iter()
            .filter(|(_, covers)| {
                let mut covers = covers.iter();
                covers.all(|cover| gate.standing.covers(cover, *number))
                    || !gate.guards.stand(Guard::Properties)
            })
            .map(|(name, _)| name.as_str())
            .collect();
        kept.extend(rows.clone().map(|row| {
            (!texts.is_null(row))
                .then(|| gate.private.only(texts.value(row), &allowed))
                .flatten()
        }));
    }
    Ok(Arc::new(StringArray::from(kept)))
}
