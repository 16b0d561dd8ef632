//! One process of a deployment: the stores its roles need, opened and wired.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use assent_consent::{Namespace, SubjectId, Timestamp};
use assent_event::Identifier;
use assent_intake::{CurrentRegistry, Intake};
use assent_journal::Journal;
use assent_permit::Permit;
use assent_projection::{Clustering, Parts, Profiles, Storage};
use assent_segment::{ByConsent, Engine, Fleet};
use assent_server::{Metrics, ProcessRole, Roles, Services};
use assent_vault::{RandomSource, Vault};

use crate::clock;
use crate::config::{Config, JournalKind};
use crate::control::Owner;
use crate::failure::{Explained, Failure};
use crate::follower::{Follow, Follower};
use crate::knowledge::{Alone, AmongOthers, Knowledge, Log};
use crate::projection::Projection;
use crate::readiness::Ready;
use crate::receipts;
use crate::stores;

/// How often the journal may fail to answer while the permit index is loaded, and the pause before it is asked again: a
/// topic just created has no leader for a moment.
const STANDSTILLS: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(250);

/// What the wiring is made of. Shared by the routes, the projector's task and the owner's commands.
pub struct Stores {
    pub journal: Arc<dyn Journal>,
    pub knowledge: Knowledge,
    /// Every role needs it; a process without a role has none.
    pub vault: Option<Arc<dyn Vault>>,
    /// Where the profiles lie: for the roles `projector` and `query`.
    pub storage: Option<Arc<dyn Storage>>,
    /// The profiles as readers see them.
    pub profiles: Option<Arc<Profiles>>,
    /// The role `intake`.
    pub intake: Option<Arc<Intake>>,
    /// The role `projector`.
    pub projection: Option<Arc<Projection>>,
    /// The role `query`.
    pub engine: Option<Arc<Engine>>,
    /// The role `worker`.
    pub bench: Option<Arc<Engine>>,
    /// Where it is recorded how far imports came.
    pub imports: PathBuf,
}

/// Stores that are open, before anything is wired over them.
pub struct Opened {
    pub journal: Arc<dyn Journal>,
    pub vault: Option<Arc<dyn Vault>>,
    pub storage: Option<Arc<dyn Storage>>,
    pub random: Arc<dyn RandomSource>,
    /// Tells this run of the process from every other.
    pub owner: assent_projection::Owner,
}

/// A process, open.
pub struct Node {
    config: Config,
    stores: Arc<Stores>,
    ready: Arc<Ready>,
}

impl Node {
    /// Opens what the roles need, making embedded stores where they are missing, and waits until definitions, and for
    /// queries the permit index, have caught up. Without a role it knows the definitions and can change them.
    ///
    /// # Errors
    /// A store cannot be opened or reached; the sentence says which and what to do.
    pub async fn open(config: Config) -> Result<Self, Failure> {
        let random: Arc<dyn RandomSource> = Arc::new(clock::generator());
        let owner = assent_projection::Owner::random(&random);
        let journal = stores::journal(&config).await?;
        let vault = match config.roles.is_empty() {
            true => None,
            false => {
                stores::look_for_vault(&config, journal.as_ref()).await?;
                Some(stores::vault(&config, &random)?)
            }
        };
        let reads = [
            ProcessRole::Projector,
            ProcessRole::Query,
            ProcessRole::Worker,
        ];
        let storage = match reads.into_iter().any(|role| config.roles.has(role)) {
            true => Some(stores::profiles(&config, owner).await?),
            false => None,
        };
        let opened = Opened {
            journal,
            vault,
            storage,
            random,
            owner,
        };
        Self::over(config, opened).await
    }

    /// Wires what the roles need over stores that are open.
    ///
    /// # Errors
    /// As [`Node::open`].
    pub async fn over(config: Config, opened: Opened) -> Result<Self, Failure> {
        let mut stores = Stores {
            knowledge: knowledge(&config, &opened).await?,
            profiles: opened.storage.clone().map(Profiles::new).map(Arc::new),
            journal: opened.journal,
            vault: opened.vault,
            storage: opened.storage,
            intake: None,
            projection: None,
            engine: None,
            bench: None,
            imports: config.data_dir.join("imports"),
        };
        let has = |role| config.roles.has(role);
        if has(ProcessRole::Intake) {
            let received = receipts::latest(stores.journal.as_ref()).await;
            let received = received.explained("journal")?;
            stores.intake = Some(intake(&config, &stores, &opened.random, received)?);
        }
        if has(ProcessRole::Projector) {
            stores.projection = Some(projection(&config, &stores, opened.owner)?);
        }
        if has(ProcessRole::Query) {
            let role = ProcessRole::Query;
            stores.engine = Some(engine(&config, &stores, &opened.random, role)?);
        }
        if has(ProcessRole::Worker) {
            let role = ProcessRole::Worker;
            stores.bench = Some(engine(&config, &stores, &opened.random, role)?);
        }
        let stores = Arc::new(stores);
        Ok(Self {
            ready: Arc::new(Ready::new(Arc::clone(&stores))),
            config,
            stores,
        })
    }

    /// What it was opened with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The stores.
    pub fn stores(&self) -> &Arc<Stores> {
        &self.stores
    }

    /// Takes events in.
    ///
    /// # Errors
    /// The process does not have the role.
    pub fn intake(&self) -> Result<&Arc<Intake>, Failure> {
        self.stores.intake()
    }

    /// Folds events into profiles.
    ///
    /// # Errors
    /// The process does not have the role.
    pub fn projection(&self) -> Result<&Arc<Projection>, Failure> {
        let projection = self.stores.projection.as_ref();
        projection.ok_or_else(|| lacking(ProcessRole::Projector))
    }

    /// Opens lawful sessions.
    ///
    /// # Errors
    /// The process does not have the role.
    pub fn engine(&self) -> Result<&Arc<Engine>, Failure> {
        let engine = self.stores.engine.as_ref();
        engine.ok_or_else(|| lacking(ProcessRole::Query))
    }

    /// Whether it can do its job.
    pub fn ready(&self) -> &Arc<Ready> {
        &self.ready
    }

    /// The subject behind an identifier, if it was ever seen.
    pub fn subject_of(&self, namespace: &str, value: &str) -> Result<Option<SubjectId>, Failure> {
        let Some(vault) = &self.stores.vault else {
            return Ok(None);
        };
        let namespace = Namespace::parse(namespace).explained("namespace")?;
        let code = self
            .stores
            .knowledge
            .registry()
            .settings()
            .phone_calling_code;
        let identifier = Identifier::new(namespace, value).normal(code);
        let found = vault.subjects(&[identifier], false).explained("vault")?;
        Ok(found.into_iter().next().flatten())
    }

    /// What the routes stand on.
    pub fn services(&self, metrics: Option<Arc<dyn Metrics>>) -> Services {
        Services {
            body_limit: self.config.intake.body_bytes,
            intake: self.stores.intake.clone(),
            engine: self.stores.engine.clone(),
            projects: self.stores.projection.is_some(),
            works: self.stores.bench.is_some(),
            control: Arc::new(self.owner()),
            readiness: Arc::clone(&self.ready) as _,
            metrics,
        }
    }

    /// The owner's commands.
    pub fn owner(&self) -> Owner {
        Owner {
            stores: Arc::clone(&self.stores),
            config: self.config.clone(),
        }
    }
}

impl Stores {
    /// Takes events in.
    ///
    /// # Errors
    /// The process does not have the role.
    pub fn intake(&self) -> Result<&Arc<Intake>, Failure> {
        self.intake
            .as_ref()
            .ok_or_else(|| lacking(ProcessRole::Intake))
    }
}

fn lacking(role: ProcessRole) -> Failure {
    Failure::failed(format!("this process does not have the role {role}"))
}

/// Queries need the permit index, and with it everybody's history; without them definitions are enough, and for intake
/// (and for whoever only looks) the latest receipt.
async fn knowledge(config: &Config, opened: &Opened) -> Result<Knowledge, Failure> {
    let permits = config.query.permit.clone();
    let journal = Arc::clone(&opened.journal);
    let reads = [ProcessRole::Query, ProcessRole::Worker];
    if let Some(role) = reads.into_iter().find(|role| config.roles.has(*role)) {
        let vault = needed(opened.vault.as_ref(), role)?;
        let permit =
            Permit::start(journal, Arc::clone(vault), permits).explained("permit index")?;
        loaded(&permit).await?;
        return Ok(Knowledge::Indexed(Arc::new(permit)));
    }
    let projects_only =
        config.roles.has(ProcessRole::Projector) && !config.roles.has(ProcessRole::Intake);
    let follow = match opened.vault.is_some() && !projects_only {
        true => Follow::Receipts,
        false => Follow::Definitions,
    };
    let follower = Follower::start(journal, follow, permits.barrier_timeout)
        .await
        .explained("definitions")?;
    Ok(Knowledge::Followed(follower))
}

/// A store without which a role cannot be.
fn needed<T>(store: Option<&T>, role: ProcessRole) -> Result<&T, Failure> {
    store.ok_or_else(|| Failure::failed(format!("the role {role} was given no store")))
}

/// Waits until the permit index holds what the journal holds: as long as it takes, while it moves on. A barrier's own
/// patience is for readers, of an index that was there before.
async fn loaded(permit: &Permit) -> Result<(), Failure> {
    let mut standing_still = 0;
    loop {
        let before = permit.applied();
        let Err(error) = permit.barrier().await else {
            return Ok(());
        };
        let moved_on = permit.applied() != before;
        standing_still = if moved_on { 0 } else { standing_still + 1 };
        if error.kind() != assent_permit::ErrorKind::Unavailable || standing_still > STANDSTILLS {
            return Err(error).explained("permit index");
        }
        tracing::info!(applied = %permit.applied(), "the permit index is being loaded");
        tokio::time::sleep(BETWEEN).await;
    }
}

fn intake(
    config: &Config,
    stores: &Stores,
    random: &Arc<dyn RandomSource>,
    received: Timestamp,
) -> Result<Arc<Intake>, Failure> {
    let knowledge = stores.knowledge.clone();
    let latest = knowledge.latest_receipt().max(received);
    let calendar = knowledge.registry().settings().calendar;
    let registry: Arc<dyn CurrentRegistry> = match &config.journal {
        JournalKind::Embedded => Arc::new(Alone(knowledge)),
        JournalKind::Kafka(_) => Arc::new(AmongOthers::new(knowledge)),
    };
    let vault = needed(stores.vault.as_ref(), ProcessRole::Intake)?;
    let intake = Intake::with_limits(
        Arc::clone(&stores.journal),
        Arc::clone(vault),
        registry,
        Arc::new(clock::Wall),
        Arc::clone(random),
        config.intake.clone(),
    );
    // A clock that was set back must not put a withdrawal before a grant of the last run.
    intake.received_until(latest);
    if let Some(today) = config.today {
        let day = calendar.day_of(clock::now());
        if day != today {
            return Err(Failure::usage(format!(
                "--today {today}: the clock of this machine shows {day}; set it right first"
            )));
        }
        intake.confirm_clock();
    }
    // Without the index a sender is not told that a message id of long ago stands for something else; the fold leaves
    // out what it brings all the same (rule R2).
    if let Knowledge::Indexed(permit) = &stores.knowledge {
        intake.ask(Arc::new(Log(Arc::clone(permit))));
    }
    Ok(Arc::new(intake))
}

fn projection(
    config: &Config,
    stores: &Stores,
    owner: assent_projection::Owner,
) -> Result<Arc<Projection>, Failure> {
    let role = ProcessRole::Projector;
    let parts = Parts {
        journal: Arc::clone(&stores.journal),
        vault: Arc::clone(needed(stores.vault.as_ref(), role)?),
        storage: Arc::clone(needed(stores.storage.as_ref(), role)?),
        group: stores::group(config)?,
        clustering: match config.by_consent {
            true => by_consent(config, stores)?,
            false => None,
        },
        owner,
    };
    let profiles = Arc::clone(needed(stores.profiles.as_ref(), role)?);
    let knowledge = stores.knowledge.clone();
    Projection::open(config, parts, profiles, knowledge).map(Arc::new)
}

/// Whose rows lie together. It is a hint, so an index of its own is not waited for, and one that cannot be had is no failure.
fn by_consent(config: &Config, stores: &Stores) -> Result<Option<Arc<dyn Clustering>>, Failure> {
    let clock = Arc::new(clock::now);
    if let Knowledge::Indexed(permit) = &stores.knowledge {
        let by_consent = ByConsent::new(Arc::clone(permit), clock);
        return Ok(Some(Arc::new(by_consent)));
    }
    if let JournalKind::Embedded = config.journal {
        // It is this process's alone, which answers nobody.
        return Ok(None);
    }
    let vault = Arc::clone(needed(stores.vault.as_ref(), ProcessRole::Projector)?);
    let permits = config.query.permit.clone();
    let started = Permit::start(Arc::clone(&stores.journal), vault, permits);
    let permit = match started {
        Ok(permit) => Arc::new(permit),
        Err(error) => {
            tracing::warn!(%error, "files are laid out without regard to consent");
            return Ok(None);
        }
    };
    let by_consent = Arc::new(ByConsent::loading(permit, clock));
    let loading = Arc::clone(&by_consent);
    tokio::spawn(async move {
        if let Err(error) = loading.load().await {
            tracing::warn!(%error, "files are laid out without regard to consent");
        }
    });
    Ok(Some(by_consent))
}

/// The engine of a role that reads; that of queries shares large ones out if there are workers.
fn engine(
    config: &Config,
    stores: &Stores,
    random: &Arc<dyn RandomSource>,
    role: ProcessRole,
) -> Result<Arc<Engine>, Failure> {
    let Knowledge::Indexed(permit) = &stores.knowledge else {
        return Err(Failure::failed("queries need the permit index"));
    };
    let stores = assent_segment::Stores {
        permit: Arc::clone(permit),
        journal: Arc::clone(&stores.journal),
        vault: Arc::clone(needed(stores.vault.as_ref(), role)?),
        profiles: Arc::clone(needed(stores.profiles.as_ref(), role)?),
    };
    let limits = config.query.limits.clone();
    let (clock, random) = (Arc::new(clock::now), Arc::clone(random));
    let workers = &config.workers;
    match workers
        .secret
        .clone()
        .filter(|_| role == ProcessRole::Query)
    {
        Some(secret) if !workers.sockets.is_empty() => {
            let fleet = Fleet::new(&workers.sockets, workers.rows, secret);
            Ok(Engine::with_fleet(stores, clock, random, limits, fleet))
        }
        Some(_) | None => Ok(Engine::new(stores, clock, random, limits)),
    }
}

/// What a process needs that is opened for one command. Embedded stores belong to one process, which then does
/// everything, folding included; on a shared journal it joins with the one role the command needs.
pub fn for_one_command(config: &Config, needs: Option<ProcessRole>) -> Config {
    let roles = match &config.journal {
        JournalKind::Embedded => Roles::all(),
        JournalKind::Kafka(_) => needs.into_iter().collect(),
    };
    Config {
        roles,
        ..config.clone()
    }
}

#[cfg(test)]
mod tests;
