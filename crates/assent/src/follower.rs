//! What a process without the permit index has to know of the journal: the definitions in force and, for intake, the
//! latest receipt. It follows the registry topic and the end of the consent topic, and holds nobody's history.

use std::sync::Arc;
use std::time::Duration;

use assent_consent::Timestamp;
use assent_event::{Envelope, topics};
use assent_journal::{Checkpoint, Journal, ReadLimit, Stored, Topic};
use assent_programme::RegistryState;
use parking_lot::RwLock;
use tokio::sync::Mutex;

use crate::turns::Turns;

/// How often the follower moves on when nobody asks.
const EVERY: Duration = Duration::from_secs(1);
/// How many records before its end are read of each partition of the consent topic at first. Receipts rise with the
/// log but for requests that were under way together, of which there are never so many.
const TAIL: u64 = 10_000;

/// Why the journal cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// The journal failed.
    #[error("the journal cannot be followed")]
    Journal(#[from] assent_journal::Error),
    /// A definition does not read.
    #[error("the definitions cannot be followed")]
    Registry(#[from] assent_programme::Error),
    /// It took too long.
    #[error("the journal did not answer within {0:?}")]
    TooLate(Duration),
}

/// What is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// Definitions only.
    Definitions,
    /// Definitions and receipts.
    Receipts,
}

/// Follows definitions, and receipts if asked to.
pub struct Follower {
    journal: Arc<dyn Journal>,
    topics: Vec<Topic>,
    patience: Duration,
    known: RwLock<Known>,
    turns: Turns,
    /// The next positions to read.
    next: Mutex<Checkpoint>,
}

struct Known {
    registry: Arc<RegistryState>,
    latest: Timestamp,
}

impl Follower {
    /// Reads up to the end as it is now, and moves on by itself from then on. `patience` bounds every asking but the
    /// first.
    ///
    /// # Errors
    /// [`Lost`].
    pub async fn start(
        journal: Arc<dyn Journal>,
        follow: Follow,
        patience: Duration,
    ) -> Result<Arc<Self>, Lost> {
        let registry = Topic::new(topics::REGISTRY);
        let consent = Topic::new(topics::CONSENT);
        let topics = match follow {
            Follow::Definitions => vec![registry],
            Follow::Receipts => vec![registry, consent.clone()],
        };
        let mut next = journal.start_positions(&topics).await?;
        let ends = journal.end_positions(&topics).await?;
        for (topic, partition, end) in ends.iter().filter(|(topic, _, _)| **topic == consent) {
            let start = next.get(topic, partition);
            next.set(topic, partition, start.max(end.saturating_sub(TAIL)));
        }
        let follower = Arc::new(Self {
            journal,
            topics,
            patience,
            known: RwLock::new(Known {
                registry: Arc::default(),
                latest: Timestamp::MIN,
            }),
            turns: Turns::default(),
            next: Mutex::new(next),
        });
        follower.move_on().await?;
        let following = Arc::downgrade(&follower);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(EVERY).await;
                let Some(follower) = following.upgrade() else {
                    return;
                };
                if let Err(error) = follower.catch_up().await {
                    tracing::debug!(%error, "definitions cannot be followed just now");
                }
            }
        });
        Ok(follower)
    }

    /// Makes known what was acknowledged before the call, by any process. Those who call at once share an asking, if it
    /// began after their call.
    ///
    /// # Errors
    /// [`Lost`]; nothing may rest on what is known then.
    pub async fn catch_up(&self) -> Result<(), Lost> {
        let work = self.turns.share(async || self.move_on().await);
        tokio::time::timeout(self.patience, work)
            .await
            .unwrap_or(Err(Lost::TooLate(self.patience)))
    }

    /// The definitions as they are known here.
    pub fn registry(&self) -> Arc<RegistryState> {
        Arc::clone(&self.known.read().registry)
    }

    /// The latest receipt known here; [`Timestamp::MIN`] when receipts are not followed.
    pub fn latest_receipt(&self) -> Timestamp {
        self.known.read().latest
    }

    /// Reads up to the end as it is now.
    async fn move_on(&self) -> Result<(), Lost> {
        let mut next = self.next.lock().await;
        let ends = self.journal.end_positions(&self.topics).await?;
        for (topic, partition, end) in ends.iter() {
            let mut from = next.get(topic, partition);
            while from < end {
                let limit = ReadLimit::default();
                let batch = self.journal.read(topic, partition, from, limit).await?;
                if batch.next <= from {
                    break;
                }
                self.take_in(topic, &batch.records)?;
                from = batch.next;
                next.set(topic, partition, from);
            }
        }
        Ok(())
    }

    fn take_in(&self, topic: &Topic, records: &[Stored]) -> Result<(), Lost> {
        if topic.as_str() == topics::REGISTRY {
            let mut registry = RegistryState::clone(&self.registry());
            for stored in records {
                registry.absorb(stored)?;
            }
            self.known.write().registry = Arc::new(registry);
            return Ok(());
        }
        // What does not read has no receipt to be later than; the index, where there is one, restricts its subject.
        let latest = records
            .iter()
            .filter_map(|stored| Envelope::decode(&stored.value).ok())
            .map(|envelope| envelope.times.received_at)
            .max();
        if let Some(latest) = latest {
            let mut known = self.known.write();
            known.latest = known.latest.max(latest);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
