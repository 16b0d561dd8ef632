//! Parquet files of the projection: how they are written, and read back for merging.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::basic::{Compression, Encoding, Type, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::groups::{bytes_at, subjects};
use crate::layout::SUBJECT;
use crate::storage::{Staged, Storage};
use crate::{DataFile, Error};

/// A data file that is being written, from batches that are sorted and follow one another.
pub(crate) struct Writing {
    staged: Staged,
    path: PathBuf,
    written: DataFile,
    writer: ArrowWriter<Summing<BufWriter<File>>>,
}

impl Writing {
    /// Begins a file of that name.
    pub(crate) fn begin(
        storage: &dyn Storage,
        name: &str,
        schema: &SchemaRef,
        row_group_rows: usize,
    ) -> Result<Self, Error> {
        let path = storage.locate(name);
        let mut staged = storage.stage(name)?;
        let file = staged
            .file()
            .try_clone()
            .map_err(Error::io("write", &path))?;
        let summing = Summing {
            file: BufWriter::with_capacity(1 << 18, file),
            hash: crc32fast::Hasher::new(),
            bytes: 0,
        };
        let properties = properties(schema, row_group_rows)?;
        Ok(Self {
            staged,
            path,
            written: DataFile {
                path: name.to_owned(),
                rows: 0,
                bytes: 0,
                crc32: 0,
                first_subject: String::new(),
                last_subject: String::new(),
            },
            writer: ArrowWriter::try_new(summing, Arc::clone(schema), Some(properties))?,
        })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        note_subjects(&mut self.written, batch)?;
        self.written.rows += batch.num_rows() as u64;
        Ok(self.writer.write(batch)?)
    }

    /// The file, to be put into the storage; `None` when it has no rows.
    pub(crate) fn end(mut self) -> Result<Option<(DataFile, Staged)>, Error> {
        let mut summing = self.writer.into_inner()?;
        summing.flush().map_err(Error::io("write", &self.path))?;
        self.written.bytes = summing.bytes;
        self.written.crc32 = summing.hash.finalize();
        Ok((self.written.rows > 0).then_some((self.written, self.staged)))
    }
}

/// Writes one data file; `None` when the batches have no rows.
pub(crate) fn write(
    storage: &dyn Storage,
    name: &str,
    schema: &SchemaRef,
    row_group_rows: usize,
    batches: impl Iterator<Item = Result<RecordBatch, Error>>,
) -> Result<Option<(DataFile, Staged)>, Error> {
    let mut writing = Writing::begin(storage, name, schema, row_group_rows)?;
    for batch in batches {
        writing.write(&batch?)?;
    }
    writing.end()
}

fn note_subjects(written: &mut DataFile, batch: &RecordBatch) -> Result<(), Error> {
    if batch.schema_ref().field(0).name() != SUBJECT {
        return Ok(());
    }
    let subjects = subjects(batch)?;
    let hex = |row| format!("{:032x}", u128::from_be_bytes(bytes_at(subjects, row)));
    if written.rows == 0 {
        written.first_subject = hex(0);
    }
    written.last_subject = hex(subjects.len() - 1);
    Ok(())
}

/// zstd; whole numbers and times delta-encoded (halves the time of a scan: `performance.md` §3); ids that hardly
/// repeat without a dictionary.
fn properties(schema: &SchemaRef, row_group_rows: usize) -> Result<WriterProperties, Error> {
    // Where every row has another subject, a dictionary of subjects is the column twice.
    let one_row_a_subject = schema.column_with_name("first_seen").is_some();
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(Some(row_group_rows.max(1)))
        .set_statistics_enabled(EnabledStatistics::Page);
    for column in ArrowSchemaConverter::new().convert(schema)?.columns() {
        let path = ColumnPath::new(column.path().parts().to_vec());
        let name = column.path().parts().last().map_or("", String::as_str);
        match column.physical_type() {
            Type::INT32 | Type::INT64 => {
                properties = properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
            }
            Type::FIXED_LEN_BYTE_ARRAY
                if name.ends_with("by")
                    || name == "event_id"
                    || name == "hash"
                    || (name == SUBJECT && one_row_a_subject) =>
            {
                properties = properties.set_column_dictionary_enabled(path, false);
            }
            Type::FIXED_LEN_BYTE_ARRAY
            | Type::BOOLEAN
            | Type::INT96
            | Type::FLOAT
            | Type::DOUBLE
            | Type::BYTE_ARRAY => {}
        }
    }
    Ok(properties.build())
}

/// Counts and checks what passes.
struct Summing<W> {
    file: W,
    hash: crc32fast::Hasher,
    bytes: u64,
}

impl<W: Write> Write for Summing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Checks size and CRC-32 of a file, in constant memory.
pub(crate) fn verify(storage: &dyn Storage, file: &DataFile) -> Result<(), Error> {
    let path = storage.locate(&file.path);
    let mut reader = storage.open(file)?;
    let mut hash = crc32fast::Hasher::new();
    let mut bytes = 0_u64;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = reader.read(&mut buffer).map_err(Error::io("read", &path))?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
        bytes += read as u64;
    }
    if bytes != file.bytes {
        return Err(Error::corrupt(
            &path,
            format!("it has {bytes} bytes instead of {}", file.bytes),
        ));
    }
    if hash.finalize() != file.crc32 {
        return Err(Error::corrupt(&path, "its checksum does not match"));
    }
    Ok(())
}

/// The batches of a file, after its checksum was verified.
pub(crate) struct Batches {
    reader: ParquetRecordBatchReader,
    path: PathBuf,
}

pub(crate) fn read(
    storage: &dyn Storage,
    file: &DataFile,
    batch_rows: usize,
) -> Result<Batches, Error> {
    verify(storage, file)?;
    let path = storage.locate(&file.path);
    let reader = ParquetRecordBatchReaderBuilder::try_new(storage.open(file)?)
        .and_then(|builder| builder.with_batch_size(batch_rows).build())
        .map_err(|error| Error::corrupt(&path, format!("not as it was written: {error}")))?;
    Ok(Batches { reader, path })
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?;
        Some(
            batch.map_err(|error| {
                Error::corrupt(&self.path, format!("not as it was written: {error}"))
            }),
        )
    }
}
