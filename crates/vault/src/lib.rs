//! Subject identifiers and data keys: the one mutable store of Assent.
//!
//! The journal keeps personal data for ever, but only sealed. What opens it lives here, and
//! nowhere else: destroying a subject's keys in the vault is what erases the subject from every
//! log, copy and backup of the log (invariant I8).
//!
//! The vault owns
//! - the map from an identifier `(namespace, value)` to an opaque random [`SubjectId`], found by a
//!   keyed blind index, the value itself stored sealed;
//! - the data keys, one per subject and [`KeyClass`], random, wrapped by the [`MasterKey`];
//! - the [`Sealer`], which turns payloads into envelopes and back.
//!
//! It refuses to guess: a key that was never made ([`KeyState::Absent`]) is not a key that was
//! destroyed ([`KeyState::Destroyed`]), a block that does not authenticate is an error that names
//! the event and nothing else, and a master key that does not belong to the store opens nothing.
//!
//! **Free pages.** The store copies on write, so a page with a destroyed wrapped key may stay in
//! the file until it is used again. Rolling the master key ([`Vault::roll`]) and
//! destroying the old one makes every such remnant, and every older backup of the store,
//! unreadable; erasure is complete with the next roll.

mod blind;
mod cache;
#[doc(hidden)]
pub mod contract;
mod embedded;
mod error;
mod keyring;
mod master;
mod random;
mod sealer;
mod secret;

/// What a store of the vault is made of, for the stores in other crates of this workspace.
///
/// Nothing here hands out a secret: records go in and come out wrapped, index entries under the
/// key that only the keyring has, and data keys as [`DataKey`], which shows its bytes to nobody.
#[doc(hidden)]
pub mod stores {
    pub use crate::blind::Blind;
    pub use crate::cache::Cache;
    pub use crate::keyring::{
        DESTROYED_RECORD, FORMAT, Keyring, Place, blind_of, new_subject, place,
    };
}

pub use embedded::{EmbeddedVault, VaultConfig};
pub use error::{Error, ErrorKind};
pub use master::MasterKey;
pub use random::{RandomSource, SharedRng};
pub use sealer::{Draft, Opened, Sealer, Sealing};
pub use secret::{DataKey, KeyState};

use assent_consent::{Namespace, SubjectId};
use assent_event::{Identifier, KeyClass};

/// The store of subject identifiers and data keys.
///
/// [`EmbeddedVault`] keeps them for one process; several processes share a store in PostgreSQL
/// (`assent-vault-postgres`). Both pass one suite of cases ([`contract`]).
///
/// Every method blocks until the store has answered, so call it where blocking is allowed. Every
/// method takes a batch and makes at most one durable commit for it; a batch that brings
/// nothing new commits nothing. Answers stand in the order of the questions.
pub trait Vault: Send + Sync + 'static {
    /// The subject of each identifier. With `create`, an unknown identifier gets a new random
    /// subject, durable when the call returns; without, it is `None`.
    ///
    /// # Errors
    /// When the store fails or its content does not authenticate.
    fn subjects(&self, ids: &[Identifier], create: bool) -> Result<Vec<Option<SubjectId>>, Error>;

    /// The identifier in clear of each subject whose identifier is in this namespace; for delivery
    /// and export only, never for a session.
    ///
    /// # Errors
    /// When the store fails or its content does not authenticate.
    fn identifiers(
        &self,
        subjects: &[SubjectId],
        namespace: &Namespace,
    ) -> Result<Vec<Option<String>>, Error>;

    /// The data key of each subject and class. With `create`, a key that is absent is made and
    /// durable when the call returns; a destroyed key is never made again.
    ///
    /// # Errors
    /// When the store fails or its content does not authenticate.
    fn keys(&self, wanted: &[(SubjectId, KeyClass)], create: bool) -> Result<Vec<KeyState>, Error>;

    /// Destroys the subject's keys of these classes and records that they were destroyed. When the
    /// identity class is among them, the identifier is forgotten, too: the same identifier seen
    /// later belongs to a new subject.
    ///
    /// # Errors
    /// When the store fails; then nothing was destroyed and the call is to be repeated.
    fn destroy_classes(&self, subject: SubjectId, classes: &[KeyClass]) -> Result<(), Error>;

    /// Destroys all keys of the subject (PIPL art. 47); recorded as destroyed, identifiers
    /// forgotten.
    ///
    /// # Errors
    /// When the store fails; then nothing was destroyed and the call is to be repeated.
    fn destroy(&self, subject: SubjectId) -> Result<(), Error> {
        self.destroy_classes(subject, &KeyClass::ALL)
    }

    /// How often the master key was rolled, plus one.
    fn master_version(&self) -> u32;

    /// Wraps every data key, every identifier and the whole index under a new master key, and
    /// forgets the old one. Either all of it is done or none. Destroying the old master key
    /// afterwards is up to the caller; from then on older copies of the store open nothing.
    ///
    /// Other processes on the same store answer [`Error::WrongMasterKey`] from then on, until they
    /// [`Vault::adopt`] the new key.
    ///
    /// # Errors
    /// When the store fails or a record is damaged; then the old key remains the vault's key.
    fn roll(&self, new: &MasterKey) -> Result<(), Error>;

    /// Goes on with the master key that another process rolled the store to.
    ///
    /// # Errors
    /// [`Error::WrongMasterKey`] when it is not the store's key; then nothing changes.
    fn adopt(&self, master: &MasterKey) -> Result<(), Error>;

    /// Whether blocks are really sealed. Always [`Sealing::On`] but in the control of the
    /// planted-values test.
    #[doc(hidden)]
    fn sealing(&self) -> Sealing {
        Sealing::On
    }
}
