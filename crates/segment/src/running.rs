//! One query on the threads of queries: from its text to rows, within bounds.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, ident};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::sql::parser::Statement;
use futures::StreamExt;

use crate::engine::Limits;
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
    pub(crate) limits: Limits,
    pub(crate) bounds: Bounds,
    pub(crate) answered: Answered,
    pub(crate) segments: Box<Resolve>,
}

/// Finds out who is in the segments that a query names; it may block.
pub(crate) type Resolve = dyn Fn(BTreeSet<String>) -> Result<Segments> + Send;

impl Running {
    /// Plans and runs a query in its turn.
    ///
    /// # Errors
    /// As [`crate::LawfulSession::query`].
    pub(crate) async fn answer(self, turn: Arc<Turn>, sql: &str) -> Result<QueryResult> {
        let (bounds, guards) = (self.bounds, self.gate.guards);
        // Whatever reads through this gate holds the turn.
        let gate = Arc::new(Gate {
            turn: Some(turn),
            ..self.gate
        });
        let (mut state, catalogs) = opened(&gate, self.shapes, &self.limits)?;
        let statement = known(&mut state, sql, guards, self.segments.as_ref())?;
        let planned = logical(&state, &catalogs, statement, bounds.ids, guards).await?;
        let config = state.config().clone().with_batch_size(planned.batch_rows);
        *state.config_mut() = config;
        let physical: Arc<dyn ExecutionPlan> = state
            .query_planner()
            .create_physical_plan(&planned.plan, &state)
            .await
            .map_err(|error| faults::of_execution(&error, guards))?;
        let schema = physical.schema();
        let mut stream = execute_stream(physical, state.task_ctx())
            .map_err(|error| faults::of_execution(&error, guards))?;
        let (mut rows, mut bytes, mut batches) = (0, 0_usize, Vec::new());
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(|error| faults::of_execution(&error, guards))?;
            rows += batch.num_rows();
            if rows > bounds.rows {
                return Err(bounds.too_many_rows());
            }
            bytes = bytes.saturating_add(format::bytes_of(&batch)?);
            if bytes > bounds.bytes {
                return Err(format::too_many_bytes(bounds.bytes));
            }
            if batch.num_rows() > 0 {
                batches.push(batch);
            }
        }
        Ok(QueryResult {
            schema,
            batches,
            rows,
            answered: self.answered,
            byte_limit: bounds.bytes,
        })
    }
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
    pub(crate) plan: LogicalPlan,
    /// How many rows a batch of it may have.
    batch_rows: usize,
}

/// The statement of a text, with the segments it names made known to the engine.
pub(crate) fn known(
    state: &mut SessionState,
    sql: &str,
    guards: Guards,
    segments: &dyn Fn(BTreeSet<String>) -> Result<Segments>,
) -> Result<Statement> {
    let mut statement = statement::parse_query(sql, guards)?;
    let named = in_segment::named(&mut statement)?;
    let segments = match named.is_empty() {
        true => Segments::default(),
        false => segments(named)?,
    };
    state
        .register_udf(in_segment::function(segments))
        .map_err(|_| Error::internal("engine", "the query engine cannot be built"))?;
    Ok(statement)
}

/// A statement to its vetted, optimised plan over a catalog; for `ids`, of the distinct ids in its result. No row has been
/// read so far.
pub(crate) async fn logical(
    state: &SessionState,
    catalogs: &LawfulCatalogs,
    statement: Statement,
    ids: bool,
    guards: Guards,
) -> Result<Planned> {
    let refused = |error| faults::of_planning(&error, &catalogs.described());
    let mut plan = state.statement_to_plan(statement).await.map_err(refused)?;
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
        batch_rows,
    })
}
