//! A second look, after planning: which nodes and functions the plan is made of.
//!
//! The syntax tree was judged already; here an upgrade that plans an allowed text into something new is caught. Both
//! matches name every variant, so that a new node does not compile until someone has classified it.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::expr::WindowFunctionDefinition;
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::growth::Growth;
use super::{functions, size};
use crate::error::{Error, Result};
use crate::guards::{Guard, Guards};

/// How many nodes a plan may have. A common table expression that is used twice stands twice in the plan, so a few
/// lines can double it many times over.
const NODE_LIMIT: usize = 5_000;

/// Refuses a plan that holds anything but relational algebra over our tables and listed functions. Tells how many rows a
/// batch of it may have.
///
/// # Errors
/// `Invalid` with the name of the node or function.
pub(crate) fn judge(plan: &LogicalPlan, guards: Guards) -> Result<usize> {
    let options = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    if guards.stand(Guard::Statements) && options.verify_plan(plan).is_err() {
        return Err(node_refused("a statement that changes something"));
    }
    let mut refused = None;
    let mut nodes = 0_usize;
    let mut growth = Growth::default();
    let walked = plan.apply_with_subqueries(|node| {
        nodes += 1;
        let judged = if nodes > NODE_LIMIT {
            Err(size::too_complex(format!(
                "the query plans into more than {NODE_LIMIT} steps"
            )))
        } else {
            judge_node(node, guards).and_then(|()| judge_expressions(node, &mut growth, guards))
        };
        if let Err(error) = judged {
            refused = Some(error);
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    match (refused, walked) {
        (Some(error), _) => Err(error),
        (None, Ok(_)) => growth.judge_plan(plan),
        (None, Err(_)) => Err(node_refused("a plan that cannot be walked")),
    }
}

fn judge_node(node: &LogicalPlan, guards: Guards) -> Result<()> {
    let statement = |what| {
        if guards.stand(Guard::Statements) {
            Err(node_refused(what))
        } else {
            Ok(())
        }
    };
    match node {
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Join(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::TableScan(_)
        | LogicalPlan::EmptyRelation(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Values(_)
        | LogicalPlan::Distinct(_)
        | LogicalPlan::Unnest(_)
        | LogicalPlan::RecursiveQuery(_) => Ok(()),
        LogicalPlan::Statement(_) => Err(node_refused("a statement")),
        LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) => {
            if guards.stand(Guard::Explain) {
                Err(node_refused("EXPLAIN"))
            } else {
                Ok(())
            }
        }
        LogicalPlan::Extension(_) => Err(node_refused("an extension")),
        LogicalPlan::Dml(_) => Err(node_refused("a change of data")),
        LogicalPlan::Ddl(_) => Err(node_refused("a definition")),
        LogicalPlan::Copy(_) => Err(node_refused("COPY")),
        LogicalPlan::DescribeTable(_) => statement("DESCRIBE"),
    }
}

fn judge_expressions(node: &LogicalPlan, growth: &mut Growth, guards: Guards) -> Result<()> {
    if let LogicalPlan::Values(values) = node {
        growth.judge_values(&values.values);
    }
    let mut refused = None;
    let walked = node.apply_expressions(|expression| {
        expression.apply(|inner| {
            let judged = match function_name(inner) {
                Some(name) if guards.stand(Guard::Functions) && !functions::is_allowed(&name) => {
                    Err(functions::not_allowed(&name))
                }
                Some(_) | None => growth.judge(inner),
            };
            if let Err(error) = judged {
                refused = Some(error);
                return Ok(TreeNodeRecursion::Stop);
            }
            Ok(TreeNodeRecursion::Continue)
        })
    });
    match (refused, walked) {
        (Some(error), _) => Err(error),
        (None, Ok(_)) => Ok(()),
        (None, Err(_)) => Err(node_refused("an expression that cannot be walked")),
    }
}

fn function_name(expression: &Expr) -> Option<String> {
    match expression {
        Expr::ScalarFunction(function) => Some(function.func.name().to_owned()),
        Expr::AggregateFunction(function) => Some(function.func.name().to_owned()),
        Expr::WindowFunction(function) => Some(match &function.fun {
            WindowFunctionDefinition::AggregateUDF(function) => function.name().to_owned(),
            WindowFunctionDefinition::WindowUDF(function) => function.name().to_owned(),
        }),
        Expr::HigherOrderFunction(function) => Some(function.func.name().to_owned()),
        Expr::Alias(_)
        | Expr::Column(_)
        | Expr::ScalarVariable(..)
        | Expr::Literal(..)
        | Expr::BinaryExpr(_)
        | Expr::Like(_)
        | Expr::SimilarTo(_)
        | Expr::Not(_)
        | Expr::IsNotNull(_)
        | Expr::IsNull(_)
        | Expr::IsTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotTrue(_)
        | Expr::IsNotFalse(_)
        | Expr::IsNotUnknown(_)
        | Expr::Negative(_)
        | Expr::Between(_)
        | Expr::Case(_)
        | Expr::Cast(_)
        | Expr::TryCast(_)
        | Expr::InList(_)
        | Expr::Exists(_)
        | Expr::InSubquery(_)
        | Expr::SetComparison(_)
        | Expr::ScalarSubquery(_)
        | Expr::GroupingSet(_)
        | Expr::Placeholder(_)
        | Expr::OuterReferenceColumn(..)
        | Expr::Unnest(_)
        | Expr::Lambda(_)
        | Expr::LambdaVariable(_) => None,
        #[expect(deprecated)]
        Expr::Wildcard { .. } => None,
    }
}

fn node_refused(what: &str) -> Error {
    Error::invalid(
        "plan_not_allowed",
        format!("the query plans into {what}, which a lawful session does not run"),
    )
}
