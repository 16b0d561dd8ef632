//! `cargo xtask test` and `cargo xtask check`.

use crate::run::{cargo, run};
use crate::{kafka, layers, licences, postgres, prerequisites, python, s3};

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
    prerequisites::check(&asked.companions)?;
    let mut up: Vec<Box<dyn Running>> = Vec::new();
    let outcome = bring_up(&asked.companions, &mut up).and_then(|mut env| {
        if asked.faults {
            env.push(("ASSENT_FAULTS", "long".to_owned()));
        }
        let tests = ["test", "--workspace", "--locked", "--no-fail-fast"];
        run(&cargo(), &tests, &env)
    });
    // Also what came up before another did not.
    up.into_iter()
        .rev()
        .fold(outcome, |outcome, companion| outcome.and(companion.down()))
}

/// What tests need beside the workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Companion {
    /// Apache Kafka, one broker and three.
    Kafka,
    /// PostgreSQL.
    Postgres,
    /// Confluent's Python client, which reads and writes the log on the real Kafka.
    Python,
    /// An object store that speaks S3.
    S3,
}

impl Companion {
    const ALL: [Self; 4] = [Self::Kafka, Self::Postgres, Self::Python, Self::S3];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Postgres => "postgres",
            Self::Python => "python",
            Self::S3 => "s3",
        }
    }

    fn up(self) -> Result<Box<dyn Running>, String> {
        match self {
            Self::Kafka => Ok(Box::new(kafka::Brokers::up()?)),
            Self::Postgres => Ok(Box::new(postgres::Database::up()?)),
            Self::Python => Ok(Box::new(python::Python::up()?)),
            Self::S3 => Ok(Box::new(s3::Bucket::up()?)),
        }
    }
}

/// A companion, up for the length of a test run.
pub trait Running {
    /// Where the tests find them: names and values of environment variables.
    fn environment(&self) -> Result<Vec<(&'static str, String)>, String>;

    /// Stops the servers that this run started; those that were up before stay up.
    fn down(self: Box<Self>) -> Result<(), String>;
}

fn bring_up(
    companions: &[Companion],
    up: &mut Vec<Box<dyn Running>>,
) -> Result<Vec<(&'static str, String)>, String> {
    let mut env = Vec::new();
    for companion in companions {
        let running = companion.up()?;
        let places = running.environment();
        up.push(running);
        env.extend(places?);
    }
    Ok(env)
}

#[derive(Debug, PartialEq, Eq)]
struct Asked {
    companions: Vec<Companion>,
    faults: bool,
}

impl Asked {
    fn parse(args: &[String]) -> Result<Self, String> {
        let mut asked = Self {
            companions: Companion::ALL.to_vec(),
            faults: false,
        };
        let mut args = args.iter().map(String::as_str);
        while let Some(arg) = args.next() {
            match arg {
                "--faults" => asked.faults = true,
                "--without" => {
                    let name = args.next().unwrap_or_default();
                    let known = Companion::ALL.into_iter().find(|one| one.name() == name);
                    let left_out = known.ok_or_else(|| {
                        let names = Companion::ALL.map(Companion::name).join(", ");
                        format!("--without takes one of {names}, not `{name}`")
                    })?;
                    asked.companions.retain(|one| *one != left_out);
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
    fn companions_are_left_out_by_name_and_no_other_way() {
        let all = parse("").unwrap();
        assert_eq!(all.companions, Companion::ALL);
        let asked = parse("--without kafka --faults").unwrap();
        assert_eq!(
            asked.companions,
            [Companion::Postgres, Companion::Python, Companion::S3]
        );
        assert!(asked.faults);
        for bad in ["--without", "--without redis", "--no-kafka"] {
            parse(bad).unwrap_err();
        }
    }
}
