//! The role `projector`: keeps the profiles caught up with the journal, and tells how far behind they are.

use std::sync::Arc;
use std::time::Duration;

use assent_consent::Calendar;
use assent_event::topics;
use assent_intake::Unheard;
use assent_journal::{Checkpoint, Journal, Topic};
use assent_programme::{RegistryState, TraitCatalog};
use assent_projection::{Definitions, Parts, Profiles, Progress, Projector};
use assent_server::{Problem, Projected};
use parking_lot::Mutex as Short;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use crate::config::Config;
use crate::failure::{Explained, Failure};
use crate::knowledge::Knowledge;

/// Folds events into the profiles.
pub struct Projection {
    journal: Arc<dyn Journal>,
    knowledge: Knowledge,
    profiles: Arc<Profiles>,
    projector: Mutex<Projector>,
    /// Why the last fold failed, if it did.
    trouble: Short<Option<String>>,
    linger: Duration,
    poll: Duration,
}

impl Projection {
    /// Opens the profiles, which the first fold makes where they are missing. Traits that cannot be columns do not keep it
    /// from opening, or nobody could mend them: the projection stands still, and readiness says so.
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
        // Each fold takes over the definitions in force first.
        let none = Definitions::new(TraitCatalog::default(), Calendar::default());
        let projector =
            Projector::open(parts, none, config.projection.clone()).explained("projection")?;
        Ok(Self {
            journal,
            knowledge,
            profiles,
            projector: Mutex::new(projector),
            trouble: Short::new(None),
            linger: config.projection.linger,
            poll: config.projection.poll,
        })
    }

    /// Keeps the profiles caught up with the journal until told to stop.
    pub fn run_until(self: Arc<Self>, mut stopped: watch::Receiver<bool>) -> JoinHandle<()> {
        tokio::spawn(async move {
            while !*stopped.borrow() {
                let pause = async {
                    match self.catch_up().await {
                        Ok(progress) => self.news_after(&progress).await,
                        Err(error) => {
                            tracing::error!(%error, "the projection stands still");
                            tokio::time::sleep(self.poll).await;
                        }
                    }
                };
                tokio::select! {
                    () = pause => {}
                    _ = stopped.changed() => {}
                }
            }
            // Requests that were answered while stopping are folded, too.
            if let Err(error) = self.catch_up().await {
                tracing::error!(%error, "the last fold failed; the next start goes on from the last commit");
            }
        })
    }

    /// Catches up, or folds everything anew.
    ///
    /// # Errors
    /// As a problem of the owner's request.
    pub async fn project(&self, rebuild: bool) -> Result<Projected, Problem> {
        let progress = match rebuild {
            true => self.fold(async |projector| projector.rebuild().await).await,
            false => self.catch_up().await,
        };
        let progress = progress.map_err(|error| {
            tracing::error!(%error, "projection failed");
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
        })
    }

    /// Why the profiles are not kept up to date just now.
    pub fn trouble(&self) -> Option<String> {
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

    /// How many records the profiles do not hold yet, by topic and partition.
    ///
    /// # Errors
    /// When the journal or the profiles cannot be asked.
    pub async fn behind(&self) -> Result<Checkpoint, Failure> {
        let topics = [topics::PROFILE, topics::BEHAVIOUR].map(Topic::new);
        let ends = self
            .journal
            .end_positions(&topics)
            .await
            .explained("journal")?;
        // Not asked of the projector, which may be busy for long.
        let profiles = Arc::clone(&self.profiles);
        let snapshot = tokio::task::spawn_blocking(move || profiles.latest())
            .await
            .explained("profiles")?
            .explained("profiles")?;
        let folded =
            snapshot.map_or_else(Checkpoint::new, |snapshot| snapshot.manifest().checkpoint());
        Ok(difference(&ends, &folded))
    }

    /// Folds what the journal holds, with the definitions in force.
    async fn catch_up(&self) -> Result<Progress, Stopped> {
        self.fold(async |projector| projector.run_once().await)
            .await
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

/// What `ends` holds beyond `reached`, by topic and partition.
pub fn difference(ends: &Checkpoint, reached: &Checkpoint) -> Checkpoint {
    let mut behind = Checkpoint::new();
    for (topic, partition, end) in ends.iter() {
        let more = end.saturating_sub(reached.get(topic, partition));
        behind.set(topic, partition, more);
    }
    behind
}

fn definitions(registry: &RegistryState) -> Definitions {
    let settings = registry.settings();
    let mut definitions = Definitions::new(registry.traits().clone(), settings.calendar);
    definitions.dedup_window_micros = i64::from(settings.deduplication_days) * 86_400_000_000;
    definitions
}
