//! The task that follows the journal and applies what it finds.

use std::sync::Arc;
use std::time::Duration;

use assent_event::topics;
use assent_journal::{Batch, Checkpoint, Journal, ReadLimit, Topic};
use assent_vault::Vault;

use crate::error::{Error, ErrorKind};
use crate::history::Place;
use crate::metrics;
use crate::read;
use crate::shared::Shared;
use crate::state::Arrived;

/// How long to wait for news from the journal before looking anyway.
const LOOK_ANYWAY: Duration = Duration::from_secs(1);

pub(crate) struct Applier {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) vault: Arc<dyn Vault>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) seen: Checkpoint,
}

impl Applier {
    /// Follows the journal until the task is aborted or meets what stops the index for good.
    pub(crate) async fn run(mut self) {
        loop {
            match self.round().await {
                Ok(true) => {
                    self.shared.calm();
                    // The first fold may be long; others want the thread, too.
                    tokio::task::yield_now().await;
                }
                Ok(false) => {
                    self.shared.calm();
                    self.wait().await;
                }
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    tracing::warn!(%error, "the permit index cannot follow the journal now");
                    self.shared.trouble(error);
                    tokio::time::sleep(self.shared.config.retry_after).await;
                }
                Err(error) => {
                    tracing::error!(%error, "the permit index stopped; nothing is permitted");
                    self.shared.stop(error);
                    return;
                }
            }
        }
    }

    async fn wait(&self) {
        let changed = self.journal.changed(&self.seen, LOOK_ANYWAY);
        let failed = tokio::select! {
            changed = changed => changed.is_err(),
            () = self.shared.nudge.notified() => false,
        };
        if failed {
            tokio::time::sleep(self.shared.config.retry_after).await;
        }
    }

    /// One batch of every partition; whether there was anything.
    async fn round(&mut self) -> Result<bool, Error> {
        let mut any = false;
        let partitions: Vec<(Topic, u32)> = self
            .seen
            .iter()
            .map(|(topic, partition, _)| (topic.clone(), partition))
            .collect();
        for (topic, partition) in partitions {
            let from = self.seen.get(&topic, partition);
            let config = &self.shared.config;
            let limit = ReadLimit {
                records: config.batch_records,
                bytes: config.batch_bytes,
            };
            let batch = self
                .journal
                .read(&topic, partition, from, limit)
                .await
                .map_err(cannot_read)?;
            if batch.next == from {
                continue;
            }
            let delay = self.shared.hooks.delay();
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            let next = batch.next;
            self.apply(&topic, partition, batch).await?;
            metrics::applied(topic.as_str(), partition, next);
            self.seen.set(&topic, partition, next);
            any = true;
        }
        Ok(any)
    }

    /// Off the runtime: the vault may have to ask over a network, and folding takes its time.
    async fn apply(&self, topic: &Topic, partition: u32, batch: Batch) -> Result<(), Error> {
        let (shared, vault) = (Arc::clone(&self.shared), Arc::clone(&self.vault));
        let partitions = self.journal.partitions(topic).map_err(cannot_read)?;
        let defines = topic.as_str() == topics::REGISTRY;
        let applied = tokio::task::spawn_blocking(move || {
            if defines {
                shared.change(|state| state.define(&batch.records, batch.next))
            } else {
                apply_facts(&shared, vault.as_ref(), partition, partitions, &batch)
            }
        });
        applied.await.unwrap_or_else(|interrupted| {
            // Perhaps in the middle of a change: what is known then is not what was read.
            Err(
                Error::new(ErrorKind::Internal, "applying records was interrupted")
                    .with_source(interrupted),
            )
        })
    }
}

fn apply_facts(
    shared: &Shared,
    vault: &dyn Vault,
    partition: u32,
    partitions: u32,
    batch: &Batch,
) -> Result<(), Error> {
    let receipt = shared.state().receipt_in(partition);
    let facts = read::facts(&batch.records, vault, receipt, partitions)?;
    let arrived = batch
        .records
        .iter()
        .zip(facts)
        .filter_map(|(stored, fact)| {
            let place = Place {
                partition,
                offset: stored.position.offset,
            };
            fact.map(|(fact, message)| Arrived {
                fact,
                place,
                message,
            })
        })
        .collect();
    shared.change(|state| state.apply(partition, arrived, batch.next))
}

/// A journal that lost what was read from it cannot be followed; one that is away comes back. So does a topic that
/// was there when the index started: brokers that have just been elected do not know it for a moment. Until then every
/// reader waits at the barrier, and is refused.
fn cannot_read(error: assent_journal::Error) -> Error {
    let is_away = error.kind() == assent_journal::ErrorKind::NotFound;
    let kind = if is_away || error.kind().may_pass() {
        ErrorKind::Unavailable
    } else {
        ErrorKind::Corrupt
    };
    Error::new(kind, format!("the journal cannot be read: {error}")).with_source(error)
}
