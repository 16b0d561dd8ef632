//! What can stop an import as a whole.

use std::path::PathBuf;

/// A mapping that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct MappingError {
    /// Line of the mapping, from 1.
    pub line: u64,
    /// Column of the mapping, from 1.
    pub column: u64,
    /// What is wrong and what to do.
    pub message: String,
}

/// An import that stopped. What was acknowledged stays; running it again goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file cannot be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The file is not of the format that the mapping names.
    #[error("{} is not {format}: line {line} cannot be read", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// `CSV` or `NDJSON`.
        format: &'static str,
        /// Line, from 1.
        line: u64,
    },
    /// A column that the mapping names is not in the file.
    #[error("the file has no column {column:?}; its columns are {}", columns.join(", "))]
    ColumnMissing {
        /// The column.
        column: String,
        /// The columns there are.
        columns: Vec<String>,
    },
    /// The progress file is about something else.
    #[error(
        "{} belongs to another {what}; remove it to import from the beginning",
        path.display()
    )]
    ProgressOfAnother {
        /// The progress file.
        path: PathBuf,
        /// `file`, `mapping` or `version`.
        what: &'static str,
    },
    /// Intake did not take a batch.
    #[error("the batch that ends before row {row} was not taken")]
    Intake {
        /// The first row after the batch, from 1.
        row: u64,
        /// Why not.
        #[source]
        source: crate::Error,
    },
}
