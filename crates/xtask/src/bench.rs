//! `cargo xtask bench`: builds the benchmark programme once, in release, and runs it.

use crate::run::{cargo, run, target};

/// Runs the benchmarks named in `args`, or all of them.
pub fn run_command(args: &[String]) -> Result<(), String> {
    // The whole workspace is selected so that dependencies have the features they have everywhere else: with others,
    // DataFusion would be compiled again.
    let build = [
        "build",
        "--release",
        "--locked",
        "--workspace",
        "--bin",
        "bench",
    ];
    run(&cargo(), &build, &[])?;
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let bench = target().join("release").join("bench");
    run(&bench.to_string_lossy(), &args, &[])
}
