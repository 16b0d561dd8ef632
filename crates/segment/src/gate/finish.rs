//! From lawful partial rows to the rows of a table: members combined, ids as text, columns in the order asked for.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions,
    StringArray, StringBuilder, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, SchemaRef};
use assent_consent::{SubjectId, Timestamp};
use assent_projection::members::{Finisher, MEMBER};
use assent_projection::{Attributes, Groups, Table, accounts, contacts, subscriptions, whole};

use super::files::damaged;
use super::input::{FIRST_SEEN, Input, Inputs};
use super::mask::Mask;
use super::place::Gate;
use super::read::{Lawful, read};
use super::retention::{since, within};
use super::selection::MemberText;
use super::work::{Piece, Work};
use crate::error::{Error, Result};
use crate::guards::Guard;

/// The column that tells whose a row is.
const MEMBER_ID: &str = "member_id";

/// Reads a part of the work and hands its finished batches on, until `next` returns `false`.
pub(crate) fn run(
    gate: &Gate,
    inputs: &Inputs,
    work: &Work,
    schema: &SchemaRef,
    mut next: impl FnMut(RecordBatch) -> bool,
) -> Result<()> {
    match work {
        Work::Straight(piece) => read(gate, &inputs.whole, piece, |lawful| {
            let batch = if inputs.whole.table == Table::Events {
                event_rows(gate, &inputs.whole, piece, &lawful, schema)?
            } else {
                whole_rows(gate, &inputs.whole, piece, &lawful, schema)?
            };
            Ok(batch.num_rows() == 0 || next(batch))
        }),
        Work::Gathered(pieces) => {
            let (batches, groups) = gather(gate, &inputs.parts, pieces)?;
            let batch = merged(gate, &inputs.parts, &batches, &groups, schema)?;
            if batch.num_rows() > 0 {
                next(batch);
            }
            Ok(())
        }
        Work::Accounts { accounts, contacts } => {
            let batch = account_rows(gate, inputs, accounts, contacts, schema)?;
            if batch.num_rows() > 0 {
                next(batch);
            }
            Ok(())
        }
    }
}

fn unfinished(error: &assent_projection::Error) -> Error {
    tracing::error!(%error, "partial rows could not be merged");
    damaged("its rows do not merge")
}

/// Rows that need no merging, each finished by itself.
fn whole_rows(
    gate: &Gate,
    input: &Input,
    piece: &Piece,
    lawful: &Lawful,
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let rows = match input.table {
        Table::Members => finisher(input)?.finish_whole(&lawful.batch),
        table => whole(table, &lawful.batch, attributes(input, &names(input))),
    };
    let rows = rows.map_err(|error| unfinished(&error))?;
    let members = match schema.field_with_name(MEMBER_ID) {
        Ok(_) => Some(member_ids(gate, piece, lawful)?),
        Err(_) => None,
    };
    show(gate, input, &rows, members, schema)
}

/// The member of each row, as text. Rows of the piece come from its file in the order of its picks.
fn member_ids(gate: &Gate, piece: &Piece, lawful: &Lawful) -> Result<ArrayRef> {
    let members = piece.selection.members(|picks| {
        let members = gate.standing.members();
        let mut texts = Vec::with_capacity(picks.len());
        for pick in picks {
            let member = members.of(pick.number).ok_or_else(nobody)?;
            let mut text = MemberText::default();
            hex::encode_to_slice(member.as_bytes(), &mut text).map_err(|_| nobody())?;
            texts.push(text);
        }
        Ok(texts)
    })?;
    let rows = lawful.batch.num_rows();
    let mut digits = Vec::with_capacity(rows * size_of::<MemberText>());
    for (pick, (_, span)) in lawful.spans.iter().enumerate() {
        let text = members.get(lawful.first_pick + pick).ok_or_else(nobody)?;
        for _row in span.clone() {
            digits.extend_from_slice(text);
        }
    }
    let offsets = OffsetBuffer::from_repeated_length(size_of::<MemberText>(), rows);
    let ids = StringArray::try_new(offsets, digits.into(), None);
    Ok(Arc::new(ids.map_err(|_| nobody())?))
}

fn nobody() -> Error {
    Error::internal("member", "a permitted subject has no member")
}

/// Every member with all its lawful rows.
fn gather(gate: &Gate, input: &Input, pieces: &[Piece]) -> Result<(Vec<RecordBatch>, Groups)> {
    let mut batches = Vec::new();
    let mut rows: Vec<Vec<u32>> = Vec::new();
    let mut members: Vec<SubjectId> = Vec::new();
    let mut groups: HashMap<u32, u32> = HashMap::new();
    for piece in pieces {
        gate.go_on()?;
        read(gate, input, piece, |lawful| {
            let mut of = Vec::with_capacity(lawful.batch.num_rows());
            for (number, span) in &lawful.spans {
                let key = gate.standing.member_number(*number);
                let group = match groups.get(&key) {
                    Some(group) => *group,
                    None => {
                        let group = u32::try_from(members.len()).unwrap_or(u32::MAX);
                        members.push(member(gate, *number)?);
                        groups.insert(key, group);
                        group
                    }
                };
                of.extend(std::iter::repeat_n(group, span.len()));
            }
            rows.push(of);
            batches.push(lawful.batch);
            Ok(true)
        })?;
    }
    let groups = Groups::new(rows, members).map_err(|error| unfinished(&error))?;
    Ok((batches, groups))
}

fn member(gate: &Gate, number: u32) -> Result<SubjectId> {
    gate.standing.member_of(number).ok_or_else(nobody)
}

/// The rows of a table as the projection finishes them.
fn finished(input: &Input, batches: &[RecordBatch], groups: &Groups) -> Result<RecordBatch> {
    let names = names(input);
    let attributes = attributes(input, &names);
    match input.table {
        Table::Members => finisher(input)?.finish(batches, groups),
        Table::Contacts => contacts(batches, groups, attributes),
        Table::Subscriptions => subscriptions(batches, groups, attributes),
        Table::Accounts => accounts(batches, groups, attributes),
        Table::Events => return Err(Error::internal("events", "events are not merged")),
    }
    .map_err(|error| unfinished(&error))
}

fn merged(
    gate: &Gate,
    input: &Input,
    batches: &[RecordBatch],
    groups: &Groups,
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let rows = finished(input, batches, groups)?;
    let members = match rows.column_by_name(MEMBER) {
        Some(members) if schema.field_with_name(MEMBER_ID).is_ok() => Some(as_text(members)?),
        Some(_) | None => None,
    };
    show(gate, input, &rows, members, schema)
}

fn finisher(input: &Input) -> Result<&Finisher> {
    let finisher = input.finisher.as_ref();
    finisher.ok_or_else(|| Error::internal("members", "members were read without a finisher"))
}

fn names(input: &Input) -> Vec<&str> {
    input.attributes.iter().map(String::as_str).collect()
}

fn attributes<'a>(input: &Input, names: &'a [&'a str]) -> Attributes<'a> {
    Attributes {
        wanted: names,
        until: input.until,
    }
}

/// The finished rows that are shown, with the columns of `schema`; `members` tells whose each is, where that is asked.
fn show(
    gate: &Gate,
    input: &Input,
    rows: &RecordBatch,
    members: Option<ArrayRef>,
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let shown = match input.table {
        Table::Contacts => Some(belonging(rows)?),
        Table::Subscriptions => Some(told(rows)),
        Table::Members | Table::Accounts | Table::Events => None,
    };
    let rows = seen_from(gate, rows, input.seen_from)?;
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        columns.push(match (&members, field.name().as_str()) {
            (Some(members), MEMBER_ID) => Arc::clone(members),
            (_, name) => present(&rows, name, schema)?,
        });
    }
    let batch = assemble(schema, columns, rows.num_rows())?;
    match shown {
        Some(shown) => {
            filter_record_batch(&batch, &shown).map_err(|_| damaged("its rows do not merge"))
        }
        None => Ok(batch),
    }
}

/// Members whose first instant is kept; one that is too old becomes null.
fn seen_from(gate: &Gate, members: &RecordBatch, start: Option<Timestamp>) -> Result<RecordBatch> {
    let (Some(start), Ok(place)) = (start, members.schema().index_of(FIRST_SEEN)) else {
        return Ok(members.clone());
    };
    let mut columns = members.columns().to_vec();
    columns[place] = since(&columns[place], start)?
        .apply(&columns[place], gate.guards)
        .map_err(|_| damaged("a column cannot be masked"))?;
    RecordBatch::try_new(members.schema(), columns)
        .map_err(|_| damaged("its columns do not fit together"))
}

/// Subscriptions of which something is left: an id of which all that was told is too old, or was told after the
/// evaluation time, is as old or as new itself.
fn told(subscriptions: &RecordBatch) -> BooleanArray {
    let schema = subscriptions.schema();
    let fields = schema.fields().iter().zip(subscriptions.columns());
    let values: Vec<&ArrayRef> = fields
        .filter(|(field, _)| ![MEMBER, "subscription"].contains(&field.name().as_str()))
        .map(|(_, values)| values)
        .collect();
    (0..subscriptions.num_rows())
        .map(|row| Some(values.iter().any(|column| column.is_valid(row))))
        .collect()
}

/// Contacts that are known to belong to their account: not those who left, nor those of whom it is not told (I5).
fn belonging(contacts: &RecordBatch) -> Result<BooleanArray> {
    let left = contacts
        .column_by_name("left")
        .and_then(|left| left.as_boolean_opt())
        .ok_or_else(|| damaged("contacts do not say who left"))?;
    Ok(left.iter().map(|left| Some(left == Some(false))).collect())
}

/// Events, one row each, without those that are too old or were still to come.
fn event_rows(
    gate: &Gate,
    input: &Input,
    piece: &Piece,
    lawful: &Lawful,
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        columns.push(match field.name().as_str() {
            MEMBER_ID => member_ids(gate, piece, lawful)?,
            "properties" if gate.guards.stand(Guard::DeclaredNames) => gate
                .private
                .without(&present(&lawful.batch, "properties", schema)?)
                .ok_or_else(|| damaged("properties are no text"))?,
            name => present(&lawful.batch, name, schema)?,
        });
    }
    let batch = assemble(schema, columns, lawful.batch.num_rows())?;
    let Some((first, last)) = input.rows_within else {
        return Ok(batch);
    };
    let times = lawful
        .batch
        .column_by_name("event_time")
        .ok_or_else(|| damaged("events have no time"))?;
    match within(times, first, last)? {
        Mask::Keep => Ok(batch),
        Mask::Null => Ok(RecordBatch::new_empty(Arc::clone(schema))),
        Mask::Mixed(kept) => {
            filter_record_batch(&batch, &kept).map_err(|_| damaged("its rows cannot be filtered"))
        }
    }
}

/// Accounts with at least one permitted contact; how many there are is told from `k` upwards only.
fn account_rows(
    gate: &Gate,
    inputs: &Inputs,
    account_pieces: &[Piece],
    contact_pieces: &[Piece],
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let behind = inputs
        .contacts_behind
        .as_ref()
        .ok_or_else(|| Error::internal("accounts", "accounts were read without their contacts"))?;
    let (batches, groups) = gather(gate, behind, contact_pieces)?;
    let people = finished(behind, &batches, &groups)?;
    let belong = belonging(&people)?;
    let mut counts: HashMap<String, i64> = HashMap::new();
    let names = texts(&people, "account")?;
    for row in (0..people.num_rows()).filter(|row| belong.value(*row)) {
        *counts.entry(names.value(row).to_owned()).or_default() += 1;
    }
    let (batches, groups) = gather(gate, &inputs.parts, account_pieces)?;
    let all = finished(&inputs.parts, &batches, &groups)?;
    let shown: BooleanArray = texts(&all, "account")?
        .iter()
        .map(|name| Some(name.is_some_and(|name| counts.contains_key(name))))
        .collect();
    let all =
        filter_record_batch(&all, &shown).map_err(|_| damaged("its rows cannot be filtered"))?;
    let k = if gate.guards.stand(Guard::SmallGroups) {
        i64::from(gate.registry.settings().k)
    } else {
        0
    };
    let sizes: Int64Array = texts(&all, "account")?
        .iter()
        .map(|name| {
            counts
                .get(name.unwrap_or_default())
                .copied()
                .filter(|count| *count >= k)
        })
        .collect();
    let sizes: ArrayRef = Arc::new(sizes);
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        columns.push(if field.name() == "contacts" {
            Arc::clone(&sizes)
        } else {
            present(&all, field.name(), schema)?
        });
    }
    assemble(schema, columns, all.num_rows())
}

fn texts<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a arrow::array::StringArray> {
    batch
        .column_by_name(name)
        .and_then(|column| column.as_string_opt::<i32>())
        .ok_or_else(|| damaged("a key is no text"))
}

/// A column by its public name; ids become text. A trait that was not folded yet is null.
fn present(batch: &RecordBatch, name: &str, schema: &SchemaRef) -> Result<ArrayRef> {
    let on_disk = match name {
        "account_id" => "account",
        "subscription_id" => "subscription",
        other => other,
    };
    let wanted = schema
        .field_with_name(name)
        .map_err(|_| Error::internal("column", "a column is not in its schema"))?
        .data_type();
    let Some(column) = batch.column_by_name(on_disk) else {
        return Ok(new_null_array(wanted, batch.num_rows()));
    };
    let column = match column.data_type() {
        DataType::FixedSizeBinary(_) => as_text(column)?,
        _ => Arc::clone(column),
    };
    if column.data_type() == wanted {
        Ok(column)
    } else {
        Err(damaged("a column has another type than it should"))
    }
}

/// Ids as text.
fn as_text(ids: &ArrayRef) -> Result<ArrayRef> {
    let ids = ids
        .as_fixed_size_binary_opt()
        .ok_or_else(|| damaged("an id is none"))?;
    let mut text = StringBuilder::with_capacity(ids.len(), ids.len() * 32);
    let mut digits = MemberText::default();
    for id in ids {
        match id {
            None => text.append_null(),
            Some(id) => {
                hex::encode_to_slice(id, &mut digits).map_err(|_| damaged("an id is none"))?;
                let digits = std::str::from_utf8(&digits).map_err(|_| damaged("an id is none"))?;
                text.append_value(digits);
            }
        }
    }
    Ok(Arc::new(text.finish()))
}

fn assemble(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|_| damaged("its columns do not fit together"))
}
