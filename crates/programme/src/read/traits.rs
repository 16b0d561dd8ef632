//! `traits.yaml`: the trait catalogue.

use std::fmt;
use std::str::FromStr;

use crate::fields::{Field, Fields, Report};
use crate::names::Slug;
use crate::traits::{DerivedTrait, IdentifiedTrait, Measure, TraitCatalog, TraitType};
use crate::yaml::{Node, Tree};

const KEYS: &[&str] = &["identified", "derived"];
const IDENTIFIED_KEYS: &[&str] = &["name", "type", "category", "sensitive", "description"];
const DERIVED_KEYS: &[&str] = &[
    "name",
    "event",
    "measure",
    "window_days",
    "category",
    "sensitive",
    "description",
];
const MEASURES: &str = "count, first_at, last_at, days_since_last, `sum: PROPERTY`, \
                        `first_value: PROPERTY` or `last_value: PROPERTY`";

/// Day buckets are kept for ten years at most.
const LONGEST_WINDOW: u32 = 3_653;

impl FromStr for TraitType {
    type Err = UnknownType;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|t| t.as_str() == text)
            .ok_or(UnknownType)
    }
}

/// A text that names no type of trait.
#[derive(Debug)]
pub struct UnknownType;

impl fmt::Display for UnknownType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = TraitType::ALL.map(TraitType::as_str).join(", ");
        write!(f, "this is no type of trait; write one of {names}")
    }
}

pub(super) fn read(node: &Node, report: &mut Report<'_>) -> TraitCatalog {
    let Some(fields) = Fields::of(node, "the trait catalogue", KEYS, report) else {
        return TraitCatalog::default();
    };
    let items = |key: &str, report: &mut Report<'_>| {
        fields
            .optional(key, report, Field::list)
            .unwrap_or_default()
    };
    let identified = items("identified", report);
    let derived = items("derived", report);
    TraitCatalog {
        identified: identified
            .into_iter()
            .filter_map(|f| self::identified(f, report))
            .collect(),
        derived: derived
            .into_iter()
            .filter_map(|f| self::derived(f, report))
            .collect(),
    }
}

fn identified(field: Field<'_>, report: &mut Report<'_>) -> Option<IdentifiedTrait> {
    let fields = Fields::of(field.node, "an identified trait", IDENTIFIED_KEYS, report)?;
    let name = name(&fields, report);
    let r#type = fields
        .required("type", "add `type:`, the type of its column", report)
        .and_then(|f| f.parsed(report));
    let category = category(&fields, report);
    Some(IdentifiedTrait {
        sensitive: fields
            .optional("sensitive", report, Field::flag)
            .unwrap_or(false),
        description: fields
            .optional("description", report, Field::text)
            .unwrap_or_default(),
        name: name?,
        r#type: r#type?,
        category: category?,
    })
}

fn derived(field: Field<'_>, report: &mut Report<'_>) -> Option<DerivedTrait> {
    let fields = Fields::of(field.node, "a derived trait", DERIVED_KEYS, report)?;
    let name = name(&fields, report);
    let event = fields
        .required(
            "event",
            "add `event:`, the name of the events it sums up",
            report,
        )
        .and_then(|f| f.words(report));
    let measure = fields
        .required(
            "measure",
            &format!("add `measure:` with {MEASURES}"),
            report,
        )
        .and_then(|f| measure(f, report));
    let category = category(&fields, report);
    let window = fields.optional("window_days", report, |f, r| f.count(LONGEST_WINDOW, r));
    let (measure, category) = (measure?, category?);
    if let Some(field) = fields
        .get("window_days")
        .filter(|_| !measure.takes_window())
    {
        report.at(
            field.node.place,
            format!("the measure {} takes no window", measure.as_str()),
            "remove `window_days`; only count and sum are kept by day",
        );
    }
    Some(DerivedTrait {
        sensitive: fields
            .optional("sensitive", report, Field::flag)
            .unwrap_or(false),
        description: fields
            .optional("description", report, Field::text)
            .unwrap_or_default(),
        name: name?,
        event: event?,
        measure,
        window_days: window,
        category,
    })
}

fn name(fields: &Fields<'_>, report: &mut Report<'_>) -> Option<String> {
    fields
        .required("name", "add `name:`, the name of its column", report)
        .and_then(|f| f.parsed::<Slug>(report))
        .map(|slug| slug.0)
}

fn category(fields: &Fields<'_>, report: &mut Report<'_>) -> Option<assent_consent::Category> {
    fields
        .required(
            "category",
            "add `category:`, the data category it belongs to",
            report,
        )
        .and_then(|f| f.parsed(report))
}

/// A measure is a name, or a mapping of one name to the property it reads.
fn measure(field: Field<'_>, report: &mut Report<'_>) -> Option<Measure> {
    let found = match &field.node.tree {
        Tree::Text(name) => plain(name),
        Tree::Map(entries) => match entries.as_slice() {
            [entry] => {
                let property = Field {
                    key: &entry.key,
                    node: &entry.value,
                }
                .words(report)?;
                of_property(&entry.key, property)
            }
            [] | [_, _, ..] => None,
        },
        Tree::Nothing | Tree::Flag(_) | Tree::Whole(_) | Tree::Fraction | Tree::List(_) => None,
    };
    if found.is_none() {
        report.at(
            field.node.place,
            "this is no measure",
            format!("write {MEASURES}"),
        );
    }
    found
}

fn plain(name: &str) -> Option<Measure> {
    [
        Measure::Count,
        Measure::FirstAt,
        Measure::LastAt,
        Measure::DaysSinceLast,
    ]
    .into_iter()
    .find(|m| m.as_str() == name)
}

fn of_property(name: &str, property: String) -> Option<Measure> {
    [
        Measure::Sum {
            property: property.clone(),
        },
        Measure::FirstValue {
            property: property.clone(),
        },
        Measure::LastValue { property },
    ]
    .into_iter()
    .find(|m| m.as_str() == name)
}
