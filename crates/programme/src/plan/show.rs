//! A plan for people: one line a definition, then what it adds up to.

use std::fmt;

use super::{Action, Change, Plan};

impl Action {
    /// The mark that begins the line of a change.
    #[must_use]
    pub fn mark(self) -> char {
        match self {
            Self::Create => '+',
            Self::Update => '~',
            Self::Unchanged => '=',
            Self::Retire => '-',
        }
    }

    /// The name, for machines.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Unchanged => "unchanged",
            Self::Retire => "retire",
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.action.mark(), self.key)?;
        if !self.fields.is_empty() {
            write!(f, " ({})", self.fields.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "on registry {}", self.parent.short())?;
        for change in &self.changes {
            writeln!(f, "{change}")?;
        }
        write!(
            f,
            "{} to create, {} to update, {} to retire, {} unchanged",
            self.count(Action::Create),
            self.count(Action::Update),
            self.count(Action::Retire),
            self.count(Action::Unchanged),
        )
    }
}
