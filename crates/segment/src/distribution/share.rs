//! A leaf on its way: the name of a table and of its columns, and which share of its rows to read.
//!
//! It says nothing of who is lawful. Whoever decodes it has a gate for the place that it names, or cannot decode it.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use serde::{Deserialize, Serialize};

use super::refusal::Refusal;
use crate::gate::{Gate, LawfulScanExec, Shape, Share, properties};
use crate::metrics;

/// A leaf as it is sent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Leaf {
    /// The digest of the place it belongs to.
    place: String,
    table: String,
    columns: Vec<String>,
    share: Share,
}

/// The share of a scan that a worker is to read; here it cannot be read.
pub(super) struct LawfulShareExec {
    of: Arc<dyn ExecutionPlan>,
    share: Share,
    properties: Arc<PlanProperties>,
}

impl LawfulShareExec {
    /// A share of a [`LawfulScanExec`].
    pub(super) fn new(of: Arc<dyn ExecutionPlan>, share: Share) -> Self {
        Self {
            properties: properties(&of.schema(), share.partitions),
            of,
            share,
        }
    }
}

impl fmt::Debug for LawfulShareExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LawfulShareExec")
            .field("of", &self.of)
            .field("share", &self.share)
            .finish_non_exhaustive()
    }
}

impl DisplayAs for LawfulShareExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.of.fmt_as(kind, f)
    }
}

impl ExecutionPlan for LawfulShareExec {
    fn name(&self) -> &'static str {
        "LawfulShareExec"
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

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.is_empty() {
            true => Ok(self),
            false => Err(Refusal::Leaf.into()),
        }
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        Err(Refusal::Leaf.into())
    }
}

/// Writes leaves of the gate for one place, and reads them where there is a gate for it.
#[derive(Debug)]
pub(super) struct LeafCodec {
    place: String,
    /// On a worker.
    here: Option<(Gate, Vec<Shape>)>,
}

impl LeafCodec {
    /// Of the coordinator: it writes.
    pub(super) fn writing(place: String) -> Self {
        Self { place, here: None }
    }

    /// Of a worker: it reads, through this gate.
    pub(super) fn reading(place: String, gate: Gate, shapes: Vec<Shape>) -> Self {
        Self {
            place,
            here: Some((gate, shapes)),
        }
    }

    fn scan(&self, leaf: &Leaf) -> Result<LawfulScanExec, Refusal> {
        let (gate, shapes) = self.here.as_ref().ok_or(Refusal::Leaf)?;
        if leaf.place != self.place || !leaf.share.is_one() {
            return Err(Refusal::Leaf);
        }
        let shape = shapes
            .iter()
            .find(|shape| shape.table.as_str() == leaf.table);
        let shape = shape.ok_or(Refusal::Leaf)?;
        let schema = columns(shape, &leaf.columns)?;
        let gate = Gate {
            partitions: leaf.share.partitions * leaf.share.tasks,
            ..gate.clone()
        };
        LawfulScanExec::share(Arc::new(gate), shape, schema, leaf.share).map_err(|error| {
            tracing::warn!(code = error.code(), "a share of a table cannot be read");
            Refusal::Failed
        })
    }
}

/// The named columns; a column that the purpose may not read does not exist here either.
fn columns(shape: &Shape, names: &[String]) -> Result<SchemaRef, Refusal> {
    let schema = shape.schema();
    let places: Result<Vec<usize>, Refusal> = names
        .iter()
        .map(|name| schema.index_of(name).map_err(|_| Refusal::Leaf))
        .collect();
    let schema = schema.project(&places?);
    schema.map(Arc::new).map_err(|_| Refusal::Leaf)
}

impl PhysicalExtensionCodec for LeafCodec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        _: &TaskContext,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let leaf: Leaf = serde_json::from_slice(bytes).map_err(|_| Refusal::Leaf)?;
        if !inputs.is_empty() {
            return Err(Refusal::Leaf.into());
        }
        // Which rows are whose is read from disk.
        let scan = tokio::task::block_in_place(|| self.scan(&leaf));
        let scan = scan.inspect_err(|refusal| metrics::worked(Some(refusal.code())))?;
        Ok(Arc::new(scan))
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        bytes: &mut Vec<u8>,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let (scan, share) = match node.downcast_ref::<LawfulShareExec>() {
            Some(part) => (&part.of, part.share),
            None => {
                let partitions = node.properties().partitioning.partition_count();
                (&node, Share::whole(partitions))
            }
        };
        let scan = scan.downcast_ref::<LawfulScanExec>().ok_or(Refusal::Node)?;
        let leaf = Leaf {
            place: self.place.clone(),
            table: scan.table().to_owned(),
            columns: scan.columns(),
            share,
        };
        let text = serde_json::to_vec(&leaf);
        *bytes = text.map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(())
    }
}
