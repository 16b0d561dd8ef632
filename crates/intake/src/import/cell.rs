//! From a cell to the JSON value of a field: tables and types.

use std::borrow::Cow;

use assent_consent::Calendar;
use serde_json::Value;

use super::mapping::{CellType, ColumnField};
use crate::text;

/// A cell that cannot be used: why, without its contents.
pub(super) struct BadCell {
    pub(super) column: String,
    pub(super) reason: Cow<'static, str>,
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
        let instant = || {
            let read = self.instant(Some(cell), calendar);
            read.map_err(|why| self.refused_time(why, calendar))
        };
        let value = match self.kind {
            CellType::Text => text::exact(cell).map(Value::from).ok_or(NO_TEXT.into()),
            CellType::Number => text::number(cell).map(Value::from).ok_or(NO_NUMBER.into()),
            CellType::Integer => text::integer(cell)
                .map(Value::from)
                .ok_or(NO_INTEGER.into()),
            CellType::Boolean => boolean(cell).map(Value::from).ok_or(NO_BOOLEAN.into()),
            CellType::Date => instant().map(|at| Value::from(calendar.day_of(at).to_string())),
            CellType::Time => instant().map(|at| Value::from(at.to_string())),
        };
        value.map(Some).map_err(bad)
    }
}

const NO_TEXT: &str = "it is not a text of at most 512 characters, nor a whole number of at most 64 bits; \
                       say type: number if it is one";
const NO_NUMBER: &str =
    "it is not a number such as 1234.5, without currency or thousands separators";
const NO_INTEGER: &str = "it is not a whole number such as 1234, without thousands separators";
const NO_BOOLEAN: &str = "it is not true or false";

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
