//! Whether this process can do its job: each of its roles asked for what it needs, and whether it is stopping. Anybody may
//! ask, so the sentences are fixed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use assent_consent::SubjectId;
use assent_event::KeyClass;
use assent_projection::{Profiles, Snapshot};
use assent_segment::Engine;
use assent_server::{NotReady, Readiness};
use assent_vault::Vault;

use crate::node::Stores;

/// How long one store may take to answer before it counts as away.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks the stores.
pub struct Ready {
    stores: Arc<Stores>,
    stopping: AtomicBool,
}

impl Ready {
    /// Asks these stores.
    pub fn new(stores: Arc<Stores>) -> Self {
        Self {
            stores,
            stopping: AtomicBool::new(false),
        }
    }

    /// From now on the process is not ready, whatever its stores say.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    async fn intake(&self, missing: &mut Vec<NotReady>) {
        let stores = &self.stores;
        missing.extend(in_time("intake/journal", stores.knowledge.catch_up()).await);
        if let Some(vault) = &stores.vault {
            missing.extend(in_time("intake/vault", answers(Arc::clone(vault))).await);
        }
        if let Some(Err(error)) = stores.intake.as_ref().map(|intake| intake.check_clock()) {
            missing.push(NotReady {
                what: "intake/clock",
                why: error.to_string(),
            });
        }
        if stores.knowledge.registry().sources().next().is_none() {
            missing.push(NotReady {
                what: "intake/definitions",
                why:
                    "no source is defined, so nobody may send; apply a programme: assent apply DIR"
                        .to_owned(),
            });
        }
    }

    fn projector(&self, missing: &mut Vec<NotReady>) {
        let trouble = self
            .stores
            .projection
            .as_ref()
            .and_then(|projection| projection.stands_still());
        missing.extend(trouble.map(|why| NotReady {
            what: "projector/fold",
            why: why.to_owned(),
        }));
    }

    /// A role that reads: `query` or `worker`.
    async fn reads(
        &self,
        engine: Option<&Arc<Engine>>,
        [barrier, newest]: [&'static str; 2],
        missing: &mut Vec<NotReady>,
    ) {
        let Some(engine) = engine else {
            return;
        };
        missing.extend(in_time(barrier, engine.permit().barrier()).await);
        if let Some(profiles) = &self.stores.profiles {
            missing.extend(in_time(newest, load(Arc::clone(profiles))).await);
        }
    }
}

#[async_trait::async_trait]
impl Readiness for Ready {
    async fn check(&self) -> Vec<NotReady> {
        let mut missing = Vec::new();
        if self.stopping.load(Ordering::SeqCst) {
            missing.push(NotReady {
                what: "process",
                why: "it is stopping".to_owned(),
            });
            return missing;
        }
        if self.stores.intake.is_some() {
            self.intake(&mut missing).await;
        }
        self.projector(&mut missing);
        let stores = &self.stores;
        for (engine, names) in [
            (&stores.engine, ["query/barrier", "query/profiles"]),
            (&stores.bench, ["worker/barrier", "worker/profiles"]),
        ] {
            self.reads(engine.as_ref(), names, &mut missing).await;
        }
        missing
    }
}

/// Whether the vault answers a question about nobody.
pub async fn answers(vault: Arc<dyn Vault>) -> Result<(), String> {
    let nobody = [(SubjectId::from_bytes([0; 16]), KeyClass::Profile)];
    tokio::task::spawn_blocking(move || vault.keys(&nobody, false))
        .await
        .map_err(|error| error.to_string())?
        .map(|_| ())
        .map_err(|error| error.to_string())
}

/// Whether the newest profiles can be loaded; there being none yet is no fault.
pub async fn load(profiles: Arc<Profiles>) -> Result<Option<Snapshot>, String> {
    tokio::task::spawn_blocking(move || profiles.latest())
        .await
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())
}

async fn in_time<T, E: std::fmt::Display>(
    what: &'static str,
    asked: impl Future<Output = Result<T, E>>,
) -> Option<NotReady> {
    let why = match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(_)) => return None,
        // How far what got stands in the log: anybody may ask whether a process is ready.
        Ok(Err(error)) => {
            tracing::warn!(what, %error, "not ready");
            "it does not answer, or not well; the log says more".to_owned()
        }
        Err(_) => format!("no answer within {PATIENCE:?}"),
    };
    Some(NotReady { what, why })
}
