//! The side that has the gate: opens a sealed place and works on its share of a plan.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use datafusion::common::DataFusionError;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion_distributed::grpc::DefaultChannelResolver;
use datafusion_distributed::{
    DistributedExt, WorkerPlanRewriteEvent, WorkerPlanRewriteEventResponse, WorkerQueryContext,
};
use tokio::runtime::Runtime;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Status};

use super::nodes;
use super::place::{QueryPlace, Secret, Verdicts};
use super::refusal::Refusal;
use super::share::LeafCodec;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::gate::{self, Foundation, Gate, Shape, Standing};
use crate::metrics;
use crate::session::introduce;
use crate::sql::state;
use crate::workers;

/// A worker that serves; it ends when it is dropped, and what it worked on fails.
pub struct Worker {
    runtime: Option<Runtime>,
    address: SocketAddr,
}

impl Worker {
    /// Serves coordinators that share the secret, on threads of its own. What it reads, it reads as `engine` does; the
    /// memory of one query in [`crate::Limits`] is that of one task here.
    ///
    /// # Errors
    /// The threads cannot be had, or the listener is of no use.
    pub fn serve(engine: Arc<Engine>, secret: Secret, listener: TcpListener) -> Result<Self> {
        let unusable = |error: std::io::Error| {
            tracing::error!(%error, "a worker cannot listen");
            Error::unavailable("worker", "the worker cannot listen on its port")
        };
        let runtime = workers::runtime("assent-worker").map_err(unusable)?;
        let address = listener.local_addr().map_err(unusable)?;
        listener.set_nonblocking(true).map_err(unusable)?;
        let incoming = {
            let _within = runtime.enter();
            TcpIncoming::from(tokio::net::TcpListener::from_std(listener).map_err(unusable)?)
        };
        let bench = Bench {
            engine,
            secret,
            channels: DefaultChannelResolver::default(),
        };
        let doorkeeper = bench.clone();
        let knock = move |request: Request<()>| doorkeeper.let_in(request);
        let worker = datafusion_distributed::Worker::from_session_builder(move |query| {
            let bench = bench.clone();
            async move { bench.session(query).await }
        });
        // The service has no bound on messages of its own; only whoever has the secret gets that far.
        let service = tonic::service::interceptor::InterceptedService::new(
            worker.into_worker_server(),
            knock,
        );
        runtime.spawn(async move {
            let served = Server::builder().add_service(service);
            if let Err(error) = served.serve_with_incoming(incoming).await {
                tracing::error!(%error, "a worker ended");
            }
        });
        metrics::works();
        Ok(Self {
            runtime: Some(runtime),
            address,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// What a worker works with.
#[derive(Clone)]
pub(super) struct Bench {
    pub(super) engine: Arc<Engine>,
    pub(super) secret: Secret,
    pub(super) channels: DefaultChannelResolver,
}

impl Bench {
    fn opened(&self, headers: &http::HeaderMap) -> Result<QueryPlace, Refusal> {
        let (now, valid) = (self.engine.clock.now(), self.engine.limits.timeout);
        QueryPlace::opened(headers, &self.secret, now, valid)
    }

    /// Whoever calls has to have a place, whatever for.
    fn let_in(&self, request: Request<()>) -> Result<Request<()>, Status> {
        match self.opened(request.metadata().as_ref()) {
            Ok(_) => Ok(request),
            Err(refusal) => {
                metrics::worked(Some(refusal.code()));
                tracing::warn!(%refusal, "a call was turned away");
                Err(Status::permission_denied(refusal.code()))
            }
        }
    }

    /// The engine of one task: our functions, our list of nodes, and leaves that are read through a gate for the place.
    async fn session(&self, query: WorkerQueryContext) -> Result<SessionState, DataFusionError> {
        let session = self.session_at(query).await;
        metrics::worked(session.as_ref().err().map(|refusal| refusal.code()));
        session.map_err(|refusal| {
            tracing::warn!(%refusal, "a plan was refused");
            refusal.into()
        })
    }

    async fn session_at(&self, mut query: WorkerQueryContext) -> Result<SessionState, Refusal> {
        let place = self.opened(&query.headers)?;
        let (gate, shapes) = self.stand(&place).await?;
        let config = query.builder.config().take().unwrap_or_default();
        let config = config.with_batch_size(place.batch_rows.max(1));
        let built = state::of_worker(
            config,
            &self.engine.limits,
            gate.standing.evaluated_at(),
            gate.registry.settings().calendar,
        );
        let builder: SessionStateBuilder = built.map_err(|_| Refusal::Failed)?;
        let codec = LeafCodec::reading(place.digest(), gate, shapes);
        let vet = |event: WorkerPlanRewriteEvent<'_>| {
            nodes::vet(&event.plan).inspect_err(|refusal| {
                metrics::worked(Some(refusal.code()));
            })?;
            Ok(WorkerPlanRewriteEventResponse::new(event.plan))
        };
        builder
            .with_distributed_user_codec(codec)
            .with_distributed_worker_plan_rewrite_handler(vet)
            .with_distributed_channel_resolver(self.channels.clone())
            // For the workers that this one asks in its turn.
            .with_distributed_passthrough_headers(place.sealed(&self.secret))
            .map(SessionStateBuilder::build)
            .map_err(|_| Refusal::Failed)
    }

    /// A gate at the place.
    pub(super) async fn stand(&self, place: &QueryPlace) -> Result<(Gate, Vec<Shape>), Refusal> {
        let permit = &self.engine.stores.permit;
        let position = permit.reach(&place.position).await;
        let position = position.map_err(|error| {
            tracing::warn!(kind = %error.kind(), "a position was not reached");
            Refusal::Behind
        })?;
        let registry = permit.registry();
        if registry.digest().to_string() != place.definitions {
            return Err(Refusal::Definitions);
        }
        let purpose = registry.purpose(&place.declared.purpose).cloned();
        let purpose = purpose.ok_or(Refusal::Definitions)?;
        let (engine, place) = (Arc::clone(&self.engine), place.clone());
        let work = move |turn: &workers::Turn| {
            let snapshot = match place.manifest {
                None => Ok(None),
                Some((number, writer)) => {
                    let found = engine.stores.profiles.at(number, writer);
                    found.ok().flatten().map(Some).ok_or(Refusal::Manifest)
                }
            };
            let snapshot = match snapshot {
                Ok(snapshot) => snapshot,
                Err(refusal) => return Ok(Err(refusal)),
            };
            if let Some(snapshot) = &snapshot {
                introduce(&engine, snapshot, turn)?;
            }
            let set = |verdicts: Verdicts| {
                let permit = &engine.stores.permit;
                let set = permit.permitted(&place.declared, verdicts.at);
                let set = set.map_err(|_| Refusal::Behind)?;
                match permit.fingerprint(&set) == verdicts.fingerprint {
                    true => Ok(set),
                    false => Err(Refusal::Verdicts),
                }
            };
            let standing = set(place.then).and_then(|then| match place.now {
                None => Ok(Standing::live(then)),
                Some(now) => Ok(Standing::as_of(then, set(now)?)),
            });
            Ok(standing.map(|standing| {
                let foundation = Foundation {
                    declared: place.declared,
                    standing,
                    snapshot,
                    position,
                    registry: Arc::clone(&registry),
                };
                let shapes = gate::visible(&registry, &purpose.categories);
                (Gate::on(&engine, &purpose, foundation), shapes)
            }))
        };
        let limit = self.engine.limits.timeout;
        let stood = self.engine.workers.compute(limit, work).await;
        stood.map_err(|error| {
            tracing::warn!(code = error.code(), "a gate could not be built");
            Refusal::Failed
        })?
    }
}
