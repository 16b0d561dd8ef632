//! The producer, made anew when it cannot go on.
//!
//! An idempotent producer that finds its numbers and the broker's apart (a log cut short, a topic made
//! anew) stops for good rather than double or drop a record. What was under way then has an unknown
//! outcome, which is told; what comes after goes through a new producer.

use assent_journal::Error;
use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, Producer};

use crate::client::Ear;
use crate::error::failed;

pub(crate) type Inner = FutureProducer<Ear>;

pub(crate) struct Renewed {
    config: ClientConfig,
    current: Mutex<Inner>,
}

impl Renewed {
    pub(crate) fn new(config: ClientConfig) -> Result<Self, Error> {
        let current = Mutex::new(create(&config)?);
        Ok(Self { config, current })
    }

    /// A producer that can be used.
    pub(crate) fn get(&self) -> Result<Inner, Error> {
        let mut current = self.current.lock();
        if let Some((code, _)) = current.client().fatal_error() {
            tracing::error!(error = %code, "the kafka producer cannot go on; a new one takes over");
            let spent = std::mem::replace(&mut *current, create(&self.config)?);
            // Its end waits for its thread.
            std::thread::spawn(move || drop(spent));
        }
        Ok(current.clone())
    }
}

fn create(config: &ClientConfig) -> Result<Inner, Error> {
    config
        .create_with_context(Ear::new("producer"))
        .map_err(|error| failed("the Kafka producer cannot be made", error))
}
