//! What the process tells of itself as a whole, and the recorder of what its parts tell. Every label has few values, all
//! of them known here or given by the journal's topics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use assent_journal::{Checkpoint, Error, Position, Topic};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::config::Config;
use crate::failure::{Explained, Failure};
use crate::node::Stores;

const APPEND: &str = "assent_journal_append_seconds";
const APPENDED: &str = "assent_journal_appended_records_total";
const REFUSED: &str = "assent_journal_append_failures_total";
const LAG: &str = "assent_projection_lag_records";
const UP: &str = "assent_process_info";

/// Bounds of histograms in seconds, by the end of their names.
const SECONDS: &[f64] = &[
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0,
];
/// Bounds of histograms that count records or events.
const COUNTS: &[f64] = &[
    1.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1_000.0, 5_000.0, 10_000.0, 50_000.0, 100_000.0,
];
/// How often histograms are drained while nobody asks for them.
const UPKEEP: Duration = Duration::from_secs(5);

/// Makes every part of the process tell its numbers to one recorder, unless that is turned off. Once a process, before
/// anything is opened.
///
/// # Errors
/// When there is a recorder already.
pub fn record(config: &Config) -> Result<Option<PrometheusHandle>, Failure> {
    if !config.telemetry.metrics {
        return Ok(None);
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
        .and_then(|builder| builder.set_buckets(COUNTS))
        .and_then(PrometheusBuilder::install_recorder)
        .explained("metrics")?;
    describe();
    gauge!(UP, "version" => env!("CARGO_PKG_VERSION"), "roles" => config.roles.to_string())
        .set(1.0);
    let upkept = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkept.run_upkeep();
        }
    });
    Ok(Some(handle))
}

fn describe() {
    assent_intake::metrics::describe();
    assent_permit::metrics::describe();
    assent_projection::metrics::describe();
    assent_segment::metrics::describe();
    assent_server::metrics::describe();
    describe_histogram!(
        APPEND,
        Unit::Seconds,
        "From records handed to the journal to their acknowledgement"
    );
    describe_counter!(APPENDED, "Records the journal acknowledged, by topic");
    describe_counter!(
        REFUSED,
        "Appends that were not acknowledged, by kind of error"
    );
    describe_gauge!(
        LAG,
        "Records the profiles do not hold yet, by topic and partition; of the shards this process holds"
    );
    describe_gauge!(UP, "The version and the roles of this process; always 1");
}

/// An append ended.
pub fn appended(
    took: Duration,
    by_topic: &BTreeMap<Topic, u64>,
    outcome: &Result<Vec<Position>, Error>,
) {
    match outcome {
        Ok(_) => {
            histogram!(APPEND).record(took);
            for (topic, records) in by_topic {
                counter!(APPENDED, "topic" => topic.as_str().to_owned()).increment(*records);
            }
        }
        Err(error) => counter!(REFUSED, "kind" => error.kind().as_str()).increment(1),
    }
}

/// How far the profiles are behind the journal.
pub fn lag(behind: &Checkpoint) {
    for (topic, partition, records) in behind.iter() {
        let labels = [
            ("topic", topic.as_str().to_owned()),
            ("partition", partition.to_string()),
        ];
        gauge!(LAG, &labels).set(records as f64);
    }
}

/// The numbers of a serving process.
pub struct Numbers {
    pub handle: PrometheusHandle,
    pub stores: Arc<Stores>,
}

#[async_trait::async_trait]
impl assent_server::Metrics for Numbers {
    async fn render(&self) -> String {
        // Asked now, so that a projector which stands still shows, too.
        if let Some(projection) = &self.stores.projection
            && let Ok(behind) = projection.behind().await
        {
            lag(&behind);
        }
        self.handle.render()
    }
}
