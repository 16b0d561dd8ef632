//! HTTP: what comes in over the network or the local socket becomes one call of a room below, and its typed answer
//! becomes a status and a body.
//!
//! Owns routes, bodies, credentials and problems (RFC 9457). It refuses to know file formats, logs and stores: those
//! stand behind [`Services`]. Two surfaces: [`router`] for the port, [`local_router`] for the socket of whoever owns
//! the data directory, which adds definitions, principals, imports and the projection.

mod answer;
mod authorization;
mod body;
mod control;
mod explain;
mod health;
mod ingest;
mod local;
mod problem;
mod query;
mod schemas;
mod segments;

use std::sync::Arc;

use assent_intake::Intake;
use assent_segment::Engine;
use axum::Router;
use axum::routing::{get, post};

pub use control::{
    Change, Changes, Control, ImportProgress, ImportRequest, NewPrincipal, Projected,
};
pub use health::Readiness;
pub use problem::{Fault, Problem};

/// What the routes stand on.
#[derive(Clone)]
pub struct Services {
    /// Takes events and decisions in.
    pub intake: Arc<Intake>,
    /// Opens lawful sessions.
    pub engine: Arc<Engine>,
    /// Changes the stores, for their owner.
    pub control: Arc<dyn Control>,
    /// Tells whether this process can do its job.
    pub readiness: Arc<dyn Readiness>,
    /// Bytes a request body may have, inflated.
    pub body_limit: usize,
}

/// The routes of the port.
pub fn router(services: Services) -> Router {
    shared().fallback(not_found).with_state(services)
}

/// The routes of the local socket: those of the port and the owner's.
pub fn local_router(services: Services) -> Router {
    shared()
        .route("/local/plan", post(local::plan))
        .route("/local/apply", post(local::apply))
        .route("/local/project", post(local::project))
        .route("/local/import", post(local::import))
        .route(
            "/local/principals",
            get(local::principals).post(local::add_principal),
        )
        .route(
            "/local/principals/{name}/revoke",
            post(local::revoke_principal),
        )
        .route("/local/segments/{name}/export", post(segments::export))
        .fallback(not_found)
        .with_state(services)
}

fn shared() -> Router<Services> {
    let mut router = schemas::routes()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/v1/consents", post(ingest::consents))
        .route("/v1/query", post(query::query))
        .route("/v1/explain", post(explain::explain))
        .route("/v1/segments", get(segments::list))
        .route("/v1/segments/{name}", get(segments::show))
        .route("/v1/segments/{name}/run", post(segments::run));
    for (path, route) in ingest::TRACKING {
        router = router.route(
            path,
            post(move |services, request| ingest::events(services, route, request)),
        );
    }
    router
}

async fn not_found() -> Problem {
    Problem::new(
        axum::http::StatusCode::NOT_FOUND,
        "no_such_route",
        "there is no such route; the README lists them",
    )
}
