//! Removing what nobody needs any more: old manifests, files that no manifest names, what died half-written.
//!
//! # Who removes what
//!
//! *Manifests* are removed by whoever comes by, in ascending order: those that must not be kept (after a purge), and
//! those that were superseded long enough ago.
//!
//! *Data files* are removed by the present owner of their shard alone, and only those of its own epoch or an earlier
//! one that no kept manifest and nothing in the owner's memory names. This is safe without locks:
//!
//! - A rival that took the shard over meanwhile writes under a greater epoch; what it goes on using of the older files
//!   stands in the manifest by which the owner knows its shard, and is kept.
//! - A rival that lost the shard can no longer commit what it wrote, so its files are nobody's.
//! - A commit of the owner's own whose outcome is unknown names files that must not be removed as long as it may yet
//!   come to stand. After such an error the owner forgets its shards and takes them over again; that commit has the
//!   number which the unknown one wanted, so it can no longer come to stand when anything is removed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::chain::{self, name_of, number_of};
use crate::held::Held;
use crate::merges::Merges;
use crate::names::shard_and_epoch;
use crate::storage::{DATA, MANIFESTS, Storage};
use crate::{Error, Manifest};

/// Removes, and remembers what manifests name, since these never change.
#[derive(Debug, Default)]
pub(crate) struct Cleaner {
    known: BTreeMap<u64, BTreeSet<String>>,
    forgotten: u64,
}

impl Cleaner {
    /// Whether manifests that must not be kept may still be there.
    pub(crate) fn is_behind(&self, newest: &Manifest) -> bool {
        self.forgotten < newest.forget_before
    }

    /// Removes what can be removed by the owner of `held`, whose shards stand in `newest` as they are held. Nothing of
    /// what is held may be half-written, but what comes of `merges` may.
    ///
    /// A manifest is old when `keep` newer ones are there and its successor is older than the newest by `keep_for`,
    /// by the clock of the storage, so that no other is asked. A damaged manifest names nothing.
    pub(crate) fn clean(
        &mut self,
        storage: &dyn Storage,
        newest: &Manifest,
        held: &BTreeMap<u32, Held>,
        merges: &Merges,
        keep: usize,
        keep_for: Duration,
    ) -> Result<(), Error> {
        let mut manifests = Vec::new();
        for entry in storage.list(MANIFESTS, "")? {
            if let Some(number) = number_of(&entry.name) {
                manifests.push((number, entry.created_at));
            }
        }
        let spare = manifests.len().saturating_sub(keep.max(1));
        let mut old = 0;
        if let Some((_, last)) = manifests.last() {
            while let Some((_, superseded)) = manifests.get(old + 1) {
                let waited = last.duration_since(*superseded).unwrap_or_default();
                let spared = old >= spare || waited < keep_for;
                if manifests[old].0 >= newest.forget_before && spared {
                    break;
                }
                old += 1;
            }
        }
        for (number, _) in &manifests[..old] {
            storage.remove(&name_of(*number))?;
        }
        self.forgotten = newest.forget_before;
        let kept: BTreeSet<u64> = manifests[old..].iter().map(|(number, _)| *number).collect();
        let named = self.named(storage, newest, held, merges, &kept)?;
        for entry in storage.list(DATA, "")? {
            let ours = match shard_and_epoch(&entry.name) {
                Some((shard, epoch)) => held
                    .get(&shard)
                    .is_some_and(|held| epoch <= held.base.epoch),
                // Left by an older format, whose programs cannot be at work here any more.
                None => true,
            };
            let name = format!("{DATA}/{}", entry.name);
            if ours && !named.contains(&name) {
                storage.remove(&name)?;
            }
        }
        storage.sweep(&|file| match (shard_and_epoch(file), number_of(file)) {
            (Some((shard, epoch)), _) => {
                held.get(&shard).is_some_and(|held| epoch < held.base.epoch)
            }
            (None, Some(number)) => number <= newest.number,
            (None, None) => true,
        })?;
        storage.forget_copies(&|name| named.contains(name))
    }

    /// Every data file that somebody may want.
    fn named(
        &mut self,
        storage: &dyn Storage,
        newest: &Manifest,
        held: &BTreeMap<u32, Held>,
        merges: &Merges,
        kept: &BTreeSet<u64>,
    ) -> Result<BTreeSet<String>, Error> {
        self.known.retain(|number, _| kept.contains(number));
        self.known.insert(newest.number, paths(newest));
        for number in kept {
            if self.known.contains_key(number) {
                continue;
            }
            match chain::read(storage, *number) {
                Ok(Some(manifest)) => {
                    self.known.insert(*number, paths(&manifest));
                }
                // Removed by another in the meantime, or it names nothing that could be read.
                Ok(None) | Err(Error::Corrupt { .. } | Error::Outdated { .. }) => {}
                Err(other) => return Err(other),
            }
        }
        let in_memory = held.values().flat_map(|held| held.now.all_files());
        let in_memory = in_memory.map(|file| &file.path);
        let in_memory = in_memory.chain(merges.names()).cloned();
        Ok(self
            .known
            .values()
            .flatten()
            .cloned()
            .chain(in_memory)
            .collect())
    }
}

fn paths(manifest: &Manifest) -> BTreeSet<String> {
    manifest.all_files().map(|file| file.path.clone()).collect()
}
