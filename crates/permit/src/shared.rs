//! What the applier writes and readers read.

use std::sync::Arc;

use assent_journal::Checkpoint;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};

use crate::config::{Config, Hooks};
use crate::error::Error;
use crate::state::State;

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) hooks: Hooks,
    /// Wakes the applier when somebody waits for it.
    pub(crate) nudge: Notify,
    state: RwLock<Arc<State>>,
    /// Tells those who wait that there was progress, or that there will be none.
    progress: watch::Sender<Checkpoint>,
    /// Why the applier cannot go on just now.
    trouble: Mutex<Option<Error>>,
    /// Why it stopped for good.
    stopped: RwLock<Option<Error>>,
}

impl Shared {
    pub(crate) fn new(config: Config, state: State) -> Self {
        let (progress, _) = watch::channel(state.applied.clone());
        Self {
            config,
            hooks: Hooks::default(),
            nudge: Notify::new(),
            state: RwLock::new(Arc::new(state)),
            progress,
            trouble: Mutex::new(None),
            stopped: RwLock::new(None),
        }
    }

    /// A snapshot of everything applied.
    pub(crate) fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read())
    }

    /// Changes the state; readers who hold a snapshot keep it. Progress is told only of a change
    /// that succeeded.
    pub(crate) fn change(
        &self,
        change: impl FnOnce(&mut State) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let applied = {
            let mut state = self.state.write();
            let state = Arc::make_mut(&mut state);
            change(state)?;
            state.applied.clone()
        };
        self.progress.send_replace(applied);
        Ok(())
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Checkpoint> {
        self.progress.subscribe()
    }

    pub(crate) fn trouble(&self, error: Error) {
        *self.trouble.lock() = Some(error);
    }

    pub(crate) fn calm(&self) {
        *self.trouble.lock() = None;
    }

    pub(crate) fn last_trouble(&self) -> Option<Error> {
        self.trouble.lock().clone()
    }

    pub(crate) fn stop(&self, error: Error) {
        *self.stopped.write() = Some(error);
        self.progress.send_modify(|_| ());
    }

    /// # Errors
    /// Why the index stopped for good, if it did.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.stopped.read().as_ref() {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }
}
