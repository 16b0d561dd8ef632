//! Days and the calendar that turns them into instants.
//!
//! Expiry, birthdays and retention are counted in days of a place, by default Shanghai (rules R13,
//! R15). The module owns that conversion and refuses to know which rule asks for it.

use std::fmt;
use std::str::FromStr;

use chrono::{Datelike, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone};
use chrono_tz::Tz;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::time::Timestamp;

/// The time zone in which days begin and end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Calendar(Tz);

/// A name that the IANA time zone database does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("calendar: unknown time zone {0:?}; name one of the IANA database, such as Asia/Shanghai")]
pub struct UnknownTimeZone(String);

/// A day: days since 1970-01-01 in some calendar, between years 1 and 9999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i32);

/// A text or triple that is not a day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a day: write it as YYYY-MM-DD with a date that exists, such as 2012-02-29")]
pub struct InvalidDay;

impl Default for Calendar {
    /// Asia/Shanghai (law.md §4, "Expiry").
    fn default() -> Self {
        Self(Tz::Asia__Shanghai)
    }
}

impl Calendar {
    /// The calendar of an IANA time zone.
    ///
    /// # Errors
    /// [`UnknownTimeZone`] when the database has no such name.
    pub fn named(name: &str) -> Result<Self, UnknownTimeZone> {
        Tz::from_str(name)
            .map(Self)
            .map_err(|_| UnknownTimeZone(name.to_owned()))
    }

    /// The IANA name of the time zone.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// The day on which `at` falls here.
    #[must_use]
    pub fn day_of(self, at: Timestamp) -> Day {
        Day::of(at.utc().with_timezone(&self.0).date_naive())
    }

    /// The first instant of `day` here: midnight, or, where the clock jumps over midnight, the
    /// instant of the jump.
    #[must_use]
    pub fn start_of(self, day: Day) -> Timestamp {
        let midnight = day.date().and_time(NaiveTime::MIN);
        self.first_instant(midnight)
    }

    fn first_instant(self, midnight: NaiveDateTime) -> Timestamp {
        // A zone skips at most one whole day (Pacific/Apia left out 2011-12-30), in jumps that
        // are multiples of a minute in every year in which a jump happened at midnight.
        const MINUTES_TO_TRY: i64 = 2 * 24 * 60;
        for minute in 0..=MINUTES_TO_TRY {
            match self
                .0
                .from_local_datetime(&(midnight + TimeDelta::minutes(minute)))
            {
                LocalResult::Single(instant) | LocalResult::Ambiguous(instant, _) => {
                    return Timestamp::from_micros(instant.timestamp_micros());
                }
                LocalResult::None => {}
            }
        }
        Timestamp::from_micros(midnight.and_utc().timestamp_micros())
    }
}

impl Day {
    /// 0001-01-02, the earliest day.
    pub const MIN: Self = Self(-719_161);
    /// 9999-12-30, the latest day.
    pub const MAX: Self = Self(2_932_895);

    /// The day `days` after 1970-01-01, clamped to the range of the type.
    #[must_use]
    pub const fn from_days(days: i32) -> Self {
        if days < Self::MIN.0 {
            Self::MIN
        } else if days > Self::MAX.0 {
            Self::MAX
        } else {
            Self(days)
        }
    }

    /// Days since 1970-01-01.
    #[must_use]
    pub const fn days(self) -> i32 {
        self.0
    }

    /// The day with this year, month (1 to 12) and day of month (1 to 31).
    ///
    /// # Errors
    /// [`InvalidDay`] when there is no such date, such as 29 February in a common year.
    pub fn from_ymd(year: i32, month: u32, day: u32) -> Result<Self, InvalidDay> {
        NaiveDate::from_ymd_opt(year, month, day)
            .map(Self::of)
            .ok_or(InvalidDay)
    }

    /// Reads `YYYY-MM-DD`.
    ///
    /// # Errors
    /// [`InvalidDay`] when the text is anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidDay> {
        NaiveDate::parse_from_str(text, "%Y-%m-%d")
            .map(Self::of)
            .map_err(|_| InvalidDay)
    }

    /// The day `days` later (earlier when negative), clamped to the range of the type.
    #[must_use]
    pub const fn plus_days(self, days: i32) -> Self {
        Self::from_days(self.0.saturating_add(days))
    }

    /// The birthday `years` after this day of birth; who is born on 29 February has it on
    /// 1 March in common years (rule R13).
    #[must_use]
    pub fn birthday(self, years: i32) -> Self {
        let born = self.date();
        let year = born.year().saturating_add(years);
        NaiveDate::from_ymd_opt(year, born.month(), born.day())
            .or_else(|| NaiveDate::from_ymd_opt(year, 3, 1))
            .map_or(Self::MAX, Self::of)
    }

    fn of(date: NaiveDate) -> Self {
        Self::from_days(date.to_epoch_days())
    }

    fn date(self) -> NaiveDate {
        NaiveDate::from_epoch_days(self.0).expect("years 1 to 9999 lie within the range of chrono")
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.date().format("%Y-%m-%d"))
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Day({self})")
    }
}

impl FromStr for Day {
    type Err = InvalidDay;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    #[test]
    fn a_shanghai_day_begins_at_sixteen_hundred_utc_of_the_day_before() {
        let shanghai = Calendar::default();
        assert_eq!(shanghai.name(), "Asia/Shanghai");
        assert_eq!(
            shanghai.start_of(day("2026-03-02")),
            at("2026-03-01T16:00:00Z")
        );
        assert_eq!(
            shanghai.day_of(at("2026-03-01T15:59:59.999999Z")),
            day("2026-03-01")
        );
        assert_eq!(
            shanghai.day_of(at("2026-03-01T16:00:00Z")),
            day("2026-03-02")
        );
    }

    #[test]
    fn a_day_whose_midnight_is_skipped_begins_at_the_jump() {
        let sao_paulo = Calendar::named("America/Sao_Paulo").unwrap();
        assert_eq!(
            sao_paulo.start_of(day("2018-11-04")),
            at("2018-11-04T03:00:00Z")
        );
        let apia = Calendar::named("Pacific/Apia").unwrap();
        assert_eq!(
            apia.start_of(day("2011-12-30")),
            apia.start_of(day("2011-12-31"))
        );
    }

    #[test]
    fn a_day_whose_midnight_comes_twice_begins_at_the_first() {
        let havana = Calendar::named("America/Havana").unwrap();
        assert_eq!(
            havana.start_of(day("2025-11-02")),
            at("2025-11-02T04:00:00Z")
        );
    }

    #[test]
    fn the_range_ends_where_every_conversion_still_works() {
        assert_eq!(Day::MIN.to_string(), "0001-01-02");
        assert_eq!(Day::MAX.to_string(), "9999-12-30");
        for zone in ["Asia/Shanghai", "Pacific/Kiritimati", "Pacific/Midway"] {
            let calendar = Calendar::named(zone).unwrap();
            for end in [Day::MIN, Day::MAX] {
                let _ = calendar.start_of(end);
            }
            for end in [Timestamp::MIN, Timestamp::MAX] {
                let _ = calendar.day_of(end);
            }
        }
        assert_eq!(Day::MAX.plus_days(i32::MAX), Day::MAX);
        assert_eq!(Day::MAX.birthday(14), Day::MAX);
    }

    #[test]
    fn who_is_born_on_a_leap_day_has_the_birthday_on_the_first_of_march() {
        assert_eq!(day("2012-02-29").birthday(14), day("2026-03-01"));
        assert_eq!(day("2012-02-29").birthday(16), day("2028-02-29"));
        assert_eq!(day("2012-03-05").birthday(14), day("2026-03-05"));
    }

    #[test]
    fn texts_that_are_no_day_or_no_zone_are_refused() {
        assert_eq!(Day::parse("2026-02-29"), Err(InvalidDay));
        assert_eq!(Day::parse("2026-03-01T00:00:00Z"), Err(InvalidDay));
        let error = Calendar::named("Asia/Peking").unwrap_err();
        assert!(error.to_string().contains("Asia/Shanghai"), "{error}");
    }
}
