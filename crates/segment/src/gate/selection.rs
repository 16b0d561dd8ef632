//! Which rows of a file are read: runs of subjects in, runs of rows out.
//!
//! Rows are named by their number within the file. Nothing else decides what is read: no statistics, no index, no
//! predicate of the query takes part, so what a query asks can never change which denied rows are looked at (none).

use std::ops::Range;

use parquet::arrow::arrow_reader::{RowSelection, RowSelector};

/// Adjacent rows of one subject, by the subject's internal number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// The subject's number in the permit index, or [`UNKNOWN`].
    pub(crate) number: u32,
    /// How many rows; never 0.
    pub(crate) rows: u32,
}

/// The number of a subject that the permit index has never heard of: denied (I5).
pub(crate) const UNKNOWN: u32 = u32::MAX;

/// The rows of one row group that are read, in file order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    /// The runs that are read, split at the borders of the row group.
    pub(crate) picks: Vec<Run>,
    selectors: Vec<RowSelector>,
    /// How many rows are read.
    pub(crate) rows: usize,
}

impl Selection {
    fn skip(&mut self, rows: usize) {
        match self.selectors.last_mut() {
            Some(last) if last.skip => last.row_count += rows,
            _ => self.selectors.push(RowSelector::skip(rows)),
        }
    }

    fn pick(&mut self, run: Run) {
        let rows = run.rows as usize;
        match self.selectors.last_mut() {
            Some(last) if !last.skip => last.row_count += rows,
            _ => self.selectors.push(RowSelector::select(rows)),
        }
        self.rows += rows;
        self.picks.push(run);
    }

    /// The same as the Parquet reader wants it.
    pub(crate) fn to_parquet(&self) -> RowSelection {
        RowSelection::from(self.selectors.clone())
    }
}

/// Selects the runs for which `lawful` holds, one selection per row group (`groups` are their row counts).
pub(crate) fn select(
    runs: &[Run],
    groups: &[usize],
    mut lawful: impl FnMut(usize, Run) -> bool,
) -> Vec<Selection> {
    let mut selections = Vec::with_capacity(groups.len());
    let mut groups = groups.iter().copied();
    let mut left = groups.next().unwrap_or(0);
    let mut selection = Selection::default();
    for (index, run) in runs.iter().enumerate() {
        let chosen = run.number != UNKNOWN && lawful(index, *run);
        let mut rows = run.rows as usize;
        while rows > 0 {
            if left == 0 {
                selections.push(std::mem::take(&mut selection));
                match groups.next() {
                    Some(next) => left = next,
                    // More subjects than rows: the caller has compared the two counts, so this is unreachable.
                    None => return selections,
                }
                continue;
            }
            let part = rows.min(left);
            if chosen {
                selection.pick(Run {
                    number: run.number,
                    rows: u32::try_from(part).unwrap_or(u32::MAX),
                });
            } else {
                selection.skip(part);
            }
            rows -= part;
            left -= part;
        }
    }
    selections.push(selection);
    selections
}

/// Walks the picks of a selection in step with the batches that the reader returns.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    picks: &'a [Run],
    used: u32,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(picks: &'a [Run]) -> Self {
        Self { picks, used: 0 }
    }

    /// The subjects of the next `rows` rows: each with its rows within the batch. `None` when the reader returned more
    /// rows than were selected, which must stop the query.
    pub(crate) fn next(&mut self, rows: usize) -> Option<Vec<(u32, Range<usize>)>> {
        let mut spans = Vec::new();
        let mut start = 0;
        while start < rows {
            let first = self.picks.first()?;
            let available = (first.rows - self.used) as usize;
            let taken = available.min(rows - start);
            spans.push((first.number, start..start + taken));
            start += taken;
            if taken == available {
                self.picks = &self.picks[1..];
                self.used = 0;
            } else {
                self.used += u32::try_from(taken).unwrap_or(u32::MAX);
            }
        }
        Some(spans)
    }

    /// Whether every selected row was seen.
    pub(crate) fn is_finished(&self) -> bool {
        self.picks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: u32, rows: u32) -> Run {
        Run { number, rows }
    }

    #[test]
    fn selections_are_cut_at_row_groups() {
        let runs = [run(1, 3), run(UNKNOWN, 2), run(2, 4), run(3, 1)];
        let got = select(&runs, &[4, 4, 2], |_, run| run.number != 3);
        assert_eq!(got.len(), 3);
        assert_eq!(got[0].picks, vec![run(1, 3)]);
        assert_eq!(got[1].picks, vec![run(2, 3)]);
        assert_eq!(got[2].picks, vec![run(2, 1)]);
        assert_eq!(got[1].to_parquet().row_count(), 3);
        assert_eq!(got[1].to_parquet().skipped_row_count(), 1);
        assert_eq!(got[2].to_parquet().skipped_row_count(), 1);
    }

    #[test]
    fn an_unknown_subject_is_never_asked_about() {
        let got = select(&[run(UNKNOWN, 5)], &[5], |_, _| true);
        assert_eq!(got[0].rows, 0);
    }

    #[test]
    fn a_walk_follows_batches_and_notices_a_row_too_many() {
        let picks = [run(1, 3), run(2, 2)];
        let mut walk = Walk::new(&picks);
        assert_eq!(walk.next(2), Some(vec![(1, 0..2)]));
        assert_eq!(walk.next(2), Some(vec![(1, 0..1), (2, 1..2)]));
        assert!(!walk.is_finished());
        assert_eq!(walk.next(1), Some(vec![(2, 0..1)]));
        assert!(walk.is_finished());
        assert_eq!(walk.next(1), None);
    }
}
