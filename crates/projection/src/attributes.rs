//! Latest-wins merges of accounts, contacts and subscriptions.
//!
//! Each attribute is merged by itself, so that an event which tells one attribute leaves the others alone. An attribute
//! last told after the evaluation time is null: its earlier value is not kept here.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field};
use assent_consent::Timestamp;

use crate::groups::{NOBODY, Rows, lengths, strings};
use crate::layout::{Layout, Part, id};
use crate::members::{MEMBER, member_array};
use crate::merge::{columns, pick, values};
use crate::{Error, Groups, Table};

/// What is to be finished of a table of attributes.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    /// Their names, in any order; others need not be in the batches.
    pub wanted: &'a [&'a str],
    /// The evaluation time; `None` when nothing in the snapshot is later ([`crate::Manifest::latest`]).
    pub until: Option<Timestamp>,
}

impl Attributes<'_> {
    fn of<'l>(&self, layout: &'l Layout) -> (Vec<&'l Part>, Option<i64>) {
        let wanted = |part: &&Part| self.wanted.contains(&part.column.as_str());
        let parts = layout.parts.iter().filter(wanted).collect();
        (parts, self.until.map(Timestamp::micros))
    }
}

/// The same as [`contacts`] or [`subscriptions`], without `member`, for rows that are not merged: nothing of their subjects
/// lies elsewhere. One row per row, in their order; a file holds one for each subject and key. Of told values only the
/// value is needed, and its time where there is an `until`.
///
/// # Errors
/// [`Error::Shape`] when the batch lacks a column, or the table is another.
pub fn whole(
    table: Table,
    rows: &RecordBatch,
    attributes: Attributes<'_>,
) -> Result<RecordBatch, Error> {
    let layout = match table {
        Table::Contacts => Layout::contacts(),
        Table::Subscriptions => Layout::subscriptions(),
        Table::Members | Table::Events | Table::Accounts => {
            return Err(Error::shape(format!(
                "{table} is no table of attributes of people"
            )));
        }
    };
    let key = Field::new(layout.key, DataType::Utf8, false);
    let keys: ArrayRef = Arc::new(strings(rows, layout.key)?.clone());
    let (parts, until) = attributes.of(&layout);
    let each = Rows::each(rows.num_rows());
    values(
        vec![key],
        vec![keys],
        &parts,
        std::slice::from_ref(rows),
        &each,
        until,
    )
}

/// One row per account: `account`, then those wanted of `name`, `industry`, `size_band`, `country`; sorted by account.
///
/// What an account is like was told by events of subjects; rows that `groups` leaves out take no part. To whom the
/// others belong does not matter here.
///
/// # Errors
/// [`Error::Shape`] when a batch lacks a column.
pub fn accounts(
    partials: &[RecordBatch],
    groups: &Groups,
    attributes: Attributes<'_>,
) -> Result<RecordBatch, Error> {
    let layout = Layout::accounts();
    let keys = key_columns(partials, &layout)?;
    let rows = Rows::numbered(&lengths(partials), |batch, row| {
        (groups.rows.of[batch][row] != NOBODY).then(|| keys[batch].value(row))
    });
    merged(partials, &layout, &rows, None, attributes)
}

/// One row per member and account: `member`, `account`, then those wanted of `role`, `buying_role`, `department`, `left`;
/// sorted by the number of the group, then account.
///
/// # Errors
/// [`Error::Shape`] when a batch lacks a column.
pub fn contacts(
    partials: &[RecordBatch],
    groups: &Groups,
    attributes: Attributes<'_>,
) -> Result<RecordBatch, Error> {
    per_member(partials, groups, &Layout::contacts(), attributes)
}

/// One row per member and subscription: `member`, `subscription`, then those wanted of `plan`, `status`, `started_at`,
/// `renews_at`, `ends_at`, `amount`, `currency`; sorted by the number of the group, then subscription.
///
/// # Errors
/// [`Error::Shape`] when a batch lacks a column.
pub fn subscriptions(
    partials: &[RecordBatch],
    groups: &Groups,
    attributes: Attributes<'_>,
) -> Result<RecordBatch, Error> {
    per_member(partials, groups, &Layout::subscriptions(), attributes)
}

fn per_member(
    partials: &[RecordBatch],
    groups: &Groups,
    layout: &Layout,
    attributes: Attributes<'_>,
) -> Result<RecordBatch, Error> {
    let keys = key_columns(partials, layout)?;
    let rows = Rows::numbered(&lengths(partials), |batch, row| {
        let group = groups.rows.of[batch][row];
        (group != NOBODY).then(|| (group, keys[batch].value(row)))
    });
    merged(partials, layout, &rows, Some(groups), attributes)
}

fn key_columns<'b>(
    partials: &'b [RecordBatch],
    layout: &Layout,
) -> Result<Vec<&'b arrow::array::StringArray>, Error> {
    let texts = partials.iter().map(|batch| strings(batch, layout.key));
    texts.collect()
}

fn merged(
    partials: &[RecordBatch],
    layout: &Layout,
    rows: &Rows,
    groups: Option<&Groups>,
    attributes: Attributes<'_>,
) -> Result<RecordBatch, Error> {
    let first = rows.representatives();
    let mut fields = Vec::new();
    let mut arrays = Vec::new();
    if let Some(groups) = groups {
        let members: Vec<_> = first
            .iter()
            .map(|(batch, row)| groups.members()[groups.rows.of[*batch][*row] as usize])
            .collect();
        fields.push(Field::new(MEMBER, id(), false));
        arrays.push(member_array(&members)?);
    }
    fields.push(Field::new(layout.key, DataType::Utf8, false));
    arrays.push(if first.is_empty() {
        arrow::array::new_empty_array(&DataType::Utf8)
    } else {
        pick(&columns(partials, layout.key)?, &first)?
    });
    let (parts, until) = attributes.of(layout);
    values(fields, arrays, &parts, partials, rows, until)
}
