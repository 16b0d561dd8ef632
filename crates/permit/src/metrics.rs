//! What the permit index tells of itself. Every label has few values, all of them known here.

use std::time::Duration;

use ::metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use assent_journal::Checkpoint;

use crate::error::Error;

const BARRIER: &str = "assent_barrier_wait_seconds";
const REFUSED: &str = "assent_barrier_refusals_total";
const POSITION: &str = "assent_permit_position";

/// Tells the recorder what the numbers mean.
pub fn describe() {
    describe_histogram!(
        BARRIER,
        Unit::Seconds,
        "How long readers waited until everything acknowledged before was applied"
    );
    describe_counter!(REFUSED, "Readers refused at the barrier, by kind of error");
    describe_gauge!(
        POSITION,
        "The next position the permit index applies, by topic and partition"
    );
}

/// One reader came to the barrier.
pub(crate) fn barrier(waited: Duration, outcome: &Result<Checkpoint, Error>) {
    match outcome {
        Ok(_) => histogram!(BARRIER).record(waited),
        Err(error) => counter!(REFUSED, "kind" => error.kind().as_str()).increment(1),
    }
}

/// A batch was applied.
pub(crate) fn applied(topic: &str, partition: u32, next: u64) {
    gauge!(POSITION, "topic" => topic.to_owned(), "partition" => partition.to_string())
        .set(next as f64);
}
