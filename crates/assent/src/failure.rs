//! How a command fails: a sentence on standard error and an exit status.

use std::fmt;

use crate::config::Fault;

/// The exit statuses of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It could not be done.
    Failed = 1,
    /// The call was wrong.
    Usage = 2,
    /// The law, or the principal's purposes, say no.
    Denied = 3,
    /// It was done, except for rows of a file that were rejected.
    Incomplete = 4,
}

/// A failed command.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
}

impl Failure {
    pub fn failed(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Failed,
            message: message.into(),
        }
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            message: message.into(),
        }
    }

    pub fn incomplete(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Incomplete,
            message: message.into(),
        }
    }

    /// What an HTTP status means for a caller on the command line.
    pub fn of_status(status: u16, message: impl Into<String>) -> Self {
        let exit = match status {
            401 | 403 => Exit::Denied,
            400..=499 => Exit::Usage,
            _ => Exit::Failed,
        };
        Self {
            exit,
            message: message.into(),
        }
    }
}

/// Settings that are wrong: every fault with its place.
impl From<Vec<Fault>> for Failure {
    fn from(faults: Vec<Fault>) -> Self {
        let lines: Vec<String> = faults.iter().map(|fault| format!("  {fault}")).collect();
        Self::usage(format!("the configuration is wrong\n{}", lines.join("\n")))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Puts a sentence before whatever went wrong.
pub trait Explained<T> {
    /// Turns the error into a [`Failure`] that says what was being done.
    fn explained(self, doing: impl fmt::Display) -> Result<T, Failure>;
}

impl<T, E: fmt::Display> Explained<T> for Result<T, E> {
    fn explained(self, doing: impl fmt::Display) -> Result<T, Failure> {
        self.map_err(|error| Failure::failed(format!("{doing}: {error}")))
    }
}
