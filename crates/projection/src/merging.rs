//! One merge beside the fold: files of a shard become one, or one for each cluster, while the shard goes on being folded.
//!
//! A merge reads what never changes, and commits nothing. What came of it takes the place of what was read by a commit of
//! the worker ([`Worker::tend`](crate::worker::Worker::tend)), if the shard still names all of that then:
//! a fold only adds files, so both go on together, and what was purged or rebuilt meanwhile does not come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;

use crate::compact::{Merge, batch_rows};
use crate::files::Writing;
use crate::seen::{self, Horizon};
use crate::settings::{FailPoint, Step};
use crate::shard::Pile;
use crate::storage::Storage;
use crate::{Clustering, Clusters, DataFile, Definitions, Error, Snapshot};

/// When files are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// While more is to be folded: only where there are too many.
    Busy,
    /// When nothing more is to be folded.
    AtRest,
}

/// Which files are merged, where they stand, and what those that take their place are called.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) shard: u32,
    /// Under which the shard is held. Under another one it may have become something else.
    pub(crate) epoch: u64,
    pub(crate) pile: Pile,
    pub(crate) when: When,
    pub(crate) files: Vec<DataFile>,
    /// Of the files that take their place: one, or one for each cluster, of which some may stay unused.
    pub(crate) names: Vec<String>,
}

/// A merge to be done, on any thread that may block.
pub(crate) struct Merging {
    pub(crate) choice: Choice,
    pub(crate) definitions: Arc<Definitions>,
    /// What of the de-duplication window is still needed.
    pub(crate) horizon: Horizon,
    /// Tells the rows of which subjects are to lie together, where that is wanted.
    pub(crate) clustering: Option<Arc<dyn Clustering>>,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) row_group_rows: usize,
    pub(crate) fail: Arc<dyn FailPoint>,
}

/// What came of a merge.
pub(crate) struct Merged {
    pub(crate) choice: Choice,
    pub(crate) took: Duration,
    /// As [`Merging::run`] says.
    pub(crate) made: Result<Vec<DataFile>, Error>,
}

impl Merging {
    /// Merges, and stops early when `given_up` becomes true. The files made, which are durable under their names; none when
    /// nothing of what was read is needed any more.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when a file is not as it was written, or is gone; what the storage said; [`Error::Worker`] when it
    /// was given up. Some of the files may be there then.
    pub(crate) fn run(self, given_up: &AtomicBool) -> Result<Vec<DataFile>, Error> {
        let Choice { shard, pile, .. } = self.choice;
        let files = self.choice.files.len();
        let span = tracing::info_span!("projection merge", shard, pile = pile.as_str(), files);
        let _within = span.enter();
        go_on(given_up)?;
        let chosen: Vec<&DataFile> = self.choice.files.iter().collect();
        let storage = self.storage.as_ref();
        let catalog = &self.definitions.catalog;
        let rows_at_once = batch_rows(chosen.len());
        let (schema, rows): (_, Box<dyn Iterator<Item = Result<RecordBatch, Error>>>) =
            match self.choice.pile {
                Pile::Table(table) => (
                    Snapshot::file_schema(table, catalog),
                    Box::new(Merge::new(
                        storage,
                        table,
                        catalog,
                        &chosen,
                        rows_at_once,
                        None,
                    )?),
                ),
                Pile::Seen => (
                    seen::schema(),
                    Box::new(self.horizon.still_needed(storage, &chosen, rows_at_once)?),
                ),
            };
        let names = &self.choice.names;
        let clustering = self.clustering.as_ref();
        let clusters = clustering
            .and_then(|clustering| clustering.clusters(names.len()))
            .unwrap_or_else(Clusters::one);
        let mut writing: Vec<Option<Writing>> = Vec::new();
        writing.resize_with(names.len(), || None);
        for batch in rows {
            go_on(given_up)?;
            for (cluster, rows) in clusters.deal(batch?)? {
                let (Some(name), Some(place)) = (names.get(cluster), writing.get_mut(cluster))
                else {
                    return Err(Error::shape("there are more clusters than were asked for"));
                };
                let writing = match place {
                    Some(writing) => writing,
                    None => {
                        let begun = Writing::begin(storage, name, &schema, self.row_group_rows)?;
                        place.insert(begun)
                    }
                };
                writing.write(&rows)?;
            }
        }
        let (mut made, mut staged) = (Vec::new(), Vec::new());
        for writing in writing.into_iter().flatten() {
            if let Some((file, written)) = writing.end()? {
                made.push(file);
                staged.push(written);
            }
        }
        if !staged.is_empty() {
            storage.put(staged)?;
            self.fail.reached(Step::AfterMerge);
        }
        Ok(made)
    }
}

fn go_on(given_up: &AtomicBool) -> Result<(), Error> {
    match given_up.load(Ordering::Relaxed) {
        true => Err(Error::Worker {
            reason: "a merge of files was given up, since the projector stops".to_owned(),
        }),
        false => Ok(()),
    }
}
