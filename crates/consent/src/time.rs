//! Instants: the one representation of time that facts, notices and verdicts share.
//!
//! Owns the range (years 0001 to 9999, so that every instant can be written in RFC 3339 and lies
//! in every calendar) and refuses to read a clock.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An instant: microseconds since the Unix epoch, UTC.
///
/// Values lie between [`Timestamp::MIN`] and [`Timestamp::MAX`]; constructors clamp to that range,
/// which changes no verdict: nothing in it happens before year 1 or after year 9999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A text that is not an RFC 3339 instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 instant: write it like 2026-03-01T08:00:00Z or 2026-03-01T16:00:00+08:00")]
pub struct InvalidTimestamp;

impl Timestamp {
    /// 0001-01-02T00:00:00Z, the earliest instant.
    pub const MIN: Self = Self(-62_135_510_400_000_000);
    /// 9999-12-30T23:59:59.999999Z, the latest instant.
    pub const MAX: Self = Self(253_402_214_399_999_999);

    /// The instant `micros` microseconds after the Unix epoch, clamped to the range of the type.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        if micros < Self::MIN.0 {
            Self::MIN
        } else if micros > Self::MAX.0 {
            Self::MAX
        } else {
            Self(micros)
        }
    }

    /// The instant `millis` milliseconds after the Unix epoch, clamped to the range of the type.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self::from_micros(millis.saturating_mul(1_000))
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// This instant moved by `micros` microseconds, clamped to the range of the type.
    #[must_use]
    pub const fn plus_micros(self, micros: i64) -> Self {
        Self::from_micros(self.0.saturating_add(micros))
    }

    /// Reads an RFC 3339 instant with any offset; what is finer than a microsecond is cut off.
    ///
    /// # Errors
    /// [`InvalidTimestamp`] when the text is anything else, a date without time included.
    pub fn parse_rfc3339(text: &str) -> Result<Self, InvalidTimestamp> {
        let instant = DateTime::parse_from_rfc3339(text).map_err(|_| InvalidTimestamp)?;
        Ok(Self::from_micros(instant.timestamp_micros()))
    }

    pub(crate) fn utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0)
            .expect("years 1 to 9999 lie within the range of chrono")
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.utc().to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({self})")
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse_rfc3339(text)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse_rfc3339(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_in_utc_and_read_with_any_offset() {
        let noon = Timestamp::parse_rfc3339("2026-03-01T12:00:00+08:00").unwrap();
        assert_eq!(noon.to_string(), "2026-03-01T04:00:00Z");
        assert_eq!(noon, "2026-03-01T04:00:00Z".parse().unwrap());
        let fine = Timestamp::parse_rfc3339("2026-03-01T04:00:00.1234567Z").unwrap();
        assert_eq!(fine.to_string(), "2026-03-01T04:00:00.123456Z");
        assert_eq!(fine.micros() - noon.micros(), 123_456);
    }

    #[test]
    fn a_bare_date_is_no_instant() {
        assert_eq!(
            Timestamp::parse_rfc3339("2026-03-01"),
            Err(InvalidTimestamp)
        );
        assert!(serde_json::from_str::<Timestamp>("\"yesterday\"").is_err());
    }

    #[test]
    fn the_ends_of_the_range_can_be_written_and_read_back() {
        assert_eq!(Timestamp::MIN.to_string(), "0001-01-02T00:00:00Z");
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-30T23:59:59.999999Z");
        for end in [i64::MIN, i64::MAX] {
            let clamped = Timestamp::from_micros(end);
            let text = serde_json::to_string(&clamped).unwrap();
            assert_eq!(serde_json::from_str::<Timestamp>(&text).unwrap(), clamped);
        }
        assert_eq!(Timestamp::MAX.plus_micros(1), Timestamp::MAX);
        assert_eq!(Timestamp::from_millis(5).micros(), 5_000);
    }
}
