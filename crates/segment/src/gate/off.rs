//! What a scan would be with one of its guards off. Compiled for the tests of this crate only: each of these is a way in
//! which others filter by consent, and the control of an attack on it.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, concat_batches, filter_record_batch, not};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use assent_projection::Table;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ScalarValue, Statistics};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::col;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExecBuilder;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};

use super::columns::Shape;
use super::finish;
use super::input::Inputs;
use super::place::Gate;
use super::scan::external;
use super::work;
use crate::guards::{Guard, Guards};

const LAWFUL: &str = "lawful";

/// The plan that takes the place of the gate's, if a guard of the scan is off. `lawful` is the gate's own.
pub(super) fn plan(
    gate: &Arc<Gate>,
    shape: &Shape,
    filters: &[Expr],
    limit: Option<usize>,
    lawful: Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let off = |guard| !gate.guards.stand(guard);
    let schema = lawful.schema();
    if shape.table == Table::Accounts {
        // Not about people.
        return Ok(lawful);
    }
    if off(Guard::OpaqueLeaf) {
        // A filter by consent, with its input in sight.
        let (batch, flags) = everything(gate, shape)?;
        let batch = flagged(&project(&batch, &schema)?, flags)?;
        let columns = (0..schema.fields().len()).collect();
        let source = memory(&batch)?;
        let predicate = col(LAWFUL, &batch.schema())?;
        return Ok(Arc::new(
            FilterExecBuilder::new(predicate, source)
                .apply_projection(Some(columns))?
                .build()?,
        ));
    }
    if off(Guard::Predicates) {
        let (batch, _) = everything(gate, shape)?;
        let pruned = filters.iter().any(|filter| nothing_above(filter, &batch));
        return Ok(if pruned {
            Arc::new(EmptyExec::new(schema))
        } else {
            lawful
        });
    }
    if off(Guard::Limits) {
        let (batch, flags) = everything(gate, shape)?;
        let rows = limit.unwrap_or(usize::MAX).min(batch.num_rows());
        let first = filter_record_batch(&batch.slice(0, rows), &flags.slice(0, rows))?;
        return memory(&project(&first, &schema)?);
    }
    if off(Guard::Statistics) {
        let (batch, _) = everything(gate, shape)?;
        let rows = batch.num_rows();
        return Ok(Arc::new(Telling { lawful, rows }));
    }
    if off(Guard::PlainText) {
        let (batch, flags) = everything(gate, shape)?;
        let batch = project(&batch, &schema)?;
        let dictionaries = batch
            .columns()
            .iter()
            .zip(as_dictionaries(&schema).fields())
            .map(|(column, field)| cast(column, field.data_type()))
            .collect::<Result<Vec<ArrayRef>, _>>()?;
        let batch = RecordBatch::try_new(as_dictionaries(&schema), dictionaries)?;
        return memory(&filter_record_batch(&batch, &flags)?);
    }
    Ok(lawful)
}

/// Whether the table takes predicates.
pub(super) fn takes_filters(gate: &Gate) -> bool {
    !gate.guards.stand(Guard::Predicates)
}

/// The schema that a table shows.
pub(super) fn schema(gate: &Gate, schema: SchemaRef) -> SchemaRef {
    if gate.guards.stand(Guard::PlainText) {
        schema
    } else {
        as_dictionaries(&schema)
    }
}

fn as_dictionaries(schema: &Schema) -> SchemaRef {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| match field.data_type() {
            DataType::Utf8 => {
                let dictionary =
                    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
                Field::new(field.name(), dictionary, true)
            }
            _ => field.as_ref().clone(),
        })
        .collect();
    Arc::new(Schema::new(fields))
}

/// Every row of a table with every column: first those that do not pass, then those that do, as they do.
fn everything(gate: &Gate, shape: &Shape) -> Result<(RecordBatch, BooleanArray)> {
    let guarded = rows(gate, shape, Guards::ALL)?;
    let raw = rows(gate, shape, Guards::without(&[Guard::Rows, Guard::Cells]))?;
    let key = |batch: &RecordBatch| -> Vec<String> {
        let ids = batch
            .column_by_name("event_id")
            .or_else(|| batch.column_by_name("member_id"))
            .expect("people have ids");
        let ids = ids.as_string::<i32>();
        ids.iter().flatten().map(str::to_owned).collect()
    };
    let lawful: HashSet<String> = key(&guarded).into_iter().collect();
    let known: BooleanArray = key(&raw)
        .iter()
        .map(|id| Some(lawful.contains(id)))
        .collect();
    let denied = filter_record_batch(&raw, &not(&known)?)?;
    let flags = std::iter::repeat_n(false, denied.num_rows())
        .chain(std::iter::repeat_n(true, guarded.num_rows()))
        .map(Some)
        .collect();
    let all = concat_batches(&guarded.schema(), [&denied, &guarded])?;
    Ok((all, flags))
}

/// The rows of a table with other guards.
fn rows(gate: &Gate, shape: &Shape, guards: Guards) -> Result<RecordBatch> {
    let gate = Gate {
        guards,
        ..gate.clone()
    };
    let schema = shape.schema();
    let names: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    let inputs = Inputs::of(&gate, shape, &names).map_err(external)?;
    let mut batches = Vec::new();
    for work in work::plan(&gate, shape).map_err(external)?.iter().flatten() {
        finish::run(&gate, &inputs, work, &schema, |batch| {
            batches.push(batch);
            true
        })
        .map_err(external)?;
    }
    Ok(concat_batches(&schema, &batches)?)
}

fn project(batch: &RecordBatch, schema: &Schema) -> Result<RecordBatch> {
    let places = schema
        .fields()
        .iter()
        .map(|field| batch.schema().index_of(field.name()))
        .collect::<Result<Vec<usize>, _>>()?;
    Ok(batch.project(&places)?)
}

fn flagged(batch: &RecordBatch, flags: BooleanArray) -> Result<RecordBatch> {
    let mut fields: Vec<_> = batch.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(LAWFUL, DataType::Boolean, false)));
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(flags));
    Ok(RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns,
    )?)
}

fn memory(batch: &RecordBatch) -> Result<Arc<dyn ExecutionPlan>> {
    let source = MemorySourceConfig::try_new_exec(&[vec![batch.clone()]], batch.schema(), None)?;
    Ok(source)
}

/// Whether a filter asks for numbers above the greatest in the files.
fn nothing_above(filter: &Expr, batch: &RecordBatch) -> bool {
    let Expr::BinaryExpr(binary) = filter else {
        return false;
    };
    match (binary.left.as_ref(), binary.op, binary.right.as_ref()) {
        (
            Expr::Column(column),
            Operator::Gt,
            Expr::Literal(ScalarValue::Float64(Some(bound)), _),
        ) => batch
            .column_by_name(&column.name)
            .and_then(|column| column.as_primitive_opt::<Float64Type>())
            .is_some_and(|numbers| numbers.iter().flatten().all(|number| number <= *bound)),
        _ => false,
    }
}

/// The gate's plan, which tells how many rows the files have.
struct Telling {
    lawful: Arc<dyn ExecutionPlan>,
    rows: usize,
}

impl fmt::Debug for Telling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telling").finish_non_exhaustive()
    }
}

impl DisplayAs for Telling {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Telling")
    }
}

impl ExecutionPlan for Telling {
    fn name(&self) -> &'static str {
        "Telling"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.lawful.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        self.lawful.execute(partition, context)
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema());
        if partition.is_none() {
            statistics.num_rows = Precision::Exact(self.rows);
        }
        Ok(Arc::new(statistics))
    }
}
