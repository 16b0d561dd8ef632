//! How an import ended, on standard error.

use std::collections::BTreeMap;
use std::path::Path;

use assent_server::{ImportCounts, ImportProgress};

use crate::failure::Failure;

/// Reasons to reject that are told; the file has all of them.
const TOP: usize = 3;

/// Prints what became of the file. Rows that were rejected are a failure of their own kind.
pub fn tell(last: &ImportProgress, rejects: &Path) -> Result<(), Failure> {
    if let Some(error) = &last.error {
        return Err(stopped(last, error));
    }
    for line in lines(last) {
        eprintln!("{line}");
    }
    let counts = last.counts;
    if counts.rejected == 0 {
        return Ok(());
    }
    let mut told = vec![format!(
        "rejected rows, with line and reason: {}",
        rejects.display()
    )];
    told.extend(most_frequent(&last.reasons).into_iter().take(TOP));
    if counts.journalled + counts.duplicates == 0 {
        told.insert(0, "nothing was taken: every row was rejected".to_owned());
        return Err(Failure::failed(told.join("\n")));
    }
    told.insert(0, "not all of the file was taken".to_owned());
    Err(Failure::incomplete(told.join("\n")))
}

/// An import that stopped before the end of its file.
fn stopped(last: &ImportProgress, error: &str) -> Failure {
    if last.usage {
        return Failure::usage(error);
    }
    if last.resumable {
        return Failure::failed(format!(
            "{error}\nEverything up to row {} is in; run the same command again to go on from there.",
            last.counts.rows
        ));
    }
    Failure::failed(error)
}

/// What this run did, what was done before it, and what to know about it.
fn lines(last: &ImportProgress) -> Vec<String> {
    let earlier = last.earlier;
    let mut lines = Vec::new();
    if last.finished_before {
        lines.push(format!(
            "0 new, {} already there: all {} rows came in before under this mapping, {} were rejected; --restart sends \
             them again",
            taken(&earlier),
            earlier.rows,
            earlier.rejected
        ));
    } else {
        if earlier.rows > 0 {
            lines.push(format!(
                "earlier runs: {} rows: {} events taken, {} rows rejected",
                earlier.rows,
                taken(&earlier),
                earlier.rejected
            ));
        }
        lines.extend(this_run(last));
    }
    let at = |text: &str| last.warning_lines.get(text).map_or(&[][..], Vec::as_slice);
    let warnings = by_frequency(&last.warnings);
    lines.extend(warnings.into_iter().map(|(count, text)| {
        let places = places(at(text), count);
        format!("{count} × {text}{places}")
    }));
    lines.extend(last.hints.iter().map(|hint| format!("hint: {hint}")));
    lines
}

fn this_run(last: &ImportProgress) -> Vec<String> {
    let (all, earlier) = (last.counts, last.earlier);
    let rows = all.rows.saturating_sub(earlier.rows);
    let journalled = all.journalled.saturating_sub(earlier.journalled);
    let recognised = all.duplicates.saturating_sub(earlier.duplicates);
    let rejected = all.rejected.saturating_sub(earlier.rejected);
    let which = if earlier.rows > 0 { "this run: " } else { "" };
    let mut lines = Vec::new();
    let there = match last.repeated {
        Some(repeated) => {
            let there = recognised + repeated;
            let new = journalled.saturating_sub(repeated);
            lines.push(format!(
                "{which}{rows} rows: {new} events new, {there} already there, {rejected} rows rejected"
            ));
            there
        }
        None => {
            lines.push(format!(
                "{which}{rows} rows: {journalled} events journalled, {recognised} already there, {rejected} rows \
                 rejected"
            ));
            if journalled > 0 {
                lines.push(
                    "whether any of those journalled was there already is found where profiles are built: it counts \
                     once"
                        .to_owned(),
                );
            }
            recognised
        }
    };
    if there > 0 {
        lines.push(
            "what was there already stays as it was, also where a row of the same key says something else now: a \
             corrected row comes in under another key only, from a file of corrected rows alone"
                .to_owned(),
        );
    }
    lines
}

fn taken(counts: &ImportCounts) -> u64 {
    counts.journalled + counts.duplicates
}

/// The first lines of so many, as ` (lines 2, 5, 9 and others)`.
fn places(lines: &[u64], count: u64) -> String {
    let named: Vec<String> = lines.iter().map(u64::to_string).collect();
    let others = if count > named.len() as u64 {
        " and others"
    } else {
        ""
    };
    match named.as_slice() {
        [] => String::new(),
        [one] if others.is_empty() => format!(" (line {one})"),
        many => format!(" (lines {}{others})", many.join(", ")),
    }
}

/// What was counted as `N × text`, the most frequent first.
fn most_frequent(counts: &BTreeMap<String, u64>) -> Vec<String> {
    let counts = by_frequency(counts).into_iter();
    counts
        .map(|(count, text)| format!("{count} × {text}"))
        .collect()
}

fn by_frequency(counts: &BTreeMap<String, u64>) -> Vec<(u64, &str)> {
    let counts = counts.iter().map(|(text, count)| (*count, text.as_str()));
    let mut counts: Vec<(u64, &str)> = counts.collect();
    counts.sort_by_key(|(count, text)| (std::cmp::Reverse(*count), *text));
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    fn end(last: &ImportProgress) -> Option<Failure> {
        tell(last, Path::new("rejects.csv")).err()
    }

    fn counts(rows: u64, journalled: u64, duplicates: u64, rejected: u64) -> ImportCounts {
        ImportCounts {
            rows,
            journalled,
            duplicates,
            rejected,
        }
    }

    #[test]
    fn only_what_can_go_on_says_so() {
        let stop = |usage, resumable| {
            let last = ImportProgress {
                error: Some("why".to_owned()),
                counts: counts(7, 7, 0, 0),
                usage,
                resumable,
                ..ImportProgress::default()
            };
            let failure = end(&last).unwrap();
            (failure.exit, failure.message.contains("up to row 7"))
        };
        assert_eq!(stop(true, false), (Exit::Usage, false));
        assert_eq!(stop(false, false), (Exit::Failed, false));
        assert_eq!(stop(false, true), (Exit::Failed, true));
    }

    #[test]
    fn rejected_rows_are_told_by_the_status_and_the_most_frequent_reasons() {
        let reasons = [("a", 1), ("b", 2), ("c", 3), ("d", 4)];
        let mut last = ImportProgress {
            counts: counts(10, 0, 0, 10),
            reasons: reasons.map(|(text, n)| (text.to_owned(), n)).into(),
            ..ImportProgress::default()
        };
        let failure = end(&last).unwrap();
        assert_eq!(failure.exit, Exit::Failed);
        let reasons: Vec<&str> = failure.message.lines().skip(2).collect();
        assert_eq!(reasons, ["4 × d", "3 × c", "2 × b"]);
        last.counts.journalled = 1;
        assert_eq!(end(&last).unwrap().exit, Exit::Incomplete);
        // The same command again has the same status.
        last.earlier = last.counts;
        last.finished_before = true;
        assert_eq!(end(&last).unwrap().exit, Exit::Incomplete);
        last.counts.rejected = 0;
        assert!(end(&last).is_none());
    }

    #[test]
    fn new_and_already_there_are_told_apart_and_runs_too() {
        let mut last = ImportProgress {
            counts: counts(10, 8, 1, 1),
            repeated: Some(3),
            ..ImportProgress::default()
        };
        let told = lines(&last);
        assert_eq!(
            told[0],
            "10 rows: 5 events new, 4 already there, 1 rows rejected"
        );
        assert!(told[1].contains("another key"), "{told:?}");
        last.repeated = None;
        let told = lines(&last);
        assert_eq!(
            told[0],
            "10 rows: 8 events journalled, 1 already there, 1 rows rejected"
        );
        assert!(told[1].contains("where profiles are built"), "{told:?}");

        last.earlier = counts(6, 5, 0, 1);
        last.repeated = Some(0);
        assert_eq!(
            lines(&last)[..2],
            [
                "earlier runs: 6 rows: 5 events taken, 1 rows rejected",
                "this run: 4 rows: 3 events new, 1 already there, 0 rows rejected",
            ]
        );
        last.earlier = last.counts;
        last.finished_before = true;
        let told = lines(&last);
        assert!(
            told.len() == 1 && told[0].starts_with("0 new, 9 already there: all 10 rows"),
            "{told:?}"
        );
    }

    #[test]
    fn warnings_name_their_first_lines() {
        assert_eq!(places(&[], 3), "");
        assert_eq!(places(&[4], 1), " (line 4)");
        assert_eq!(places(&[4], 2), " (lines 4 and others)");
        assert_eq!(places(&[2, 4], 2), " (lines 2, 4)");
        assert_eq!(places(&[2, 4], 7), " (lines 2, 4 and others)");
    }
}
