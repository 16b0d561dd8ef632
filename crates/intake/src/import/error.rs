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

impl MappingError {
    pub(super) fn at(place: &serde_saphyr::Location, message: impl Into<String>) -> Self {
        Self {
            line: place.line(),
            column: place.column(),
            message: message.into(),
        }
    }
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
    /// The mapping does not fit the programme. Nothing was sent.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// The file where rejected rows would be listed holds something else, which stays as it is.
    #[error("{} is there already and is no list of rejected rows; name another file", path.display())]
    RejectsElsewhere {
        /// The file.
        path: PathBuf,
    },
    /// The names of the columns are not UTF-8.
    #[error(
        "{} is not UTF-8; convert it first, such as with iconv -f GB18030 -t UTF-8",
        path.display()
    )]
    Encoding {
        /// The file.
        path: PathBuf,
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
    /// A column that the mapping names is in the file more than once.
    #[error("the column {column:?} stands twice in the file; leave one of them")]
    ColumnTwice {
        /// The column.
        column: String,
    },
    /// The progress file is about something else.
    #[error(
        "how far the import came ({}) belongs to another {what}; --restart imports from the beginning",
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

impl ImportError {
    /// Whether the call was wrong: the mapping, or what it is used with. Nothing was sent then, and
    /// the same call will not do better.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Mapping(_)
            | Self::RejectsElsewhere { .. }
            | Self::Encoding { .. }
            | Self::ColumnMissing { .. }
            | Self::ColumnTwice { .. }
            | Self::ProgressOfAnother { .. } => true,
            Self::File { .. } | Self::Format { .. } | Self::Intake { .. } => false,
        }
    }
}
