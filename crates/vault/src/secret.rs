//! Key material: 32 bytes that are wiped when dropped and never printed.

use std::fmt;

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroize;

use crate::RandomSource;

/// Length of a key in bytes.
pub(crate) const KEY_LEN: usize = 32;
/// Length of an XChaCha20 nonce in bytes; long enough to be drawn at random.
pub(crate) const NONCE_LEN: usize = 24;
/// Length of a Poly1305 tag in bytes.
pub(crate) const TAG_LEN: usize = 16;

/// The random key that seals one class of one subject's data.
#[derive(Clone)]
pub struct DataKey(pub(crate) [u8; KEY_LEN]);

impl DataKey {
    pub(crate) fn generate(random: &dyn RandomSource) -> Self {
        let mut key = Self([0; KEY_LEN]);
        random.fill(&mut key.0);
        key
    }

    /// Encrypts in place and appends the tag. `None` only when the text is too long for the cipher
    /// (256 GiB).
    pub(crate) fn seal(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        mut text: Vec<u8>,
    ) -> Option<Vec<u8>> {
        let cipher = XChaCha20Poly1305::new((&self.0).into());
        cipher
            .encrypt_in_place(&XNonce::from(*nonce), aad, &mut text)
            .ok()?;
        Some(text)
    }

    /// Decrypts; `None` when it does not authenticate.
    pub(crate) fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        sealed: &[u8],
    ) -> Option<Vec<u8>> {
        let mut text = sealed.to_vec();
        let cipher = XChaCha20Poly1305::new((&self.0).into());
        cipher
            .decrypt_in_place(&XNonce::from(*nonce), aad, &mut text)
            .ok()?;
        Some(text)
    }
}

impl Drop for DataKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(..)")
    }
}

/// What the vault knows about one data key.
#[derive(Debug, Clone)]
pub enum KeyState {
    /// The key, in use.
    Live(DataKey),
    /// The key was destroyed on purpose; what it sealed is erased.
    Destroyed,
    /// The vault has never held this key.
    Absent,
}
