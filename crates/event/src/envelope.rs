//! The envelope: what stands in the log for every event.
//!
//! Owns its framing (Confluent: a zero byte, the schema id as u32 big-endian, an Avro datum) and
//! its limits. It refuses envelopes that are too large, that contradict themselves, or that have
//! bytes left over. It neither seals nor opens: the vault does.

use std::fmt;

use assent_consent::{SubjectId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::kind::{UnknownKeyClass, UnknownKind};
use crate::wire::{self, bytes, fixed, micros, subject};
use crate::{Error, EventId, KeyClass, Kind, Payload, locate, schema};

/// The most bytes an encoded envelope may have: below the one mebibyte that Kafka brokers take by
/// default.
pub const MAX_ENVELOPE_BYTES: usize = 1_000_000;

const MAGIC: u8 = 0;
const FRAME: usize = 5;

/// One event, as it stands in the log. `Debug` shows the header without the message id, which is
/// the sender's to choose, and the sizes of the blocks.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Its id, made by intake.
    pub id: EventId,
    /// What it says.
    pub kind: Kind,
    /// The schema its blocks are written by.
    pub schema_id: u32,
    /// Whom it is about; the key of the record, too.
    pub subject: SubjectId,
    /// The source that sent it.
    pub source: String,
    /// What the source calls it; with the source the key of de-duplication.
    pub message_id: String,
    /// When it happened and when it came.
    pub times: Times,
    /// The Avro datum of the clear block.
    pub clear: Vec<u8>,
    /// The sealed blocks, at most one per class.
    pub sealed: Vec<SealedBlock>,
}

/// The times of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// When it happened, corrected for the clock of the sender.
    pub event_time: Timestamp,
    /// When intake received it, by our clock.
    pub received_at: Timestamp,
    /// When the sender says it sent it.
    pub sent_at: Option<Timestamp>,
    /// When it happened, as the sender wrote it.
    pub original: Option<Timestamp>,
}

impl Times {
    /// An event that happened when it was received, as far as we know.
    #[must_use]
    pub const fn at(instant: Timestamp) -> Self {
        Self {
            event_time: instant,
            received_at: instant,
            sent_at: None,
            original: None,
        }
    }

    /// An event that happened at one instant and was received at another.
    #[must_use]
    pub const fn new(event_time: Timestamp, received_at: Timestamp) -> Self {
        Self {
            event_time,
            received_at,
            sent_at: None,
            original: None,
        }
    }
}

/// A personal block under a key of its subject and class. `Debug` shows its size only.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedBlock {
    /// Which of the subject's keys opens it.
    pub class: KeyClass,
    /// The nonce.
    pub nonce: [u8; 24],
    /// The sealed Avro datum.
    pub ciphertext: Vec<u8>,
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("schema_id", &self.schema_id)
            .field("subject", &self.subject)
            .field("source", &self.source)
            .field("times", &self.times)
            .field("clear", &format_args!("{} bytes", self.clear.len()))
            .field("sealed", &self.sealed)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SealedBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SealedBlock({}, {} bytes)",
            self.class,
            self.ciphertext.len()
        )
    }
}

impl Envelope {
    /// The envelope of an event without personal blocks.
    ///
    /// # Errors
    /// [`Error::Unsealed`] when the payload has personal blocks: those go through the vault's
    /// sealer.
    pub fn without_personal_blocks(
        id: EventId,
        subject: SubjectId,
        source: impl Into<String>,
        message_id: impl Into<String>,
        times: Times,
        payload: &Payload,
    ) -> Result<Self, Error> {
        let kind = payload.kind();
        let (clear, personal) = payload.blocks()?;
        if !personal.is_empty() {
            return Err(Error::Unsealed { event: id, kind });
        }
        Ok(Self {
            id,
            kind,
            schema_id: payload.schema_id(),
            subject,
            source: source.into(),
            message_id: message_id.into(),
            times,
            clear,
            sealed: Vec::new(),
        })
    }

    /// The payload, as far as it can be read without opening anything.
    ///
    /// # Errors
    /// As [`Payload::from_blocks`], naming this event.
    pub fn clear_payload(&self) -> Result<Payload, Error> {
        self.payload(&[])
    }

    /// The payload, given the blocks that could be opened.
    ///
    /// # Errors
    /// As [`Payload::from_blocks`], naming this event.
    pub fn payload(&self, opened: &[(KeyClass, Vec<u8>)]) -> Result<Payload, Error> {
        Payload::from_blocks(self.kind, self.schema_id, &self.clear, opened)
            .map_err(|error| error.about(self.id))
    }

    /// The record's value in the log.
    ///
    /// # Errors
    /// [`Error::TooLarge`] beyond [`MAX_ENVELOPE_BYTES`]; [`Error::KindMismatch`] or
    /// [`Error::BadClasses`] when the envelope contradicts itself; it would not be read back.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        check_kind(self.id, self.kind, self.schema_id)?;
        check_classes(self.id, &self.sealed)?;
        let sealed: usize = self
            .sealed
            .iter()
            .map(|block| block.ciphertext.len() + 48)
            .sum();
        let mut frame = Vec::with_capacity(self.clear.len() + sealed + 128);
        frame.push(MAGIC);
        frame.extend_from_slice(&schema::ENVELOPE_ID.to_be_bytes());
        let frame = wire::encode(
            &WireOut::from(self),
            schema::envelope().datum().schema(),
            frame,
        )
        .map_err(|wire::DoesNotFit| Error::Unencodable { what: "Envelope" })?;
        check_size(frame.len())?;
        Ok(frame)
    }

    /// Reads a record's value.
    ///
    /// # Errors
    /// When it is not framed, too large, of an unknown schema or kind, malformed, or contradicts
    /// itself. What to do with an unreadable record of the consent topic: [`crate::salvage`].
    pub fn decode(frame: &[u8]) -> Result<Self, Error> {
        check_size(frame.len())?;
        let (id, datum) = unframe(frame)?;
        let schema = schema::published(id)
            .filter(|schema| schema.kind().is_none())
            .ok_or(Error::UnknownSchema { id, event: None })?;
        wire::decode::<WireIn<'_>>(datum, schema.datum().schema())
            .map_err(|wire::Unreadable| Error::MalformedEnvelope {
                fault: locate::fault(schema.datum().avro(), datum),
            })?
            .try_into()
    }
}

/// Splits a Confluent frame into schema id and datum.
fn unframe(frame: &[u8]) -> Result<(u32, &[u8]), Error> {
    let not_framed = Error::NotFramed {
        length: frame.len(),
    };
    let (&magic, rest) = frame.split_first().ok_or(not_framed.clone())?;
    let (id, datum) = rest
        .split_first_chunk::<{ FRAME - 1 }>()
        .ok_or(not_framed.clone())?;
    if magic == MAGIC {
        Ok((u32::from_be_bytes(*id), datum))
    } else {
        Err(not_framed)
    }
}

fn check_size(length: usize) -> Result<(), Error> {
    if length > MAX_ENVELOPE_BYTES {
        return Err(Error::TooLarge {
            length,
            limit: MAX_ENVELOPE_BYTES,
        });
    }
    Ok(())
}

/// A schema id this version knows must belong to the kind named; one it does not know may be newer.
fn check_kind(event: EventId, kind: Kind, id: u32) -> Result<(), Error> {
    match schema::published(id) {
        Some(schema) if schema.kind() != Some(kind) => Err(Error::KindMismatch { event, kind, id }),
        Some(_) | None => Ok(()),
    }
}

/// At most one block per class.
fn check_classes(event: EventId, sealed: &[SealedBlock]) -> Result<(), Error> {
    let twice = sealed.iter().enumerate().any(|(index, block)| {
        sealed[..index]
            .iter()
            .any(|earlier| earlier.class == block.class)
    });
    if twice {
        return Err(Error::BadClasses { event });
    }
    Ok(())
}

/// An envelope as its schema has it, on the way out.
#[derive(Serialize)]
struct WireOut<'a> {
    #[serde(with = "fixed")]
    id: &'a [u8; 16],
    kind: &'a str,
    schema_id: u32,
    #[serde(with = "subject")]
    subject: SubjectId,
    source: &'a str,
    message_id: &'a str,
    #[serde(with = "micros")]
    event_time: Timestamp,
    #[serde(with = "micros")]
    received_at: Timestamp,
    #[serde(with = "micros::option")]
    sent_at: Option<Timestamp>,
    #[serde(with = "micros::option")]
    original: Option<Timestamp>,
    #[serde(with = "bytes")]
    clear: &'a [u8],
    sealed: Vec<BlockOut<'a>>,
}

#[derive(Serialize)]
struct BlockOut<'a> {
    class: &'a str,
    #[serde(with = "fixed")]
    nonce: &'a [u8; 24],
    #[serde(with = "bytes")]
    ciphertext: &'a [u8],
}

impl<'a> From<&'a Envelope> for WireOut<'a> {
    fn from(envelope: &'a Envelope) -> Self {
        Self {
            id: envelope.id.as_bytes(),
            kind: envelope.kind.name(),
            schema_id: envelope.schema_id,
            subject: envelope.subject,
            source: &envelope.source,
            message_id: &envelope.message_id,
            event_time: envelope.times.event_time,
            received_at: envelope.times.received_at,
            sent_at: envelope.times.sent_at,
            original: envelope.times.original,
            clear: &envelope.clear,
            sealed: envelope.sealed.iter().map(BlockOut::from).collect(),
        }
    }
}

impl<'a> From<&'a SealedBlock> for BlockOut<'a> {
    fn from(block: &'a SealedBlock) -> Self {
        Self {
            class: block.class.as_str(),
            nonce: &block.nonce,
            ciphertext: &block.ciphertext,
        }
    }
}

/// An envelope as its schema has it, on the way in: well-formed, its names not yet understood.
#[derive(Deserialize)]
struct WireIn<'a> {
    #[serde(with = "fixed")]
    id: [u8; 16],
    kind: &'a str,
    schema_id: u32,
    #[serde(with = "subject")]
    subject: SubjectId,
    source: String,
    message_id: String,
    #[serde(with = "micros")]
    event_time: Timestamp,
    #[serde(with = "micros")]
    received_at: Timestamp,
    #[serde(default, with = "micros::option")]
    sent_at: Option<Timestamp>,
    #[serde(default, with = "micros::option")]
    original: Option<Timestamp>,
    #[serde(with = "bytes")]
    clear: Vec<u8>,
    #[serde(borrow)]
    sealed: Vec<BlockIn<'a>>,
}

#[derive(Deserialize)]
struct BlockIn<'a> {
    class: &'a str,
    #[serde(with = "fixed")]
    nonce: [u8; 24],
    #[serde(with = "bytes")]
    ciphertext: Vec<u8>,
}

impl TryFrom<WireIn<'_>> for Envelope {
    type Error = Error;

    fn try_from(wire: WireIn<'_>) -> Result<Self, Error> {
        let event = EventId::from_bytes(wire.id);
        let kind = wire
            .kind
            .parse()
            .map_err(|UnknownKind| Error::UnknownKind { event })?;
        check_kind(event, kind, wire.schema_id)?;
        let sealed = wire
            .sealed
            .into_iter()
            .map(|block| {
                Ok(SealedBlock {
                    class: block.class.parse()?,
                    nonce: block.nonce,
                    ciphertext: block.ciphertext,
                })
            })
            .collect::<Result<Vec<_>, UnknownKeyClass>>()
            .map_err(|UnknownKeyClass| Error::BadClasses { event })?;
        check_classes(event, &sealed)?;
        Ok(Self {
            id: event,
            kind,
            schema_id: wire.schema_id,
            subject: wire.subject,
            source: wire.source,
            message_id: wire.message_id,
            times: Times {
                event_time: wire.event_time,
                received_at: wire.received_at,
                sent_at: wire.sent_at,
                original: wire.original,
            },
            clear: wire.clear,
            sealed,
        })
    }
}
