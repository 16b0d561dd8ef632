//! Values as sources tell them, JSON scalars as text, read as the type a trait declares.

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, TimeUnit};
use assent_consent::{Day, Timestamp};
use assent_programme::TraitType;
use serde_json::Value;
use std::sync::Arc;

use crate::Error;

/// The largest amount, in units, whose magnitude is summed.
const LARGEST_AMOUNT: f64 = 1e18;

/// One value of a column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar {
    /// Cleared.
    Null,
    Text(String),
    Number(f64),
    Integer(i64),
    Boolean(bool),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since the epoch.
    Instant(i64),
}

impl Scalar {
    /// Reads a JSON scalar as a trait's type; `None` when it does not fit. JSON null clears the trait. A number or
    /// truth value given as a string is read, since form fields come so.
    pub(crate) fn read(text: &str, r#type: TraitType) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        if value.is_null() {
            return Some(Self::Null);
        }
        let inner = || value.as_str().map(str::trim);
        match r#type {
            TraitType::Text => plain_text(value).map(Self::Text),
            TraitType::Number => value
                .as_f64()
                .or_else(|| inner()?.parse().ok())
                .filter(|number| number.is_finite())
                .map(Self::Number),
            TraitType::Integer => value
                .as_i64()
                .or_else(|| inner()?.parse().ok())
                .map(Self::Integer),
            TraitType::Boolean => value
                .as_bool()
                .or_else(|| inner()?.parse().ok())
                .map(Self::Boolean),
            TraitType::Date => Day::parse(inner()?).ok().map(|day| Self::Date(day.days())),
            TraitType::Timestamp => Timestamp::parse_rfc3339(inner()?)
                .ok()
                .map(|instant| Self::Instant(instant.micros())),
        }
    }
}

/// A JSON value as plain text: a string's content, otherwise its JSON; nothing for null, lists and objects.
pub(crate) fn plain_text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// An amount in millionths, half away from zero; `None` when it is out of range. The one place where an amount is
/// rounded: sums of what comes out are exact.
pub(crate) fn millionths(amount: f64) -> Option<i128> {
    (amount.abs() <= LARGEST_AMOUNT).then(|| (amount * 1e6).round() as i128)
}

/// A whole number in millionths, exactly.
pub(crate) fn whole_millionths(amount: i64) -> i128 {
    i128::from(amount) * 1_000_000
}

/// A column of `rows` rows with these values in these rows (ascending) and null elsewhere.
pub(crate) fn scalar_array(
    data_type: &DataType,
    rows: usize,
    values: Vec<(u32, Scalar)>,
) -> Result<ArrayRef, Error> {
    macro_rules! build {
        ($builder:expr, $variant:ident, $append:expr) => {{
            let mut builder = $builder;
            let mut filled = 0_usize;
            for (row, value) in values {
                builder.append_nulls(row as usize - filled);
                filled = row as usize + 1;
                match value {
                    Scalar::$variant(value) => $append(&mut builder, value),
                    _null_or_misfit => builder.append_null(),
                }
            }
            builder.append_nulls(rows - filled);
            Ok(Arc::new(builder.finish()))
        }};
    }
    match data_type {
        DataType::Utf8 => build!(
            StringBuilder::new(),
            Text,
            |b: &mut StringBuilder, v: String| { b.append_value(v) }
        ),
        DataType::Float64 => build!(
            Float64Builder::new(),
            Number,
            |b: &mut Float64Builder, v| b.append_value(v)
        ),
        DataType::Int64 => build!(Int64Builder::new(), Integer, |b: &mut Int64Builder, v| b
            .append_value(v)),
        DataType::Boolean => build!(
            BooleanBuilder::new(),
            Boolean,
            |b: &mut BooleanBuilder, v| b.append_value(v)
        ),
        DataType::Date32 => build!(Date32Builder::new(), Date, |b: &mut Date32Builder, v| b
            .append_value(v)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => build!(
            TimestampMicrosecondBuilder::new().with_data_type(crate::layout::instant()),
            Instant,
            |b: &mut TimestampMicrosecondBuilder, v| b.append_value(v)
        ),
        other => Err(Error::shape(format!("no trait has type {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_its_trait_declares() {
        let read = Scalar::read;
        assert_eq!(
            read("\"上海\"", TraitType::Text),
            Some(Scalar::Text("上海".into()))
        );
        assert_eq!(read("7", TraitType::Text), Some(Scalar::Text("7".into())));
        assert_eq!(read("7.5", TraitType::Number), Some(Scalar::Number(7.5)));
        assert_eq!(
            read("\"7.5\"", TraitType::Number),
            Some(Scalar::Number(7.5))
        );
        assert_eq!(read("7", TraitType::Integer), Some(Scalar::Integer(7)));
        assert_eq!(
            read("true", TraitType::Boolean),
            Some(Scalar::Boolean(true))
        );
        assert_eq!(
            read("\"1970-01-03\"", TraitType::Date),
            Some(Scalar::Date(2))
        );
        assert_eq!(
            read("\"1970-01-01T08:00:01+08:00\"", TraitType::Timestamp),
            Some(Scalar::Instant(1_000_000))
        );
    }

    #[test]
    fn null_clears_and_misfits_are_refused() {
        for r#type in TraitType::ALL {
            assert_eq!(Scalar::read("null", r#type), Some(Scalar::Null));
            assert_eq!(Scalar::read("[1]", r#type), None);
            assert_eq!(Scalar::read("{\"a\":1}", r#type), None);
            assert_eq!(Scalar::read("not json", r#type), None);
        }
        assert_eq!(Scalar::read("7.5", TraitType::Integer), None);
        assert_eq!(Scalar::read("\"NaN\"", TraitType::Number), None);
        assert_eq!(Scalar::read("\"tomorrow\"", TraitType::Date), None);
    }

    #[test]
    fn amounts_become_millionths_once() {
        assert_eq!(millionths(0.1), Some(100_000));
        assert_eq!(millionths(-19.99), Some(-19_990_000));
        assert_eq!(millionths(f64::NAN), None);
        assert_eq!(millionths(1e19), None);
        assert_eq!(whole_millionths(i64::MAX), i128::from(i64::MAX) * 1_000_000);
    }
}
