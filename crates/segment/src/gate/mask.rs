//! Cells that a subject's grant does not cover become null, with nothing left under the null.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Scalar, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::zip::zip;
use arrow::compute::{not, nullif};
use arrow::error::ArrowError;

use crate::guards::{Guard, Guards};

/// Which rows of a batch keep their cells of one category.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Mask {
    /// All do.
    Keep,
    /// None does.
    Null,
    /// Those that are true do.
    Mixed(BooleanArray),
}

impl Mask {
    /// Builds the mask of a batch from the subjects of its rows.
    pub(crate) fn of(spans: &[(u32, Range<usize>)], mut covers: impl FnMut(u32) -> bool) -> Self {
        let rows = spans.last().map_or(0, |(_, range)| range.end);
        let mut kept = 0;
        let flags: Vec<(bool, usize)> = spans
            .iter()
            .map(|(number, range)| {
                let covered = covers(*number);
                if covered {
                    kept += range.len();
                }
                (covered, range.len())
            })
            .collect();
        if kept == rows {
            return Self::Keep;
        }
        if kept == 0 {
            return Self::Null;
        }
        Self::Mixed(BooleanArray::new(
            BooleanBuffer::from_iter(
                flags
                    .into_iter()
                    .flat_map(|(covered, rows)| std::iter::repeat_n(covered, rows)),
            ),
            None,
        ))
    }

    /// A column whose masked cells are null and whose buffers hold the values of kept cells only: `nullif` would keep
    /// the bytes under the nulls, and Arrow IPC would carry them out.
    pub(crate) fn apply(&self, column: &ArrayRef, guards: Guards) -> Result<ArrayRef, ArrowError> {
        if !guards.stand(Guard::FreshNulls)
            && let Self::Mixed(kept) = self
        {
            return nullif(column, &not(kept)?);
        }
        match self {
            Self::Keep => Ok(Arc::clone(column)),
            Self::Null => Ok(new_null_array(column.data_type(), column.len())),
            Self::Mixed(kept) => zip(
                kept,
                column,
                &Scalar::new(new_null_array(column.data_type(), 1)),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, StringArray};

    #[test]
    fn no_byte_stays_under_a_null() {
        let column: ArrayRef = Arc::new(StringArray::from(vec!["keep", "secret", "also"]));
        let mask = Mask::of(&[(1, 0..1), (2, 1..2), (1, 2..3)], |number| number == 1);
        let masked = mask.apply(&column, Guards::ALL).expect("zip");
        let texts = masked.as_string::<i32>();
        assert_eq!(
            texts.iter().collect::<Vec<_>>(),
            [Some("keep"), None, Some("also")]
        );
        assert_eq!(texts.value_data(), b"keepalso");
        let nulled = Mask::Null.apply(&column, Guards::ALL).expect("null");
        assert_eq!(nulled.null_count(), 3);
        assert!(nulled.as_string::<i32>().value_data().is_empty());
    }
}
