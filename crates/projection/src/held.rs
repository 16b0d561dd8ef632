//! A shard in the memory of its owner: as it was committed, and as it will be.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use assent_journal::{Checkpoint, Stored};

use crate::names::Names;
use crate::seen::{self, Window};
use crate::shard::{Pile, Shard};
use crate::storage::{Staged, Storage};
use crate::{Definitions, Error, Manifest, Owner, files};

/// Records of one shard read from the journal, with the positions before and behind them.
#[derive(Debug)]
pub(crate) struct ShardBatch {
    pub(crate) shard: u32,
    /// Where the line must stand for this to follow.
    pub(crate) from: Checkpoint,
    /// Where it stands afterwards.
    pub(crate) to: Checkpoint,
    /// Records of one partition are in order.
    pub(crate) records: Vec<Stored>,
}

/// A shard that this process owns.
pub(crate) struct Held {
    pub(crate) number: u32,
    /// As the newest manifest known has it.
    pub(crate) base: Shard,
    /// As the next commit will have it.
    pub(crate) now: Shard,
    /// The window of the line that is being folded.
    pub(crate) window: Window,
    /// The definitions of that line.
    pub(crate) definitions: Arc<Definitions>,
    pub(crate) names: Names,
    /// Files written and not yet put into the storage.
    pub(crate) staged: Vec<Staged>,
    /// What was put together at this rest, or could not be: it has its turn again at the next one.
    pub(crate) put_off: BTreeSet<Pile>,
}

impl Held {
    /// Loads a shard that this owner has just taken over in the manifest.
    pub(crate) fn load(
        storage: &dyn Storage,
        manifest: &Manifest,
        number: u32,
        owner: &Owner,
        given: &Arc<AtomicU64>,
    ) -> Result<Self, Error> {
        let nothing = || Error::Worker {
            reason: format!("shard {number} has nothing to be folded into; run again"),
        };
        let shard = manifest.shards.get(&number).ok_or_else(nothing)?;
        let definitions = match &shard.next {
            Some(next) => &next.definitions,
            None => &manifest.live.as_ref().ok_or_else(nothing)?.definitions,
        };
        let mut held = Self {
            number,
            window: Window::new(definitions.dedup_window_micros),
            definitions: Arc::new(definitions.clone()),
            names: Names::new(number, shard.epoch, owner, given),
            staged: Vec::new(),
            put_off: BTreeSet::new(),
            base: shard.clone(),
            now: shard.clone(),
        };
        for file in &held.base.line().seen {
            for batch in files::read(storage, file, 65_536)? {
                seen::restore_batch(&mut held.window, &batch?)?;
            }
        }
        Ok(held)
    }

    /// Whether the next commit changes it.
    pub(crate) fn changed(&self) -> bool {
        self.now != self.base
    }

    /// Remembers that it was committed as the manifest has it.
    pub(crate) fn committed(&mut self, shard: &Shard) {
        self.base = shard.clone();
        self.now = shard.clone();
    }
}
