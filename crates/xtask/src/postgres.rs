//! A real PostgreSQL for tests: `cargo xtask postgres up|down|restart|status`.
//!
//! The server of the machine's own package runs on 127.0.0.1 with a data directory of its own. It
//! begins empty every time it is brought up, writes durably, speaks TLS under a certificate made
//! for it, and is stopped through its own data directory and by nothing else.
//! `docs/postgres-for-tests.md` tells what was needed.

mod programs;
mod server;

use crate::port;
use crate::test::Running;

use self::server::Server;

pub use self::programs::bindir;

/// Where clients connect when nothing else is said.
const PORT: u16 = 15_432;

const USAGE: &str = "\
cargo xtask postgres up|down|restart|status [--port N]

  up       make an empty database and start its server, wait until it answers
  down     stop the one that `up` started, and remove its data
  restart  stop it as a crash would, and start it on the same data
  status   say whether it runs; fails when it does not

The port is 15432 unless --port or ASSENT_POSTGRES_PORT says otherwise.";

/// `cargo xtask postgres up|down|restart|status`.
pub fn run(args: &[String]) -> Result<(), String> {
    let (command, port) = parse(args)?;
    let server = Server::new(port)?;
    match command {
        Command::Up => {
            let started = up(&server)?;
            let was = if started { "is up" } else { "was up already" };
            eprintln!("PostgreSQL {was}; run its tests with");
            for (name, value) in environment(&server) {
                println!("{name}='{value}'");
            }
            Ok(())
        }
        Command::Down => {
            let stopped = server.stop()?;
            let was = if stopped { "is stopped" } else { "did not run" };
            eprintln!("PostgreSQL at {} {was}", server.address());
            Ok(())
        }
        Command::Restart => server.crash_and_start(),
        Command::Status if server.runs()? => {
            println!("PostgreSQL answers at {}", server.address());
            Ok(())
        }
        Command::Status => Err(format!(
            "no PostgreSQL of ours runs at {}",
            server.address()
        )),
    }
}

/// A server for the length of a test run.
pub struct Database {
    server: Server,
    /// Whether this run started it; one that was up before stays up.
    ours: bool,
}

impl Database {
    /// Starts a server and waits until it answers; takes the one that `cargo xtask postgres up`
    /// left.
    pub fn up() -> Result<Self, String> {
        let server = Server::new(default_port()?)?;
        let ours = up(&server)?;
        Ok(Self { server, ours })
    }
}

impl Running for Database {
    fn environment(&self) -> Result<Vec<(&'static str, String)>, String> {
        Ok(environment(&self.server))
    }

    fn down(self: Box<Self>) -> Result<(), String> {
        if self.ours {
            self.server.stop()?;
        }
        Ok(())
    }
}

/// Where the server is, how to restart it, which authority signed its certificate.
fn environment(server: &Server) -> Vec<(&'static str, String)> {
    let program = std::env::current_exe().unwrap_or_else(|_| "xtask".into());
    let restart = format!(
        "{} postgres restart --port {}",
        program.display(),
        server.port()
    );
    vec![
        ("ASSENT_POSTGRES", server.url()),
        ("ASSENT_POSTGRES_RESTART", restart),
        (
            "ASSENT_POSTGRES_AUTHORITY",
            server.certificate().to_string_lossy().into_owned(),
        ),
    ]
}

#[derive(Debug, PartialEq, Eq)]
enum Command {
    Up,
    Down,
    Restart,
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
            "restart" => Command::Restart,
            "status" => Command::Status,
            "--port" => {
                let value = args
                    .next()
                    .ok_or(format!("--port needs a number\n\n{USAGE}"))?;
                port = Some(port::parse(value, u16::MAX)?);
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
    port::told("ASSENT_POSTGRES_PORT", PORT, u16::MAX)
}

/// Makes sure that a server answers. `true` when it had to be started.
fn up(server: &Server) -> Result<bool, String> {
    if server.runs()? {
        return Ok(false);
    }
    server.start_empty()?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_port_comes_from_the_flag_and_bad_lines_show_the_usage() {
        assert_eq!(parse(&words("up --port 25432")), Ok((Command::Up, 25_432)));
        assert_eq!(
            parse(&words("--port 2000 restart")),
            Ok((Command::Restart, 2000))
        );
        for bad in ["", "up down", "start", "up --port"] {
            let told = parse(&words(bad)).unwrap_err();
            assert!(told.contains("postgres up|down|restart"), "{told}");
        }
        for bad in ["up --port 80", "up --port 65536", "up --port x"] {
            assert!(parse(&words(bad)).unwrap_err().contains("no port"));
        }
    }
}
