//! The journal on Apache Kafka: the same trait, the same positions, the same partitioning as the
//! embedded journal, and the same contract suite run on a real broker.
//!
//! What is particular to Kafka stays in here: an idempotent producer whose messages are pipelined
//! ([`append`](assent_journal::Journal::append)), reading threads with a consumer each and no consumer
//! groups for reading, and end positions asked of the partition leaders afresh and confirmed by other
//! replicas. Topics are created by
//! [`KafkaJournal::provision`], never by accident.
//!
//! Refused: topics that are compacted or written in Kafka transactions. Both leave gaps between
//! positions, and a reader could not tell them from records that were lost.

mod append;
mod client;
mod config;
mod confirm;
mod ends;
mod error;
mod group;
mod in_flight;
mod journal;
mod producer;
mod provision;
mod read;
mod security;
mod topics;

pub use config::{KafkaConfig, Replication};
pub use group::{GroupConfig, KafkaGroup};
pub use journal::KafkaJournal;
pub use security::{Mechanism, Password, Sasl, Security, Tls};
pub use topics::{Finding, Setting, Severity};
