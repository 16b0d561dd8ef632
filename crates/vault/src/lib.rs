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
//! the file until it is used again. Rolling the master key ([`EmbeddedVault::roll`]) and
//! destroying the old one makes every such remnant, and every older backup of the store,
//! unreadable; erasure is complete with the next roll.

mod blind;
mod cache;
mod embedded;
mod error;
mod master;
mod random;
mod sealer;
mod secret;
mod store;

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
/// Every method takes a batch and makes at most one durable commit for it; a batch that brings
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

    /// Whether blocks are really sealed. Always [`Sealing::On`] but in the control of the
    /// planted-values test.
    #[doc(hidden)]
    fn sealing(&self) -> Sealing {
        Sealing::On
    }
}
