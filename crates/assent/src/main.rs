//! `assent`: the binary. Owns configuration, wiring and the command line; everything else is in the rooms below.

mod cli;
mod clock;
mod commands;
mod connection;
mod control;
mod demo;
mod failure;
mod import;
mod node;
mod serving;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command};
use crate::failure::Failure;

fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_env("ASSENT_LOG").unwrap_or_else(|_| EnvFilter::new("warn")),
        )
        .with_writer(std::io::stderr)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("assent: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("assent: {failure}");
            ExitCode::from(failure.exit as u8)
        }
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let at = commands::At {
        data_dir: cli.data_dir.unwrap_or_else(|| match cli.command {
            Command::Demo(_) => "assent-demo".into(),
            _ => "assent-data".into(),
        }),
        token: cli.token,
    };
    match cli.command {
        Command::Demo(demo) => demo::run(at.data_dir, demo).await,
        Command::Serve(serve) => serving::run(&at.data_dir, serve.port).await,
        Command::Plan(definitions) => commands::definitions::plan(at, &definitions.dir).await,
        Command::Apply(definitions) => commands::definitions::apply(at, &definitions.dir).await,
        Command::Import(import) => commands::import::run(at, import).await,
        Command::Project(project) => commands::project::run(at, project.rebuild).await,
        Command::Query(query) => commands::query::run(at, query).await,
        Command::Segment(segment) => commands::segment::run(at, segment).await,
        Command::Explain(explain) => commands::explain::run(at, explain).await,
        Command::Principal(principal) => commands::principal::run(at, principal).await,
        Command::WriteKey => commands::write_key::run(),
    }
}
