//! A subject belongs to an account, or no longer does.

use serde::{Deserialize, Serialize};

use crate::wire::block;

/// The subject belongs to an account (a commercial relation), with its role there.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AccountMembership {
    /// The account: about a company, not about the subject.
    pub clear: AccountMembershipClear,
    /// The subject's part in it.
    pub profile: Option<AccountMembershipProfile>,
}

/// The account.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct AccountMembershipClear {
    /// Its id.
    pub account: String,
    /// Did the subject leave it?
    pub left: bool,
    /// The company's name.
    #[serde(default)]
    pub name: Option<String>,
    /// Its industry.
    #[serde(default)]
    pub industry: Option<String>,
    /// Its size, in bands.
    #[serde(default)]
    pub size_band: Option<String>,
    /// Its country.
    #[serde(default)]
    pub country: Option<String>,
}
block!(AccountMembershipClear);

/// The subject's part in the account, sealed under the profile key.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct AccountMembershipProfile {
    /// The position held.
    #[serde(default)]
    pub role: Option<String>,
    /// The part in the buying centre, e.g. `decider`.
    #[serde(default)]
    pub buying_role: Option<String>,
    /// The department.
    #[serde(default)]
    pub department: Option<String>,
}
block!(personal AccountMembershipProfile);

impl AccountMembership {
    /// The subject belongs to `account`.
    #[must_use]
    pub fn joined(account: impl Into<String>) -> Self {
        Self {
            clear: AccountMembershipClear {
                account: account.into(),
                ..AccountMembershipClear::default()
            },
            profile: None,
        }
    }

    /// The subject left `account`.
    #[must_use]
    pub fn left(account: impl Into<String>) -> Self {
        let mut membership = Self::joined(account);
        membership.clear.left = true;
        membership
    }

    /// The company's name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.clear.name = Some(name.into());
        self
    }

    /// The company's industry.
    #[must_use]
    pub fn industry(mut self, industry: impl Into<String>) -> Self {
        self.clear.industry = Some(industry.into());
        self
    }

    /// The company's size band.
    #[must_use]
    pub fn size_band(mut self, band: impl Into<String>) -> Self {
        self.clear.size_band = Some(band.into());
        self
    }

    /// The company's country.
    #[must_use]
    pub fn country(mut self, country: impl Into<String>) -> Self {
        self.clear.country = Some(country.into());
        self
    }

    /// The position held.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.profile.get_or_insert_default().role = Some(role.into());
        self
    }

    /// The part in the buying centre.
    #[must_use]
    pub fn buying_role(mut self, role: impl Into<String>) -> Self {
        self.profile.get_or_insert_default().buying_role = Some(role.into());
        self
    }

    /// The department.
    #[must_use]
    pub fn department(mut self, department: impl Into<String>) -> Self {
        self.profile.get_or_insert_default().department = Some(department.into());
        self
    }
}
