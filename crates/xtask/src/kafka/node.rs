//! One broker: its files, starting it, waiting for it, stopping it.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{process, wire};

/// Until a broker answers; it takes a few seconds on an idle machine.
const START: Duration = Duration::from_secs(120);
/// Until a broker that was asked to stop is gone.
const STOP: Duration = Duration::from_secs(30);
/// Any 16 bytes in unpadded base64; clients never see it.
const CLUSTER: &str = "YXNzZW50LXRlc3RzLTAwMQ";

/// A broker on one port.
pub(super) struct Node {
    directory: PathBuf,
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
    pub(super) fn new(directory: &Path, port: u16) -> Self {
        Self {
            directory: directory.join(format!("node-{port}")),
            port,
        }
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
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

    /// Starts an empty broker and waits until it answers.
    pub(super) fn start(&self, libraries: &Path) -> Result<(), String> {
        for port in [self.port, self.port + 1] {
            TcpListener::bind(("127.0.0.1", port)).map_err(|error| {
                format!("port {port} cannot be had ({error}); choose another with --port or ASSENT_KAFKA_PORT")
            })?;
        }
        self.prepare()
            .map_err(|error| format!("cannot prepare {}: {error}", self.directory.display()))?;
        let format = self
            .java(libraries, "kafka.tools.StorageTool")
            .args(["format", "-t", CLUSTER, "-c"])
            .arg(self.properties())
            .stderr(self.log_end()?)
            .stdout(self.log_end()?)
            .status()
            .map_err(|error| format!("cannot start java: {error}"))?;
        if !format.success() {
            return Err(self.with_log("the broker's storage could not be formatted"));
        }
        let mut child = self
            .java(libraries, "kafka.Kafka")
            .arg(self.properties())
            .stdin(Stdio::null())
            .stdout(self.log_end()?)
            .stderr(self.log_end()?)
            // Ctrl-C in our terminal is not meant for the broker.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("cannot start java: {error}"))?;
        fs::write(self.pid_file(), child.id().to_string())
            .map_err(|error| error.to_string())
            .and_then(|()| self.wait_until_ready(Some(&mut child)))
            .inspect_err(|_| {
                // What does not come up must not be left behind half-started.
                let _ = child.kill();
                let _ = child.wait();
                let _ = fs::remove_file(self.pid_file());
            })
    }

    /// Waits until the broker says that it has started and answers a request.
    pub(super) fn wait_until_ready(&self, mut child: Option<&mut Child>) -> Result<(), String> {
        let begin = Instant::now();
        loop {
            let log = fs::read_to_string(self.log()).unwrap_or_default();
            if log.contains("Kafka Server started") && wire::answers(&self.address()) {
                return Ok(());
            }
            let ended = match child.as_deref_mut() {
                Some(child) => child
                    .try_wait()
                    .map_err(|error| error.to_string())?
                    .is_some(),
                None => !matches!(self.state(), State::Running(_)),
            };
            if ended {
                return Err(self.with_log("the broker ended while starting"));
            }
            if begin.elapsed() > START {
                return Err(self.with_log("the broker does not answer"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Stops the broker of the pid file; `None` when there is none.
    pub(super) fn stop(&self) -> Result<Option<u32>, String> {
        let State::Running(pid) = self.state() else {
            let _ = fs::remove_file(self.pid_file());
            return Ok(None);
        };
        for name in ["TERM", "KILL"] {
            // It may have ended by itself since; then the waiting below sees it.
            let _ = process::signal(pid, name);
            let begin = Instant::now();
            while begin.elapsed() < STOP {
                if self.state() != State::Running(pid) {
                    let _ = fs::remove_file(self.pid_file());
                    return Ok(Some(pid));
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Err(format!("the broker, pid {pid}, cannot be stopped"))
    }

    fn prepare(&self) -> std::io::Result<()> {
        if self.directory.exists() {
            fs::remove_dir_all(&self.directory)?;
        }
        fs::create_dir_all(&self.directory)?;
        fs::write(self.properties(), self.configuration())?;
        fs::write(self.directory.join("log4j2.properties"), LOGGING)
    }

    fn configuration(&self) -> String {
        SERVER
            .replace("{PORT}", &self.port.to_string())
            .replace("{CONTROLLER}", &(self.port + 1).to_string())
            .replace("{DATA}", &self.directory.join("data").to_string_lossy())
    }

    fn java(&self, libraries: &Path, class: &str) -> Command {
        let mut command = Command::new("java");
        let logging = self.directory.join("log4j2.properties");
        command
            .args(["-Xms128m", "-Xmx512m"])
            .arg(format!("-Dlog4j2.configurationFile={}", logging.display()))
            .arg("-cp")
            // Java itself expands the star.
            .arg(libraries.join("*"))
            .arg(class);
        command
    }

    fn log_end(&self) -> Result<File, String> {
        File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .map_err(|error| format!("cannot write {}: {error}", self.log().display()))
    }

    /// A sentence and the last lines of the log.
    fn with_log(&self, sentence: &str) -> String {
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

const SERVER: &str = "\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{CONTROLLER}
listeners=PLAINTEXT://127.0.0.1:{PORT},CONTROLLER://127.0.0.1:{CONTROLLER}
advertised.listeners=PLAINTEXT://127.0.0.1:{PORT}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={DATA}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=16777216
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
";

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

    /// A directory of this test's own.
    fn node(name: &str) -> Node {
        let directory = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        Node::new(&directory, 4_000)
    }

    #[test]
    fn a_stale_pid_file_is_recognised_and_removed() {
        let node = node("kafka-stale-pid");
        let _ = fs::remove_dir_all(&node.directory);
        assert_eq!(node.state(), State::Absent);
        node.prepare().unwrap();
        for text in ["", "no number", "-1"] {
            fs::write(node.pid_file(), text).unwrap();
            assert_eq!(node.state(), State::Absent);
        }
        // A living process that is no broker of ours: this test itself.
        let own = std::process::id();
        fs::write(node.pid_file(), format!("{own}\n")).unwrap();
        assert_eq!(node.state(), State::Stale(own));
        assert_eq!(node.stop(), Ok(None));
        assert_eq!(node.state(), State::Absent);
        fs::remove_dir_all(&node.directory).unwrap();
    }

    #[test]
    fn a_port_in_use_is_told_before_anything_is_started() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let node = Node::new(Path::new("nowhere"), port);
        let error = node.start(Path::new("nowhere")).unwrap_err();
        assert!(error.contains(&format!("port {port}")), "{error}");
        assert!(!Path::new("nowhere").exists());
    }

    #[test]
    fn the_configuration_is_complete() {
        let text = node("unused").configuration();
        assert!(!text.contains('{'), "{text}");
        assert!(text.contains("controller.quorum.voters=1@127.0.0.1:4001\n"));
        assert!(text.contains("advertised.listeners=PLAINTEXT://127.0.0.1:4000\n"));
    }
}
