//! One merge beside the fold: files of a shard become one while the shard goes on being folded.
//!
//! A merge reads what never changes, and commits nothing. What came of it takes the place of what was read by a commit of
//! the worker ([`Worker::take_merged`](crate::worker::Worker::take_merged)), if the shard still names all of that then:
//! a fold only adds files, so both go on together, and what was purged or rebuilt meanwhile does not come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;

use crate::compact::{BATCH_ROWS, Merge};
use crate::seen::{self, Horizon};
use crate::settings::{FailPoint, Step};
use crate::shard::Pile;
use crate::storage::Storage;
use crate::{DataFile, Definitions, Error, Snapshot, files};

/// When files are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// While more is to be folded: only where there are too many.
    Busy,
    /// When nothing more is to be folded.
    AtRest,
}

/// Which files are merged, where they stand, and what the one that takes their place is called.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) shard: u32,
    /// Under which the shard is held. Under another one it may have become something else.
    pub(crate) epoch: u64,
    pub(crate) pile: Pile,
    pub(crate) when: When,
    pub(crate) files: Vec<DataFile>,
    pub(crate) name: String,
}

/// A merge to be done, on any thread that may block.
pub(crate) struct Merging {
    pub(crate) choice: Choice,
    pub(crate) definitions: Arc<Definitions>,
    /// What of the de-duplication window is still needed.
    pub(crate) horizon: Horizon,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) row_group_rows: usize,
    pub(crate) fail: Arc<dyn FailPoint>,
}

/// What came of a merge.
pub(crate) struct Merged {
    pub(crate) choice: Choice,
    pub(crate) took: Duration,
    /// The file, which is durable under its name; `None` when nothing of what was read is needed any more.
    pub(crate) made: Result<Option<DataFile>, Error>,
}

impl Merging {
    /// Merges, and stops early when `given_up` becomes true: then nothing was made.
    pub(crate) fn run(self, given_up: &AtomicBool) -> Merged {
        let begin = Instant::now();
        let Choice { shard, pile, .. } = self.choice;
        let files = self.choice.files.len();
        let span = tracing::info_span!("projection merge", shard, pile = pile.as_str(), files);
        let made = span.in_scope(|| self.made(given_up));
        Merged {
            choice: self.choice,
            took: begin.elapsed(),
            made,
        }
    }

    fn made(&self, given_up: &AtomicBool) -> Result<Option<DataFile>, Error> {
        let chosen: Vec<&DataFile> = self.choice.files.iter().collect();
        let storage = self.storage.as_ref();
        let catalog = &self.definitions.catalog;
        let (schema, rows): (_, Box<dyn Iterator<Item = Result<RecordBatch, Error>>>) =
            match self.choice.pile {
                Pile::Table(table) => (
                    Snapshot::file_schema(table, catalog),
                    Box::new(Merge::new(
                        storage, table, catalog, &chosen, BATCH_ROWS, None,
                    )?),
                ),
                Pile::Seen => (
                    seen::schema(),
                    Box::new(self.horizon.still_needed(storage, &chosen, BATCH_ROWS)?),
                ),
            };
        let rows = rows.map(|batch| match given_up.load(Ordering::Relaxed) {
            true => Err(Error::Worker {
                reason: "a merge of files was given up, since the projector stops".to_owned(),
            }),
            false => batch,
        });
        let name = self.choice.name.clone();
        let Some((file, staged)) = files::write(storage, name, &schema, self.row_group_rows, rows)?
        else {
            return Ok(None);
        };
        storage.put(vec![staged])?;
        self.fail.reached(Step::AfterMerge);
        Ok(Some(file))
    }
}
