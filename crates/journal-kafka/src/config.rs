//! How to reach Kafka, and the settings on which the journal's promises rest.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use assent_journal::{Error, Topic};
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::security::{self, Security};

/// How to reach a Kafka cluster and what it holds.
#[derive(Clone)]
pub struct KafkaConfig {
    /// `host:port` of some brokers, separated by commas.
    pub brokers: String,
    /// How the connection is protected.
    pub security: Security,
    /// The topics and their partition counts.
    pub partitions: Vec<(Topic, u32)>,
    /// How many copies of a record there are.
    pub replication: Replication,
    /// How long records of a topic are kept; a topic that is not named is kept for ever.
    pub retention: BTreeMap<Topic, Duration>,
    /// Whether the topics' settings are compared before the journal is opened. Say no only where the
    /// brokers let nobody read them (DescribeConfigs); then somebody else must see to them.
    pub verify_settings: bool,
    /// How long a question to the brokers may take before it counts as unanswered.
    pub request_timeout: Duration,
    /// How long an append may take before it fails, retries included.
    pub append_timeout: Duration,
    /// How many bytes of records may be under way to the brokers at once; a larger append goes alone.
    pub in_flight_bytes: usize,
    /// How long an append waits for others to be done when so much is under way, before it is refused
    /// with nothing written.
    pub queue_timeout: Duration,
    /// Further properties of librdkafka. They cannot change what the journal's promises rest on, nor
    /// how the connection is protected.
    pub properties: BTreeMap<String, String>,
}

impl fmt::Debug for KafkaConfig {
    /// Names the further properties but not their values, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            brokers,
            security,
            partitions,
            replication,
            retention,
            verify_settings,
            request_timeout,
            append_timeout,
            in_flight_bytes,
            queue_timeout,
            properties,
        } = self;
        f.debug_struct("KafkaConfig")
            .field("brokers", brokers)
            .field("security", security)
            .field("partitions", partitions)
            .field("replication", replication)
            .field("retention", retention)
            .field("verify_settings", verify_settings)
            .field("request_timeout", request_timeout)
            .field("append_timeout", append_timeout)
            .field("in_flight_bytes", in_flight_bytes)
            .field("queue_timeout", queue_timeout)
            .field("properties", &properties.keys())
            .finish()
    }
}

/// How many copies of a record there are, and how many must be made before it is acknowledged.
///
/// The difference is how many other brokers must confirm who leads a partition before its end is told:
/// with three copies and two in sync one broker may be lost, for appends and for ends.
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

/// What librdkafka keeps beside a record's own bytes, roughly; its own bounds do not count it.
pub(crate) const RECORD_OVERHEAD: usize = 512;

impl KafkaConfig {
    /// The defaults for these brokers and topics.
    pub fn new(brokers: impl Into<String>, partitions: Vec<(Topic, u32)>) -> Self {
        Self {
            brokers: brokers.into(),
            security: Security::default(),
            partitions,
            replication: Replication::default(),
            retention: BTreeMap::new(),
            verify_settings: true,
            request_timeout: Duration::from_secs(5),
            append_timeout: Duration::from_secs(30),
            in_flight_bytes: 64 << 20,
            queue_timeout: Duration::from_secs(1),
            properties: BTreeMap::new(),
        }
    }

    /// What all clients have in common. `patience` is how long one request may go unanswered before
    /// another broker is tried.
    fn common(&self, patience: Duration) -> Result<ClientConfig, Error> {
        let patience = millis(patience.clamp(MIN_PATIENCE, MAX_PATIENCE));
        let mut config = ClientConfig::new();
        config
            .set_log_level(RDKafkaLogLevel::Info)
            .set("log.connection.close", "false")
            .set("client.id", "assent")
            // A broker that hangs is left for another in time: the defaults wait for a minute.
            .set("socket.timeout.ms", &patience)
            .set("socket.connection.setup.timeout.ms", &patience)
            .set("reconnect.backoff.max.ms", "1000");
        for (name, value) in &self.properties {
            security::check_property(name)?;
            config.set(name, value);
        }
        config
            .set("bootstrap.servers", &self.brokers)
            .set("allow.auto.create.topics", "false");
        self.security.apply(&mut config);
        Ok(config)
    }

    pub(crate) fn producer(&self) -> Result<ClientConfig, Error> {
        // Time for two more attempts after a broker that hangs.
        let mut config = self.common(self.append_timeout / 3)?;
        let queued = self.in_flight_bytes.max(MIN_IN_FLIGHT) * 2;
        config
            // I3: every in-sync replica has it, retries neither double nor reorder it.
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // A request that fails before another one in flight can double what a third one wrote.
            .set("max.in.flight.requests.per.connection", "1")
            // Never reached: a record that ran out of time in there would do the same (`producer`).
            .set("message.timeout.ms", millis(self.append_timeout * 2))
            // The brokers give up waiting for copies before we give up waiting for them.
            .set("request.timeout.ms", millis(self.append_timeout / 4))
            // Short, since what comes while a request is in flight goes together in the next.
            .set("linger.ms", "2")
            .set("batch.size", "1000000")
            .set("message.max.bytes", MAX_BATCH_BYTES.to_string())
            .set("compression.type", "lz4")
            // What is under way is counted before records come here (`in_flight`); these are twice
            // that, for the records of appends whose callers went away.
            .set(
                "queue.buffering.max.messages",
                (queued / RECORD_OVERHEAD).to_string(),
            )
            .set("queue.buffering.max.kbytes", (queued / 1024).to_string());
        Ok(config)
    }

    pub(crate) fn consumer(&self) -> Result<ClientConfig, Error> {
        let mut config = self.common(self.request_timeout)?;
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
        Ok(config)
    }

    /// For questions only: without a group it never reads.
    pub(crate) fn asker(&self) -> Result<ClientConfig, Error> {
        let mut config = self.common(self.request_timeout)?;
        config.set("isolation.level", "read_committed");
        Ok(config)
    }

    /// For creating topics and asking for their settings.
    pub(crate) fn admin(&self) -> Result<ClientConfig, Error> {
        self.common(self.request_timeout)
    }

    /// For a member of a group that reads nothing.
    pub(crate) fn member(
        &self,
        group: &str,
        session_timeout: Duration,
    ) -> Result<ClientConfig, Error> {
        let mut config = self.common(self.request_timeout)?;
        config
            .set("group.id", group)
            .set("group.protocol", "classic")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", millis(session_timeout))
            .set("heartbeat.interval.ms", millis(session_timeout / 4))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false");
        Ok(config)
    }
}

/// The largest batch we send: the largest record with its framing, within what brokers take by default
/// (1,048,588).
pub(crate) const MAX_BATCH_BYTES: i64 = 1_040_000;

/// librdkafka wants a second more than a fetch may wait.
const MIN_PATIENCE: Duration = Duration::from_millis(1_100);
const MAX_PATIENCE: Duration = Duration::from_secs(60);

/// Two of the largest records.
const MIN_IN_FLIGHT: usize = 2 << 20;

pub(crate) fn millis(duration: Duration) -> String {
    duration.as_millis().max(1).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::{Mechanism, Password, Sasl, Tls};

    #[test]
    fn promises_stand_above_properties_and_secrets_are_not_shown() {
        let mut config = KafkaConfig::new("b:9092", vec![]);
        for (name, value) in [
            ("acks", "0"),
            ("linger.ms", "77"),
            ("ssl.key.password", "hunter2"),
        ] {
            config.properties.insert(name.into(), value.into());
        }
        config.security = Security::SaslTls(
            Tls::default(),
            Sasl {
                mechanism: Mechanism::ScramSha512,
                name: "n".into(),
                password: Password::new("hunter3"),
            },
        );
        let producer = config.producer().unwrap();
        assert_eq!(producer.get("acks"), Some("all"));
        assert_eq!(producer.get("security.protocol"), Some("sasl_ssl"));
        assert_eq!(
            producer.get("ssl.endpoint.identification.algorithm"),
            Some("https")
        );
        let told = format!("{config:?}");
        assert!(
            told.contains("ssl.key.password") && !told.contains("hunter"),
            "{told}"
        );

        config
            .properties
            .insert("sasl.password".into(), "hunter4".into());
        let told = config.producer().unwrap_err().to_string();
        assert!(!told.contains("hunter"), "{told}");
    }
}
