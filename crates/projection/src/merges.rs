//! The merges under way beside the fold: one where there are too many files, one at rest.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::Error;
use crate::merging::{Merged, Merging, When};

/// Starts merges, on threads that may block, and gathers what comes of them. Dropped, it has them stop.
pub(crate) struct Merges {
    busy: bool,
    at_rest: bool,
    gathered: mpsc::UnboundedReceiver<Outcome>,
    gather: mpsc::UnboundedSender<Outcome>,
    /// How many have ended, for whoever waits for that.
    ended: watch::Sender<u64>,
    given_up: Arc<AtomicBool>,
}

struct Outcome {
    when: When,
    /// An error when the merge panicked.
    merged: Result<Merged, Error>,
}

impl Default for Merges {
    fn default() -> Self {
        let (gather, gathered) = mpsc::unbounded_channel();
        Self {
            busy: false,
            at_rest: false,
            gathered,
            gather,
            ended: watch::Sender::new(0),
            given_up: Arc::default(),
        }
    }
}

impl Merges {
    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        !self.busy && !self.at_rest
    }

    /// Whether one of that kind is under way.
    pub(crate) fn is_under_way(&self, when: When) -> bool {
        match when {
            When::Busy => self.busy,
            When::AtRest => self.at_rest,
        }
    }

    /// Counts the merges that have ended.
    pub(crate) fn ended(&self) -> watch::Receiver<u64> {
        self.ended.subscribe()
    }

    /// Starts one.
    pub(crate) fn begin(&mut self, merging: Merging) {
        let when = merging.choice.when;
        self.note(when, true);
        let (gather, ended) = (self.gather.clone(), self.ended.clone());
        let given_up = Arc::clone(&self.given_up);
        let span = tracing::Span::current();
        tokio::task::spawn_blocking(move || {
            let _within = span.entered();
            let merged = std::panic::catch_unwind(AssertUnwindSafe(|| merging.run(&given_up)));
            let merged = merged.map_err(|_| Error::Worker {
                reason: "a merge of files panicked".to_owned(),
            });
            // Nobody gathers any more when the projector is gone.
            let _ = gather.send(Outcome { when, merged });
            ended.send_modify(|ended| *ended += 1);
        });
    }

    /// What has come of those that have ended since it was asked last.
    ///
    /// # Errors
    /// [`Error::Worker`] when one panicked.
    pub(crate) fn gather(&mut self) -> Result<Vec<Merged>, Error> {
        let mut gathered = Vec::new();
        while let Ok(outcome) = self.gathered.try_recv() {
            self.note(outcome.when, false);
            gathered.push(outcome.merged?);
        }
        Ok(gathered)
    }

    /// Waits until one has ended, for so long at most. Whether one has.
    pub(crate) async fn one_ended(&self, at_most: Duration) -> bool {
        let mut ended = self.ended.subscribe();
        let waited = async { !self.gathered.is_empty() || ended.changed().await.is_ok() };
        tokio::time::timeout(at_most, waited).await.is_ok()
    }

    /// Has those under way stop soon; what comes of them is an error.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    fn note(&mut self, when: When, under_way: bool) {
        match when {
            When::Busy => self.busy = under_way,
            When::AtRest => self.at_rest = under_way,
        }
    }
}

impl Drop for Merges {
    fn drop(&mut self) {
        self.give_up();
    }
}
