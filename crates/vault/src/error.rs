//! What can go wrong in the vault, and what to do about it. No message names a person.

use std::path::PathBuf;

use assent_consent::SubjectId;
use assent_event::{EventId, KeyClass};

/// What the caller is to do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request itself is wrong: change it.
    Invalid,
    /// What was asked for is not there.
    NotFound,
    /// The state has moved on: ask again.
    Conflict,
    /// The key given does not open the store.
    Denied,
    /// The store cannot be used now: try later.
    Unavailable,
    /// Stored or journalled bytes are damaged or were tampered with: an operator must act.
    Corrupt,
    /// A defect of the program.
    Internal,
}

/// An error of the vault.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file of the master key cannot be read or written.
    #[error("cannot {verb} the master key file {}", path.display())]
    MasterKeyFile {
        /// What was tried: `read` or `create`.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The master key is not 64 hexadecimal digits.
    #[error("a master key is 64 hexadecimal digits (32 bytes); this is something else")]
    MasterKeyFormat,
    /// The master key is not the one this store is wrapped with.
    #[error(
        "this master key does not open the vault, which is at key version {version}; give the key \
         that the vault was created with or last rolled to"
    )]
    WrongMasterKey {
        /// How often the master key was rolled, plus one.
        version: u32,
    },
    /// Another process has the store open.
    #[error(
        "the vault {} is open in another process; stop that one, or talk to it instead",
        path.display()
    )]
    InUse {
        /// The store.
        path: PathBuf,
    },
    /// The store was written by a newer version of the program.
    #[error("the vault has format {found}, this program reads {known}; use a newer program")]
    Format {
        /// The format of the store.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// The store failed.
    #[error("the vault's store failed while it was to {action}")]
    Store {
        /// What was tried.
        action: &'static str,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store of several processes cannot be reached, or broke off before it confirmed.
    #[error(
        "the vault's store cannot be reached while it was to {action}; nothing of it was \
         acknowledged, so do the same again later"
    )]
    Unreachable {
        /// What was tried.
        action: &'static str,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store refuses the account.
    #[error(
        "the vault's store refuses this account while it was to {action}; check its name, its \
         password and its rights"
    )]
    Refused {
        /// What was tried.
        action: &'static str,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The settings of the store, ours or its own, cannot be used.
    #[error("the vault's store cannot be used as it is set up: {0}")]
    Settings(String),
    /// A record of the store does not authenticate or has an impossible shape.
    #[error(
        "a record of the vault is damaged ({what}); restore the store from its backup, nothing \
         was changed"
    )]
    Damaged {
        /// Which kind of record.
        what: &'static str,
    },
    /// A sealed block needs a key that the vault never had, or lost. Not an erasure.
    #[error(
        "event {event} is sealed with a key of class {} that the vault neither holds nor records \
         as destroyed; restore the vault that belongs to this journal",
        class.as_str()
    )]
    KeyMissing {
        /// The event.
        event: EventId,
        /// The class of the block.
        class: KeyClass,
    },
    /// A sealed block does not authenticate: it, its event id, its subject, its class or its
    /// schema was changed.
    #[error("a sealed block of event {event} does not authenticate: it was changed or moved")]
    Tampered {
        /// The event.
        event: EventId,
    },
    /// The subject was erased between being looked up and being sealed for.
    #[error("the subject {subject} was erased meanwhile; look its identifiers up again")]
    Erased {
        /// The subject.
        subject: SubjectId,
    },
    /// A payload or envelope cannot be encoded or decoded.
    #[error("event {event} cannot be {verb}")]
    Codec {
        /// The event.
        event: EventId,
        /// `encoded` or `decoded`.
        verb: &'static str,
        /// Why not.
        #[source]
        source: assent_event::Error,
    },
}

impl Error {
    /// What the caller is to do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::MasterKeyFile { source, .. } => match source.kind() {
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                std::io::ErrorKind::AlreadyExists => ErrorKind::Conflict,
                std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
                _other => ErrorKind::Unavailable,
            },
            Self::MasterKeyFormat => ErrorKind::Invalid,
            Self::WrongMasterKey { .. } => ErrorKind::Denied,
            Self::InUse { .. } | Self::Store { .. } | Self::Unreachable { .. } => {
                ErrorKind::Unavailable
            }
            Self::Refused { .. } => ErrorKind::Denied,
            Self::Format { .. } | Self::Settings(_) => ErrorKind::Invalid,
            Self::Damaged { .. } | Self::Tampered { .. } => ErrorKind::Corrupt,
            Self::KeyMissing { .. } => ErrorKind::NotFound,
            Self::Erased { .. } => ErrorKind::Conflict,
            Self::Codec { .. } => ErrorKind::Corrupt,
        }
    }
}

/// Wraps an error of redb with what was being done.
pub(crate) fn store<E>(action: &'static str) -> impl FnOnce(E) -> Error
where
    E: Into<redb::Error>,
{
    move |source| Error::Store {
        action,
        source: Box::new(source.into()),
    }
}
