//! DuckDB beside the gate: the same questions about the same files, with the lawful found by a join.
//!
//! It runs in a process of its own, which `cargo xtask bench gate` says how to start, and answers in turn with the gate.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::measure::Run;

/// The interpreter that has DuckDB.
const INTERPRETER: &str = "ASSENT_BENCH_DUCKDB";

/// How a platform without a gate finds the lawful.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lawful {
    /// A semi-join with a table of whoever is granted now.
    Current,
    /// A semi-join with the latest decision of each, worked out from the list of decisions.
    Latest,
}

/// A running DuckDB.
pub(crate) struct DuckDb {
    process: Child,
    statements: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl DuckDb {
    /// Starts one with so many threads; `None` when nobody said how.
    pub(crate) fn start(threads: usize) -> Option<Self> {
        let interpreter = std::env::var_os(INTERPRETER)?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/duckdb/run.py");
        let mut process = Command::new(interpreter)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("DuckDB starts");
        let statements = process.stdin.take().expect("a pipe");
        let answers = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut duckdb = Self {
            process,
            statements,
            answers,
        };
        for statement in [
            &format!("SET threads = {threads}"),
            "SET TimeZone = 'UTC'",
            // Reads a file once for each range of keys, which costs these questions several times as much.
            "SET disabled_optimizers = 'partitioned_execution'",
        ] {
            duckdb.ask(statement);
        }
        Some(duckdb)
    }

    /// Shows files as tables of these names.
    pub(crate) fn show(&mut self, files: &[(String, PathBuf)]) {
        for (table, file) in files {
            let file = file.to_str().expect("UTF-8");
            self.ask(&format!(
                "CREATE OR REPLACE VIEW {table} AS SELECT * FROM read_parquet('{file}')"
            ));
        }
    }

    /// Has the tables hold only the lawful for a purpose, found in that way.
    pub(crate) fn gate(&mut self, tables: &[&str], purpose: &str, lawful: Lawful) {
        let granted = match lawful {
            Lawful::Current => {
                format!("SELECT member_id FROM granted WHERE purpose = '{purpose}'")
            }
            Lawful::Latest => format!(
                "SELECT member_id FROM decisions WHERE purpose = '{purpose}' \
                 GROUP BY member_id HAVING arg_max(granted, decided_at)"
            ),
        };
        for table in tables {
            self.ask(&format!(
                "CREATE OR REPLACE VIEW {table} AS SELECT * FROM all_{table} WHERE member_id IN ({granted})"
            ));
        }
    }

    /// Runs a statement, all of it; its first cell.
    pub(crate) fn ask(&mut self, statement: &str) -> (Run, String) {
        writeln!(self.statements, "{}", json!(statement)).expect("it listens");
        self.statements.flush().expect("it listens");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it answers");
        let told: Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("DuckDB failed at: {statement}"));
        let seconds = |name: &str| told[name].as_f64().expect("seconds");
        let run = Run {
            wall: seconds("wall"),
            cpu: seconds("cpu"),
        };
        (run, told["first"].as_str().unwrap_or_default().to_owned())
    }
}

impl Drop for DuckDb {
    fn drop(&mut self) {
        // It ends with its input; if not, it is ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
