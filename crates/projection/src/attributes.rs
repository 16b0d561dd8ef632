//! Latest-wins merges of accounts, contacts and subscriptions.
//!
//! Each attribute is merged by itself, so that an event which tells one attribute leaves the others alone. An attribute
//! last told after the evaluation time is null: its earlier value is not kept here.

use assent_consent::Timestamp;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field};

use crate::groups::{NOBODY, Rows, lengths, strings};
use crate::layout::{Layout, id};
use crate::members::{MEMBER, member_array};
use crate::merge::{columns, pick, values};
use crate::{Error, Groups};

/// One row per account: `account`, `name`, `industry`, `size_band`, `country`; sorted by account.
///
/// What an account is like was told by events of subjects; rows that `groups` leaves out take no part. To whom the
/// others belong does not matter here.
///
/// # Errors
/// [`Error::Shape`] when a batch lacks a column.
pub fn accounts(
    partials: &[RecordBatch],
    groups: &Groups,
    at: Timestamp,
) -> Result<RecordBatch, Error> {
    let layout = Layout::accounts();
    let keys = key_columns(partials, &layout)?;
    let rows = Rows::numbered(&lengths(partials), |batch, row| {
        (groups.rows.of[batch][row] != NOBODY).then(|| keys[batch].value(row))
    });
    merged(partials, &layout, &rows, None, at)
}

/// One row per member and account: `member`, `account`, `role`, `buying_role`, `department`, `left`; sorted by the
/// number of the group, then account.
///
/// # Errors
/// [`Error::Shape`] when a batch lacks a column.
pub fn contacts(
    partials: &[RecordBatch],
    groups: &Groups,
    at: Timestamp,
) -> Result<RecordBatch, Error> {
    per_member(partials, groups, &Layout::contacts(), at)
}

/// One row per member and subscription: `member`, `subscription`, `plan`, `status`, `started_at`, `renews_at`,
/// `ends_at`, `amount`, `currency`; sorted by the number of the group, then subscription.
///
/// # Errors
/// [`Error::Shape`] when a batch lacks a column.
pub fn subscriptions(
    partials: &[RecordBatch],
    groups: &Groups,
    at: Timestamp,
) -> Result<RecordBatch, Error> {
    per_member(partials, groups, &Layout::subscriptions(), at)
}

fn per_member(
    partials: &[RecordBatch],
    groups: &Groups,
    layout: &Layout,
    at: Timestamp,
) -> Result<RecordBatch, Error> {
    let keys = key_columns(partials, layout)?;
    let rows = Rows::numbered(&lengths(partials), |batch, row| {
        let group = groups.rows.of[batch][row];
        (group != NOBODY).then(|| (group, keys[batch].value(row)))
    });
    merged(partials, layout, &rows, Some(groups), at)
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
    at: Timestamp,
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
    values(fields, arrays, &layout.parts, partials, rows, at.micros())
}
