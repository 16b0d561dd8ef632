//! `cargo xtask test` and `cargo xtask check`.

use crate::run::{cargo, run};
use crate::{kafka, layers, licences, prerequisites};

/// Format, lints, crate arrows, licences: everything that reads the code without running it.
pub fn check() -> Result<(), String> {
    layers::check()?;
    licences::check()?;
    let cargo = cargo();
    run(&cargo, &["fmt", "--all", "--check"], &[])?;
    run(
        &cargo,
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ],
        &[],
    )
}

/// Every test of the workspace, on a real Kafka unless told otherwise.
pub fn run_tests(env: &[(&str, String)]) -> Result<(), String> {
    run(&cargo(), &["test", "--workspace", "--locked"], env)
}

/// Entry of `cargo xtask test`.
pub fn run_command(args: &[String]) -> Result<(), String> {
    let mut with_kafka = true;
    for arg in args {
        match arg.as_str() {
            "--no-kafka" => with_kafka = false,
            unknown => return Err(format!("no option `{unknown}`; there is --no-kafka")),
        }
    }
    prerequisites::check(with_kafka)?;
    if !with_kafka {
        return run_tests(&[]);
    }
    let broker = kafka::Broker::up()?;
    let outcome = run_tests(&[("ASSENT_KAFKA", broker.address())]);
    let stopped = broker.down();
    outcome.and(stopped)
}
