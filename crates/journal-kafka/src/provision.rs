//! Creating topics, and checking those that are there.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use assent_journal::{Error, ErrorKind, Topic};
use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::config::FromClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::Metadata;

use crate::config::KafkaConfig;
use crate::error::{failed, kind_of};

/// Creates the topics that are missing and returns them.
pub(crate) async fn provision(config: &KafkaConfig) -> Result<Vec<Topic>, Error> {
    for (topic, partitions) in &config.partitions {
        Topic::parse(topic.as_str())?;
        if *partitions == 0 {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("{topic} needs at least one partition"),
            ));
        }
    }
    let admin = AdminClient::<DefaultClientContext>::from_config(&config.admin())
        .map_err(|error| failed("the Kafka client cannot be made", error))?;
    let admin = std::sync::Arc::new(admin);
    let there = partitions_of({
        let (admin, patience) = (admin.clone(), config.request_timeout);
        move || metadata(admin.inner(), patience)
    })
    .await?;
    let missing: Vec<&(Topic, u32)> = config
        .partitions
        .iter()
        .filter(|(topic, _)| !there.contains_key(topic.as_str()))
        .collect();
    // What is there must fit before anything is created.
    let present: Vec<_> = config
        .partitions
        .iter()
        .filter(|wanted| !missing.contains(wanted))
        .cloned()
        .collect();
    check(&present, &there)?;
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    create(&admin, config, &missing).await?;
    wait_for_leaders(&admin, config).await?;
    Ok(missing
        .into_iter()
        .map(|(topic, _)| topic.clone())
        .collect())
}

async fn create(
    admin: &AdminClient<DefaultClientContext>,
    config: &KafkaConfig,
    missing: &[&(Topic, u32)],
) -> Result<(), Error> {
    let min_in_sync = config.replication.min_in_sync.to_string();
    let retention: Vec<String> = missing
        .iter()
        .map(|(topic, _)| match config.retention.get(topic) {
            Some(kept) => kept.as_millis().to_string(),
            None => "-1".to_owned(),
        })
        .collect();
    let topics: Vec<NewTopic<'_>> = missing
        .iter()
        .zip(&retention)
        .map(|((topic, partitions), retention)| {
            let copies = TopicReplication::Fixed(i32::from(config.replication.factor));
            NewTopic::new(topic.as_str(), *partitions as i32, copies)
                .set("cleanup.policy", "delete")
                .set("retention.ms", retention)
                .set("retention.bytes", "-1")
                .set("min.insync.replicas", &min_in_sync)
                // I3: a replica that lags may not become leader and cut off what was acknowledged.
                .set("unclean.leader.election.enable", "false")
        })
        .collect();
    let options = AdminOptions::new().operation_timeout(Some(config.request_timeout));
    let results = admin
        .create_topics(&topics, &options)
        .await
        .map_err(|error| failed("the topics could not be created", error))?;
    for result in results {
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

/// A topic just created has no leaders yet; appends and questions would fail.
async fn wait_for_leaders(
    admin: &std::sync::Arc<AdminClient<DefaultClientContext>>,
    config: &KafkaConfig,
) -> Result<(), Error> {
    let begin = Instant::now();
    loop {
        let there = partitions_of({
            let (admin, patience) = (admin.clone(), config.request_timeout);
            move || metadata(admin.inner(), patience)
        })
        .await?;
        match check(&config.partitions, &there) {
            Ok(()) => return Ok(()),
            Err(error) if begin.elapsed() > config.request_timeout => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// How many partitions with a leader each topic has, and how many in all.
pub(crate) type Found = BTreeMap<String, (u32, u32)>;

/// Runs a blocking question for metadata.
pub(crate) async fn partitions_of(
    ask: impl FnOnce() -> Result<Metadata, Error> + Send + 'static,
) -> Result<Found, Error> {
    let metadata = tokio::task::spawn_blocking(ask).await.map_err(|error| {
        Error::new(ErrorKind::Unavailable, "a question for topics was cut off").with_source(error)
    })??;
    Ok(metadata
        .topics()
        .iter()
        .filter(|topic| topic.error().is_none())
        .map(|topic| {
            let led = topic.partitions().iter().filter(|p| p.leader() >= 0);
            let counts = (led.count() as u32, topic.partitions().len() as u32);
            (topic.name().to_owned(), counts)
        })
        .collect())
}

pub(crate) fn metadata<C: ClientContext>(
    client: &Client<C>,
    patience: Duration,
) -> Result<Metadata, Error> {
    client
        .fetch_metadata(None, patience)
        .map_err(|error| failed("the brokers cannot be reached", error))
}

/// Compares what is wanted with what is there.
pub(crate) fn check(wanted: &[(Topic, u32)], there: &Found) -> Result<(), Error> {
    for (topic, partitions) in wanted {
        let Some((led, found)) = there.get(topic.as_str()) else {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("Kafka holds no topic {topic}; `assent topics` creates it"),
            ));
        };
        if found != partitions {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "{topic} has {found} partitions in Kafka, but {partitions} are configured: \
                     keys would move to other partitions and lose their order; configure {found}, \
                     or copy the records into a new topic"
                ),
            ));
        }
        if led != found {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!(
                    "{} of {found} partitions of {topic} have no leader",
                    found - led
                ),
            ));
        }
    }
    Ok(())
}
