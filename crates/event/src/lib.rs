//! The events of Assent: what is said about a subject, and how it stands on the wire.
//!
//! Owns the envelope, one Rust type per payload, the Avro codec over `schemas/`, the classification
//! of every field (category and sensitivity) and the way from a payload to a
//! [`assent_consent::Fact`]. It refuses to know how events travel (no log, no HTTP), how blocks are
//! sealed (the vault does that) and what a fact means (the consent crate does that).
//!
//! An event is an [`Envelope`]: a header anybody may read, one clear block without personal data,
//! and at most one sealed block per [`KeyClass`]. What is sealed together stands together in the
//! payload's schema.
//!
//! ```
//! use assent_consent::{SubjectId, Timestamp};
//! use assent_event::{ConsentDecision, Envelope, EventId, Payload, Times, to_fact};
//!
//! # fn main() -> Result<(), assent_event::Error> {
//! let payload = Payload::from(ConsentDecision::withdrawn("email_marketing").channel("email"));
//! let envelope = Envelope::without_personal_blocks(
//!     EventId::from_bytes([1; 16]),
//!     SubjectId::from_bytes([2; 16]),
//!     "preference_centre",
//!     "m-1",
//!     Times::at(Timestamp::from_millis(1_772_337_600_000)),
//!     &payload,
//! )?;
//! let read = Envelope::decode(&envelope.encode()?)?;
//! assert_eq!(read.clear_payload()?, payload);
//! assert!(to_fact(&read, &payload)?.is_some());
//! # Ok(())
//! # }
//! ```

mod envelope;
mod error;
mod fact;
mod id;
mod kind;
mod locate;
mod payload;
pub mod schema;
pub mod spelling;
mod wire;

pub use envelope::{Envelope, MAX_ENVELOPE_BYTES, SealedBlock, Times};
pub use error::{Error, ErrorKind};
pub use fact::{fact_of, salvage, to_fact};
pub use id::{EventId, Identifier, InvalidEventId};
pub use kind::{KeyClass, Kind, UnknownKeyClass, UnknownKind, topics};
pub use locate::{Fault, FaultReason};
pub use payload::{
    AccountMembership, AccountMembershipClear, AccountMembershipProfile, Behaviour, BehaviourClear,
    BehaviourProfile, BehaviourSensitive, Blocks, ConsentDecision, ConsentDecisionClear,
    ConsentDecisionEvidence, IdentityLink, IdentityLinkClear, Payload, Rejection, RejectionClear,
    RejectionEvidence, SegmentChange, SegmentChangeClear, SubjectFact, SubjectFactClear,
    SubjectFactEvidence, SubjectFactIdentity, SubscriptionChange, SubscriptionChangeClear,
    SubscriptionChangeProfile, Traits, TraitsClear, TraitsIdentity, TraitsProfile, TraitsSensitive,
    UseRecord, UseRecordClear, indication_digest,
};
