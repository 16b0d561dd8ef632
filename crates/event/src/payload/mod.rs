//! The payloads: one Rust type per kind of event, and the way between a payload and its blocks.
//!
//! Owns which block of which payload is of which key class. It refuses to seal, and to print,
//! personal data: `Debug` of every sealed block shows its name only, and none of them implements
//! `serde::Serialize`.

mod account_membership;
mod behaviour;
mod consent_decision;
mod identity_link;
mod rejection;
mod segment_change;
mod subject_fact;
mod subscription_change;
mod traits;
mod use_record;

pub use account_membership::{AccountMembership, AccountMembershipClear, AccountMembershipProfile};
pub use behaviour::{Behaviour, BehaviourClear, BehaviourProfile, BehaviourSensitive};
pub use consent_decision::{
    ConsentDecision, ConsentDecisionClear, ConsentDecisionEvidence, indication_digest,
};
pub use identity_link::{IdentityLink, IdentityLinkClear};
pub use rejection::{Rejection, RejectionClear, RejectionEvidence};
pub use segment_change::{SegmentChange, SegmentChangeClear};
pub use subject_fact::{SubjectFact, SubjectFactClear, SubjectFactEvidence, SubjectFactIdentity};
pub use subscription_change::{
    SubscriptionChange, SubscriptionChangeClear, SubscriptionChangeProfile,
};
pub use traits::{Traits, TraitsClear, TraitsIdentity, TraitsProfile, TraitsSensitive};
pub use use_record::{UseRecord, UseRecordClear};

use crate::schema::{self, Published};
use crate::wire::{self, Block, Read, Written};
use crate::{Error, KeyClass, Kind, locate};

/// The clear datum of a payload and the plain data of its personal blocks, each with the class that
/// is to seal it.
pub type Blocks = (Vec<u8>, Vec<(KeyClass, Vec<u8>)>);

/// What an event says. `Debug` shows no personal data.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// A grant, refusal or withdrawal.
    ConsentDecision(ConsentDecision),
    /// Two subjects are one person, or are not after all.
    IdentityLink(IdentityLink),
    /// A fact `evaluate` needs.
    SubjectFact(SubjectFact),
    /// Traits and identifiers.
    Traits(Traits),
    /// An account the subject belongs to.
    AccountMembership(AccountMembership),
    /// A subscription.
    SubscriptionChange(SubscriptionChange),
    /// Something done.
    Behaviour(Behaviour),
    /// A use of data.
    Use(UseRecord),
    /// An event refused.
    Rejection(Rejection),
    /// A segment entered or left.
    SegmentChange(SegmentChange),
}

/// Both ways between a payload type and its blocks: the clear one, then field = key class of the
/// others.
macro_rules! payloads {
    ($($variant:ident($type:ident { $($field:ident = $class:ident),* })),* $(,)?) => {
        impl Payload {
            /// Which kind of event it is.
            #[must_use]
            pub const fn kind(&self) -> Kind {
                match self {
                    $(Self::$variant(_) => Kind::$variant,)*
                }
            }

            /// The clear datum and the plain data of the personal blocks present, written by the
            /// newest schema of the kind.
            ///
            /// # Errors
            /// [`Error::Unencodable`], a defect of this crate.
            pub fn blocks(&self) -> Result<Blocks, Error> {
                match self {
                    $(Self::$variant(payload) => {
                        let schema = schema::current(Kind::$variant);
                        let clear = encode(schema, None, &payload.clear)?;
                        #[allow(unused_mut, reason = "some kinds have no personal block")]
                        let mut personal = Vec::new();
                        $(if let Some(block) = &payload.$field {
                            let class = KeyClass::$class;
                            personal.push((class, encode(schema, Some(class), block)?));
                        })*
                        Ok((clear, personal))
                    })*
                }
            }

            /// The payload of an event of this kind, from its clear datum and those personal blocks
            /// that could be opened; the others are absent. `schema_id` is the one in the envelope.
            ///
            /// # Errors
            /// When the schema is not one of the kind, or a block is surplus or malformed.
            pub fn from_blocks(
                kind: Kind,
                schema_id: u32,
                clear: &[u8],
                opened: &[(KeyClass, Vec<u8>)],
            ) -> Result<Self, Error> {
                let schema = schema::published(schema_id)
                    .filter(|schema| schema.kind() == Some(kind))
                    .ok_or(Error::UnknownSchema { id: schema_id, event: None })?;
                match kind {
                    $(Kind::$variant => {
                        check_classes(kind, opened, &[$(KeyClass::$class),*])?;
                        Ok(Self::$variant($type {
                            clear: decode(schema, kind, None, clear)?,
                            $($field: opened
                                .iter()
                                .find(|(class, _)| *class == KeyClass::$class)
                                .map(|(class, bytes)| decode(schema, kind, Some(*class), bytes))
                                .transpose()?,)*
                        }))
                    })*
                }
            }
        }

        $(impl From<$type> for Payload {
            fn from(payload: $type) -> Self {
                Self::$variant(payload)
            }
        })*

        /// The names of the block records of a kind, the clear one first; `schemas/` must name them
        /// so.
        #[cfg(test)]
        pub(crate) fn classes(kind: Kind) -> &'static [KeyClass] {
            match kind {
                $(Kind::$variant => &[$(KeyClass::$class),*],)*
            }
        }
    };
}

payloads! {
    ConsentDecision(ConsentDecision { evidence = Evidence }),
    IdentityLink(IdentityLink {}),
    SubjectFact(SubjectFact { identity = Identity, evidence = Evidence }),
    Traits(Traits { identity = Identity, profile = Profile, sensitive = Sensitive }),
    AccountMembership(AccountMembership { profile = Profile }),
    SubscriptionChange(SubscriptionChange { profile = Profile }),
    Behaviour(Behaviour { profile = Profile, sensitive = Sensitive }),
    Use(UseRecord {}),
    Rejection(Rejection { evidence = Evidence }),
    SegmentChange(SegmentChange {}),
}

impl Payload {
    /// The id of the schema its blocks are written by.
    #[must_use]
    pub const fn schema_id(&self) -> u32 {
        self.kind().schema_id()
    }
}

fn encode<B: Block>(
    schema: &Published,
    class: Option<KeyClass>,
    block: &B,
) -> Result<Vec<u8>, Error> {
    schema
        .block(class)
        .and_then(|found| wire::encode(&Written(block), found.schema(), Vec::new()).ok())
        .ok_or(Error::Unencodable { what: B::NAME })
}

fn decode<B: Block>(
    schema: &Published,
    kind: Kind,
    class: Option<KeyClass>,
    bytes: &[u8],
) -> Result<B, Error> {
    let block = schema.block(class).ok_or(Error::UnknownSchema {
        id: schema.id(),
        event: None,
    })?;
    match wire::decode(bytes, block.schema()) {
        Ok(Read(read)) => Ok(read),
        Err(wire::Unreadable) => Err(Error::MalformedBlock {
            event: None,
            kind,
            block: class,
            fault: locate::fault(block.avro(), bytes),
        }),
    }
}

/// Refuses blocks of classes the kind does not have, and classes given twice.
fn check_classes(
    kind: Kind,
    opened: &[(KeyClass, Vec<u8>)],
    known: &[KeyClass],
) -> Result<(), Error> {
    for (index, (class, _)) in opened.iter().enumerate() {
        let twice = opened[..index].iter().any(|(earlier, _)| earlier == class);
        if twice || !known.contains(class) {
            return Err(Error::UnexpectedBlock {
                event: None,
                kind,
                class: *class,
            });
        }
    }
    Ok(())
}
