//! The side that has the session: shares a plan out among workers.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use assent_permit::{Permit, PermitSet};
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::{SessionState, SessionStateBuilder, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_distributed::{
    DesiredTaskCountEvent, DesiredTaskCountEventResponse, DistributedExec, DistributedExt,
    DistributedLeafExec, ScaleUpLeafNodeEvent, ScaleUpLeafNodeEventResponse,
    SessionStateBuilderExt, WorkerResolver,
};
use futures::future::join_all;
use tokio::net::UnixStream;
use url::Url;

use super::channels::Channels;
use super::nodes;
use super::place::{QueryPlace, Secret, Verdicts, build};
use super::refusal::Refusal;
use super::share::{LawfulShareExec, LeafCodec};
use crate::gate::{Gate, LawfulScanExec, Share};
use crate::metrics;

/// How few partitions a table has where several tasks read it.
pub(crate) const LEAST_PARTITIONS: usize = 2;
/// For how long workers that were too slow are not asked again.
const REST: Duration = Duration::from_secs(30);
/// How long a worker may take to accept a connection.
const ACCEPT: Duration = Duration::from_secs(1);

/// The workers that an engine may ask for help. They are reached over sockets of this machine that their owner alone can
/// open: nobody else can take the place of one.
pub struct Fleet {
    workers: Vec<(PathBuf, Url)>,
    /// Until when nobody is asked.
    resting: Mutex<Option<Instant>>,
    rows: usize,
    secret: Secret,
    channels: Channels,
    outcomes: Outcomes,
}

/// How often workers' answers were used, and how often a query was run again.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    pub(crate) answered: AtomicU64,
    pub(crate) again: AtomicU64,
}

impl Fleet {
    /// Workers on these sockets, which share the secret; the paths are absolute, of letters that need no escape in a URL. A
    /// table of more than `rows` lawful rows is read by one worker for every `rows` of them.
    #[must_use]
    pub fn new(sockets: &[PathBuf], rows: usize, secret: Secret) -> Self {
        let url = |socket: &PathBuf| Url::parse(&format!("unix://{}", socket.display())).ok();
        let workers = sockets
            .iter()
            .filter_map(|one| Some((one.clone(), url(one)?)));
        Self {
            workers: workers.collect(),
            resting: Mutex::default(),
            rows: rows.max(1),
            secret,
            channels: Channels::default(),
            outcomes: Outcomes::default(),
        }
    }

    /// Counts a query that workers were asked to help with: their answer was used, or it is run again.
    pub(crate) fn ended(&self, answered: bool) {
        let count = match answered {
            true => &self.outcomes.answered,
            false => &self.outcomes.again,
        };
        count.fetch_add(1, Ordering::Relaxed);
        metrics::shared(answered);
    }

    /// What became of the queries so far.
    #[cfg(test)]
    pub(crate) fn outcomes(&self) -> [u64; 2] {
        let Outcomes { answered, again } = &self.outcomes;
        [answered, again].map(|count| count.load(Ordering::Relaxed))
    }

    /// Whether a plan reads so much that others are to help.
    pub(crate) fn is_worth(&self, plan: &Arc<dyn ExecutionPlan>) -> bool {
        let mut worth = false;
        let walked = plan.apply(|node| {
            let scan = node.downcast_ref::<LawfulScanExec>();
            worth |= scan.is_some_and(|scan| scan.rows() > self.rows);
            Ok(match worth {
                true => TreeNodeRecursion::Stop,
                false => TreeNodeRecursion::Continue,
            })
        });
        worth && walked.is_ok()
    }

    /// A judged plan as one for the workers that are there; `None` when it is of no use to share it.
    ///
    /// # Errors
    /// It cannot be planned so. Nothing of the text may be shown.
    pub(crate) async fn plan(
        &self,
        state: &SessionState,
        judged: &LogicalPlan,
        gate: &Gate,
        permit: &Permit,
    ) -> Result<Option<Shared>, DataFusionError> {
        let present = match self.rests() {
            true => Vec::new(),
            false => self.present().await,
        };
        if present.is_empty() {
            return Ok(None);
        }
        let place = place(gate, permit, state.config().batch_size());
        let state = self.state(state, &place, gate.partitions, present)?;
        let plan = state.optimize(judged)?;
        let plan = state
            .query_planner()
            .create_physical_plan(&plan, &state)
            .await?;
        if !plan.is::<DistributedExec>() || nodes::vet_whole(&plan).is_err() {
            return Ok(None);
        }
        Ok(Some(Shared {
            plan,
            context: state.task_ctx(),
        }))
    }

    /// The engine of the session, with a planner for many.
    fn state(
        &self,
        state: &SessionState,
        place: &QueryPlace,
        partitions: usize,
        present: Vec<Url>,
    ) -> Result<SessionState, DataFusionError> {
        let (rows, partitions) = (self.rows, partitions.max(LEAST_PARTITIONS));
        let desired = move |event: DesiredTaskCountEvent<'_>| {
            let scan = event.plan.downcast_ref::<LawfulScanExec>()?;
            let tasks = scan.rows().div_ceil(rows).max(1);
            Some(Ok(DesiredTaskCountEventResponse::desired(tasks)))
        };
        // The planner puts an exchange where one partition becomes many, or many one, and believes that what is one
        // partition here is one everywhere: what is read by several tasks must never look like one.
        let config = state.config().clone();
        let target = config.target_partitions().max(LEAST_PARTITIONS);
        let config = config
            .with_target_partitions(target)
            .with_extension(Arc::new(ForMany));
        let scaled = move |event: ScaleUpLeafNodeEvent<'_>| {
            event.plan.downcast_ref::<LawfulScanExec>()?;
            (event.task_count > 1).then(|| {
                let shares = (0..event.task_count).map(|task| {
                    let share = Share {
                        task,
                        tasks: event.task_count,
                        partitions,
                    };
                    Arc::new(LawfulShareExec::new(Arc::clone(event.plan), share)) as _
                });
                let leaf = DistributedLeafExec::try_new(Arc::clone(event.plan), shares)?;
                Ok(ScaleUpLeafNodeEventResponse::new(Arc::new(leaf)))
            })
        };
        Ok(SessionStateBuilder::new_from_existing(state.clone())
            .with_config(config)
            .with_distributed_planner()
            .with_distributed_desired_task_count_handler(desired)
            .with_distributed_scale_up_leaf_node_handler(scaled)
            .with_distributed_user_codec(LeafCodec::writing(place.digest()))
            .with_distributed_worker_resolver(Present(present))
            .with_distributed_channel_resolver(self.channels.clone())
            .with_distributed_passthrough_headers(place.sealed(&self.secret))?
            .with_distributed_metrics_collection(false)?
            // Workers are on this machine: there is nothing to be gained.
            .with_distributed_compression(None)?
            .build())
    }

    /// Workers were too slow: queries do without for a while, rather than each finding out.
    pub(crate) fn rest(&self) {
        *self.resting.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + REST);
    }

    fn rests(&self) -> bool {
        let resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.is_some_and(|until| Instant::now() < until)
    }

    /// The workers that accept a connection.
    async fn present(&self) -> Vec<Url> {
        let asked = self.workers.iter().map(|(socket, url)| async move {
            let connected = tokio::time::timeout(ACCEPT, UnixStream::connect(socket)).await;
            connected.ok()?.is_ok().then(|| url.clone())
        });
        let present: Vec<Url> = join_all(asked).await.into_iter().flatten().collect();
        let absent = self.workers.len() - present.len();
        if absent > 0 {
            tracing::warn!(absent, "workers do not answer");
        }
        present
    }
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet")
            .field("workers", &self.workers.len())
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

/// A plan for several workers, and what it runs in.
pub(crate) struct Shared {
    pub(crate) plan: Arc<dyn ExecutionPlan>,
    pub(crate) context: Arc<TaskContext>,
}

/// Why a run was given up, for the log: an error's own text may hold anything.
pub(crate) fn reason(error: &DataFusionError) -> &'static str {
    Refusal::told_by(error).map_or("failed", Refusal::code)
}

/// Set where a plan is made for several tasks.
pub(crate) struct ForMany;

struct Present(Vec<Url>);

impl WorkerResolver for Present {
    fn get_urls(&self) -> Result<Vec<Url>, DataFusionError> {
        Ok(self.0.clone())
    }
}

/// Where a gate stands, for others to stand there, too.
pub(super) fn place(gate: &Gate, permit: &Permit, batch_rows: usize) -> QueryPlace {
    let of = |set: Arc<PermitSet>| Verdicts {
        at: set.at,
        fingerprint: permit.fingerprint(&set),
    };
    QueryPlace {
        build: build(),
        declared: gate.declared.clone(),
        position: gate.position.clone(),
        definitions: gate.registry.digest().to_string(),
        manifest: gate.snapshot.as_ref().map(|snapshot| {
            let manifest = snapshot.manifest();
            (manifest.number, manifest.writer)
        }),
        then: of(gate.standing.shared()),
        now: gate.standing.shared_now().map(of),
        batch_rows,
    }
}
