//! One broker: its files, starting it, waiting for it, stopping it.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{settings, wire};
use crate::process;

/// Until a broker answers; it takes a few seconds on an idle machine.
const START: Duration = Duration::from_secs(120);
/// Until a broker that was killed, and its ports, are gone.
pub(super) const STOP: Duration = Duration::from_secs(10);
/// Any 16 bytes in unpadded base64; clients never see it.
const CLUSTER: &str = "YXNzZW50LXRlc3RzLTAwMQ";

/// A broker on one port; its controller has the next, its secure listener the one after, and the one after that a
/// listener whose clients are told to come through a proxy.
pub(super) struct Node {
    directory: PathBuf,
    /// From one.
    pub(super) number: u16,
    port: u16,
}

/// What the pid file tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Our broker runs under this number.
    Running(u32),
    /// The number in the file belongs to no broker of ours.
    Stale(u32),
    /// There is no (readable) pid file.
    Absent,
}

impl Node {
    pub(super) fn new(directory: &Path, number: u16, port: u16) -> Self {
        Self {
            directory: directory.join(format!("node-{port}")),
            number,
            port,
        }
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(super) fn controller_address(&self) -> String {
        format!("127.0.0.1:{}", self.port + 1)
    }

    pub(super) fn secure_address(&self) -> String {
        format!("127.0.0.1:{}", self.port + 2)
    }

    /// Where a proxy finds it.
    pub(super) fn proxied_address(&self) -> String {
        format!("127.0.0.1:{}", self.port + 3)
    }

    /// Where clients look for that proxy: beyond the ports of three brokers beside this one.
    pub(super) fn proxy_address(&self) -> String {
        format!("127.0.0.1:{}", self.port + 7)
    }

    /// Where the broker keeps its records.
    pub(super) fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// What the broker writes about itself.
    pub(super) fn log(&self) -> PathBuf {
        self.directory.join("kafka.log")
    }

    fn properties(&self) -> PathBuf {
        self.directory.join("server.properties")
    }

    fn pid_file(&self) -> PathBuf {
        self.directory.join("pid")
    }

    pub(super) fn state(&self) -> State {
        let read = fs::read_to_string(self.pid_file()).ok();
        let Some(pid) = read.and_then(|text| text.trim().parse().ok()) else {
            return State::Absent;
        };
        // The path of its configuration stands on the broker's command line and on no other's.
        if process::is_ours(pid, &self.properties().to_string_lossy()) {
            State::Running(pid)
        } else {
            State::Stale(pid)
        }
    }

    pub(super) fn runs(&self) -> bool {
        matches!(self.state(), State::Running(_))
    }

    pub(super) fn answers(&self) -> bool {
        self.runs() && wire::answers(&self.address())
    }

    /// Whether it was started with a secure listener.
    pub(super) fn is_secure(&self) -> bool {
        fs::read_to_string(self.properties()).is_ok_and(|text| text.contains(",SECURE://"))
    }

    /// Fails when another program listens where this broker is to. One that was just killed may hold
    /// its ports for a moment after it has vanished, hence the patience.
    pub(super) fn check_ports(&self, patience: Duration) -> Result<(), String> {
        let begin = Instant::now();
        for port in self.port..=self.port + 2 {
            while let Err(error) = TcpListener::bind(("127.0.0.1", port)) {
                if begin.elapsed() >= patience {
                    return Err(format!(
                        "port {port} cannot be had ({error}); choose another with --port or ASSENT_KAFKA_PORT"
                    ));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    /// Empties the node's directory and writes its settings.
    pub(super) fn prepare(&self, settings: &str) -> Result<(), String> {
        let prepare = || {
            if self.directory.exists() {
                fs::remove_dir_all(&self.directory)?;
            }
            fs::create_dir_all(&self.directory)?;
            fs::write(self.properties(), settings)?;
            fs::write(self.directory.join("log4j2.properties"), LOGGING)
        };
        prepare().map_err(|error| format!("cannot prepare {}: {error}", self.directory.display()))
    }

    /// Begins to format the storage.
    pub(super) fn format(&self, libraries: &Path, credentials: bool) -> Result<Child, String> {
        let mut command = self.java(libraries, "kafka.tools.StorageTool");
        command
            .args(["format", "-t", CLUSTER, "-c"])
            .arg(self.properties());
        if credentials {
            let (name, password) = (settings::NAME, settings::PASSWORD);
            command.arg("--add-scram");
            command.arg(format!("SCRAM-SHA-256=[name={name},password={password}]"));
        }
        self.spawn(command)
    }

    /// Starts the broker with what its storage holds.
    pub(super) fn start(&self, libraries: &Path) -> Result<(), String> {
        // The line that says it has started must be this start's.
        if self.log().exists() {
            let earlier = self.directory.join("kafka.earlier.log");
            fs::rename(self.log(), earlier).map_err(|error| format!("the log: {error}"))?;
        }
        let mut command = self.java(libraries, "kafka.Kafka");
        command.arg(self.properties());
        let mut child = self.spawn(command)?;
        fs::write(self.pid_file(), child.id().to_string()).map_err(|error| {
            let _ = child.kill();
            let _ = child.wait();
            format!("cannot write {}: {error}", self.pid_file().display())
        })
    }

    /// Waits until the broker says that it has started and answers a request.
    pub(super) fn wait_until_ready(&self) -> Result<(), String> {
        let begin = Instant::now();
        let mut absent = 0;
        loop {
            let log = fs::read_to_string(self.log()).unwrap_or_default();
            if log.contains("Kafka Server started") && wire::answers(&self.address()) {
                return Ok(());
            }
            // A process that is just becoming `java` has no command line for a moment.
            absent = if self.runs() { 0 } else { absent + 1 };
            if absent > 10 {
                return Err(self.with_log("the broker ended while starting"));
            }
            if begin.elapsed() > START {
                return Err(self.with_log("the broker does not answer"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends the broker of the pid file and returns its number; `None` when there is none. It is not
    /// asked first: what it holds is of no use to anybody, and two of three would wait for a third.
    pub(super) fn stop(&self) -> Result<Option<u32>, String> {
        let pid = match self.state() {
            State::Running(pid) => {
                self.kill()?;
                Some(pid)
            }
            State::Stale(_) | State::Absent => None,
        };
        let _ = fs::remove_file(self.pid_file());
        Ok(pid)
    }

    /// kill -9, and waits until it is gone.
    pub(super) fn kill(&self) -> Result<(), String> {
        self.signal("KILL")?;
        let begin = Instant::now();
        while self.runs() {
            if begin.elapsed() > STOP {
                return Err(format!("broker {} cannot be killed", self.number));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Sends a signal to the broker, if it runs.
    pub(super) fn signal(&self, name: &str) -> Result<(), String> {
        match self.state() {
            State::Running(pid) => process::signal(pid, name),
            State::Stale(_) | State::Absent => Err(format!("broker {} does not run", self.number)),
        }
    }

    fn java(&self, libraries: &Path, class: &str) -> Command {
        let mut command = Command::new("java");
        let logging = self.directory.join("log4j2.properties");
        command
            // Little memory, and no time spent on compiling what runs for minutes only.
            .args([
                "-Xms64m",
                "-Xmx384m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
            ])
            .arg(format!("-Dlog4j2.configurationFile={}", logging.display()))
            .arg("-cp")
            // Java itself expands the star.
            .arg(libraries.join("*"))
            .arg(class);
        command
    }

    fn spawn(&self, mut command: Command) -> Result<Child, String> {
        let log = || {
            let opened = File::options().create(true).append(true).open(self.log());
            opened.map_err(|error| format!("cannot write {}: {error}", self.log().display()))
        };
        command
            .stdin(Stdio::null())
            .stdout(log()?)
            .stderr(log()?)
            // Ctrl-C in our terminal is not meant for the broker.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("cannot start java: {error}"))
    }

    /// A sentence and the last lines of the log.
    pub(super) fn with_log(&self, sentence: &str) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(15)..];
        format!(
            "{sentence}; the end of {}:\n{}",
            self.log().display(),
            last.join("\n")
        )
    }
}

const LOGGING: &str = "\
status=warn
appender.out.type=Console
appender.out.name=out
appender.out.target=SYSTEM_ERR
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %p %c{1}: %m%n
rootLogger.level=info
rootLogger.appenderRef.out.ref=out
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_pid_file_is_recognised_and_removed() {
        let unique = format!("kafka-stale-pid-{}", std::process::id());
        let node = Node::new(&std::env::temp_dir().join(unique), 1, 4_000);
        let _ = fs::remove_dir_all(&node.directory);
        assert_eq!(node.state(), State::Absent);
        node.prepare("").unwrap();
        for text in ["", "no number", "-1"] {
            fs::write(node.pid_file(), text).unwrap();
            assert_eq!(node.state(), State::Absent);
        }
        // A living process that is no broker of ours: this test itself. It is left alone.
        let own = std::process::id();
        fs::write(node.pid_file(), format!("{own}\n")).unwrap();
        assert_eq!(node.state(), State::Stale(own));
        assert!(node.kill().unwrap_err().contains("does not run"));
        assert_eq!(node.stop(), Ok(None));
        assert_eq!(node.state(), State::Absent);
        fs::remove_dir_all(&node.directory).unwrap();
    }

    #[test]
    fn a_port_in_use_is_told() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let node = Node::new(Path::new("nowhere"), 1, port);
        let error = node.check_ports(Duration::ZERO).unwrap_err();
        assert!(error.contains(&format!("port {port}")), "{error}");
    }
}
