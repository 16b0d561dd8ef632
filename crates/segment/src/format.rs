//! Rows to bytes: table, JSON, NDJSON, CSV, Parquet and Arrow stream.
//!
//! Encoders only see batches that have left the gate. What they write is rebuilt from the values: a batch is compacted
//! first, so that no buffer behind a slice travels along.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::error::{Error, Result};

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// A drawn table, for people.
    Table,
    /// One JSON array of objects.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// RFC 4180, UTF-8, with a header line; cells that a spreadsheet would run are neutralised.
    Csv,
    /// One Parquet file, zstd.
    Parquet,
    /// The Arrow IPC stream format.
    Arrow,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 6] = [
        Self::Table,
        Self::Json,
        Self::Ndjson,
        Self::Csv,
        Self::Parquet,
        Self::Arrow,
    ];

    /// The name used on the command line, and the extension of a file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
        }
    }

    /// The media type of the bytes.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Table => "text/plain; charset=utf-8",
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == text)
            .ok_or_else(|| {
                Error::invalid("format_unknown", "there is no such format")
                    .help("table, json, ndjson, csv, parquet or arrow")
            })
    }
}

/// Writes rows in a format.
///
/// # Errors
/// `Invalid` when a cell has no text, such as an instant beyond the calendar; `Internal` when an encoder fails. The text
/// holds no value.
pub fn encode(format: Format, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let compacted = batches
        .iter()
        .map(compact)
        .collect::<Result<Vec<RecordBatch>>>()?;
    if !matches!(format, Format::Parquet | Format::Arrow) {
        compacted.iter().try_for_each(legible)?;
    }
    match format {
        Format::Table => table(schema, &compacted),
        Format::Json => json(&compacted),
        Format::Ndjson => ndjson(&compacted),
        Format::Csv => csv(schema, &compacted),
        Format::Parquet => parquet(schema, &compacted),
        Format::Arrow => arrow_stream(schema, &compacted),
    }
}

fn failed<E>(_: E) -> Error {
    Error::internal("encoding", "the result could not be written in that format")
}

/// Copies every value, leaving behind whatever else the buffers hold.
fn compact(batch: &RecordBatch) -> Result<RecordBatch> {
    if batch.num_columns() == 0 {
        return Ok(batch.clone());
    }
    let rows = u64::try_from(batch.num_rows()).map_err(failed)?;
    take_record_batch(batch, &UInt64Array::from_iter_values(0..rows)).map_err(failed)
}

/// Refuses a batch with a cell that has no text: encoders would write the reason into the cell.
fn legible(batch: &RecordBatch) -> Result<()> {
    let options = FormatOptions::default().with_display_error(false);
    let mut text = String::new();
    for column in batch.columns() {
        let always = column.data_type().is_integer()
            || column.data_type().is_floating()
            || matches!(
                column.data_type(),
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Boolean
            );
        if always {
            continue;
        }
        let formatter = ArrayFormatter::try_new(column, &options).map_err(failed)?;
        for row in 0..column.len() {
            text.clear();
            write!(text, "{}", formatter.value(row)).map_err(|_| {
                Error::invalid(
                    "cell_without_text",
                    "a value of the result lies outside what can be written, such as a time beyond the calendar",
                )
                .help("bound it in the query, or ask for parquet or arrow")
            })?;
        }
    }
    Ok(())
}

fn table(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let drawn = arrow::util::pretty::pretty_format_batches_with_schema(Arc::clone(schema), batches)
        .map_err(failed)?;
    Ok(format!("{drawn}\n").into_bytes())
}

fn json(batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let mut writer = arrow::json::ArrayWriter::new(Vec::new());
    for batch in batches {
        writer.write(batch).map_err(failed)?;
    }
    writer.finish().map_err(failed)?;
    let mut bytes = writer.into_inner();
    if bytes.is_empty() {
        bytes.extend_from_slice(b"[]");
    }
    bytes.push(b'\n');
    Ok(bytes)
}

fn ndjson(batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    for batch in batches {
        writer.write(batch).map_err(failed)?;
    }
    writer.finish().map_err(failed)?;
    Ok(writer.into_inner())
}

fn parquet(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by("assent".to_owned())
        .build();
    let mut writer =
        ArrowWriter::try_new(Vec::new(), Arc::clone(schema), Some(properties)).map_err(failed)?;
    for batch in batches {
        writer.write(batch).map_err(failed)?;
    }
    writer.into_inner().map_err(failed)
}

fn arrow_stream(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let mut writer =
        arrow::ipc::writer::StreamWriter::try_new(Vec::new(), schema).map_err(failed)?;
    for batch in batches {
        writer.write(batch).map_err(failed)?;
    }
    writer.into_inner().map_err(failed)
}

fn csv(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let header = RecordBatch::new_empty(Arc::new(Schema::new(
        schema
            .fields()
            .iter()
            .map(|field| Field::new(neutral(field.name()), field.data_type().clone(), true))
            .collect::<Vec<_>>(),
    )));
    write_csv(&mut bytes, &header, true)?;
    for batch in batches {
        write_csv(&mut bytes, &texts(batch)?, false)?;
    }
    Ok(bytes)
}

fn write_csv(bytes: &mut Vec<u8>, batch: &RecordBatch, header: bool) -> Result<()> {
    let mut writer = arrow::csv::WriterBuilder::new()
        .with_header(header)
        .build(&mut *bytes);
    writer.write(batch).map_err(failed)?;
    drop(writer);
    bytes.flush().map_err(failed)
}

/// The batch as texts; numbers keep their sign, every other cell is neutralised.
fn texts(batch: &RecordBatch) -> Result<RecordBatch> {
    let options = FormatOptions::default();
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let number = field.data_type().is_numeric();
        let formatter = ArrayFormatter::try_new(column, &options).map_err(failed)?;
        let cells: StringArray = (0..column.len())
            .map(|row| {
                (!column.is_null(row)).then(|| {
                    let text = formatter.value(row).to_string();
                    if number { text } else { neutral(&text) }
                })
            })
            .collect();
        fields.push(Field::new(field.name(), DataType::Utf8, true));
        columns.push(Arc::new(cells));
    }
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
        .map_err(failed)
}

/// Puts an apostrophe before a cell that a spreadsheet would take for a formula (also behind a tab or a line break).
fn neutral(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int64Array;

    fn sample() -> (SchemaRef, Vec<RecordBatch>) {
        let batch = RecordBatch::try_from_iter(vec![
            (
                "name",
                Arc::new(StringArray::from(vec![
                    Some("=cmd()"),
                    Some("a,\"b\""),
                    Some("@x"),
                    None,
                ])) as ArrayRef,
            ),
            (
                "n",
                Arc::new(Int64Array::from(vec![Some(-1), Some(2), None, Some(4)])) as ArrayRef,
            ),
        ])
        .expect("batch");
        (batch.schema(), vec![batch])
    }

    #[test]
    fn csv_runs_no_formula_and_keeps_negative_numbers() {
        let (schema, batches) = sample();
        let text =
            String::from_utf8(encode(Format::Csv, &schema, &batches).expect("csv")).expect("utf-8");
        assert_eq!(text, "name,n\n'=cmd(),-1\n\"a,\"\"b\"\"\",2\n'@x,\n,4\n");
    }

    #[test]
    fn an_empty_result_is_still_a_document() {
        let (schema, _) = sample();
        assert_eq!(encode(Format::Json, &schema, &[]).expect("json"), b"[]\n");
        assert_eq!(encode(Format::Ndjson, &schema, &[]).expect("ndjson"), b"");
        assert_eq!(encode(Format::Csv, &schema, &[]).expect("csv"), b"name,n\n");
        assert!(
            !encode(Format::Parquet, &schema, &[])
                .expect("parquet")
                .is_empty()
        );
        assert!(
            !encode(Format::Arrow, &schema, &[])
                .expect("arrow")
                .is_empty()
        );
    }

    #[test]
    fn what_is_sliced_away_does_not_travel_in_the_buffers() {
        let (schema, batches) = sample();
        let slice = vec![batches[0].slice(1, 1)];
        let bytes = encode(Format::Arrow, &schema, &slice).expect("arrow");
        assert!(!bytes.windows(4).any(|window| window == b"=cmd"));
        let raw = arrow_stream(&schema, &batches).expect("control");
        assert!(raw.windows(4).any(|window| window == b"=cmd"), "control");
    }
}
