//! From records of the consent topic to facts, opening what must be opened.
//!
//! Nothing is skipped (I5, I9): what cannot be read restricts its subject; what cannot be
//! attributed to a subject is an error that stops the index. Other programs may write here, too
//! (`docs/wire.md`): what widens counts only where its subject's log is, in the partition of its key.

use assent_consent::{Decision, DecisionState, Fact, FactKind, Timestamp};
use assent_event::{Envelope, KeyClass, Kind, SealedBlock, fact_of, salvage, to_fact};
use assent_journal::{Stored, partition_of};
use assent_vault::{Opened, RandomSource, Sealer, Vault};

use crate::error::{Error, ErrorKind};
use crate::messages::Message;

/// Opening needs no randomness; sealing is not done here.
struct NoRandom;

impl RandomSource for NoRandom {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

/// The facts in these records of one partition, in their order, each with the message that brought it.
/// `receipt` is the latest receipt in the partition before them, `partitions` how many the topic has.
///
/// # Errors
/// [`ErrorKind::Unavailable`] when the vault cannot be asked now, [`ErrorKind::Corrupt`] naming the
/// position of a record that nobody can be protected from.
pub(crate) fn facts(
    records: &[Stored],
    vault: &dyn Vault,
    mut receipt: Timestamp,
    partitions: u32,
) -> Result<Vec<Option<(Fact, Message)>>, Error> {
    let mut facts = Vec::with_capacity(records.len());
    let mut messages = Vec::with_capacity(records.len());
    let mut sealed = Vec::new();
    for stored in records {
        let mut message = Message::unknown();
        let fact = match Envelope::decode(&stored.value) {
            Ok(envelope) => {
                receipt = receipt.max(envelope.times.received_at);
                message = Message::of(&envelope.source, &envelope.message_id);
                if needs_opening(&envelope) {
                    sealed.push((facts.len(), with_the_block_that_matters(envelope)));
                    None
                } else {
                    clear_fact(stored, &envelope)
                }
            }
            Err(error) => {
                tracing::error!(position = %stored.position, %error, "a record on the consent topic cannot be read; its subject is restricted");
                Some(
                    salvage(&stored.key, &stored.value, receipt)
                        .ok_or_else(|| unattributed(stored))?,
                )
            }
        };
        facts.push(fact);
        messages.push(message);
    }
    for (place, fact) in open(sealed, vault)? {
        facts[place] = fact;
    }
    for (stored, fact) in records.iter().zip(&mut facts) {
        if let Some(fact) = fact {
            narrow_what_stands_elsewhere(stored, fact, partitions);
        }
    }
    let read = facts.into_iter().zip(messages);
    Ok(read.map(|(fact, message)| Some((fact?, message))).collect())
}

/// The fact in an event of which nothing must be opened.
fn clear_fact(stored: &Stored, envelope: &Envelope) -> Option<Fact> {
    let fact = fact_of(envelope, &[]);
    if fact.is_none() {
        // It can be read, and it is nothing that any verdict rests on.
        tracing::warn!(position = %stored.position, kind = %envelope.kind, "an event stands on the consent topic that does not belong there");
    }
    fact
}

/// Of one subject the log decides what was received later (R2), and its log is the partition of its key. A
/// grant that stands elsewhere could not be told from one that a withdrawal followed.
fn narrow_what_stands_elsewhere(stored: &Stored, fact: &mut Fact, partitions: u32) {
    let key = fact.subject.as_bytes();
    let at_home =
        stored.key.as_ref() == key && stored.position.partition == partition_of(key, partitions);
    if !at_home && fact.kind.widens() {
        tracing::error!(position = %stored.position, "a fact that widens stands under another key or in another partition than its subject's; it counts as an unreadable decision. Whoever wrote it is to use the subject as key and murmur2 as partitioner");
        let unreadable = match fact.kind.decision() {
            Some(grant) => Decision {
                state: DecisionState::Unreadable,
                ..grant.clone()
            },
            None => Decision::unreadable(),
        };
        fact.kind = FactKind::Decision(unreadable);
    }
}

fn unattributed(stored: &Stored) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "the record at {} cannot be attributed to a subject, so nobody can be told from whom it \
             restricts; nothing is permitted until an operator has looked at it",
            stored.position
        ),
    )
}

/// Whether the fact stands in a sealed block: a birth date does, what else `evaluate` reads stands
/// in clear.
fn needs_opening(envelope: &Envelope) -> bool {
    envelope.kind == Kind::SubjectFact && envelope.sealed.iter().any(matters)
}

fn matters(block: &SealedBlock) -> bool {
    block.class == KeyClass::Identity
}

/// Evidence is none of the index's business, and its key may be gone before the others.
fn with_the_block_that_matters(mut envelope: Envelope) -> Envelope {
    envelope.sealed.retain(matters);
    envelope
}

/// Opens a batch at once; if that fails, one by one, so that one bad record harms its subject only.
fn open(
    sealed: Vec<(usize, Envelope)>,
    vault: &dyn Vault,
) -> Result<Vec<(usize, Option<Fact>)>, Error> {
    let sealer = Sealer::new(vault, &NoRandom);
    let (places, envelopes): (Vec<usize>, Vec<Envelope>) = sealed.into_iter().unzip();
    if let Ok(opened) = sealer.open_batch(&envelopes) {
        let facts = envelopes
            .iter()
            .zip(opened)
            .map(|(e, o)| opened_fact(e, &o));
        return Ok(places.into_iter().zip(facts).collect());
    }
    let mut facts = Vec::with_capacity(places.len());
    for (place, envelope) in places.into_iter().zip(envelopes) {
        let fact = match sealer.open_batch(std::slice::from_ref(&envelope)) {
            Ok(opened) => opened.first().and_then(|o| opened_fact(&envelope, o)),
            Err(error) if is_about_the_event(&error) => {
                tracing::error!(event = %envelope.id, %error, "an event on the consent topic cannot be opened; its subject is restricted");
                Some(restricted(&envelope))
            }
            Err(error) => {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    "the vault cannot be asked for the keys of facts on the consent topic",
                )
                .with_source(error));
            }
        };
        facts.push((place, fact));
    }
    Ok(facts)
}

fn opened_fact(envelope: &Envelope, opened: &Opened) -> Option<Fact> {
    match opened {
        Opened::Payload(payload) => {
            to_fact(envelope, payload).unwrap_or_else(|_| Some(restricted(envelope)))
        }
        Opened::Erased => Some(in_its_place(envelope, FactKind::Erased)),
    }
}

/// Whether trying again later could not help.
fn is_about_the_event(error: &assent_vault::Error) -> bool {
    match error {
        assent_vault::Error::KeyMissing { .. }
        | assent_vault::Error::Tampered { .. }
        | assent_vault::Error::Codec { .. }
        | assent_vault::Error::Damaged { .. }
        | assent_vault::Error::Erased { .. } => true,
        assent_vault::Error::MasterKeyFile { .. }
        | assent_vault::Error::MasterKeyFormat
        | assent_vault::Error::WrongMasterKey { .. }
        | assent_vault::Error::InUse { .. }
        | assent_vault::Error::Format { .. }
        | assent_vault::Error::Settings(_)
        | assent_vault::Error::Refused { .. }
        | assent_vault::Error::Unreachable { .. }
        | assent_vault::Error::Store { .. } => false,
    }
}

/// A sealed fact that cannot be read may have made the person a child; nothing else is restrictive
/// enough for every basis.
fn restricted(envelope: &Envelope) -> Fact {
    in_its_place(envelope, FactKind::Restricted { purpose: None })
}

fn in_its_place(envelope: &Envelope, kind: FactKind) -> Fact {
    Fact {
        id: envelope.id.to_bytes(),
        subject: envelope.subject,
        event_time: envelope.times.event_time,
        received_at: envelope.times.received_at,
        order: 0,
        kind,
    }
}
