//! The plan node of the gate: an opaque leaf.
//!
//! It has no children, so no optimiser rule can look inside or move anything below it; it tells no statistics, so no
//! aggregate is answered from metadata; it takes neither filter nor limit nor ordering. It is made with a [`Gate`] and
//! cannot be made without one. Its serialised form (`distribution::share`) holds nothing of who is lawful: whoever reads
//! it has to have built a gate of their own from (manifest, use, position, time).

use std::fmt;
use std::ops::Range;
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

use serde::{Deserialize, Serialize};

use super::columns::Shape;
use super::finish;
use super::input::Inputs;
use super::place::Gate;
use super::work::{self, Plan, Work};
use crate::error::Error;

/// Batches that a partition may be ahead of its reader.
const AHEAD: usize = 2;

/// Which of the rows of a table one of several tasks reads. Whoever plans the same table through an equal gate, with as
/// many partitions as all tasks have together, comes to the same plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Share {
    /// Which task, from zero.
    pub(crate) task: usize,
    /// How many tasks there are.
    pub(crate) tasks: usize,
    /// How many partitions each of them has.
    pub(crate) partitions: usize,
}

impl Share {
    /// Partitions of all tasks together, at most.
    const MOST: usize = 1 << 16;

    /// All of it.
    pub(crate) const fn whole(partitions: usize) -> Self {
        Self {
            task: 0,
            tasks: 1,
            partitions,
        }
    }

    /// Whether there can be such a share.
    pub(crate) fn is_one(self) -> bool {
        let all = self.tasks.checked_mul(self.partitions);
        self.task < self.tasks && all.is_some_and(|all| (1..=Self::MOST).contains(&all))
    }

    fn of_plan(self) -> Range<usize> {
        self.task * self.partitions..(self.task + 1) * self.partitions
    }
}

/// Lawful rows of one table.
pub(crate) struct LawfulScanExec {
    gate: Arc<Gate>,
    name: &'static str,
    schema: SchemaRef,
    inputs: Arc<Inputs>,
    /// Of the whole table.
    plan: Arc<Plan>,
    /// Which lists of the plan are this node's partitions; there may be fewer lists.
    share: Range<usize>,
    properties: Arc<PlanProperties>,
}

impl LawfulScanExec {
    /// Plans the reading of `schema`'s columns, in so many partitions at least, of which some may be empty. Blocks on disk.
    pub(crate) fn plan(
        gate: Arc<Gate>,
        shape: &Shape,
        schema: SchemaRef,
        least: usize,
    ) -> crate::error::Result<Self> {
        let share = |plan: &Plan| 0..plan.len().max(least);
        Self::of(gate, shape, schema, share)
    }

    /// As [`LawfulScanExec::plan`], a share of it; `gate.partitions` are those of all tasks together.
    pub(crate) fn share(
        gate: Arc<Gate>,
        shape: &Shape,
        schema: SchemaRef,
        share: Share,
    ) -> crate::error::Result<Self> {
        Self::of(gate, shape, schema, |_| share.of_plan())
    }

    fn of(
        gate: Arc<Gate>,
        shape: &Shape,
        schema: SchemaRef,
        share: impl Fn(&Plan) -> Range<usize>,
    ) -> crate::error::Result<Self> {
        let wanted: Vec<String> = schema
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        let inputs = Inputs::of(&gate, shape, &wanted)?;
        let plan = work::plan(&gate, shape)?;
        let share = share(&plan);
        Ok(Self {
            gate,
            name: shape.table.as_str(),
            inputs: Arc::new(inputs),
            plan,
            properties: properties(&schema, share.len()),
            share,
            schema,
        })
    }

    /// The name of the table.
    pub(crate) fn table(&self) -> &'static str {
        self.name
    }

    /// The names of the columns.
    pub(crate) fn columns(&self) -> Vec<String> {
        let fields = self.schema.fields().iter();
        fields.map(|field| field.name().clone()).collect()
    }

    /// How many lawful rows there are to read.
    pub(crate) fn rows(&self) -> usize {
        let lists = self.plan.iter();
        let lists = lists.skip(self.share.start).take(self.share.len());
        lists.flatten().map(Work::rows).sum()
    }
}

/// What the engine may know of a scan.
pub(crate) fn properties(schema: &SchemaRef, partitions: usize) -> Arc<PlanProperties> {
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new(Arc::clone(schema)),
        Partitioning::UnknownPartitioning(partitions),
        EmissionType::Incremental,
        Boundedness::Bounded,
    ))
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
        let plan = Arc::clone(&self.plan);
        let place = self.share.clone().nth(partition).ok_or_else(|| {
            // Beyond it lies what another task reads.
            external(Error::internal("gate", "there is no such partition"))
        })?;
        builder.spawn_blocking(move || {
            let list = plan.get(place).map_or(&[][..], Vec::as_slice);
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
