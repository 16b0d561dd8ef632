//! Codes of what could not be folded. Stable: they stand in manifests and metrics.

/// The record is not an envelope this program can read.
pub const ENVELOPE_UNREADABLE: &str = "envelope_unreadable";
/// The envelope or a block names a schema or kind this program does not know; a newer program rebuilds and reads it.
pub const SCHEMA_UNKNOWN: &str = "schema_unknown";
/// A kind of event that has no place in this topic.
pub const KIND_MISPLACED: &str = "kind_misplaced";
/// A block was opened and cannot be read.
pub const PAYLOAD_UNREADABLE: &str = "payload_unreadable";
/// The block that says what happened is absent.
pub const BLOCK_MISSING: &str = "block_missing";

/// A trait's value does not fit the trait's type; the other values of the event were folded.
pub const TRAIT_UNREADABLE: &str = "trait_unreadable";
/// A property that is summed is not a number, or out of range (10¹⁸ units); the event was folded otherwise.
pub const AMOUNT_UNREADABLE: &str = "amount_unreadable";
