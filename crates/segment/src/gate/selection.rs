//! Which rows of a file are read: runs of subjects in, runs of rows out.
//!
//! Rows are named by their number within the file. Nothing else decides what is read: no statistics, no index, no
//! predicate of the query takes part, so what a query asks can never change which denied rows are looked at (none).

use std::ops::Range;
use std::sync::OnceLock;

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

/// The rows of one row group that are read, in file order. Rows behind the last one are not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    /// The row group.
    pub(crate) group: usize,
    /// The runs that are read, split at the borders of the row group.
    pub(crate) picks: Vec<Run>,
    /// At which row of the group each pick begins. A row group has fewer rows than that counts.
    starts: Vec<u32>,
    /// How many rows are read.
    pub(crate) rows: usize,
    /// The member of each pick, as text, from when it is first asked for.
    members: OnceLock<Vec<MemberText>>,
}

/// The id of a member in hexadecimal digits.
pub(crate) type MemberText = [u8; 32];

impl Selection {
    fn of_group(group: usize) -> Self {
        Self {
            group,
            ..Self::default()
        }
    }

    /// Picks a run that begins at this row of the group.
    fn pick(&mut self, start: u32, run: Run) {
        self.rows += run.rows as usize;
        self.starts.push(start);
        self.picks.push(run);
    }

    fn shrink_to_fit(&mut self) {
        self.starts.shrink_to_fit();
        self.picks.shrink_to_fit();
    }

    /// The member of each pick, as text: by `member_of`, which is asked once.
    ///
    /// # Errors
    /// Those of `members_of`.
    pub(crate) fn members<E>(
        &self,
        members_of: impl FnOnce(&[Run]) -> Result<Vec<MemberText>, E>,
    ) -> Result<&[MemberText], E> {
        match self.members.get() {
            Some(members) => Ok(members),
            None => {
                let members = members_of(&self.picks)?;
                Ok(self.members.get_or_init(|| members))
            }
        }
    }

    /// The same as the Parquet reader wants it.
    pub(crate) fn to_parquet(&self) -> RowSelection {
        let mut selectors: Vec<RowSelector> = Vec::new();
        let mut passed = 0;
        for (start, run) in self.starts.iter().zip(&self.picks) {
            let (start, rows) = (*start as usize, run.rows as usize);
            if start > passed {
                selectors.push(RowSelector::skip(start - passed));
                selectors.push(RowSelector::select(rows));
            } else {
                match selectors.last_mut() {
                    Some(last) => last.row_count += rows,
                    None => selectors.push(RowSelector::select(rows)),
                }
            }
            passed = start + rows;
        }
        RowSelection::from(selectors)
    }
}

/// Deals the runs of a file to so many readers, in one pass: for each, a selection per row group from which it reads.
/// `reader_of` names the reader of a run, below `readers`, or nobody; `groups` are the row counts of the row groups.
pub(crate) fn deal(
    runs: &[Run],
    groups: &[u32],
    readers: usize,
    mut reader_of: impl FnMut(Run) -> Option<usize>,
) -> Vec<Vec<Selection>> {
    let mut dealt: Vec<Vec<Selection>> = vec![Vec::new(); readers];
    let (mut group, mut start) = (0, 0);
    'file: for run in runs {
        let reader = Some(*run)
            .filter(|run| run.number != UNKNOWN)
            .and_then(&mut reader_of)
            .and_then(|reader| dealt.get_mut(reader));
        let mut of_reader = reader;
        let mut rows = run.rows;
        while rows > 0 {
            let Some(size) = groups.get(group) else {
                // More subjects than rows: the caller has compared the two counts, so this is unreachable.
                break 'file;
            };
            if start == *size {
                (group, start) = (group + 1, 0);
                continue;
            }
            let part = rows.min(size - start);
            if let Some(selections) = &mut of_reader {
                if selections.last().is_none_or(|last| last.group != group) {
                    selections.push(Selection::of_group(group));
                }
                if let Some(last) = selections.last_mut() {
                    last.pick(start, Run { rows: part, ..*run });
                }
            }
            start += part;
            rows -= part;
        }
    }
    // They may be kept for long.
    for selection in dealt.iter_mut().flatten() {
        selection.shrink_to_fit();
    }
    dealt
}

/// Walks the picks of a selection in step with the batches that the reader returns.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    picks: &'a [Run],
    passed: usize,
    /// Rows of the next pick that were seen.
    used: u32,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(picks: &'a [Run]) -> Self {
        Self {
            picks,
            passed: 0,
            used: 0,
        }
    }

    /// How many picks were seen to their end.
    pub(crate) const fn passed(&self) -> usize {
        self.passed
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
                self.passed += 1;
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
        let dealt = deal(&runs, &[4, 4, 2], 1, |run| (run.number != 3).then_some(0));
        let [got] = &dealt[..] else {
            panic!("one reader");
        };
        assert_eq!(got.len(), 3);
        assert_eq!(got[0].picks, vec![run(1, 3)]);
        assert_eq!(got[1].picks, vec![run(2, 3)]);
        assert_eq!(got[2].picks, vec![run(2, 1)]);
        assert_eq!(got[1].to_parquet().row_count(), 3);
        assert_eq!(got[1].to_parquet().skipped_row_count(), 1);
        assert_eq!(got[2].to_parquet().skipped_row_count(), 0);
    }

    #[test]
    fn each_reader_gets_its_runs_and_nothing_between_them() {
        let runs = [run(1, 2), run(2, 1), run(1, 1), run(3, 2), run(4, 3)];
        let dealt = deal(&runs, &[6, 3], 3, |run| match run.number {
            1 => Some(2),
            2 | 4 => Some(0),
            _ => None,
        });
        let read = |reader: usize| -> Vec<(usize, Vec<Run>)> {
            let selections = dealt[reader].iter();
            selections
                .map(|one| (one.group, one.picks.clone()))
                .collect()
        };
        assert_eq!(read(0), [(0, vec![run(2, 1)]), (1, vec![run(4, 3)])]);
        assert_eq!(read(1), []);
        assert_eq!(read(2), [(0, vec![run(1, 2), run(1, 1)])]);
        let selectors: Vec<RowSelector> = dealt[2][0].to_parquet().into();
        let expected = [
            RowSelector::select(2),
            RowSelector::skip(1),
            RowSelector::select(1),
        ];
        assert_eq!(selectors, expected);
    }

    #[test]
    fn an_unknown_subject_is_never_asked_about() {
        let got = deal(&[run(UNKNOWN, 5)], &[5], 1, |_| Some(0));
        assert_eq!(got, [vec![]]);
    }

    #[test]
    fn a_walk_follows_batches_and_notices_a_row_too_many() {
        let picks = [run(1, 3), run(2, 2)];
        let mut walk = Walk::new(&picks);
        assert_eq!(walk.next(2), Some(vec![(1, 0..2)]));
        assert_eq!(walk.passed(), 0, "its last row is still to come");
        assert_eq!(walk.next(2), Some(vec![(1, 0..1), (2, 1..2)]));
        assert_eq!(walk.passed(), 1);
        assert!(!walk.is_finished());
        assert_eq!(walk.next(1), Some(vec![(2, 0..1)]));
        assert!(walk.is_finished());
        assert_eq!(walk.next(1), None);
    }
}
