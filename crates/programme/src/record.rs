//! How definitions stand in the journal: one record each, bound together as a set.
//!
//! # Protocol
//!
//! The log has no conditional append, so the condition is part of what is written and every reader
//! decides alike whether it held. A *set* is all definitions of one plan. Each of its records is
//! canonical JSON:
//!
//! ```json
//! {"assent":1,"at":T,"parent":P,"set":S,"index":I,"of":N,"kind":K,"name":M,"version":V,"body":B}
//! ```
//!
//! `P` is the digest of the registry the set was planned on, `S` = SHA-256 of the canonical JSON of
//! `{at, parent, definitions}` and, once the set is accepted, the registry's new digest. So a digest
//! stands for everything that was ever defined, and a record altered later does not match its set.
//!
//! A reader folds the one partition in order and holds a digest, at first [`Digest::EMPTY`]:
//!
//! 1. A record whose `P` is not the digest in force is ignored: its author had not seen what is.
//! 2. Otherwise it is kept with the others of `S`. A repetition of an index changes nothing.
//! 3. With the last of the `N` the set takes effect at that position, as a whole; the digest becomes
//!    `S`, and every other set begun on `P` is dropped.
//!
//! Records of two sets may interleave, an append may stop half-way, and any number of processes may
//! apply at once: of all sets planned on one digest exactly one takes effect, and all readers agree
//! which. Whoever applied learns it by reading again what the journal holds.

use assent_consent::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::canonical::{canonical_json, sha256_hex};
use crate::definition::{Definition, DefinitionKey, DefinitionKind, Digest};

/// Version of the record format.
pub(crate) const FORMAT: u32 = 1;

/// Key of every record: definitions need one order, hence one partition.
pub(crate) const KEY: &[u8] = b"registry";

/// A record of `assent.registry`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DefinitionRecord {
    pub(crate) assent: u32,
    pub(crate) at: Timestamp,
    pub(crate) parent: String,
    pub(crate) set: String,
    pub(crate) index: u32,
    pub(crate) of: u32,
    pub(crate) kind: DefinitionKind,
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) body: Value,
}

impl DefinitionRecord {
    pub(crate) fn definition(self) -> Definition {
        Definition {
            key: DefinitionKey {
                kind: self.kind,
                name: self.name,
                version: self.version,
            },
            body: self.body,
        }
    }
}

/// The digest of a set; `None` if a body holds a fraction.
pub(crate) fn set_digest(
    parent: Digest,
    at: Timestamp,
    definitions: &[Definition],
) -> Option<Digest> {
    let definitions: Vec<Value> = definitions
        .iter()
        .map(|d| {
            json!({
                "kind": d.key.kind.as_str(),
                "name": d.key.name,
                "version": d.key.version,
                "body": d.body,
            })
        })
        .collect();
    let set = json!({
        "at": at.to_string(),
        "parent": parent.to_string(),
        "definitions": definitions,
    });
    sha256_hex(canonical_json(&set)?.as_bytes()).parse().ok()
}

/// The records of a set, in the order of their index; `None` if a body holds a fraction.
pub(crate) fn encode_set(
    parent: Digest,
    at: Timestamp,
    definitions: &[Definition],
) -> Option<(Digest, Vec<String>)> {
    let set = set_digest(parent, at, definitions)?;
    let of = definitions.len();
    let mut records = Vec::with_capacity(of);
    for (index, definition) in definitions.iter().enumerate() {
        records.push(canonical_json(&json!({
            "assent": FORMAT,
            "at": at.to_string(),
            "parent": parent.to_string(),
            "set": set.to_string(),
            "index": index,
            "of": of,
            "kind": definition.key.kind.as_str(),
            "name": definition.key.name,
            "version": definition.key.version,
            "body": definition.body,
        }))?);
    }
    Some((set, records))
}
