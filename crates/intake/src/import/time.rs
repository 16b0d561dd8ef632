//! Dates and times of cells: how they are written, and what is wrong with one that cannot be read.

use std::borrow::Cow;
use std::str::FromStr;

use assent_consent::{Calendar, Day, Timestamp};
use chrono::format::{self, Fixed, Item, ParseError, ParseErrorKind, Parsed, StrftimeItems};
use chrono::{DateTime, NaiveDateTime, TimeZone};
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

/// How a day is written where no format is named.
const DAY: &str = "%Y-%m-%d";

impl TryFrom<String> for TimeFormat {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let has = |wanted: fn(&Item<'_>) -> bool| StrftimeItems::new(&text).any(|it| wanted(&it));
        match text.as_str() {
            "rfc3339" => Ok(Self::Rfc3339),
            "unix_seconds" => Ok(Self::UnixSeconds),
            "unix_millis" => Ok(Self::UnixMillis),
            _ if has(|item| matches!(item, Item::Error)) => Err(
                "not a format: write rfc3339, unix_seconds, unix_millis or a strftime pattern such as %Y-%m-%d",
            ),
            // It would be skipped, and the time taken for one of `time_zone`.
            _ if has(|item| matches!(item, Item::Fixed(Fixed::TimezoneName))) => Err(
                "the name of a zone (%Z) cannot be read: write offsets (%z), or take it out of the file and name \
                 the zone as time_zone",
            ),
            _ => Ok(Self::Pattern(text)),
        }
    }
}

/// Why a cell tells no date or time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadTime {
    /// It is empty.
    Empty,
    /// It is written in another way than the format says.
    OtherFormat,
    /// It is written as it should be, but no calendar has that day and no clock that time.
    NotThere,
    /// It has no offset, and the format leaves nothing else that tells the zone.
    NoOffset,
    /// The clocks of the zone were put forward over it.
    Skipped,
}

impl From<ParseError> for BadTime {
    fn from(error: ParseError) -> Self {
        match error.kind() {
            ParseErrorKind::OutOfRange | ParseErrorKind::Impossible => Self::NotThere,
            _ => Self::OtherFormat,
        }
    }
}

impl ColumnField {
    /// The instant a cell names.
    pub(super) fn instant(
        &self,
        cell: Option<&Value>,
        calendar: Calendar,
    ) -> Result<Timestamp, BadTime> {
        let cell = match cell {
            None | Some(Value::Null) => return Err(BadTime::Empty),
            Some(Value::String(text)) if text.trim().is_empty() => return Err(BadTime::Empty),
            Some(cell) => cell,
        };
        let text = || cell.as_str().map(str::trim).ok_or(BadTime::OtherFormat);
        match &self.format {
            Some(TimeFormat::UnixSeconds) => unix(cell, 1e6),
            Some(TimeFormat::UnixMillis) => unix(cell, 1e3),
            Some(TimeFormat::Pattern(pattern)) => patterned(text()?, pattern, calendar),
            None if self.kind == CellType::Date => patterned(text()?, DAY, calendar),
            None | Some(TimeFormat::Rfc3339) => rfc3339(text()?),
        }
    }

    /// What is wrong with a cell of this field, and the ways to mend it.
    pub(super) fn refused_time(&self, why: BadTime, calendar: Calendar) -> Cow<'static, str> {
        let what = match self.kind {
            CellType::Date => "date",
            CellType::Time
            | CellType::Text
            | CellType::Number
            | CellType::Integer
            | CellType::Boolean => "time",
        };
        match (why, &self.format) {
            (BadTime::Empty, _) => {
                format!("it is empty; fill in the {what}, or leave such rows out with `when`").into()
            }
            (BadTime::OtherFormat, _) => format!(
                "it is not {}; mend the cell, or name the way it is written as `format`",
                self.way(what)
            )
            .into(),
            (BadTime::NotThere, Some(TimeFormat::Pattern(_))) => format!(
                "it is written as {}, but there is no such day or time; mend the cell, or the order of day and month \
                 in `format`",
                self.way(what)
            )
            .into(),
            (BadTime::NotThere, _) => format!(
                "it is written as {}, but there is no such day or time; mend the cell",
                self.way(what)
            )
            .into(),
            (BadTime::NoOffset, Some(TimeFormat::Pattern(_))) => format!(
                "it has no offset, and {} has one; write it in the cell, or take it out of `format` and name the zone \
                 as `time_zone`",
                self.way(what)
            )
            .into(),
            (BadTime::NoOffset, _) => {
                "it has no offset, so its zone is unknown; write one such as +08:00, or name the way it is written as \
                 `format`, such as %Y-%m-%dT%H:%M:%S, and the zone as `time_zone`"
                    .into()
            }
            (BadTime::Skipped, _) => format!(
                "the clocks of {} were put forward over this time, so it never was; mend the cell, or name the zone it \
                 is of as `time_zone`",
                calendar.name()
            )
            .into(),
        }
    }

    /// How a date or time of this field is written.
    fn way(&self, what: &str) -> Cow<'static, str> {
        match &self.format {
            Some(TimeFormat::Pattern(pattern)) => {
                format!("a {what} of the format {pattern}").into()
            }
            Some(TimeFormat::UnixSeconds) => "a number of seconds since 1970".into(),
            Some(TimeFormat::UnixMillis) => "a number of milliseconds since 1970".into(),
            None if self.kind == CellType::Date => "a date such as 2026-03-01".into(),
            None | Some(TimeFormat::Rfc3339) => {
                "an RFC 3339 time such as 2026-03-01T16:00:00+08:00".into()
            }
        }
    }
}

/// A number of seconds, or of parts of one, since 1970.
fn unix(cell: &Value, micros: f64) -> Result<Timestamp, BadTime> {
    let number = text::number(cell).ok_or(BadTime::OtherFormat)? * micros;
    // Beyond this the conversion would not be exact, and no clock shows it.
    if number.abs() < 9.0e15 {
        Ok(Timestamp::from_micros(number as i64))
    } else {
        Err(BadTime::NotThere)
    }
}

fn rfc3339(text: &str) -> Result<Timestamp, BadTime> {
    Timestamp::parse_rfc3339(text).map_err(|_| {
        let local = |pattern| NaiveDateTime::parse_from_str(text, pattern).is_ok();
        match DateTime::parse_from_rfc3339(text).map_err(BadTime::from) {
            _ if local("%Y-%m-%dT%H:%M:%S%.f") || local("%Y-%m-%d %H:%M:%S%.f") => {
                BadTime::NoOffset
            }
            Err(why) => why,
            Ok(_) => BadTime::NotThere,
        }
    })
}

/// A time by its pattern: with an offset, as a local time, or as a day, which begins in the calendar.
fn patterned(text: &str, pattern: &str, calendar: Calendar) -> Result<Timestamp, BadTime> {
    let mut parsed = Parsed::new();
    format::parse(&mut parsed, text, StrftimeItems::new(pattern)).map_err(|error| {
        match BadTime::from(error) {
            BadTime::OtherFormat if lacks_offset(text, pattern) => BadTime::NoOffset,
            why => why,
        }
    })?;
    if let Some(instant) = unless_less(parsed.to_datetime())? {
        return Ok(Timestamp::from_micros(instant.timestamp_micros()));
    }
    if let Some(local) = unless_less(parsed.to_naive_datetime_with_offset(0))? {
        let zone = Tz::from_str(calendar.name()).map_err(|_| BadTime::NoOffset)?;
        // Of a time that the clock shows twice, the earlier.
        let instant = zone.from_local_datetime(&local).earliest();
        let instant = instant.ok_or(BadTime::Skipped)?;
        return Ok(Timestamp::from_micros(instant.timestamp_micros()));
    }
    let date = parsed.to_naive_date()?;
    let day = Day::parse(&date.format(DAY).to_string()).map_err(|_| BadTime::NotThere)?;
    Ok(calendar.start_of(day))
}

/// What was read, unless the pattern names less than it takes.
fn unless_less<T>(read: Result<T, ParseError>) -> Result<Option<T>, BadTime> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.kind() == ParseErrorKind::NotEnough => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether a text would be of the pattern, were it not for the offset that this asks for.
fn lacks_offset(text: &str, pattern: &str) -> bool {
    let is_offset = |item: &Item<'_>| {
        matches!(
            item,
            Item::Fixed(
                Fixed::TimezoneOffset
                    | Fixed::TimezoneOffsetZ
                    | Fixed::TimezoneOffsetColon
                    | Fixed::TimezoneOffsetColonZ
                    | Fixed::TimezoneOffsetDoubleColon
                    | Fixed::TimezoneOffsetTripleColon
            )
        )
    };
    let items: Vec<Item<'_>> = StrftimeItems::new(pattern).collect();
    let rest = items.iter().filter(|item| !is_offset(item));
    items.iter().any(is_offset) && format::parse(&mut Parsed::new(), text, rest).is_ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(kind: CellType, format: Option<&str>) -> ColumnField {
        ColumnField {
            column: "c".to_owned(),
            kind,
            format: format.map(|format| TimeFormat::try_from(format.to_owned()).unwrap()),
            map: None,
            default: None,
        }
    }

    fn instant(format: &str, cell: Value) -> Result<String, BadTime> {
        let read = field(CellType::Time, Some(format)).instant(Some(&cell), Calendar::default())?;
        Ok(read.to_string())
    }

    #[test]
    fn times_are_read_in_the_calendar_unless_they_carry_an_offset() {
        let is = |format, cell, expected: &str| {
            assert_eq!(instant(format, cell).as_deref(), Ok(expected), "{format}");
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
        assert!(TimeFormat::try_from("%Q".to_owned()).is_err());
        assert!(TimeFormat::try_from("%Y-%m-%d %H:%M %Z".to_owned()).is_err());
    }

    #[test]
    fn what_is_wrong_with_a_time_is_told_apart() {
        use BadTime::{Empty, NoOffset, NotThere, OtherFormat};
        let day = "%Y-%m-%d";
        let offset = "%Y-%m-%d %H:%M %z";
        for (format, cell, why) in [
            (day, json!(""), Empty),
            (day, json!(null), Empty),
            (day, json!("yesterday"), OtherFormat),
            (day, json!("1997-01-02 10:00"), OtherFormat),
            (day, json!(19_970_102), OtherFormat),
            (day, json!("1997-02-30"), NotThere),
            (day, json!("1997-13-01"), NotThere),
            ("%H:%M %d.%m.%Y", json!("25:00 01.02.1997"), NotThere),
            (offset, json!("1997-01-02 10:00"), NoOffset),
            (offset, json!("1997-01-02"), OtherFormat),
            ("rfc3339", json!("1997-01-02T10:00:00"), NoOffset),
            ("rfc3339", json!("1997-01-02 10:00:00.5"), NoOffset),
            ("rfc3339", json!("1997-02-30T10:00:00Z"), NotThere),
            ("rfc3339", json!("1997-01-02"), OtherFormat),
            ("unix_seconds", json!("soon"), OtherFormat),
            ("unix_seconds", json!(1e300), NotThere),
        ] {
            assert_eq!(instant(format, cell.clone()), Err(why), "{format} {cell}");
        }
        let date = field(CellType::Date, None);
        let none = date.instant(Some(&json!("1997-02-30")), Calendar::default());
        assert_eq!(none, Err(NotThere));
    }

    #[test]
    fn a_time_that_the_clocks_skip_is_none_and_of_one_shown_twice_the_earlier_is_taken() {
        let berlin = Calendar::named("Europe/Berlin").unwrap();
        let field = field(CellType::Time, Some("%Y-%m-%d %H:%M"));
        let read = |cell: &str| field.instant(Some(&json!(cell)), berlin);
        assert_eq!(read("2026-03-29 02:30"), Err(BadTime::Skipped));
        let told = field.refused_time(BadTime::Skipped, berlin);
        assert!(told.contains("Europe/Berlin"), "{told}");
        let twice = read("2026-10-25 02:30").map(|at| at.to_string());
        assert_eq!(twice.as_deref(), Ok("2026-10-25T00:30:00Z"));
    }
}
