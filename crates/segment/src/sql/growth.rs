//! How much longer a text can become in a query.
//!
//! A function that makes a long text out of a short one allocates it in one piece, past every memory limit, and an
//! allocation that fails ends the process. Such functions run only where the text of the query says how long the result
//! can be, and where all of them together stay within bounds, since they can be put into each other.

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, Operator};

use crate::error::{Error, Result};

/// How long `lpad` and `rpad` may make a text, in characters.
const PAD_LIMIT: i64 = 1_000;
/// How long the replacement of a match may be, in characters.
const REPLACEMENT_LIMIT: usize = 100;
/// By what factor all replacements and concatenations of a query together may make a text longer.
const FACTOR_LIMIT: usize = 1_000;
/// Functions that put texts or lists together.
const JOINING: [&str; 9] = [
    "array_append",
    "array_concat",
    "array_prepend",
    "array_to_string",
    "array_union",
    "concat",
    "concat_ws",
    "make_array",
    "overlay",
];

/// What the functions of a query seen so far can do to a text together.
#[derive(Debug)]
pub(super) struct Growth {
    factor: usize,
}

impl Default for Growth {
    fn default() -> Self {
        Self { factor: 1 }
    }
}

impl Growth {
    /// Takes in one expression, as it was planned from the query's text.
    ///
    /// # Errors
    /// `Invalid` with the limit when the result is not bounded.
    pub(super) fn judge(&mut self, expression: &Expr) -> Result<()> {
        let Expr::ScalarFunction(function) = expression else {
            return Ok(());
        };
        let (name, args) = (function.func.name(), function.args.as_slice());
        match name {
            "lpad" | "rpad" => match args.get(1).map(integer) {
                Some(Some(length)) if length <= PAD_LIMIT => Ok(()),
                // Too few arguments: planning says so.
                None => Ok(()),
                Some(Some(_) | None) => Err(unbounded(
                    name,
                    format!("its length must be an integer literal up to {PAD_LIMIT}"),
                )),
            },
            "replace" | "regexp_replace" | "translate" => {
                let Some(replacement) = args.get(2) else {
                    return Ok(());
                };
                let length = literal(replacement)
                    .map(|text| text.chars().count())
                    .filter(|length| *length <= REPLACEMENT_LIMIT)
                    .ok_or_else(|| {
                        unbounded(
                            name,
                            format!(
                                "its replacement must be a literal of at most {REPLACEMENT_LIMIT} characters"
                            ),
                        )
                    })?;
                let factor = match name {
                    // Character by character.
                    "translate" => 1,
                    "replace" => match args
                        .get(1)
                        .and_then(literal)
                        .map(|text| text.chars().count())
                    {
                        Some(from @ 1..) => length.div_ceil(from).max(1),
                        Some(0) => length + 1,
                        None => length.max(1),
                    },
                    // A pattern may match the place before each character; `\1` repeats what it matched.
                    _ => length + 1,
                };
                self.factor = self.factor.saturating_mul(factor);
                within(self.factor)
            }
            _ => Ok(()),
        }
    }

    /// Takes in the whole plan, once every expression of it has been.
    ///
    /// # Errors
    /// `Invalid` when texts could be put together over and over, one sub-query upon the other.
    pub(super) fn judge_plan(&self, plan: &LogicalPlan) -> Result<()> {
        within(self.factor.saturating_mul(joined(plan, false)?))
    }
}

fn within(factor: usize) -> Result<()> {
    if factor <= FACTOR_LIMIT {
        return Ok(());
    }
    Err(unbounded(
        "the query",
        format!(
            "all replacements and concatenations together may make a text at most {FACTOR_LIMIT} times as long"
        ),
    ))
}

/// By what factor concatenation makes the texts of a plan longer than those of its tables and literals.
fn joined(plan: &LogicalPlan, recursive: bool) -> Result<usize> {
    let mut parts = 0;
    let mut below = 1;
    let mut refused = None;
    let expressions = plan.apply_expressions(|expression| {
        let mut here = 0_usize;
        let walked = expression.apply(|inner| {
            here += parts_of(inner);
            Ok(TreeNodeRecursion::Continue)
        });
        parts = parts.max(here);
        walked
    });
    let subqueries = plan.apply_subqueries(|inner| {
        match joined(inner, recursive) {
            Ok(factor) => below = below.max(factor),
            Err(error) => refused = Some(error),
        }
        // Their own inputs are seen to by the call.
        Ok(TreeNodeRecursion::Jump)
    });
    if expressions.is_err() || subqueries.is_err() {
        return Err(unbounded(
            "the query",
            "simplify it step by step".to_owned(),
        ));
    }
    if let Some(error) = refused {
        return Err(error);
    }
    if recursive && parts > 0 {
        return Err(unbounded(
            "a recursive query",
            "texts and lists are neither put together nor replaced in it".to_owned(),
        ));
    }
    let recursive = recursive || matches!(plan, LogicalPlan::RecursiveQuery(_));
    for input in plan.inputs() {
        below = below.max(joined(input, recursive)?);
    }
    Ok(below.saturating_mul(parts + 1))
}

/// How many texts or lists an expression adds to another.
fn parts_of(expression: &Expr) -> usize {
    match expression {
        Expr::BinaryExpr(binary) if binary.op == Operator::StringConcat => 1,
        Expr::ScalarFunction(function) if JOINING.contains(&function.func.name()) => {
            function.args.len()
        }
        // Their factor is taken in elsewhere; in a recursive query it has no end.
        Expr::ScalarFunction(function)
            if ["replace", "regexp_replace"].contains(&function.func.name()) =>
        {
            1
        }
        _ => 0,
    }
}

fn unbounded(name: &str, rule: String) -> Error {
    Error::invalid(
        "text_too_long",
        format!("{name} could make a text that is too long"),
    )
    .help(rule)
}

fn integer(expression: &Expr) -> Option<i64> {
    match expression {
        Expr::Literal(ScalarValue::Int64(value), _) => *value,
        Expr::Literal(ScalarValue::Int32(value), _) => value.map(i64::from),
        Expr::Literal(ScalarValue::UInt64(value), _) => value.and_then(|v| i64::try_from(v).ok()),
        _ => None,
    }
}

fn literal(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Literal(
            ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text),
            _,
        ) => Some(text.as_deref().unwrap_or_default()),
        _ => None,
    }
}
