//! Rows to bytes: table, JSON, NDJSON, CSV, Parquet and Arrow stream.
//!
//! Encoders only see batches that have left the gate. What they write is rebuilt from the values, batch by batch: each
//! is compacted first, so that no buffer behind a slice travels along. They stop at a limit of bytes, since text is often
//! longer than the values it is made of.

mod figures;
mod size;

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

pub(crate) use self::size::bytes_of;
use crate::engine::Limits;
use crate::error::{Error, ErrorKind, Result};

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// A drawn table, for people: floats are rounded. Every other format keeps them whole.
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

/// How many rows a drawn table may have: more is for a program to read.
const TABLE_ROWS: usize = 5_000;

/// Writes rows in a format, within the default limit of bytes.
///
/// # Errors
/// As [`encode_within`].
pub fn encode(format: Format, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Vec<u8>> {
    encode_within(Limits::default().bytes, format, schema, batches)
}

/// Writes rows in a format, batch by batch, as long as it takes at most `most` bytes.
///
/// # Errors
/// `Invalid` when a cell has no text, such as an instant beyond the calendar; `Exhausted` beyond `most`, or when a table
/// would be too long to read; `Internal` when an encoder fails. The text holds no value.
pub(crate) fn encode_within(
    most: usize,
    format: Format,
    schema: &SchemaRef,
    batches: &[RecordBatch],
) -> Result<Vec<u8>> {
    let mut written = Written {
        bytes: Vec::new(),
        most,
        full: false,
    };
    let batches = batches.iter().map(|batch| {
        let batch = compact(batch)?;
        if !matches!(format, Format::Parquet | Format::Arrow) {
            legible(&batch)?;
        }
        Ok(batch)
    });
    let outcome = match format {
        Format::Table => table(&mut written, schema, batches),
        Format::Json => json(&mut written, batches),
        Format::Ndjson => ndjson(&mut written, batches),
        Format::Csv => csv(&mut written, schema, batches),
        Format::Parquet => parquet(&mut written, schema, batches),
        Format::Arrow => arrow_stream(&mut written, schema, batches),
    };
    // An encoder calls it a fault of the writer.
    if written.full {
        return Err(too_many_bytes(most));
    }
    outcome.map(|()| written.bytes)
}

/// The refusal of a result that is too large.
pub(crate) fn too_many_bytes(most: usize) -> Error {
    Error::new(
        ErrorKind::Exhausted,
        "byte_limit",
        format!("the result has more than {most} bytes"),
    )
    .help("select fewer columns, add a LIMIT or aggregate")
}

/// Bytes written so far, up to a limit.
struct Written {
    bytes: Vec<u8>,
    most: usize,
    full: bool,
}

impl std::io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if bytes.len() > self.most - self.bytes.len() {
            self.full = true;
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
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

fn table(
    written: &mut Written,
    schema: &SchemaRef,
    batches: impl Iterator<Item = Result<RecordBatch>>,
) -> Result<()> {
    let mut drawn = Vec::new();
    let (mut lines, mut widths) = (0_usize, vec![0_usize; schema.fields().len()]);
    for batch in batches {
        let batch = batch?;
        lines += batch.num_rows();
        if lines > TABLE_ROWS {
            return Err(too_long_a_table());
        }
        drawn.push(batch);
    }
    let (schema, drawn) = figures::rounded(schema, drawn)?;
    for batch in &drawn {
        lines += measure(batch, &mut widths)?;
    }
    // Every line is as wide as the widest cell of each column.
    let width = widths.iter().fold(0_usize, |sum, w| sum.saturating_add(*w));
    if width.saturating_mul(lines) > written.most {
        return Err(too_many_bytes(written.most));
    }
    let drawn =
        arrow::util::pretty::pretty_format_batches_with_schema(schema, &drawn).map_err(failed)?;
    writeln!(written, "{drawn}").map_err(failed)
}

fn too_long_a_table() -> Error {
    Error::new(
        ErrorKind::Exhausted,
        "table_too_long",
        format!("a drawn table has at most {TABLE_ROWS} rows"),
    )
    .help("add a LIMIT, or ask for csv or ndjson")
}

/// Widens `widths` to the cells of a batch, in bytes; returns how many lines they add within rows.
fn measure(batch: &RecordBatch, widths: &mut [usize]) -> Result<usize> {
    let options = FormatOptions::default();
    let mut breaks = vec![0_usize; batch.num_rows()];
    let mut text = String::new();
    for (column, width) in batch.columns().iter().zip(widths) {
        let formatter = ArrayFormatter::try_new(column, &options).map_err(failed)?;
        for (row, breaks) in breaks.iter_mut().enumerate() {
            text.clear();
            write!(text, "{}", formatter.value(row)).map_err(failed)?;
            *width = (*width).max(text.len());
            *breaks = (*breaks).max(text.matches('\n').count());
        }
    }
    Ok(breaks.into_iter().sum())
}

fn json(written: &mut Written, batches: impl Iterator<Item = Result<RecordBatch>>) -> Result<()> {
    let mut writer = arrow::json::ArrayWriter::new(&mut *written);
    for batch in batches {
        writer.write(&batch?).map_err(failed)?;
    }
    writer.finish().map_err(failed)?;
    drop(writer);
    let end: &[u8] = match written.bytes.is_empty() {
        true => b"[]\n",
        false => b"\n",
    };
    written.write_all(end).map_err(failed)
}

fn ndjson(written: &mut Written, batches: impl Iterator<Item = Result<RecordBatch>>) -> Result<()> {
    let mut writer = arrow::json::LineDelimitedWriter::new(written);
    for batch in batches {
        writer.write(&batch?).map_err(failed)?;
    }
    writer.finish().map_err(failed)
}

fn parquet(
    written: &mut Written,
    schema: &SchemaRef,
    batches: impl Iterator<Item = Result<RecordBatch>>,
) -> Result<()> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by("assent".to_owned())
        .build();
    let mut writer =
        ArrowWriter::try_new(written, Arc::clone(schema), Some(properties)).map_err(failed)?;
    for batch in batches {
        writer.write(&batch?).map_err(failed)?;
    }
    writer.close().map_err(failed).map(|_| ())
}

fn arrow_stream(
    written: &mut Written,
    schema: &SchemaRef,
    batches: impl Iterator<Item = Result<RecordBatch>>,
) -> Result<()> {
    let mut writer = arrow::ipc::writer::StreamWriter::try_new(written, schema).map_err(failed)?;
    for batch in batches {
        writer.write(&batch?).map_err(failed)?;
    }
    writer.finish().map_err(failed)
}

fn csv(
    written: &mut Written,
    schema: &SchemaRef,
    batches: impl Iterator<Item = Result<RecordBatch>>,
) -> Result<()> {
    let header = RecordBatch::new_empty(Arc::new(Schema::new(
        schema
            .fields()
            .iter()
            .map(|field| Field::new(neutral(field.name()), field.data_type().clone(), true))
            .collect::<Vec<_>>(),
    )));
    write_csv(written, &header, true)?;
    for batch in batches {
        write_csv(written, &texts(&batch?)?, false)?;
    }
    Ok(())
}

fn write_csv(written: &mut Written, batch: &RecordBatch, header: bool) -> Result<()> {
    let mut writer = arrow::csv::WriterBuilder::new()
        .with_header(header)
        .build(&mut *written);
    writer.write(batch).map_err(failed)?;
    drop(writer);
    written.flush().map_err(failed)
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
        let mut raw = Written {
            bytes: Vec::new(),
            most: 10_000,
            full: false,
        };
        arrow_stream(&mut raw, &schema, batches.into_iter().map(Ok)).expect("control");
        let raw = raw.bytes;
        assert!(raw.windows(4).any(|window| window == b"=cmd"), "control");
    }

    #[test]
    fn every_format_stops_at_the_limit_of_bytes() {
        let texts: StringArray = (0..2_000)
            .map(|n| Some(format!("text {n} \u{1}")))
            .collect();
        let batch =
            RecordBatch::try_from_iter([("t", Arc::new(texts) as ArrayRef)]).expect("batch");
        let (schema, batches) = (batch.schema(), vec![batch; 2]);
        for format in Format::ALL {
            let whole = encode(format, &schema, &batches).expect("within");
            let least = match format {
                // Padding and lines between count in advance, to the byte or more.
                Format::Table => whole.len() / 2,
                Format::Json | Format::Ndjson | Format::Csv | Format::Parquet | Format::Arrow => {
                    let same = encode_within(whole.len(), format, &schema, &batches);
                    assert_eq!(same.expect("just within"), whole, "{format}");
                    whole.len() - 1
                }
            };
            let error = encode_within(least, format, &schema, &batches).expect_err("beyond");
            assert_eq!(
                (error.kind(), error.code()),
                (ErrorKind::Exhausted, "byte_limit"),
                "{format}"
            );
        }
    }

    #[test]
    fn a_table_is_for_people_to_read() {
        let wide: StringArray = std::iter::once(Some("x".repeat(100_000)))
            .chain((0..2_499).map(|_| Some("y".to_owned())))
            .collect();
        let batch = RecordBatch::try_from_iter([("t", Arc::new(wide) as ArrayRef)]).expect("batch");
        let schema = batch.schema();
        let error = encode_within(
            100 << 20,
            Format::Table,
            &schema,
            std::slice::from_ref(&batch),
        )
        .expect_err("each row is as wide as the widest");
        assert_eq!(error.code(), "byte_limit");
        let narrow = vec![batch.slice(1, 2_499); 3];
        encode(Format::Table, &schema, &narrow[..2]).expect("fits");
        let error = encode(Format::Table, &schema, &narrow).expect_err("too long");
        assert_eq!(error.code(), "table_too_long");
        assert!(
            error.fix().is_some_and(|fix| fix.contains("csv")),
            "{error}"
        );
        encode(Format::Csv, &schema, &narrow).expect("any length");
    }

    #[test]
    fn only_a_table_rounds() {
        let spent = arrow::array::Float64Array::from(vec![0.1 + 0.2]);
        let batch =
            RecordBatch::try_from_iter([("spent", Arc::new(spent) as ArrayRef)]).expect("batch");
        let text = |format| {
            let bytes = encode(format, &batch.schema(), std::slice::from_ref(&batch));
            String::from_utf8(bytes.expect("text")).expect("utf-8")
        };
        assert!(text(Format::Table).contains("| 0.30 "));
        for format in [Format::Json, Format::Ndjson, Format::Csv] {
            assert!(text(format).contains("0.30000000000000004"), "{format}");
        }
    }

    #[test]
    fn columns_that_share_their_values_count_each() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(1_000); 100]));
        let one = RecordBatch::try_from_iter([("a", Arc::clone(&texts))]).expect("batch");
        let two =
            RecordBatch::try_from_iter([("a", Arc::clone(&texts)), ("b", texts)]).expect("batch");
        let bytes = bytes_of(&one).expect("bytes");
        assert!((100_000..110_000).contains(&bytes), "{bytes}");
        assert_eq!(bytes_of(&two).expect("bytes"), 2 * bytes);
        assert!(bytes_of(&one.slice(0, 1)).expect("bytes") < 2_000);
    }
}
