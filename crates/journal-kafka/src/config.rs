//! How to reach Kafka, and the settings on which the journal's promises rest.

use std::collections::BTreeMap;
use std::time::Duration;

use assent_journal::Topic;
use rdkafka::ClientConfig;

/// How to reach a Kafka cluster and what it holds.
///
/// Has no `Debug`: `properties` may hold a password.
#[derive(Clone)]
pub struct KafkaConfig {
    /// `host:port` of some brokers, separated by commas.
    pub brokers: String,
    /// The topics and their partition counts.
    pub partitions: Vec<(Topic, u32)>,
    /// How many copies of a record there are.
    pub replication: Replication,
    /// How long records of a topic are kept; a topic that is not named is kept for ever.
    pub retention: BTreeMap<Topic, Duration>,
    /// How long a question to the brokers may take before it counts as unanswered.
    pub request_timeout: Duration,
    /// How long an append may take before it fails, retries included.
    pub append_timeout: Duration,
    /// Further properties of librdkafka, such as those of TLS and SASL. They cannot change what the
    /// journal's promises rest on.
    pub properties: BTreeMap<String, String>,
}

/// How many copies of a record there are, and how many must be made before it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replication {
    /// Copies in all.
    pub factor: u16,
    /// Copies that must stand before an append is acknowledged.
    pub min_in_sync: u16,
}

impl Default for Replication {
    /// Three copies, two of them before an acknowledgement: one broker may be lost (I3).
    fn default() -> Self {
        Self {
            factor: 3,
            min_in_sync: 2,
        }
    }
}

impl KafkaConfig {
    /// The defaults for these brokers and topics.
    pub fn new(brokers: impl Into<String>, partitions: Vec<(Topic, u32)>) -> Self {
        Self {
            brokers: brokers.into(),
            partitions,
            replication: Replication::default(),
            retention: BTreeMap::new(),
            request_timeout: Duration::from_secs(5),
            append_timeout: Duration::from_secs(30),
            properties: BTreeMap::new(),
        }
    }

    fn common(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "assent")
            .set("allow.auto.create.topics", "false");
        config
    }

    pub(crate) fn producer(&self) -> ClientConfig {
        let mut config = self.common();
        config
            // I3: every in-sync replica has it, retries neither double nor reorder it.
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("message.timeout.ms", millis(self.append_timeout))
            .set("linger.ms", "5")
            .set("batch.size", "1000000")
            // The largest record with its framing, within what brokers take by default (1,048,588).
            .set("message.max.bytes", "1040000")
            .set("compression.type", "lz4")
            .set("queue.buffering.max.messages", "1000000")
            .set("queue.buffering.max.kbytes", "262144");
        config
    }

    pub(crate) fn consumer(&self) -> ClientConfig {
        let mut config = self.common();
        config
            // librdkafka assigns partitions only to a consumer with a group; nothing joins it and
            // nothing is committed to it.
            .set("group.id", "assent-journal")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // A position that is gone is an error, never a silent jump.
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("check.crcs", "true")
            // A partition that is asked for anew waits for the fetch under way: keep that short.
            .set("fetch.wait.max.ms", "25")
            .set("fetch.queue.backoff.ms", "10")
            .set("fetch.message.max.bytes", "2097152")
            .set("queued.max.messages.kbytes", "8192");
        config
    }

    /// For questions only: without a group it never reads.
    pub(crate) fn asker(&self) -> ClientConfig {
        let mut config = self.common();
        config.set("isolation.level", "read_committed");
        config
    }

    pub(crate) fn admin(&self) -> ClientConfig {
        self.common()
    }
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}
