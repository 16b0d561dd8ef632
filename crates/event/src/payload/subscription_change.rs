//! A subscription of a subject changed.

use assent_consent::Timestamp;
use serde::{Deserialize, Serialize};

use crate::wire::{block, micros};

/// The state of a subscription after a change. Fields that are absent did not change.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SubscriptionChange {
    /// Nothing.
    pub clear: SubscriptionChangeClear,
    /// The subscription.
    pub profile: Option<SubscriptionChangeProfile>,
}

/// The clear part of a subscription change: nothing.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct SubscriptionChangeClear {}
block!(SubscriptionChangeClear);

/// The subscription, sealed under the profile key.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct SubscriptionChangeProfile {
    /// Its id.
    pub subscription: String,
    /// The plan subscribed to.
    #[serde(default)]
    pub plan: Option<String>,
    /// Its status, e.g. `trial`, `active`, `paused`, `cancelled`.
    #[serde(default)]
    pub status: Option<String>,
    /// When it started.
    #[serde(default, with = "micros::option")]
    pub started_at: Option<Timestamp>,
    /// When it renews next.
    #[serde(default, with = "micros::option")]
    pub renews_at: Option<Timestamp>,
    /// When it ends or ended.
    #[serde(default, with = "micros::option")]
    pub ends_at: Option<Timestamp>,
    /// What a period costs, in units of the currency.
    #[serde(default)]
    pub amount: Option<f64>,
    /// ISO 4217 code.
    #[serde(default)]
    pub currency: Option<String>,
}
block!(personal SubscriptionChangeProfile);

impl SubscriptionChange {
    /// A change of this subscription.
    #[must_use]
    pub fn of(subscription: impl Into<String>) -> Self {
        Self::from(SubscriptionChangeProfile {
            subscription: subscription.into(),
            ..SubscriptionChangeProfile::default()
        })
    }

    /// The plan subscribed to.
    #[must_use]
    pub fn plan(mut self, plan: impl Into<String>) -> Self {
        self.profile.get_or_insert_default().plan = Some(plan.into());
        self
    }

    /// The status reached.
    #[must_use]
    pub fn status(mut self, status: impl Into<String>) -> Self {
        self.profile.get_or_insert_default().status = Some(status.into());
        self
    }

    /// What a period costs.
    #[must_use]
    pub fn amount(mut self, amount: f64, currency: impl Into<String>) -> Self {
        let profile = self.profile.get_or_insert_default();
        profile.amount = Some(amount);
        profile.currency = Some(currency.into());
        self
    }

    /// When it started.
    #[must_use]
    pub fn started_at(mut self, instant: Timestamp) -> Self {
        self.profile.get_or_insert_default().started_at = Some(instant);
        self
    }

    /// When it renews next.
    #[must_use]
    pub fn renews_at(mut self, instant: Timestamp) -> Self {
        self.profile.get_or_insert_default().renews_at = Some(instant);
        self
    }

    /// When it ends or ended.
    #[must_use]
    pub fn ends_at(mut self, instant: Timestamp) -> Self {
        self.profile.get_or_insert_default().ends_at = Some(instant);
        self
    }
}

impl From<SubscriptionChangeProfile> for SubscriptionChange {
    fn from(profile: SubscriptionChangeProfile) -> Self {
        Self {
            clear: SubscriptionChangeClear {},
            profile: Some(profile),
        }
    }
}
