//! What a store holds, wrapped and unwrapped: the format of records, whichever store keeps them.
//!
//! A record starts with a tag byte; whatever is wrapped by the master key carries the version of
//! that key, and is bound to its place by the associated data, so that records cannot be swapped.
//! A store keeps records and compares index entries; it never sees what opens them.

use std::fmt;

use assent_consent::{Namespace, SubjectId};
use assent_event::{Identifier, KeyClass};

use crate::blind::{Blind, BlindIndex};
use crate::error::Error;
use crate::master::{MasterKey, WorkingKeys};
use crate::random::RandomSource;
use crate::secret::{DataKey, KEY_LEN, KeyState, NONCE_LEN, TAG_LEN};

/// The format of records that this program writes and the newest it reads.
pub const FORMAT: u32 = 1;

const DESTROYED: u8 = 0;
const WRAPPED: u8 = 1;
const SEALED_IDENTIFIER: u8 = 1;

/// The record of a destroyed key.
pub const DESTROYED_RECORD: &[u8] = &[DESTROYED];

/// Where a data key stands in a store: the bytes of the subject, then the class.
pub type Place = [u8; 17];

/// The place of a subject's key of a class.
#[must_use]
pub fn place(subject: SubjectId, class: KeyClass) -> Place {
    let mut place = [0; 17];
    place[..16].copy_from_slice(subject.as_bytes());
    place[16] = class.as_u8();
    place
}

/// A new subject, random and derived from nothing.
pub fn new_subject(random: &dyn RandomSource) -> SubjectId {
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    SubjectId::from_bytes(bytes)
}

/// The working keys of one master key, with the version that the store gives to it.
pub struct Keyring {
    keys: WorkingKeys,
    index: BlindIndex,
    version: u32,
}

impl Keyring {
    /// The keyring of a master key. `version` is how often the store's master key was rolled, plus
    /// one.
    #[must_use]
    pub fn new(master: &MasterKey, version: u32) -> Self {
        let keys = master.derive();
        Self {
            index: BlindIndex::new(&keys),
            keys,
            version,
        }
    }

    /// The version of the master key.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Tells whether a master key is the store's, and nothing else about it.
    #[must_use]
    pub fn fingerprint(&self) -> &[u8; KEY_LEN] {
        &self.keys.fingerprint
    }

    /// The index entry of an identifier.
    #[must_use]
    pub fn blind(&self, id: &Identifier) -> Blind {
        self.index.of(id.namespace.as_str(), &id.value)
    }

    /// A new data key and its record.
    pub fn new_key(&self, place: &Place, random: &dyn RandomSource) -> (DataKey, Vec<u8>) {
        let key = DataKey::generate(random);
        let record = self.wrap(place, &key, random);
        (key, record)
    }

    fn wrap(&self, place: &Place, key: &DataKey, random: &dyn RandomSource) -> Vec<u8> {
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

    /// What the record at a place says.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it does not authenticate there, under this version.
    pub fn unwrap(&self, place: &Place, record: &[u8]) -> Result<KeyState, Error> {
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

    /// The record of the same key under the next master key; a record of destruction stays.
    ///
    /// # Errors
    /// As [`Keyring::unwrap`].
    pub fn rewrap(
        &self,
        next: &Self,
        place: &Place,
        record: &[u8],
        random: &dyn RandomSource,
    ) -> Result<Vec<u8>, Error> {
        Ok(match self.unwrap(place, record)? {
            KeyState::Live(key) => next.wrap(place, &key, random),
            // It is not wrapped.
            KeyState::Destroyed | KeyState::Absent => record.to_vec(),
        })
    }

    /// The index entry of an identifier and the record that holds it sealed.
    pub fn seal_identifier(
        &self,
        subject: SubjectId,
        id: &Identifier,
        random: &dyn RandomSource,
    ) -> (Blind, Vec<u8>) {
        self.seal_parts(subject, id.namespace.as_str(), id.value.clone(), random)
    }

    fn seal_parts(
        &self,
        subject: SubjectId,
        namespace: &str,
        value: String,
        random: &dyn RandomSource,
    ) -> (Blind, Vec<u8>) {
        let blind = self.index.of(namespace, &value);
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce);
        let value_length = value.len();
        let sealed = self
            .keys
            .identifiers
            .seal(
                &nonce,
                &self.identifier_aad(subject, namespace, &blind),
                value.into_bytes(),
            )
            .expect("an identifier is within the limit of the cipher");
        let name = namespace.as_bytes();
        let length = u16::try_from(name.len()).expect("a namespace has at most 64 characters");
        let mut record =
            Vec::with_capacity(7 + name.len() + KEY_LEN + NONCE_LEN + TAG_LEN + value_length);
        record.push(SEALED_IDENTIFIER);
        record.extend_from_slice(&length.to_be_bytes());
        record.extend_from_slice(name);
        record.extend_from_slice(&blind);
        record.extend_from_slice(&self.version.to_be_bytes());
        record.extend_from_slice(&nonce);
        record.extend_from_slice(&sealed);
        (blind, record)
    }

    /// The identifier in clear, if it is in this namespace.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it does not authenticate for this subject, under this version.
    pub fn open_identifier(
        &self,
        subject: SubjectId,
        namespace: &Namespace,
        record: &[u8],
    ) -> Result<Option<String>, Error> {
        let parts = parts(record)?;
        if parts.namespace != namespace.as_str() {
            return Ok(None);
        }
        self.open_parts(subject, &parts).map(Some)
    }

    /// The index entry and the record of the same identifier under the next master key.
    ///
    /// # Errors
    /// As [`Keyring::open_identifier`].
    pub fn reseal_identifier(
        &self,
        next: &Self,
        subject: SubjectId,
        record: &[u8],
        random: &dyn RandomSource,
    ) -> Result<(Blind, Vec<u8>), Error> {
        let parts = parts(record)?;
        let value = self.open_parts(subject, &parts)?;
        Ok(next.seal_parts(subject, parts.namespace, value, random))
    }

    fn open_parts(&self, subject: SubjectId, parts: &Parts<'_>) -> Result<String, Error> {
        let open = || {
            let (nonce, sealed) = self.split_version(parts.rest)?;
            let aad = self.identifier_aad(subject, parts.namespace, &parts.blind);
            let value = self.keys.identifiers.open(nonce, &aad, sealed)?;
            String::from_utf8(value).ok()
        };
        open().ok_or(Error::Damaged { what: "identifier" })
    }

    fn split_version<'r>(&self, rest: &'r [u8]) -> Option<(&'r [u8; NONCE_LEN], &'r [u8])> {
        let (version, rest) = rest.split_first_chunk::<4>()?;
        // A roll rewraps every record in one transaction, so another version is damage.
        (u32::from_be_bytes(*version) == self.version).then_some(())?;
        rest.split_first_chunk::<NONCE_LEN>()
    }

    fn wrap_aad(&self, place: &Place) -> Vec<u8> {
        [&b"key"[..], &self.version.to_be_bytes(), place].concat()
    }

    fn identifier_aad(&self, subject: SubjectId, namespace: &str, blind: &Blind) -> Vec<u8> {
        let version = self.version.to_be_bytes();
        [
            &b"id"[..],
            &version,
            subject.as_bytes(),
            blind,
            namespace.as_bytes(),
        ]
        .concat()
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// The index entry that a record of an identifier names, without opening it.
///
/// # Errors
/// [`Error::Damaged`] when it is no such record.
pub fn blind_of(record: &[u8]) -> Result<Blind, Error> {
    parts(record).map(|parts| parts.blind)
}

/// What stands in clear in a record of an identifier.
struct Parts<'r> {
    namespace: &'r str,
    blind: Blind,
    rest: &'r [u8],
}

fn parts(record: &[u8]) -> Result<Parts<'_>, Error> {
    let parse = || {
        let (&tag, rest) = record.split_first()?;
        if tag != SEALED_IDENTIFIER {
            return None;
        }
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (name, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let (blind, rest) = rest.split_first_chunk::<KEY_LEN>()?;
        Some(Parts {
            namespace: std::str::from_utf8(name).ok()?,
            blind: *blind,
            rest,
        })
    };
    parse().ok_or(Error::Damaged { what: "identifier" })
}
