//! The oracle of shops: reads the purchases from the file itself and says what is true of each customer on a day.
//!
//! It shares no code with the product. Whole cents, days counted by hand, nothing clever.

use std::collections::BTreeMap;
use std::path::Path;

/// Seconds that clocks in Shanghai are ahead of UTC; in 1997 and 1998 without summer time.
const SHANGHAI: i64 = 8 * 3_600;

/// How a file of purchases is written.
pub(crate) struct FileForm {
    pub(crate) delimiter: u8,
    pub(crate) customer: &'static str,
    pub(crate) date: &'static str,
    pub(crate) amount: &'static str,
    /// Whether dates are `31.12.1997` rather than `1997-12-31`.
    pub(crate) day_first: bool,
}

/// One purchase.
#[derive(Clone, Copy)]
pub(crate) struct Purchase {
    /// Days since 1970-01-01.
    pub(crate) day: i64,
    pub(crate) cents: i64,
}

/// Purchases by customer.
pub(crate) struct Shop {
    pub(crate) customers: BTreeMap<String, Vec<Purchase>>,
}

/// What is true of a customer on a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) purchases: i64,
    pub(crate) purchases_90d: i64,
    pub(crate) cents: i64,
    pub(crate) cents_365d: i64,
    pub(crate) first_day: i64,
    pub(crate) last_day: i64,
    pub(crate) days_since_last: i64,
    pub(crate) largest_cents: i64,
}

impl Shop {
    pub(crate) fn read(file: &Path, form: &FileForm) -> Self {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(form.delimiter)
            .from_path(file)
            .unwrap();
        let header = reader.headers().unwrap().clone();
        let place = |name: &str| header.iter().position(|column| column == name).unwrap();
        let (customer, date, amount) = (place(form.customer), place(form.date), place(form.amount));
        let mut customers: BTreeMap<String, Vec<Purchase>> = BTreeMap::new();
        for record in reader.records() {
            let record = record.unwrap();
            customers
                .entry(record[customer].to_owned())
                .or_default()
                .push(Purchase {
                    day: day(&record[date], form.day_first),
                    cents: cents(&record[amount]),
                });
        }
        Self { customers }
    }

    pub(crate) fn purchases(&self) -> usize {
        self.customers.values().map(Vec::len).sum()
    }
}

impl Figures {
    /// Of a customer who bought at least once; all purchases lie on or before the day.
    pub(crate) fn of(purchases: &[Purchase], today: i64) -> Self {
        // A window of N days is today and the N - 1 days before it.
        let within = |days: i64| {
            purchases
                .iter()
                .filter(move |purchase| today - purchase.day < days)
        };
        let last_day = purchases.iter().map(|purchase| purchase.day).max().unwrap();
        assert!(last_day <= today, "the oracle does not look back");
        Self {
            purchases: purchases.len() as i64,
            purchases_90d: within(90).count() as i64,
            cents: purchases.iter().map(|purchase| purchase.cents).sum(),
            cents_365d: within(365).map(|purchase| purchase.cents).sum(),
            first_day: purchases.iter().map(|purchase| purchase.day).min().unwrap(),
            last_day,
            days_since_last: today - last_day,
            largest_cents: purchases
                .iter()
                .map(|purchase| purchase.cents)
                .max()
                .unwrap(),
        }
    }
}

/// The day in Shanghai on which an instant lies, both counted from 1970.
pub(crate) fn day_of(seconds: i64) -> i64 {
    (seconds + SHANGHAI).div_euclid(86_400)
}

/// When a day begins in Shanghai.
pub(crate) fn start_of(day: i64) -> i64 {
    day * 86_400 - SHANGHAI
}

/// A day of the calendar, counted from 1970-01-01 by walking there.
pub(crate) fn days_from(year: i64, month: i64, day: i64) -> i64 {
    let leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let whole_years: i64 = (1970..year)
        .map(|year| if leap(year) { 366 } else { 365 })
        .sum();
    let lengths = [
        31,
        if leap(year) { 29 } else { 28 },
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let whole_months: i64 = lengths.iter().take(month as usize - 1).sum();
    whole_years + whole_months + day - 1
}

fn day(text: &str, day_first: bool) -> i64 {
    let mut parts: Vec<i64> = text
        .split(['-', '.'])
        .map(|part| part.parse().unwrap())
        .collect();
    if day_first {
        parts.reverse();
    }
    days_from(parts[0], parts[1], parts[2])
}

/// `12`, `12.5` and `12.50` are 1,250 and 1,200 cents.
fn cents(text: &str) -> i64 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    assert!(fraction.len() <= 2, "a purchase of fractions of a cent");
    let fraction = format!("{fraction:0<2}");
    whole.parse::<i64>().unwrap() * 100 + fraction.parse::<i64>().unwrap()
}

#[test]
fn the_oracle_can_count_days_and_cents() {
    assert_eq!(days_from(1970, 1, 1), 0);
    assert_eq!(days_from(1997, 1, 1), 9_862);
    assert_eq!(days_from(1998, 7, 1), 10_408);
    assert_eq!(days_from(2000, 3, 1), 11_017);
    assert_eq!(day("01.07.1998", true), 10_408);
    assert_eq!(day_of(start_of(10_408)), 10_408);
    assert_eq!(day_of(start_of(10_408) - 1), 10_407);
    assert_eq!(
        (cents("12"), cents("12.5"), cents("0.07")),
        (1_200, 1_250, 7)
    );
}
