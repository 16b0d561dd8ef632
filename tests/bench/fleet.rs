//! Processes of Assent that a benchmark starts for itself, on servers that `cargo xtask bench` has started: topics, vault
//! and profiles of their own for each number of shards.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use tempfile::TempDir;

use crate::measure::Process;

const PATIENCE: Duration = Duration::from_secs(60);

/// Where processes of one number of shards find everything.
pub(crate) struct Fleet {
    folder: TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Fleet {
    /// Topics of so many partitions, empty, and the sample programme. All that an earlier fleet left in Kafka is gone.
    pub(crate) async fn of(shards: u32) -> Self {
        no_topics(&told("ASSENT_KAFKA_CLUSTER")).await;
        let folder = TempDir::new().expect("a directory");
        let profiles = folder.path().join("profiles").display().to_string();
        let fleet = Self {
            folder,
            variables: vec![
                ("ASSENT_JOURNAL__PARTITIONS", shards.to_string()),
                ("ASSENT_JOURNAL__KAFKA__GROUP", format!("bench-{shards}")),
                // One copy: what is measured is reading, and copies are kept on the same disk and cores.
                ("ASSENT_JOURNAL__KAFKA__REPLICATION", "1".to_owned()),
                ("ASSENT_JOURNAL__KAFKA__MIN_IN_SYNC", "1".to_owned()),
                ("ASSENT_VAULT__POSTGRES__SCHEMA", format!("bench_{shards}")),
                // The object store of tests is slow.
                ("ASSENT_PROFILES__KIND", "local".to_owned()),
                ("ASSENT_PROFILES__DIR", profiles),
                // As for so many members as the greatest of these deployments has.
                (
                    "ASSENT_VAULT__POSTGRES__CACHED_SUBJECTS",
                    "1000000".to_owned(),
                ),
                ("ASSENT_VAULT__POSTGRES__CACHED_KEYS", "2000000".to_owned()),
                ("ASSENT_PROJECTOR__POLL", "100ms".to_owned()),
            ],
        };
        fleet.assent("setup", &["topics", "--create"]);
        fleet.assent("setup", &["apply", "pipelines"]);
        fleet
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(told("ASSENT_CLUSTER_BINARY"));
        let variables = self.variables.iter();
        command
            .envs(variables.map(|(name, value)| (*name, value.as_str())))
            .current_dir(crate::house::repository())
            .env("ASSENT_DATA_DIR", self.folder.path().join(name));
        command
    }

    /// `assent ARGS` through the process of this name, or as one more where none is. What it said of its work.
    pub(crate) fn assent(&self, name: &str, args: &[&str]) -> String {
        let output = self.command(name).args(args).output().expect("it starts");
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "assent {args:?}: {talk}");
        talk
    }

    /// A process of one role.
    pub(crate) fn serve(&self, name: &str, role: &str) -> Served {
        let mut child = self
            .command(name)
            .args(["serve", "--roles", role, "--port", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped"));
        let mut talk = String::new();
        let address = loop {
            let mut line = String::new();
            let read = lines.read_line(&mut line).expect("readable");
            assert!(read > 0, "{role} ended before it served:\n{talk}");
            talk.push_str(&line);
            if let Some((_, rest)) = line.split_once("http://") {
                break rest
                    .split_whitespace()
                    .next()
                    .unwrap_or_default()
                    .to_owned();
            }
        };
        // Whoever stops reading a pipe stops the writer in the end.
        std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        Served {
            process: Process::of(child.id()),
            child,
            address,
        }
    }
}

/// A process that ends with its owner.
pub(crate) struct Served {
    child: Child,
    pub(crate) process: Process,
    /// `host:port`.
    pub(crate) address: String,
}

impl Served {
    /// In good order, so that nobody waits for what it held.
    pub(crate) fn stop(mut self) {
        self.process.signal("TERM");
        self.child.wait().expect("reaped");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `cargo xtask bench` told.
pub(crate) fn told(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask bench kafka`"))
}

async fn no_topics(brokers: &str) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()
        .expect("an admin client");
    let begin = Instant::now();
    loop {
        let metadata = admin.inner().fetch_metadata(None, PATIENCE).expect("told");
        let names = metadata.topics().iter().map(|topic| topic.name());
        let ours: Vec<&str> = names.filter(|name| name.starts_with("assent.")).collect();
        if ours.is_empty() {
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "topics stay: {ours:?}");
        let deleted = admin.delete_topics(&ours, &AdminOptions::new()).await;
        deleted.expect("answered");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
