//! What a purpose can see: tables and columns, each with its data category.
//!
//! The categories of events, accounts and subscriptions come from the schemas, those of traits from the catalogue in
//! force. A column whose category a purpose does not read is not null for it but absent: naming it is an error, and
//! `SELECT *` does not hold it. A field that nobody has classified is absent for every purpose (I5).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use assent_consent::Category;
use assent_event::{KeyClass, Kind, schema};
use assent_programme::{Measure, RegistryState, TraitCatalog, TraitType, folded};
use assent_projection::Table;

/// A column as documented, for `assent explain` and the handbook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDoc {
    /// The table.
    pub table: &'static str,
    /// The column.
    pub name: String,
    /// Its type, as SQL would call it.
    pub data_type: &'static str,
    /// Its data category; `None`: technical, visible to every purpose that sees the row.
    pub category: Option<Category>,
    /// Whether it is sensitive personal information (art. 28).
    pub sensitive: bool,
    /// What it means.
    pub description: String,
}

/// What decides whether a cell may be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reads {
    /// Ids and times of rows: whoever sees the row sees them.
    Technical,
    /// One category.
    Category(Category),
    /// A JSON object whose properties, by their folded names, have categories of their own; one that is not listed is
    /// never shown.
    Properties(BTreeMap<String, BTreeSet<Category>>),
}

/// A column of a lawful table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    pub(crate) reads: Reads,
    pub(crate) sensitive: bool,
    pub(crate) description: String,
}

/// A lawful table: its rows belong to a category, its columns to several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) table: Table,
    /// Without this category there is no row.
    pub(crate) row: Option<Category>,
    pub(crate) columns: Vec<Column>,
}

impl Shape {
    /// The schema that the planner sees: plain types, everything nullable, no metadata.
    pub(crate) fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(
            self.columns
                .iter()
                .map(|column| Field::new(&column.name, column.data_type.clone(), true))
                .collect::<Vec<_>>(),
        ))
    }

    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// The names of all tables, for error texts.
pub(crate) fn table_names() -> String {
    Table::ALL.map(Table::as_str).join(", ")
}

/// Every column there is, whatever the purpose.
#[must_use]
pub fn column_docs(registry: &RegistryState) -> Vec<ColumnDoc> {
    shapes(registry)
        .into_iter()
        .flat_map(|shape| {
            let table = shape.table.as_str();
            shape.columns.into_iter().map(move |column| ColumnDoc {
                table,
                data_type: type_name(&column.data_type),
                category: match column.reads {
                    Reads::Category(category) => Some(category),
                    Reads::Technical | Reads::Properties(_) => None,
                },
                name: column.name,
                sensitive: column.sensitive,
                description: column.description,
            })
        })
        .collect()
}

fn type_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Utf8 => "text",
        DataType::Float64 => "double",
        DataType::Int64 => "bigint",
        DataType::Boolean => "boolean",
        DataType::Date32 => "date",
        DataType::Timestamp(..) => "timestamp",
        _ => "other",
    }
}

/// The tables of a purpose that reads these categories.
pub(crate) fn visible(registry: &RegistryState, categories: &BTreeSet<Category>) -> Vec<Shape> {
    shapes(registry)
        .into_iter()
        .filter(|shape| {
            shape
                .row
                .as_ref()
                .is_none_or(|category| categories.contains(category))
        })
        .map(|mut shape| {
            shape.columns.retain_mut(|column| match &mut column.reads {
                Reads::Technical => true,
                Reads::Category(category) => categories.contains(category),
                Reads::Properties(properties) => {
                    properties.retain(|_, needed| needed.is_subset(categories));
                    !properties.is_empty()
                }
            });
            shape
        })
        .collect()
}

fn shapes(registry: &RegistryState) -> Vec<Shape> {
    [
        Some(members(registry.traits())),
        events(registry),
        accounts(),
        contacts(),
        subscriptions(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()))
}

fn technical(name: &str, data_type: DataType, description: &str) -> Column {
    Column {
        name: name.to_owned(),
        data_type,
        reads: Reads::Technical,
        sensitive: false,
        description: description.to_owned(),
    }
}

fn member_id() -> Column {
    technical(
        "member_id",
        DataType::Utf8,
        "Opaque id of the member, 32 hexadecimal digits.",
    )
}

/// The category of every field of every event schema, as `block.field`.
static CATEGORIES: LazyLock<BTreeMap<(Kind, String), Category>> = LazyLock::new(|| {
    schema::fields()
        .into_iter()
        .filter_map(|field| {
            let block = field.block.map_or("clear", KeyClass::as_str);
            let category = Category::parse(&field.category).ok()?;
            Some(((field.kind?, format!("{block}.{}", field.path)), category))
        })
        .collect()
});

/// The category of a field of an event schema; `None` when the schema does not have it.
fn category_of(kind: Kind, path: &str) -> Option<Category> {
    CATEGORIES.get(&(kind, path.to_owned())).cloned()
}

fn classified(
    kind: Kind,
    path: &str,
    name: &str,
    data_type: DataType,
    description: &str,
) -> Option<Column> {
    Some(Column {
        name: name.to_owned(),
        data_type,
        reads: Reads::Category(category_of(kind, path)?),
        sensitive: false,
        description: description.to_owned(),
    })
}

fn members(catalog: &TraitCatalog) -> Shape {
    let mut columns = vec![member_id()];
    columns.extend(catalog.identified.iter().map(|told| Column {
        name: told.name.clone(),
        data_type: match told.r#type {
            TraitType::Text => DataType::Utf8,
            TraitType::Number => DataType::Float64,
            TraitType::Integer => DataType::Int64,
            TraitType::Boolean => DataType::Boolean,
            TraitType::Date => DataType::Date32,
            TraitType::Timestamp => instant(),
        },
        reads: Reads::Category(told.category.clone()),
        sensitive: told.sensitive,
        description: told.description.clone(),
    }));
    columns.extend(catalog.derived.iter().map(|derived| Column {
        name: derived.name.clone(),
        data_type: match derived.measure {
            Measure::Count | Measure::DaysSinceLast => DataType::Int64,
            Measure::Sum { .. } => DataType::Float64,
            Measure::FirstAt | Measure::LastAt => instant(),
            Measure::FirstValue { .. } | Measure::LastValue { .. } => DataType::Utf8,
        },
        reads: Reads::Category(derived.category.clone()),
        sensitive: derived.sensitive,
        description: derived.description.clone(),
    }));
    let seen = |name, description| {
        classified(
            Kind::Behaviour,
            "profile.name",
            name,
            instant(),
            description,
        )
    };
    columns.extend(seen(
        "first_seen",
        "When the first event happened; null when that is longer ago than the purpose may keep it.",
    ));
    columns.extend(seen("last_seen", "When the last event happened."));
    Shape {
        table: Table::Members,
        row: None,
        columns,
    }
}

fn events(registry: &RegistryState) -> Option<Shape> {
    let of = |path: &str, name: &str, data_type, description: &str| {
        classified(Kind::Behaviour, path, name, data_type, description)
    };
    let mut sensitive: BTreeMap<String, BTreeSet<Category>> = BTreeMap::new();
    for source in registry.sources() {
        for (property, category) in &source.sensitive_properties {
            sensitive
                .entry(folded(property))
                .or_default()
                .insert(category.clone());
        }
    }
    let columns = [
        Some(member_id()),
        Some(technical(
            "event_id",
            DataType::Utf8,
            "Id of the event, 32 hexadecimal digits.",
        )),
        Some(technical(
            "source",
            DataType::Utf8,
            "The source that sent it.",
        )),
        of("profile.name", "name", DataType::Utf8, "What happened."),
        Some(technical("event_time", instant(), "When it happened.")),
        Some(technical("received_at", instant(), "When it was received.")),
        of(
            "profile.revenue",
            "revenue",
            DataType::Float64,
            "Amount, in the currency.",
        ),
        of(
            "profile.currency",
            "currency",
            DataType::Utf8,
            "Currency of the amount, ISO 4217.",
        ),
        of("profile.quantity", "quantity", DataType::Int64, "How many."),
        of(
            "profile.product",
            "product",
            DataType::Utf8,
            "Of which product.",
        ),
        of(
            "profile.properties",
            "properties",
            DataType::Utf8,
            "Other properties, a JSON object.",
        ),
        Some(Column {
            name: "sensitive_properties".to_owned(),
            data_type: DataType::Utf8,
            reads: Reads::Properties(sensitive),
            sensitive: true,
            description: "Sensitive properties that the purpose may read, a JSON object."
                .to_owned(),
        }),
    ];
    Some(Shape {
        table: Table::Events,
        row: Some(category_of(Kind::Behaviour, "profile.name")?),
        columns: columns.into_iter().flatten().collect(),
    })
}

fn accounts() -> Option<Shape> {
    let of = |path: &str, name: &str, data_type, description: &str| {
        classified(Kind::AccountMembership, path, name, data_type, description)
    };
    let columns = [
        of(
            "clear.account",
            "account_id",
            DataType::Utf8,
            "Id of the account.",
        ),
        of("clear.name", "name", DataType::Utf8, "Name of the account."),
        of("clear.industry", "industry", DataType::Utf8, "Industry."),
        of(
            "clear.size_band",
            "size_band",
            DataType::Utf8,
            "Band of the number of employees.",
        ),
        of("clear.country", "country", DataType::Utf8, "Country."),
        of(
            "clear.account",
            "contacts",
            DataType::Int64,
            "How many permitted people belong to it; null below the smallest group that is told.",
        ),
    ];
    Some(Shape {
        table: Table::Accounts,
        row: Some(category_of(Kind::AccountMembership, "clear.account")?),
        columns: columns.into_iter().flatten().collect(),
    })
}

fn contacts() -> Option<Shape> {
    let of = |path: &str, name: &str, description: &str| {
        classified(
            Kind::AccountMembership,
            path,
            name,
            DataType::Utf8,
            description,
        )
    };
    let columns = [
        Some(member_id()),
        of(
            "clear.account",
            "account_id",
            "The account the person belongs to.",
        ),
        of("profile.role", "role", "Role in the account."),
        of(
            "profile.buying_role",
            "buying_role",
            "Part in the buying centre.",
        ),
        of("profile.department", "department", "Department."),
    ];
    Some(Shape {
        table: Table::Contacts,
        row: Some(category_of(Kind::AccountMembership, "clear.account")?),
        columns: columns.into_iter().flatten().collect(),
    })
}

fn subscriptions() -> Option<Shape> {
    let of = |path: &str, name: &str, data_type, description: &str| {
        classified(Kind::SubscriptionChange, path, name, data_type, description)
    };
    let columns = [
        Some(member_id()),
        of(
            "profile.subscription",
            "subscription_id",
            DataType::Utf8,
            "Id of the subscription.",
        ),
        of("profile.plan", "plan", DataType::Utf8, "Plan."),
        of("profile.status", "status", DataType::Utf8, "Status."),
        of("profile.started_at", "started_at", instant(), "Start."),
        of("profile.renews_at", "renews_at", instant(), "Next renewal."),
        of("profile.ends_at", "ends_at", instant(), "End."),
        of(
            "profile.amount",
            "amount",
            DataType::Float64,
            "Amount of a period.",
        ),
        of(
            "profile.currency",
            "currency",
            DataType::Utf8,
            "Currency, ISO 4217.",
        ),
    ];
    Some(Shape {
        table: Table::Subscriptions,
        row: Some(category_of(
            Kind::SubscriptionChange,
            "profile.subscription",
        )?),
        columns: columns.into_iter().flatten().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field that a schema no longer has would silently take its column, or its whole table, away.
    #[test]
    fn every_table_has_all_its_columns() {
        let columns: BTreeMap<&str, usize> = shapes(&RegistryState::new())
            .iter()
            .map(|shape| (shape.table.as_str(), shape.columns.len()))
            .collect();
        let expected = [
            ("members", 3),
            ("events", 12),
            ("accounts", 6),
            ("contacts", 5),
            ("subscriptions", 9),
        ];
        assert_eq!(columns, BTreeMap::from(expected));
    }

    #[test]
    fn a_purpose_that_reads_nothing_sees_ids_only() {
        let shapes = visible(&RegistryState::new(), &BTreeSet::new());
        let names: Vec<&str> = shapes
            .iter()
            .flat_map(|shape| &shape.columns)
            .map(|column| column.name.as_str())
            .collect();
        assert_eq!(names, ["member_id"]);
    }
}
