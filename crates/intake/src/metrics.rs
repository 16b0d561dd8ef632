//! What intake tells of itself. Every label has few values, all of them known here; none is ever taken from a request.

use std::collections::BTreeMap;

use ::metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

use crate::outcome::Outcome;

const EVENTS: &str = "assent_intake_events_total";
const REQUEST_EVENTS: &str = "assent_intake_request_events";

/// Tells the recorder what the numbers mean.
pub fn describe() {
    describe_counter!(
        EVENTS,
        "Events by outcome (journalled, duplicate, rejected) and, where rejected, by the code of the reason"
    );
    describe_histogram!(
        REQUEST_EVENTS,
        Unit::Count,
        "Events of one request that was taken"
    );
}

/// Counts the outcomes of one request.
pub(crate) fn answered(outcomes: &[Outcome]) {
    let mut counts: BTreeMap<(&'static str, &'static str), u64> = BTreeMap::new();
    for outcome in outcomes {
        let labels = match outcome {
            Outcome::Journalled { .. } => ("journalled", ""),
            Outcome::Duplicate => ("duplicate", ""),
            Outcome::Rejected(why) => ("rejected", why.code.as_str()),
        };
        *counts.entry(labels).or_default() += 1;
    }
    for ((outcome, reason), count) in counts {
        counter!(EVENTS, "outcome" => outcome, "reason" => reason).increment(count);
    }
    histogram!(REQUEST_EVENTS).record(outcomes.len() as f64);
}
