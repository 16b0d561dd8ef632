//! Something a subject did.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::wire::block;

/// Something a subject did: even its name is sealed, since "Pregnancy Test Bought" says much.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Behaviour {
    /// What of it may not be used, and for what.
    pub clear: BehaviourClear,
    /// What was done, with the properties that are not sensitive.
    pub profile: Option<BehaviourProfile>,
    /// The sensitive properties, as declared by the source.
    pub sensitive: Option<BehaviourSensitive>,
}

/// The clear part of behaviour: what its sender's consent stamp denies, and nothing else.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct BehaviourClear {
    /// Purposes for which the event, and what is derived from it, must not be used, nor for their
    /// parts.
    #[serde(default)]
    pub denied_purposes: Option<Vec<String>>,
}
block!(BehaviourClear);

/// What was done, sealed under the profile key.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct BehaviourProfile {
    /// The name of the event, e.g. `Order Completed`.
    pub name: String,
    /// What it brought, in units of the currency.
    #[serde(default)]
    pub revenue: Option<f64>,
    /// ISO 4217 code.
    #[serde(default)]
    pub currency: Option<String>,
    /// How many.
    #[serde(default)]
    pub quantity: Option<i64>,
    /// Of which product.
    #[serde(default)]
    pub product: Option<String>,
    /// Further properties → JSON as text.
    pub properties: BTreeMap<String, String>,
}
block!(personal BehaviourProfile);

/// Sensitive properties, sealed under the sensitive key.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct BehaviourSensitive {
    /// Property → JSON as text.
    pub properties: BTreeMap<String, String>,
}
block!(personal BehaviourSensitive);

impl Behaviour {
    /// The event of this name.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self::from(BehaviourProfile {
            name: name.into(),
            ..BehaviourProfile::default()
        })
    }

    /// What it brought.
    #[must_use]
    pub fn revenue(mut self, revenue: f64, currency: impl Into<String>) -> Self {
        let profile = self.profile.get_or_insert_default();
        profile.revenue = Some(revenue);
        profile.currency = Some(currency.into());
        self
    }

    /// How many.
    #[must_use]
    pub fn quantity(mut self, quantity: i64) -> Self {
        self.profile.get_or_insert_default().quantity = Some(quantity);
        self
    }

    /// Of which product.
    #[must_use]
    pub fn product(mut self, product: impl Into<String>) -> Self {
        self.profile.get_or_insert_default().product = Some(product.into());
        self
    }

    /// With this property (written as JSON text).
    #[must_use]
    pub fn property(
        mut self,
        name: impl Into<String>,
        value: impl Into<serde_json::Value>,
    ) -> Self {
        let profile = self.profile.get_or_insert_default();
        profile
            .properties
            .insert(name.into(), value.into().to_string());
        self
    }

    /// Not to be used for these purposes, nor for their parts.
    #[must_use]
    pub fn denied<P: Into<String>>(mut self, purposes: impl IntoIterator<Item = P>) -> Self {
        let sorted: BTreeSet<String> = purposes.into_iter().map(Into::into).collect();
        self.clear.denied_purposes = (!sorted.is_empty()).then(|| sorted.into_iter().collect());
        self
    }

    /// With this sensitive property (written as JSON text).
    #[must_use]
    pub fn sensitive(
        mut self,
        name: impl Into<String>,
        value: impl Into<serde_json::Value>,
    ) -> Self {
        let sensitive = self.sensitive.get_or_insert_default();
        sensitive
            .properties
            .insert(name.into(), value.into().to_string());
        self
    }
}

impl From<BehaviourProfile> for Behaviour {
    fn from(profile: BehaviourProfile) -> Self {
        Self {
            clear: BehaviourClear::default(),
            profile: Some(profile),
            sensitive: None,
        }
    }
}
