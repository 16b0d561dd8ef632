//! What lawful sessions tell of themselves. Neither a purpose nor a principal is a label: who asked what stands in the
//! use log, which nobody can read by the way.

use std::time::Duration;

use ::metrics::{Unit, describe_histogram, histogram};

use crate::error::Result;

const QUERY: &str = "assent_query_seconds";

/// Tells the recorder what the numbers mean.
pub fn describe() {
    describe_histogram!(
        QUERY,
        Unit::Seconds,
        "From being asked to the last row, by outcome: answered or the kind of error"
    );
}

/// A query ended.
pub(crate) fn asked<T>(took: Duration, outcome: &Result<T>) {
    let outcome = match outcome {
        Ok(_) => "answered",
        Err(error) => error.kind().code(),
    };
    histogram!(QUERY, "outcome" => outcome).record(took);
}
