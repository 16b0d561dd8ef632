//! A source: who may write events, with which key, and how its fields become ours.

use std::collections::{BTreeMap, BTreeSet};

use assent_consent::{Category, Namespace, PurposeId};
use serde::{Deserialize, Serialize};

/// What kind of writer a source is; it decides what it may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// A page or an app: its key is public, so it may record events, withdrawals and narrowing only.
    Browser,
    /// A service of ours that keeps its key secret: grants, links and traits of known people need one.
    Server,
}

impl SourceKind {
    /// The name used in YAML and in the journal.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Server => "server",
        }
    }
}

/// Which identifier namespace the two ids of a tracking call belong to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceNamespaces {
    /// Namespace of `userId`.
    pub user_id: Namespace,
    /// Namespace of `anonymousId`.
    pub anonymous_id: Namespace,
}

/// Which traits of a `group` call describe the account and the contact's part in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountTraits {
    /// Trait that holds the account's name.
    pub name: String,
    /// Trait that holds the industry.
    pub industry: String,
    /// Trait that holds the band of the number of employees.
    pub size_band: String,
    /// Trait that holds the country.
    pub country: String,
    /// Trait that holds the contact's role.
    pub role: String,
    /// Trait that holds the contact's part in the buying centre.
    pub buying_role: String,
    /// Trait that holds the contact's department.
    pub department: String,
}

impl Default for AccountTraits {
    fn default() -> Self {
        Self {
            name: "name".to_owned(),
            industry: "industry".to_owned(),
            size_band: "size_band".to_owned(),
            country: "country".to_owned(),
            role: "role".to_owned(),
            buying_role: "buying_role".to_owned(),
            department: "department".to_owned(),
        }
    }
}

/// A writer of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceDefinition {
    /// Name, `[a-z][a-z0-9_-]{0,63}`; stands in every envelope.
    pub id: String,
    /// Browser or server.
    pub kind: SourceKind,
    /// What the source is, for people.
    pub description: String,
    /// SHA-256 of the write key, lower-case hex. The key itself stands nowhere.
    pub write_key_sha256: String,
    /// Whether the key is a published sample: refused outside loopback by whoever serves.
    pub sample: bool,
    /// Namespaces of the two ids of a call.
    pub namespaces: SourceNamespaces,
    /// Traits of an `identify` call that are identifiers and never columns: trait → namespace.
    pub identifiers: BTreeMap<String, Namespace>,
    /// Web origins allowed to call with this key; empty for a server.
    pub origins: Vec<String>,
    /// Purposes refused for a visitor whose browser sends `Sec-GPC: 1`.
    pub gpc_purposes: BTreeSet<PurposeId>,
    /// Categories of a consent banner (`context.consent`) and the purposes they stand for.
    pub consent_categories: BTreeMap<String, PurposeId>,
    /// Event properties that are sensitive, with their category: sealed apart from the others.
    pub sensitive_properties: BTreeMap<String, Category>,
    /// Trait names of `group` calls.
    pub account_traits: AccountTraits,
}
