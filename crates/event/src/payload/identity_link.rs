//! Two subjects are one person, or are not after all.

use assent_consent::SubjectId;
use serde::{Deserialize, Serialize};

use crate::wire::{block, subject};

/// A link of the envelope's subject with another, or its undoing.
#[derive(Debug, Clone, PartialEq)]
pub struct IdentityLink {
    /// All of it: opaque ids only.
    pub clear: IdentityLinkClear,
}

/// The link itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct IdentityLinkClear {
    /// The other subject.
    #[serde(with = "subject")]
    pub other: SubjectId,
    /// `true` links, `false` un-links.
    pub linked: bool,
}
block!(IdentityLinkClear);

impl IdentityLink {
    /// The envelope's subject and `other` are one person.
    #[must_use]
    pub fn linked(other: SubjectId) -> Self {
        Self {
            clear: IdentityLinkClear {
                other,
                linked: true,
            },
        }
    }

    /// The envelope's subject and `other` are not one person after all.
    #[must_use]
    pub fn unlinked(other: SubjectId) -> Self {
        Self {
            clear: IdentityLinkClear {
                other,
                linked: false,
            },
        }
    }
}
