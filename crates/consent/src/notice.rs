//! Notices: immutable versions of what a person was shown before deciding.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::ids::NoticeRef;
use crate::slug::{Category, Channel, NoticeId, PurposeId, RecipientId};
use crate::time::Timestamp;

/// One version of a notice (art. 17). Once published it never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// Its name.
    pub id: NoticeId,
    /// Its version, counted from 1.
    pub version: u32,
    /// How it differs from the version before.
    pub change: NoticeChange,
    /// From when on it is in force.
    pub effective_from: Timestamp,
    /// Who handles the data (art. 17(1)(1)).
    pub handler: Handler,
    /// How people exercise their rights (art. 17(1)(3)).
    pub rights: String,
    /// What it says of each purpose it lists.
    pub purposes: BTreeMap<PurposeId, NoticedPurpose>,
    /// The full text shown, by language tag.
    #[serde(default)]
    pub texts: BTreeMap<String, String>,
    /// The law that allows not telling people (art. 18), cited; `None`: people are told.
    #[serde(default)]
    pub exemption: Option<String>,
}

/// How a notice version differs from the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeChange {
    /// Purpose, method or categories change: consent must be asked for anew (art. 14(2)).
    Material,
    /// Nothing that people decided on changes.
    Editorial,
}

/// The handler of personal information.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handler {
    /// Name, as registered.
    pub name: String,
    /// How to reach it.
    pub contact: String,
}

/// What a notice version says of one purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoticedPurpose {
    /// How data is handled (art. 17(1)(2)).
    pub method: String,
    /// The categories of data handled.
    pub categories: BTreeSet<Category>,
    /// What is said of each sensitive category (art. 30); these are covered by the notice
    /// whether or not they stand under `categories`, too.
    #[serde(default)]
    pub sensitive: BTreeMap<Category, SensitiveStatement>,
    /// Whether it says that the purpose personalises (art. 24).
    #[serde(default)]
    pub personalises: bool,
    /// The channels on which people may be reached.
    #[serde(default)]
    pub channels: BTreeSet<Channel>,
    /// The handlers to whom data is provided (art. 23).
    #[serde(default)]
    pub recipients: BTreeMap<RecipientId, RecipientStatement>,
    /// How long data is kept and what happens then (art. 17(1)(2), NDSR 21).
    pub retention: String,
}

/// What people are told of a sensitive category (art. 30).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SensitiveStatement {
    /// Why it is necessary.
    pub necessity: String,
    /// How it affects the person's rights and interests.
    pub impact: String,
}

/// What people are told of a recipient (art. 23).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipientStatement {
    /// Name, as registered.
    pub name: String,
    /// How to reach it.
    pub contact: String,
    /// What it uses the data for.
    pub purpose: String,
    /// How it handles the data.
    pub method: String,
    /// The categories of data it receives.
    pub categories: BTreeSet<Category>,
}

impl Notice {
    /// The reference to this version.
    #[must_use]
    pub fn reference(&self) -> NoticeRef {
        NoticeRef {
            id: self.id.clone(),
            version: self.version,
        }
    }
}
