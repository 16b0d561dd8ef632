//! The blind index: finds a subject by its identifier without storing the identifier.
//!
//! An index entry is HMAC-SHA256 under a key derived from the master key. Without that key a list
//! of all phone numbers does not help to enumerate the entries, which a bare hash would allow.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::master::{WorkingKeys, keyed};
use crate::secret::KEY_LEN;

/// One entry of the index.
pub type Blind = [u8; KEY_LEN];

/// Computes index entries; the keyed state is made once and copied per identifier.
#[derive(Clone)]
pub(crate) struct BlindIndex(Hmac<Sha256>);

impl BlindIndex {
    pub(crate) fn new(keys: &WorkingKeys) -> Self {
        Self(keyed(&keys.index.0))
    }

    pub(crate) fn of(&self, namespace: &str, value: &str) -> Blind {
        let mut mac = self.0.clone();
        // The length stands before the namespace so that no two identifiers run together alike.
        mac.update(&(namespace.len() as u64).to_be_bytes());
        mac.update(namespace.as_bytes());
        mac.update(value.as_bytes());
        mac.finalize().into_bytes().into()
    }
}
