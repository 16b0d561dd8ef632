//! Which rows belong together: the grouping of partial rows before they are merged.

use std::collections::HashMap;

use arrow::array::{AsArray, FixedSizeBinaryArray, RecordBatch, StringArray};
use assent_consent::SubjectId;

use crate::Error;
use crate::layout::SUBJECT;

/// The group of a row that takes no part.
pub(crate) const NOBODY: u32 = u32::MAX;

/// For every row of every partial batch, the number of its group; numbers are dense, from zero.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    /// Per batch, per row: the group, or [`NOBODY`].
    pub(crate) of: Vec<Vec<u32>>,
    pub(crate) count: usize,
    /// Whether there is one batch, in which each row is a group of its own, in order: nothing is to be merged.
    pub(crate) each: bool,
}

/// The grouping of partial rows of `members` (or another table) by member.
#[derive(Clone, Debug)]
pub struct Groups {
    pub(crate) rows: Rows,
    members: Vec<SubjectId>,
}

impl Groups {
    /// Every subject by itself. Groups are numbered in the order of subjects.
    ///
    /// # Errors
    /// [`Error::Shape`] when a batch has no `subject` column.
    pub fn by_subject(partials: &[RecordBatch]) -> Result<Self, Error> {
        Self::by_member(partials, Some)
    }

    /// Rows of one member together. `member_of` is asked once per distinct subject, in ascending order; `None`
    /// leaves the subject's rows out. Hashes only subjects that are not their own member, and so costs little where
    /// few are linked.
    ///
    /// # Errors
    /// [`Error::Shape`] when a batch has no `subject` column.
    pub fn by_member(
        partials: &[RecordBatch],
        mut member_of: impl FnMut(SubjectId) -> Option<SubjectId>,
    ) -> Result<Self, Error> {
        let subjects = partials
            .iter()
            .map(subjects)
            .collect::<Result<Vec<_>, _>>()?;
        let lengths = lengths(partials);
        let rows = sorted_rows(&lengths, |batch, row| {
            Some(u128::from_be_bytes(bytes_at(subjects[batch], row)))
        });
        let mut of: Vec<Vec<u32>> = lengths.iter().map(|len| vec![NOBODY; *len]).collect();
        let mut members: Vec<SubjectId> = Vec::new();
        // Subjects that speak for themselves come in ascending order; the others are few.
        let mut own: Vec<(u128, u32)> = Vec::new();
        let mut linked: HashMap<u128, u32> = HashMap::new();
        let mut current: Option<(u128, u32)> = None;
        for (subject, batch, row) in rows {
            let group = match current {
                Some((of_last, group)) if of_last == subject => group,
                _another => {
                    let group = match member_of(SubjectId::from(subject.to_be_bytes())) {
                        None => NOBODY,
                        Some(member) => {
                            let key = u128::from_be_bytes(member.to_bytes());
                            let known = linked.get(&key).copied().or_else(|| {
                                own.binary_search_by_key(&key, |(own, _)| *own)
                                    .ok()
                                    .map(|at| own[at].1)
                            });
                            known.unwrap_or_else(|| {
                                let group = members.len() as u32;
                                members.push(member);
                                if key == subject {
                                    own.push((key, group));
                                } else {
                                    linked.insert(key, group);
                                }
                                group
                            })
                        }
                    };
                    current = Some((subject, group));
                    group
                }
            };
            of[batch as usize][row as usize] = group;
        }
        let count = members.len();
        Ok(Self {
            rows: Rows::grouped(of, count),
            members,
        })
    }

    /// A grouping made by the caller: per batch and row the number of the group, an index of `members`;
    /// `u32::MAX` leaves the row out.
    ///
    /// # Errors
    /// [`Error::Shape`] when a number is out of range.
    pub fn new(rows: Vec<Vec<u32>>, members: Vec<SubjectId>) -> Result<Self, Error> {
        let count = members.len();
        if rows
            .iter()
            .flatten()
            .any(|group| *group != NOBODY && *group as usize >= count)
        {
            return Err(Error::shape("a row names a group that has no member"));
        }
        Ok(Self {
            rows: Rows::grouped(rows, count),
            members,
        })
    }

    /// The members, by number of their group.
    #[must_use]
    pub fn members(&self) -> &[SubjectId] {
        &self.members
    }
}

impl Rows {
    /// Rows that may have to be merged.
    const fn grouped(of: Vec<Vec<u32>>, count: usize) -> Self {
        Self {
            of,
            count,
            each: false,
        }
    }

    /// Each row of the one batch by itself.
    pub(crate) fn each(count: usize) -> Self {
        Self {
            of: vec![(0..count as u32).collect()],
            count,
            each: true,
        }
    }

    /// Rows of one subject and key together; numbered in the order of (subject, key).
    pub(crate) fn by_key(partials: &[RecordBatch], key: &str) -> Result<Self, Error> {
        let subjects = partials
            .iter()
            .map(subjects)
            .collect::<Result<Vec<_>, _>>()?;
        let keys = partials
            .iter()
            .map(|batch| strings(batch, key))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self::numbered(&lengths(partials), |batch, row| {
            Some((
                u128::from_be_bytes(bytes_at(subjects[batch], row)),
                keys[batch].value(row),
            ))
        }))
    }

    /// Numbers rows by their keys, in the order of the keys; a row without a key takes no part.
    pub(crate) fn numbered<K: Ord>(
        lengths: &[usize],
        key: impl Fn(usize, usize) -> Option<K>,
    ) -> Self {
        let rows = sorted_rows(lengths, key);
        let mut of: Vec<Vec<u32>> = lengths.iter().map(|len| vec![NOBODY; *len]).collect();
        let mut count = 0_u32;
        let mut last: Option<&K> = None;
        for (key, batch, row) in &rows {
            if last != Some(key) {
                count += 1;
                last = Some(key);
            }
            of[*batch as usize][*row as usize] = count - 1;
        }
        Self::grouped(of, count as usize)
    }

    /// For every group the first row that belongs to it, as (batch, row).
    pub(crate) fn representatives(&self) -> Vec<(usize, usize)> {
        let mut first = vec![(usize::MAX, usize::MAX); self.count];
        for (batch, rows) in self.of.iter().enumerate().rev() {
            for (row, group) in rows.iter().enumerate().rev() {
                if *group != NOBODY {
                    first[*group as usize] = (batch, row);
                }
            }
        }
        first
    }
}

/// All rows that have a key, sorted by it. Files are sorted already and the standard library's stable sort finds and
/// merges ascending runs, so this is a k-way merge; a single file costs one pass.
fn sorted_rows<K: Ord>(
    lengths: &[usize],
    key: impl Fn(usize, usize) -> Option<K>,
) -> Vec<(K, u32, u32)> {
    let mut rows = Vec::with_capacity(lengths.iter().sum());
    for (batch, len) in lengths.iter().enumerate() {
        rows.extend((0..*len).filter_map(|row| Some((key(batch, row)?, batch as u32, row as u32))));
    }
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    rows
}

/// Number of rows of each batch.
pub(crate) fn lengths(batches: &[RecordBatch]) -> Vec<usize> {
    batches.iter().map(RecordBatch::num_rows).collect()
}

/// The 16 bytes in that row.
pub(crate) fn bytes_at(ids: &FixedSizeBinaryArray, row: usize) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(ids.value(row));
    bytes
}

/// The `subject` column.
pub(crate) fn subjects(batch: &RecordBatch) -> Result<&FixedSizeBinaryArray, Error> {
    ids(batch, SUBJECT)
}

/// A column of ids.
pub(crate) fn ids<'b>(
    batch: &'b RecordBatch,
    name: &str,
) -> Result<&'b FixedSizeBinaryArray, Error> {
    let column = batch
        .column_by_name(name)
        .and_then(|column| column.as_fixed_size_binary_opt())
        .filter(|column| column.value_length() == 16);
    column.ok_or_else(|| Error::shape(format!("`{name}` is to be FixedSizeBinary(16)")))
}

/// A column of text.
pub(crate) fn strings<'b>(batch: &'b RecordBatch, name: &str) -> Result<&'b StringArray, Error> {
    batch
        .column_by_name(name)
        .and_then(|column| column.as_string_opt::<i32>())
        .ok_or_else(|| Error::shape(format!("`{name}` is to be Utf8")))
}
