//! Reading fields of JSON: absent, null and empty are one thing, and numbers serve as ids.

use assent_consent::Timestamp;
use assent_event::spelling::clean;
use serde_json::{Map, Value};

use crate::outcome::{Code, Rejected};

/// An object of a request.
pub(crate) type Object = Map<String, Value>;

/// The most characters of a text that is kept: a name, an id, an act.
pub(crate) const MOST_TEXT: usize = 512;

/// A field, unless it is absent or null.
pub(crate) fn field<'v>(object: &'v Object, name: &str) -> Option<&'v Value> {
    object.get(name).filter(|value| !value.is_null())
}

/// A field of a field that is an object.
pub(crate) fn object<'v>(object: &'v Object, name: &str) -> Option<&'v Object> {
    object.get(name).and_then(Value::as_object)
}

/// A text, cleaned, or a number as a text; `None` when it is something else, empty or too long.
pub(crate) fn plain(value: &Value) -> Option<String> {
    written(value).filter(|text| !text.is_empty())
}

/// As [`plain`]; it may be empty.
fn written(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => clean(text),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    // No text has more characters than bytes.
    let fits = text.len() <= MOST_TEXT || text.chars().count() <= MOST_TEXT;
    fits.then_some(text)
}

/// As [`plain`], for what tells people or things apart: of the numbers only those that a reader of JSON
/// keeps exactly. Longer ones, and fractions, are rounded on the way, and two people would become one.
pub(crate) fn exact(value: &Value) -> Option<String> {
    if is_rounded(value) {
        None
    } else {
        plain(value)
    }
}

/// Whether it is a number that stands for its neighbours, too.
pub(crate) fn is_rounded(value: &Value) -> bool {
    matches!(value, Value::Number(number) if !number.is_i64() && !number.is_u64())
}

/// A field that may be absent, null or an empty text, and else is a text or whole number.
///
/// # Errors
/// [`Code::FieldInvalid`] when it is something else or too long.
pub(crate) fn optional(object: &Object, name: &str) -> Result<Option<String>, Rejected> {
    match field(object, name) {
        None => Ok(None),
        Some(value) if is_rounded(value) => Err(Rejected::new(
            Code::FieldInvalid,
            format!("/{name}"),
            format!("{name} is a number that readers of JSON round, so it may be several"),
            "send it as a string",
        )),
        Some(value) => match written(value) {
            Some(text) => Ok(Some(text).filter(|text| !text.is_empty())),
            None => Err(Rejected::new(
                Code::FieldInvalid,
                format!("/{name}"),
                format!("{name} is not a text of at most {MOST_TEXT} characters"),
                "send a string",
            )),
        },
    }
}

/// A field that must be a text or number.
///
/// # Errors
/// [`Code::FieldMissing`] or [`Code::FieldInvalid`].
pub(crate) fn required(object: &Object, name: &str, fix: &str) -> Result<String, Rejected> {
    optional(object, name)?.ok_or_else(|| missing(name, fix))
}

/// Refuses what has no such field.
pub(crate) fn missing(name: &str, fix: &str) -> Rejected {
    Rejected::new(
        Code::FieldMissing,
        format!("/{name}"),
        format!("{name} is missing"),
        fix,
    )
}

/// A field that may be absent and else is an RFC 3339 time.
///
/// # Errors
/// [`Code::TimeInvalid`].
pub(crate) fn time(object: &Object, name: &str) -> Result<Option<Timestamp>, Rejected> {
    let Some(value) = field(object, name) else {
        return Ok(None);
    };
    let read = value
        .as_str()
        .and_then(|text| Timestamp::parse_rfc3339(text.trim()).ok());
    read.map(Some).ok_or_else(|| {
        Rejected::new(
            Code::TimeInvalid,
            format!("/{name}"),
            format!("{name} is not an RFC 3339 time"),
            "write it as 2026-03-01T08:00:00Z or with an offset such as +08:00",
        )
    })
}

/// About how long a value is as compact JSON.
pub(crate) fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| weight(item) + 1).sum::<usize>() + 2,
        Value::Object(fields) => {
            fields
                .iter()
                .map(|(name, value)| name.len() + weight(value) + 4)
                .sum::<usize>()
                + 2
        }
    }
}

/// A number, also when it is written as a text.
pub(crate) fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    number.filter(|number| number.is_finite())
}

/// A whole number, also when it is written as a text or with a fraction of zero.
pub(crate) fn integer(value: &Value) -> Option<i64> {
    /// Beyond 2^53 not every whole number has its own `f64`.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let whole = || {
        let number = number(value)?;
        // The bound makes the conversion exact.
        (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
    };
    match value {
        Value::Number(number) => number.as_i64().or_else(whole),
        Value::String(text) => text.trim().parse().ok().or_else(whole),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The message id of an item: less than 100 characters (the limit of the tracking APIs).
///
/// # Errors
/// [`Code::MessageIdTooLong`] or [`Code::FieldInvalid`].
pub(crate) fn message_id(object: &Object, name: &str) -> Result<Option<String>, Rejected> {
    let id = optional(object, name)?;
    match id {
        Some(id) if id.chars().count() >= 100 => Err(Rejected::new(
            Code::MessageIdTooLong,
            format!("/{name}"),
            format!("{name} has 100 characters or more"),
            "send a shorter id, such as a UUID",
        )),
        Some(_) | None => Ok(id),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_read_from_texts_too_and_only_exactly() {
        assert_eq!(number(&json!("11.77")), Some(11.77));
        assert_eq!(number(&json!("NaN")), None);
        assert_eq!(number(&json!("1e999")), None);
        assert_eq!(integer(&json!("12")), Some(12));
        assert_eq!(integer(&json!(12.0)), Some(12));
        assert_eq!(integer(&json!(12.5)), None);
        assert_eq!(integer(&json!(1e300)), None);
        assert_eq!(integer(&json!(i64::MIN)), Some(i64::MIN));
    }

    #[test]
    fn ids_may_be_numbers_and_empty_is_absent() {
        let body = json!({
            "a": 42, "b": "", "c": null, "d": [1], "e": "x".repeat(513), "f": 1.5, "g": u64::MAX,
            "h": i64::MIN,
        });
        let object = body.as_object().unwrap();
        for (name, text) in [("g", u64::MAX.to_string()), ("h", i64::MIN.to_string())] {
            assert_eq!(optional(object, name).unwrap(), Some(text));
        }
        assert_eq!(optional(object, "f").unwrap_err().code, Code::FieldInvalid);
        assert_eq!(optional(object, "a").unwrap().as_deref(), Some("42"));
        assert_eq!(optional(object, "b").unwrap(), None);
        assert_eq!(optional(object, "c").unwrap(), None);
        assert_eq!(optional(object, "d").unwrap_err().code, Code::FieldInvalid);
        assert_eq!(optional(object, "e").unwrap_err().code, Code::FieldInvalid);
    }
}
