//! What can go wrong, as told to the outside.
//!
//! An error is part of an answer (I1), so none of these texts is ever copied from an execution error: the module
//! [`crate::sql::faults`] rebuilds them from vetted kinds. What an [`Error`] carries is made of the text of the query,
//! the names of the visible schema and fixed sentences, never of a stored value.

use std::fmt;

use assent_consent::PurposeId;

/// What the caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is wrong; the text names what is allowed instead. Change the request.
    Invalid,
    /// No segment, member or purpose of that name. Look at the list in the text.
    NotFound,
    /// Who asks is not known here, or not any more. Get a new token.
    Unauthenticated,
    /// The principal may not do this, or nothing lawful can be done. Ask an officer.
    Denied,
    /// Something needed cannot be asked right now; nothing was answered (fail closed). Try again.
    Unavailable,
    /// A limit of memory, time or rows was reached. Narrow the query.
    Exhausted,
    /// Stored data does not read as it should. An operator must act.
    Corrupt,
    /// A defect of this program. Report it with the log.
    Internal,
}

impl ErrorKind {
    /// The stable code of the kind, in snake case.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not_found",
            Self::Unauthenticated => "unauthenticated",
            Self::Denied => "denied",
            Self::Unavailable => "unavailable",
            Self::Exhausted => "exhausted",
            Self::Corrupt => "corrupt",
            Self::Internal => "internal",
        }
    }
}

/// A place in the text of a query; both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Line within the query as it was given.
    pub line: u64,
    /// Column within the line, in characters.
    pub column: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// An error that may leave the lawful session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    code: &'static str,
    message: String,
    place: Option<Place>,
    help: Option<String>,
}

impl Error {
    /// A new error with a stable code and a vetted message.
    #[must_use]
    pub fn new(kind: ErrorKind, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            code,
            message: message.into(),
            place: None,
            help: None,
        }
    }

    pub(crate) fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, code, message)
    }

    pub(crate) fn unauthenticated(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unauthenticated, code, message)
    }

    pub(crate) fn denied(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Denied, code, message)
    }

    pub(crate) fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, code, message)
    }

    pub(crate) fn corrupt(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, code, message)
    }

    pub(crate) fn internal(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, code, message)
    }

    pub(crate) fn at(mut self, place: Option<Place>) -> Self {
        self.place = place.or(self.place);
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// What the caller can do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// A stable code, in snake case, finer than the kind.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// What happened, without the place and the help.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where in the query, if it can be said.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        self.place
    }

    /// What to do instead; for a wrong name, the list of the right ones.
    #[must_use]
    pub fn fix(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(place) = self.place {
            write!(f, " ({place})")?;
        }
        if let Some(help) = &self.help {
            write!(f, ": {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// The result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A readable list of purposes for an error text.
pub(crate) fn listed<'a>(purposes: impl IntoIterator<Item = &'a PurposeId>) -> String {
    names(purposes.into_iter().map(PurposeId::as_str))
}

/// A readable list of names for an error text.
pub(crate) fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}
