//! What a run of the projector did and where it stands: for people, and for metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use assent_journal::Checkpoint;

use crate::{Counts, Table};

/// Why a projection was folded again from the journal's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rebuilt {
    /// [`crate::Projector::rebuild`] was called.
    Asked,
    /// The definitions (trait catalogue, calendar, window) or the fold itself changed.
    DefinitionsChanged,
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Number of the newest manifest known.
    pub number: u64,
    /// Manifests published by this run.
    pub commits: u64,
    /// What became of the records read in this run.
    pub counts: Counts,
    /// Where the projection that readers see stands, in all shards.
    pub checkpoint: Checkpoint,
    /// Tables compacted, in one shard or several.
    pub compacted: BTreeSet<Table>,
    /// Whether the shards held were folded again from the journal's start, and why.
    pub rebuilt: Option<Rebuilt>,
    /// Shards, held by whomever, that have not yet caught up in the generation being made. Readers see the old one as
    /// long as there are any.
    pub to_be_rebuilt: BTreeSet<u32>,
    /// Shards, held by whomever, from which the erased are still to be purged.
    pub to_be_purged: BTreeSet<u32>,
    /// The shards held at the end of the run.
    pub shards: BTreeMap<u32, ShardProgress>,
    /// Shards that were lost to another projector during the run.
    pub fenced: Vec<Fenced>,
}

impl Progress {
    /// The partitions held, each named with the next position to read, be it zero: what
    /// [`assent_journal::Journal::changed`] is to wait for.
    #[must_use]
    pub fn waits_for(&self) -> Checkpoint {
        let mut waits = Checkpoint::new();
        for shard in self.shards.values() {
            for (topic, partition, _) in shard.end.iter() {
                waits.set(topic, partition, shard.next.get(topic, partition));
            }
        }
        waits
    }
}

/// One shard's part of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShardProgress {
    /// Under which epoch it is held.
    pub epoch: u64,
    /// The next positions to read, by topic: of the generation being made, if there is one.
    pub next: Checkpoint,
    /// Where its partitions ended when the run began.
    pub end: Checkpoint,
    /// What became of the records read in this run.
    pub counts: Counts,
    /// Manifests published by this run that changed the shard.
    pub commits: u64,
    /// Tables of it compacted by this run.
    pub compactions: u64,
}

impl ShardProgress {
    /// Records that were in the journal when the run began and are not yet folded.
    #[must_use]
    pub fn lag(&self) -> u64 {
        let behind = self
            .end
            .iter()
            .map(|(topic, partition, end)| end.saturating_sub(self.next.get(topic, partition)));
        behind.sum()
    }
}

/// A shard was taken over by another projector. Nothing of what was folded and not committed is visible, nor will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fenced {
    /// The shard.
    pub shard: u32,
    /// The epoch under which it was held here.
    pub epoch: u64,
    /// The epoch under which another holds it; 0 when the projection was begun anew.
    pub by: u64,
}

impl fmt::Display for Fenced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "shard {} was held under epoch {} and was taken over under epoch {}",
            self.shard, self.epoch, self.by
        )
    }
}
