//! Sealing payloads into envelopes, and opening them.
//!
//! One block per key class, XChaCha20-Poly1305 under the subject's key of that class. The
//! associated data (event id ‖ subject ‖ class ‖ fingerprint of the schema) binds a block to its
//! place: moved to another event, subject, class or schema it does not open.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;

use assent_consent::SubjectId;
use assent_event::{Envelope, EventId, KeyClass, Payload, SealedBlock, Times, schema};

use crate::Vault;
use crate::error::Error;
use crate::random::RandomSource;
use crate::secret::{DataKey, KeyState, NONCE_LEN};

/// Whether blocks are sealed.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealing {
    /// They are.
    On,
    /// They stand in clear: the control of the test that looks for planted values, which would
    /// pass for ever if it looked in the wrong place.
    Off,
}

/// An event about to be sealed.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Its id.
    pub id: EventId,
    /// Whom it concerns.
    pub subject: SubjectId,
    /// The source it came from.
    pub source: String,
    /// The source's own id of it.
    pub message_id: String,
    /// Its times.
    pub times: Times,
    /// What it says.
    pub payload: Payload,
}

/// An envelope, opened.
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every envelope opens to a payload, so boxing it would only add an allocation each"
)]
pub enum Opened {
    /// What it says. When the evidence key was destroyed (its term is another one than the
    /// data's), the payload stands without its evidence.
    Payload(Payload),
    /// The vault records that a key of its personal data was destroyed: a tombstone.
    Erased,
}

/// Seals and opens batches under the keys of a vault.
pub struct Sealer<'v> {
    vault: &'v dyn Vault,
    random: &'v dyn RandomSource,
}

type Keys = HashMap<(SubjectId, KeyClass), KeyState>;

impl<'v> Sealer<'v> {
    /// A sealer on this vault; nonces come from `random`.
    pub fn new(vault: &'v dyn Vault, random: &'v dyn RandomSource) -> Self {
        Self { vault, random }
    }

    /// Seals a batch; missing keys are made in one commit. Envelopes come in the order of the
    /// drafts.
    ///
    /// # Errors
    /// [`Error::Erased`] when a subject was erased meanwhile; then nothing of the batch was sealed.
    pub fn seal_batch(&self, drafts: Vec<Draft>) -> Result<Vec<Envelope>, Error> {
        let mut parts = Vec::with_capacity(drafts.len());
        for draft in &drafts {
            let blocks = draft.payload.blocks().map_err(|source| Error::Codec {
                event: draft.id,
                verb: "encoded",
                source,
            })?;
            parts.push(blocks);
        }
        let wanted = drafts.iter().zip(&parts).flat_map(|(draft, (_, blocks))| {
            blocks.iter().map(|(class, _)| (draft.subject, *class))
        });
        let keys = self.fetch(wanted, true)?;
        drafts
            .into_iter()
            .zip(parts)
            .map(|(draft, (clear, blocks))| self.seal(draft, clear, blocks, &keys))
            .collect()
    }

    /// Opens a batch; the keys are fetched in one lookup.
    ///
    /// # Errors
    /// [`Error::KeyMissing`] when a key is neither held nor recorded as destroyed,
    /// [`Error::Tampered`] when a block does not authenticate.
    pub fn open_batch(&self, envelopes: &[Envelope]) -> Result<Vec<Opened>, Error> {
        let wanted = envelopes.iter().flat_map(|envelope| {
            envelope
                .sealed
                .iter()
                .map(|block| (envelope.subject, block.class))
        });
        let keys = self.fetch(wanted, false)?;
        envelopes
            .iter()
            .map(|envelope| self.open(envelope, &keys))
            .collect()
    }

    fn fetch(
        &self,
        wanted: impl Iterator<Item = (SubjectId, KeyClass)>,
        create: bool,
    ) -> Result<Keys, Error> {
        let mut distinct: Vec<(SubjectId, KeyClass)> = wanted.collect();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.is_empty() {
            return Ok(Keys::new());
        }
        let states = self.vault.keys(&distinct, create)?;
        Ok(distinct.into_iter().zip(states).collect())
    }

    fn seal(
        &self,
        draft: Draft,
        clear: Vec<u8>,
        blocks: Vec<(KeyClass, Vec<u8>)>,
        keys: &Keys,
    ) -> Result<Envelope, Error> {
        let kind = draft.payload.kind();
        let mut envelope = Envelope {
            id: draft.id,
            kind,
            schema_id: kind.schema_id(),
            subject: draft.subject,
            source: draft.source,
            message_id: draft.message_id,
            times: draft.times,
            clear,
            sealed: Vec::with_capacity(blocks.len()),
        };
        for (class, text) in blocks {
            let key = match keys.get(&(envelope.subject, class)) {
                Some(KeyState::Live(key)) => key,
                Some(KeyState::Destroyed) => {
                    return Err(Error::Erased {
                        subject: envelope.subject,
                    });
                }
                Some(KeyState::Absent) | None => {
                    return Err(Error::KeyMissing {
                        event: envelope.id,
                        class,
                    });
                }
            };
            let block = self.seal_block(&envelope, class, key, text)?;
            envelope.sealed.push(block);
        }
        Ok(envelope)
    }

    fn seal_block(
        &self,
        envelope: &Envelope,
        class: KeyClass,
        key: &DataKey,
        text: Vec<u8>,
    ) -> Result<SealedBlock, Error> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce);
        let ciphertext = match self.vault.sealing() {
            Sealing::On => key
                .seal(&nonce, &associated(envelope, class)?, text)
                .ok_or(Error::Tampered { event: envelope.id })?,
            Sealing::Off => text,
        };
        Ok(SealedBlock {
            class,
            nonce,
            ciphertext,
        })
    }

    fn open(&self, envelope: &Envelope, keys: &Keys) -> Result<Opened, Error> {
        let mut opened = Vec::with_capacity(envelope.sealed.len());
        let mut erased = false;
        for block in &envelope.sealed {
            let key = match keys.get(&(envelope.subject, block.class)) {
                Some(KeyState::Live(key)) => key,
                Some(KeyState::Destroyed) => {
                    // Evidence has its own, longer or shorter term; a decision stands without it.
                    erased |= block.class != KeyClass::Evidence;
                    continue;
                }
                Some(KeyState::Absent) | None => {
                    return Err(Error::KeyMissing {
                        event: envelope.id,
                        class: block.class,
                    });
                }
            };
            let text = match self.vault.sealing() {
                Sealing::On => key
                    .open(
                        &block.nonce,
                        &associated(envelope, block.class)?,
                        &block.ciphertext,
                    )
                    .ok_or(Error::Tampered { event: envelope.id })?,
                Sealing::Off => block.ciphertext.clone(),
            };
            opened.push((block.class, text));
        }
        if erased {
            return Ok(Opened::Erased);
        }
        Payload::from_blocks(envelope.kind, envelope.schema_id, &envelope.clear, &opened)
            .map(Opened::Payload)
            .map_err(|source| Error::Codec {
                event: envelope.id,
                verb: "decoded",
                source,
            })
    }
}

impl fmt::Debug for Sealer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").finish_non_exhaustive()
    }
}

/// The associated data of a block: event id ‖ subject ‖ class ‖ fingerprint of the schema.
fn associated(envelope: &Envelope, class: KeyClass) -> Result<[u8; 65], Error> {
    let fingerprint = schema::fingerprint(envelope.schema_id).ok_or(Error::Codec {
        event: envelope.id,
        verb: "decoded",
        source: assent_event::Error::UnknownSchema {
            id: envelope.schema_id,
            event: Some(envelope.id),
        },
    })?;
    let mut aad = [0; 65];
    aad[..16].copy_from_slice(envelope.id.as_bytes());
    aad[16..32].copy_from_slice(envelope.subject.as_bytes());
    aad[32] = class.as_u8();
    aad[33..].copy_from_slice(&fingerprint);
    Ok(aad)
}
