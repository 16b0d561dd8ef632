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

/// Entry of `cargo xtask test`: every test of the workspace, on real servers unless told otherwise.
pub fn run_command(args: &[String]) -> Result<(), String> {
    let asked = Asked::parse(args)?;
    prerequisites::check(&asked.servers)?;
    let mut up: Vec<Box<dyn Running>> = Vec::new();
    let outcome = bring_up(&asked.servers, &mut up).and_then(|mut env| {
        if asked.faults {
            env.push(("ASSENT_FAULTS", "long".to_owned()));
        }
        let tests = ["test", "--workspace", "--locked", "--no-fail-fast"];
        run(&cargo(), &tests, &env)
    });
    // Also what came up before another did not.
    up.into_iter()
        .rev()
        .fold(outcome, |outcome, server| outcome.and(server.down()))
}

/// A kind of server that tests need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// Apache Kafka, one broker and three.
    Kafka,
    /// PostgreSQL.
    Postgres,
}

impl Server {
    const ALL: [Self; 2] = [Self::Kafka, Self::Postgres];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Postgres => "postgres",
        }
    }

    fn up(self) -> Result<Box<dyn Running>, String> {
        match self {
            Self::Kafka => Ok(Box::new(kafka::Brokers::up()?)),
            Self::Postgres => Ok(Box::new(postgres::Database::up()?)),
        }
    }
}

/// Servers of one kind, up for the length of a test run.
pub trait Running {
    /// Where the tests find them: names and values of environment variables.
    fn environment(&self) -> Result<Vec<(&'static str, String)>, String>;

    /// Stops those that this run started; those that were up before stay up.
    fn down(self: Box<Self>) -> Result<(), String>;
}

fn bring_up(
    servers: &[Server],
    up: &mut Vec<Box<dyn Running>>,
) -> Result<Vec<(&'static str, String)>, String> {
    let mut env = Vec::new();
    for server in servers {
        let running = server.up()?;
        let places = running.environment();
        up.push(running);
        env.extend(places?);
    }
    Ok(env)
}

#[derive(Debug, PartialEq, Eq)]
struct Asked {
    servers: Vec<Server>,
    faults: bool,
}

impl Asked {
    fn parse(args: &[String]) -> Result<Self, String> {
        let mut asked = Self {
            servers: Server::ALL.to_vec(),
            faults: false,
        };
        let mut args = args.iter().map(String::as_str);
        while let Some(arg) = args.next() {
            match arg {
                "--faults" => asked.faults = true,
                "--without" => {
                    let name = args.next().unwrap_or_default();
                    let known = Server::ALL.into_iter().find(|server| server.name() == name);
                    let left_out = known.ok_or_else(|| {
                        let names = Server::ALL.map(Server::name).join(", ");
                        format!("--without takes one of {names}, not `{name}`")
                    })?;
                    asked.servers.retain(|server| *server != left_out);
                }
                unknown => {
                    return Err(format!(
                        "no option `{unknown}`; there are --without NAME and --faults"
                    ));
                }
            }
        }
        Ok(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Asked, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Asked::parse(&words)
    }

    #[test]
    fn servers_are_left_out_by_name_and_no_other_way() {
        let all = parse("").unwrap();
        assert_eq!(all.servers, Server::ALL);
        let asked = parse("--without kafka --faults").unwrap();
        assert_eq!(asked.servers, [Server::Postgres]);
        assert!(asked.faults);
        for bad in ["--without", "--without redis", "--no-kafka"] {
            parse(bad).unwrap_err();
        }
    }
}
