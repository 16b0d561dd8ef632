//! The role `projector`: keeps the shards that its group gives caught up with the journal, and tells how far behind the
//! profiles are.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use assent_consent::Calendar;
use assent_event::topics;
use assent_intake::Unheard;
use assent_journal::{Checkpoint, Group, Journal, Topic};
use assent_programme::{RegistryState, TraitCatalog};
use assent_projection::{Definitions, Parts, Profiles, Progress, Projector, Snapshot};
use assent_server::{Problem, Projected};
use parking_lot::Mutex as Short;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use crate::config::Config;
use crate::failure::{Explained, Failure};
use crate::knowledge::Knowledge;
use crate::readiness;

/// How long whoever asks for a fold waits for the group's first word: a new member is told in some seconds.
const FIRST_WORD: Duration = Duration::from_secs(15);

/// Folds events into the profiles.
pub struct Projection {
    journal: Arc<dyn Journal>,
    knowledge: Knowledge,
    profiles: Arc<Profiles>,
    /// The shards given to this process.
    given: watch::Receiver<BTreeSet<u32>>,
    projector: Mutex<Projector>,
    /// Why the last fold failed, if it did.
    trouble: Short<Option<String>>,
    linger: Duration,
    poll: Duration,
}

impl Projection {
    /// A projection that holds nothing yet; the first fold takes shards over, and makes the profiles where they are
    /// missing. Traits that cannot be columns do not keep it from opening, or nobody could mend them: the projection
    /// stands still, and readiness says so.
    ///
    /// # Errors
    /// The projector cannot be had.
    pub fn open(
        config: &Config,
        parts: Parts,
        profiles: Arc<Profiles>,
        knowledge: Knowledge,
    ) -> Result<Self, Failure> {
        let journal = Arc::clone(&parts.journal);
        let given = Group::shards(&*parts.group);
        // Each fold takes over the definitions in force first.
        let none = Definitions::new(TraitCatalog::default(), Calendar::default());
        let projector =
            Projector::open(parts, none, config.projection.clone()).explained("projection")?;
        Ok(Self {
            journal,
            knowledge,
            profiles,
            given,
            projector: Mutex::new(projector),
            trouble: Short::new(None),
            linger: config.projection.linger,
            poll: config.projection.poll,
        })
    }

    /// Keeps the profiles caught up with the journal until told to stop.
    pub fn run_until(self: Arc<Self>, mut stopped: watch::Receiver<bool>) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut given = self.given.clone();
            let mut merged = self.projector.lock().await.merged();
            while !*stopped.borrow() {
                given.mark_unchanged();
                merged.mark_unchanged();
                // Not broken off: it sees by itself when it is given other shards.
                let folded = self.fold(async |projector| projector.keep_up().await).await;
                let pause = async {
                    match folded {
                        Ok(progress) => self.news_after(&progress).await,
                        Err(error) => {
                            tracing::error!(
                                error = &error as &dyn std::error::Error,
                                "the projection stands still"
                            );
                            tokio::time::sleep(self.poll).await;
                        }
                    }
                };
                tokio::select! {
                    () = pause => {}
                    _ = stopped.changed() => {}
                    _ = changed_or_never(&mut given) => {}
                    _ = merged.changed() => {}
                }
            }
            // Requests that were answered while stopping are folded, too.
            let folded = self
                .fold(async |projector| {
                    projector.give_up_merges();
                    projector.keep_up().await
                })
                .await;
            if let Err(error) = folded {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the last fold failed; the next start goes on from the last commit"
                );
            }
        })
    }

    /// Catches up, or has everything folded anew.
    ///
    /// # Errors
    /// As a problem of the owner's request.
    pub async fn project(&self, rebuild: bool) -> Result<Projected, Problem> {
        let mut given = self.given.clone();
        // Running out of time is an answer, too: others may have all the shards.
        let _ = tokio::time::timeout(FIRST_WORD, given.wait_for(|shards| !shards.is_empty())).await;
        let progress = match rebuild {
            true => self.fold(async |projector| projector.rebuild().await).await,
            false => {
                self.fold(async |projector| projector.run_to_rest().await)
                    .await
            }
        };
        let progress = progress.map_err(|error| {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "projection failed"
            );
            match error {
                Stopped::Definitions(_) => Problem::unavailable("barrier", error.to_string()),
                Stopped::Fold(_) => Problem::new(
                    axum::http::StatusCode::INTERNAL_SERVER_ERROR,
                    "projection",
                    error.to_string(),
                ),
            }
        })?;
        Ok(Projected {
            manifest: progress.number,
            folded: progress.counts.folded,
            duplicates: progress.counts.duplicates,
            skipped: progress.counts.skipped.values().sum(),
            shards: progress.shards.into_keys().collect(),
            to_be_rebuilt: progress.to_be_rebuilt.into_iter().collect(),
        })
    }

    /// Why the profiles are not kept up to date just now.
    pub fn trouble(&self) -> Option<String> {
        if self.given.has_changed().is_err() {
            return Some("it has left the group of projectors for good; start it again".to_owned());
        }
        self.trouble.lock().clone()
    }

    /// The same in fixed words, for whoever asks.
    pub fn stands_still(&self) -> Option<&'static str> {
        if definitions(&self.knowledge.registry()).check().is_err() {
            return Some("the traits in force cannot be columns; apply a mended traits.yaml");
        }
        self.trouble()
            .map(|_| "the last fold failed; `assent doctor` says why")
    }

    /// How many records of the shards given to this process the profiles do not hold yet, by topic and partition; zero
    /// for the shards of others.
    ///
    /// # Errors
    /// When the journal or the profiles cannot be asked.
    pub async fn behind(&self) -> Result<Checkpoint, Failure> {
        // Not asked of the projector, which may be busy for long.
        let snapshot = readiness::load(Arc::clone(&self.profiles))
            .await
            .explained("profiles")?;
        let behind = behind(&*self.journal, snapshot.as_ref()).await?;
        let given = self.given.borrow().clone();
        let mut ours = Checkpoint::new();
        for (topic, partition, records) in behind.iter() {
            let records = if given.contains(&partition) {
                records
            } else {
                0
            };
            ours.set(topic, partition, records);
        }
        Ok(ours)
    }

    /// Works with the definitions in force, and remembers whether it went well.
    async fn fold(
        &self,
        work: impl AsyncFnOnce(&mut Projector) -> Result<Progress, assent_projection::Error>,
    ) -> Result<Progress, Stopped> {
        let outcome = async {
            self.knowledge.catch_up().await?;
            let mut projector = self.projector.lock().await;
            projector.adopt(definitions(&self.knowledge.registry()))?;
            let span = tracing::info_span!("projection", otel.kind = "consumer");
            Ok(work(&mut projector).instrument(span).await?)
        };
        let outcome = outcome.await;
        *self.trouble.lock() = outcome.as_ref().err().map(Stopped::to_string);
        if let Ok(progress) = &outcome {
            for fenced in &progress.fenced {
                tracing::info!(%fenced, "a shard was lost; nothing of what was folded and not committed is visible");
            }
        }
        outcome
    }

    /// Waits until there may be something to fold after a run, or a while has passed.
    async fn news_after(&self, progress: &Progress) {
        let mut seen = progress.waits_for();
        // Definitions may change what the fold writes, and with it everything.
        let registry = Topic::new(topics::REGISTRY);
        seen.set(&registry, 0, self.knowledge.registry().next());
        if let Err(error) = self.journal.changed(&seen, self.poll).await {
            tracing::warn!(%error, "the journal cannot be watched");
            tokio::time::sleep(self.poll).await;
        }
        tokio::time::sleep(self.linger).await;
    }
}

/// Returns when the shards given have changed. A group that was left gives no more, and is told by the next fold.
async fn changed_or_never(given: &mut watch::Receiver<BTreeSet<u32>>) {
    if given.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Why a fold did not go well.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    /// It is not known which definitions are in force.
    #[error("the definitions in force are not known: {0}")]
    Definitions(#[from] Unheard),
    /// The fold failed.
    #[error(transparent)]
    Fold(#[from] assent_projection::Error),
}

/// How many records a snapshot of the profiles does not hold yet, by topic and partition.
///
/// # Errors
/// When the journal cannot be asked.
pub async fn behind(
    journal: &dyn Journal,
    snapshot: Option<&Snapshot>,
) -> Result<Checkpoint, Failure> {
    let topics = [topics::PROFILE, topics::BEHAVIOUR].map(Topic::new);
    let ends = journal.end_positions(&topics).await.explained("journal")?;
    let folded = snapshot.map_or_else(Checkpoint::new, |snapshot| snapshot.manifest().checkpoint());
    let mut behind = Checkpoint::new();
    for (topic, partition, end) in ends.iter() {
        let more = end.saturating_sub(folded.get(topic, partition));
        behind.set(topic, partition, more);
    }
    Ok(behind)
}

fn definitions(registry: &RegistryState) -> Definitions {
    let settings = registry.settings();
    let mut definitions = Definitions::new(registry.traits().clone(), settings.calendar);
    definitions.dedup_window_micros = i64::from(settings.deduplication_days) * 86_400_000_000;
    definitions
}
