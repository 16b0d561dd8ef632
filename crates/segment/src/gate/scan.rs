//! The plan node of the gate: an opaque leaf.
//!
//! It has no children, so no optimiser rule can look inside or move anything below it; it tells no statistics, so no
//! aggregate is answered from metadata; it takes neither filter nor limit nor ordering. It is made with a [`Gate`] and
//! cannot be made without one, and it has no serialised form: another node would have to build its own gate from
//! (manifest, use, position, time).

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
    ReplaceChildrenOptions,
};

use super::columns::Shape;
use super::finish;
use super::input::Inputs;
use super::place::Gate;
use super::work::{self, Plan};
use crate::error::Error;

/// Batches that a partition may be ahead of its reader.
const AHEAD: usize = 2;

/// Lawful rows of one table.
pub(crate) struct LawfulScanExec {
    gate: Arc<Gate>,
    name: &'static str,
    schema: SchemaRef,
    inputs: Arc<Inputs>,
    partitions: Arc<Plan>,
    properties: Arc<PlanProperties>,
}

impl LawfulScanExec {
    /// Plans the reading of `schema`'s columns. Blocks on disk.
    pub(crate) fn plan(
        gate: Arc<Gate>,
        shape: &Shape,
        schema: SchemaRef,
    ) -> crate::error::Result<Self> {
        let wanted: Vec<String> = schema
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        let inputs = Inputs::of(&gate, shape, &wanted)?;
        let partitions = work::plan(&gate, shape)?;
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(partitions.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            gate,
            name: shape.table.as_str(),
            schema,
            inputs: Arc::new(inputs),
            partitions,
            properties: Arc::new(properties),
        })
    }
}

impl fmt::Debug for LawfulScanExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LawfulScanExec")
            .field("table", &self.name)
            .field("gate", &self.gate)
            .finish_non_exhaustive()
    }
}

impl DisplayAs for LawfulScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The table and the place, never how many rows or partitions: a plan is an answer too (I1).
        write!(
            f,
            "LawfulScanExec: {} for {} at manifest {}",
            self.name,
            self.gate.declared.purpose,
            self.gate.manifest()
        )
    }
}

impl ExecutionPlan for LawfulScanExec {
    fn name(&self) -> &'static str {
        "LawfulScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
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
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() {
            Ok(self)
        } else {
            Err(external(Error::internal(
                "gate",
                "the gate has no children",
            )))
        }
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep),
        )
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let mut builder = RecordBatchReceiverStream::builder(Arc::clone(&self.schema), AHEAD);
        let sender = builder.tx();
        let rows = context.session_config().batch_size().max(1);
        let gate = Arc::clone(&self.gate);
        let inputs = Arc::clone(&self.inputs);
        let schema = Arc::clone(&self.schema);
        let partitions = Arc::clone(&self.partitions);
        builder.spawn_blocking(move || {
            let list = partitions.get(partition).map_or(&[][..], Vec::as_slice);
            let mut wanted = true;
            for work in list {
                gate.go_on().map_err(external)?;
                finish::run(&gate, &inputs, work, &schema, |batch| {
                    // The reader went away: a timeout, a limit or a cancelled request.
                    wanted = (0..batch.num_rows()).step_by(rows).all(|start| {
                        let part = batch.slice(start, rows.min(batch.num_rows() - start));
                        sender.blocking_send(Ok(part)).is_ok()
                    });
                    wanted
                })
                .map_err(external)?;
                if !wanted {
                    break;
                }
            }
            Ok(())
        });
        Ok(builder.build())
    }
}

/// Boxes an error of ours for the way through the engine.
pub(crate) fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
