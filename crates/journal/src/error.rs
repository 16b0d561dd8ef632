//! The journal's one error type. Its kind says what the caller can do; its text never carries keys,
//! values or headers, which may be personal data.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request itself is wrong; mend it before trying again.
    Invalid,
    /// The topic, the partition or the position is not there.
    NotFound,
    /// What is stored contradicts what the caller expects (other partition counts, a log that ends
    /// before the caller's position).
    Conflict,
    /// The journal refuses this caller.
    Denied,
    /// It cannot be done now; for an append the outcome is unknown. Try again later.
    Unavailable,
    /// What is stored cannot be trusted; an operator must restore it.
    Corrupt,
    /// A fault of the program.
    Internal,
}

impl ErrorKind {
    /// Whether a read that failed so may succeed later without anything being mended in what is stored: the
    /// journal is away, refuses for now, or met a fault of the program. Otherwise it lacks or contradicts what
    /// the reader rests on, and trying again cannot help.
    pub fn may_pass(self) -> bool {
        match self {
            Self::Unavailable | Self::Denied | Self::Internal => true,
            Self::Invalid | Self::NotFound | Self::Conflict | Self::Corrupt => false,
        }
    }

    /// A stable lower-case name, for logs and metrics.
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

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error of the journal: a kind, a sentence for people, and the cause where there is one.
///
/// It can be cloned because one failed commit is answered to every append it held.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{context}")]
pub struct Error {
    kind: ErrorKind,
    context: Arc<str>,
    retry_after: Option<Duration>,
    #[source]
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error without a cause. `context` says what was wrong and what to do, without personal data.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self {
            kind,
            context: context.into().into(),
            retry_after: None,
            source: None,
        }
    }

    /// The same error with its cause attached.
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// The same error with a hint when to try again.
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// When trying again may help, for an error of kind [`ErrorKind::Unavailable`] that knows it: what a
    /// server tells its clients in `Retry-After`.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}
