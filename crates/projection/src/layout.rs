//! The columns of each table and the rule by which each is merged: the one place where a table's shape is decided.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use assent_programme::{Measure, TraitCatalog, TraitType};

use crate::Table;
use crate::denial::DENIED;

/// Name of the first column of every table.
pub(crate) const SUBJECT: &str = "subject";

/// Decimal places of a sum: amounts are kept in millionths.
pub(crate) const SUM_SCALE: i8 = 6;

/// Type of every instant. The offset is spelt out because a named zone needs a time zone database at every reader.
pub(crate) fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()))
}

/// Type of subject and event ids.
pub(crate) fn id() -> DataType {
    DataType::FixedSizeBinary(16)
}

/// Type of an exact sum of amounts.
pub(crate) fn sum() -> DataType {
    DataType::Decimal128(38, SUM_SCALE)
}

/// Which of two told values wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// The first in the total order (time, event id, value).
    Earliest,
    /// The last in the total order (time, event id, value).
    Latest,
}

/// What one day of a derived trait holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// Number of events.
    Count,
    /// Sum of amounts.
    Sum,
    /// Time of the first or last event.
    At(Order),
    /// Value of the first or last event.
    Told(Order),
}

impl Cell {
    /// The fields of a bucket, `day` first.
    pub(crate) fn fields(self) -> Fields {
        let mut fields = vec![Field::new("day", DataType::Int32, false)];
        match self {
            Self::Count => fields.push(Field::new("count", DataType::Int64, false)),
            Self::Sum => fields.push(Field::new("sum", sum(), false)),
            Self::At(_) => fields.push(Field::new("at", instant(), false)),
            Self::Told(_) => fields.extend([
                Field::new("at", instant(), false),
                Field::new("by", id(), false),
                Field::new("value", DataType::Utf8, true),
            ]),
        }
        fields.into()
    }

    /// The item of the list of buckets.
    pub(crate) fn item(self) -> Arc<Field> {
        Arc::new(Field::new("item", DataType::Struct(self.fields()), false))
    }
}

/// How the cells of one part are merged. Every rule is associative and commutative, and null is neutral.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// An instant: the first or last.
    At(Order),
    /// A value with its stamp (time, event id): the first or last.
    Told(Order, DataType),
    /// A count: added.
    Count,
    /// An exact sum: added.
    Sum,
    /// Day buckets: joined by day, each day by its own rule.
    Days(Cell),
}

/// One or three columns that are merged together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Name of the (value) column.
    pub(crate) column: String,
    /// What `__at` and `__by` are appended to, for told values.
    pub(crate) stem: String,
    pub(crate) rule: Rule,
}

impl Part {
    fn new(column: impl Into<String>, rule: Rule) -> Self {
        let column = column.into();
        Self {
            stem: column.clone(),
            column,
            rule,
        }
    }

    pub(crate) fn at_column(&self) -> String {
        format!("{}__at", self.stem)
    }

    pub(crate) fn by_column(&self) -> String {
        format!("{}__by", self.stem)
    }

    /// The part of an identified trait or attribute.
    pub(crate) fn told(name: &str, data_type: DataType) -> Self {
        Self::new(name, Rule::Told(Order::Latest, data_type))
    }

    /// Time of the first event of any kind.
    pub(crate) fn first_seen() -> Self {
        Self::new("first_seen", Rule::At(Order::Earliest))
    }

    /// Time of the last event of any kind.
    pub(crate) fn last_seen() -> Self {
        Self::new("last_seen", Rule::At(Order::Latest))
    }

    /// Total and day buckets of a derived trait.
    pub(crate) fn derived(name: &str, measure: &Measure) -> [Self; 2] {
        let days = |cell| Self::new(format!("{name}__days"), Rule::Days(cell));
        let at = |order| {
            [
                Self::new(format!("{name}__at"), Rule::At(order)),
                days(Cell::At(order)),
            ]
        };
        let told = |order| {
            [
                Self {
                    column: format!("{name}__value"),
                    stem: name.to_owned(),
                    rule: Rule::Told(order, DataType::Utf8),
                },
                days(Cell::Told(order)),
            ]
        };
        match measure {
            Measure::Count => [
                Self::new(format!("{name}__count"), Rule::Count),
                days(Cell::Count),
            ],
            Measure::Sum { .. } => [
                Self::new(format!("{name}__sum"), Rule::Sum),
                days(Cell::Sum),
            ],
            Measure::FirstAt => at(Order::Earliest),
            Measure::LastAt | Measure::DaysSinceLast => at(Order::Latest),
            Measure::FirstValue { .. } => told(Order::Earliest),
            Measure::LastValue { .. } => told(Order::Latest),
        }
    }

    /// The columns on disk, in order.
    pub(crate) fn fields(&self) -> Vec<Field> {
        match &self.rule {
            Rule::At(_) => vec![Field::new(&self.column, instant(), true)],
            Rule::Told(_, data_type) => vec![
                Field::new(&self.column, data_type.clone(), true),
                Field::new(self.at_column(), instant(), true),
                Field::new(self.by_column(), id(), true),
            ],
            Rule::Count => vec![Field::new(&self.column, DataType::Int64, true)],
            Rule::Sum => vec![Field::new(&self.column, sum(), true)],
            Rule::Days(cell) => vec![Field::new(&self.column, DataType::List(cell.item()), true)],
        }
    }
}

/// The shape of a table of partial rows: the subject, a second key, and the parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The second key column, plain text.
    pub(crate) key: &'static str,
    pub(crate) parts: Vec<Part>,
}

impl Layout {
    /// The layout of a table of partial rows; `None` for events, which are never merged.
    pub(crate) fn of(table: Table, catalog: &TraitCatalog) -> Option<Self> {
        match table {
            Table::Members => Some(Self::members(catalog)),
            Table::Events => None,
            Table::Accounts => Some(Self::accounts()),
            Table::Contacts => Some(Self::contacts()),
            Table::Subscriptions => Some(Self::subscriptions()),
        }
    }

    pub(crate) fn members(catalog: &TraitCatalog) -> Self {
        let mut parts = vec![Part::first_seen(), Part::last_seen()];
        parts.extend(
            catalog
                .identified
                .iter()
                .map(|t| Part::told(&t.name, column_type(t.r#type))),
        );
        parts.extend(
            catalog
                .derived
                .iter()
                .flat_map(|t| Part::derived(&t.name, &t.measure)),
        );
        Self { key: DENIED, parts }
    }

    pub(crate) fn accounts() -> Self {
        Self {
            key: "account",
            parts: ["name", "industry", "size_band", "country"]
                .map(|name| Part::told(name, DataType::Utf8))
                .into(),
        }
    }

    pub(crate) fn contacts() -> Self {
        Self {
            key: "account",
            parts: vec![
                Part::told("role", DataType::Utf8),
                Part::told("buying_role", DataType::Utf8),
                Part::told("department", DataType::Utf8),
                Part::told("left", DataType::Boolean),
            ],
        }
    }

    pub(crate) fn subscriptions() -> Self {
        Self {
            key: "subscription",
            parts: vec![
                Part::told("plan", DataType::Utf8),
                Part::told("status", DataType::Utf8),
                Part::told("started_at", instant()),
                Part::told("renews_at", instant()),
                Part::told("ends_at", instant()),
                Part::told("amount", DataType::Float64),
                Part::told("currency", DataType::Utf8),
            ],
        }
    }

    /// The schema on disk.
    pub(crate) fn schema(&self) -> SchemaRef {
        let mut fields = vec![
            Field::new(SUBJECT, id(), false),
            Field::new(self.key, DataType::Utf8, false),
        ];
        for part in &self.parts {
            fields.extend(part.fields());
        }
        Arc::new(Schema::new(fields))
    }
}

/// The Arrow type of an identified trait's column.
pub(crate) fn column_type(r#type: TraitType) -> DataType {
    match r#type {
        TraitType::Text => DataType::Utf8,
        TraitType::Number => DataType::Float64,
        TraitType::Integer => DataType::Int64,
        TraitType::Boolean => DataType::Boolean,
        TraitType::Date => DataType::Date32,
        TraitType::Timestamp => instant(),
    }
}

/// The schema of the events table on disk.
pub(crate) fn events_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new(SUBJECT, id(), false),
        Field::new(DENIED, DataType::Utf8, false),
        Field::new("event_id", id(), false),
        Field::new("source", DataType::Utf8, false),
        Field::new("name", DataType::Utf8, false),
        Field::new("event_time", instant(), false),
        Field::new("received_at", instant(), false),
        Field::new("revenue", DataType::Float64, true),
        Field::new("currency", DataType::Utf8, true),
        Field::new("quantity", DataType::Int64, true),
        Field::new("product", DataType::Utf8, true),
        Field::new("properties", DataType::Utf8, true),
        Field::new("sensitive_properties", DataType::Utf8, true),
    ]))
}
