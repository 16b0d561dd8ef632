//! Which route leads where, and which role it needs.

use std::sync::Arc;

use assent_intake::Intake;
use assent_segment::Engine;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware::from_fn;
use axum::response::Response;
use axum::routing::{MethodRouter, any, get, post};

use crate::control::Control;
use crate::problem::Problem;
use crate::{
    ProcessRole, Roles, Services, explain, health, ingest, local, metrics, query, schemas, segments,
};

/// What the routes of the role `intake` stand on.
#[derive(Clone)]
pub(crate) struct Taking {
    pub(crate) intake: Arc<Intake>,
    pub(crate) body_limit: usize,
}

/// What the routes of the role `query` stand on.
#[derive(Clone)]
pub(crate) struct Asking {
    pub(crate) engine: Arc<Engine>,
    pub(crate) body_limit: usize,
}

/// What the owner's routes stand on.
#[derive(Clone)]
pub(crate) struct Owning {
    pub(crate) control: Arc<dyn Control>,
    pub(crate) body_limit: usize,
}

/// Bytes a request body may have.
pub(crate) trait Bounded {
    fn body_limit(&self) -> usize;
}

impl Bounded for Taking {
    fn body_limit(&self) -> usize {
        self.body_limit
    }
}

impl Bounded for Asking {
    fn body_limit(&self) -> usize {
        self.body_limit
    }
}

impl Bounded for Owning {
    fn body_limit(&self) -> usize {
        self.body_limit
    }
}

type Routes<S> = Vec<(&'static str, MethodRouter<S>)>;

/// A route, as the table of routes tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The pattern of its path.
    pub path: &'static str,
    /// Whether it is offered on the owner's socket only.
    pub owners: bool,
    /// The role it needs; none when every process has it.
    pub role: Option<ProcessRole>,
}

/// Every route there is.
#[must_use]
pub fn table() -> Vec<Route> {
    let mut table = Vec::new();
    let mut list = |paths: Vec<&'static str>, owners, role| {
        let routes = paths.into_iter();
        table.extend(routes.map(|path| Route { path, owners, role }));
    };
    list(paths(of_everybody()), false, None);
    list(paths(of_intake()), false, Some(ProcessRole::Intake));
    list(paths(of_query()), false, Some(ProcessRole::Query));
    list(paths(for_the_owner()), true, None);
    list(
        paths(of_intake_for_the_owner()),
        true,
        Some(ProcessRole::Intake),
    );
    list(
        paths(of_projector_for_the_owner()),
        true,
        Some(ProcessRole::Projector),
    );
    list(
        paths(of_query_for_the_owner()),
        true,
        Some(ProcessRole::Query),
    );
    table
}

fn paths<S>(routes: Routes<S>) -> Vec<&'static str> {
    routes.into_iter().map(|(path, _)| path).collect()
}

/// The routes of the port.
pub fn router(services: Services) -> Router {
    Surface::new(services).shared().finish()
}

/// The routes of the local socket: those of the port and the owner's.
pub fn local_router(services: Services) -> Router {
    Surface::new(services).shared().owners().finish()
}

fn of_everybody() -> Routes<Services> {
    let mut routes = vec![
        ("/healthz", get(health::alive)),
        ("/readyz", get(health::ready)),
        ("/metrics", get(render)),
    ];
    routes.extend(schemas::routes());
    routes
}

fn of_intake() -> Routes<Taking> {
    let mut routes: Routes<Taking> = vec![("/v1/consents", post(ingest::consents))];
    routes.extend(ingest::TRACKING.map(|(path, route)| {
        let handler = post(move |taking, request| ingest::events(taking, route, request));
        (path, handler)
    }));
    routes
}

fn of_query() -> Routes<Asking> {
    vec![
        ("/v1/query", post(query::query)),
        ("/v1/explain", post(explain::explain)),
        ("/v1/segments", get(segments::list)),
        ("/v1/segments/{name}", get(segments::show)),
        ("/v1/segments/{name}/run", post(segments::run)),
        ("/v1/segments/{name}/refresh", post(segments::refresh)),
        ("/v1/segments/{name}/diff", get(segments::diff)),
        ("/v1/overlaps", post(segments::overlap)),
    ]
}

/// Exports write a file here, so they are the owner's to ask for.
fn of_query_for_the_owner() -> Routes<Asking> {
    vec![("/local/segments/{name}/export", post(segments::export))]
}

fn of_intake_for_the_owner() -> Routes<Owning> {
    vec![("/local/import", post(local::import))]
}

fn of_projector_for_the_owner() -> Routes<Owning> {
    vec![("/local/project", post(local::project))]
}

/// Definitions and principals stand in the journal, which every process has.
fn for_the_owner() -> Routes<Owning> {
    vec![
        ("/local/plan", post(local::plan)),
        ("/local/apply", post(local::apply)),
        (
            "/local/principals",
            get(local::principals).post(local::add_principal),
        ),
        (
            "/local/principals/{name}/revoke",
            post(local::revoke_principal),
        ),
        ("/local/examine", get(local::examine)),
    ]
}

/// A router in the making.
struct Surface {
    services: Services,
    roles: Roles,
    router: Router,
}

impl Surface {
    fn new(services: Services) -> Self {
        Self {
            roles: services.roles(),
            services,
            router: Router::new(),
        }
    }

    fn shared(self) -> Self {
        let services = &self.services;
        let taking = services.intake.clone().map(|intake| Taking {
            intake,
            body_limit: services.body_limit,
        });
        let asking = self.asking();
        let services = services.clone();
        self.always(of_everybody(), &services)
            .with(ProcessRole::Intake, of_intake(), taking)
            .with(ProcessRole::Query, of_query(), asking)
    }

    fn owners(self) -> Self {
        let owning = Owning {
            control: Arc::clone(&self.services.control),
            body_limit: self.services.body_limit,
        };
        let asking = self.asking();
        let if_role = |role| self.roles.has(role).then(|| owning.clone());
        let (taking, projecting) = (
            if_role(ProcessRole::Intake),
            if_role(ProcessRole::Projector),
        );
        self.always(for_the_owner(), &owning)
            .with(ProcessRole::Intake, of_intake_for_the_owner(), taking)
            .with(
                ProcessRole::Projector,
                of_projector_for_the_owner(),
                projecting,
            )
            .with(ProcessRole::Query, of_query_for_the_owner(), asking)
    }

    fn asking(&self) -> Option<Asking> {
        self.services.engine.clone().map(|engine| Asking {
            engine,
            body_limit: self.services.body_limit,
        })
    }

    /// Routes that every process has.
    fn always<S: Clone + Send + Sync + 'static>(mut self, routes: Routes<S>, state: &S) -> Self {
        for (path, handler) in routes {
            self.router = self.router.route(path, handler.with_state(state.clone()));
        }
        self
    }

    /// The routes of a role; without what they stand on, they tell that the role is not this process's.
    fn with<S: Clone + Send + Sync + 'static>(
        mut self,
        role: ProcessRole,
        routes: Routes<S>,
        state: Option<S>,
    ) -> Self {
        for (path, handler) in routes {
            let handler = match &state {
                Some(state) => handler.with_state(state.clone()),
                None => {
                    let problem = lacking(role, &self.roles);
                    any(move || std::future::ready(problem.clone()))
                }
            };
            self.router = self.router.route(path, handler);
        }
        self
    }

    fn finish(self) -> Router {
        self.router
            .fallback(not_found)
            .layer(from_fn(metrics::observe))
    }
}

async fn render(State(services): State<Services>) -> Result<Response, Problem> {
    match &services.metrics {
        Some(metrics) => Ok(metrics::answer(metrics.render().await)),
        None => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "metrics_off",
            "this process tells no metrics; telemetry.metrics turns them on",
        )),
    }
}

fn lacking(role: ProcessRole, roles: &Roles) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "role_missing",
        format!(
            "this process does not have the role {role}, which this route needs; its roles: {roles}"
        ),
    )
}

async fn not_found() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no_such_route",
        "there is no such route; the README lists them",
    )
}
