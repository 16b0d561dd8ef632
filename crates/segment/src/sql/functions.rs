//! The closed list of functions.
//!
//! Only what stands here by name is registered, one by one. Not allowed are functions that look at the file, the engine or
//! a field's metadata, that change the physical type, that return another type than they were planned with (`to_timestamp`
//! and its like under a time zone: which of two errors came first would hang on how rows are cut into batches), that make
//! large values out of small ones, or that nobody has needed yet. A golden table of everything the engine offers
//! (`tests/doors/doors.golden`) fails with an upgrade that adds a function, until someone has read what it does.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

use super::in_segment;
use crate::error::Error;
use crate::guards::{Guard, Guards};

/// Scalar functions that compute from their arguments alone. Those that can make a long text out of a short one (`lpad`,
/// `replace`, `array_to_string` and the like) run only with literal arguments that bound it: see `growth`.
pub(crate) const SCALAR: &[&str] = &[
    "abs",
    "acos",
    "acosh",
    "array_any_value",
    "array_append",
    "array_compact",
    "array_concat",
    "array_dims",
    "array_distinct",
    "array_element",
    "array_except",
    "array_has",
    "array_has_all",
    "array_has_any",
    "array_intersect",
    "array_length",
    "array_max",
    "array_min",
    "array_ndims",
    "array_pop_back",
    "array_pop_front",
    "array_position",
    "array_positions",
    "array_prepend",
    "array_remove",
    "array_remove_all",
    "array_remove_n",
    "array_replace",
    "array_replace_all",
    "array_replace_n",
    "array_reverse",
    "array_slice",
    "array_sort",
    "array_sum",
    "array_to_string",
    "array_union",
    "ascii",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bit_length",
    "btrim",
    "cardinality",
    "cbrt",
    "ceil",
    "character_length",
    "chr",
    "coalesce",
    "concat",
    "concat_ws",
    "contains",
    "cos",
    "cosh",
    "cot",
    "current_date",
    "date_bin",
    "date_part",
    "date_trunc",
    "degrees",
    "empty",
    "ends_with",
    "exp",
    "factorial",
    "find_in_set",
    "flatten",
    "floor",
    "from_unixtime",
    "gcd",
    "get_field",
    "greatest",
    "initcap",
    "isnan",
    "iszero",
    "lcm",
    "least",
    "left",
    "levenshtein",
    "ln",
    "log",
    "log10",
    "log2",
    "lower",
    "lpad",
    "ltrim",
    "make_array",
    "make_date",
    "map_extract",
    "map_keys",
    "map_values",
    "named_struct",
    "nanvl",
    "now",
    "nullif",
    "nvl",
    "nvl2",
    "octet_length",
    "overlay",
    "pi",
    "power",
    "radians",
    "random",
    "regexp_count",
    "regexp_instr",
    "regexp_like",
    "regexp_match",
    "regexp_replace",
    "replace",
    "reverse",
    "right",
    "round",
    "rpad",
    "rtrim",
    "signum",
    "sin",
    "sinh",
    "split_part",
    "sqrt",
    "starts_with",
    "string_to_array",
    "strpos",
    "struct",
    "substr",
    "substr_index",
    "tan",
    "tanh",
    "to_char",
    "to_date",
    "to_hex",
    "to_local_time",
    "to_unixtime",
    "translate",
    "trunc",
    "upper",
];

/// Aggregate functions, all of which see the rows they are given and nothing else.
pub(crate) const AGGREGATE: &[&str] = &[
    "any_value",
    "approx_distinct",
    "approx_median",
    "approx_percentile_cont",
    "approx_percentile_cont_with_weight",
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "first_value",
    "grouping",
    "last_value",
    "max",
    "median",
    "min",
    "nth_value",
    "percentile_cont",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "stddev",
    "stddev_pop",
    "string_agg",
    "sum",
    "var",
    "var_pop",
];

/// Window functions, of which the same holds.
pub(crate) const WINDOW: &[&str] = &[
    "cume_dist",
    "dense_rank",
    "first_value",
    "lag",
    "last_value",
    "lead",
    "nth_value",
    "ntile",
    "percent_rank",
    "rank",
    "row_number",
];

/// Functions of a lawful session itself, which the engine does not have.
pub(crate) const OURS: &[&str] = &[in_segment::NAME];

/// Whether a planned function may run.
#[must_use]
pub(crate) fn is_allowed(name: &str) -> bool {
    [SCALAR, AGGREGATE, WINDOW, OURS]
        .iter()
        .any(|list| list.contains(&name))
}

/// The refusal of a function, naming the nearest allowed ones.
#[must_use]
pub(crate) fn not_allowed(name: &str) -> Error {
    let start: String = name
        .chars()
        .take(2)
        .collect::<String>()
        .to_ascii_lowercase();
    let all: BTreeSet<&str> = [SCALAR, AGGREGATE, WINDOW, OURS]
        .into_iter()
        .flatten()
        .copied()
        .collect();
    let near: Vec<&str> = all
        .iter()
        .copied()
        .filter(|allowed| !start.is_empty() && allowed.starts_with(&start))
        .collect();
    let help = if name.starts_with("to_timestamp") {
        "write CAST(… AS TIMESTAMP WITH TIME ZONE), or TRY_CAST for null where a text is none"
            .to_owned()
    } else if near.is_empty() {
        format!(
            "{} functions are allowed, such as count, sum, coalesce, date_trunc, regexp_like",
            all.len()
        )
    } else {
        format!("allowed are {}", near.join(", "))
    };
    Error::invalid(
        "function_not_allowed",
        format!("the function {name} is not allowed"),
    )
    .help(help)
}

/// The scalar functions of a lawful session.
pub(crate) fn scalar(guards: Guards) -> Vec<Arc<ScalarUDF>> {
    SessionStateDefaults::default_scalar_functions()
        .into_iter()
        .filter(|function| SCALAR.contains(&function.name()) || !guards.stand(Guard::Functions))
        .collect()
}

/// The aggregate functions of a lawful session.
pub(crate) fn aggregate() -> Vec<Arc<AggregateUDF>> {
    SessionStateDefaults::default_aggregate_functions()
        .into_iter()
        .filter(|function| AGGREGATE.contains(&function.name()))
        .collect()
}

/// The window functions of a lawful session.
pub(crate) fn window() -> Vec<Arc<WindowUDF>> {
    SessionStateDefaults::default_window_functions()
        .into_iter()
        .filter(|function| WINDOW.contains(&function.name()))
        .collect()
}
