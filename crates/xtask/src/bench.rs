//! `cargo xtask bench`: builds the benchmark programme once, in release, and runs it.

use crate::cluster;
use crate::python;
use crate::run::{cargo, run, target};

/// The benchmark of a whole deployment, which has to be started for it.
const DEPLOYED: &str = "kafka";
/// What follows it on the same servers, and starts processes for itself.
const ON_SERVERS: &str = "shards";

/// What DuckDB's environment holds, from the root: it answers beside the gate.
const DUCKDB: &str = "tests/bench/duckdb/requirements.txt";

/// Runs the benchmarks named in `args`, or all of those that need nothing but their own process.
pub fn run_command(args: &[String]) -> Result<(), String> {
    // The binary's package is selected, too, so that dependencies have the features they have in its own release build:
    // with those of the whole workspace, in which our chores ask serde_json for one more, DataFusion would be compiled again.
    let build = [
        "build",
        "--release",
        "--locked",
        "--package=assent",
        "--package=assent-tests",
        "--bin=bench",
        "--bin=assent",
    ];
    let (deployed, alone): (Vec<&str>, Vec<&str>) = args
        .iter()
        .map(String::as_str)
        .partition(|name| *name == DEPLOYED);
    run(&cargo(), &build, &[])?;
    let bench = target().join("release").join("bench");
    let bench = bench.to_string_lossy();
    if deployed.is_empty() || !alone.is_empty() {
        let mut env = Vec::new();
        if alone.is_empty() || alone.contains(&"gate") {
            let directory = target().join("duckdb");
            python::environment(&directory, DUCKDB)?;
            let interpreter = directory.join("bin/python");
            env.push((
                "ASSENT_BENCH_DUCKDB",
                interpreter.to_string_lossy().into_owned(),
            ));
        }
        run(&bench, &alone, &env)?;
    }
    if !deployed.is_empty() {
        let part = |name: &'static str| {
            let bench = bench.clone();
            move |told: &[(&'static str, String)]| run(&bench, &[name], told)
        };
        cluster::beside_release(part(DEPLOYED), part(ON_SERVERS))?;
    }
    Ok(())
}
