//! `assent`: the binary. Owns configuration, wiring and the command line; everything else is in the rooms below.

mod cli;
mod clock;
mod commands;
mod config;
mod connection;
mod control;
mod demo;
mod examine;
mod failure;
mod follower;
mod import;
mod knowledge;
mod metrics;
mod node;
mod observed;
mod projection;
mod readiness;
mod receipts;
mod serving;
mod stores;
mod telemetry;
mod tracing_context;
mod turns;

use std::process::ExitCode;

use assent_consent::Day;
use clap::Parser;

use crate::cli::{Cli, Command};
use crate::commands::At;
use crate::config::{Config, RawConfig, Sources};
use crate::failure::Failure;
use crate::telemetry::Telemetry;

fn main() -> ExitCode {
    let cli = Cli::parse();
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
    let sources = sources(&cli);
    let today = match &cli.today {
        Some(text) => {
            let day = Day::parse(text.trim());
            Some(day.map_err(|error| Failure::usage(format!("--today {text}: {error}")))?)
        }
        None => None,
    };
    let Cli { token, command, .. } = cli;
    // These say what is wrong with the settings, so they do not need them to be right.
    match command {
        Command::WriteKey => commands::write_key::run(),
        Command::Config(cli::Config::Default) => commands::config::default_file(),
        Command::Config(cli::Config::Show { format }) => {
            commands::config::show(&RawConfig::layered(&sources)?, format)
        }
        Command::Doctor(doctor) => commands::doctor::run(&sources, doctor.format).await,
        command => {
            let config = Config {
                today,
                ..Config::load(&sources)?
            };
            let serves = matches!(command, Command::Serve(_));
            let telemetry = Telemetry::start(&config, serves)?;
            let outcome = perform(command, config, token).await;
            telemetry.end().await;
            outcome
        }
    }
}

async fn perform(command: Command, config: Config, token: Option<String>) -> Result<(), Failure> {
    let at = At { config, token };
    match command {
        Command::Demo(demo) => demo::run(at.config, demo).await,
        Command::Serve(_) => serving::run(at.config).await,
        Command::Plan(definitions) => commands::definitions::plan(at, &definitions.dir).await,
        Command::Apply(definitions) => commands::definitions::apply(at, &definitions.dir).await,
        Command::Import(import) => commands::import::run(at, import).await,
        Command::Project(project) => commands::project::run(at, project.rebuild).await,
        Command::Query(query) => commands::query::run(at, query).await,
        Command::Segment(segment) => commands::segment::run(at, segment).await,
        Command::Explain(explain) => commands::explain::run(at, explain).await,
        Command::Principal(principal) => commands::principal::run(at, principal).await,
        Command::Ready => commands::ready::run(&at.config).await,
        Command::Topics(topics) => commands::topics::run(&at.config, topics.create).await,
        // Done before there was a configuration.
        Command::WriteKey | Command::Config(_) | Command::Doctor(_) => Ok(()),
    }
}

/// Where the settings come from: the file, the environment, and what this command was given.
fn sources(cli: &Cli) -> Sources {
    let mut sources = Sources {
        file: cli.config.clone(),
        environment: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
        ..Sources::default()
    };
    let mut flag = |key, name, value: Option<String>| {
        sources.flags.extend(value.map(|value| (key, name, value)));
    };
    let data_dir = cli.data_dir.as_ref();
    flag(
        "data_dir",
        "--data-dir",
        data_dir.map(|dir| dir.to_string_lossy().into_owned()),
    );
    match &cli.command {
        Command::Serve(serve) => {
            flag(
                "server.port",
                "--port",
                serve.port.map(|port| port.to_string()),
            );
            let roles = (!serve.roles.is_empty()).then(|| serve.roles.join(","));
            flag("roles", "--roles", roles);
        }
        Command::Demo(demo) => {
            flag(
                "server.port",
                "--port",
                demo.port.map(|port| port.to_string()),
            );
            sources.presets.push(("data_dir", "assent-demo"));
        }
        _ => {}
    }
    sources
}
