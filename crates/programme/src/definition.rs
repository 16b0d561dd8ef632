//! A definition: one versioned thing of the programme, as it stands in the journal.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What kind of thing is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DefinitionKind {
    /// Settings of the whole programme; one, named `programme`.
    Settings,
    /// A purpose.
    Purpose,
    /// A version of a notice. Its version is the author's, the others are counted.
    Notice,
    /// The trait catalogue; one, named `programme`.
    Traits,
    /// A source.
    Source,
    /// A segment.
    Segment,
    /// A principal.
    Principal,
}

impl DefinitionKind {
    /// Every kind, in the order in which definitions of one set are journalled.
    pub const ALL: [Self; 7] = [
        Self::Settings,
        Self::Purpose,
        Self::Notice,
        Self::Traits,
        Self::Source,
        Self::Segment,
        Self::Principal,
    ];

    /// The name used in the journal and in plans.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Purpose => "purpose",
            Self::Notice => "notice",
            Self::Traits => "traits",
            Self::Source => "source",
            Self::Segment => "segment",
            Self::Principal => "principal",
        }
    }
}

/// Which definition, in which version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DefinitionKey {
    /// Kind.
    pub kind: DefinitionKind,
    /// Name within the kind.
    pub name: String,
    /// From 1.
    pub version: u32,
}

impl fmt::Display for DefinitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}@{}", self.kind.as_str(), self.name, self.version)
    }
}

/// A definition.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// Which, in which version.
    pub key: DefinitionKey,
    /// What it says; [`Value::Null`] when this version retires the name.
    pub body: Value,
}

impl Definition {
    /// Whether this version retires the name.
    #[must_use]
    pub fn is_retirement(&self) -> bool {
        self.body.is_null()
    }
}

/// The digest of a registry state: SHA-256 over the set of definitions that made it and the digest
/// before that, so it stands for everything that was ever defined.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of the empty registry: 32 zero bytes, which is the hash of nothing.
    pub const EMPTY: Self = Self([0; 32]);

    /// The digest with these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first twelve hex digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        hex::encode(&self.0[..6])
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not 64 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 64 hexadecimal digits")]
pub struct MalformedDigest;

impl FromStr for Digest {
    type Err = MalformedDigest;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| MalformedDigest)?;
        Ok(Self(bytes))
    }
}
