//! The project's own chores: `cargo xtask <command>`.
//!
//! Owns what is checked and run around the product: formatting, lints, the direction of the crate
//! arrows, dependency licences, a real Kafka, a real PostgreSQL and an object store for tests, the tests, the benchmarks. It refuses to
//! depend on any product crate, so it builds in seconds and can say what is missing before a long
//! build starts.

mod bench;
mod cluster;
mod fuzz;
mod kafka;
mod layers;
mod licences;
mod port;
mod postgres;
mod prerequisites;
mod process;
mod python;
mod run;
mod s3;
mod test;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask <command>

  test                 check what is needed, bring real servers up, run every test, take them down
    --without NAME     leave the tests on kafka, postgres, python or s3 out (they say so); repeats
    --faults           the tests that break servers go on for many rounds instead of one
  check                format, lints, crate arrows, dependency licences
  layers               crate arrows point down only, and no crate knows what it must not
  licences             every dependency's licence is on the allow-list
  kafka COMMAND        a real Apache Kafka on 127.0.0.1 (see docs/kafka-for-tests.md)
    up|down|reset|status          start it empty, stop it, both, say whether it answers
    kill|pause|resume|start N     kill -9, SIGSTOP, SIGCONT, start again broker N
    --brokers 3        three brokers that hold three copies, instead of one
    --secure           a further listener that asks for TLS and SASL
    --port N           where the first broker listens (19092; three: 19096)
  postgres up|down|restart|status  a real PostgreSQL on 127.0.0.1 (see docs/postgres-for-tests.md)
  python               Confluent's Python client in target/python, with which tests read and write the log
  s3 up|down|status    an object store on 127.0.0.1 (see docs/s3-for-tests.md)
  cluster [up|test|down]        the shape of production as processes of this machine, and the end-to-end test on it
  fuzz [MINUTES] [SEED]         generated queries against a plain engine over the permitted rows, for an hour if untold
  fuzz workers [MINUTES] [SEED] the same with three workers that help with every query
  fuzz barrier [TRIALS]         withdrawals each asked for at once, while others decide; 100,000 if untold
  bench [NAME]         the figures of docs/benchmarks.md, as ratios measured in one run
  bench kafka          those of a whole deployment on three brokers, which it starts
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", &[][..]),
    };
    let outcome = match command {
        "test" => test::run_command(rest),
        "check" => test::check(),
        "layers" => layers::check(),
        "licences" => licences::check(),
        "kafka" => kafka::run(rest),
        "postgres" => postgres::run(rest),
        "python" => python::run_command(rest),
        "s3" => s3::run(rest),
        "cluster" => cluster::run_command(rest),
        "fuzz" => fuzz::run_command(rest),
        "bench" => bench::run_command(rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        unknown => {
            eprintln!("xtask: no command `{unknown}`\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("xtask {command}: {reason}");
            ExitCode::FAILURE
        }
    }
}
