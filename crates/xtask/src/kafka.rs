//! A real Apache Kafka for tests: `cargo xtask kafka up|down|status`.
//!
//! Maven Central has Kafka's broker as ordinary artifacts, so Java and Maven are all a machine needs.
//! One node in KRaft mode runs on 127.0.0.1, in `target/kafka`. It begins empty every time it is
//! brought up, and it is stopped by the number in its own pid file and by nothing else.
//! `docs/kafka-for-tests.md` tells what was needed beyond Kafka's manual.

mod artifacts;
mod node;
mod process;
mod wire;

use std::path::PathBuf;

use self::node::{Node, State};

/// Where clients connect when nothing else is said; the controller listens on the next port.
const PORT: u16 = 19_092;

const USAGE: &str = "\
cargo xtask kafka up|down|status [--port N]

  up      fetch Apache Kafka from Maven Central if need be, start it empty, wait until it answers
  down    stop the one that `up` started
  status  say whether it runs; fails when it does not

The port is 19092 unless --port or ASSENT_KAFKA_PORT says otherwise; the controller takes the next one.";

/// `cargo xtask kafka up|down|status`.
pub fn run(args: &[String]) -> Result<(), String> {
    let (command, port) = parse(args)?;
    let node = Node::new(&directory(), port);
    match command {
        Command::Up => {
            let started = up(&node)?;
            let was = if started { "is up" } else { "was up already" };
            eprintln!("Kafka {} {was}, pid {}", artifacts::KAFKA, pid_text(&node));
            eprintln!("run its tests with");
            println!("ASSENT_KAFKA={}", node.address());
            Ok(())
        }
        Command::Down => {
            match node.stop()? {
                Some(pid) => eprintln!("Kafka at {} is stopped, pid {pid}", node.address()),
                None => eprintln!("no Kafka of ours runs at {}", node.address()),
            }
            Ok(())
        }
        Command::Status => match node.state() {
            State::Running(pid) if wire::answers(&node.address()) => {
                println!(
                    "Kafka {} answers at {}, pid {pid}",
                    artifacts::KAFKA,
                    node.address()
                );
                Ok(())
            }
            State::Running(pid) => Err(format!(
                "the broker (pid {pid}) runs but does not answer at {}; see {}",
                node.address(),
                node.log().display()
            )),
            State::Stale(pid) => Err(format!(
                "no broker runs at {}; the pid file names {pid}, which is gone or another program",
                node.address()
            )),
            State::Absent => Err(format!("no broker runs at {}", node.address())),
        },
    }
}

/// A broker for the length of a test run.
pub struct Broker {
    node: Node,
    /// Whether this run started it; one that was up before stays up.
    ours: bool,
}

impl Broker {
    /// Starts a broker and waits until it answers; takes the one that `cargo xtask kafka up` left.
    pub fn up() -> Result<Self, String> {
        let node = Node::new(&directory(), default_port()?);
        let ours = up(&node)?;
        Ok(Self { node, ours })
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.node.address()
    }

    /// Stops it, if this run started it.
    pub fn down(self) -> Result<(), String> {
        if self.ours {
            self.node.stop()?;
        }
        Ok(())
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Command {
    Up,
    Down,
    Status,
}

fn parse(args: &[String]) -> Result<(Command, u16), String> {
    let mut command = None;
    let mut port = None;
    let mut args = args.iter().map(String::as_str);
    while let Some(arg) = args.next() {
        let next = match arg {
            "up" => Command::Up,
            "down" => Command::Down,
            "status" => Command::Status,
            "--port" => {
                let value = args
                    .next()
                    .ok_or(format!("--port needs a number\n\n{USAGE}"))?;
                port = Some(parse_port(value)?);
                continue;
            }
            unknown => return Err(format!("no command `{unknown}`\n\n{USAGE}")),
        };
        if command.replace(next).is_some() {
            return Err(format!("one command at a time\n\n{USAGE}"));
        }
    }
    let command = command.ok_or(USAGE)?;
    let port = match port {
        Some(port) => port,
        None => default_port()?,
    };
    Ok((command, port))
}

fn default_port() -> Result<u16, String> {
    match std::env::var("ASSENT_KAFKA_PORT") {
        Ok(value) => parse_port(&value),
        Err(_) => Ok(PORT),
    }
}

fn parse_port(value: &str) -> Result<u16, String> {
    value
        .parse()
        .ok()
        .filter(|port| (1024..u16::MAX).contains(port))
        .ok_or(format!("`{value}` is no port from 1024 to 65534"))
}

/// `target/kafka`, wherever cargo keeps its target directory.
fn directory() -> PathBuf {
    crate::run::target().join("kafka")
}

/// Makes sure that a broker answers. `true` when it had to be started.
fn up(node: &Node) -> Result<bool, String> {
    if let State::Running(_) = node.state() {
        node.wait_until_ready(None)?;
        return Ok(false);
    }
    process::require("java", &["-version"], "openjdk-17-jre-headless")?;
    let libraries = artifacts::fetch(&directory())?;
    node.start(&libraries)?;
    Ok(true)
}

fn pid_text(node: &Node) -> String {
    match node.state() {
        State::Running(pid) => pid.to_string(),
        State::Stale(_) | State::Absent => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_port_comes_from_the_flag_and_bad_lines_show_the_usage() {
        assert_eq!(parse(&words("up --port 29092")), Ok((Command::Up, 29_092)));
        assert_eq!(parse(&words("--port 2000 down")), Ok((Command::Down, 2000)));
        for bad in ["", "up down", "start", "up --port"] {
            assert!(
                parse(&words(bad))
                    .unwrap_err()
                    .contains("kafka up|down|status")
            );
        }
        for bad in ["up --port 80", "up --port 65535", "up --port x"] {
            assert!(parse(&words(bad)).unwrap_err().contains("no port"));
        }
    }
}
