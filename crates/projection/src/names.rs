//! Names of data files. They tell whose a file is, so that nobody removes what a living rival is about to commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Owner;
use crate::storage::DATA;

/// Gives out the names of one owner's files of one shard under one epoch.
#[derive(Debug)]
pub(crate) struct Names {
    shard: u32,
    epoch: u64,
    /// Part of the name, like the number, so that none comes twice even when somebody empties the folder of manifests
    /// by hand and epochs begin anew.
    writer: String,
    /// Counts the names given by this process.
    given: Arc<AtomicU64>,
}

impl Names {
    pub(crate) fn new(shard: u32, epoch: u64, owner: &Owner, given: &Arc<AtomicU64>) -> Self {
        Self {
            shard,
            epoch,
            writer: owner.short(),
            given: Arc::clone(given),
        }
    }

    /// Names of so many files with rows of one cluster each.
    pub(crate) fn give_clustered(&self, stem: &str, clusters: usize) -> Vec<String> {
        let stems = (0..clusters).map(|cluster| format!("{stem}.{cluster}"));
        stems.map(|stem| self.give(&stem)).collect()
    }

    /// A name that was never given before; `stem` is the table or `seen`.
    pub(crate) fn give(&self, stem: &str) -> String {
        let Self {
            shard,
            epoch,
            writer,
            given,
        } = self;
        let given = given.fetch_add(1, Ordering::Relaxed);
        format!("{DATA}/{stem}-{shard:05}-{epoch:020}-{writer}-{given}.parquet")
    }
}

/// Whether a file has the rows of one cluster: its name tells.
pub(crate) fn is_clustered(path: &str) -> bool {
    let stem = path.split('-').next().unwrap_or_default();
    stem.contains('.')
}

/// The shard and epoch of a file name; `None` for a name that no program of this format gives.
pub(crate) fn shard_and_epoch(file: &str) -> Option<(u32, u64)> {
    let mut parts = file.strip_suffix(".parquet")?.split('-').skip(1);
    let shard = parts.next()?.parse().ok()?;
    let epoch = parts.next()?.parse().ok()?;
    (parts.count() == 2).then_some((shard, epoch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_shard_and_epoch() {
        let given = Arc::default();
        let names = Names::new(3, 17, &Owner::from_bytes([0xab; 16]), &given);
        let (first, second) = (names.give("members"), names.give("members"));
        assert_ne!(first, second);
        let file = first.strip_prefix("data/").unwrap();
        assert_eq!(shard_and_epoch(file), Some((3, 17)), "{file}");
        let clustered = names.give_clustered("members", 2);
        assert!(clustered.iter().all(|name| is_clustered(name)) && !is_clustered(&first));
        let file = clustered[1].strip_prefix("data/").unwrap();
        assert_eq!(shard_and_epoch(file), Some((3, 17)), "{file}");
        for other in [
            "members-00000000000000000003-0.parquet",
            "members.parquet",
            "notes.txt",
            "",
        ] {
            assert_eq!(shard_and_epoch(other), None, "{other}");
        }
    }
}
