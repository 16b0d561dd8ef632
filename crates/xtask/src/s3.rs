//! An object store for tests: `cargo xtask s3 up|down|status`.
//!
//! moto, from PyPI, in a virtual environment of its own below the target directory. It keeps everything in memory, is
//! slow, and honours conditional puts: enough to prove a protocol, nothing to measure. It is stopped by the number in
//! its own pid file and by nothing else. `docs/s3-for-tests.md` tells more.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command as Program, Stdio};
use std::time::{Duration, Instant};

use crate::run::target;
use crate::test::Running;
use crate::{port, process, python};

/// The version whose conditional puts were seen to exclude, from the root.
const REQUIREMENTS: &str = "crates/xtask/src/s3/requirements.txt";
/// What starts it.
const SERVE: &str = include_str!("s3/serve.py");
/// Where clients connect when nothing else is said.
const PORT: u16 = 19_900;
const BUCKET: &str = "assent-tests";
/// Until it answers, and until one that was asked to stop is gone.
const PATIENCE: Duration = Duration::from_secs(60);

const USAGE: &str = "\
cargo xtask s3 up|down|status [--port N]

  up      fetch moto from PyPI if need be, start it empty with one bucket, wait until it answers
  down    stop the one that `up` started
  status  say whether it runs; fails when it does not

The port is 19900 unless --port or ASSENT_S3_PORT says otherwise.";

/// `cargo xtask s3 up|down|status`.
pub fn run(args: &[String]) -> Result<(), String> {
    let (command, port) = parse(args)?;
    let server = Server { port };
    match command {
        Command::Up => {
            let started = server.up()?;
            let was = if started { "is up" } else { "was up already" };
            eprintln!("the object store {was}; run its tests with");
            println!("ASSENT_S3={}", server.bucket());
            Ok(())
        }
        Command::Down => {
            let was = match server.stop()? {
                Some(pid) => format!("is stopped, pid {pid}"),
                None => "did not run".to_owned(),
            };
            eprintln!("the object store at {} {was}", server.address());
            Ok(())
        }
        Command::Status if server.running().is_some() && server.answers() => {
            println!("the object store answers at {}", server.address());
            Ok(())
        }
        Command::Status => Err(format!(
            "no object store of ours runs at {}",
            server.address()
        )),
    }
}

/// An object store for the length of a test run.
pub struct Bucket {
    server: Server,
    /// Whether this run started it; one that was up before stays up.
    ours: bool,
}

impl Bucket {
    /// Starts a store and waits until it answers; takes the one that `cargo xtask s3 up` left.
    pub fn up() -> Result<Self, String> {
        let server = Server {
            port: default_port()?,
        };
        let ours = server.up()?;
        Ok(Self { server, ours })
    }
}

impl Running for Bucket {
    fn environment(&self) -> Result<Vec<(&'static str, String)>, String> {
        Ok(vec![("ASSENT_S3", self.server.bucket())])
    }

    fn down(self: Box<Self>) -> Result<(), String> {
        if self.ours {
            self.server.stop()?;
        }
        Ok(())
    }
}

/// The store of one port.
struct Server {
    port: u16,
}

impl Server {
    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where the tests find their bucket.
    fn bucket(&self) -> String {
        format!("http://{}/{BUCKET}", self.address())
    }

    fn directory() -> PathBuf {
        target().join("s3")
    }

    fn environment() -> PathBuf {
        Self::directory().join("python")
    }

    fn script() -> PathBuf {
        Self::directory().join("serve.py")
    }

    fn log(&self) -> PathBuf {
        Self::directory().join(format!("{}.log", self.port))
    }

    fn pid_file(&self) -> PathBuf {
        Self::directory().join(format!("{}.pid", self.port))
    }

    /// The number of its process, if that runs.
    fn running(&self) -> Option<u32> {
        let pid = fs::read_to_string(self.pid_file())
            .ok()?
            .trim()
            .parse()
            .ok()?;
        process::is_ours(pid, &Self::script().to_string_lossy()).then_some(pid)
    }

    /// Makes sure that it answers. `true` when it had to be started.
    fn up(&self) -> Result<bool, String> {
        if self.running().is_some() {
            self.wait(None)?;
            return Ok(false);
        }
        python::environment(&Self::environment(), REQUIREMENTS)?;
        TcpListener::bind(("127.0.0.1", self.port)).map_err(|error| {
            format!(
                "port {} cannot be had ({error}); choose another with --port or ASSENT_S3_PORT",
                self.port
            )
        })?;
        let told = |error: std::io::Error| format!("cannot start the object store: {error}");
        let log = File::create(self.log()).map_err(told)?;
        fs::write(Self::script(), SERVE).map_err(told)?;
        let mut child = Program::new(Self::environment().join("bin/python"))
            .arg(Self::script())
            .args(["-H", "127.0.0.1", "-p", &self.port.to_string()])
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(told)?)
            .stderr(log)
            // Ctrl-C in our terminal is not meant for it.
            .process_group(0)
            .spawn()
            .map_err(told)?;
        fs::write(self.pid_file(), child.id().to_string())
            .map_err(told)
            .and_then(|()| self.wait(Some(&mut child)))
            .inspect_err(|_| {
                // What does not come up must not be left behind half-started.
                let _ = child.kill();
                let _ = child.wait();
                let _ = fs::remove_file(self.pid_file());
            })?;
        Ok(true)
    }

    /// Waits until it answers, and has the bucket.
    fn wait(&self, mut child: Option<&mut Child>) -> Result<(), String> {
        let begin = Instant::now();
        while !self.answers() {
            let ended = match child.as_deref_mut() {
                Some(child) => child
                    .try_wait()
                    .map_err(|error| error.to_string())?
                    .is_some(),
                None => self.running().is_none(),
            };
            if ended || begin.elapsed() > PATIENCE {
                return Err(format!(
                    "the object store does not come up; see {}",
                    self.log().display()
                ));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Whether it has the bucket, after being asked to make it.
    fn answers(&self) -> bool {
        let asked = || -> std::io::Result<bool> {
            let address: SocketAddr = self.address().parse().map_err(std::io::Error::other)?;
            let patience = Duration::from_secs(5);
            let mut stream = TcpStream::connect_timeout(&address, patience)?;
            stream.set_read_timeout(Some(patience))?;
            write!(
                stream,
                "PUT /{BUCKET} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                self.address()
            )?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(made(&answer))
        };
        asked().unwrap_or(false)
    }

    /// Stops the process of the pid file; `None` when there is none.
    fn stop(&self) -> Result<Option<u32>, String> {
        let Some(pid) = self.running() else {
            let _ = fs::remove_file(self.pid_file());
            return Ok(None);
        };
        for name in ["TERM", "KILL"] {
            // It may have ended by itself since; then the waiting below sees it.
            let _ = process::signal(pid, name);
            let begin = Instant::now();
            while begin.elapsed() < PATIENCE / 6 {
                if self.running().is_none() {
                    let _ = fs::remove_file(self.pid_file());
                    return Ok(Some(pid));
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Err(format!("the object store, pid {pid}, cannot be stopped"))
    }
}

/// Whether an answer says that the bucket is there: made now, or before.
fn made(answer: &str) -> bool {
    let status = answer.split(' ').nth(1).unwrap_or_default();
    status == "200" || (status == "409" && answer.contains("BucketAlreadyOwnedByYou"))
}

#[derive(Debug, PartialEq, Eq)]
enum Command {
    Up,
    Down,
    Status,
}

fn parse(args: &[String]) -> Result<(Command, u16), String> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let (command, port) = match words[..] {
        [command] => (command, default_port()?),
        [command, "--port", port] => (command, port::parse(port, u16::MAX)?),
        _ => return Err(USAGE.to_owned()),
    };
    let command = match command {
        "up" => Command::Up,
        "down" => Command::Down,
        "status" => Command::Status,
        unknown => return Err(format!("no command `{unknown}`\n\n{USAGE}")),
    };
    Ok((command, port))
}

fn default_port() -> Result<u16, String> {
    port::told("ASSENT_S3_PORT", PORT, u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_comes_from_the_flag_and_bad_lines_show_the_usage() {
        let words =
            |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
        assert_eq!(parse(&words("up --port 29900")), Ok((Command::Up, 29_900)));
        assert_eq!(parse(&words("down --port 2000")), Ok((Command::Down, 2000)));
        for bad in ["", "up down", "start", "up --port", "--port 2000"] {
            let told = parse(&words(bad)).unwrap_err();
            assert!(told.contains("s3 up|down|status"), "{told}");
        }
        assert!(
            parse(&words("up --port 80"))
                .unwrap_err()
                .contains("no port")
        );
    }

    #[test]
    fn only_a_bucket_that_is_there_counts() {
        assert!(made("HTTP/1.1 200 OK\r\n\r\n"));
        assert!(made(
            "HTTP/1.1 409 CONFLICT\r\n\r\n<Code>BucketAlreadyOwnedByYou</Code>"
        ));
        assert!(!made(
            "HTTP/1.1 409 CONFLICT\r\n\r\n<Code>BucketAlreadyExists</Code>"
        ));
        assert!(!made("HTTP/1.1 500 no\r\n\r\n"));
        assert!(!made(""));
    }
}
