//! What a setting can hold, and how it is written in a file, in an environment variable and on the command line.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeValue;

/// What a setting can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A file or directory. In a file it is relative to that file, elsewhere to the working directory.
    Path,
    /// Several texts; separated by commas where there is no array.
    List,
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Whole,
    /// A number.
    Fraction,
    /// A length of time, such as `250ms`, `10s`, `5m`, `2h` or `30d`.
    Span,
    /// A number of bytes, such as `4MiB`.
    Size,
    /// A secret. It stands in a file of its own, named by the setting with `_file` appended, or in the environment.
    Secret,
}

/// What a setting holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(String),
    Path(PathBuf),
    List(Vec<String>),
    Flag(bool),
    Whole(u64),
    Fraction(f64),
    Span(Duration),
    Size(u64),
}

/// Units of time, in milliseconds; the greatest first.
const SPANS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];
/// Units of size, in bytes; the greatest first.
const SIZES: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl Kind {
    /// Reads plain text, as environment variables and flags have it.
    ///
    /// # Errors
    /// What was expected; never what was found, which may be a secret in the wrong place.
    pub fn parse(self, text: &str) -> Result<Value, String> {
        let found = match self {
            Self::Text => Some(Value::Text(text.to_owned())),
            Self::Choice(words) => words.contains(&text).then(|| Value::Text(text.to_owned())),
            Self::Path | Self::Secret => (!text.is_empty()).then(|| Value::Path(text.into())),
            Self::List => Some(Value::List(
                text.split(',')
                    .map(|item| item.trim().to_owned())
                    .filter(|item| !item.is_empty())
                    .collect(),
            )),
            Self::Flag => text.parse().ok().map(Value::Flag),
            Self::Whole => text.parse().ok().map(Value::Whole),
            Self::Fraction => text
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite())
                .map(Value::Fraction),
            Self::Span => scaled(text, &SPANS)
                .map(Duration::from_millis)
                .map(Value::Span),
            Self::Size => text
                .parse()
                .ok()
                .or_else(|| scaled(text, &SIZES))
                .map(Value::Size),
        };
        found.ok_or_else(|| self.expected())
    }

    /// Reads a value of a TOML file.
    ///
    /// # Errors
    /// As [`Kind::parse`].
    pub fn read(self, value: &DeValue<'_>) -> Result<Value, String> {
        match (self, value) {
            (Self::Flag, DeValue::Boolean(flag)) => Ok(Value::Flag(*flag)),
            (Self::Whole | Self::Fraction | Self::Size, DeValue::Integer(number)) => {
                self.parse(number.as_str())
            }
            (Self::Fraction, DeValue::Float(number)) => self.parse(number.as_str()),
            (Self::List, DeValue::Array(items)) => items
                .iter()
                .map(|item| item.get_ref().as_str().map(str::to_owned))
                .collect::<Option<_>>()
                .map(Value::List)
                .ok_or_else(|| self.expected()),
            (Self::Flag | Self::Whole | Self::Fraction, DeValue::String(_)) => Err(self.expected()),
            (_, DeValue::String(text)) => self.parse(text),
            (_, _) => Err(self.expected()),
        }
    }

    fn expected(self) -> String {
        match self {
            Self::Text => "a text is expected".to_owned(),
            Self::Choice(words) => format!("one of {} is expected", words.join(", ")),
            Self::Path | Self::Secret => "a path is expected".to_owned(),
            Self::List => "a list of texts is expected".to_owned(),
            Self::Flag => "true or false is expected".to_owned(),
            Self::Whole => "a whole number is expected".to_owned(),
            Self::Fraction => "a number is expected".to_owned(),
            Self::Span => "a time such as 250ms, 10s, 5m, 2h or 30d is expected".to_owned(),
            Self::Size => "a size such as 512KiB, 4MiB or 1GiB is expected".to_owned(),
        }
    }
}

impl Value {
    /// The same with a relative path made one below `base`.
    #[must_use]
    pub fn below(self, base: &Path) -> Self {
        match self {
            Self::Path(path) => Self::Path(base.join(path)),
            other => other,
        }
    }

    /// The value as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Flag(flag) => (*flag).into(),
            Self::Whole(number) => (*number).into(),
            Self::Fraction(number) => (*number).into(),
            Self::List(items) => items.clone().into(),
            Self::Text(_) | Self::Path(_) | Self::Span(_) | Self::Size(_) => self.plain().into(),
        }
    }

    /// The value as it is typed in an environment variable.
    pub fn plain(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Path(path) => path.display().to_string(),
            Self::List(items) => items.join(","),
            Self::Flag(flag) => flag.to_string(),
            Self::Whole(number) => number.to_string(),
            Self::Fraction(number) => number.to_string(),
            Self::Span(span) => {
                let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
                unscaled(millis, &SPANS).unwrap_or_else(|| "0s".to_owned())
            }
            Self::Size(bytes) => unscaled(*bytes, &SIZES).unwrap_or_else(|| bytes.to_string()),
        }
    }
}

/// As it stands in a TOML file. A JSON string is a TOML string but for one control character, which no setting holds.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fraction(number) => write!(f, "{number:?}"),
            other => write!(f, "{}", other.to_json()),
        }
    }
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn unscaled(number: u64, units: &[(&str, u64)]) -> Option<String> {
    units
        .iter()
        .find(|(_, factor)| number > 0 && number.is_multiple_of(*factor))
        .map(|(name, factor)| format!("{}{name}", number / factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_read_as_they_are_written() {
        for (kind, texts) in [
            (Kind::Span, &["250ms", "10s", "5m", "2h", "30d", "90s"][..]),
            (Kind::Size, &["512KiB", "4MiB", "1GiB", "1000"][..]),
        ] {
            for text in texts {
                assert_eq!(kind.parse(text).unwrap().plain(), *text);
            }
        }
        assert_eq!(Kind::Span.parse("60s").unwrap().plain(), "1m");
        assert_eq!(Kind::Span.parse("0s").unwrap().plain(), "0s");
        for wrong in ["", "10", "s", "-1s", "1w", "1 min", "99999999999999999999d"] {
            assert!(Kind::Span.parse(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "4MB", "x", "-1", "99999999999GiB"] {
            assert!(Kind::Size.parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_refusal_does_not_repeat_what_it_refuses() {
        for kind in [Kind::Whole, Kind::Flag, Kind::Span, Kind::Choice(&["a"])] {
            let refusal = kind.parse("planted-secret").unwrap_err();
            assert!(!refusal.contains("planted"), "{refusal}");
        }
    }
}
