//! The side that has the gate: opens a sealed place and works on its share of a plan.

use std::collections::HashMap;
use std::fmt;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use datafusion::common::DataFusionError;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion_distributed::{
    DistributedExt, WorkerPlanRewriteEvent, WorkerPlanRewriteEventResponse, WorkerQueryContext,
};
use tokio::runtime::Runtime;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tonic::transport::Server;
use tonic::{Request, Status};

use super::channels::Channels;
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
}

impl Worker {
    /// Serves coordinators that share the secret, on threads of its own. What it reads, it reads as `engine` does; of the
    /// [`crate::Limits`], `concurrent` bounds the queries that it works on, and `memory_bytes` each task of one.
    ///
    /// # Errors
    /// The threads cannot be had, or the listener is of no use.
    pub fn serve(engine: Arc<Engine>, secret: Secret, listener: UnixListener) -> Result<Self> {
        let unusable = |error: std::io::Error| {
            tracing::error!(%error, "a worker cannot listen");
            Error::unavailable("worker", "the worker cannot listen on its socket")
        };
        let runtime = workers::runtime("assent-worker").map_err(unusable)?;
        listener.set_nonblocking(true).map_err(unusable)?;
        let listener = {
            let _within = runtime.enter();
            tokio::net::UnixListener::from_std(listener).map_err(unusable)?
        };
        let incoming = futures::stream::unfold(listener, |listener| async {
            let accepted = listener.accept().await;
            Some((accepted.map(|(stream, _)| stream), listener))
        });
        let bench = Bench::new(engine, secret);
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
        })
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
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

/// Where a query stands here: the gate, and the tables behind it.
#[derive(Clone)]
struct Stood {
    gate: Gate,
    shapes: Vec<Shape>,
}

/// The gate of a place, built once, and the turn of its query. Each task of the query holds it for as long as the task is
/// there, and nobody else: a gate holds files, which may not stay when somebody was erased (I8).
struct Post {
    stood: OnceCell<Stood>,
    _turn: OwnedSemaphorePermit,
}

/// What a worker works with.
#[derive(Clone)]
pub(super) struct Bench {
    engine: Arc<Engine>,
    secret: Secret,
    channels: Channels,
    turns: Arc<Semaphore>,
    /// Of the places that are worked on, by digest.
    posts: Arc<Mutex<HashMap<String, Weak<Post>>>>,
}

impl Bench {
    pub(super) fn new(engine: Arc<Engine>, secret: Secret) -> Self {
        let turns = engine.limits.concurrent.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            engine,
            secret,
            channels: Channels::default(),
            turns: Arc::new(Semaphore::new(turns)),
            posts: Arc::default(),
        }
    }

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
        self.session_at(query).await.map_err(|refusal| {
            metrics::worked(Some(refusal.code()));
            tracing::warn!(%refusal, "a plan was refused");
            refusal.into()
        })
    }

    async fn session_at(&self, mut query: WorkerQueryContext) -> Result<SessionState, Refusal> {
        let place = self.opened(&query.headers)?;
        let post = self.post(&place.digest())?;
        let stood = post.stood.get_or_try_init(|| self.stand(&place));
        let Stood { gate, shapes } = stood.await?.clone();
        let config = query.builder.config().take().unwrap_or_default();
        let config = config
            .with_batch_size(place.batch_rows.max(1))
            .with_extension(post);
        let built = state::of_worker(
            config,
            &self.engine.limits,
            gate.standing.evaluated_at(),
            gate.registry.settings().calendar,
        );
        let builder: SessionStateBuilder = built.map_err(|_| Refusal::Failed)?;
        let codec = LeafCodec::reading(place.digest(), gate, shapes);
        let vet = |event: WorkerPlanRewriteEvent<'_>| {
            let vetted = nodes::vet(&event.plan);
            metrics::worked(vetted.err().map(Refusal::code));
            vetted.inspect_err(|refusal| tracing::warn!(%refusal, "a plan was refused"))?;
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

    /// The post of a place, whose tasks come one by one. Nobody waits for a turn: stages of a query wait for one another.
    fn post(&self, digest: &str) -> Result<Arc<Post>, Refusal> {
        let mut posts = self.posts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(post) = posts.get(digest).and_then(Weak::upgrade) {
            return Ok(post);
        }
        posts.retain(|_, post| post.strong_count() > 0);
        let turn = Arc::clone(&self.turns).try_acquire_owned();
        let post = Arc::new(Post {
            stood: OnceCell::new(),
            _turn: turn.map_err(|_| Refusal::Busy)?,
        });
        posts.insert(digest.to_owned(), Arc::downgrade(&post));
        Ok(post)
    }

    /// A gate at the place.
    async fn stand(&self, place: &QueryPlace) -> Result<Stood, Refusal> {
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
                Stood {
                    shapes: gate::visible(&registry, &purpose.categories),
                    gate: Gate::on(&engine, &purpose, foundation),
                }
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

#[cfg(test)]
impl Bench {
    /// A gate at the place.
    pub(super) async fn gate_at(&self, place: &QueryPlace) -> Result<Gate, Refusal> {
        Ok(self.stand(place).await?.gate)
    }

    /// What a task of the place's query holds.
    pub(super) fn held_at(&self, place: &QueryPlace) -> Result<impl Sized, Refusal> {
        self.post(&place.digest())
    }
}
