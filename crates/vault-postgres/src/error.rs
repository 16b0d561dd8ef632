//! From what PostgreSQL says to what the caller is to do.
//!
//! Texts of the server go along as the source. They name tables and accounts; statements carry
//! wrapped records and index entries only, so no text can name a person.

use assent_vault::Error;
use tokio_postgres::error::SqlState;

/// Wraps an error of the client with what was being done.
pub(crate) fn asked(action: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Error {
    move |source| {
        let what = source.code().map(meaning);
        let source = Box::new(source);
        match what {
            // Without a code it is the line that failed, not the statement.
            None | Some(Meaning::Later) => Error::Unreachable { action, source },
            Some(Meaning::Refused) => Error::Refused { action, source },
            Some(Meaning::Failed) => Error::Store { action, source },
        }
    }
}

/// A call that was not answered in time.
pub(crate) fn too_late(action: &'static str) -> Error {
    Error::Unreachable {
        action,
        source: "PostgreSQL did not answer in time".into(),
    }
}

enum Meaning {
    /// The same will succeed later.
    Later,
    /// The account may not.
    Refused,
    /// The statement is wrong for this server.
    Failed,
}

fn meaning(code: &SqlState) -> Meaning {
    if *code == SqlState::INSUFFICIENT_PRIVILEGE || *code == SqlState::INVALID_CATALOG_NAME {
        return Meaning::Refused;
    }
    match code.code().get(..2) {
        // Connection; transaction state (a standby); rollback (deadlock); resources; not in a state
        // to serve (locks); an operator stepped in, or the time was up; the system around it.
        Some("08" | "25" | "40" | "53" | "55" | "57" | "58") => Meaning::Later,
        Some("28") => Meaning::Refused,
        _other => Meaning::Failed,
    }
}
