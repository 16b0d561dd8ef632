//! A fault in a programme: where it is, what is wrong and what to write instead.

use std::fmt;

/// One thing wrong in a programme. A programme with any fault is neither planned nor applied.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fault {
    /// Path relative to the programme's folder, with forward slashes.
    pub file: String,
    /// First line is 1; 0 when the fault belongs to no line (a missing file).
    pub line: u32,
    /// First column is 1, counted in characters; 0 when the fault belongs to no line.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}\n  fix: {}", self.message, self.fix)
    }
}

impl std::error::Error for Fault {}
