//! The index's one error type. Its kind says what the caller can do; it never names a person.

use std::fmt;
use std::sync::Arc;

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request itself is wrong; mend it before trying again.
    Invalid,
    /// What was named is not there.
    NotFound,
    /// It cannot be told now what is lawful, so nothing is (I2): try again later.
    Unavailable,
    /// The journal holds what cannot be read or attributed; nothing is lawful until an operator
    /// has looked at the position named (I5).
    Corrupt,
    /// A fault of the program.
    Internal,
}

impl ErrorKind {
    /// A stable lower-case name, for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not_found",
            Self::Unavailable => "unavailable",
            Self::Corrupt => "corrupt",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error of the permit index: a kind, a sentence for people, and the cause where there is one.
///
/// It can be cloned, because one failure is the answer to every reader that waits.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{context}")]
pub struct Error {
    kind: ErrorKind,
    context: Arc<str>,
    #[source]
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error without a cause. `context` says what was wrong and what to do.
    pub(crate) fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self {
            kind,
            context: context.into().into(),
            source: None,
        }
    }

    /// The same error with its cause attached.
    pub(crate) fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// What the caller can do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}
