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

/// Entry of `cargo xtask test`: every test of the workspace, on real Kafka brokers unless told otherwise.
pub fn run_command(args: &[String]) -> Result<(), String> {
    let (mut with_kafka, mut faults) = (true, false);
    for arg in args {
        match arg.as_str() {
            "--no-kafka" => with_kafka = false,
            "--faults" => faults = true,
            unknown => {
                return Err(format!(
                    "no option `{unknown}`; there are --no-kafka and --faults"
                ));
            }
        }
    }
    prerequisites::check(with_kafka)?;
    let mut env = Vec::new();
    if faults {
        env.push(("ASSENT_FAULTS", "long".to_owned()));
    }
    let test = |env: &[_]| run(&cargo(), &["test", "--workspace", "--locked"], env);
    if !with_kafka {
        return test(&env);
    }
    let brokers = kafka::Brokers::up()?;
    let outcome = brokers.environment().and_then(|places| {
        env.extend(places);
        test(&env)
    });
    let stopped = brokers.down();
    outcome.and(stopped)
}
