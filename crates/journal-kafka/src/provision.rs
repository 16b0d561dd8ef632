//! Creating topics, and describing those that are there so that they can be compared
//! ([`topics`](crate::topics)).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use assent_journal::{Error, ErrorKind, Topic};
use rdkafka::admin::{
    AdminClient, AdminOptions, NewTopic, OwnedResourceSpecifier, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;

use crate::client::{Ear, listen};
use crate::config::KafkaConfig;
use crate::error::{failed, kind_of, unavailable};
use crate::topics::{self, Described, Finding, Settings, Severity};

/// How long a topic may be unknown to a broker that another one has created it on.
const PROPAGATION: Duration = Duration::from_secs(1);
/// How long to wait before topics are looked at again.
const AGAIN: Duration = Duration::from_millis(50);

/// The largest batch that is asked for when a topic is created: Kafka's own default.
const MAX_MESSAGE_BYTES: &str = "1048588";

/// A cluster that is asked about its topics.
pub(crate) struct Cluster<'a> {
    config: &'a KafkaConfig,
    asker: Arc<BaseConsumer<Ear>>,
    ear: Ear,
    admin: AdminClient<Ear>,
}

/// What the brokers say of the configured topics that are there.
type Found = BTreeMap<Topic, Described>;

impl<'a> Cluster<'a> {
    pub(crate) fn new(config: &'a KafkaConfig) -> Result<Self, Error> {
        for (topic, partitions) in &config.partitions {
            Topic::parse(topic.as_str())?;
            if *partitions == 0 {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!("{topic} needs at least one partition"),
                ));
            }
        }
        let cannot = |error| failed("the Kafka client cannot be made", error);
        let ear = Ear::new("asker");
        let asker = config.asker()?.create_with_context(ear.clone());
        let admin = config.admin()?.create_with_context(Ear::new("admin"));
        Ok(Self {
            config,
            asker: Arc::new(asker.map_err(cannot)?),
            ear,
            admin: admin.map_err(cannot)?,
        })
    }

    /// The client that was asked, for more questions.
    pub(crate) fn into_asker(self) -> Arc<BaseConsumer<Ear>> {
        self.asker
    }

    /// Creates the topics that are missing and returns them.
    pub(crate) async fn provision(&self) -> Result<Vec<Topic>, Error> {
        let there = self.partitions().await?;
        let missing: Vec<&(Topic, u32)> = self
            .config
            .partitions
            .iter()
            .filter(|(topic, _)| !there.contains_key(topic))
            .collect();
        // What is there must fit before anything is created.
        let findings = self.compare(&self.describe(there).await?)?;
        let present: Vec<Finding> = findings
            .into_iter()
            .filter(|finding| !missing.iter().any(|(topic, _)| *topic == finding.topic))
            .collect();
        if let Some(error) = topics::refusal(&present) {
            return Err(error);
        }
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        self.create(&missing).await?;
        // A topic just created has no leaders yet; appends and questions would fail.
        self.wait_for_leaders(self.config.request_timeout).await?;
        Ok(missing
            .into_iter()
            .map(|(topic, _)| topic.clone())
            .collect())
    }

    /// Compares the topics with what is configured.
    pub(crate) async fn check(&self) -> Result<Vec<Finding>, Error> {
        let there = self.partitions().await?;
        self.compare(&self.describe(there).await?)
    }

    /// Refuses topics that break a promise, and those that have no leaders now. Returns the most copies
    /// that a topic has.
    pub(crate) async fn accept(&self) -> Result<u16, Error> {
        let patience = self.config.request_timeout.min(PROPAGATION);
        let leaderless = self.wait_for_leaders(patience).await;
        let described = self.describe(self.partitions().await?).await?;
        let findings = self.compare(&described)?;
        if let Some(error) = topics::refusal(&findings) {
            return Err(error);
        }
        for finding in findings {
            match finding.severity {
                Severity::Refuses => {}
                Severity::Warns => tracing::warn!(
                    topic = finding.topic.as_str(),
                    setting = finding.setting.as_str(),
                    found = finding.found,
                    wanted = finding.wanted,
                    "a topic is not as configured"
                ),
            }
        }
        leaderless?;
        Ok(described.values().map(|d| d.replicas).max().unwrap_or(1))
    }

    fn compare(&self, found: &Found) -> Result<Vec<Finding>, Error> {
        let mut findings = Vec::new();
        for (topic, partitions) in &self.config.partitions {
            let described = found.get(topic);
            findings.extend(topics::compare(self.config, topic, *partitions, described)?);
        }
        Ok(findings)
    }

    async fn create(&self, missing: &[&(Topic, u32)]) -> Result<(), Error> {
        let config = self.config;
        let min_in_sync = config.replication.min_in_sync.to_string();
        let retention: Vec<String> = missing
            .iter()
            .map(|(topic, _)| {
                topics::retention_ms(config.retention.get(topic).copied()).to_string()
            })
            .collect();
        let new: Vec<NewTopic<'_>> = missing
            .iter()
            .zip(&retention)
            .map(|((topic, partitions), retention)| {
                let copies = TopicReplication::Fixed(i32::from(config.replication.factor));
                NewTopic::new(topic.as_str(), *partitions as i32, copies)
                    .set("cleanup.policy", "delete")
                    .set("retention.ms", retention)
                    .set("retention.bytes", "-1")
                    .set("min.insync.replicas", &min_in_sync)
                    .set("max.message.bytes", MAX_MESSAGE_BYTES)
                    // I3: a replica that lags may not become leader and cut off what was acknowledged.
                    .set("unclean.leader.election.enable", "false")
            })
            .collect();
        let options = AdminOptions::new().operation_timeout(Some(config.request_timeout));
        let results = self.admin.create_topics(&new, &options).await;
        for result in results.map_err(|error| failed("the topics could not be created", error))? {
            match result {
                // Another process may have been faster; `connect` checks what it made.
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => {
                    return Err(Error::new(
                        kind_of(code),
                        format!("topic {topic} could not be created: {code}"),
                    ));
                }
            }
        }
        Ok(())
    }

    /// Waits until every partition of every topic has a leader.
    async fn wait_for_leaders(&self, patience: Duration) -> Result<(), Error> {
        let begin = Instant::now();
        loop {
            let there = self.partitions().await?;
            let leaderless = self.config.partitions.iter().find_map(|(topic, _)| {
                let Some(counts) = there.get(topic) else {
                    return Some(format!("{topic} is not known to every broker"));
                };
                let without = counts.partitions - counts.led;
                (without > 0).then(|| {
                    let all = counts.partitions;
                    format!("{without} of {all} partitions of {topic} have no leader")
                })
            });
            match leaderless {
                None => return Ok(()),
                Some(what) if begin.elapsed() > patience => return Err(unavailable(what)),
                Some(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    /// Asks any broker for the partitions of the configured topics.
    async fn partitions(&self) -> Result<BTreeMap<Topic, Counts>, Error> {
        let (asker, patience) = (Arc::clone(&self.asker), self.config.request_timeout);
        self.ear.clear();
        let metadata = tokio::task::spawn_blocking(move || {
            let metadata = asker.fetch_metadata(None, patience);
            listen(&asker);
            metadata
        })
        .await
        .map_err(|error| unavailable("a question for topics was cut off").with_source(error))?
        .map_err(|error| {
            self.ear
                .explain(failed("the brokers cannot be reached", error))
        })?;
        let mut found = BTreeMap::new();
        for (topic, _) in &self.config.partitions {
            let described = metadata.topics().iter().find(|described| {
                described.name() == topic.as_str() && described.error().is_none()
            });
            if let Some(described) = described {
                let partitions = described.partitions();
                let counts = Counts {
                    partitions: partitions.len() as u32,
                    led: partitions.iter().filter(|p| p.leader() >= 0).count() as u32,
                    replicas: partitions
                        .iter()
                        .map(|p| p.replicas().len())
                        .min()
                        .unwrap_or(0) as u16,
                };
                found.insert(topic.clone(), counts);
            }
        }
        Ok(found)
    }

    /// Asks for the settings of the topics that are there.
    async fn describe(&self, there: BTreeMap<Topic, Counts>) -> Result<Found, Error> {
        let mut settings = match self.config.verify_settings && !there.is_empty() {
            true => self.settings(&there).await?,
            false => BTreeMap::new(),
        };
        let described = there.into_iter().map(|(topic, counts)| {
            let described = Described {
                partitions: counts.partitions,
                replicas: counts.replicas,
                settings: settings.remove(topic.as_str()),
            };
            (topic, described)
        });
        Ok(described.collect())
    }

    async fn settings(
        &self,
        there: &BTreeMap<Topic, Counts>,
    ) -> Result<BTreeMap<String, Settings>, Error> {
        let named: Vec<ResourceSpecifier<'_>> = there
            .keys()
            .map(|topic| ResourceSpecifier::Topic(topic.as_str()))
            .collect();
        let options = AdminOptions::new().request_timeout(Some(self.config.request_timeout));
        let described = self.admin.describe_configs(&named, &options).await;
        let cannot = "the topics' settings cannot be read (DescribeConfigs)";
        let mut all = BTreeMap::new();
        for resource in described.map_err(|error| failed(cannot, error))? {
            let resource =
                resource.map_err(|code| Error::new(kind_of(code), format!("{cannot}: {code}")))?;
            if let OwnedResourceSpecifier::Topic(topic) = resource.specifier {
                let entries = resource.entries.into_iter();
                let told = entries.filter_map(|entry| Some((entry.name, entry.value?)));
                all.insert(topic, Settings(told.collect()));
            }
        }
        match all.len() == there.len() {
            true => Ok(all),
            // A topic without settings would pass as one whose settings are not to be asked for.
            false => Err(unavailable("the brokers did not describe every topic")),
        }
    }
}

/// The partitions of one topic.
struct Counts {
    partitions: u32,
    /// How many have a leader.
    led: u32,
    /// The copies of the partition that has fewest.
    replicas: u16,
}
