//! From partial rows of `members` to finished columns: windows, recency and latest values at an evaluation time.
//!
//! Two times meet here. The *evaluation time* decides windows and recency; what happened after it is left out. Days
//! are those of the programme's calendar and count whole: all events of the evaluation day belong to it, also those
//! later that day, and a window of N days is the evaluation day and the N − 1 before it. When nothing in the
//! snapshot is later than the evaluation day ([`crate::Manifest::latest`]), totals are read and day buckets are not.
//!
//! An identified trait last told after the evaluation time is null: its earlier value is not kept here; older
//! manifests may hold it.

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, FixedSizeBinaryArray, Float64Array, Int64Array, RecordBatch,
    RecordBatchOptions, TimestampMicrosecondArray, new_empty_array,
};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use assent_consent::{Calendar, Category, Day, SubjectId, Timestamp};
use assent_programme::{DerivedTrait, IdentifiedTrait, Measure, TraitCatalog};

use crate::denial::DENIED;
use crate::groups::Rows;
use crate::layout::{Order, Part, SUBJECT, column_type, id, instant};
use crate::merge::days::Days;
use crate::merge::told::{self, Told};
use crate::merge::{self, scalar};
use crate::{Error, Groups};

/// Name of the first finished column: the member's id, `FixedSizeBinary(16)`.
pub const MEMBER: &str = "member";

/// A column of the partial rows, with what it belongs to, so that a reader can null what a purpose does not cover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartialColumn {
    /// The column on disk.
    pub name: String,
    /// The trait it serves; `None` for `subject`, `__denied`, `first_seen` and `last_seen`.
    pub trait_name: Option<String>,
    /// The trait's category.
    pub category: Option<Category>,
}

/// Every column of the partial rows of `members`, in the order of the schema.
#[must_use]
pub fn partial_columns(catalog: &TraitCatalog) -> Vec<PartialColumn> {
    let plain = |name: &str| PartialColumn {
        name: name.to_owned(),
        trait_name: None,
        category: None,
    };
    let mut columns: Vec<PartialColumn> = [SUBJECT, DENIED, "first_seen", "last_seen"]
        .map(plain)
        .into();
    let mut of_part = |part: &Part, name: &str, category: &Category| {
        columns.extend(part.fields().iter().map(|field| PartialColumn {
            name: field.name().clone(),
            trait_name: Some(name.to_owned()),
            category: Some(category.clone()),
        }));
    };
    for t in &catalog.identified {
        of_part(
            &Part::told(&t.name, column_type(t.r#type)),
            &t.name,
            &t.category,
        );
    }
    for t in &catalog.derived {
        for part in Part::derived(&t.name, &t.measure) {
            of_part(&part, &t.name, &t.category);
        }
    }
    columns
}

#[derive(Clone, Debug)]
enum Wanted {
    FirstSeen,
    LastSeen,
    Identified(IdentifiedTrait),
    Derived(DerivedTrait),
}

impl Wanted {
    fn name(&self) -> &str {
        match self {
            Self::FirstSeen => "first_seen",
            Self::LastSeen => "last_seen",
            Self::Identified(t) => &t.name,
            Self::Derived(t) => &t.name,
        }
    }

    fn data_type(&self) -> DataType {
        match self {
            Self::FirstSeen | Self::LastSeen => instant(),
            Self::Identified(t) => column_type(t.r#type),
            Self::Derived(t) => match &t.measure {
                Measure::Count | Measure::DaysSinceLast => DataType::Int64,
                Measure::Sum { .. } => DataType::Float64,
                Measure::FirstAt | Measure::LastAt => instant(),
                Measure::FirstValue { .. } | Measure::LastValue { .. } => DataType::Utf8,
            },
        }
    }
}

/// Finishes columns of `members` at one evaluation time.
///
/// | trait | column | nothing known |
/// |---|---|---|
/// | identified | as declared | null |
/// | count | Int64 | 0 (null when every partial cell was null) |
/// | sum | Float64 | 0 (null when every partial cell was null) |
/// | first_at, last_at | Timestamp | null |
/// | days_since_last | Int64, calendar days | null |
/// | first_value, last_value | Utf8 | null |
#[derive(Clone, Debug)]
pub struct Finisher {
    wanted: Vec<Wanted>,
    at: Timestamp,
    today: Day,
    calendar: Calendar,
    /// Whether the snapshot may hold anything later than the evaluation time.
    looking_back: bool,
    /// Whether derived traits are made of day buckets, even where a total would do.
    by_days: bool,
}

impl Finisher {
    /// All traits of the catalogue, then `first_seen` and `last_seen`. `latest` is the snapshot's
    /// [`crate::Manifest::latest`]; `None` means that it is not known, and costs the reading of day buckets.
    #[must_use]
    pub fn new(
        catalog: &TraitCatalog,
        at: Timestamp,
        calendar: Calendar,
        latest: Option<Timestamp>,
    ) -> Self {
        let mut wanted: Vec<Wanted> = Vec::new();
        wanted.extend(catalog.identified.iter().cloned().map(Wanted::Identified));
        wanted.extend(catalog.derived.iter().cloned().map(Wanted::Derived));
        wanted.extend([Wanted::FirstSeen, Wanted::LastSeen]);
        Self {
            wanted,
            at,
            today: calendar.day_of(at),
            calendar,
            looking_back: latest.is_none_or(|latest| latest > at),
            by_days: false,
        }
    }

    /// Makes derived traits of day buckets, for a reader that leaves days out.
    #[must_use]
    pub const fn by_days(mut self) -> Self {
        self.by_days = true;
        self
    }

    /// Only these columns, in this order.
    ///
    /// # Errors
    /// [`Error::Shape`] for a name that is no column of `members`.
    pub fn select(mut self, names: &[&str]) -> Result<Self, Error> {
        self.wanted = names
            .iter()
            .map(|name| {
                self.wanted
                    .iter()
                    .find(|wanted| wanted.name() == *name)
                    .cloned()
                    .ok_or_else(|| Error::shape(format!("`members` has no column `{name}`")))
            })
            .collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// The columns of the partial rows that [`Finisher::finish`] needs, `subject` first.
    #[must_use]
    pub fn input_columns(&self) -> Vec<String> {
        let parts = self.wanted.iter().map(|wanted| self.part(wanted));
        let columns = parts.flat_map(|part| part.fields());
        let columns = columns.map(|field| field.name().clone());
        std::iter::once(SUBJECT.to_owned()).chain(columns).collect()
    }

    /// The columns that [`Finisher::finish_whole`] needs: values, and their times where one may be later than the
    /// evaluation time.
    #[must_use]
    pub fn value_columns(&self) -> Vec<String> {
        let mut columns = Vec::new();
        for wanted in &self.wanted {
            let part = self.part(wanted);
            if self.until().is_some() && matches!(wanted, Wanted::Identified(_)) {
                columns.push(part.at_column());
            }
            columns.push(part.column);
        }
        columns
    }

    /// The schema of what [`Finisher::finish`] returns: `member`, then the columns wanted.
    #[must_use]
    pub fn output_schema(&self) -> SchemaRef {
        let mut fields = vec![Field::new(MEMBER, id(), false)];
        fields.extend(
            self.wanted
                .iter()
                .map(|wanted| Field::new(wanted.name(), wanted.data_type(), true)),
        );
        Arc::new(Schema::new(fields))
    }

    /// One row per group, in the order of the groups. Batches may hold more columns than needed, in any order.
    ///
    /// # Errors
    /// [`Error::Shape`] when a batch lacks a column.
    pub fn finish(&self, partials: &[RecordBatch], groups: &Groups) -> Result<RecordBatch, Error> {
        let rows = &groups.rows;
        if rows.of.len() != partials.len()
            || partials
                .iter()
                .zip(&rows.of)
                .any(|(batch, of)| batch.num_rows() != of.len())
        {
            return Err(Error::shape("the groups are those of other batches"));
        }
        let mut columns: Vec<ArrayRef> = vec![member_array(groups.members())?];
        for wanted in &self.wanted {
            columns.push(self.column(wanted, partials, rows)?);
        }
        Ok(RecordBatch::try_new(self.output_schema(), columns)?)
    }

    /// The columns wanted, without `member`, of rows that are not merged: nothing of their subjects lies elsewhere. One
    /// row per row, in their order.
    ///
    /// # Errors
    /// [`Error::Shape`] when the batch lacks a column.
    pub fn finish_whole(&self, rows: &RecordBatch) -> Result<RecordBatch, Error> {
        let each = Rows::each(rows.num_rows());
        let columns = self
            .wanted
            .iter()
            .map(|wanted| self.column(wanted, std::slice::from_ref(rows), &each))
            .collect::<Result<Vec<_>, _>>()?;
        let fields: Vec<FieldRef> = self
            .output_schema()
            .fields()
            .iter()
            .skip(1)
            .cloned()
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let schema = Arc::new(Schema::new(fields));
        Ok(RecordBatch::try_new_with_options(
            schema, columns, &options,
        )?)
    }

    fn column(
        &self,
        wanted: &Wanted,
        partials: &[RecordBatch],
        rows: &Rows,
    ) -> Result<ArrayRef, Error> {
        match wanted {
            Wanted::FirstSeen => self.known(scalar::instants(
                "first_seen",
                Order::Earliest,
                partials,
                rows,
            )?),
            Wanted::LastSeen => self.known(scalar::instants(
                "last_seen",
                Order::Latest,
                partials,
                rows,
            )?),
            Wanted::Identified(t) => {
                let part = Part::told(&t.name, column_type(t.r#type));
                first(merge::part(&part, partials, rows, self.until())?)
            }
            Wanted::Derived(t) => {
                let [total, days] = Part::derived(&t.name, &t.measure);
                if self.reads_days(t) {
                    self.sum_up_days(t, &days, partials, rows)
                } else {
                    self.take_total(t, &total, partials, rows)
                }
            }
        }
    }

    /// Instants, without those after the evaluation time: what came before them is not known here.
    fn known(&self, mut instants: Vec<Option<i64>>) -> Result<ArrayRef, Error> {
        for slot in &mut instants {
            *slot = slot.filter(|at| *at <= self.at.micros());
        }
        Ok(scalar::instant_array(instants))
    }

    fn take_total(
        &self,
        t: &DerivedTrait,
        total: &Part,
        partials: &[RecordBatch],
        rows: &Rows,
    ) -> Result<ArrayRef, Error> {
        match &t.measure {
            Measure::Sum { .. } => Ok(amounts(scalar::sums(&total.column, partials, rows)?)),
            Measure::DaysSinceLast => Ok(self.days_since(scalar::instants(
                &total.column,
                Order::Latest,
                partials,
                rows,
            )?)),
            Measure::Count
            | Measure::FirstAt
            | Measure::LastAt
            | Measure::FirstValue { .. }
            | Measure::LastValue { .. } => first(merge::part(total, partials, rows, None)?),
        }
    }

    fn sum_up_days(
        &self,
        t: &DerivedTrait,
        part: &Part,
        partials: &[RecordBatch],
        rows: &Rows,
    ) -> Result<ArrayRef, Error> {
        let days = Days::new(&part.column, partials)?;
        let within = self.window(t);
        match &t.measure {
            Measure::Count => {
                let counts = days.typed_field::<Int64Array>("count")?;
                let mut total = vec![0_i64; rows.count];
                let seen = days.visit(rows, |group, day, batch, index| {
                    if within.contains(&day) {
                        let slot = &mut total[group as usize];
                        *slot = slot.wrapping_add(counts[batch].value(index));
                    }
                    Ok(())
                })?;
                let counted = total.into_iter().zip(seen);
                Ok(Arc::new(Int64Array::from_iter(
                    counted.map(|(total, seen)| seen.then_some(total)),
                )))
            }
            Measure::Sum { .. } => {
                let sums = days.typed_field::<Decimal128Array>("sum")?;
                let mut total = vec![0_i128; rows.count];
                let seen = days.visit(rows, |group, day, batch, index| {
                    if within.contains(&day) {
                        let slot = &mut total[group as usize];
                        *slot = slot.wrapping_add(sums[batch].value(index));
                    }
                    Ok(())
                })?;
                let summed = total.into_iter().zip(seen);
                Ok(amounts(
                    summed.map(|(total, seen)| seen.then_some(total)).collect(),
                ))
            }
            Measure::FirstAt | Measure::LastAt | Measure::DaysSinceLast => {
                let order = match &t.measure {
                    Measure::FirstAt => Order::Earliest,
                    _last => Order::Latest,
                };
                let ats = days.typed_field::<TimestampMicrosecondArray>("at")?;
                let mut kept = vec![None; rows.count];
                days.visit(rows, |group, day, batch, index| {
                    if within.contains(&day) {
                        scalar::keep(&mut kept[group as usize], ats[batch].value(index), order);
                    }
                    Ok(())
                })?;
                match &t.measure {
                    Measure::DaysSinceLast => Ok(self.days_since(kept)),
                    _instant => Ok(scalar::instant_array(kept)),
                }
            }
            Measure::FirstValue { .. } | Measure::LastValue { .. } => {
                let order = match &t.measure {
                    Measure::FirstValue { .. } => Order::Earliest,
                    _last => Order::Latest,
                };
                let told = days.told()?;
                let mut kept: Vec<Option<Told>> = vec![None; rows.count];
                days.visit(rows, |group, day, batch, index| {
                    if within.contains(&day) {
                        let new = told.read(batch, index);
                        told::offer(&mut kept[group as usize], new, order, &told.values)?;
                    }
                    Ok(())
                })?;
                told::value_array(&told.values, &DataType::Utf8, &kept)
            }
        }
    }

    /// The days that count, the evaluation day included.
    fn window(&self, t: &DerivedTrait) -> RangeInclusive<i32> {
        let today = self.today.days();
        match t.window_days {
            None => i32::MIN..=today,
            Some(days) => {
                let days = i32::try_from(days).unwrap_or(i32::MAX);
                today.saturating_sub(days).saturating_add(1)..=today
            }
        }
    }

    /// Calendar days from the instants to the evaluation day; 0 for an instant of the evaluation day.
    fn days_since(&self, instants: Vec<Option<i64>>) -> ArrayRef {
        Arc::new(Int64Array::from_iter(instants.into_iter().map(|at| {
            let day = self.calendar.day_of(Timestamp::from_micros(at?));
            Some(i64::from(self.today.days()) - i64::from(day.days()))
        })))
    }

    fn reads_days(&self, t: &DerivedTrait) -> bool {
        self.looking_back || self.by_days || t.window_days.is_some()
    }

    /// What told values may not be later than; `None` when none is.
    fn until(&self) -> Option<i64> {
        self.looking_back.then_some(self.at.micros())
    }

    fn part(&self, wanted: &Wanted) -> Part {
        match wanted {
            Wanted::FirstSeen => Part::first_seen(),
            Wanted::LastSeen => Part::last_seen(),
            Wanted::Identified(t) => Part::told(&t.name, column_type(t.r#type)),
            Wanted::Derived(t) => {
                let [total, days] = Part::derived(&t.name, &t.measure);
                if self.reads_days(t) { days } else { total }
            }
        }
    }
}

/// The first column of a part: its values.
fn first(columns: Vec<ArrayRef>) -> Result<ArrayRef, Error> {
    let column = columns.into_iter().next();
    column.ok_or_else(|| Error::shape("a part has no column"))
}

/// Exact sums as numbers for people: one division, at the very end.
fn amounts(sums: Vec<Option<i128>>) -> ArrayRef {
    Arc::new(Float64Array::from_iter(
        sums.into_iter().map(|sum| Some(sum? as f64 / 1e6)),
    ))
}

/// The ids of members.
pub(crate) fn member_array(members: &[SubjectId]) -> Result<ArrayRef, Error> {
    if members.is_empty() {
        return Ok(new_empty_array(&id()));
    }
    Ok(Arc::new(FixedSizeBinaryArray::try_from_iter(
        members.iter().map(|member| member.to_bytes()),
    )?))
}

/// Finishes all columns of the catalogue; reads the day buckets. See [`Finisher`] for more control.
///
/// # Errors
/// As [`Finisher::finish`].
pub fn finish(
    partials: &[RecordBatch],
    groups: &Groups,
    catalog: &TraitCatalog,
    at: Timestamp,
    calendar: Calendar,
) -> Result<RecordBatch, Error> {
    Finisher::new(catalog, at, calendar, None).finish(partials, groups)
}
