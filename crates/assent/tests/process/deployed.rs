//! A whole deployment as child processes: shared stores on real servers, one process or more for each role.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use serde_json::{Value, json};

use crate::running::{Server, assent_with, decision};

/// Which brokers a deployment is on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Brokers {
    /// The one of `ASSENT_KAFKA`.
    One,
    /// Those of `ASSENT_KAFKA_CLUSTER`, of which one may be lost.
    Three,
}

/// A deployment: one folder, shared stores, a data directory for each process.
pub struct Deployment {
    folder: tempfile::TempDir,
    brokers: String,
    variables: Vec<(String, String)>,
    /// Topics and database are the same for all deployments of a run.
    _turn: MutexGuard<'static, ()>,
}

impl Deployment {
    /// With topics and a schema of its own; `settings` say the rest, where its profiles lie for instance. `None` without
    /// servers, after saying so.
    pub fn new(on: Brokers, partitions: u64, settings: &str) -> Option<Self> {
        static TURN: Mutex<()> = Mutex::new(());
        let (variable, copies) = match on {
            Brokers::One => ("ASSENT_KAFKA", "replication = 1\nmin_in_sync = 1\n"),
            Brokers::Three => ("ASSENT_KAFKA_CLUSTER", ""),
        };
        let servers = (std::env::var(variable), std::env::var("ASSENT_POSTGRES"));
        let (Ok(brokers), Ok(postgres)) = servers else {
            eprintln!(
                "a test of several processes is skipped: set {variable} and ASSENT_POSTGRES as `cargo xtask kafka up` and \
                 `cargo xtask postgres up` say, or run `cargo xtask test`"
            );
            return None;
        };
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        no_topics(&brokers);
        let folder = tempfile::tempdir().unwrap();
        let name: String = folder
            .path()
            .file_name()
            .unwrap()
            .to_string_lossy()
            .to_lowercase();
        let schema = format!(
            "apart_{}",
            name.replace(|c: char| !c.is_ascii_alphanumeric(), "")
        );
        let (account, rest) = postgres.split_once('@').unwrap();
        let (account, password) = account.rsplit_once(':').unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        for (name, secret) in [("password", password), ("master.key", &"5a".repeat(32))] {
            std::fs::write(at(name), secret).unwrap();
            std::fs::set_permissions(at(name), std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let each: Vec<String> = brokers.split(',').map(|one| format!("{one:?}")).collect();
        let each = each.join(",");
        let text = format!(
            "version = 1\n[server]\nport = 0\n\
             [journal]\nkind = \"kafka\"\npartitions = {partitions}\n\
             [journal.kafka]\nbrokers = [{each}]\n{copies}\
             [vault]\nkind = \"postgres\"\nmaster_key_file = \"master.key\"\n\
             [vault.postgres]\nconnection = \"{account}@{rest}\"\npassword_file = \"password\"\nschema = \"{schema}\"\n\
             {settings}\n\
             [projector]\nlinger = \"20ms\"\npoll = \"500ms\"\n"
        );
        std::fs::write(at("assent.toml"), text).unwrap();
        let variables = vec![("ASSENT_CONFIG".to_owned(), at("assent.toml"))];
        Some(Self {
            folder,
            brokers,
            variables,
            _turn: turn,
        })
    }

    /// With one more setting, by its environment variable, for processes started from now on.
    pub fn with(mut self, variable: &str, value: &str) -> Self {
        self.variables.push((variable.to_owned(), value.to_owned()));
        self
    }

    fn environment(&self) -> Vec<(&str, &str)> {
        let variables = self.variables.iter();
        variables
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect()
    }

    /// Where its settings and all data directories lie.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the process of this name has its socket.
    pub fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn serve(&self, name: &str, roles: &str) -> Server {
        self.serve_with(name, roles, &[])
    }

    /// With further settings of its own.
    pub fn serve_with(&self, name: &str, roles: &str, further: &[(&str, &str)]) -> Server {
        let mut environment = self.environment();
        environment.push(("ASSENT_ROLES", roles));
        environment.extend_from_slice(further);
        Server::start(&self.data(name), &environment)
    }

    /// `assent ARGS` through the process of this name, or as one more process where none is.
    pub fn assent(&self, name: &str, args: &[&str]) -> (Option<i32>, String) {
        let output = assent_with(&self.data(name), &self.environment(), args);
        let text = match output.status.success() {
            true => output.stdout,
            false => output.stderr,
        };
        (output.status.code(), String::from_utf8(text).unwrap())
    }

    pub fn ok(&self, name: &str, args: &[&str]) -> String {
        let (code, text) = self.assent(name, args);
        assert_eq!(code, Some(0), "{name}: assent {args:?}: {text}");
        text
    }
}

impl Drop for Deployment {
    /// Other tests on these brokers make the topics their own way.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            no_topics(&self.brokers);
        }
    }
}

/// Takes Assent's topics away, if an earlier run left them.
fn no_topics(brokers: &str) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()
        .unwrap();
    let patience = Duration::from_secs(10);
    let ours = || -> Vec<String> {
        let metadata = admin.inner().fetch_metadata(None, patience).unwrap();
        let names = metadata
            .topics()
            .iter()
            .map(|topic| topic.name().to_owned());
        names.filter(|name| name.starts_with("assent.")).collect()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let begin = Instant::now();
    loop {
        let there = ours();
        if there.is_empty() {
            return;
        }
        assert!(begin.elapsed() < patience, "topics stay: {there:?}");
        let names: Vec<&str> = there.iter().map(String::as_str).collect();
        let deleted = admin.delete_topics(&names, &AdminOptions::new());
        runtime.block_on(deleted).unwrap();
        std::thread::sleep(Duration::from_millis(100));
    }
}

pub fn decide(server: &Server, customer: &str, state: &str, message: &str) {
    let decision = decision(customer, state, message);
    let answer = server
        .post("/v1/consents", "demo-server-key", &decision)
        .expect("answered");
    assert_eq!(answer.status, 200, "{:?}", answer.json());
    assert_eq!(answer.json()["journalled"], 1);
}

/// The answer of one query: status and the only cell.
pub fn asked(server: &Server, token: &str, sql: &str) -> (u16, Value) {
    try_asked(server, token, sql).expect("answered")
}

/// The same of a server that may be killed meanwhile; `None` when it did not answer to the end.
pub fn try_asked(server: &Server, token: &str, sql: &str) -> Option<(u16, Value)> {
    let body = json!({ "sql": sql, "purpose": "email_marketing" }).to_string();
    let authorization = format!("Bearer {token}");
    let headers = [
        ("authorization", authorization.as_str()),
        ("accept", "application/json"),
    ];
    let answer = server.request("POST", "/v1/query", &headers, body.as_bytes())?;
    let rows: Value = serde_json::from_slice(&answer.body).ok()?;
    Some((answer.status, rows[0]["n"].clone()))
}

pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(
            begin.elapsed() < Duration::from_secs(90),
            "{what} did not come"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn ready(server: &Server) -> bool {
    server
        .request("GET", "/readyz", &[], b"")
        .is_some_and(|answer| answer.status == 200)
}

/// How many shards a projector holds.
pub fn shards(projector: &Server) -> u64 {
    number(projector, "assent_projection_shards")
}

/// What a process tells of a metric, with its labels as they are written; nothing told is nought.
pub fn number(server: &Server, metric: &str) -> u64 {
    let answer = server
        .request("GET", "/metrics", &[], b"")
        .expect("answered");
    let text = String::from_utf8(answer.body).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok())
        .unwrap_or_default()
}

/// Settings for the bucket of `ASSENT_S3` (`http://127.0.0.1:19900/bucket`), under a prefix of this run's own.
pub fn bucket(address: &str) -> String {
    let (endpoint, bucket) = address.rsplit_once('/').unwrap();
    let run = tempfile::NamedTempFile::new().unwrap();
    let run = run
        .path()
        .file_name()
        .unwrap()
        .to_string_lossy()
        .replace('.', "");
    format!(
        "[profiles]\nkind = \"s3\"\n[profiles.s3]\nbucket = \"{bucket}\"\nprefix = \"apart/{run}\"\n\
         endpoint = \"{endpoint}\"\nallow_http = true\naccess_key_id = \"test\"\nsecret_access_key_file = \"password\""
    )
}
