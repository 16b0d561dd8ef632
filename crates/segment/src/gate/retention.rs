//! What is older than a purpose may keep it is gone, row by row and cell by cell (art. 19).
//!
//! Retention counts whole days of the calendar: with `n` days, data of the present day and the `n` days before it is
//! there, older data is not. It is applied to what the gate has read, before anything leaves it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::filter;
use arrow::datatypes::{Int32Type, TimestampMicrosecondType};
use assent_consent::{Calendar, Category, Day, Purpose, Timestamp};

use super::files::damaged;
use super::mask::Mask;
use crate::error::Result;
use crate::guards::{Guard, Guards};

/// How long a purpose may keep what, seen from the present: a session that looks back does not see what is gone today.
#[derive(Debug, Clone)]
pub(crate) struct Retention {
    today: Day,
    calendar: Calendar,
    days: BTreeMap<Category, u32>,
    default_days: u32,
}

impl Retention {
    pub(crate) fn of(
        purpose: &Purpose,
        calendar: Calendar,
        now: Timestamp,
        guards: Guards,
    ) -> Self {
        let (days, default_days) = if guards.stand(Guard::Retention) {
            (
                purpose.retention_days.clone(),
                purpose.default_retention_days,
            )
        } else {
            (BTreeMap::new(), u32::MAX)
        };
        Self {
            today: calendar.day_of(now),
            calendar,
            days,
            default_days,
        }
    }

    /// The first day of which data of the category is still there.
    pub(crate) fn first_day(&self, category: &Category) -> Day {
        let days = self
            .days
            .get(category)
            .copied()
            .unwrap_or(self.default_days);
        self.today
            .plus_days(-i32::try_from(days).unwrap_or(i32::MAX / 4))
    }

    /// The first instant of that day.
    pub(crate) fn start(&self, category: &Category) -> Timestamp {
        self.calendar.start_of(self.first_day(category))
    }
}

/// The rows whose time is at or after `start`. A row without a time was told nothing and keeps its nulls.
pub(crate) fn since(times: &ArrayRef, start: Timestamp) -> Result<Mask> {
    within(times, start, Timestamp::MAX)
}

/// The rows whose time is at or after `first` and at or before `last`; rows without a time are kept.
pub(crate) fn within(times: &ArrayRef, first: Timestamp, last: Timestamp) -> Result<Mask> {
    let times = times
        .as_primitive_opt::<TimestampMicrosecondType>()
        .ok_or_else(|| damaged("a time is no time"))?;
    let range = first.micros()..=last.micros();
    let keeps = |at: Option<i64>| at.is_none_or(|at| range.contains(&at));
    if times.iter().all(keeps) {
        return Ok(Mask::Keep);
    }
    Ok(Mask::Mixed(
        times
            .iter()
            .map(|at| Some(keeps(at)))
            .collect::<BooleanArray>(),
    ))
}

/// Day buckets of and after `first`, in arrays of their own.
pub(crate) fn buckets(column: &ArrayRef, first: Day) -> Result<ArrayRef> {
    let lists = column
        .as_list_opt::<i32>()
        .ok_or_else(|| damaged("day buckets are no list"))?;
    let days = days_of(lists)?;
    let offsets = lists.value_offsets();
    let start = offsets
        .first()
        .map_or(0, |at| usize::try_from(*at).unwrap_or(0));
    let end = offsets
        .last()
        .map_or(0, |at| usize::try_from(*at).unwrap_or(0));
    let first = first.days();
    if days.values()[start..end].iter().all(|day| *day >= first) {
        return Ok(Arc::clone(column));
    }
    let kept: BooleanArray = days
        .values()
        .iter()
        .enumerate()
        .map(|(place, day)| Some((start..end).contains(&place) && *day >= first))
        .collect();
    let lengths = offsets.windows(2).map(|ends| {
        let range = usize::try_from(ends[0]).unwrap_or(0)..usize::try_from(ends[1]).unwrap_or(0);
        range.filter(|place| kept.value(*place)).count()
    });
    let offsets = OffsetBuffer::from_lengths(lengths);
    let items = filter(lists.values(), &kept).map_err(|_| damaged("day buckets do not read"))?;
    let field = match lists.data_type() {
        arrow::datatypes::DataType::List(field) => Arc::clone(field),
        _ => return Err(damaged("day buckets are no list")),
    };
    let kept = ListArray::try_new(field, offsets, items, lists.nulls().cloned())
        .map_err(|_| damaged("day buckets do not read"))?;
    Ok(Arc::new(kept))
}

fn days_of(lists: &ListArray) -> Result<&Int32Array> {
    lists
        .values()
        .as_struct_opt()
        .and_then(|buckets| buckets.column_by_name("day"))
        .and_then(|days| days.as_primitive_opt::<Int32Type>())
        .ok_or_else(|| damaged("day buckets have no day"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StructArray};
    use arrow::datatypes::{DataType, Field, Fields};

    #[test]
    fn buckets_before_the_first_day_are_gone() {
        let fields = Fields::from(vec![
            Field::new("day", DataType::Int32, false),
            Field::new("count", DataType::Int64, false),
        ]);
        let items = StructArray::new(
            fields.clone(),
            vec![
                Arc::new(Int32Array::from(vec![1, 5, 2, 3, 9])) as ArrayRef,
                Arc::new(Int64Array::from(vec![10, 50, 20, 30, 90])),
            ],
            None,
        );
        let lists: ArrayRef = Arc::new(ListArray::new(
            Arc::new(Field::new("item", DataType::Struct(fields), false)),
            OffsetBuffer::from_lengths([2, 2, 1]),
            Arc::new(items),
            None,
        ));
        let cut = buckets(&lists, Day::from_days(3)).expect("cut");
        let cut = cut.as_list::<i32>();
        let lengths: Vec<usize> = (0..3).map(|row| cut.value(row).len()).collect();
        assert_eq!(lengths, [1, 1, 1]);
        assert_eq!(days_of(cut).expect("days").values(), &[5, 3, 9]);
        let whole = buckets(&lists, Day::from_days(0)).expect("whole");
        assert_eq!(whole.as_list::<i32>().values().len(), 5);
    }
}
