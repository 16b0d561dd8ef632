//! What the projector tells of itself. Every label has few values, all of them known here or given by the journal's
//! topics.

use std::time::Duration;

use ::metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use assent_journal::Checkpoint;

use crate::{Counts, Table};

const RECORDS: &str = "assent_projection_records_total";
const BATCH: &str = "assent_projection_batch_records";
const COMMITS: &str = "assent_projection_commits_total";
const COMMIT: &str = "assent_projection_commit_seconds";
const COMPACTIONS: &str = "assent_projection_compactions_total";
const NOT_PUT_TOGETHER: &str = "assent_projection_rests_failed_total";
const SHARDS: &str = "assent_projection_shards";
const LOST: &str = "assent_projection_shards_lost_total";
const POSITION: &str = "assent_projection_position";

/// Tells the recorder what the numbers mean.
pub fn describe() {
    describe_counter!(
        RECORDS,
        "Records taken in, by outcome: folded, duplicate, erased, skipped"
    );
    describe_histogram!(BATCH, Unit::Count, "Records of one batch");
    describe_counter!(COMMITS, "Manifests published");
    describe_histogram!(
        COMMIT,
        Unit::Seconds,
        "From a batch in memory to its manifest"
    );
    describe_counter!(COMPACTIONS, "Compactions, by table");
    describe_counter!(
        NOT_PUT_TOGETHER,
        "Tables of shards whose files could not be put together at rest; the log says why"
    );
    describe_gauge!(SHARDS, "Shards this process holds");
    describe_counter!(
        LOST,
        "Shards that another projector took over while they were being folded here"
    );
    describe_gauge!(
        POSITION,
        "The next position the projection folds, by topic and partition"
    );
}

/// A batch was folded.
pub(crate) fn batch(counts: &Counts, took: Duration) {
    let skipped = counts.skipped.values().sum();
    for (outcome, records) in [
        ("folded", counts.folded),
        ("duplicate", counts.duplicates),
        ("erased", counts.erased),
        ("skipped", skipped),
    ] {
        counter!(RECORDS, "outcome" => outcome).increment(records);
    }
    histogram!(BATCH).record(counts.records() as f64);
    histogram!(COMMIT).record(took);
}

/// A manifest is in force in which the shards held stand there.
pub(crate) fn committed<'c>(stands: impl Iterator<Item = &'c Checkpoint>) {
    counter!(COMMITS).increment(1);
    counter!(NOT_PUT_TOGETHER).increment(0);
    for table in Table::ALL {
        // There from the first commit on: what was never counted is no number to reckon with.
        counter!(COMPACTIONS, "table" => table.as_str()).increment(0);
    }
    for (topic, partition, next) in stands.flat_map(Checkpoint::iter) {
        let labels = [
            ("topic", topic.as_str().to_owned()),
            ("partition", partition.to_string()),
        ];
        gauge!(POSITION, &labels).set(next as f64);
    }
}

/// A table's files were merged.
pub(crate) fn compacted(table: Table) {
    counter!(COMPACTIONS, "table" => table.as_str()).increment(1);
}

/// The files of a shard could not be put together at rest.
pub(crate) fn not_put_together() {
    counter!(NOT_PUT_TOGETHER).increment(1);
}

/// So many shards are held now.
pub(crate) fn holds(shards: usize) {
    gauge!(SHARDS).set(shards as f64);
    // There from the first time on.
    counter!(LOST).increment(0);
}

/// A shard was lost to another projector.
pub(crate) fn lost() {
    counter!(LOST).increment(1);
}
