//! The blocking half of the projector: the shards in memory, the commits, and what follows from a commit.
//!
//! Everything that is committed goes through [`Worker::commit`], which takes the newest manifest, sees what became of
//! the shards held here, puts them onto it, and tries for the next number as long as others win it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use assent_event::topics;
use assent_journal::Checkpoint;
use assent_vault::Vault;

use crate::chain::{Chain, Committed, pause_after_loss};
use crate::clean::Cleaner;
use crate::held::{Held, ShardBatch};
use crate::manifest::Generation;
use crate::merges::Merges;
use crate::progress::{Fenced, Progress, Rebuilt, ShardProgress};
use crate::rests::Rests;
use crate::settings::{FailPoint, Settings, Step};
use crate::shard::{Line, Next, Shard, Standing};
use crate::storage::Storage;
use crate::take_in::Tools;
use crate::{Clustering, Counts, Definitions, Error, Manifest, Owner, metrics};

/// What a run wants to hold, and what it folds with.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) shards: BTreeSet<u32>,
    pub(crate) partitions: u32,
    pub(crate) definitions: Definitions,
}

/// The projector's state and stores.
pub(crate) struct Worker {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) vault: Arc<dyn Vault>,
    /// Whose rows are to lie together, if that matters.
    pub(crate) clustering: Option<Arc<dyn Clustering>>,
    pub(crate) settings: Settings,
    pub(crate) fail: Arc<dyn FailPoint>,
    owner: Owner,
    /// Counts the files named.
    given: Arc<AtomicU64>,
    chain: Chain,
    cleaner: Cleaner,
    /// The newest manifest known.
    newest: Option<Arc<Manifest>>,
    pub(crate) held: BTreeMap<u32, Held>,
    /// Merges of files, also of shards that are held no more.
    pub(crate) merges: Merges,
    pub(crate) rests: Rests,
    pub(crate) progress: Progress,
}

impl Worker {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        vault: Arc<dyn Vault>,
        clustering: Option<Arc<dyn Clustering>>,
        owner: Owner,
        settings: Settings,
        fail: Arc<dyn FailPoint>,
    ) -> Self {
        Self {
            chain: Chain::new(Arc::clone(&storage), Arc::clone(&fail)),
            cleaner: Cleaner::default(),
            storage,
            vault,
            clustering,
            settings,
            fail,
            owner,
            given: Arc::default(),
            newest: None,
            held: BTreeMap::new(),
            merges: Merges::default(),
            rests: Rests::default(),
            progress: Progress::default(),
        }
    }

    /// Forgets what is in memory: after an error it may be spoilt, or its commit may yet come to stand. Whatever is
    /// wanted again is taken over anew, by a commit, which settles both.
    pub(crate) fn forget(&mut self) {
        self.held.clear();
        self.rests.end();
        self.newest = None;
        metrics::holds(0);
    }

    /// Begins a run. The positions from which each shard held goes on; `None` when `start`, where the journal begins, is
    /// needed, since shards are to be taken over: then it is to be called again, with it.
    pub(crate) fn stand(
        &mut self,
        wish: &Wish,
        start: Option<&Checkpoint>,
    ) -> Result<Option<BTreeMap<u32, Checkpoint>>, Error> {
        if start.is_none() {
            self.progress = Progress::default();
        }
        self.held.retain(|number, _| wish.shards.contains(number));
        self.refresh()?;
        let base = self.base();
        if base.partitions > wish.partitions {
            return Err(Error::Partitions {
                topic: topics::PROFILE.to_owned(),
                found: wish.partitions,
                expected: base.partitions,
            });
        }
        let digest = wish.definitions.digest();
        let wanted = base.outdated(&digest);
        // Beginning or giving up a generation is done by taking the shard over once more: there is one way to do it.
        self.held
            .retain(|_, held| fits(held.now.next.as_ref(), &base, wanted, &digest));
        let taken: Vec<u32> = wish
            .shards
            .iter()
            .copied()
            .filter(|number| !self.held.contains_key(number))
            .collect();
        let nothing = Checkpoint::new();
        let start = match start {
            Some(start) => start,
            None if !taken.is_empty() => return Ok(None),
            None => &nothing,
        };
        self.take_over(wish, &taken, start, &digest)?;
        metrics::holds(self.held.len());
        let making = |held: &Held| held.now.next.as_ref().is_some_and(|next| !next.complete);
        self.progress.rebuilt = wanted.filter(|_| self.held.values().any(making));
        self.purge_as_asked()?;
        let forgotten = self.cleaner.is_behind(&self.base());
        if !taken.is_empty() || forgotten {
            self.clean()?;
        }
        let stands = self.held.values();
        Ok(Some(
            stands
                .map(|held| (held.number, held.now.line().checkpoint.clone()))
                .collect(),
        ))
    }

    /// Takes shards over: raises their epochs to the number of the commit and loads what stands there.
    fn take_over(
        &mut self,
        wish: &Wish,
        taken: &[u32],
        start: &Checkpoint,
        digest: &str,
    ) -> Result<(), Error> {
        let owner = self.owner;
        let definitions = &wish.definitions;
        self.commit(|next| {
            let mut changed = !taken.is_empty();
            if next.number == 1 {
                next.live = Some(Generation {
                    number: 0,
                    digest: digest.to_owned(),
                    definitions: definitions.clone(),
                });
            }
            if let Some(live) = &mut next.live
                && live.digest == digest
                && live.definitions != *definitions
            {
                // Reworded: nothing is folded otherwise for that.
                live.definitions = definitions.clone();
                changed = true;
            }
            next.partitions = next.partitions.max(wish.partitions);
            let wanted = next.outdated(digest);
            for number in taken {
                let beginning = || Line::starting(partitions_of(start, *number));
                let mut shard = next.shards.remove(number).unwrap_or_else(|| Shard {
                    epoch: 0,
                    owner,
                    purged: next.purge,
                    live: beginning(),
                    next: None,
                });
                shard.epoch = next.number;
                shard.owner = owner;
                if !fits(shard.next.as_ref(), next, wanted, digest) {
                    shard.next = wanted.map(|_| Next {
                        generation: next.next_generation(),
                        digest: digest.to_owned(),
                        definitions: definitions.clone(),
                        complete: false,
                        line: beginning(),
                    });
                }
                next.shards.insert(*number, shard);
            }
            changed
        })?;
        let manifest = self.base();
        for number in taken {
            let storage = self.storage.as_ref();
            let loaded = Held::load(storage, &manifest, *number, &owner, &self.given);
            let left = manifest.shards.get(number);
            if let Some(shard) = self.unless_lost(*number, left, loaded)? {
                tracing::info!(shard = number, epoch = shard.base.epoch, "shard taken over");
                self.held.insert(*number, shard);
            }
        }
        Ok(())
    }

    /// Folds batches that begin where their shards stand, and commits. Those of shards lost meanwhile are left alone.
    pub(crate) fn take_in(&mut self, batches: Vec<ShardBatch>) -> Result<(), Error> {
        let begin = Instant::now();
        let records: usize = batches.iter().map(|batch| batch.records.len()).sum();
        let _span = tracing::info_span!("projection batch", records).entered();
        let mut taken = Counts::default();
        for batch in &batches {
            let Some(mut held) = self.held.remove(&batch.shard) else {
                continue;
            };
            if held.now.line().checkpoint != batch.from {
                // A shard is taken over at the beginning of a run only, so nothing can have moved it since.
                return Err(Error::Worker {
                    reason: format!(
                        "records of shard {} were read from elsewhere than where it stands",
                        batch.shard
                    ),
                });
            }
            let counts = held.take_in(&self.tools(), batch)?;
            taken.add(&counts);
            self.of_shard(batch.shard).counts.add(&counts);
            self.held.insert(batch.shard, held);
        }
        self.commit(|_| false)?;
        self.progress.counts.add(&taken);
        metrics::batch(&taken, begin.elapsed());
        Ok(())
    }

    pub(crate) fn publish_compacted(&mut self) -> Result<(), Error> {
        self.commit(|_| false)?;
        self.clean()
    }

    /// Says which generations have caught up with `end`, and returns which shards have.
    pub(crate) fn settle(&mut self, end: &Checkpoint) -> Result<BTreeSet<u32>, Error> {
        let mut resting = BTreeSet::new();
        for held in self.held.values_mut() {
            let stands = &held.now.line().checkpoint;
            let caught_up = stands.covers(&partitions_of(end, held.number));
            if caught_up {
                resting.insert(held.number);
            }
            if let Some(next) = &mut held.now.next {
                next.complete |= caught_up;
            }
        }
        let before = self.base().generation();
        self.commit(|_| false)?;
        if self.base().generation() != before {
            self.clean()?;
        }
        Ok(resting)
    }

    /// Asks every owner to fold everything again. Where nothing can be read, a new beginning is made.
    pub(crate) fn request_rebuild(&mut self) -> Result<(), Error> {
        match self.refresh() {
            Ok(()) => {}
            Err(Error::Corrupt { .. } | Error::Outdated { .. }) => {
                self.forget();
                let damaged = Manifest::after_damage(self.chain.newest_number()?);
                self.newest = Some(Arc::new(damaged));
            }
            // Among others a newer program's manifest, which is not ours to replace.
            Err(other) => return Err(other),
        }
        if self.newest.is_some() {
            self.commit(|next| {
                next.want_rebuild();
                true
            })?;
        }
        Ok(())
    }

    /// Asks every owner to purge the erased.
    pub(crate) fn request_purge(&mut self) -> Result<(), Error> {
        // Before the first manifest there is nothing to be purged.
        if self.newest.is_none() {
            return Ok(());
        }
        self.commit(|next| {
            next.purge = next.number;
            true
        })
    }

    /// Purges the shards held of the erased, where their owner was asked to, and what is left of it lying about.
    pub(crate) fn answer_purge(&mut self) -> Result<(), Error> {
        if self.newest.is_none() {
            return Ok(());
        }
        self.purge_as_asked()?;
        self.clean()
    }

    /// Ends a run: says what it did.
    pub(crate) fn report(&mut self, end: &Checkpoint) -> Result<Progress, Error> {
        let manifest = self.base();
        let mut progress = std::mem::take(&mut self.progress);
        progress.number = manifest.number;
        progress.checkpoint = manifest.checkpoint();
        progress.to_be_rebuilt = manifest.to_be_rebuilt();
        progress.to_be_purged = manifest.to_be_purged();
        progress
            .shards
            .retain(|number, _| self.held.contains_key(number));
        for held in self.held.values() {
            let shard = progress.shards.entry(held.number).or_default();
            shard.epoch = held.base.epoch;
            shard.next = held.now.line().checkpoint.clone();
            shard.end = partitions_of(end, held.number);
        }
        Ok(progress)
    }

    /// Publishes what `edit` changes (it says whether it does) and what the shards held have become, on top of whatever
    /// others have committed. Nothing is published when nothing changed.
    fn commit(&mut self, edit: impl Fn(&mut Manifest) -> bool) -> Result<(), Error> {
        for attempt in 0.. {
            let mut next = self.base().child(self.owner);
            let mut changed = edit(&mut next);
            let mut staged = Vec::new();
            for held in self.held.values_mut().filter(|held| held.changed()) {
                changed = true;
                staged.append(&mut held.staged);
                next.shards.insert(held.number, held.now.clone());
            }
            if !changed {
                return Ok(());
            }
            if !staged.is_empty() {
                self.storage.put(staged)?;
                self.fail.reached(Step::AfterData);
            }
            next.swap_when_complete();
            next.forget_when_purged();
            let span = tracing::info_span!("projection commit", manifest = next.number);
            match span.in_scope(|| self.chain.publish(&mut next))? {
                Committed::Ours => {
                    let stands = self.held.values();
                    metrics::committed(stands.map(|held| &held.now.line().checkpoint));
                    tracing::debug!(manifest = next.number, "committed");
                    self.progress.commits += 1;
                    let next = Arc::new(next);
                    for (number, held) in &mut self.held {
                        if held.changed() {
                            self.progress.shards.entry(*number).or_default().commits += 1;
                        }
                        if let Some(shard) = next.shards.get(number) {
                            held.committed(shard);
                        }
                    }
                    self.newest = Some(next);
                    return Ok(());
                }
                Committed::Lost => {
                    tracing::debug!(manifest = next.number, "another projector was faster");
                    std::thread::sleep(pause_after_loss(&self.owner, attempt));
                    self.refresh()?;
                }
            }
        }
        Ok(())
    }

    /// Finds the newest manifest, and what it says of the shards held.
    pub(crate) fn refresh(&mut self) -> Result<(), Error> {
        self.newest = self.chain.latest(self.newest.as_ref())?;
        let newest = self.base();
        let (mut fenced, mut moved) = (Vec::new(), Vec::new());
        for (number, held) in &mut self.held {
            let found = newest.shards.get(number);
            match held.base.standing(found) {
                Standing::Same => {}
                Standing::Swapped => {
                    if let (Some(found), Some(now)) = (found, held.now.clone().swapped()) {
                        held.base = found.clone();
                        held.now = now;
                    }
                }
                Standing::Moved => {
                    tracing::warn!(shard = number, "an earlier commit of ours stands after all");
                    moved.push(*number);
                }
                Standing::Fenced(by) => {
                    fenced.push(Fenced {
                        shard: *number,
                        epoch: held.base.epoch,
                        by,
                    });
                }
            }
        }
        for number in moved {
            self.held.remove(&number);
        }
        for one in fenced {
            if let Some(held) = self.held.remove(&one.shard) {
                self.discard(&held);
            }
            self.fenced(one);
        }
        Ok(())
    }

    /// What was done with the files of a shard that was left in some way; `None` when that failed because the shard was
    /// lost meanwhile and its new owner has replaced the files: after a pause longer than they are kept.
    pub(crate) fn unless_lost<T>(
        &mut self,
        number: u32,
        left: Option<&Shard>,
        done: Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let (error, left) = match (done, left) {
            (Ok(done), _) => return Ok(Some(done)),
            (Err(error @ Error::Corrupt { .. }), Some(left)) => (error, left),
            (Err(error), _) => return Err(error),
        };
        self.refresh()?;
        match left.standing(self.base().shards.get(&number)) {
            Standing::Fenced(by) => {
                self.fenced(Fenced {
                    shard: number,
                    epoch: left.epoch,
                    by,
                });
                Ok(None)
            }
            Standing::Same | Standing::Swapped | Standing::Moved => Err(error),
        }
    }

    fn fenced(&mut self, fenced: Fenced) {
        tracing::warn!(%fenced, "shard lost; if this repeats, two projectors are given the same shard");
        metrics::lost();
        metrics::holds(self.held.len());
        self.progress.fenced.push(fenced);
    }

    /// Removes what was written for a shard since its last commit and can no longer be committed. Its present owner would
    /// find it, too, but perhaps much later. What may have been committed without our learning it is not here: after such
    /// an error nothing is held.
    fn discard(&self, lost: &Held) {
        let kept: BTreeSet<&str> = lost.base.all_files().map(|file| &*file.path).collect();
        for file in lost.now.all_files() {
            if !kept.contains(&*file.path)
                && let Err(error) = self.storage.remove(&file.path)
            {
                tracing::warn!(%error, "a file of a lost shard stays until its owner cleans up");
            }
        }
    }

    /// The manifest on which the next one is built.
    pub(crate) fn base(&self) -> Arc<Manifest> {
        match &self.newest {
            Some(newest) => Arc::clone(newest),
            None => Arc::new(Manifest::nothing()),
        }
    }

    pub(crate) fn of_shard(&mut self, number: u32) -> &mut ShardProgress {
        self.progress.shards.entry(number).or_default()
    }

    /// Purges the shards held of the erased, where their owner was asked to.
    fn purge_as_asked(&mut self) -> Result<(), Error> {
        if self.purge()? {
            self.commit(|_| false)?;
        }
        Ok(())
    }

    fn clean(&mut self) -> Result<(), Error> {
        let base = self.base();
        let storage = self.storage.as_ref();
        let (keep, keep_for) = (self.settings.keep_manifests, self.settings.keep_for);
        self.cleaner
            .clean(storage, &base, &self.held, &self.merges, keep, keep_for)
    }

    pub(crate) fn tools(&self) -> Tools<'_> {
        Tools {
            storage: self.storage.as_ref(),
            vault: self.vault.as_ref(),
            settings: &self.settings,
            fail: self.fail.as_ref(),
        }
    }
}

/// Whether a shard whose generation in the making is `next` is what somebody who folds by `digest` needs.
fn fits(next: Option<&Next>, manifest: &Manifest, wanted: Option<Rebuilt>, digest: &str) -> bool {
    match (next, wanted) {
        (None, None) => true,
        (Some(next), Some(_)) => {
            next.digest == digest && next.generation >= manifest.next_generation()
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// The part of a checkpoint that is about one shard.
pub(crate) fn partitions_of(checkpoint: &Checkpoint, shard: u32) -> Checkpoint {
    let mut part = Checkpoint::new();
    for (topic, partition, next) in checkpoint.iter() {
        if partition == shard {
            part.set(topic, partition, next);
        }
    }
    part
}
