//! What librdkafka tells while it works: its log goes to ours, and why a connection was refused is
//! kept, for the calls that suffer from it only learn that time ran out.

use std::sync::Arc;
use std::time::Duration;

use assent_journal::{Error, ErrorKind};
use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// Listens to one client of librdkafka.
#[derive(Clone)]
pub(crate) struct Ear {
    /// What the client is for.
    role: &'static str,
    refusal: Arc<Mutex<Option<String>>>,
}

impl Ear {
    pub(crate) fn new(role: &'static str) -> Self {
        Self {
            role,
            refusal: Arc::default(),
        }
    }

    /// Forgets what was heard.
    pub(crate) fn clear(&self) {
        *self.refusal.lock() = None;
    }

    /// The error of a call that failed, with the reason where one was heard: of kind
    /// [`ErrorKind::Denied`] then, for waiting does not mend a password or a certificate.
    pub(crate) fn explain(&self, error: Error) -> Error {
        match (error.kind(), self.refusal.lock().take()) {
            (ErrorKind::Unavailable, Some(reason)) => {
                Error::new(ErrorKind::Denied, format!("{error}: {reason}")).with_source(error)
            }
            (_, _) => error,
        }
    }
}

impl ClientContext for Ear {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let role = self.role;
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => {
                tracing::warn!(role, facility, message, "the kafka client");
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(role, facility, message, "the kafka client");
            }
            RDKafkaLogLevel::Debug => {
                tracing::debug!(role, facility, message, "the kafka client");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // What matters is logged by `log`, too.
        tracing::debug!(role = self.role, error = %error, reason, "the kafka client has trouble");
        if let Some(Code::Authentication | Code::SSL) = error.rdkafka_error_code() {
            *self.refusal.lock() = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Ear {}

/// More events than a client has to tell between two questions.
const EVENTS: usize = 64;

/// Has a client that is only asked, and never polled for records, tell what it has to tell.
pub(crate) fn listen(asker: &BaseConsumer<Ear>) {
    for _ in 0..EVENTS {
        // One event at a time; that nothing comes back does not mean that there was none.
        let _ = asker.poll(Duration::ZERO);
    }
}
