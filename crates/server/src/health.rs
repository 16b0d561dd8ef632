//! `/healthz`: the process lives. `/readyz`: it can do its job, and if not, what is missing.

use async_trait::async_trait;
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::Services;
use crate::problem::{Fault, Problem};

/// Tells whether this process can do its job.
#[async_trait]
pub trait Readiness: Send + Sync + 'static {
    /// Asks whatever the process's roles need; an empty answer means that each of them can do its job.
    async fn check(&self) -> Vec<NotReady>;
}

/// Something that a role needs and does not have now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotReady {
    /// Who needs what, such as `intake/vault`.
    pub what: &'static str,
    /// Why not, in fixed words: anybody may ask, and is told nothing of what the stores hold.
    pub why: String,
}

pub(crate) async fn alive() -> Json<Value> {
    Json(json!({ "status": "alive" }))
}

/// 200 only if each role of this process can do its job.
pub(crate) async fn ready(State(services): State<Services>) -> Result<Json<Value>, Problem> {
    let missing = services.readiness.check().await;
    if missing.is_empty() {
        let roles: Vec<&str> = services.roles().iter().map(|role| role.as_str()).collect();
        return Ok(Json(json!({ "status": "ready", "roles": roles })));
    }
    let names: Vec<&str> = missing.iter().map(|one| one.what).collect();
    let detail = format!("not ready: {}", names.join(", "));
    let faults = missing
        .into_iter()
        .map(|one| Fault {
            pointer: one.what.to_owned(),
            detail: one.why,
        })
        .collect();
    Err(Problem::unavailable("not_ready", detail).with_faults(faults))
}
