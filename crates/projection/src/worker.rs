//! The blocking half of the projector: the state in memory, and the commits.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use assent_consent::SubjectId;
use assent_journal::Checkpoint;
use assent_vault::Vault;

use crate::compact::{BATCH_ROWS, Keep, Merge, choose};
use crate::metrics;
use crate::projector::Progress;
use crate::seen::{self, Window};
use crate::settings::{FailPoint, Settings};
use crate::store::{self, Store};
use crate::take_in::{LogBatch, State, Tools, live, write_seen};
use crate::{Counts, DataFile, Definitions, Error, Manifest, Snapshot, Table, files};

/// What a batch is folded into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The projection readers see, one commit a batch.
    Live,
    /// The generation being rebuilt, committed at the end.
    Rebuild,
}

/// What taking in one batch did.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) counts: Counts,
    pub(crate) commits: u64,
    pub(crate) compacted: Vec<Table>,
}

/// The projector's state and stores.
pub(crate) struct Worker {
    store: Store,
    vault: Arc<dyn Vault>,
    settings: Settings,
    /// `None` until loaded, and after every error.
    live: Option<State>,
    rebuild: Option<State>,
}

impl Worker {
    pub(crate) fn open(
        dir: &Path,
        vault: Arc<dyn Vault>,
        settings: Settings,
        fail: Arc<dyn FailPoint>,
    ) -> Result<Self, Error> {
        Ok(Self {
            store: Store::open(dir, fail)?,
            vault,
            settings,
            live: None,
            rebuild: None,
        })
    }

    pub(crate) fn dir(&self) -> &Path {
        self.store.dir()
    }

    /// Where the live projection stands; `None` when it was folded with other definitions and must be rebuilt.
    pub(crate) fn stand(&mut self, definitions: &Definitions) -> Result<Option<Checkpoint>, Error> {
        self.rebuild = None;
        let mut state = match self.live.take() {
            Some(state) => state,
            None => self.load(definitions)?,
        };
        if state.manifest.definitions_digest != definitions.digest() {
            return Ok(None);
        }
        let reworded = state.manifest.definitions != *definitions;
        if reworded || state.manifest.number == 0 {
            state.manifest.definitions = definitions.clone();
            self.publish(&mut state)?;
        }
        let checkpoint = state.manifest.checkpoint.clone();
        self.live = Some(state);
        Ok(Some(checkpoint))
    }

    /// Folds a batch; into the live projection with a commit, into a rebuild without.
    pub(crate) fn take_in(&mut self, target: Target, batch: LogBatch) -> Result<Done, Error> {
        let begin = Instant::now();
        let done = self.fold(target, batch)?;
        metrics::batch(&done.counts, begin.elapsed());
        Ok(done)
    }

    fn fold(&mut self, target: Target, batch: LogBatch) -> Result<Done, Error> {
        // Taken out, so that an error leaves nothing behind and the next run loads again.
        let slot = match target {
            Target::Live => self.live.take(),
            Target::Rebuild => self.rebuild.take(),
        };
        let mut state = slot.ok_or_else(|| Error::Worker {
            reason: "there is no state to fold into; run again".to_owned(),
        })?;
        let mut done = Done {
            counts: state.take_in(&self.tools(), batch)?,
            ..Done::default()
        };
        match target {
            Target::Live => {
                self.publish(&mut state)?;
                done.commits = 1;
                let before: Vec<DataFile> = state.manifest.all_files().cloned().collect();
                done.compacted = self.compact(&mut state)?;
                if state.manifest.all_files().ne(&before) {
                    self.publish(&mut state)?;
                    done.commits = 2;
                    // Only compaction leaves files without a use.
                    self.clean()?;
                }
                self.live = Some(state);
            }
            Target::Rebuild => {
                let before: Vec<DataFile> = state.manifest.all_files().cloned().collect();
                done.compacted = self.compact(&mut state)?;
                // No manifest names them, and none ever will.
                for file in &before {
                    if state.manifest.all_files().all(|kept| kept != file) {
                        self.store.discard(file)?;
                    }
                }
                self.rebuild = Some(state);
            }
        }
        Ok(done)
    }

    /// Completes the report of a run.
    pub(crate) fn settle(&mut self, progress: &mut Progress) -> Result<(), Error> {
        if let Some(state) = &self.live {
            progress.number = state.manifest.number;
            progress.checkpoint = state.manifest.checkpoint.clone();
        }
        Ok(())
    }

    /// Starts a generation from nothing.
    pub(crate) fn begin_rebuild(
        &mut self,
        definitions: Definitions,
        start: Checkpoint,
    ) -> Result<(), Error> {
        self.live = None;
        let number = store::numbers(self.store.dir())?
            .last()
            .copied()
            .unwrap_or(0);
        let generation = match store::latest(self.store.dir()) {
            Ok(manifest) => manifest.map_or(0, |manifest| manifest.generation + 1),
            // Every rebuild is a commit, so no generation is greater than its manifest's number.
            Err(Error::Corrupt { .. }) => number + 1,
            // Among others a newer program's manifest, which is not ours to replace.
            Err(other) => return Err(other),
        };
        let window = Window::new(definitions.dedup_window_micros);
        let mut manifest = Manifest::empty(definitions);
        manifest.number = number;
        manifest.generation = generation;
        manifest.checkpoint = start;
        self.rebuild = Some(State { manifest, window });
        Ok(())
    }

    /// Swaps to the new generation.
    pub(crate) fn finish_rebuild(&mut self, progress: &mut Progress) -> Result<(), Error> {
        let mut state = self.rebuild.take().ok_or_else(|| Error::Worker {
            reason: "there is no rebuild to finish; run again".to_owned(),
        })?;
        self.publish(&mut state)?;
        progress.commits = 1;
        self.clean()?;
        self.live = Some(state);
        self.settle(progress)
    }

    /// Merges all files of every table without the erased, and forgets what was before.
    pub(crate) fn purge(&mut self, definitions: &Definitions) -> Result<Progress, Error> {
        let mut state = match self.live.take() {
            Some(state) => state,
            None => self.load(definitions)?,
        };
        let mut progress = Progress::default();
        for table in Table::ALL {
            let all: Vec<usize> = (0..state.manifest.files(table).len()).collect();
            if all.is_empty() {
                continue;
            }
            let vault = Arc::clone(&self.vault);
            let mut keep = move |subjects: &[SubjectId]| {
                live(vault.as_ref(), subjects).map_err(|source| Error::Vault {
                    position: format!("compaction of {table}"),
                    source: Box::new(source),
                })
            };
            self.merge(&mut state, table, &all, Some(&mut keep))?;
            progress.compacted.push(table);
        }
        self.store.sync_data()?;
        self.publish(&mut state)?;
        progress.commits = 1;
        self.store.clean(1, Duration::ZERO)?;
        self.live = Some(state);
        self.settle(&mut progress)?;
        Ok(progress)
    }

    fn tools(&self) -> Tools<'_> {
        Tools {
            store: &self.store,
            vault: self.vault.as_ref(),
            settings: &self.settings,
        }
    }

    /// Loads the newest manifest and its de-duplication window.
    fn load(&self, definitions: &Definitions) -> Result<State, Error> {
        let dir = self.store.dir();
        let Some(manifest) = store::latest(dir)? else {
            return Ok(State {
                window: Window::new(definitions.dedup_window_micros),
                manifest: Manifest::empty(definitions.clone()),
            });
        };
        let mut window = Window::new(manifest.definitions.dedup_window_micros);
        for file in &manifest.seen {
            for batch in files::read(dir, file, 65_536)? {
                seen::restore_batch(&mut window, &batch?)?;
            }
        }
        // What a crash left is removed before anything new is written.
        self.clean()?;
        Ok(State { manifest, window })
    }

    fn clean(&self) -> Result<(), Error> {
        let Settings {
            keep_manifests,
            keep_for,
            ..
        } = self.settings;
        self.store.clean(keep_manifests, keep_for)
    }

    fn publish(&self, state: &mut State) -> Result<(), Error> {
        let mut next = state.manifest.clone();
        next.number += 1;
        next.parent = (state.manifest.number > 0).then_some(state.manifest.number);
        self.store.publish(&mut next)?;
        metrics::committed(&next.checkpoint);
        tracing::debug!(manifest = next.number, checkpoint = %next.checkpoint, "committed");
        state.manifest = next;
        Ok(())
    }

    /// Compacts the tables with too many files; nothing is published here.
    fn compact(&self, state: &mut State) -> Result<Vec<Table>, Error> {
        let mut compacted = Vec::new();
        for table in Table::ALL {
            if let Some(chosen) = choose(state.manifest.files(table), self.settings.max_files) {
                self.merge(state, table, &chosen, None)?;
                compacted.push(table);
            }
        }
        if state.manifest.seen.len() > self.settings.max_files {
            state.window.forget_expired();
            let number = state.manifest.number + 1;
            let file = write_seen(&self.tools(), number, &state.window.all())?;
            state.manifest.seen = file.into_iter().collect();
        }
        self.store.sync_data()?;
        Ok(compacted)
    }

    /// Replaces the chosen files of a table by one.
    fn merge<'k>(
        &self,
        state: &mut State,
        table: Table,
        chosen: &[usize],
        keep: Option<&'k mut Keep<'k>>,
    ) -> Result<(), Error> {
        let old = state.manifest.files(table);
        let merged: Vec<&DataFile> = chosen.iter().map(|at| &old[*at]).collect();
        let catalog = &state.manifest.definitions.catalog;
        let file = files::write(
            &self.store,
            table.as_str(),
            state.manifest.number + 1,
            &Snapshot::file_schema(table, catalog),
            self.settings.row_group_rows,
            Merge::new(self.store.dir(), table, catalog, &merged, BATCH_ROWS, keep)?,
        )?;
        metrics::compacted(table);
        let mut at = 0;
        let files = state.manifest.tables.entry(table).or_default();
        files.retain(|_| {
            at += 1;
            !chosen.contains(&(at - 1))
        });
        files.extend(file);
        Ok(())
    }
}
