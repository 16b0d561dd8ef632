//! `cargo xtask test` and `cargo xtask check`.

use crate::run::{cargo, run};
use crate::{kafka, layers, licences, postgres, prerequisites};

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

/// Every test of the workspace, with what the tests on real servers read from the environment.
pub fn run_tests(env: &[(&str, String)]) -> Result<(), String> {
    run(&cargo(), &["test", "--workspace", "--locked"], env)
}

/// Entry of `cargo xtask test`.
pub fn run_command(args: &[String]) -> Result<(), String> {
    let (mut with_kafka, mut with_postgres) = (true, true);
    for arg in args {
        match arg.as_str() {
            "--no-kafka" => with_kafka = false,
            "--no-postgres" => with_postgres = false,
            unknown => {
                return Err(format!(
                    "no option `{unknown}`; there are --no-kafka and --no-postgres"
                ));
            }
        }
    }
    prerequisites::check(with_kafka, with_postgres)?;
    let mut env = Vec::new();
    let broker = with_kafka.then(kafka::Broker::up).transpose()?;
    if let Some(broker) = &broker {
        env.push(("ASSENT_KAFKA", broker.address()));
    }
    let database = with_postgres.then(postgres::Database::up).transpose();
    let outcome = database.and_then(|database| {
        if let Some(database) = &database {
            env.extend(database.environment());
        }
        let outcome = run_tests(&env);
        outcome.and(database.map_or(Ok(()), postgres::Database::down))
    });
    let stopped = broker.map_or(Ok(()), kafka::Broker::down);
    outcome.and(stopped)
}
