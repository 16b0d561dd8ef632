//! The master key, and the working keys derived from it.
//!
//! One secret of 32 bytes protects the store. Three working keys are derived from it with
//! HMAC-SHA256 over a label (the expand step of RFC 5869 for one block): one wraps data keys, one
//! seals identifiers, one indexes identifiers; and a fingerprint that tells whether a master key
//! belongs to a store without telling anything about the key.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use crate::error::Error;
use crate::random::RandomSource;
use crate::secret::{DataKey, KEY_LEN};

/// The secret that wraps everything in the vault.
#[derive(Clone)]
pub struct MasterKey([u8; KEY_LEN]);

impl MasterKey {
    /// A new random key.
    pub fn generate(random: &dyn RandomSource) -> Self {
        let mut key = Self([0; KEY_LEN]);
        random.fill(&mut key.0);
        key
    }

    /// Reads 64 hexadecimal digits; white space around them is ignored.
    ///
    /// # Errors
    /// [`Error::MasterKeyFormat`], which does not repeat the text.
    pub fn from_hex(text: &str) -> Result<Self, Error> {
        let mut key = Self([0; KEY_LEN]);
        hex::decode_to_slice(text.trim(), &mut key.0).map_err(|_| Error::MasterKeyFormat)?;
        Ok(key)
    }

    /// Reads the key from a file of 64 hexadecimal digits.
    ///
    /// # Errors
    /// When the file cannot be read or holds something else.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::MasterKeyFile {
            verb: "read",
            path: path.to_owned(),
            source,
        })?;
        Self::from_hex(&Zeroizing::new(text))
    }

    /// Makes a new key and writes it to a file that must not exist yet, readable by its owner only
    /// and on disk when the call returns.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn create_file(path: &Path, random: &dyn RandomSource) -> Result<Self, Error> {
        let key = Self::generate(random);
        let text = Zeroizing::new(format!("{}\n", *Zeroizing::new(hex::encode(key.0))));
        write_new(path, text.as_bytes()).map_err(|source| Error::MasterKeyFile {
            verb: "create",
            path: path.to_owned(),
            source,
        })?;
        Ok(key)
    }

    pub(crate) fn derive(&self) -> WorkingKeys {
        WorkingKeys {
            wrapping: DataKey(self.expand(b"assent vault wrap 1")),
            identifiers: DataKey(self.expand(b"assent vault identifiers 1")),
            index: DataKey(self.expand(b"assent vault index 1")),
            fingerprint: self.expand(b"assent vault fingerprint 1"),
        }
    }

    fn expand(&self, label: &[u8]) -> [u8; KEY_LEN] {
        let mut mac = keyed(&self.0);
        mac.update(label);
        mac.finalize().into_bytes().into()
    }
}

impl Drop for MasterKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

/// What a master key is used through.
#[derive(Clone)]
pub(crate) struct WorkingKeys {
    /// Wraps data keys.
    pub(crate) wrapping: DataKey,
    /// Seals identifiers.
    pub(crate) identifiers: DataKey,
    /// Keys the blind index.
    pub(crate) index: DataKey,
    /// Tells whether this is the store's key.
    pub(crate) fingerprint: [u8; KEY_LEN],
}

/// HMAC-SHA256 under a key of 32 bytes.
pub(crate) fn keyed(key: &[u8; KEY_LEN]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length (RFC 2104)")
}

fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    // The directory entry must be durable as well: a vault whose key file vanished is lost.
    #[cfg(unix)]
    if let Some(parent) = path.parent() {
        let parent = if parent.as_os_str().is_empty() {
            Path::new(".")
        } else {
            parent
        };
        std::fs::File::open(parent)?.sync_all()?;
    }
    Ok(())
}
