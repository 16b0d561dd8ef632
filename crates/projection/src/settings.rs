//! How the projector works: sizes and limits. Nothing here changes what the merged tables say (I4).

use std::time::Duration;

/// Settings of a [`crate::Projector`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// The most records folded into one commit; bounds memory.
    pub batch_records: usize,
    /// The most bytes of records folded into one commit; bounds memory.
    pub batch_bytes: usize,
    /// A table with more files than this in a shard is compacted there, while more is folded. With more than twice as many
    /// that are not being merged already, the fold waits.
    pub max_files: usize,
    /// How many manifests are kept, with the files they name; at least one.
    pub keep_manifests: usize,
    /// A manifest is kept at least this long after it was superseded: no query may run longer, or it can lose its
    /// files.
    pub keep_for: Duration,
    /// Rows per Parquet row group.
    pub row_group_rows: usize,
    /// How many rows a file of one cluster has on average at least, see [`crate::Clustering`].
    pub cluster_rows: u64,
    /// How long [`crate::Projector::run`] waits for news before it looks anyway.
    pub poll: Duration,
    /// How long [`crate::Projector::run`] gathers after news came, so that a trickle does not make a file each.
    pub linger: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch_records: 65_536,
            batch_bytes: 64 << 20,
            max_files: 12,
            keep_manifests: 8,
            keep_for: Duration::from_secs(600),
            row_group_rows: 65_536,
            cluster_rows: 65_536,
            poll: Duration::from_secs(30),
            linger: Duration::from_millis(500),
        }
    }
}

/// A place in the commit protocol at which tests stop the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The batch is folded; nothing is on disk.
    BeforeData,
    /// The data files are durable under their names; no manifest names them.
    AfterData,
    /// The manifest is about to be created.
    BeforeManifest,
    /// The manifest is durable under its number; nothing was cleaned up.
    AfterManifest,
    /// A file merged of others is durable under its name; no manifest names it. Reached on another thread than the rest.
    AfterMerge,
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Self; 5] = [
        Self::BeforeData,
        Self::AfterData,
        Self::BeforeManifest,
        Self::AfterManifest,
        Self::AfterMerge,
    ];
}

/// Called at each [`Step`]; does nothing in production.
pub trait FailPoint: Send + Sync + 'static {
    /// The projector has come to this step.
    fn reached(&self, step: Step);
}

/// No interference: what production uses.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFailPoint;

impl FailPoint for NoFailPoint {
    fn reached(&self, _step: Step) {}
}
