//! What lawful sessions tell of themselves. Neither a purpose nor a principal is a label: who asked what stands in the
//! use log, which nobody can read by the way.

use std::time::Duration;

use ::metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

use crate::error::Result;

const QUERY: &str = "assent_query_seconds";
const CHANGES: &str = "assent_segment_changes_total";
const NOT_KEPT: &str = "assent_segments_not_kept_total";
const SHARED: &str = "assent_queries_shared_total";
const WORKED: &str = "assent_worker_plans_total";

/// Tells the recorder what the numbers mean.
pub fn describe() {
    describe_histogram!(
        QUERY,
        Unit::Seconds,
        "From being asked to the last row, by outcome: answered or the kind of error"
    );
    describe_counter!(
        CHANGES,
        Unit::Count,
        "Members of whom it was told that they entered or left a segment"
    );
    describe_counter!(
        NOT_KEPT,
        Unit::Count,
        "Times that a segment could not be looked through for members who must leave; none of them is in an answer, but \
         nobody is told"
    );
    describe_counter!(
        SHARED,
        Unit::Count,
        "Queries that workers were asked to help with, by what became of it: answered, or run again without them"
    );
    describe_counter!(
        WORKED,
        Unit::Count,
        "Parts of plans that came to this worker, by what became of them: accepted, or why it refused"
    );
}

/// This process shares queries out among workers.
pub(crate) fn shares() {
    counter!(SHARED, "outcome" => "answered").increment(0);
    counter!(SHARED, "outcome" => "again").increment(0);
}

/// Workers were asked to help with a query, and their answer was used or the query run again without them.
pub(crate) fn shared(answered: bool) {
    let outcome = if answered { "answered" } else { "again" };
    counter!(SHARED, "outcome" => outcome).increment(1);
}

/// This process is a worker.
pub(crate) fn works() {
    counter!(WORKED, "outcome" => "accepted").increment(0);
}

/// A worker was given a part of a plan; `None`: it works on it.
pub(crate) fn worked(refused: Option<&'static str>) {
    counter!(WORKED, "outcome" => refused.unwrap_or("accepted")).increment(1);
}

/// A query ended.
pub(crate) fn asked<T>(took: Duration, outcome: &Result<T>) {
    let outcome = match outcome {
        Ok(_) => "answered",
        Err(error) => error.kind().code(),
    };
    histogram!(QUERY, "outcome" => outcome).record(took);
}

/// This process looks through segments. There from the first time on: what was never counted is no number to reckon with.
pub(crate) fn looks_through() {
    told(true, 0);
    told(false, 0);
    counter!(NOT_KEPT).increment(0);
}

/// So many members were told to have entered, or left, a segment.
pub(crate) fn told(entered: bool, members: usize) {
    let change = if entered { "entered" } else { "left" };
    counter!(CHANGES, "change" => change).increment(u64::try_from(members).unwrap_or(u64::MAX));
}

/// A segment could not be looked through for members who must leave.
pub(crate) fn not_kept() {
    counter!(NOT_KEPT).increment(1);
}
