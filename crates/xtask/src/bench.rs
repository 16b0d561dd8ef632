//! `cargo xtask bench`: builds the benchmark programme once, in release, and runs it.

use crate::run::{cargo, run};

/// Runs the benchmarks named in `args`, or all of them.
pub fn run_command(args: &[String]) -> Result<(), String> {
    let mut command = vec![
        "run",
        "--release",
        "--locked",
        "--package",
        "assent-tests",
        "--bin",
        "bench",
        "--",
    ];
    command.extend(args.iter().map(String::as_str));
    run(&cargo(), &command, &[])
}
