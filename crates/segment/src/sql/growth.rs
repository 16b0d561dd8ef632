//! How much longer a text can become in a query.
//!
//! A function that makes a long text out of a short one allocates it in one piece, past every memory limit, and an
//! allocation that fails ends the process. Such functions run only where the text of the query says how long the result
//! can be, and where all of them together stay within bounds, since they can be put into each other. Texts that stand in
//! the query are bounded for the same reason: one that is selected is copied for every row of a batch. And the longer a
//! query can make its rows, the fewer of them a batch has ([`Growth::batch_rows`]).

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::WindowFunctionDefinition;
use datafusion::logical_expr::{Expr, LogicalPlan, Operator};

use crate::error::{Error, Result};

/// How long `lpad` and `rpad` may make a text, in characters.
const PAD_LIMIT: i64 = 1_000;
/// How long the replacement of a match or what stands between two parts may be, in characters.
const REPLACEMENT_LIMIT: usize = 100;
/// By what factor all replacements and concatenations of a query together may make a text longer.
const FACTOR_LIMIT: usize = 1_000;
/// How long the texts of a query may be together, those within `IN (…)` apart, in bytes.
const TEXT_LIMIT: usize = 16 * 1024;
/// Rows of a batch at most.
const BATCH_ROWS: usize = 8_192;
/// What the texts of a query may add to a batch, in bytes.
const BATCH_BYTES: usize = 64 << 20;
/// Functions that put texts, lists or other values together.
const JOINING: [&str; 11] = [
    "array_append",
    "array_concat",
    "array_prepend",
    "array_to_string",
    "array_union",
    "concat",
    "concat_ws",
    "make_array",
    "named_struct",
    "overlay",
    "struct",
];
/// Aggregates that keep every value. Over a window each row would hold those of all rows before it.
const COLLECTING: [&str; 2] = ["array_agg", "string_agg"];

/// What the functions and texts of a query seen so far can do together.
#[derive(Debug)]
pub(super) struct Growth {
    factor: usize,
    /// Bytes of texts and paddings.
    written: usize,
    /// Those of them that are never copied into rows.
    spared: usize,
}

impl Default for Growth {
    fn default() -> Self {
        Self {
            factor: 1,
            written: 0,
            spared: 0,
        }
    }
}

impl Growth {
    /// Takes in one expression, as it was planned from the query's text.
    ///
    /// # Errors
    /// `Invalid` with the limit when the result is not bounded.
    pub(super) fn judge(&mut self, expression: &Expr) -> Result<()> {
        match expression {
            Expr::Literal(..) => {
                self.written += written(expression);
                Ok(())
            }
            // A list that is looked up stands there once, however long.
            Expr::InList(list) => {
                self.spared += list.list.iter().map(written).sum::<usize>();
                Ok(())
            }
            Expr::ScalarFunction(function) => self.scalar(function.func.name(), &function.args),
            Expr::AggregateFunction(function) if function.func.name() == "string_agg" => {
                between("string_agg", "its delimiter", function.params.args.get(1)).map(|_| ())
            }
            Expr::WindowFunction(function) => match &function.fun {
                WindowFunctionDefinition::AggregateUDF(aggregate)
                    if COLLECTING.contains(&aggregate.name()) =>
                {
                    Err(unbounded(
                        aggregate.name(),
                        "it has no OVER: aggregate with GROUP BY".to_owned(),
                    ))
                }
                WindowFunctionDefinition::AggregateUDF(_)
                | WindowFunctionDefinition::WindowUDF(_) => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn scalar(&mut self, name: &str, args: &[Expr]) -> Result<()> {
        let factor = match name {
            "lpad" | "rpad" => match args.get(1).map(integer) {
                Some(Some(length)) if length <= PAD_LIMIT => {
                    self.written += usize::try_from(length).unwrap_or(0) * 4;
                    1
                }
                // Too few arguments: planning says so.
                None => 1,
                Some(Some(_) | None) => {
                    return Err(unbounded(
                        name,
                        format!("its length must be an integer literal up to {PAD_LIMIT}"),
                    ));
                }
            },
            "replace" | "regexp_replace" | "translate" => {
                let length = between(name, "its replacement", args.get(2))?;
                match name {
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
                }
            }
            "array_replace" | "array_replace_all" | "array_replace_n" => match args.get(2) {
                // A number is as long as a number.
                Some(Expr::Literal(value, _)) if !is_text(value) => 1,
                replacement => between(name, "its replacement", replacement)?.max(1),
            },
            // Each of the parts, which may be empty, is followed by one of them.
            "array_to_string" => {
                1 + between(name, "its delimiter", args.get(1))?
                    + between(name, "its text for null", args.get(2))?
            }
            "concat_ws" => between(name, "its delimiter", args.first()).map(|_| 1)?,
            _ => 1,
        };
        self.factor = self.factor.saturating_mul(factor);
        within(self.factor)
    }

    /// Takes in the rows that a query lists itself: the longest counts.
    pub(super) fn judge_values(&mut self, rows: &[Vec<Expr>]) {
        let lengths = || {
            rows.iter()
                .map(|row| row.iter().map(written).sum::<usize>())
        };
        self.spared += lengths().sum::<usize>() - lengths().max().unwrap_or(0);
    }

    /// Takes in the whole plan, once every expression of it has been. Tells how many rows a batch of it may have.
    ///
    /// # Errors
    /// `Invalid` when texts could be put together over and over, one sub-query upon the other, or are too long.
    pub(super) fn judge_plan(&self, plan: &LogicalPlan) -> Result<usize> {
        let written = self.written.saturating_sub(self.spared);
        if written > TEXT_LIMIT {
            return Err(Error::invalid(
                "text_too_long",
                "the texts that stand in the query are too long together",
            )
            .help(format!(
                "at most {TEXT_LIMIT} bytes, those of IN (…) apart, with what lpad and rpad may add"
            )));
        }
        let joined = joined(plan, false)?;
        within(self.factor.saturating_mul(joined.longest))?;
        Ok(self.batch_rows(joined.all, written))
    }

    /// Rows whose texts, at the worst, fill a batch and no more.
    fn batch_rows(&self, joined: usize, written: usize) -> usize {
        let factor = self.factor.saturating_mul(joined).max(1);
        let by_texts = BATCH_BYTES / factor.saturating_mul(written).max(1);
        (BATCH_ROWS / factor).min(by_texts).clamp(1, BATCH_ROWS)
    }
}

/// The length of a literal that is put between or in the place of other texts; 0 when it is not given.
fn between(name: &str, what: &str, argument: Option<&Expr>) -> Result<usize> {
    let Some(argument) = argument else {
        return Ok(0);
    };
    literal(argument)
        .map(|text| text.chars().count())
        .filter(|length| *length <= REPLACEMENT_LIMIT)
        .ok_or_else(|| {
            unbounded(
                name,
                format!("{what} must be a literal of at most {REPLACEMENT_LIMIT} characters"),
            )
        })
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

/// By what factor concatenation makes texts longer than those of the tables and literals.
#[derive(Clone, Copy)]
struct Joined {
    /// The one that grows most.
    longest: usize,
    /// All of a row together.
    all: usize,
}

impl Joined {
    fn or(self, other: Self) -> Self {
        Self {
            longest: self.longest.max(other.longest),
            all: self.all.max(other.all),
        }
    }
}

fn joined(plan: &LogicalPlan, recursive: bool) -> Result<Joined> {
    let mut parts = Joined { longest: 0, all: 0 };
    let mut below = Joined { longest: 1, all: 1 };
    let mut refused = None;
    let expressions = plan.apply_expressions(|expression| {
        let mut here = 0_usize;
        let walked = expression.apply(|inner| {
            here += parts_of(inner);
            Ok(TreeNodeRecursion::Continue)
        });
        parts.longest = parts.longest.max(here);
        parts.all = parts.all.saturating_add(here);
        walked
    });
    let subqueries = plan.apply_subqueries(|inner| {
        match joined(inner, recursive) {
            Ok(factor) => below = below.or(factor),
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
    if recursive && parts.longest > 0 {
        return Err(unbounded(
            "a recursive query",
            "texts and lists are neither put together nor replaced in it".to_owned(),
        ));
    }
    let recursive = recursive || matches!(plan, LogicalPlan::RecursiveQuery(_));
    for input in plan.inputs() {
        below = below.or(joined(input, recursive)?);
    }
    Ok(Joined {
        longest: below.longest.saturating_mul(parts.longest + 1),
        all: below.all.saturating_mul(parts.all.saturating_add(1)),
    })
}

/// How many values an expression adds to another.
fn parts_of(expression: &Expr) -> usize {
    match expression {
        Expr::BinaryExpr(binary) if binary.op == Operator::StringConcat => 1,
        // The delimiter stands before each of the others.
        Expr::ScalarFunction(function) if function.func.name() == "concat_ws" => {
            function.args.len() * 2
        }
        Expr::ScalarFunction(function) if JOINING.contains(&function.func.name()) => {
            function.args.len()
        }
        // Their factor is taken in elsewhere; in a recursive query it has no end.
        Expr::ScalarFunction(function)
            if [
                "replace",
                "regexp_replace",
                "array_replace",
                "array_replace_all",
                "array_replace_n",
            ]
            .contains(&function.func.name()) =>
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

fn is_text(value: &ScalarValue) -> bool {
    matches!(
        value,
        ScalarValue::Utf8(_) | ScalarValue::LargeUtf8(_) | ScalarValue::Utf8View(_)
    )
}

/// The bytes of a text that stands in the query.
fn written(expression: &Expr) -> usize {
    literal(expression).map_or(0, str::len)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_its_rows_the_fewer_a_batch_has() {
        let rows = |factor, joined, written| {
            Growth {
                factor,
                written,
                spared: 0,
            }
            .batch_rows(joined, written)
        };
        assert_eq!(rows(1, 1, 0), BATCH_ROWS);
        assert_eq!(rows(1, 1, 100), BATCH_ROWS);
        assert_eq!(rows(1, 491, 0), 16);
        assert_eq!(rows(1, 1, TEXT_LIMIT), 4_096);
        assert_eq!(rows(1_000, 1, TEXT_LIMIT), 4);
        assert_eq!(rows(1_000, usize::MAX, usize::MAX), 1);
    }
}
