//! Whose rows lie together: a hint of somebody who knows who is read together.
//!
//! Who reads for a purpose reads of some subjects and skips the others. Where those lie in files of their own, whole
//! files and pages are skipped; mixed row by row, nearly every page is decoded for half of its rows. The projection knows
//! nothing of purposes, so it is told the cluster of each subject when it puts files together at rest. Nothing that the
//! tables say depends on it, and what was told may be out of date as soon as it is written.

use std::fmt;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use assent_consent::SubjectId;

use crate::Error;
use crate::groups::{bytes_at, subjects};

/// Tells which subjects are read together.
pub trait Clustering: fmt::Debug + Send + Sync + 'static {
    /// Whether it can tell; else rows are put together as if nobody could.
    fn is_ready(&self) -> bool;

    /// The clusters as things stand now, at most so many; `None` when there is nothing to tell subjects apart by. May take
    /// long: it is asked where blocking is allowed.
    fn clusters(&self, at_most: usize) -> Option<Clusters>;
}

/// The clusters of subjects at one moment.
pub struct Clusters {
    /// How many there are.
    pub count: usize,
    /// The cluster of a subject, below `count`.
    pub of: Box<dyn Fn(&SubjectId) -> usize + Send>,
}

impl fmt::Debug for Clusters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, of: _ } = self;
        f.debug_struct("Clusters")
            .field("count", count)
            .finish_non_exhaustive()
    }
}

impl Clusters {
    /// All in one.
    pub(crate) fn one() -> Self {
        Self {
            count: 1,
            of: Box::new(|_| 0),
        }
    }

    /// The rows of a batch by cluster, in order; clusters without any are left out.
    pub(crate) fn deal(&self, batch: RecordBatch) -> Result<Vec<(usize, RecordBatch)>, Error> {
        if self.count <= 1 {
            return Ok(vec![(0, batch)]);
        }
        let of = subjects(&batch)?;
        let mut rows: Vec<Vec<u32>> = vec![Vec::new(); self.count];
        let mut last: Option<([u8; 16], usize)> = None;
        for row in 0..batch.num_rows() {
            let subject = bytes_at(of, row);
            let cluster = match last {
                Some((before, cluster)) if before == subject => cluster,
                _ => (self.of)(&SubjectId::from(subject)).min(self.count - 1),
            };
            last = Some((subject, cluster));
            rows[cluster]
                .push(u32::try_from(row).map_err(|_| Error::shape("a batch is too long"))?);
        }
        let dealt = rows.into_iter().enumerate();
        dealt
            .filter(|(_, rows)| !rows.is_empty())
            .map(|(cluster, rows)| {
                if rows.len() == batch.num_rows() {
                    return Ok((cluster, batch.clone()));
                }
                let taken = take_record_batch(&batch, &UInt32Array::from(rows))?;
                Ok((cluster, taken))
            })
            .collect()
    }
}
