//! `/healthz`: the process lives. `/readyz`: it can do its job.

use async_trait::async_trait;
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::Services;
use crate::problem::Problem;

/// Tells whether this process can do its job.
#[async_trait]
pub trait Readiness: Send + Sync + 'static {
    /// Asks the stores; an error says which one does not answer.
    async fn check(&self) -> Result<(), String>;
}

pub(crate) async fn alive() -> Json<Value> {
    Json(json!({ "status": "alive" }))
}

/// 200 only if the journal answers and what it holds on consent is applied.
pub(crate) async fn ready(State(services): State<Services>) -> Result<Json<Value>, Problem> {
    match services.readiness.check().await {
        Ok(()) => Ok(Json(json!({ "status": "ready" }))),
        Err(reason) => Err(Problem::unavailable("not_ready", reason)),
    }
}
