//! Why a whole request was not taken. What is wrong with one event of it is an
//! [`Outcome`](crate::Outcome) instead.

use assent_consent::Timestamp;

/// What the caller is to do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is wrong: change it before sending it again.
    Invalid,
    /// The request is larger than allowed: split it.
    TooLarge,
    /// The write key opens nothing.
    Denied,
    /// What is named does not exist.
    NotFound,
    /// Nothing was acknowledged; send the same request again later, message ids included.
    Unavailable,
    /// Stored bytes are damaged: an operator must act.
    Corrupt,
    /// A defect of the program.
    Internal,
}

/// A request that was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No source has this write key.
    #[error(
        "no source has this write key; take the key of a source in sources.yaml (the definitions \
         hold its SHA-256)"
    )]
    UnknownKey,
    /// There is no write key.
    #[error(
        "no write key; send it as the user name of HTTP Basic authentication, or as `writeKey`"
    )]
    KeyMissing,
    /// The two write keys of a request differ.
    #[error("the write key of the header and the `writeKey` of the body differ; send one of them")]
    KeysDisagree,
    /// There is no source of this id.
    #[error("there is no source {0:?}; sources are declared in sources.yaml")]
    UnknownSource(String),
    /// The body is not JSON.
    #[error("the body is not JSON (line {line}, column {column})")]
    NotJson {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// The body has the wrong shape as a whole.
    #[error("{0}")]
    Shape(&'static str),
    /// The body is too long.
    #[error("the body has {found} bytes, the limit is {limit}; send smaller batches")]
    BodyTooLarge {
        /// Its length.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// The body holds too many events.
    #[error("the body holds {found} events, the limit is {limit}; send smaller batches")]
    TooManyEvents {
        /// How many.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// The events of the body would become too many records.
    #[error(
        "the events of the body would become {found} records, the limit is {limit}; send smaller \
         batches, or fewer identifiers with each decision"
    )]
    TooManyRecords {
        /// How many.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// The clock is further ahead than can be believed. What is received would be received then, and
    /// everything after it, too.
    #[error(
        "the clock shows {now}, more than a day ahead of what was last received ({then}) and the time since; \
         nothing is taken in. Set the clock right; or, if it is right, start again with --today and the date"
    )]
    ClockAhead {
        /// What the clock shows.
        now: Timestamp,
        /// What it is held against.
        then: Timestamp,
    },
    /// The vault failed.
    #[error("the vault cannot be used; nothing was recorded")]
    Vault(#[from] assent_vault::Error),
    /// The journal failed.
    #[error(
        "the journal did not confirm the events, and may hold them all the same; send the same \
         request again, with the same message ids"
    )]
    Journal(#[from] assent_journal::Error),
    /// It cannot be told what other processes took in.
    #[error(
        "the journal cannot be asked what was recorded last; nothing was recorded, send the same request again"
    )]
    Unheard(#[source] crate::receive::Unheard),
    /// An event cannot be encoded.
    #[error("an event cannot be encoded")]
    Event(#[from] assent_event::Error),
    /// The work was interrupted by a shutdown or a defect.
    #[error("the request was interrupted; send it again, with the same message ids")]
    Interrupted,
}

impl Error {
    /// What the caller is to do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownKey | Self::KeyMissing | Self::KeysDisagree => ErrorKind::Denied,
            Self::UnknownSource(_) => ErrorKind::NotFound,
            Self::NotJson { .. } | Self::Shape(_) => ErrorKind::Invalid,
            Self::BodyTooLarge { .. }
            | Self::TooManyEvents { .. }
            | Self::TooManyRecords { .. } => ErrorKind::TooLarge,
            Self::Vault(error) => match error.kind() {
                assent_vault::ErrorKind::Corrupt => ErrorKind::Corrupt,
                assent_vault::ErrorKind::Internal => ErrorKind::Internal,
                assent_vault::ErrorKind::Invalid
                | assent_vault::ErrorKind::NotFound
                | assent_vault::ErrorKind::Conflict
                | assent_vault::ErrorKind::Denied
                | assent_vault::ErrorKind::Unavailable => ErrorKind::Unavailable,
            },
            Self::Journal(error) => match error.kind() {
                assent_journal::ErrorKind::Corrupt => ErrorKind::Corrupt,
                assent_journal::ErrorKind::Internal | assent_journal::ErrorKind::Invalid => {
                    ErrorKind::Internal
                }
                assent_journal::ErrorKind::NotFound
                | assent_journal::ErrorKind::Conflict
                | assent_journal::ErrorKind::Denied
                | assent_journal::ErrorKind::Unavailable => ErrorKind::Unavailable,
            },
            Self::Event(_) => ErrorKind::Internal,
            Self::Unheard(_) | Self::ClockAhead { .. } | Self::Interrupted => {
                ErrorKind::Unavailable
            }
        }
    }

    /// A stable code for the answer's `code`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownKey => "unknown_write_key",
            Self::KeyMissing => "write_key_missing",
            Self::KeysDisagree => "write_keys_disagree",
            Self::UnknownSource(_) => "unknown_source",
            Self::NotJson { .. } => "not_json",
            Self::Shape(_) => "wrong_shape",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::TooManyEvents { .. } => "too_many_events",
            Self::TooManyRecords { .. } => "too_many_records",
            Self::ClockAhead { .. } => "clock_ahead",
            Self::Vault(_) => "vault_unavailable",
            Self::Journal(_) | Self::Unheard(_) => "journal_unavailable",
            Self::Event(_) => "not_encodable",
            Self::Interrupted => "interrupted",
        }
    }
}
