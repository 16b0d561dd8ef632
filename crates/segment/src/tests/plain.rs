//! A plain engine over tables made by hand: the same version, functions and settings as a session's, and no gate.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use assent_consent::{Calendar, Timestamp};
use chrono::DateTime;
use datafusion::arrow::error::ArrowError;
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::execution::config::SessionConfig;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::physical_plan::execute_stream;
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::prelude::SessionContext;
use futures::StreamExt;

use super::naive::NaiveTable;

/// How the rows of a table are handed to the engine. What is lawful to answer does not depend on it; whether an
/// expression that can fail is ever computed for a row that another predicate leaves out, does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// One batch.
    Whole,
    /// Batches of so many rows, dealt out to two partitions.
    Batches(usize),
    /// The same without saying how many rows there are, on which the order of joins depends.
    Stream(usize),
}

/// Rows, or the error.
pub type Outcome = Result<Rows, Failure>;

/// An answer.
#[derive(Debug, Clone)]
pub struct Rows {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
}

/// An error: its class, as a session's code names it, and its whole text.
#[derive(Debug, Clone)]
pub struct Failure {
    pub class: String,
    pub text: String,
}

/// A plain engine.
pub struct Plain(SessionState);

impl Plain {
    /// Over these tables, at this instant.
    pub fn over(tables: &[NaiveTable], at: Timestamp, calendar: Calendar, cut: Cut) -> Self {
        let context = SessionContext::new_with_state(state(at, calendar));
        for table in tables {
            context
                .register_table(table.name, provider(&table.batch(), cut))
                .expect("registered");
        }
        Self(context.state_ref().read().clone())
    }

    /// The same as a context that runs any statement, by the wall clock.
    pub fn context(&self) -> SessionContext {
        SessionContext::new_with_state(self.0.clone())
    }

    /// As [`Plain::ask`], on another task: the engine has assertions that a query can break.
    pub async fn asked(plain: &Arc<Self>, sql: &str) -> Outcome {
        let (plain, sql) = (Arc::clone(plain), sql.to_owned());
        let asked = tokio::spawn(async move { plain.ask(&sql).await });
        asked.await.unwrap_or_else(|error| {
            Err(Failure {
                class: "panic".to_owned(),
                text: error.to_string(),
            })
        })
    }

    /// The answer to a query, planned and run step by step as a session does.
    pub async fn ask(&self, sql: &str) -> Outcome {
        let planned = async {
            let logical = self.0.create_logical_plan(sql).await?;
            let logical = self.0.optimize(&logical)?;
            let planner = self.0.query_planner();
            planner.create_physical_plan(&logical, &self.0).await
        };
        let physical = planned.await.map_err(|error| Failure {
            class: "plan".to_owned(),
            text: error.to_string(),
        })?;
        let schema = physical.schema();
        let mut stream =
            execute_stream(physical, self.0.task_ctx()).map_err(|error| failure(&error))?;
        let mut batches = Vec::new();
        while let Some(batch) = stream.next().await {
            batches.push(batch.map_err(|error| failure(&error))?);
        }
        Ok(Rows { schema, batches })
    }
}

fn provider(batch: &RecordBatch, cut: Cut) -> Arc<dyn TableProvider> {
    let schema = batch.schema();
    match cut {
        Cut::Whole => {
            let partitions = vec![vec![batch.clone()]];
            Arc::new(MemTable::try_new(schema, partitions).expect("a table"))
        }
        Cut::Batches(rows) => {
            Arc::new(MemTable::try_new(schema, dealt(batch, rows)).expect("a table"))
        }
        Cut::Stream(rows) => {
            let partitions = dealt(batch, rows).into_iter().map(|batches| {
                let schema = Arc::clone(&schema);
                Arc::new(Dealt { schema, batches }) as Arc<dyn PartitionStream>
            });
            let partitions = partitions.collect();
            Arc::new(StreamingTable::try_new(Arc::clone(&schema), partitions).expect("a table"))
        }
    }
}

fn dealt(batch: &RecordBatch, rows: usize) -> Vec<Vec<RecordBatch>> {
    let mut dealt = vec![Vec::new(), Vec::new()];
    for (place, start) in (0..batch.num_rows()).step_by(rows).enumerate() {
        let length = rows.min(batch.num_rows() - start);
        dealt[place % 2].push(batch.slice(start, length));
    }
    dealt
}

/// One partition of a table that does not tell its size.
#[derive(Debug)]
struct Dealt {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl PartitionStream for Dealt {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let schema = Arc::clone(&self.schema);
        let stream = MemoryStream::try_new(self.batches.clone(), schema, None);
        Box::pin(stream.expect("a stream"))
    }
}

fn state(at: Timestamp, calendar: Calendar) -> SessionState {
    let mut config = SessionConfig::new().with_target_partitions(2);
    let options = config.options_mut();
    options.sql_parser.map_string_types_to_utf8view = false;
    options.execution.time_zone = Some(calendar.name().to_owned());
    let mut props = ExecutionProps::new();
    props.mark_start_execution(Arc::clone(config.options()));
    let start = DateTime::from_timestamp_micros(at.micros()).expect("an instant");
    SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .with_execution_props(props.with_query_execution_start_time(start))
        .build()
}

/// What went wrong while rows were read, in the words of a session.
fn failure(error: &DataFusionError) -> Failure {
    let mut root = error;
    let class = loop {
        root = match root {
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => inner,
            DataFusionError::Shared(inner) => inner,
            DataFusionError::ArrowError(arrow, _) => break class_of(arrow),
            DataFusionError::External(inner) => match inner.downcast_ref::<ArrowError>() {
                Some(arrow) => break class_of(arrow),
                None => break "query_failed",
            },
            DataFusionError::ResourcesExhausted(_) => break "memory_limit",
            DataFusionError::NotImplemented(_) => break "not_supported",
            _ => break "query_failed",
        };
    };
    Failure {
        class: class.to_owned(),
        text: error.to_string(),
    }
}

fn class_of(error: &ArrowError) -> &'static str {
    match error {
        ArrowError::CastError(_) | ArrowError::ParseError(_) => "cast_failed",
        ArrowError::DivideByZero => "division_by_zero",
        ArrowError::ArithmeticOverflow(_) => "overflow",
        ArrowError::MemoryError(_) | ArrowError::OffsetOverflowError(_) => "memory_limit",
        _ => "query_failed",
    }
}
