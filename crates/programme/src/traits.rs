//! The trait catalogue: the columns of `members`, as told by a source or derived from behaviour.

use assent_consent::Category;
use serde::{Deserialize, Serialize};

use crate::names::is_direct_identifier;

/// Type of an identified trait, and of its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TraitType {
    /// Text.
    Text,
    /// A floating-point number.
    Number,
    /// A whole number of 64 bits.
    Integer,
    /// True or false.
    Boolean,
    /// A calendar day, `YYYY-MM-DD`.
    Date,
    /// An instant, RFC 3339.
    Timestamp,
}

impl TraitType {
    /// Every type.
    pub const ALL: [Self; 6] = [
        Self::Text,
        Self::Number,
        Self::Integer,
        Self::Boolean,
        Self::Date,
        Self::Timestamp,
    ];

    /// The name used in YAML and in the journal.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "number",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
        }
    }
}

/// A trait that a source tells us about a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentifiedTrait {
    /// Name of the trait and of its column, a slug.
    pub name: String,
    /// Type of the column.
    #[serde(rename = "type")]
    pub r#type: TraitType,
    /// Data category: a purpose that may not read it sees null.
    pub category: Category,
    /// Whether it is sensitive personal information (art. 28).
    pub sensitive: bool,
    /// What it means, for people.
    pub description: String,
}

impl IdentifiedTrait {
    /// Whether its values would reach or name people directly. A flag, day or instant of such a name says whether or
    /// when there is one, not which.
    #[must_use]
    pub fn is_direct_identifier(&self) -> bool {
        match self.r#type {
            TraitType::Text | TraitType::Number | TraitType::Integer => {
                is_direct_identifier(&self.name)
            }
            TraitType::Boolean | TraitType::Date | TraitType::Timestamp => false,
        }
    }
}

/// How a derived trait sums up the events of one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Number of events.
    Count,
    /// Sum of a numeric property; `revenue` and `quantity` are those of the event itself.
    Sum {
        /// The property summed.
        property: String,
    },
    /// Time of the first event.
    FirstAt,
    /// Time of the last event.
    LastAt,
    /// Whole calendar days since the last event, finished with the query's evaluation time.
    DaysSinceLast,
    /// A property of the first event.
    FirstValue {
        /// The property taken.
        property: String,
    },
    /// A property of the last event.
    LastValue {
        /// The property taken.
        property: String,
    },
}

impl Measure {
    /// The name used in YAML.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum { .. } => "sum",
            Self::FirstAt => "first_at",
            Self::LastAt => "last_at",
            Self::DaysSinceLast => "days_since_last",
            Self::FirstValue { .. } => "first_value",
            Self::LastValue { .. } => "last_value",
        }
    }

    /// The property it reads, if any.
    #[must_use]
    pub fn property(&self) -> Option<&str> {
        match self {
            Self::Sum { property }
            | Self::FirstValue { property }
            | Self::LastValue { property } => Some(property),
            Self::Count | Self::FirstAt | Self::LastAt | Self::DaysSinceLast => None,
        }
    }

    /// Whether it may be limited to a window of days; only what is kept in day buckets may.
    #[must_use]
    pub fn takes_window(&self) -> bool {
        match self {
            Self::Count | Self::Sum { .. } => true,
            Self::FirstAt
            | Self::LastAt
            | Self::DaysSinceLast
            | Self::FirstValue { .. }
            | Self::LastValue { .. } => false,
        }
    }
}

/// A trait folded from behaviour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DerivedTrait {
    /// Name of the trait and of its column, a slug.
    pub name: String,
    /// Name of the events it sums up, exactly as they are tracked.
    pub event: String,
    /// How.
    pub measure: Measure,
    /// Only the last so many calendar days, the day of evaluation included; `None` is all time.
    pub window_days: Option<u32>,
    /// Data category: a purpose that may not read it sees null.
    pub category: Category,
    /// Whether it is sensitive: inherited from the property it reads (law.md §4, derived traits).
    pub sensitive: bool,
    /// What it means, for people.
    pub description: String,
}

/// Every trait of the programme.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraitCatalog {
    /// Told by sources.
    pub identified: Vec<IdentifiedTrait>,
    /// Folded from behaviour.
    pub derived: Vec<DerivedTrait>,
}

impl TraitCatalog {
    /// The identified trait of that name.
    #[must_use]
    pub fn identified(&self, name: &str) -> Option<&IdentifiedTrait> {
        self.identified.iter().find(|t| t.name == name)
    }

    /// The derived trait of that name.
    #[must_use]
    pub fn derived(&self, name: &str) -> Option<&DerivedTrait> {
        self.derived.iter().find(|t| t.name == name)
    }
}
