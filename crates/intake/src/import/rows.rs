//! The rows of a file, one at a time: cells by column, and what makes a row's message id.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::cell::BadCell;
use super::error::ImportError;
use super::lines::Lines;
use super::mapping::{Format, Mapping};
use crate::json::Sent;
use crate::text;

/// One row.
pub(super) struct Row {
    /// Line of the file on which it starts, from 1.
    pub(super) line: u64,
    /// What identifies it; the beginning of the message ids of its events.
    pub(super) id: String,
    /// Its cells, or why the row as a whole cannot be used.
    pub(super) cells: Result<Cells, BadCell>,
}

/// The line of a row, and its cells or why it cannot be used.
type Read = (u64, Result<Cells, BadCell>);

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
    /// Without a key: how often the same contents came before. With one: the contents that came
    /// first under it, shortened. Grows with the number of distinct rows (about 40 bytes each).
    seen: HashMap<u128, u64>,
}

enum Reader {
    Csv {
        reader: Box<csv::Reader<Lines<File>>>,
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
        let cells = cells.and_then(|cells| self.keyed(cells));
        let id = self.id(line, cells.as_ref().ok());
        let cells = cells.and_then(|cells| self.first_of_key(&id, cells));
        let id = format!("{}-{}", self.mapping.name(), id.text());
        Ok(Some(Row { line, id, cells }))
    }

    fn read(&mut self) -> Result<Option<Read>, ImportError> {
        match &mut self.reader {
            Reader::Csv {
                reader,
                columns,
                record,
            } => {
                let offset = reader.position().byte();
                let read = reader.read_record(record);
                let line = reader.get_mut().of_record(offset);
                match read {
                    Ok(false) => Ok(None),
                    Ok(true) => {
                        let cells = columns
                            .iter()
                            .cloned()
                            .zip(record.iter().map(Value::from))
                            .collect();
                        Ok(Some((line, Ok(Cells(cells)))))
                    }
                    // A row with too few cells or with bytes that are not UTF-8 is one bad row.
                    Err(error) => match bad_record(&error, columns) {
                        Some(bad) => Ok(Some((line, Err(bad)))),
                        None => Err(unreadable(&self.path, "CSV", line)),
                    },
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
                return Ok(Some((*line, object(&bytes))));
            },
        }
    }

    /// A row whose key is empty is not the same as another such row: nothing can be said of it.
    fn keyed(&self, cells: Cells) -> Result<Cells, BadCell> {
        let empty = |column: &&String| match cells.get(column) {
            None | Some(Value::Null) => true,
            Some(Value::String(text)) => text.trim().is_empty(),
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => false,
        };
        if let Some(column) = self.mapping.raw.key.iter().find(empty) {
            return Err(BadCell {
                column: column.clone(),
                reason: "the key is empty, so the row could not be told from others".into(),
            });
        }
        let rounded = |column: &&String| cells.get(column).is_some_and(text::is_rounded);
        match self.mapping.raw.key.iter().find(rounded) {
            None => Ok(cells),
            Some(column) => Err(BadCell {
                column: column.clone(),
                reason: "the key is a number that readers of JSON round; write it as a text".into(),
            }),
        }
    }

    /// By the key if there is one, else by the contents and their repetition: a re-run gives every
    /// row the same id, and rows that are equal keep different ones.
    fn id(&mut self, line: u64, cells: Option<&Cells>) -> Id {
        let mut id = Hash::of(self.mapping.name());
        match cells {
            None => id.part(&line.to_be_bytes()),
            Some(cells) if self.mapping.raw.key.is_empty() => id.contents(cells),
            Some(cells) => {
                for column in &self.mapping.raw.key {
                    let value = cells.get(column).unwrap_or(&Value::Null);
                    id.part(value.to_string().as_bytes());
                }
            }
        }
        let digest = id.half();
        if !self.mapping.raw.key.is_empty() {
            return Id {
                digest,
                times: None,
            };
        }
        let times = self.seen.entry(digest).or_insert(0);
        *times += 1;
        Id {
            digest,
            times: Some(*times),
        }
    }

    /// Of the rows of one key the first stands; one with the same contents is its repetition, one
    /// with others would be lost without a word.
    fn first_of_key(&mut self, id: &Id, cells: Cells) -> Result<Cells, BadCell> {
        let Some(column) = self.mapping.raw.key.first() else {
            return Ok(cells);
        };
        let mut contents = Hash::of(self.mapping.name());
        contents.contents(&cells);
        // Half of a half is enough to tell two rows apart.
        let contents = (contents.half() >> 64) as u64;
        if *self.seen.entry(id.digest).or_insert(contents) == contents {
            return Ok(cells);
        }
        Err(BadCell {
            column: column.clone(),
            reason: "an earlier row has the same key and other contents; that one was taken. Name as `key` what tells \
                     them apart"
                .into(),
        })
    }
}

/// What identifies a row within its mapping.
struct Id {
    digest: u128,
    /// Which repetition of its contents it is, unless there is a key.
    times: Option<u64>,
}

impl Id {
    fn text(&self) -> String {
        match self.times {
            None => format!("{:032x}", self.digest),
            Some(times) => format!("{:032x}-{times}", self.digest),
        }
    }
}

/// A digest of parts that cannot run into each other.
struct Hash(Sha256);

impl Hash {
    fn of(first: &str) -> Self {
        let mut hash = Self(Sha256::new());
        hash.part(first.as_bytes());
        hash
    }

    fn part(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    fn contents(&mut self, cells: &Cells) {
        for (column, value) in &cells.0 {
            self.part(column.as_bytes());
            self.part(value.to_string().as_bytes());
        }
    }

    fn half(self) -> u128 {
        let digest: [u8; 32] = self.0.finalize().into();
        let (half, _) = digest
            .split_first_chunk::<16>()
            .expect("32 is more than 16");
        u128::from_be_bytes(*half)
    }
}

/// What is wrong with one record; `None` when the file cannot be read on.
fn bad_record(error: &csv::Error, columns: &[String]) -> Option<BadCell> {
    match error.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => {
            let fields = if *len == 1 { "field" } else { "fields" };
            Some(BadCell {
                column: String::new(),
                reason: format!("{len} {fields}, the header has {expected_len}").into(),
            })
        }
        csv::ErrorKind::Utf8 { err, .. } => Some(BadCell {
            column: columns.get(err.field()).cloned().unwrap_or_default(),
            reason: NOT_UTF8.into(),
        }),
        _ if error.is_io_error() => None,
        _ => Some(BadCell {
            column: String::new(),
            reason: "the row cannot be read".into(),
        }),
    }
}

/// One line of NDJSON.
fn object(line: &[u8]) -> Result<Cells, BadCell> {
    let bad = |reason: &'static str| BadCell {
        column: String::new(),
        reason: reason.into(),
    };
    let text = std::str::from_utf8(line).map_err(|_| bad(NOT_UTF8))?;
    match Sent::one(text.as_bytes()) {
        Ok(Sent { repeated: true, .. }) => Err(bad("a name stands twice in it")),
        Ok(Sent {
            value: Value::Object(fields),
            ..
        }) => Ok(Cells(fields.into_iter().collect())),
        Ok(_) => Err(bad("it is not a JSON object")),
        Err(_) => Err(bad("it is not JSON")),
    }
}

const NOT_UTF8: &str = "it is not UTF-8; convert the file first";

fn csv_reader(file: File, path: &Path, mapping: &Mapping) -> Result<Reader, ImportError> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(u8::try_from(mapping.raw.delimiter.value).unwrap_or(b','))
        .from_reader(Lines::new(file));
    let header = reader.headers().map_err(|error| match error.kind() {
        csv::ErrorKind::Utf8 { .. } => ImportError::Encoding {
            path: path.to_owned(),
        },
        _ => unreadable(path, "CSV", 1),
    })?;
    // A byte order mark is no part of the first column's name.
    let columns: Vec<String> = header
        .iter()
        .map(|name| name.trim_start_matches('\u{feff}').to_owned())
        .collect();
    for column in mapping.columns() {
        match columns.iter().filter(|known| *known == column).count() {
            1 => {}
            0 => {
                return Err(ImportError::ColumnMissing {
                    column: column.to_owned(),
                    columns,
                });
            }
            _ => {
                return Err(ImportError::ColumnTwice {
                    column: column.to_owned(),
                });
            }
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
