//! One file a command: arguments → one request → printed answer.

pub mod config;
pub mod definitions;
pub mod doctor;
pub mod explain;
pub mod import;
pub mod principal;
pub mod project;
pub mod query;
pub mod ready;
pub mod segment;
pub mod topics;
pub mod write_key;

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use assent_server::ProcessRole;

use crate::cli::Format;
use crate::config::Config;
use crate::connection::{Answer, Connection};
use crate::failure::{Explained, Failure};

/// Where a command works, and as whom.
pub struct At {
    pub config: Config,
    pub token: Option<String>,
}

impl At {
    /// As [`At::connected`], making the stores where there are none yet.
    pub async fn founding<T>(
        self,
        needs: Option<ProcessRole>,
        work: impl AsyncFnOnce(&Connection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let connection = Connection::open(&self.config, self.token, needs, true).await?;
        run(connection, work).await
    }

    /// Opens the way to the stores, runs `work` over it, and closes it whatever came out. `needs` is the role that the
    /// command asks something of.
    pub async fn connected<T>(
        self,
        needs: Option<ProcessRole>,
        work: impl AsyncFnOnce(&Connection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let connection = Connection::open(&self.config, self.token, needs, false).await?;
        run(connection, work).await
    }
}

async fn run<T>(
    connection: Connection,
    work: impl AsyncFnOnce(&Connection) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let outcome = work(&connection).await;
    let closed = connection.close().await;
    let value = outcome?;
    closed?;
    Ok(value)
}

impl Format {
    /// The media type that asks the server for this format.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Table => "text/plain",
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }
}

/// Writes an answer to standard output; a closed pipe (`| head`) is no failure.
pub fn print(answer: &Answer) -> Result<(), Failure> {
    print_bytes(&answer.body)
}

/// Writes bytes to standard output.
pub fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.explained("standard output"),
    }
}

/// The absolute form of a path given on the command line: the server that runs has another working directory.
pub fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    path.canonicalize()
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}
