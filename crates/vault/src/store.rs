//! The shape of what stands in the store: tables, keys and records.
//!
//! A record starts with a tag byte; whatever is wrapped by the master key carries the version of
//! that key, and is bound to its place by the associated data, so that records cannot be swapped.

use assent_consent::SubjectId;
use assent_event::KeyClass;
use redb::TableDefinition;

use crate::blind::Blind;
use crate::error::Error;
use crate::master::WorkingKeys;
use crate::random::RandomSource;
use crate::secret::{DataKey, KEY_LEN, KeyState, NONCE_LEN, TAG_LEN};

/// The format this program writes and the newest it reads.
pub(crate) const FORMAT: u32 = 1;

/// `format`, `version` (of the master key) and `fingerprint` (of the master key).
pub(crate) const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
/// Blind index entry → subject.
pub(crate) const INDEX: TableDefinition<'static, &[u8; KEY_LEN], &[u8; 16]> =
    TableDefinition::new("index");
/// Subject → its sealed identifier.
pub(crate) const IDENTIFIERS: TableDefinition<'static, &[u8; 16], &[u8]> =
    TableDefinition::new("identifiers");
/// Subject and class → its wrapped key, or the record of its destruction.
pub(crate) const KEYS: TableDefinition<'static, &[u8; 17], &[u8]> = TableDefinition::new("keys");

const DESTROYED: u8 = 0;
const WRAPPED: u8 = 1;
const SEALED_IDENTIFIER: u8 = 1;

/// The record of a destroyed key.
pub(crate) const DESTROYED_RECORD: &[u8] = &[DESTROYED];

/// The working keys and the version of the master key they come from.
pub(crate) struct Current {
    pub(crate) keys: WorkingKeys,
    pub(crate) version: u32,
}

/// The key of the `keys` table.
pub(crate) fn key_place(subject: SubjectId, class: KeyClass) -> [u8; 17] {
    let mut place = [0; 17];
    place[..16].copy_from_slice(subject.as_bytes());
    place[16] = class.as_u8();
    place
}

/// An identifier as the store holds it, opened.
pub(crate) struct StoredIdentifier {
    pub(crate) namespace: String,
    pub(crate) blind: Blind,
    pub(crate) value: String,
}

impl Current {
    pub(crate) fn wrap(
        &self,
        place: &[u8; 17],
        key: &DataKey,
        random: &dyn RandomSource,
    ) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce);
        let sealed = self
            .keys
            .wrapping
            .seal(&nonce, &self.wrap_aad(place), key.0.to_vec())
            .expect("32 bytes are within the limit of the cipher");
        let mut record = Vec::with_capacity(5 + NONCE_LEN + KEY_LEN + TAG_LEN);
        record.push(WRAPPED);
        record.extend_from_slice(&self.version.to_be_bytes());
        record.extend_from_slice(&nonce);
        record.extend_from_slice(&sealed);
        record
    }

    pub(crate) fn unwrap(&self, place: &[u8; 17], record: &[u8]) -> Result<KeyState, Error> {
        let damaged = Error::Damaged { what: "data key" };
        match record.split_first() {
            Some((&DESTROYED, [])) => Ok(KeyState::Destroyed),
            Some((&WRAPPED, rest)) => {
                let Some((nonce, sealed)) = self.split_version(rest) else {
                    return Err(damaged);
                };
                let opened = self
                    .keys
                    .wrapping
                    .open(nonce, &self.wrap_aad(place), sealed)
                    .map(zeroize::Zeroizing::new);
                match opened.and_then(|bytes| <[u8; KEY_LEN]>::try_from(bytes.as_slice()).ok()) {
                    Some(key) => Ok(KeyState::Live(DataKey(key))),
                    None => Err(damaged),
                }
            }
            Some((_unknown, _)) => Err(damaged),
            None => Err(damaged),
        }
    }

    pub(crate) fn seal_identifier(
        &self,
        subject: &[u8; 16],
        id: &StoredIdentifier,
        random: &dyn RandomSource,
    ) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce);
        let aad = self.identifier_aad(subject, &id.namespace, &id.blind);
        let sealed = self
            .keys
            .identifiers
            .seal(&nonce, &aad, id.value.clone().into_bytes())
            .expect("an identifier is within the limit of the cipher");
        let name = id.namespace.as_bytes();
        let length = u16::try_from(name.len()).expect("a namespace has at most 64 characters");
        let mut record =
            Vec::with_capacity(7 + name.len() + KEY_LEN + NONCE_LEN + TAG_LEN + id.value.len());
        record.push(SEALED_IDENTIFIER);
        record.extend_from_slice(&length.to_be_bytes());
        record.extend_from_slice(name);
        record.extend_from_slice(&id.blind);
        record.extend_from_slice(&self.version.to_be_bytes());
        record.extend_from_slice(&nonce);
        record.extend_from_slice(&sealed);
        record
    }

    /// The namespace and the index entry of a record, without opening it.
    pub(crate) fn peek_identifier(record: &[u8]) -> Result<(&str, Blind, &[u8]), Error> {
        let parse = || {
            let (&tag, rest) = record.split_first()?;
            if tag != SEALED_IDENTIFIER {
                return None;
            }
            let (length, rest) = rest.split_first_chunk::<2>()?;
            let (name, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            let (blind, rest) = rest.split_first_chunk::<KEY_LEN>()?;
            Some((std::str::from_utf8(name).ok()?, *blind, rest))
        };
        parse().ok_or(Error::Damaged { what: "identifier" })
    }

    pub(crate) fn open_identifier(
        &self,
        subject: &[u8; 16],
        record: &[u8],
    ) -> Result<StoredIdentifier, Error> {
        let (namespace, blind, rest) = Self::peek_identifier(record)?;
        let open = || {
            let (nonce, sealed) = self.split_version(rest)?;
            let aad = self.identifier_aad(subject, namespace, &blind);
            let value = self.keys.identifiers.open(nonce, &aad, sealed)?;
            String::from_utf8(value).ok()
        };
        let value = open().ok_or(Error::Damaged { what: "identifier" })?;
        Ok(StoredIdentifier {
            namespace: namespace.to_owned(),
            blind,
            value,
        })
    }

    fn split_version<'r>(&self, rest: &'r [u8]) -> Option<(&'r [u8; NONCE_LEN], &'r [u8])> {
        let (version, rest) = rest.split_first_chunk::<4>()?;
        // A roll rewraps every record in one transaction, so another version is damage.
        (u32::from_be_bytes(*version) == self.version).then_some(())?;
        rest.split_first_chunk::<NONCE_LEN>()
    }

    fn wrap_aad(&self, place: &[u8; 17]) -> Vec<u8> {
        [&b"key"[..], &self.version.to_be_bytes(), place].concat()
    }

    fn identifier_aad(&self, subject: &[u8; 16], namespace: &str, blind: &Blind) -> Vec<u8> {
        let version = self.version.to_be_bytes();
        [&b"id"[..], &version, subject, blind, namespace.as_bytes()].concat()
    }
}
