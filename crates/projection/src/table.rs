//! The names of the projected tables.

use serde::{Deserialize, Serialize};

/// A table of the projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// Traits and what is derived from behaviour, per subject.
    Members,
    /// Behaviour, one row an event.
    Events,
    /// What subjects told about accounts.
    Accounts,
    /// People in accounts.
    Contacts,
    /// Subscriptions of subjects.
    Subscriptions,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 5] = [
        Self::Members,
        Self::Events,
        Self::Accounts,
        Self::Contacts,
        Self::Subscriptions,
    ];

    /// Whether its rows say what the stamps of the events behind them deny ([`crate::DENIED`]).
    #[must_use]
    pub fn is_stamped(self) -> bool {
        match self {
            Self::Members | Self::Events => true,
            Self::Accounts | Self::Contacts | Self::Subscriptions => false,
        }
    }

    /// The name, as it stands in file names and manifests.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Members => "members",
            Self::Events => "events",
            Self::Accounts => "accounts",
            Self::Contacts => "contacts",
            Self::Subscriptions => "subscriptions",
        }
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
