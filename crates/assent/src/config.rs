//! The configuration: what was said ([`RawConfig`]), what it means ([`Config`]), and how both are shown.
//!
//! Every setting stands in one table ([`settings`]). Flags count more than the environment, the environment more than
//! the file, the file more than the default. What is not in the table is refused with its place; a secret is taken from a
//! file of its own or from the environment, and cannot be printed.

mod raw;
mod read;
mod secret;
mod settings;
pub mod show;
#[cfg(test)]
mod tests;
mod value;

use std::path::PathBuf;
use std::time::Duration;

use assent_consent::Day;
use assent_journal::Topic;
use assent_journal_kafka::{GroupConfig, KafkaConfig};
use assent_projection::{CacheSettings, S3Settings};
use assent_server::Roles;
use assent_vault_postgres::PostgresConfig;

pub use raw::{Fault, RawConfig, Sources};
pub use secret::SecretAt;
pub use settings::SETTINGS;
pub use value::Kind;

/// What the process is to do, and with which stores.
#[derive(Clone)]
pub struct Config {
    /// Where the embedded stores, the socket and the progress of imports lie.
    pub data_dir: PathBuf,
    /// What this process does.
    pub roles: Roles,
    /// What is logged, as `tracing` filters it.
    pub log: String,
    /// What it listens on.
    pub server: Server,
    /// Partitions of the topics that are keyed by subject: the shards.
    pub partitions: u32,
    /// Which journal.
    pub journal: JournalKind,
    /// Which vault.
    pub vault: Vault,
    /// Where the profiles are.
    pub profiles: Profiles,
    /// What one request may hold.
    pub intake: assent_intake::Limits,
    /// How events are folded.
    pub projection: assent_projection::Settings,
    /// Whether people who are lawful for the same purposes lie together in the profiles.
    pub by_consent: bool,
    /// What one query may take.
    pub query: Query,
    /// What queries share out, and what workers listen on.
    pub workers: Workers,
    /// What the process tells of itself.
    pub telemetry: Telemetry,
    /// The date, confirmed by whoever starts the process; no setting, since it is true for a day.
    pub today: Option<Day>,
}

/// What the process listens on.
#[derive(Clone)]
pub struct Server {
    /// The port on 127.0.0.1; 0 takes any.
    pub port: u16,
    /// The owner's socket.
    pub socket: PathBuf,
    /// How long the process says that it is not ready before it stops accepting.
    pub drain_delay: Duration,
    /// How long what was accepted may take to end after that.
    pub drain: Duration,
}

/// Which journal.
#[derive(Clone)]
pub enum JournalKind {
    /// In the data directory, this process's alone.
    Embedded,
    /// In a Kafka cluster, shared.
    Kafka(Box<Kafka>),
}

/// A journal on Kafka, and how the processes that fold it share the work.
#[derive(Clone)]
pub struct Kafka {
    /// How to reach it, and what it holds.
    pub journal: KafkaConfig,
    /// The group of the projectors.
    pub group: GroupConfig,
}

/// Which vault, and its master key.
#[derive(Clone)]
pub struct Vault {
    /// Where it is.
    pub kind: VaultKind,
    /// What opens it.
    pub master_key: SecretAt,
}

/// Where the vault is.
#[derive(Clone)]
pub enum VaultKind {
    /// In the data directory, this process's alone.
    Embedded,
    /// In a PostgreSQL database, shared.
    Postgres(Box<PostgresConfig>),
}

/// Where the profiles are.
#[derive(Clone)]
pub enum Profiles {
    /// In a directory.
    Local(PathBuf),
    /// In a bucket, with copies here.
    S3(Box<(S3Settings, CacheSettings)>),
}

/// What one query may take.
#[derive(Clone)]
pub struct Query {
    /// Its own limits.
    pub limits: assent_segment::Limits,
    /// How the permit index is run.
    pub permit: assent_permit::Config,
}

/// What queries share out, and what workers listen on.
#[derive(Clone)]
pub struct Workers {
    /// Where the workers of this process's queries listen.
    pub sockets: Vec<PathBuf>,
    /// How many lawful rows of a table one of them is given.
    pub rows: usize,
    /// Where this process's worker listens.
    pub socket: PathBuf,
    /// What both sides share; there where one of them needs it.
    pub secret: Option<assent_segment::Secret>,
}

/// What the process tells of itself.
#[derive(Clone)]
pub struct Telemetry {
    /// Whether `/metrics` answers.
    pub metrics: bool,
    /// Where traces go; nowhere by default.
    pub traces: Option<Traces>,
}

/// Where traces go.
#[derive(Clone)]
pub struct Traces {
    /// OTLP over HTTP, the whole URL.
    pub endpoint: String,
    /// The share of requests that are traced, 0 to 1.
    pub ratio: f64,
}

impl Config {
    /// Reads all sources and makes sense of them.
    ///
    /// # Errors
    /// Every fault, with its place.
    pub fn load(sources: &Sources) -> Result<Self, Vec<Fault>> {
        Self::read(&RawConfig::layered(sources)?)
    }
}

/// Every topic with its partitions. Those keyed by subject have equal counts, so that a subject's shard is the same
/// everywhere.
pub fn topics(partitions: u32) -> Vec<(Topic, u32)> {
    use assent_event::topics;
    topics::ALL
        .into_iter()
        .map(|topic| {
            let partitions = match topic {
                topics::REGISTRY | topics::USE | topics::REJECTS => 1,
                _ => partitions,
            };
            (Topic::new(topic), partitions)
        })
        .collect()
}
