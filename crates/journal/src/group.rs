//! Who folds what: how processes of one deployment share the shards of the subject-keyed topics.
//!
//! A *shard* is a partition number. Subject-keyed topics have equal partition counts, so shard 3 is
//! partition 3 of each of them. A group only suggests: it may be late, and two processes may hold
//! one shard for a while. What excludes is the fence of whoever commits, never the group (I3).

use std::collections::BTreeSet;

use tokio::sync::watch;

/// The processes that fold together, seen from one of them.
pub trait Group: Send + Sync + 'static {
    /// The shards assigned to this process, now and after each change. The receiver errs when the
    /// group was left for good.
    fn shards(&self) -> watch::Receiver<BTreeSet<u32>>;

    /// Says that whoever holds the shards is at work. Call it with every step, idle ones too: a group
    /// of several processes takes the shards from one that has not been heard for too long.
    fn working(&self) {}
}

/// A process that folds alone, and so holds every shard: the embedded journal's group.
#[derive(Debug)]
pub struct Alone {
    shards: watch::Sender<BTreeSet<u32>>,
}

impl Alone {
    /// Holds the shards `0..partitions`.
    #[must_use]
    pub fn new(partitions: u32) -> Self {
        Self {
            shards: watch::Sender::new((0..partitions).collect()),
        }
    }
}

impl Group for Alone {
    fn shards(&self) -> watch::Receiver<BTreeSet<u32>> {
        self.shards.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_alone_holds_every_shard() {
        let group = Alone::new(3);
        assert_eq!(*group.shards().borrow(), BTreeSet::from([0, 1, 2]));
    }
}
