//! How far an import came: written durably after each acknowledged batch.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::ImportError;

const VERSION: u32 = 1;

/// How much of a file's beginning identifies it, in bytes.
const HEAD: u64 = 64 << 10;

/// How many lines are named of those that a warning was given about.
const FIRST_LINES: usize = 5;

/// How far an import came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// The format of this record.
    pub version: u32,
    /// SHA-256 of the mapping.
    pub mapping: String,
    /// SHA-256 of the beginning of the file, and how long that beginning is.
    pub head: (String, u64),
    /// Rows read and answered for.
    pub rows: u64,
    /// Events in the journal. Some may be there twice, and count once: an event is recognised as a
    /// repetition here as far back as intake remembers, else where profiles are built.
    pub journalled: u64,
    /// Those of them that profiles are built from; the others are decisions and facts.
    #[serde(default)]
    pub profiled: u64,
    /// Events that were there already.
    pub duplicates: u64,
    /// Rows or events refused.
    pub rejected: u64,
    /// How often each reason to refuse was given, with its column in front.
    #[serde(default)]
    pub reasons: BTreeMap<String, u64>,
    /// How often each warning was given about an event that was taken: code, field, message.
    #[serde(default)]
    pub warnings: BTreeMap<String, u64>,
    /// On which lines each warning was given first.
    #[serde(default)]
    pub warning_lines: BTreeMap<String, Vec<u64>>,
    /// Whether the end of the file was reached.
    pub finished: bool,
}

impl Progress {
    /// The progress recorded for this file under this mapping, or a new one.
    pub(super) fn load(path: &Path, input: &Path, mapping: &str) -> Result<Self, ImportError> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Self {
                    version: VERSION,
                    mapping: mapping.to_owned(),
                    head: head(input, HEAD)?,
                    rows: 0,
                    journalled: 0,
                    profiled: 0,
                    duplicates: 0,
                    rejected: 0,
                    reasons: BTreeMap::new(),
                    warnings: BTreeMap::new(),
                    warning_lines: BTreeMap::new(),
                    finished: false,
                });
            }
            Err(source) => return Err(file("read", path, source)),
        };
        let another = |what| ImportError::ProgressOfAnother {
            path: path.to_owned(),
            what,
        };
        let mut found: Self = serde_json::from_slice(&text).map_err(|_| another("version"))?;
        if found.version != VERSION {
            return Err(another("version"));
        }
        if found.mapping != mapping {
            return Err(another("mapping"));
        }
        // A file that has grown since is the same file.
        if found.head != head(input, found.head.1)? {
            return Err(another("file"));
        }
        found.finished = false;
        Ok(found)
    }

    /// Counts a warning about a line.
    pub(super) fn warn(&mut self, text: String, line: u64) {
        let text = count(&mut self.warnings, text);
        let lines = self.warning_lines.entry(text).or_default();
        if lines.len() < FIRST_LINES && lines.last() != Some(&line) {
            lines.push(line);
        }
    }

    /// Replaces the record, durably: either the old or the new one stands.
    pub(super) fn store(&self, path: &Path) -> Result<(), ImportError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let new = PathBuf::from(name);
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&new)?;
            serde_json::to_writer(&mut file, self)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            std::fs::rename(&new, path)?;
            let parent = path
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
        };
        write().map_err(|source| file("write", path, source))
    }
}

/// Counts a text, as long as there are not too many different ones to be read. Returns what it is
/// counted as.
pub(super) fn count(counts: &mut BTreeMap<String, u64>, text: String) -> String {
    /// A record is written after every batch: it has to stay small.
    const MOST: usize = 100;
    let text = if counts.len() < MOST || counts.contains_key(&text) {
        text
    } else {
        "others".to_owned()
    };
    *counts.entry(text.clone()).or_default() += 1;
    text
}

fn head(path: &Path, length: u64) -> Result<(String, u64), ImportError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(length).read_to_end(&mut bytes))
        .map_err(|source| file("read", path, source))?;
    Ok((hex::encode(Sha256::digest(&bytes)), bytes.len() as u64))
}

fn file(action: &'static str, path: &Path, source: std::io::Error) -> ImportError {
    ImportError::File {
        action,
        path: path.to_owned(),
        source,
    }
}
