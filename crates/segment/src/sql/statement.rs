//! What may be asked: exactly one query, made of `SELECT`, set operations, `VALUES` and common table expressions.
//!
//! This is an allow-list over the syntax tree, everywhere in the tree and not only at its root: DataFusion runs `SET`
//! and `CREATE TABLE` while it plans, and its own option switches let `EXPLAIN`, `SHOW` and table functions pass.

use std::ops::ControlFlow;

use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{self, Query, Select, SetExpr, TableFactor, Visit, Visitor};
use datafusion::sql::sqlparser::dialect::GenericDialect;

use super::{faults, size, tables};
use crate::error::{Error, Result};
use crate::guards::{Guard, Guards};

/// How deep a query may nest before it is refused.
const RECURSION_LIMIT: usize = 50;
/// How many tables one `FROM` may list: each makes the plan a level deeper.
const FROM_LIMIT: usize = 50;

/// Parses `sql` and returns its statement if it is a single query.
///
/// # Errors
/// `Invalid`, naming the kind of statement found and what to use instead, or the place of a syntax error.
pub(crate) fn parse_query(sql: &str, guards: Guards) -> Result<Statement> {
    size::judge(sql)?;
    let mut statements = DFParserBuilder::new(sql)
        .with_dialect(&GenericDialect {})
        .with_recursion_limit(RECURSION_LIMIT)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| faults::of_parsing(&error))?;
    let Some(statement) = statements.pop_front() else {
        return Err(
            Error::invalid("query_empty", "the query is empty").help("write one SELECT statement")
        );
    };
    if !statements.is_empty() {
        return Err(Error::invalid(
            "several_statements",
            "only one statement at a time is allowed",
        )
        .help("send each SELECT on its own"));
    }
    judge(&statement, guards)?;
    Ok(statement)
}

fn judge(statement: &Statement, guards: Guards) -> Result<()> {
    let shut = match statement {
        Statement::Explain(_) => guards.stand(Guard::Explain),
        Statement::Statement(_)
        | Statement::CreateExternalTable(_)
        | Statement::CopyTo(_)
        | Statement::Reset(_) => guards.stand(Guard::Statements),
    };
    if !shut {
        return Ok(());
    }
    match statement {
        Statement::Statement(inner) => match inner.as_ref() {
            ast::Statement::Query(query) => {
                let judged = match query.visit(&mut Judge) {
                    ControlFlow::Continue(()) => tables::judge(query),
                    refused @ ControlFlow::Break(_) => refused,
                };
                match judged {
                    ControlFlow::Continue(()) => Ok(()),
                    ControlFlow::Break(error) => Err(error),
                }
            }
            other => Err(not_a_query(other)),
        },
        Statement::CreateExternalTable(_) => Err(refused("CREATE EXTERNAL TABLE")),
        Statement::CopyTo(_) => Err(refused("COPY")),
        Statement::Explain(_) => Err(refused("EXPLAIN")),
        Statement::Reset(_) => Err(refused("RESET")),
    }
}

/// The first word of a statement that is no query. The text is the user's own.
fn not_a_query(statement: &ast::Statement) -> Error {
    let text = statement.to_string();
    let word: String = text
        .chars()
        .take_while(char::is_ascii_alphabetic)
        .collect::<String>()
        .to_ascii_uppercase();
    refused(&word)
}

/// The refusal of a kind of statement, with what to use instead.
fn refused(kind: &str) -> Error {
    let instead = match kind {
        "COPY" | "UNLOAD" | "EXPORT" => {
            "use `assent segment export` or `--format csv|parquet` to write results"
        }
        "EXPLAIN" | "ANALYZE" => "use `assent explain --purpose P --sql SQL`",
        "SHOW" | "DESCRIBE" | "DESC" => {
            "see a table's columns with `SELECT * FROM members LIMIT 0`"
        }
        "SET" | "RESET" | "USE" | "PRAGMA" => {
            "purpose, channel and time are given when the session is opened"
        }
        "CREATE" | "ALTER" | "DROP" | "TRUNCATE" => {
            "definitions are changed with `assent plan` and `assent apply`"
        }
        "INSERT" | "UPDATE" | "DELETE" | "MERGE" => {
            "data enters through intake only (`assent import`, POST /v1/batch)"
        }
        "PREPARE" | "EXECUTE" | "DEALLOCATE" => "send the SELECT itself",
        _ => "write one SELECT statement",
    };
    Error::invalid(
        "not_a_query",
        format!("a lawful session only reads: {kind} is not allowed"),
    )
    .help(instead)
}

/// Walks every query, select, table factor and nested statement.
struct Judge;

impl Visitor for Judge {
    type Break = Error;

    fn pre_visit_statement(&mut self, statement: &ast::Statement) -> ControlFlow<Error> {
        match statement {
            ast::Statement::Query(_) => ControlFlow::Continue(()),
            other => ControlFlow::Break(not_a_query(other)),
        }
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        let unwanted = if !query.locks.is_empty() {
            Some("FOR UPDATE")
        } else if query.for_clause.is_some() {
            Some("FOR XML or FOR JSON")
        } else if query.settings.is_some() {
            Some("SETTINGS")
        } else if query.format_clause.is_some() {
            Some("FORMAT")
        } else if !query.pipe_operators.is_empty() {
            Some("a pipe operator")
        } else {
            None
        };
        match unwanted {
            Some(clause) => ControlFlow::Break(clause_refused(clause)),
            None => body(&query.body),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Error> {
        if select.into.is_some() {
            return ControlFlow::Break(
                clause_refused("SELECT INTO").help("use `assent segment export` to keep a result"),
            );
        }
        if select.from.len() > FROM_LIMIT {
            return ControlFlow::Break(size::too_complex(format!(
                "a FROM lists more than {FROM_LIMIT} tables"
            )));
        }
        if !select.lateral_views.is_empty() {
            return ControlFlow::Break(clause_refused("LATERAL VIEW"));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Error> {
        match factor {
            TableFactor::Table {
                args: None,
                version: None,
                json_path: None,
                ..
            }
            | TableFactor::Derived { .. }
            | TableFactor::NestedJoin { .. }
            | TableFactor::UNNEST { .. } => ControlFlow::Continue(()),
            TableFactor::Table { name, args, .. } => ControlFlow::Break(if args.is_some() {
                table_function(&name.to_string())
            } else {
                clause_refused("a table version or path")
            }),
            TableFactor::Function { name, .. } => {
                ControlFlow::Break(table_function(&name.to_string()))
            }
            TableFactor::TableFunction { .. } => ControlFlow::Break(table_function("TABLE(…)")),
            TableFactor::JsonTable { .. } => ControlFlow::Break(table_function("JSON_TABLE")),
            TableFactor::OpenJsonTable { .. } => ControlFlow::Break(table_function("OPENJSON")),
            TableFactor::Pivot { .. } => ControlFlow::Break(clause_refused("PIVOT")),
            TableFactor::Unpivot { .. } => ControlFlow::Break(clause_refused("UNPIVOT")),
            TableFactor::MatchRecognize { .. } => {
                ControlFlow::Break(clause_refused("MATCH_RECOGNIZE"))
            }
            TableFactor::XmlTable { .. } => ControlFlow::Break(table_function("XMLTABLE")),
            TableFactor::SemanticView { .. } => ControlFlow::Break(table_function("SEMANTIC_VIEW")),
        }
    }
}

/// Set expressions are not visited one by one, so they are walked here.
fn body(expression: &SetExpr) -> ControlFlow<Error> {
    match expression {
        SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => ControlFlow::Continue(()),
        SetExpr::SetOperation { left, right, .. } => {
            body(left)?;
            body(right)
        }
        SetExpr::Insert(_) => ControlFlow::Break(refused("INSERT")),
        SetExpr::Update(_) => ControlFlow::Break(refused("UPDATE")),
        SetExpr::Delete(_) => ControlFlow::Break(refused("DELETE")),
        SetExpr::Merge(_) => ControlFlow::Break(refused("MERGE")),
        SetExpr::Table(_) => {
            ControlFlow::Break(clause_refused("TABLE").help("write SELECT * FROM …"))
        }
    }
}

fn clause_refused(clause: &str) -> Error {
    Error::invalid(
        "clause_not_allowed",
        format!("{clause} is not allowed in a lawful query"),
    )
}

fn table_function(name: &str) -> Error {
    Error::invalid(
        "table_function",
        format!("table functions are not allowed: {name}"),
    )
    .help(format!(
        "a query reads only the tables {}",
        crate::gate::table_names()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(sql: &str) -> &'static str {
        parse_query(sql, Guards::ALL).expect_err(sql).code()
    }

    #[test]
    fn queries_pass() {
        for sql in [
            "SELECT 1",
            "SELECT * FROM members WHERE x IN (SELECT y FROM events);",
            "WITH a AS (SELECT 1 AS x) SELECT * FROM a UNION ALL SELECT 2 ORDER BY 1 LIMIT 3",
            "VALUES (1), (2)",
            "SELECT * FROM (members JOIN events ON true), UNNEST([1, 2])",
        ] {
            parse_query(sql, Guards::ALL).expect(sql);
        }
    }

    #[test]
    fn everything_else_is_refused_by_kind() {
        for (sql, word) in [
            ("COPY members TO '/tmp/x'", "COPY"),
            ("EXPLAIN SELECT 1", "EXPLAIN"),
            ("EXPLAIN ANALYZE SELECT 1", "EXPLAIN"),
            ("SET a = 1", "SET"),
            ("RESET a", "RESET"),
            ("SHOW TABLES", "SHOW"),
            ("DESCRIBE members", "DESCRIBE"),
            ("CREATE VIEW v AS SELECT 1", "CREATE"),
            (
                "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '/x'",
                "CREATE",
            ),
            ("DROP TABLE members", "DROP"),
            ("INSERT INTO members VALUES (1)", "INSERT"),
            ("UPDATE members SET a = 1", "UPDATE"),
            ("DELETE FROM members", "DELETE"),
            ("PREPARE p AS SELECT 1", "PREPARE"),
            ("EXECUTE p", "EXECUTE"),
            (
                "WITH x AS (INSERT INTO members VALUES (1)) SELECT 1",
                "INSERT",
            ),
        ] {
            let error = parse_query(sql, Guards::ALL).expect_err(sql);
            assert!(
                error.message().contains(word) || error.code() == "syntax",
                "{sql}: {error}"
            );
            assert_ne!(error.code(), "syntax", "{sql}: {error}");
        }
    }

    #[test]
    fn side_doors_within_a_query_are_shut() {
        assert_eq!(code("SELECT * INTO t FROM members"), "clause_not_allowed");
        assert_eq!(code("SELECT * FROM read_parquet('/x')"), "table_function");
        assert_eq!(
            code("SELECT 1 FROM members WHERE EXISTS (SELECT 1 FROM generate_series(1, 3))"),
            "table_function"
        );
        assert_eq!(code("SELECT 1; SELECT 2"), "several_statements");
        assert_eq!(code(""), "query_empty");
        assert_eq!(
            code("SELECT 1 FROM members FOR UPDATE"),
            "clause_not_allowed"
        );
    }

    #[test]
    fn a_syntax_error_has_its_place() {
        let error =
            parse_query("SELECT 1\n  FROM members WHERE )", Guards::ALL).expect_err("syntax");
        assert_eq!(error.place().map(|place| place.line), Some(2), "{error}");
    }
}
