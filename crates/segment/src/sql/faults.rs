//! Which words of the engine's errors may leave.
//!
//! Two stages, two rules. **Planning** is a function of the query's text and the visible schema: it has read no row, so
//! its errors may keep the names and literals that stand in the text. **Execution** has read rows, so of its errors only
//! the class is kept and the sentence is ours. An error of the gate itself travels through the engine as a boxed
//! [`Error`] and comes out whole.

use datafusion::arrow::error::ArrowError;
use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;

use crate::error::{Error, ErrorKind, Place};
use crate::guards::{Guard, Guards};

/// An error of the parser: its sentence names tokens of the text and ends in the place.
#[must_use]
pub(crate) fn of_parsing(error: &DataFusionError) -> Error {
    let (root, place) = root_of(error);
    let text = match root {
        DataFusionError::SQL(error, _) => error.to_string(),
        other => first_line(&other.to_string()),
    };
    let text = text
        .trim_start_matches("sql parser error: ")
        .trim_start_matches("SQL error: ");
    let (text, found) = split_place(text);
    Error::invalid("syntax", format!("the query cannot be read: {text}")).at(found.or(place))
}

/// An error of planning over a schema; `visible` is what the help of a wrong name lists.
#[must_use]
pub(crate) fn of_planning(error: &DataFusionError, visible: &str) -> Error {
    let (root, place) = root_of(error);
    if let DataFusionError::External(inner) = root
        && let Some(own) = inner.downcast_ref::<Error>()
    {
        return own.clone();
    }
    let refused = match root {
        DataFusionError::SchemaError(schema, _) => of_schema(schema, visible),
        DataFusionError::Plan(text) => of_plan_text(&first_line(text), visible),
        DataFusionError::SQL(..) => return of_parsing(error),
        DataFusionError::NotImplemented(text) => Error::invalid(
            "not_supported",
            format!("not supported: {}", first_line(text)),
        ),
        DataFusionError::ResourcesExhausted(_) => exhausted(),
        DataFusionError::ArrowError(..)
        | DataFusionError::Execution(_)
        | DataFusionError::Configuration(_) => Error::invalid(
            "constant",
            "a constant of the query cannot be computed or read as the type it is used as",
        )
        .help("dates are written as '2026-09-01', instants as '2026-09-01T04:00:00Z'"),
        DataFusionError::ParquetError(_)
        | DataFusionError::ObjectStore(_)
        | DataFusionError::IoError(_)
        | DataFusionError::Internal(_)
        | DataFusionError::ExecutionJoin(_)
        | DataFusionError::External(_)
        | DataFusionError::Context(..)
        | DataFusionError::Substrait(_)
        | DataFusionError::Diagnostic(..)
        | DataFusionError::Collection(_)
        | DataFusionError::Shared(_)
        | DataFusionError::Ffi(_) => {
            Error::invalid("cannot_be_planned", "the query cannot be planned")
        }
    };
    refused.at(place)
}

fn of_schema(error: &SchemaError, visible: &str) -> Error {
    match error {
        SchemaError::FieldNotFound {
            field,
            valid_fields,
        } => {
            let near = nearest(field.name(), valid_fields.iter().map(Column::name));
            Error::invalid(
                "unknown_column",
                format!("this purpose has no column {}", field.flat_name()),
            )
            .help(match near {
                Some(near) => format!("did you mean {near}? {visible}"),
                None => visible.to_owned(),
            })
        }
        SchemaError::AmbiguousReference { field } => Error::invalid(
            "ambiguous_column",
            format!(
                "the column {} could be of several tables",
                field.flat_name()
            ),
        )
        .help("put the table's name in front"),
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => Error::invalid(
            "duplicate_column",
            format!("the column {name} stands twice in the result"),
        )
        .help("rename one with AS"),
    }
}

/// The column that was most likely meant, of those that stand in the tables of the query: a slip of the pen, or the
/// beginning of its name. The planner's tables hold what the purpose may read and nothing else, so no other is named.
fn nearest<'c>(wrong: &str, columns: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let wrong = wrong.to_lowercase();
    let slips = 1 + wrong.chars().count() / 4;
    columns
        .map(|column| {
            let folded = column.to_lowercase();
            let distance = strsim::damerau_levenshtein(&wrong, &folded);
            let begins = folded
                .strip_prefix(&wrong)
                .is_some_and(|rest| rest.starts_with('_'));
            (
                if begins {
                    distance.min(slips)
                } else {
                    distance
                },
                column,
            )
        })
        .filter(|(distance, _)| *distance <= slips)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, column)| column)
}

fn of_plan_text(text: &str, visible: &str) -> Error {
    if text.starts_with("table '") {
        let name = between_quotes(text).rsplit('.').next().unwrap_or_default();
        return Error::invalid("unknown_table", format!("this purpose has no table {name}"))
            .help(visible);
    }
    if text.starts_with("failed to resolve") {
        return Error::invalid("unknown_table", "tables have no catalog or schema in front")
            .help(visible);
    }
    if text.starts_with("Invalid function") || text.contains("function not found") {
        return super::functions::not_allowed(between_quotes(text));
    }
    Error::invalid(
        "cannot_be_planned",
        format!("the query does not fit: {text}"),
    )
}

/// An error after the first row may have been read: the class, and nothing of the text.
#[must_use]
pub(crate) fn of_execution(error: &DataFusionError, guards: Guards) -> Error {
    if guards.stand(Guard::ErrorTexts) {
        vetted(error)
    } else {
        Error::invalid("query_failed", error.to_string())
    }
}

fn vetted(error: &DataFusionError) -> Error {
    let (root, _) = root_of(error);
    match root {
        DataFusionError::External(inner) => match inner.downcast_ref::<Error>() {
            Some(own) => own.clone(),
            None => match inner.downcast_ref::<ArrowError>() {
                Some(arrow) => of_arrow(arrow),
                None => failed(),
            },
        },
        DataFusionError::ArrowError(arrow, _) => of_arrow(arrow),
        DataFusionError::ResourcesExhausted(_) => exhausted(),
        DataFusionError::ParquetError(_) => {
            Error::corrupt("profile_file", "a profile file could not be read")
                .help("run `assent doctor`")
        }
        DataFusionError::NotImplemented(_) => Error::invalid(
            "not_supported",
            "the query asks for something not supported",
        ),
        DataFusionError::Execution(_)
        | DataFusionError::Plan(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::Configuration(_)
        | DataFusionError::SQL(..)
        | DataFusionError::ObjectStore(_)
        | DataFusionError::IoError(_)
        | DataFusionError::Internal(_)
        | DataFusionError::ExecutionJoin(_)
        | DataFusionError::Context(..)
        | DataFusionError::Substrait(_)
        | DataFusionError::Diagnostic(..)
        | DataFusionError::Collection(_)
        | DataFusionError::Shared(_)
        | DataFusionError::Ffi(_) => failed(),
    }
}

fn of_arrow(error: &ArrowError) -> Error {
    let (code, text) = match error {
        ArrowError::CastError(_) => ("cast_failed", "a cast failed"),
        ArrowError::DivideByZero => ("division_by_zero", "division by zero"),
        ArrowError::ArithmeticOverflow(_) => ("overflow", "a number became too large"),
        ArrowError::ParseError(_) => ("cast_failed", "a text could not be read as that type"),
        ArrowError::ExternalError(inner) => {
            return match inner.downcast_ref::<Error>() {
                Some(own) => own.clone(),
                None => match inner.downcast_ref::<DataFusionError>() {
                    Some(nested) => vetted(nested),
                    None => failed(),
                },
            };
        }
        ArrowError::MemoryError(_) | ArrowError::OffsetOverflowError(_) => return exhausted(),
        ArrowError::ParquetError(_) => {
            return Error::corrupt("profile_file", "a profile file could not be read")
                .help("run `assent doctor`");
        }
        ArrowError::NotYetImplemented(_)
        | ArrowError::SchemaError(_)
        | ArrowError::ComputeError(_)
        | ArrowError::CsvError(_)
        | ArrowError::JsonError(_)
        | ArrowError::AvroError(_)
        | ArrowError::IoError(..)
        | ArrowError::IpcError(_)
        | ArrowError::InvalidArgumentError(_)
        | ArrowError::CDataInterface(_)
        | ArrowError::DictionaryKeyOverflowError
        | ArrowError::RunEndIndexOverflowError => return failed(),
    };
    Error::invalid(code, text).help("guard the expression, for example with TRY_CAST or NULLIF")
}

fn failed() -> Error {
    Error::invalid("query_failed", "the query failed while it ran")
        .help("simplify it step by step; the cause is not shown, since it may hold data")
}

fn exhausted() -> Error {
    Error::new(
        ErrorKind::Exhausted,
        "memory_limit",
        "the query needs more memory than it may have",
    )
    .help("read fewer columns or aggregate earlier")
}

/// The innermost error and the place that was said on the way.
fn root_of(error: &DataFusionError) -> (&DataFusionError, Option<Place>) {
    match error {
        DataFusionError::Diagnostic(diagnostic, inner) => {
            let (root, place) = root_of(inner);
            let here = diagnostic
                .span
                .filter(|span| span.start.line > 0)
                .map(|span| Place {
                    line: span.start.line,
                    column: span.start.column,
                });
            (root, place.or(here))
        }
        DataFusionError::Context(_, inner) => root_of(inner),
        DataFusionError::Shared(inner) => root_of(inner),
        DataFusionError::Collection(errors) => match errors.first() {
            Some(first) => root_of(first),
            None => (error, None),
        },
        DataFusionError::External(inner) => match inner.downcast_ref::<DataFusionError>() {
            Some(nested) => root_of(nested),
            None => (error, None),
        },
        _ => (error, None),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().to_owned()
}

fn between_quotes(text: &str) -> &str {
    text.split('\'').nth(1).unwrap_or_default()
}

/// Splits "… at Line: 2, Column: 8" into the sentence and the place.
fn split_place(text: &str) -> (String, Option<Place>) {
    let Some(start) = text.rfind(" at Line: ") else {
        return (first_line(text), None);
    };
    let numbers: Vec<u64> = text[start..]
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect();
    let place = match numbers.as_slice() {
        [line, column, ..] if *line > 0 => Some(Place {
            line: *line,
            column: *column,
        }),
        _ => None,
    };
    (first_line(&text[..start]), place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn execution_errors_keep_their_class_and_lose_their_words() {
        let secret = "boom:13800000000";
        for (error, code) in [
            (
                DataFusionError::ArrowError(
                    Box::new(ArrowError::CastError(secret.into())),
                    Some(secret.into()),
                ),
                "cast_failed",
            ),
            (DataFusionError::Execution(secret.into()), "query_failed"),
            (DataFusionError::Plan(secret.into()), "query_failed"),
            (
                DataFusionError::Context(
                    secret.into(),
                    Box::new(DataFusionError::Internal(secret.into())),
                ),
                "query_failed",
            ),
            (
                DataFusionError::ResourcesExhausted(secret.into()),
                "memory_limit",
            ),
        ] {
            let vetted = vetted(&error);
            assert_eq!(vetted.code(), code);
            assert!(!vetted.to_string().contains("138"), "{vetted}");
        }
    }

    #[test]
    fn a_slip_of_the_pen_finds_its_column_among_those_there_are() {
        let columns = [
            "member_id",
            "city",
            "purchases_90d",
            "revenue_total",
            "tier",
        ];
        let near = |wrong: &str| nearest(wrong, columns.into_iter());
        for (wrong, meant) in [
            ("purchases_9d", "purchases_90d"),
            ("pruchases_90d", "purchases_90d"),
            ("City", "city"),
            ("ctiy", "city"),
            ("member", "member_id"),
            ("revenue", "revenue_total"),
        ] {
            assert_eq!(near(wrong), Some(meant), "{wrong}");
        }
        for wrong in ["phone", "x", "", "avoids_caffeine", "rev"] {
            assert_eq!(near(wrong), None, "{wrong}");
        }
        let field = Box::new(Column::from_name("citty"));
        let error = |valid_fields: Vec<Column>| {
            let field = field.clone();
            let unknown = SchemaError::FieldNotFound {
                field,
                valid_fields,
            };
            let visible = "allowed are members(city)";
            of_planning(
                &DataFusionError::SchemaError(Box::new(unknown), Box::new(None)),
                visible,
            )
        };
        assert_eq!(
            error(vec![Column::from_name("city")]).to_string(),
            "this purpose has no column citty: did you mean city? allowed are members(city)"
        );
        assert_eq!(error(Vec::new()).fix(), Some("allowed are members(city)"));
    }

    #[test]
    fn an_error_of_the_gate_comes_out_whole() {
        let own = Error::unavailable("barrier", "cannot be asked");
        let wrapped = DataFusionError::Context(
            "reading".into(),
            Box::new(DataFusionError::External(Box::new(own.clone()))),
        );
        assert_eq!(of_execution(&wrapped, Guards::ALL), own);
    }
}
