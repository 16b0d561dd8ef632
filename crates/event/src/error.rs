//! What can be wrong with an event, and what to do about it.
//!
//! Errors name the event, the kind, the block and the field; never a value, since values are
//! personal data.

use crate::{EventId, Fault, KeyClass, Kind};

/// What a caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The event given cannot be written: change it.
    Invalid,
    /// The schema is not known to this version: it was written by a newer one; upgrade.
    NotFound,
    /// The bytes are not what they claim to be: treat as unreadable, and say so (I5).
    Corrupt,
    /// A defect of this program.
    Internal,
}

/// An event that cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Shorter than the five bytes of the framing, or not beginning with a zero byte.
    #[error("not framed as a magic zero byte and a schema id ({length} bytes)")]
    NotFramed {
        /// How many bytes there were.
        length: usize,
    },
    /// Larger than [`crate::MAX_ENVELOPE_BYTES`].
    #[error(
        "an envelope of {length} bytes exceeds the limit of {limit}: split or shorten the event"
    )]
    TooLarge {
        /// How many bytes it has.
        length: usize,
        /// How many it may have.
        limit: usize,
    },
    /// A schema id nobody published for this purpose.
    #[error("schema id {id} is not known here{}: it may come from a newer version", of_event(.event.as_ref()))]
    UnknownSchema {
        /// The id found.
        id: u32,
        /// The event, where it is known already.
        event: Option<EventId>,
    },
    /// An envelope of a kind this version does not know.
    #[error("event {event} is of a kind this version does not know")]
    UnknownKind {
        /// The event.
        event: EventId,
    },
    /// The kind in the envelope and its schema id contradict each other.
    #[error("event {event} says it is {kind} but schema id {id} belongs to something else")]
    KindMismatch {
        /// The event.
        event: EventId,
        /// The kind it names.
        kind: Kind,
        /// The schema id it names.
        id: u32,
    },
    /// Sealed blocks of an envelope name an unknown class or one class twice.
    #[error("event {event} has sealed blocks of an unknown or repeated key class")]
    BadClasses {
        /// The event.
        event: EventId,
    },
    /// The envelope's own bytes are malformed.
    #[error("malformed envelope: {fault}")]
    MalformedEnvelope {
        /// Where and how.
        fault: Fault,
    },
    /// A block's bytes are malformed.
    #[error("malformed {kind} event, {} block{}: {fault}", block_name(*.block), of_event(.event.as_ref()))]
    MalformedBlock {
        /// The event, where the caller named it.
        event: Option<EventId>,
        /// The kind.
        kind: Kind,
        /// The block; none is the clear one.
        block: Option<KeyClass>,
        /// Where and how.
        fault: Fault,
    },
    /// A block of a class that the kind does not have, or one class given twice.
    #[error("a {kind} event has no {class} block, or it was given twice{}", of_event(.event.as_ref()))]
    UnexpectedBlock {
        /// The event, where the caller named it.
        event: Option<EventId>,
        /// The kind.
        kind: Kind,
        /// The class of the surplus block.
        class: KeyClass,
    },
    /// An event with personal blocks was to be written without sealing them.
    #[error("event {event} ({kind}) has personal blocks: seal them before writing")]
    Unsealed {
        /// The event.
        event: EventId,
        /// The kind.
        kind: Kind,
    },
    /// A type of this crate does not fit its schema.
    #[error("{what} does not fit its schema")]
    Unencodable {
        /// Which record.
        what: &'static str,
    },
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::TooLarge { .. } | Self::Unsealed { .. } => ErrorKind::Invalid,
            Self::UnknownSchema { .. } | Self::UnknownKind { .. } => ErrorKind::NotFound,
            Self::NotFramed { .. }
            | Self::KindMismatch { .. }
            | Self::BadClasses { .. }
            | Self::MalformedEnvelope { .. }
            | Self::MalformedBlock { .. }
            | Self::UnexpectedBlock { .. } => ErrorKind::Corrupt,
            Self::Unencodable { .. } => ErrorKind::Internal,
        }
    }

    /// The same error, naming the event it is about.
    #[must_use]
    pub fn about(mut self, id: EventId) -> Self {
        match &mut self {
            Self::UnknownSchema { event, .. }
            | Self::MalformedBlock { event, .. }
            | Self::UnexpectedBlock { event, .. } => *event = Some(id),
            Self::NotFramed { .. }
            | Self::TooLarge { .. }
            | Self::UnknownKind { .. }
            | Self::KindMismatch { .. }
            | Self::BadClasses { .. }
            | Self::MalformedEnvelope { .. }
            | Self::Unsealed { .. }
            | Self::Unencodable { .. } => {}
        }
        self
    }
}

fn of_event(event: Option<&EventId>) -> String {
    event.map_or_else(String::new, |id| format!(" (event {id})"))
}

fn block_name(block: Option<KeyClass>) -> &'static str {
    block.map_or("clear", KeyClass::as_str)
}
