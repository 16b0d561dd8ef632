//! HTTP: what comes in over the network or the local socket becomes one call of a room below, and its typed answer
//! becomes a status and a body.
//!
//! Owns routes, bodies, credentials and problems (RFC 9457). It refuses to know file formats, logs and stores: those
//! stand behind [`Services`]. Two surfaces: [`router`] for the port, [`local_router`] for the socket of whoever owns
//! the process, which adds definitions, principals, imports and the projection. A process answers the routes of its
//! roles ([`Roles`]); on the others it says which role it lacks.

mod answer;
mod authorization;
mod body;
mod control;
mod explain;
mod health;
mod ingest;
mod local;
pub mod metrics;
mod problem;
mod query;
mod roles;
mod routes;
mod schemas;
mod segments;

use std::sync::Arc;

use assent_intake::Intake;
use assent_segment::Engine;

pub use control::{
    Change, Changes, Control, Examined, Finding, ImportCounts, ImportProgress, ImportRequest,
    NewPrincipal, PrincipalListed, Projected,
};
pub use health::{NotReady, Readiness};
pub use metrics::Metrics;
pub use problem::{Fault, Problem};
pub use roles::{ProcessRole, Roles};
pub use routes::{Route, local_router, router, table};

/// What the routes stand on. A process has of it what its roles need.
#[derive(Clone)]
pub struct Services {
    /// Takes events and decisions in: the role `intake`.
    pub intake: Option<Arc<Intake>>,
    /// Opens lawful sessions: the role `query`.
    pub engine: Option<Arc<Engine>>,
    /// Whether this process folds events into profiles: the role `projector`.
    pub projects: bool,
    /// Whether it reads for queries of others: the role `worker`.
    pub works: bool,
    /// Changes the stores, for their owner.
    pub control: Arc<dyn Control>,
    /// Tells whether this process can do its job.
    pub readiness: Arc<dyn Readiness>,
    /// The numbers of this process, if it tells any.
    pub metrics: Option<Arc<dyn Metrics>>,
    /// Bytes a request body may have, inflated.
    pub body_limit: usize,
}

impl Services {
    /// The roles of this process.
    #[must_use]
    pub fn roles(&self) -> Roles {
        let has = [
            (ProcessRole::Intake, self.intake.is_some()),
            (ProcessRole::Projector, self.projects),
            (ProcessRole::Query, self.engine.is_some()),
            (ProcessRole::Worker, self.works),
        ];
        has.into_iter()
            .filter_map(|(role, has)| has.then_some(role))
            .collect()
    }
}
