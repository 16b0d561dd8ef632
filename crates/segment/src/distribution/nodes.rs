//! The closed list of what a plan for a worker may be made of.
//!
//! A plan comes over the wire and could be anything that the engine can read: a scan of a file, a table that is written
//! to. What is not here by name is refused, so a node that an upgrade brings is refused until somebody has read what
//! it does; the coordinator then answers alone.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;

use super::refusal::Refusal;

/// Leaves: rows of the gate, none, one, or what another worker computes.
const LEAVES: &[&str] = &[
    "EmptyExec",
    "LawfulScanExec",
    "NetworkBroadcastExec",
    "NetworkCoalesceExec",
    "NetworkShuffleExec",
    "PlaceholderRowExec",
];

/// Nodes that compute rows from rows.
const INNER: &[&str] = &[
    "AggregateExec",
    "BoundedWindowAggExec",
    "BroadcastExec",
    "ChildrenIsolatorUnionExec",
    "CoalesceBatchesExec",
    "CoalescePartitionsExec",
    "CooperativeExec",
    "CrossJoinExec",
    "FilterExec",
    "GlobalLimitExec",
    "HashJoinExec",
    "InterleaveExec",
    "LocalLimitExec",
    "NestedLoopJoinExec",
    "NetworkBroadcastExec",
    "NetworkCoalesceExec",
    "NetworkShuffleExec",
    "PartialSortExec",
    "PiecewiseMergeJoinExec",
    "ProjectionExec",
    "RepartitionExec",
    "SortExec",
    "SortExec(TopK)",
    "SortMergeJoinExec",
    "SortPreservingMergeExec",
    "UnionExec",
    "UnnestExec",
    "WindowAggExec",
];

/// Nodes of a plan that its coordinator takes apart.
const OF_COORDINATORS: &[&str] = &["DistributedExec", "DistributedLeafExec"];

/// Looks at every node of a plan that came from elsewhere.
///
/// # Errors
/// One of them is not on the list.
pub(super) fn vet(plan: &Arc<dyn ExecutionPlan>) -> Result<(), Refusal> {
    vet_but(plan, &[])
}

/// Whether workers would work on all of a plan. Asked before it is sent: one that is sent in part is waited for.
///
/// # Errors
/// As [`vet`].
pub(super) fn vet_whole(plan: &Arc<dyn ExecutionPlan>) -> Result<(), Refusal> {
    vet_but(plan, OF_COORDINATORS)
}

fn vet_but(plan: &Arc<dyn ExecutionPlan>, further: &[&str]) -> Result<(), Refusal> {
    let mut vetted = Ok(());
    let walked = plan.apply(|node| {
        let known = match node.children().is_empty() {
            true => LEAVES.contains(&node.name()) || is_of_values(node),
            false => INNER.contains(&node.name()),
        };
        if known || further.contains(&node.name()) {
            return Ok(TreeNodeRecursion::Continue);
        }
        tracing::debug!(node = node.name(), "a plan holds a node that is not listed");
        vetted = Err(Refusal::Node);
        Ok(TreeNodeRecursion::Stop)
    });
    walked.map_err(|_| Refusal::Node)?;
    vetted
}

/// Rows that stand in the plan itself.
fn is_of_values(node: &Arc<dyn ExecutionPlan>) -> bool {
    let source = node.downcast_ref::<DataSourceExec>();
    source.is_some_and(|source| {
        source
            .data_source()
            .downcast_ref::<MemorySourceConfig>()
            .is_some()
    })
}
