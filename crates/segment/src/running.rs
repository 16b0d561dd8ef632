//! One query on the threads of queries: from its text to rows, within bounds.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::compute::BatchCoalescer;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, ident};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::sql::parser::Statement;
use futures::StreamExt;

use crate::distribution::{self, Fleet, Shared};
use crate::engine::{Engine, Limits};
use crate::error::{Error, ErrorKind, Result};
use crate::format;
use crate::gate::{Gate, LawfulCatalogs, Shape};
use crate::guards::Guards;
use crate::segments::id_column;
use crate::session::{Answered, QueryResult};
use crate::sql::in_segment::Segments;
use crate::sql::{faults, in_segment, plan, state, statement};
use crate::workers::Turn;

/// How long the ids of an export may be on average, in bytes.
const ID_BYTES: usize = 64;

/// Rows of a result's batches, but for the last. A scan's batches end where row groups do, in which the denied have rows,
/// too: whoever saw those cuts, as a reader of Arrow does, could tell how many they are (I1).
const BATCH_ROWS: usize = 8_192;

/// How much a result may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Whether only the distinct ids of a segment are wanted.
    ids: bool,
    rows: usize,
    bytes: usize,
}

impl Bounds {
    /// Of a result that somebody reads.
    pub(crate) fn of_a_result(limits: &Limits) -> Self {
        Self {
            ids: false,
            rows: limits.rows,
            bytes: limits.bytes,
        }
    }

    /// Of the ids that are exported.
    pub(crate) fn of_ids(limits: &Limits) -> Self {
        Self {
            ids: true,
            rows: limits.export_rows,
            bytes: limits.export_rows.saturating_mul(ID_BYTES),
        }
    }

    fn too_many_rows(self) -> Error {
        let (what, help) = match self.ids {
            false => (
                "rows",
                "add a LIMIT or aggregate; a large segment is kept with `assent segment refresh`, exported with `assent \
                 segment export`",
            ),
            true => ("ids", "split the segment, or raise query.export_rows"),
        };
        Error::new(
            ErrorKind::Exhausted,
            "row_limit",
            format!("the result has more than {} {what}", self.rows),
        )
        .help(help)
    }
}

/// What a query takes along.
pub(crate) struct Running {
    pub(crate) gate: Gate,
    pub(crate) shapes: Vec<Shape>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) bounds: Bounds,
    pub(crate) answered: Answered,
    /// When the answer was asked for.
    pub(crate) asked: Instant,
    pub(crate) segments: Box<Resolve>,
}

/// Finds out who is in the segments that a query names; it may block.
pub(crate) type Resolve = dyn Fn(BTreeSet<String>) -> Result<Segments> + Send + Sync;

impl Running {
    /// Plans and runs a query in its turn.
    ///
    /// # Errors
    /// As [`crate::LawfulSession::query`].
    pub(crate) async fn answer(self, turn: Arc<Turn>, sql: &str) -> Result<QueryResult> {
        let guards = self.gate.guards;
        // Whatever reads through this gate holds the turn.
        let gate = Arc::new(Gate {
            turn: Some(turn),
            ..self.gate.clone()
        });
        let (mut state, catalogs) = opened(&gate, self.shapes.clone(), &self.engine.limits)?;
        let known = known(&mut state, sql, guards, self.segments.as_ref())?;
        // Who is in a segment is known by numbers that are this process's own.
        let may_be_shared = !known.names_segments;
        let planned = logical(&state, &catalogs, known, self.bounds.ids, guards).await?;
        let config = state.config().clone().with_batch_size(planned.batch_rows);
        *state.config_mut() = config;
        let physical: Arc<dyn ExecutionPlan> = state
            .query_planner()
            .create_physical_plan(&planned.plan, &state)
            .await
            .map_err(|error| faults::of_execution(&error, guards))?;
        let rows = match self.engine.fleet.as_deref() {
            Some(fleet) if may_be_shared && fleet.is_worth(&physical) => {
                self.with_help(fleet, &state, &planned).await
            }
            Some(_) | None => None,
        };
        let rows = match rows {
            Some(rows) => rows,
            None => {
                let run = Shared {
                    plan: physical,
                    context: state.task_ctx(),
                };
                let gathered = gather(run, self.bounds).await;
                gathered.map_err(|failure| match failure {
                    Failure::Ours(error) => error,
                    Failure::Engine(error) => faults::of_execution(&error, guards),
                })?
            }
        };
        Ok(QueryResult {
            schema: rows.schema,
            batches: rows.batches,
            rows: rows.rows,
            answered: self.answered,
            byte_limit: self.bounds.bytes,
        })
    }

    /// The rows as workers find them; `None` when they are not asked, or anything at all went wrong, so that the query is
    /// to be run here: what an error says, and whether there is one, would not be what it is in one process.
    async fn with_help(
        &self,
        fleet: &Fleet,
        state: &SessionState,
        planned: &Planned,
    ) -> Option<Gathered> {
        let permit = &self.engine.stores.permit;
        let found = async {
            let shared = fleet.plan(state, &planned.judged, &self.gate, permit).await;
            match shared.map_err(Failure::Engine)? {
                Some(shared) => gather(shared, self.bounds).await.map(Some),
                None => Ok(None),
            }
        };
        // The other half of what is left is for the run without them.
        let left = self
            .engine
            .limits
            .timeout
            .saturating_sub(self.asked.elapsed());
        let again = match tokio::time::timeout(left / 2, found).await {
            Ok(Ok(None)) => return None,
            Ok(Ok(Some(rows))) => {
                fleet.ended(true);
                return Some(rows);
            }
            Ok(Err(Failure::Ours(_))) => "out_of_bounds",
            Ok(Err(Failure::Engine(error))) => distribution::reason(&error),
            Err(_) => {
                fleet.rest();
                "too_slow"
            }
        };
        fleet.ended(false);
        tracing::warn!(
            reason = again,
            "workers were of no help; the query is run without them"
        );
        None
    }
}

/// Rows within bounds.
struct Gathered {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    rows: usize,
}

/// Why there are no rows.
enum Failure {
    /// They are too many, or cannot be written out.
    Ours(Error),
    /// The engine failed; nothing of the text may be shown.
    Engine(DataFusionError),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

/// Runs a plan to its last row.
async fn gather(run: Shared, bounds: Bounds) -> Result<Gathered, Failure> {
    let schema = run.plan.schema();
    let mut stream = execute_stream(run.plan, run.context).map_err(Failure::Engine)?;
    let mut cut = BatchCoalescer::new(Arc::clone(&schema), BATCH_ROWS);
    let (mut rows, mut bytes, mut batches) = (0, 0_usize, Vec::new());
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(Failure::Engine)?;
        rows += batch.num_rows();
        if rows > bounds.rows {
            return Err(bounds.too_many_rows().into());
        }
        bytes = bytes.saturating_add(format::bytes_of(&batch)?);
        if bytes > bounds.bytes {
            return Err(format::too_many_bytes(bounds.bytes).into());
        }
        cut.push_batch(batch).map_err(uncut)?;
        batches.extend(std::iter::from_fn(|| cut.next_completed_batch()));
    }
    cut.finish_buffered_batch().map_err(uncut)?;
    batches.extend(std::iter::from_fn(|| cut.next_completed_batch()));
    Ok(Gathered {
        schema,
        batches,
        rows,
    })
}

fn uncut(_: ArrowError) -> Error {
    Error::internal("result", "a result cannot be put together")
}

/// The engine of a query over the tables behind this gate.
pub(crate) fn opened(
    gate: &Arc<Gate>,
    shapes: Vec<Shape>,
    limits: &Limits,
) -> Result<(SessionState, LawfulCatalogs)> {
    let catalogs = LawfulCatalogs::new(gate, shapes);
    let state = state::build(
        Arc::new(catalogs.clone()),
        limits,
        gate.standing.evaluated_at(),
        gate.registry.settings().calendar,
        gate.guards,
    )?;
    Ok((state, catalogs))
}

/// A vetted, optimised plan.
pub(crate) struct Planned {
    /// As it was judged, before it was optimised.
    judged: LogicalPlan,
    pub(crate) plan: LogicalPlan,
    /// How many rows a batch of it may have.
    pub(crate) batch_rows: usize,
}

/// A statement whose segments are known to the engine.
pub(crate) struct Known {
    statement: Statement,
    names_segments: bool,
}

/// The statement of a text, with the segments it names made known to the engine.
pub(crate) fn known(
    state: &mut SessionState,
    sql: &str,
    guards: Guards,
    segments: &dyn Fn(BTreeSet<String>) -> Result<Segments>,
) -> Result<Known> {
    let mut statement = statement::parse_query(sql, guards)?;
    let named = in_segment::named(&mut statement)?;
    let names_segments = !named.is_empty();
    let segments = match names_segments {
        true => segments(named)?,
        false => Segments::default(),
    };
    state
        .register_udf(in_segment::function(segments))
        .map_err(|_| Error::internal("engine", "the query engine cannot be built"))?;
    Ok(Known {
        statement,
        names_segments,
    })
}

/// A statement to its vetted, optimised plan over a catalog; for `ids`, of the distinct ids in its result. No row has been
/// read so far.
pub(crate) async fn logical(
    state: &SessionState,
    catalogs: &LawfulCatalogs,
    known: Known,
    ids: bool,
    guards: Guards,
) -> Result<Planned> {
    let refused = |error| faults::of_planning(&error, &catalogs.described());
    let planned = state.statement_to_plan(known.statement).await;
    let mut plan = planned.map_err(refused)?;
    let batch_rows = plan::judge(&plan, guards)?;
    if ids {
        let column = id_column(|name| plan.schema().has_column_with_unqualified_name(name))?;
        plan = LogicalPlanBuilder::from(plan)
            .project([ident(column)])
            .and_then(LogicalPlanBuilder::distinct)
            .and_then(LogicalPlanBuilder::build)
            .map_err(refused)?;
    }
    Ok(Planned {
        plan: state.optimize(&plan).map_err(refused)?,
        judged: plan,
        batch_rows,
    })
}
