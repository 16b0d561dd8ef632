//! A use of data by a principal (I7).

use assent_consent::Timestamp;
use serde::{Deserialize, Serialize};

use crate::wire::{block, micros};

/// Who used which data for what (PIPL art. 54, 69). It holds neither personal data nor the text of
/// the query, as that may quote some.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UseRecord {
    /// All of it.
    pub clear: UseRecordClear,
}

/// The use.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct UseRecordClear {
    /// `query`, `run`, `export`, `explain` or `as_of`.
    pub operation: String,
    /// The principal who asked.
    pub principal: String,
    /// For this purpose.
    pub purpose: String,
    /// Over this channel.
    #[serde(default)]
    pub channel: Option<String>,
    /// For this recipient.
    #[serde(default)]
    pub recipient: Option<String>,
    /// On this legal basis.
    pub basis: String,
    /// Lower-case hexadecimal SHA-256 of the query.
    #[serde(default)]
    pub sql_sha256: Option<String>,
    /// The checkpoint it was answered at, as JSON.
    pub position: String,
    /// The segment.
    #[serde(default)]
    pub segment: Option<String>,
    /// Which version of it.
    #[serde(default)]
    pub segment_version: Option<u32>,
    /// The instant it was evaluated for, where that was not the present.
    #[serde(default, with = "micros::option")]
    pub as_of: Option<Timestamp>,
    /// How many rows left the gate.
    #[serde(default)]
    pub rows: Option<i64>,
    /// How it ended, e.g. `started`, `answered`, `denied`, `failed`.
    pub outcome: String,
    /// The one member looked at: the opaque id, 32 hexadecimal digits.
    #[serde(default)]
    pub about: Option<String>,
    /// The purpose for which that member's verdict was looked at.
    #[serde(default)]
    pub about_purpose: Option<String>,
}
block!(UseRecordClear);

impl UseRecord {
    /// A use of this kind by this principal for this purpose on this basis, just started.
    #[must_use]
    pub fn started(
        operation: impl Into<String>,
        principal: impl Into<String>,
        purpose: impl Into<String>,
        basis: impl Into<String>,
        position: impl Into<String>,
    ) -> Self {
        Self::from(UseRecordClear {
            operation: operation.into(),
            principal: principal.into(),
            purpose: purpose.into(),
            basis: basis.into(),
            position: position.into(),
            outcome: "started".to_owned(),
            ..UseRecordClear::default()
        })
    }
}

impl From<UseRecordClear> for UseRecord {
    fn from(clear: UseRecordClear) -> Self {
        Self { clear }
    }
}
