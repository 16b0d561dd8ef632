//! From a cell to the JSON value of a field: tables, types, formats of dates and times.

use std::borrow::Cow;
use std::str::FromStr;

use assent_consent::{Calendar, Day, Timestamp};
use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeZone};
use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::Value;

use super::mapping::{CellType, ColumnField};
use crate::text;

/// How a date or time is written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) enum TimeFormat {
    Rfc3339,
    UnixSeconds,
    UnixMillis,
    Pattern(String),
}

/// A cell that cannot be used: why, without its contents.
pub(super) struct BadCell {
    pub(super) column: String,
    pub(super) reason: Cow<'static, str>,
}

impl TryFrom<String> for TimeFormat {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "rfc3339" => Ok(Self::Rfc3339),
            "unix_seconds" => Ok(Self::UnixSeconds),
            "unix_millis" => Ok(Self::UnixMillis),
            _ if StrftimeItems::new(&text).any(|item| matches!(item, Item::Error)) => Err(
                "not a format: write rfc3339, unix_seconds, unix_millis or a strftime pattern such as %Y-%m-%d",
            ),
            _ => Ok(Self::Pattern(text)),
        }
    }
}

impl ColumnField {
    /// The value of the field in a row whose cell is this; `None` leaves the field out.
    pub(super) fn value(
        &self,
        cell: Option<&Value>,
        calendar: Calendar,
    ) -> Result<Option<Value>, BadCell> {
        let bad = |reason| BadCell {
            column: self.column.clone(),
            reason,
        };
        let default = || self.default.as_ref().map(|value| value.value.0.clone());
        let cell = match cell {
            None | Some(Value::Null) => return Ok(default()),
            Some(Value::String(text)) if text.trim().is_empty() => return Ok(default()),
            Some(cell) => cell,
        };
        if let Some(table) = &self.map {
            let listed = text::plain(cell).and_then(|text| table.get(text.trim()));
            return match (listed, default()) {
                (Some(listed), _) => Ok(Some(listed.value.0.clone())),
                (None, Some(value)) => Ok(Some(value)),
                (None, None) => Err(bad("its map does not list the value".into())),
            };
        }
        let value = match self.kind {
            CellType::Text => text::exact(cell).map(Value::from),
            CellType::Number => text::number(cell).map(Value::from),
            CellType::Integer => text::integer(cell).map(Value::from),
            CellType::Boolean => boolean(cell).map(Value::from),
            CellType::Date => self
                .instant(cell, calendar)
                .map(|at| Value::from(calendar.day_of(at).to_string())),
            CellType::Time => self
                .instant(cell, calendar)
                .map(|at| Value::from(at.to_string())),
        };
        value.map(Some).ok_or_else(|| bad(self.expected()))
    }

    /// What a cell of this field has to be, said of one that is not.
    fn expected(&self) -> Cow<'static, str> {
        match self.kind {
            CellType::Text => {
                "it is not a text of at most 512 characters, nor a whole number of at most 64 bits; \
                 say type: number if it is one"
                    .into()
            }
            CellType::Number => {
                "it is not a number such as 1234.5, without currency or thousands separators".into()
            }
            CellType::Integer => {
                "it is not a whole number such as 1234, without thousands separators".into()
            }
            CellType::Boolean => "it is not true or false".into(),
            CellType::Date => self.expected_time("date"),
            CellType::Time => self.expected_time("time"),
        }
    }

    /// How a time of this field is written, said of a cell that is not.
    pub(super) fn expected_time(&self, what: &str) -> Cow<'static, str> {
        match &self.format {
            Some(TimeFormat::Pattern(pattern)) => {
                format!("it is not a {what} of the format {pattern}").into()
            }
            Some(TimeFormat::UnixSeconds) => "it is not a number of seconds since 1970".into(),
            Some(TimeFormat::UnixMillis) => "it is not a number of milliseconds since 1970".into(),
            None if self.kind == CellType::Date => {
                "it is not a date such as 2026-03-01; name its format in the mapping".into()
            }
            None | Some(TimeFormat::Rfc3339) => {
                "it is not an RFC 3339 time such as 2026-03-01T16:00:00+08:00; name its format \
                 in the mapping"
                    .into()
            }
        }
    }

    /// The instant a cell names.
    pub(super) fn instant(&self, cell: &Value, calendar: Calendar) -> Option<Timestamp> {
        let unix = |scale: f64| {
            let number = text::number(cell)? * scale;
            // Beyond this the conversion would not be exact, and no clock shows it.
            (number.abs() < 9.0e15).then(|| Timestamp::from_micros(number as i64))
        };
        match self.format.as_ref() {
            Some(TimeFormat::UnixSeconds) => unix(1e6),
            Some(TimeFormat::UnixMillis) => unix(1e3),
            Some(TimeFormat::Pattern(pattern)) => {
                patterned(cell.as_str()?.trim(), pattern, calendar)
            }
            None if self.kind == CellType::Date => {
                let day = Day::parse(cell.as_str()?.trim()).ok()?;
                Some(calendar.start_of(day))
            }
            None | Some(TimeFormat::Rfc3339) => {
                Timestamp::parse_rfc3339(cell.as_str()?.trim()).ok()
            }
        }
    }
}

/// A time by its pattern: with an offset, as a local time, or as a day, which begins in the calendar.
fn patterned(text: &str, pattern: &str, calendar: Calendar) -> Option<Timestamp> {
    if let Ok(instant) = DateTime::parse_from_str(text, pattern) {
        return Some(Timestamp::from_micros(instant.timestamp_micros()));
    }
    if let Ok(local) = NaiveDateTime::parse_from_str(text, pattern) {
        let zone = Tz::from_str(calendar.name()).ok()?;
        // Of a time that the clock shows twice, the earlier; a time that it skips is an error.
        let instant = zone.from_local_datetime(&local).earliest()?;
        return Some(Timestamp::from_micros(instant.timestamp_micros()));
    }
    let date = NaiveDate::parse_from_str(text, pattern).ok()?;
    let day = Day::parse(&date.format("%Y-%m-%d").to_string()).ok()?;
    Some(calendar.start_of(day))
}

fn boolean(cell: &Value) -> Option<bool> {
    match cell {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) if text.trim().eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.trim().eq_ignore_ascii_case("false") => Some(false),
        Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn instant(format: &str, cell: Value) -> Option<String> {
        let field = ColumnField {
            column: "c".to_owned(),
            kind: CellType::Time,
            format: Some(TimeFormat::try_from(format.to_owned()).unwrap()),
            map: None,
            default: None,
        };
        Some(field.instant(&cell, Calendar::default())?.to_string())
    }

    #[test]
    fn times_are_read_in_the_calendar_unless_they_carry_an_offset() {
        let is = |format, cell, expected: &str| {
            assert_eq!(instant(format, cell).as_deref(), Some(expected), "{format}");
        };
        is("%Y-%m-%d", json!("1997-01-02"), "1997-01-01T16:00:00Z");
        is(
            "%d/%m/%Y %H:%M",
            json!("02/01/1997 09:30"),
            "1997-01-02T01:30:00Z",
        );
        is(
            "%Y-%m-%dT%H:%M%z",
            json!("1997-01-02T09:30+0100"),
            "1997-01-02T08:30:00Z",
        );
        is(
            "rfc3339",
            json!("1997-01-02T09:30:00+01:00"),
            "1997-01-02T08:30:00Z",
        );
        is("unix_seconds", json!("86400"), "1970-01-02T00:00:00Z");
        is("unix_millis", json!(1_500), "1970-01-01T00:00:01.500Z");
        assert_eq!(instant("%Y-%m-%d", json!("1997-02-30")), None);
        assert_eq!(instant("%Y-%m-%d", json!(19_970_102)), None);
        assert_eq!(instant("unix_seconds", json!(1e300)), None);
        assert!(TimeFormat::try_from("%Q".to_owned()).is_err());
    }
}
