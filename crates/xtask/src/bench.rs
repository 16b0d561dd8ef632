//! `cargo xtask bench`: builds the benchmark programme once, in release, and runs it.

use crate::run::{cargo, run, target};

/// Runs the benchmarks named in `args`, or all of them.
pub fn run_command(args: &[String]) -> Result<(), String> {
    // The binary is selected, too, so that dependencies have the features they have in its own release build: with
    // those of the whole workspace, in which our chores ask serde_json for one more, DataFusion would be compiled again.
    let build = [
        "build",
        "--release",
        "--locked",
        "--package=assent",
        "--package=assent-tests",
        "--bin=bench",
    ];
    run(&cargo(), &build, &[])?;
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let bench = target().join("release").join("bench");
    run(&bench.to_string_lossy(), &args, &[])
}
