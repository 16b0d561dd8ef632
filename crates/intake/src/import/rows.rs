//! The rows of a file, one at a time: cells by column, and what makes a row's message id.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::error::ImportError;
use super::mapping::{Format, Mapping};

/// One row.
pub(super) struct Row {
    /// Line of the file on which it starts, from 1.
    pub(super) line: u64,
    /// What identifies it; the beginning of the message ids of its events.
    pub(super) id: String,
    /// Its cells; `None` when the row itself is malformed.
    pub(super) cells: Option<Cells>,
}

/// Cells by column.
pub(super) struct Cells(BTreeMap<String, Value>);

impl Cells {
    /// The cell of a column; a column of NDJSON may be a JSON pointer.
    pub(super) fn get(&self, column: &str) -> Option<&Value> {
        let direct = self.0.get(column);
        direct.or_else(|| {
            let (first, rest) = column.strip_prefix('/')?.split_once('/')?;
            self.0.get(first)?.pointer(&format!("/{rest}"))
        })
    }
}

/// Reads rows.
pub(super) struct Rows<'m> {
    mapping: &'m Mapping,
    path: PathBuf,
    reader: Reader,
    /// How often the same contents came before. Grows with the number of distinct rows (about 40
    /// bytes each) unless the mapping names a key.
    seen: HashMap<u128, u32>,
}

enum Reader {
    Csv {
        reader: Box<csv::Reader<File>>,
        columns: Vec<String>,
        record: csv::StringRecord,
    },
    Ndjson {
        reader: BufReader<File>,
        line: u64,
    },
}

impl<'m> Rows<'m> {
    pub(super) fn open(path: &Path, mapping: &'m Mapping) -> Result<Self, ImportError> {
        let file = File::open(path).map_err(|source| ImportError::File {
            action: "read",
            path: path.to_owned(),
            source,
        })?;
        let reader = match mapping.raw.format {
            Format::Csv => csv_reader(file, path, mapping)?,
            Format::Ndjson => Reader::Ndjson {
                reader: BufReader::new(file),
                line: 0,
            },
        };
        Ok(Self {
            mapping,
            path: path.to_owned(),
            reader,
            seen: HashMap::new(),
        })
    }

    /// The next row, or `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Row>, ImportError> {
        let Some((line, cells)) = self.read()? else {
            return Ok(None);
        };
        let id = self.id(line, cells.as_ref());
        Ok(Some(Row { line, id, cells }))
    }

    fn read(&mut self) -> Result<Option<(u64, Option<Cells>)>, ImportError> {
        match &mut self.reader {
            Reader::Csv {
                reader,
                columns,
                record,
            } => {
                let before = reader.position().line();
                match reader.read_record(record) {
                    Ok(false) => Ok(None),
                    Ok(true) => {
                        let line = record.position().map_or(before, csv::Position::line);
                        let cells = columns
                            .iter()
                            .cloned()
                            .zip(record.iter().map(Value::from))
                            .collect();
                        Ok(Some((line, Some(Cells(cells)))))
                    }
                    // A row with too few cells or with bytes that are not UTF-8 is one bad row.
                    Err(error) if !error.is_io_error() => Ok(Some((before, None))),
                    Err(_) => Err(unreadable(&self.path, "CSV", before)),
                }
            }
            Reader::Ndjson { reader, line } => loop {
                let mut bytes = Vec::new();
                let read = reader.read_until(b'\n', &mut bytes);
                if read.map_err(|_| unreadable(&self.path, "NDJSON", *line))? == 0 {
                    return Ok(None);
                }
                *line += 1;
                if bytes.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                let cells = match serde_json::from_slice(&bytes) {
                    Ok(Value::Object(fields)) => Some(Cells(fields.into_iter().collect())),
                    Ok(_) | Err(_) => None,
                };
                return Ok(Some((*line, cells)));
            },
        }
    }

    /// By the key if there is one, else by the contents and their repetition: a re-run gives every
    /// row the same id, and rows that are equal keep different ones.
    fn id(&mut self, line: u64, cells: Option<&Cells>) -> String {
        let mut hasher = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        };
        part(self.mapping.name().as_bytes());
        match cells {
            None => part(&line.to_be_bytes()),
            Some(cells) if self.mapping.raw.key.is_empty() => {
                for (column, value) in &cells.0 {
                    part(column.as_bytes());
                    part(value.to_string().as_bytes());
                }
            }
            Some(cells) => {
                for column in &self.mapping.raw.key {
                    let value = cells.get(column).unwrap_or(&Value::Null);
                    part(value.to_string().as_bytes());
                }
            }
        }
        let digest: [u8; 32] = hasher.finalize().into();
        let (half, _) = digest
            .split_first_chunk::<16>()
            .expect("32 is more than 16");
        let contents = hex::encode(half);
        if !self.mapping.raw.key.is_empty() {
            return format!("{}-{contents}", self.mapping.name());
        }
        let times = self.seen.entry(u128::from_be_bytes(*half)).or_insert(0);
        *times += 1;
        format!("{}-{contents}-{times}", self.mapping.name())
    }
}

fn csv_reader(file: File, path: &Path, mapping: &Mapping) -> Result<Reader, ImportError> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(u8::try_from(mapping.raw.delimiter.value).unwrap_or(b','))
        .from_reader(file);
    let header = reader.headers().map_err(|_| unreadable(path, "CSV", 1))?;
    // A byte order mark is no part of the first column's name.
    let columns: Vec<String> = header
        .iter()
        .map(|name| name.trim_start_matches('\u{feff}').to_owned())
        .collect();
    for column in mapping.columns() {
        if !columns.iter().any(|known| known == column) {
            return Err(ImportError::ColumnMissing {
                column: column.to_owned(),
                columns,
            });
        }
    }
    Ok(Reader::Csv {
        reader: Box::new(reader),
        columns,
        record: csv::StringRecord::new(),
    })
}

fn unreadable(path: &Path, format: &'static str, line: u64) -> ImportError {
    ImportError::Format {
        path: path.to_owned(),
        format,
        line,
    }
}
