//! What can go wrong in the projection, and what to do about it. No message carries personal data.

use std::path::{Path, PathBuf};

/// What the caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request or the programme is wrong; mend it.
    Invalid,
    /// What was asked for is not there.
    NotFound,
    /// What is stored or in use contradicts what the caller wants; the message says who must give way.
    Conflict,
    /// A store refuses this caller.
    Denied,
    /// Something needed cannot be reached now; try again later.
    Unavailable,
    /// What is stored cannot be trusted; `assent project --rebuild`, or restore the journal or the vault.
    Corrupt,
    /// A defect of this program.
    Internal,
}

impl ErrorKind {
    /// A stable lower-case name, for logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Denied => "denied",
            Self::Unavailable => "unavailable",
            Self::Corrupt => "corrupt",
            Self::Internal => "internal",
        }
    }
}

/// An error of the projection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused an operation on a file of the projection.
    #[error("cannot {verb} {}", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A manifest or data file is damaged.
    #[error(
        "{} is damaged ({what}); rebuild the projection from the journal: assent project --rebuild",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The manifest was written by a newer version of this program.
    #[error("{} has format {found}, this program reads {known}; use a newer program", path.display())]
    Format {
        /// The manifest.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// The manifest was written by an older version of this program, which cut the projection otherwise.
    #[error(
        "{} has format {found}, this program reads {known}; rebuild the projection from the journal: assent project --rebuild",
        path.display()
    )]
    Outdated {
        /// The manifest.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The format read here.
        known: u32,
    },
    /// A damaged or outdated projection is being rebuilt and cannot be shown yet.
    #[error(
        "the projection is being rebuilt (manifest {number}); ask again when `assent project` is done"
    )]
    Rebuilding {
        /// The newest manifest.
        number: u64,
    },
    /// Whether a commit stands could not be learnt: its number was refused and nothing is there, or it was created so
    /// late that it may follow nothing.
    #[error(
        "it is unknown whether manifest {number} was committed; run again to continue from what stands"
    )]
    Unsettled {
        /// The number.
        number: u64,
    },
    /// An object store failed.
    #[error("cannot {verb} {}", path.display())]
    Storage {
        /// What was tried.
        verb: &'static str,
        /// The object.
        path: PathBuf,
        /// What the caller can do.
        kind: ErrorKind,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An object store ignores the condition under which commits exclude each other.
    #[error(
        "{place} lets two creations of one object succeed, so projectors would overwrite each other's commits; \
         take a store that honours `If-None-Match: *` when an object is put, or a directory"
    )]
    NotExclusive {
        /// The store.
        place: String,
    },
    /// Another process uses the directory of copies.
    #[error("another process holds {}; give each process a cache directory of its own", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The topics are not cut alike, or not as they were.
    #[error(
        "{topic} has {found} partitions instead of {expected}; a subject's shard is the same in every topic and for ever, \
         so make the topic anew with {expected}"
    )]
    Partitions {
        /// The topic.
        topic: String,
        /// How many it has.
        found: u32,
        /// How many it should have.
        expected: u32,
    },
    /// The process has left the group that gives it shards.
    #[error("this process has left the group of projectors for good; start it again")]
    GroupLeft,
    /// The trait catalogue cannot become a table.
    #[error("the trait catalogue cannot be projected: {reason}")]
    Catalog {
        /// Why not, naming the trait.
        reason: String,
    },
    /// A record batch lacks a column or has it with another type.
    #[error("a partial batch does not fit the table: {reason}")]
    Shape {
        /// Which column, and how.
        reason: String,
    },
    /// The journal failed.
    #[error("the journal failed while the projection followed it")]
    Journal(#[from] assent_journal::Error),
    /// The vault could not open what stands in the journal. The projector stops: what cannot be opened is a
    /// tombstone only where the vault records that the key was destroyed.
    #[error("the vault could not open the records after {position}; nothing of them was committed")]
    Vault {
        /// The first record of the batch.
        position: String,
        /// Why not; names the event.
        #[source]
        source: Box<assent_vault::Error>,
    },
    /// Arrow refused an operation.
    #[error("arrow refused an operation")]
    Arrow(#[from] arrow::error::ArrowError),
    /// Parquet refused to write.
    #[error("a Parquet file cannot be written")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// A manifest could not be written as JSON.
    #[error("a manifest cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// The worker thread was cancelled or panicked.
    #[error("the projection's worker stopped before it was done: {reason}")]
    Worker {
        /// Why.
        reason: String,
    },
}

impl Error {
    /// What the caller can do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                _other => ErrorKind::Unavailable,
            },
            // What an older program wrote is not trusted either, and mended alike.
            Self::Corrupt { .. } | Self::Outdated { .. } => ErrorKind::Corrupt,
            Self::Format { .. } | Self::Catalog { .. } | Self::NotExclusive { .. } => {
                ErrorKind::Invalid
            }
            Self::Locked { .. } | Self::Partitions { .. } => ErrorKind::Conflict,
            Self::Rebuilding { .. } | Self::Unsettled { .. } | Self::GroupLeft => {
                ErrorKind::Unavailable
            }
            Self::Storage { kind, .. } => *kind,
            Self::Journal(error) => match error.kind() {
                assent_journal::ErrorKind::Invalid => ErrorKind::Invalid,
                assent_journal::ErrorKind::NotFound => ErrorKind::NotFound,
                assent_journal::ErrorKind::Conflict => ErrorKind::Conflict,
                assent_journal::ErrorKind::Denied => ErrorKind::Denied,
                assent_journal::ErrorKind::Unavailable => ErrorKind::Unavailable,
                assent_journal::ErrorKind::Corrupt => ErrorKind::Corrupt,
                assent_journal::ErrorKind::Internal => ErrorKind::Internal,
            },
            Self::Vault { source, .. } => match source.kind() {
                assent_vault::ErrorKind::Invalid => ErrorKind::Invalid,
                assent_vault::ErrorKind::NotFound => ErrorKind::NotFound,
                assent_vault::ErrorKind::Conflict => ErrorKind::Conflict,
                assent_vault::ErrorKind::Denied => ErrorKind::Denied,
                assent_vault::ErrorKind::Unavailable => ErrorKind::Unavailable,
                assent_vault::ErrorKind::Corrupt => ErrorKind::Corrupt,
                assent_vault::ErrorKind::Internal => ErrorKind::Internal,
            },
            Self::Shape { .. }
            | Self::Arrow(_)
            | Self::Parquet(_)
            | Self::Json(_)
            | Self::Worker { .. } => ErrorKind::Internal,
        }
    }

    pub(crate) fn io(verb: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { verb, path, source }
    }

    pub(crate) fn corrupt(path: &Path, what: impl Into<String>) -> Self {
        Self::Corrupt {
            path: path.to_owned(),
            what: what.into(),
        }
    }

    pub(crate) fn shape(reason: impl Into<String>) -> Self {
        Self::Shape {
            reason: reason.into(),
        }
    }
}
