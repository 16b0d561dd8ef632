//! Traits and identifiers of a subject.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::wire::block;

/// What a source says the subject is like, and what it calls the subject. Which trait is sensitive
/// is declared in the programme's trait catalogue; whoever builds the event sorts them.
///
/// A trait not named is left as it was; the text `null` deletes it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Traits {
    /// Nothing.
    pub clear: TraitsClear,
    /// Direct identifiers.
    pub identity: Option<TraitsIdentity>,
    /// Traits that are not sensitive.
    pub profile: Option<TraitsProfile>,
    /// Sensitive traits (PIPL art. 28).
    pub sensitive: Option<TraitsSensitive>,
}

/// The clear part of traits: nothing.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct TraitsClear {}
block!(TraitsClear);

/// Direct identifiers, sealed under the identity key.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct TraitsIdentity {
    /// Namespace → value.
    pub identifiers: BTreeMap<String, String>,
}
block!(personal TraitsIdentity);

/// Traits that are not sensitive, sealed under the profile key.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct TraitsProfile {
    /// Trait → JSON scalar as text.
    pub values: BTreeMap<String, String>,
}
block!(personal TraitsProfile);

/// Sensitive traits, sealed under the sensitive key.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct TraitsSensitive {
    /// Trait → JSON scalar as text.
    pub values: BTreeMap<String, String>,
}
block!(personal TraitsSensitive);

impl Traits {
    /// No traits yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With this identifier.
    #[must_use]
    pub fn identifier(mut self, namespace: impl Into<String>, value: impl Into<String>) -> Self {
        let identity = self.identity.get_or_insert_default();
        identity.identifiers.insert(namespace.into(), value.into());
        self
    }

    /// With this trait, its value a JSON scalar (written as JSON text).
    #[must_use]
    pub fn value(mut self, name: impl Into<String>, value: impl Into<serde_json::Value>) -> Self {
        let profile = self.profile.get_or_insert_default();
        profile.values.insert(name.into(), value.into().to_string());
        self
    }

    /// With this sensitive trait, its value a JSON scalar (written as JSON text).
    #[must_use]
    pub fn sensitive(
        mut self,
        name: impl Into<String>,
        value: impl Into<serde_json::Value>,
    ) -> Self {
        let sensitive = self.sensitive.get_or_insert_default();
        sensitive
            .values
            .insert(name.into(), value.into().to_string());
        self
    }
}
