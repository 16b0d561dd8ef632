//! The merges under way beside the fold: one where there are too many files, one at rest.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::merging::{Choice, Merged, Merging, When};
use crate::{DataFile, Error};

/// Starts merges, on threads that may block, and knows of each until what came of it was gathered. Dropped, it has them
/// stop.
pub(crate) struct Merges {
    /// By the names of the files that come of them. No name is given twice.
    under_way: BTreeMap<Vec<String>, Choice>,
    gathered: mpsc::Receiver<Outcome>,
    gather: mpsc::Sender<Outcome>,
    /// How many have ended, for whoever waits for that.
    ended: watch::Sender<u64>,
    given_up: Arc<AtomicBool>,
}

/// What came of the merge with these names.
struct Outcome {
    names: Vec<String>,
    took: Duration,
    made: Result<Vec<DataFile>, Error>,
}

impl Default for Merges {
    fn default() -> Self {
        let (gather, gathered) = mpsc::channel();
        Self {
            under_way: BTreeMap::new(),
            gathered,
            gather,
            ended: watch::Sender::new(0),
            given_up: Arc::default(),
        }
    }
}

impl Merges {
    /// Counts the merges that have ended.
    pub(crate) fn ended(&self) -> watch::Receiver<u64> {
        self.ended.subscribe()
    }

    /// Set to true, it has merges stop soon, for good.
    pub(crate) fn given_up(&self) -> &Arc<AtomicBool> {
        &self.given_up
    }

    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Whether one of that kind is under way.
    pub(crate) fn is_under_way(&self, when: When) -> bool {
        self.under_way.values().any(|choice| choice.when == when)
    }

    /// Whether one reads files of the shard, under whichever epoch.
    pub(crate) fn is_at(&self, shard: u32) -> bool {
        self.under_way.values().any(|choice| choice.shard == shard)
    }

    /// Whether one reads the file.
    pub(crate) fn reads(&self, path: &str) -> bool {
        let mut files = self.under_way.values().flat_map(|choice| &choice.files);
        files.any(|file| file.path == path)
    }

    /// The files that may come of them.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.under_way.keys().flatten()
    }

    /// Starts one.
    pub(crate) fn begin(&mut self, merging: Merging) {
        let names = merging.choice.names.clone();
        self.under_way.insert(names.clone(), merging.choice.clone());
        let (gather, ended) = (self.gather.clone(), self.ended.clone());
        let given_up = Arc::clone(&self.given_up);
        let span = tracing::Span::current();
        tokio::task::spawn_blocking(move || {
            let _within = span.entered();
            let begin = Instant::now();
            let made = std::panic::catch_unwind(AssertUnwindSafe(|| merging.run(&given_up)));
            let made = made.unwrap_or_else(|_| {
                Err(Error::Worker {
                    reason: "a merge of files panicked".to_owned(),
                })
            });
            // Nobody gathers any more when the projector is gone.
            let _ = gather.send(Outcome {
                names,
                took: begin.elapsed(),
                made,
            });
            ended.send_modify(|ended| *ended += 1);
        });
    }

    /// What has come of those that have ended since it was asked last.
    pub(crate) fn gather(&mut self) -> Vec<Merged> {
        let under_way = &mut self.under_way;
        let gathered = self.gathered.try_iter();
        gathered
            .filter_map(|Outcome { names, took, made }| {
                let choice = under_way.remove(&names)?;
                Some(Merged { choice, took, made })
            })
            .collect()
    }

    /// Whether those under way are to stop.
    pub(crate) fn are_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }
}

impl Drop for Merges {
    fn drop(&mut self) {
        self.given_up.store(true, Ordering::Relaxed);
    }
}
