//! The journal on Apache Kafka: the same trait, the same positions, the same partitioning as the
//! embedded journal, and the same contract suite run on a real broker.
//!
//! What is particular to Kafka stays in here: an idempotent producer whose messages are pipelined
//! ([`append`](assent_journal::Journal::append)), reading threads with a consumer each and no consumer
//! groups, and end positions asked of the partition leaders afresh. Topics are created by
//! [`KafkaJournal::provision`], never by accident.
//!
//! Refused: topics that are compacted or written in Kafka transactions. Both leave gaps between
//! positions, and a reader could not tell them from records that were lost.

mod append;
mod config;
mod ends;
mod error;
mod journal;
mod provision;
mod read;

pub use config::{KafkaConfig, Replication};
pub use journal::KafkaJournal;
