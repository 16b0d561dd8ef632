//! Errors of journalling and folding definitions. What is wrong in a folder is a [`crate::Fault`].

pub use assent_journal::ErrorKind;
use assent_journal::Position;

use crate::definition::Digest;

/// An error of [`crate::apply()`] or of the fold.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal failed. After an append the outcome is unknown: plan again, it shows what stands.
    #[error("the journal failed while definitions were read or written")]
    Journal(#[from] assent_journal::Error),
    /// A record of the registry cannot be read or contradicts the ones before it. Nothing is answered
    /// on a registry that is known in part only (I5): an operator must look.
    #[error("the registry record at {position} cannot be trusted: {reason}")]
    Corrupt {
        /// Where.
        position: Position,
        /// Why, without the record's content.
        reason: String,
    },
    /// The registry moved on since the plan was made. Nothing of the plan holds: plan again.
    #[error("the registry moved on: planned on {expected}, in force is {found}; plan again")]
    Conflict {
        /// The state the plan was made on.
        expected: Digest,
        /// The state in force when it was to be applied.
        found: Digest,
    },
    /// The registry topic must have one partition, for definitions need one order.
    #[error(
        "the topic {topic} has {partitions} partitions; definitions need one order, so create it with one"
    )]
    Partitions {
        /// The topic.
        topic: String,
        /// How many it has.
        partitions: u32,
    },
    /// A definition that is refused for what it says.
    #[error("{key} is refused: {reason}")]
    Refused {
        /// Which definition.
        key: String,
        /// Why.
        reason: String,
    },
}

impl Error {
    /// What the caller can do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Journal(error) => error.kind(),
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Conflict { .. } => ErrorKind::Conflict,
            Self::Partitions { .. } | Self::Refused { .. } => ErrorKind::Invalid,
        }
    }
}
