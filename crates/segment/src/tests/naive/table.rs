//! Rows as plain values, and as a batch for the plain engine.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use assent_consent::Category;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Number,
    Integer,
    Boolean,
    Day,
    Instant,
}

impl Kind {
    fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Number => DataType::Float64,
            Self::Integer => DataType::Int64,
            Self::Boolean => DataType::Boolean,
            Self::Day => DataType::Date32,
            Self::Instant => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
        }
    }
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Null,
    Text(String),
    Number(f64),
    Integer(i64),
    Boolean(bool),
    Day(i32),
    Instant(i64),
}

impl Cell {
    pub fn text(text: Option<impl Into<String>>) -> Self {
        text.map_or(Self::Null, |text| Self::Text(text.into()))
    }

    pub fn number(number: Option<f64>) -> Self {
        number.map_or(Self::Null, Self::Number)
    }

    pub fn integer(number: Option<i64>) -> Self {
        number.map_or(Self::Null, Self::Integer)
    }

    pub fn instant(at: Option<assent_consent::Timestamp>) -> Self {
        at.map_or(Self::Null, |at| Self::Instant(at.micros()))
    }
}

/// A column of a table.
#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub kind: Kind,
    /// `None`: shown to whoever sees the row.
    pub category: Option<Category>,
}

impl Column {
    pub fn of(name: &str, kind: Kind, category: Option<&str>) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            category: category.map(super::category),
        }
    }
}

/// A table by hand.
#[derive(Debug, Clone)]
pub struct NaiveTable {
    pub name: &'static str,
    /// What together tells its rows apart.
    pub key: &'static [&'static str],
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Cell>>,
}

impl NaiveTable {
    /// The table without the columns that the categories do not reach.
    pub(super) fn visible_to(mut self, categories: &BTreeSet<Category>) -> Self {
        let shown: Vec<bool> = self
            .columns
            .iter()
            .map(|column| {
                column
                    .category
                    .as_ref()
                    .is_none_or(|category| categories.contains(category))
            })
            .collect();
        let mut shown_of = shown.iter();
        self.columns.retain(|_| *shown_of.next().expect("as many"));
        for row in &mut self.rows {
            let mut shown_of = shown.iter();
            row.retain(|_| *shown_of.next().expect("as many"));
        }
        self
    }

    /// The rows as one batch.
    pub fn batch(&self) -> RecordBatch {
        let fields: Vec<Field> = self
            .columns
            .iter()
            .map(|column| Field::new(&column.name, column.kind.data_type(), true))
            .collect();
        let arrays = (0..self.columns.len())
            .map(|place| self.array(place))
            .collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("a batch")
    }

    fn array(&self, place: usize) -> ArrayRef {
        macro_rules! collect {
            ($array:ty, $variant:ident, $read:expr) => {{
                let cells = self.rows.iter().map(|row| match &row[place] {
                    Cell::$variant(value) => Some($read(value)),
                    Cell::Null => None,
                    other => panic!("{other:?} in {}", self.columns[place].name),
                });
                cells.collect::<$array>()
            }};
        }
        match self.columns[place].kind {
            Kind::Text => Arc::new(collect!(StringArray, Text, |text: &String| text.clone())),
            Kind::Number => Arc::new(collect!(Float64Array, Number, |number: &f64| *number)),
            Kind::Integer => Arc::new(collect!(Int64Array, Integer, |number: &i64| *number)),
            Kind::Boolean => Arc::new(collect!(BooleanArray, Boolean, |truth: &bool| *truth)),
            Kind::Day => Arc::new(collect!(Date32Array, Day, |day: &i32| *day)),
            Kind::Instant => Arc::new(
                collect!(TimestampMicrosecondArray, Instant, |at: &i64| *at)
                    .with_timezone("+00:00"),
            ),
        }
    }
}
