//! [`Journal`] on Kafka.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use assent_journal::{
    Batch, Checkpoint, Error, ErrorKind, Journal, Position, ReadLimit, Record, Topic, partition_of,
};
use async_trait::async_trait;

use crate::append::append;
use crate::config::KafkaConfig;
use crate::confirm::Confirm;
use crate::ends::{Edge, Ends};
use crate::error::unavailable;
use crate::in_flight::InFlight;
use crate::producer::Renewed;
use crate::provision::Cluster;
use crate::read::{Lost, Reader};
use crate::topics::Finding;

/// How often the leaders are asked while waiting for change: often at first, then less.
const ASK_FIRST: Duration = Duration::from_millis(10);
const ASK_LAST: Duration = Duration::from_millis(100);

/// The journal in a Kafka cluster.
pub struct KafkaJournal {
    config: KafkaConfig,
    partitions: HashMap<Topic, u32>,
    in_flight: InFlight,
    producers: Arc<Renewed>,
    reader: Reader,
    ends: Ends,
}

impl KafkaJournal {
    /// Creates the configured topics that are missing, waits until they have leaders, and returns
    /// which they were. Topics that are there are compared with what is configured and left as they are.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when a topic that is there breaks a promise (see [`KafkaJournal::check`]),
    /// [`ErrorKind::Invalid`] for settings the brokers do not take, [`ErrorKind::Denied`] when the
    /// brokers do not know us or we do not trust them, [`ErrorKind::Unavailable`] when they cannot be
    /// reached.
    pub async fn provision(config: &KafkaConfig) -> Result<Vec<Topic>, Error> {
        Cluster::new(config)?.provision().await
    }

    /// Compares every configured topic with what Kafka holds, and changes nothing. Where all is as
    /// configured there are no findings.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] and [`ErrorKind::Unavailable`] as [`KafkaJournal::provision`].
    pub async fn check(config: &KafkaConfig) -> Result<Vec<Finding>, Error> {
        Cluster::new(config)?.check().await
    }

    /// Connects, unless a topic is missing or breaks a promise: any finding that
    /// [refuses](crate::Severity::Refuses) is an error, any that warns is logged.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a missing topic, otherwise as [`KafkaJournal::provision`].
    pub async fn connect(config: KafkaConfig) -> Result<Self, Error> {
        let cluster = Cluster::new(&config)?;
        let copies = cluster.accept().await?;
        let (min_in_sync, patience) = (config.replication.min_in_sync, config.request_timeout);
        let confirm = match copies > min_in_sync {
            true => Some(Confirm::start(config.asker()?, min_in_sync, patience)?),
            false => None,
        };
        let ends = Ends::new(cluster.into_asker(), confirm, patience);
        Ok(Self {
            partitions: config.partitions.iter().cloned().collect(),
            in_flight: InFlight::new(config.in_flight_bytes, config.queue_timeout),
            producers: Arc::new(Renewed::new(config.producer()?)?),
            reader: Reader::new(config.consumer()?),
            ends,
            config,
        })
    }

    fn check_partition(&self, topic: &Topic, partition: u32) -> Result<(), Error> {
        let partitions = self.partitions(topic)?;
        if partition >= partitions {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("{topic} has no partition {partition}, only 0..{partitions}"),
            ));
        }
        Ok(())
    }

    fn all_partitions(&self, topics: &[Topic]) -> Result<Vec<(Topic, u32)>, Error> {
        let mut all = Vec::new();
        for topic in topics {
            let partitions = self.partitions(topic)?;
            all.extend((0..partitions).map(|partition| (topic.clone(), partition)));
        }
        Ok(all)
    }

    /// The end of a partition that has `from` before it, or the empty batch, or what is wrong.
    async fn end_beyond(&self, topic: &Topic, partition: u32, from: u64) -> Result<u64, Error> {
        let known = self.ends.last_known(topic, partition);
        if from < known {
            return Ok(known);
        }
        let place = [(topic.clone(), partition)];
        let mut end = self
            .ends
            .ask(&place, Edge::End)
            .await?
            .get(topic, partition);
        if from > end {
            // Nobody is told that the log was cut short on the word of a leader that may be none.
            end = self.ends.ask_confirmed(&place).await?.get(topic, partition);
        }
        if from > end {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "{topic}/{partition} ends at {end}, before the position {from} asked for: \
                     the topic was truncated or made anew, or the checkpoint belongs to another"
                ),
            ));
        }
        Ok(end)
    }

    /// Why a position that was to be read is not there.
    async fn explain_loss(&self, topic: &Topic, partition: u32, from: u64, lost: Lost) -> Error {
        self.ends.forget(topic, partition);
        let place = [(topic.clone(), partition)];
        let start = match self.ends.ask(&place, Edge::Start).await {
            Ok(start) => start.get(topic, partition),
            Err(error) => return error,
        };
        if from < start {
            return Error::new(
                ErrorKind::NotFound,
                format!(
                    "{topic}/{partition}@{from} is no longer retained, the first position is {start}"
                ),
            );
        }
        match self.end_beyond(topic, partition, from).await {
            Ok(_) => lost.into_error(topic, partition, from),
            Err(error) => error,
        }
    }
}

#[async_trait]
impl Journal for KafkaJournal {
    fn partitions(&self, topic: &Topic) -> Result<u32, Error> {
        self.partitions.get(topic).copied().ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("the journal holds no topic {topic}; name it in the configuration"),
            )
        })
    }

    async fn append(&self, records: Vec<Record>) -> Result<Vec<Position>, Error> {
        let records = records
            .into_iter()
            .map(|record| {
                record.check()?;
                let partition = partition_of(&record.key, self.partitions(&record.topic)?);
                Ok((record, partition))
            })
            .collect::<Result<Vec<_>, Error>>()?;
        let share = self.in_flight.enter(&records).await?;
        let (producers, patience) = (Arc::clone(&self.producers), self.config.append_timeout);
        // A task of its own: what was handed to the producer is under way, and its time runs, even if
        // the caller goes away.
        let task = tokio::spawn(async move {
            let _share = share;
            append(&producers, &records, patience).await
        });
        let positions = task.await.map_err(|error| {
            unavailable("an append was cut off; some records may have been written")
                .with_source(error)
        })??;
        self.ends.appended(&positions);
        Ok(positions)
    }

    async fn read(
        &self,
        topic: &Topic,
        partition: u32,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Batch, Error> {
        self.check_partition(topic, partition)?;
        let end = self.end_beyond(topic, partition, from).await?;
        if from == end {
            return Ok(Batch {
                records: Vec::new(),
                next: from,
                end,
            });
        }
        let patience = self.config.request_timeout;
        match self
            .reader
            .read(topic, partition, from, end, limit, patience)
            .await
        {
            Ok(batch) => Ok(batch),
            Err(lost) => Err(self.explain_loss(topic, partition, from, lost).await),
        }
    }

    async fn end_positions(&self, topics: &[Topic]) -> Result<Checkpoint, Error> {
        self.ends.ask_confirmed(&self.all_partitions(topics)?).await
    }

    async fn start_positions(&self, topics: &[Topic]) -> Result<Checkpoint, Error> {
        self.ends
            .ask(&self.all_partitions(topics)?, Edge::Start)
            .await
    }

    async fn changed(&self, seen: &Checkpoint, timeout: Duration) -> Result<(), Error> {
        let mut watched = Vec::new();
        for (topic, partition, _) in seen.iter() {
            self.check_partition(topic, partition)?;
            watched.push((topic.clone(), partition));
        }
        let more = async {
            let mut moved = self.ends.moved();
            let mut pause = ASK_FIRST;
            loop {
                // What this process learns, by an append or by a barrier, is told at once; what
                // others append is found by asking.
                moved.mark_unchanged();
                if self.ends.exceed(seen) {
                    return;
                }
                if let Ok(Ok(())) = tokio::time::timeout(pause, moved.changed()).await {
                    continue;
                }
                pause = (pause * 2).min(ASK_LAST);
                if let Err(error) = self.ends.ask(&watched, Edge::End).await {
                    // Whoever reads next is told; here there is nothing new to tell.
                    tracing::debug!(error = %error, "the brokers cannot be asked for change");
                }
            }
        };
        // Running out of time is an answer, too.
        let _ = tokio::time::timeout(timeout, more).await;
        Ok(())
    }
}
