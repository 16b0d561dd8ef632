//! How many bytes rows take, wherever batches are cut.
//!
//! Batches end where row groups and exchanges end, and in a row group the denied have rows, too: a bound that counted what
//! a batch takes besides its rows would tell of them (I1). So each row counts for itself.

use arrow::array::{Array, AsArray, GenericListArray, OffsetSizeTrait, RecordBatch};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{ArrowNativeType, ByteArrayType, ByteViewType, DataType};

use crate::error::Result;

/// Whether a value is there, at a byte each.
const PRESENCE: usize = 1;
/// A text up to this long stands in its view.
const IN_VIEW: usize = 12;

/// The bytes of a batch's values: those it shares with other columns as often as it shows them, those of the rows it was
/// sliced out of not at all. Batches together take what their rows would take in one.
///
/// # Errors
/// `Internal` for a type that no query results in.
pub(crate) fn bytes_of(batch: &RecordBatch) -> Result<usize> {
    batch.columns().iter().try_fold(0_usize, |sum, column| {
        Ok(sum.saturating_add(of(column.as_ref())?))
    })
}

fn of(array: &dyn Array) -> Result<usize> {
    let values = match array.data_type() {
        DataType::Null => 0,
        DataType::Boolean => array.len(),
        DataType::Utf8 => of_bytes(array.as_string::<i32>()),
        DataType::LargeUtf8 => of_bytes(array.as_string::<i64>()),
        DataType::Binary => of_bytes(array.as_binary::<i32>()),
        DataType::LargeBinary => of_bytes(array.as_binary::<i64>()),
        DataType::Utf8View => of_views(array.as_string_view()),
        DataType::BinaryView => of_views(array.as_binary_view()),
        DataType::FixedSizeBinary(width) => array.len() * usize::try_from(*width).unwrap_or(0),
        DataType::List(_) => of_list(array.as_list::<i32>())?,
        DataType::LargeList(_) => of_list(array.as_list::<i64>())?,
        DataType::Map(..) => {
            let map = array.as_map();
            of_offsets(map.offsets(), &map.entries().clone())?
        }
        DataType::FixedSizeList(..) => of(array.as_fixed_size_list().values().as_ref())?,
        DataType::Struct(_) => {
            let mut sum = 0_usize;
            for column in array.as_struct().columns() {
                sum = sum.saturating_add(of(column.as_ref())?);
            }
            sum
        }
        other => match other.primitive_width() {
            Some(width) => array.len() * width,
            // Nothing that the functions allowed make; counted as it lies.
            None => array
                .to_data()
                .get_slice_memory_size()
                .map_err(super::failed)?,
        },
    };
    Ok(values.saturating_add(array.len() * PRESENCE))
}

fn of_bytes<T: ByteArrayType>(array: &arrow::array::GenericByteArray<T>) -> usize {
    let offsets = array.value_offsets();
    let first = offsets.first().map_or(0, |offset| offset.as_usize());
    let last = offsets.last().map_or(0, |offset| offset.as_usize());
    last - first + array.len() * size_of::<T::Offset>()
}

fn of_views<T: ByteViewType>(array: &arrow::array::GenericByteViewArray<T>) -> usize {
    let beside = array
        .views()
        .iter()
        // The length is the lower half of the first word.
        .map(|view| usize::try_from(*view & u128::from(u32::MAX)).unwrap_or(usize::MAX))
        .filter(|length| *length > IN_VIEW);
    beside.fold(array.len() * size_of::<u128>(), usize::saturating_add)
}

fn of_list<O: OffsetSizeTrait>(array: &GenericListArray<O>) -> Result<usize> {
    of_offsets(array.offsets(), array.values().as_ref())
}

fn of_offsets<O: OffsetSizeTrait>(offsets: &OffsetBuffer<O>, values: &dyn Array) -> Result<usize> {
    let first = offsets.first().map_or(0, |offset| offset.as_usize());
    let last = offsets.last().map_or(0, |offset| offset.as_usize());
    let inner = of(values.slice(first, last - first).as_ref())?;
    Ok(inner.saturating_add((offsets.len() - 1) * size_of::<O>()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BooleanArray, Float64Array, Int32Array, ListArray, MapBuilder, NullArray,
        StringArray, StringBuilder, StringViewArray, StructArray, TimestampMicrosecondArray,
    };
    use arrow::datatypes::{Field, Fields, Int32Type};

    use super::*;

    fn columns() -> Vec<(&'static str, ArrayRef)> {
        let texts = (0..23).map(|n| (n % 5 != 0).then(|| "x".repeat(n * 3)));
        let texts: StringArray = texts.collect();
        let views: StringViewArray = texts.iter().collect();
        let lists = (0..23).map(|n| (n % 4 != 0).then(|| vec![Some(n); n as usize % 6]));
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(lists);
        let mut map = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
        for row in 0..23 {
            for key in 0..row % 3 {
                map.keys().append_value(format!("key {key}"));
                map.values().append_value("v".repeat(row));
            }
            map.append(row % 7 != 0).expect("a row");
        }
        let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(0..23));
        let fields = Fields::from(vec![
            Field::new("n", DataType::Int32, true),
            Field::new("t", DataType::Utf8, true),
        ]);
        let parts = vec![Arc::clone(&numbers), Arc::new(texts.clone()) as ArrayRef];
        let structs = StructArray::new(fields, parts, None);
        let flags: BooleanArray = (0..23)
            .map(|n| (n % 3 != 0).then_some(n % 2 == 0))
            .collect();
        vec![
            ("text", Arc::new(texts)),
            ("view", Arc::new(views)),
            ("list", Arc::new(lists)),
            ("map", Arc::new(map.finish())),
            ("number", numbers),
            ("fraction", Arc::new(Float64Array::from(vec![0.5; 23]))),
            (
                "time",
                Arc::new(TimestampMicrosecondArray::from(vec![7; 23])),
            ),
            ("struct", Arc::new(structs)),
            ("flag", Arc::new(flags)),
            ("nothing", Arc::new(NullArray::new(23))),
        ]
    }

    fn bytes(batch: &RecordBatch) -> usize {
        bytes_of(batch).expect("a known type")
    }

    #[test]
    fn rows_take_the_same_wherever_batches_are_cut() {
        for (name, column) in columns() {
            let whole = RecordBatch::try_from_iter_with_nullable([(name, column, true)]);
            let whole = whole.expect("a batch");
            for cut in 1..23 {
                let parts = (0..23).step_by(cut).map(|start| {
                    let rows = cut.min(23 - start);
                    bytes(&whole.slice(start, rows))
                });
                assert_eq!(parts.sum::<usize>(), bytes(&whole), "{name} by {cut}");
            }
        }
    }

    #[test]
    fn what_is_longer_takes_more() {
        for (name, column) in columns() {
            let batch = RecordBatch::try_from_iter_with_nullable([(name, column, true)]);
            let batch = batch.expect("a batch");
            assert!(bytes(&batch) >= 23, "{name}");
            assert!(bytes(&batch.slice(0, 22)) < bytes(&batch), "{name}");
        }
    }
}
