//! The producer, made anew when it cannot go on, or must not.
//!
//! An idempotent producer keeps its records in order and single by their numbers. It gives up the
//! numbers, for all partitions at once, when a record runs out of time before it is acknowledged; what
//! else it holds then is sent under new numbers, and what had been written already, unacknowledged,
//! stands twice (confluentinc/librdkafka#4953). So no record runs out of time in there: the first
//! append that does retires its producer, which sends nothing more, and a new one takes over. What was
//! under way has an unknown outcome, and is told so.
//!
//! A producer that finds its numbers and the broker's apart stops by itself, and is replaced as well.

use std::sync::Arc;
use std::time::Duration;

use assent_journal::Error;
use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, Producer, PurgeConfig};

use crate::client::Ear;
use crate::error::failed;

/// How long to wait before a retired producer is looked at again.
const AGAIN: Duration = Duration::from_millis(50);

pub(crate) type Inner = FutureProducer<Ear>;

pub(crate) struct Renewed {
    config: ClientConfig,
    current: Mutex<Arc<Inner>>,
}

impl Renewed {
    pub(crate) fn new(config: ClientConfig) -> Result<Self, Error> {
        let current = Mutex::new(create(&config)?);
        Ok(Self { config, current })
    }

    /// A producer that can be used.
    pub(crate) fn get(&self) -> Result<Arc<Inner>, Error> {
        let mut current = self.current.lock();
        if let Some((code, _)) = current.client().fatal_error() {
            tracing::error!(error = %code, "the kafka producer cannot go on; a new one takes over");
            end(std::mem::replace(&mut *current, create(&self.config)?));
        }
        Ok(Arc::clone(&current))
    }

    /// Has a producer send nothing more; whoever waits for it is told that the outcome is unknown.
    pub(crate) fn retire(&self, spent: Arc<Inner>) -> Result<(), Error> {
        let mut current = self.current.lock();
        // Another append may have been faster.
        if Arc::ptr_eq(&current, &spent) {
            tracing::warn!("records ran out of time; a new kafka producer takes over");
            *current = create(&self.config)?;
            end(spent);
        }
        Ok(())
    }
}

fn create(config: &ClientConfig) -> Result<Arc<Inner>, Error> {
    let made = config.create_with_context(Ear::new("producer"));
    made.map(Arc::new)
        .map_err(|error| failed("the Kafka producer cannot be made", error))
}

/// Drops everything that a producer holds, sent or not, until nobody uses it any more. Its own end waits
/// for its threads; so this has one, and not a caller's.
fn end(spent: Arc<Inner>) {
    std::thread::spawn(move || {
        spent.purge(PurgeConfig::default().queue().inflight());
        while Arc::strong_count(&spent) > 1 {
            std::thread::sleep(AGAIN);
            spent.purge(PurgeConfig::default().queue().inflight());
        }
    });
}
