//! One process's stores, opened and wired: journal, vault, permit index, intake, projector, engine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use assent_consent::{FactKind, Namespace, SubjectId};
use assent_event::{EventId, Identifier, topics};
use assent_intake::{Intake, Known};
use assent_journal::{Checkpoint, EmbeddedConfig, EmbeddedJournal, Journal, Topic};
use assent_permit::Permit;
use assent_projection::{Definitions, Progress, Projector, Settings};
use assent_segment::{Engine, Limits};
use assent_server::{Problem, Projected, Readiness, Services};
use assent_vault::{EmbeddedVault, MasterKey, RandomSource, Vault};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

use crate::clock;
use crate::control::Owner;
use crate::failure::{Explained, Failure};

/// Partitions of the topics that are keyed by subject; equal, so that a subject's shard is the same everywhere.
const SUBJECT_PARTITIONS: u32 = 4;
/// How long the projector gathers after news came, so that a trickle does not make a file each.
const LINGER: Duration = Duration::from_millis(200);
/// How long it waits for news before it looks anyway, and after a failure.
const POLL: Duration = Duration::from_secs(5);

/// What the wiring is made of. Shared by the routes, the projector's task and the owner's commands.
pub struct Stores {
    pub journal: Arc<dyn Journal>,
    pub permit: Arc<Permit>,
    pub intake: Arc<Intake>,
    /// Where it is recorded how far imports came.
    pub imports: PathBuf,
    projector: Mutex<Projector>,
}

/// The stores of one data directory, open.
pub struct Node {
    data_dir: PathBuf,
    stores: Arc<Stores>,
    engine: Arc<Engine>,
    vault: Arc<dyn Vault>,
}

impl Node {
    /// Opens the stores, making them where they are missing, and waits until the permit index has caught up.
    pub async fn open(data_dir: &Path) -> Result<Self, Failure> {
        make_private(data_dir)?;
        let random: Arc<dyn RandomSource> = Arc::new(clock::generator());
        let journal: Arc<dyn Journal> = Arc::new(
            EmbeddedJournal::open(&data_dir.join("journal.redb"), embedded())
                .explained("journal")?,
        );
        let master = master_key(&data_dir.join("master.key"), &random)?;
        let vault: Arc<dyn Vault> = Arc::new(
            EmbeddedVault::open(
                &data_dir.join("vault.redb"),
                master,
                Box::new(Arc::clone(&random)),
            )
            .explained("vault")?,
        );
        let permit = Arc::new(
            Permit::start(
                Arc::clone(&journal),
                Arc::clone(&vault),
                assent_permit::Config::default(),
            )
            .explained("permit index")?,
        );
        permit.barrier().await.explained("permit index")?;

        let registry = Arc::clone(&permit);
        let intake = Arc::new(Intake::new(
            Arc::clone(&journal),
            Arc::clone(&vault),
            Arc::new(move || registry.registry()),
            Arc::new(clock::now),
            Arc::clone(&random),
        ));
        // A clock that was set back must not put a withdrawal before a grant of the last run.
        intake.received_until(permit.latest_receipt());
        intake.ask(Arc::new(Followed(Arc::clone(&permit))));
        let profiles = data_dir.join("profiles");
        let projector = Projector::open(
            &profiles,
            Arc::clone(&journal),
            Arc::clone(&vault),
            definitions(&permit),
            Settings::default(),
        )
        .explained("projection")?;
        let engine = Engine::new(
            assent_segment::Stores {
                permit: Arc::clone(&permit),
                journal: Arc::clone(&journal),
                vault: Arc::clone(&vault),
                profiles,
            },
            Arc::new(clock::now),
            random,
            Limits::default(),
        );
        Ok(Self {
            data_dir: data_dir.to_owned(),
            stores: Arc::new(Stores {
                journal,
                permit,
                intake,
                imports: data_dir.join("imports"),
                projector: Mutex::new(projector),
            }),
            engine,
            vault,
        })
    }

    /// Where the stores lie.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The stores.
    pub fn stores(&self) -> &Arc<Stores> {
        &self.stores
    }

    /// Opens lawful sessions.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The subject behind an identifier, if it was ever seen.
    pub fn subject_of(&self, namespace: &str, value: &str) -> Result<Option<SubjectId>, Failure> {
        let namespace = Namespace::parse(namespace).explained("namespace")?;
        let identifier = Identifier::new(namespace, value);
        let found = self
            .vault
            .subjects(&[identifier], false)
            .explained("vault")?;
        Ok(found.into_iter().next().flatten())
    }

    /// What the routes stand on.
    pub fn services(&self) -> Services {
        Services {
            body_limit: self.stores.intake.limits().body_bytes,
            intake: Arc::clone(&self.stores.intake),
            engine: Arc::clone(&self.engine),
            control: Arc::new(self.owner()),
            readiness: Arc::new(Ready(Arc::clone(&self.stores))),
        }
    }

    /// The owner's commands.
    pub fn owner(&self) -> Owner {
        Owner {
            stores: Arc::clone(&self.stores),
        }
    }

    /// Keeps the profiles caught up with the journal until told to stop.
    pub fn project_until(&self, mut stopped: watch::Receiver<bool>) -> JoinHandle<()> {
        let stores = Arc::clone(&self.stores);
        tokio::spawn(async move {
            while !*stopped.borrow() {
                let pause = async {
                    match stores.catch_up().await {
                        Ok(progress) => stores.news_after(&progress.checkpoint).await,
                        Err(error) => {
                            tracing::error!(%error, "the projection stands still");
                            tokio::time::sleep(POLL).await;
                        }
                    }
                };
                tokio::select! {
                    () = pause => {}
                    _ = stopped.changed() => {}
                }
            }
            // Requests that were answered while stopping are folded, too.
            if let Err(error) = stores.catch_up().await {
                tracing::error!(%error, "the last fold failed; the next start goes on from the last commit");
            }
        })
    }

    /// Lets go of the stores. Everything acknowledged is on disk already.
    pub async fn close(self) -> Result<(), Failure> {
        drop(self);
        Ok(())
    }
}

impl Stores {
    /// Folds what the journal holds, with the definitions in force.
    async fn catch_up(&self) -> Result<Progress, assent_projection::Error> {
        let mut projector = self.projector.lock().await;
        projector.adopt(definitions(&self.permit))?;
        projector.run_once().await
    }

    /// Catches up, or folds everything anew.
    pub async fn project(&self, rebuild: bool) -> Result<Projected, Problem> {
        self.permit
            .barrier()
            .await
            .map_err(|error| Problem::unavailable("barrier", error.to_string()))?;
        let progress = if rebuild {
            let mut projector = self.projector.lock().await;
            projector
                .adopt(definitions(&self.permit))
                .map_err(|error| Problem::internal(&error))?;
            projector.rebuild().await
        } else {
            self.catch_up().await
        };
        let progress = progress.map_err(|error| {
            tracing::error!(%error, "projection failed");
            Problem::new(
                axum::http::StatusCode::INTERNAL_SERVER_ERROR,
                "projection",
                error.to_string(),
            )
        })?;
        Ok(Projected {
            manifest: progress.number,
            folded: progress.counts.folded,
            duplicates: progress.counts.duplicates,
            skipped: progress.counts.skipped.values().sum(),
        })
    }

    /// Waits until there may be something to fold after `checkpoint`, or definitions changed, or a while has passed.
    async fn news_after(&self, checkpoint: &Checkpoint) {
        let mut seen = self
            .permit
            .applied()
            .restrict(&[Topic::new(topics::REGISTRY)]);
        for topic in [topics::PROFILE, topics::BEHAVIOUR].map(Topic::new) {
            for partition in 0..SUBJECT_PARTITIONS {
                seen.set(&topic, partition, checkpoint.get(&topic, partition));
            }
        }
        if let Err(error) = self.journal.changed(&seen, POLL).await {
            tracing::warn!(%error, "the journal cannot be watched");
            tokio::time::sleep(POLL).await;
        }
        tokio::time::sleep(LINGER).await;
    }
}

/// What the permit index knows of the log, for intake.
struct Followed(Arc<Permit>);

impl Known for Followed {
    fn fact(&self, subject: SubjectId, event: EventId) -> Option<FactKind> {
        self.0.fact(&subject, event.to_bytes())
    }

    fn is_of_erased(&self, source: &str, message_id: &str) -> bool {
        self.0.is_of_erased(source, message_id)
    }
}

/// Ready means: the journal answers, and what it holds on consent and definitions is applied.
struct Ready(Arc<Stores>);

#[async_trait::async_trait]
impl Readiness for Ready {
    async fn check(&self) -> Result<(), String> {
        self.0
            .permit
            .barrier()
            .await
            .map(|_| ())
            .map_err(|error| error.to_string())
    }
}

fn definitions(permit: &Permit) -> Definitions {
    let registry = permit.registry();
    let settings = registry.settings();
    let mut definitions = Definitions::new(registry.traits().clone(), settings.calendar);
    definitions.dedup_window_micros = i64::from(settings.deduplication_days) * 86_400_000_000;
    definitions
}

fn embedded() -> EmbeddedConfig {
    let partitions = topics::ALL
        .into_iter()
        .map(|topic| {
            let partitions = match topic {
                topics::REGISTRY | topics::USE | topics::REJECTS => 1,
                _ => SUBJECT_PARTITIONS,
            };
            (Topic::new(topic), partitions)
        })
        .collect();
    EmbeddedConfig::new(partitions)
}

/// The data directory, readable by its owner only: profiles hold columns in clear, and the socket obeys whoever can
/// reach it.
pub fn make_private(dir: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt;
    if dir.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .explained(dir.display())
}

/// Writes a secret that only its owner may read.
pub fn write_private(path: &Path, secret: &str) -> Result<(), Failure> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(secret.as_bytes()))
        .explained(path.display())
}

fn master_key(path: &Path, random: &dyn RandomSource) -> Result<MasterKey, Failure> {
    if path.exists() {
        MasterKey::from_file(path).explained("master key")
    } else {
        MasterKey::create_file(path, random).explained("master key")
    }
}
