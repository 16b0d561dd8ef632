//! Statements, names and functions that lead around the gate, each shown to work on a plain engine.

mod golden;
mod statements;

use datafusion::execution::config::SessionConfig;
use datafusion::prelude::SessionContext;

use super::oracle::{self, ungated};
use super::world::world;

/// Statements that a plain engine runs and a lawful session refuses, with the code of the refusal.
const STATEMENTS: &[(&str, &str)] = &[
    ("EXPLAIN SELECT city FROM members", "not_a_query"),
    ("EXPLAIN ANALYZE SELECT city FROM members", "not_a_query"),
    ("EXPLAIN VERBOSE SELECT city FROM members", "not_a_query"),
    ("DESCRIBE members", "not_a_query"),
    ("SHOW TABLES", "not_a_query"),
    ("SHOW ALL", "not_a_query"),
    ("SET datafusion.execution.batch_size = 1", "not_a_query"),
    ("RESET datafusion.execution.batch_size", "not_a_query"),
    (
        "CREATE TABLE stolen AS SELECT * FROM members",
        "not_a_query",
    ),
    ("CREATE VIEW seen AS SELECT * FROM members", "not_a_query"),
    (
        "CREATE OR REPLACE VIEW members AS SELECT 1 AS city",
        "not_a_query",
    ),
    ("CREATE SCHEMA own", "not_a_query"),
    ("INSERT INTO members SELECT * FROM members", "not_a_query"),
    ("PREPARE p AS SELECT city FROM members", "not_a_query"),
    (
        "SELECT city INTO stolen2 FROM members",
        "clause_not_allowed",
    ),
    ("SELECT * FROM information_schema.tables", "unknown_table"),
    ("SELECT * FROM information_schema.columns", "unknown_table"),
    (
        "SELECT * FROM information_schema.df_settings",
        "unknown_table",
    ),
    ("SELECT * FROM generate_series(1, 3)", "table_function"),
    ("SELECT * FROM range(1, 3)", "table_function"),
    ("SELECT version()", "function_not_allowed"),
    // Made of signs, without a look at what is registered.
    (
        "SELECT MAP {'city': city} FROM members",
        "function_not_allowed",
    ),
    (
        "SELECT arrow_typeof(city) FROM members",
        "function_not_allowed",
    ),
    (
        "SELECT arrow_cast(city, 'Utf8View') FROM members",
        "function_not_allowed",
    ),
    ("DROP TABLE events", "not_a_query"),
];

#[test]
fn every_statement_but_a_query_is_refused() {
    let world = world();
    for (sql, code) in STATEMENTS {
        let open = open_engine();
        oracle::answer(world, &open, sql)
            .unwrap_or_else(|error| panic!("control of {sql}: {error}"));
        let error = world.ask("marketing", sql).expect_err(sql);
        assert_eq!(error.code(), *code, "{sql}: {error}");
    }
}

/// A plain engine as it is often set up: information schema and paths as tables.
fn open_engine() -> SessionContext {
    let world = world();
    let raw = ungated(world);
    let mut config = SessionConfig::new().with_information_schema(true);
    config.options_mut().sql_parser.map_string_types_to_utf8view = false;
    let open = SessionContext::new_with_config(config).enable_url_table();
    for table in ["members", "events"] {
        let provider = world
            .runtime
            .block_on(raw.table_provider(table))
            .expect("a table");
        open.register_table(table, provider).expect("registered");
    }
    open
}

#[test]
fn a_copy_writes_no_file() {
    let world = world();
    let path = world.house.dir.path().join("stolen.csv");
    let sql = format!(
        "COPY (SELECT city FROM members) TO '{}' STORED AS CSV",
        path.display()
    );
    let error = world.ask("marketing", &sql).expect_err("refused");
    assert_eq!(error.code(), "not_a_query");
    assert!(!path.exists());
    oracle::answer(world, &open_engine(), &sql).expect("control");
    assert!(path.exists(), "control");
}

#[test]
fn a_path_is_no_table() {
    let world = world();
    let file = world
        .house
        .dir
        .path()
        .join("profiles")
        .read_dir()
        .expect("profiles")
        .flatten()
        .flat_map(|entry| walk(&entry.path()))
        .find(|path| {
            path.extension()
                .is_some_and(|extension| extension == "parquet")
        })
        .expect("a profile file");
    let sql = format!("SELECT * FROM '{}'", file.display());
    oracle::answer(world, &open_engine(), &sql).expect("control");
    for sql in [sql, format!("SELECT * FROM \"{}\"", file.display())] {
        let error = world.ask("marketing", &sql).expect_err("refused");
        assert!(
            ["unknown_table", "syntax"].contains(&error.code()),
            "{error}"
        );
    }
    let external = format!(
        "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '{}'",
        file.display()
    );
    oracle::answer(world, &open_engine(), &external).expect("control");
    let error = world.ask("marketing", &external).expect_err("refused");
    assert_eq!(error.code(), "not_a_query");
}

fn walk(path: &std::path::Path) -> Vec<std::path::PathBuf> {
    if path.is_dir() {
        path.read_dir()
            .expect("a directory")
            .flatten()
            .flat_map(|entry| walk(&entry.path()))
            .collect()
    } else {
        vec![path.to_owned()]
    }
}

#[test]
fn functions_of_the_file_are_not_there() {
    let world = world();
    let known: Vec<String> =
        datafusion::execution::SessionStateDefaults::default_scalar_functions()
            .iter()
            .map(|function| function.name().to_owned())
            .collect();
    for name in [
        "file_row_index",
        "input_file_name",
        "version",
        "arrow_metadata",
    ] {
        assert!(
            known.iter().any(|known| known == name),
            "control: {name} exists"
        );
        let error = world
            .ask("marketing", &format!("SELECT {name}() FROM members"))
            .expect_err(name);
        assert_eq!(error.code(), "function_not_allowed", "{error}");
    }
}

/// A prepared statement cannot be left behind for another query to run.
#[test]
fn nothing_is_left_behind() {
    let world = world();
    let session = world.open("marketing");
    for sql in [
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "CREATE VIEW v AS SELECT 1",
        "SELECT * FROM v",
    ] {
        world.runtime.block_on(session.query(sql)).expect_err(sql);
    }
}
