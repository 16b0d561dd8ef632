//! Several processes on Kafka and PostgreSQL, each with a role: what one acknowledged holds in all of them at once (I2).
//!
//! Runs when `ASSENT_KAFKA` and `ASSENT_POSTGRES` name servers, otherwise it says how to get them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use serde_json::{Value, json};

use crate::running::{Server, assent_with, repository};

/// Shards of the deployment.
const PARTITIONS: u64 = 3;
/// Withdrawals that are tried.
const TRIALS: usize = 20;

/// A deployment: one folder, shared stores, a data directory for each process.
struct Deployment {
    folder: tempfile::TempDir,
    brokers: String,
    variables: Vec<(String, String)>,
}

impl Deployment {
    /// With topics and a schema of its own, and its profiles as `profiles` says. `None` without servers, after saying so.
    fn new(profiles: &str) -> Option<Self> {
        let servers = (
            std::env::var("ASSENT_KAFKA").ok(),
            std::env::var("ASSENT_POSTGRES").ok(),
        );
        let (Some(brokers), Some(postgres)) = servers else {
            eprintln!(
                "the test of several processes is skipped: set ASSENT_KAFKA and ASSENT_POSTGRES as `cargo xtask kafka \
                 up` and `cargo xtask postgres up` say, or run `cargo xtask test`"
            );
            return None;
        };
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
        let text = format!(
            "version = 1\n[server]\nport = 0\n\
             [journal]\nkind = \"kafka\"\npartitions = {PARTITIONS}\n\
             [journal.kafka]\nbrokers = \"{brokers}\"\nreplication = 1\nmin_in_sync = 1\n\
             [vault]\nkind = \"postgres\"\nmaster_key_file = \"master.key\"\n\
             [vault.postgres]\nconnection = \"{account}@{rest}\"\npassword_file = \"password\"\nschema = \"{schema}\"\n\
             {profiles}\n\
             [projector]\nlinger = \"20ms\"\npoll = \"500ms\"\n"
        );
        std::fs::write(at("assent.toml"), text).unwrap();
        let variables = vec![("ASSENT_CONFIG".to_owned(), at("assent.toml"))];
        Some(Self {
            folder,
            brokers,
            variables,
        })
    }

    fn environment(&self) -> Vec<(&str, &str)> {
        let variables = self.variables.iter();
        variables
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect()
    }

    /// Where the process of this name has its socket.
    fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn serve(&self, name: &str, roles: &str) -> Server {
        let mut environment = self.environment();
        environment.push(("ASSENT_ROLES", roles));
        Server::start(&self.data(name), &environment)
    }

    /// `assent ARGS` through the process of this name, or as one more process where none is.
    fn assent(&self, name: &str, args: &[&str]) -> (Option<i32>, String) {
        let output = assent_with(&self.data(name), &self.environment(), args);
        let text = match output.status.success() {
            true => output.stdout,
            false => output.stderr,
        };
        (output.status.code(), String::from_utf8(text).unwrap())
    }

    fn ok(&self, name: &str, args: &[&str]) -> String {
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

fn decide(server: &Server, customer: &str, state: &str, message: &str) {
    let decision = json!({
        "subject": { "customer_no": customer }, "purpose": "email_marketing", "state": state,
        "act": "checkbox_ticked", "notice": { "id": "membership", "version": 2 }, "message_id": message,
    });
    let answer = server
        .post("/v1/consents", "demo-server-key", &decision)
        .expect("answered");
    assert_eq!(answer.status, 200, "{:?}", answer.json());
    assert_eq!(answer.json()["journalled"], 1);
}

/// The answer of one query: status and the only cell.
fn asked(server: &Server, token: &str, sql: &str) -> (u16, Value) {
    let body = json!({ "sql": sql, "purpose": "email_marketing" }).to_string();
    let authorization = format!("Bearer {token}");
    let headers = [
        ("authorization", authorization.as_str()),
        ("accept", "application/json"),
    ];
    let answer = server
        .request("POST", "/v1/query", &headers, body.as_bytes())
        .expect("answered");
    let rows = answer.json();
    (answer.status, rows[0]["n"].clone())
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "{what} did not come"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn ready(server: &Server) -> bool {
    server
        .request("GET", "/readyz", &[], b"")
        .is_some_and(|answer| answer.status == 200)
}

/// How many shards a projector holds.
fn shards(projector: &Server) -> u64 {
    let answer = projector
        .request("GET", "/metrics", &[], b"")
        .expect("answered");
    let text = String::from_utf8(answer.body).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("assent_projection_shards "));
    line.and_then(|value| value.parse().ok())
        .unwrap_or_default()
}

/// The sample programme with another write key for the shop's back end.
fn with_another_key(to: &Path) {
    let copied = std::process::Command::new("cp")
        .arg("-R")
        .arg(repository().join("pipelines/."))
        .arg(to)
        .status();
    assert!(copied.is_ok_and(|status| status.success()));
    let sources = to.join("sources.yaml");
    let text = std::fs::read_to_string(&sources).unwrap();
    // SHA-256 of `demo-server-key` and of `another-key`.
    let key = text
        .lines()
        .skip_while(|line| !line.contains("demo-server"))
        .find_map(|line| line.trim().strip_prefix("write_key_sha256: "))
        .unwrap()
        .to_owned();
    let another = "8c5a3b1c3f3f0d9d3f0a6ee1d8a5c2a6f1b2f1f7a8e9d0c1b2a3948576655443";
    std::fs::write(&sources, text.replace(&key, another)).unwrap();
}

#[test]
fn what_one_process_acknowledged_holds_in_all_of_them_at_once() {
    // One after the other: the topics are the same.
    several_processes("[profiles]\ndir = \"profiles\"");
    match std::env::var("ASSENT_S3") {
        Ok(address) => several_processes(&bucket(&address)),
        Err(_) => eprintln!("the same with profiles in a bucket is skipped: ASSENT_S3 names none"),
    }
}

/// Settings for the bucket of `ASSENT_S3` (`http://127.0.0.1:19900/bucket`), under a prefix of this run's own.
fn bucket(address: &str) -> String {
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

fn several_processes(profiles: &str) {
    let Some(deployment) = Deployment::new(profiles) else {
        return;
    };
    let (code, talk) = deployment.assent("nobody", &["topics"]);
    assert_eq!(code, Some(1), "{talk}");
    deployment.ok("nobody", &["topics", "--create"]);
    let intakes = [
        deployment.serve("intake-a", "intake"),
        deployment.serve("intake-b", "intake"),
    ];
    let projectors = [
        deployment.serve("projector-a", "projector"),
        deployment.serve("projector-b", "projector"),
    ];
    let queries = [
        deployment.serve("query-a", "query"),
        deployment.serve("query-b", "query"),
    ];
    assert!(!ready(&intakes[0]), "no source is defined yet");

    // Definitions and principals through any process, in force in all of them.
    deployment.ok("projector-a", &["apply", "pipelines"]);
    for intake in &intakes {
        assert!(
            ready(intake),
            "{:?}",
            intake.request("GET", "/readyz", &[], b"")
        );
    }
    let token = deployment.ok(
        "intake-b",
        &["principal", "add", "me", "--purpose", "email_marketing"],
    );
    let token = token.trim();
    for query in &queries {
        assert_eq!(
            asked(query, token, "SELECT count(*) AS n FROM members"),
            (200, 0.into())
        );
    }

    // Taken in here, folded there, told elsewhere; and gone with the withdrawal, wherever it came in.
    let customer = |trial: usize| format!("c{trial}");
    for trial in 0..TRIALS {
        let intake = &intakes[trial % 2];
        decide(intake, &customer(trial), "granted", &format!("g{trial}"));
        let order = json!({
            "event": "Order Completed", "userId": customer(trial), "messageId": format!("o{trial}"),
            "properties": { "revenue": 1, "currency": "CNY" },
        });
        assert_eq!(
            intake
                .post("/v1/track", "demo-server-key", &order)
                .unwrap()
                .status,
            200
        );
    }
    let bought = "SELECT sum(purchases_total) AS n FROM members";
    let told = |query: &Server| -> u64 {
        let (status, n) = asked(query, token, bought);
        assert_eq!(status, 200);
        n.as_str()
            .and_then(|n| n.parse().ok())
            .or(n.as_u64())
            .unwrap_or_default()
    };
    for query in &queries {
        until("the profiles", || told(query) == TRIALS as u64);
    }
    for trial in 0..TRIALS {
        decide(
            &intakes[(trial + 1) % 2],
            &customer(trial),
            "withdrawn",
            &format!("w{trial}"),
        );
        let left = (TRIALS - trial - 1) as u64;
        let query = &queries[trial % 2];
        assert_eq!(
            told(query),
            left,
            "trial {trial}: a withdrawal was not honoured"
        );
    }
    // And back again, by the other process: the later receipt is later, whichever stamped it.
    for trial in 0..TRIALS {
        decide(
            &intakes[trial % 2],
            &customer(trial),
            "granted",
            &format!("again{trial}"),
        );
        assert_eq!(told(&queries[trial % 2]), trial as u64 + 1, "trial {trial}");
    }

    // Two projectors share the shards; when one dies the other takes its share over and goes on where the last commit
    // stands.
    until("a share for each projector", || {
        let shares: Vec<u64> = projectors.iter().map(shards).collect();
        shares.iter().sum::<u64>() == PARTITIONS && shares.iter().all(|share| *share > 0)
    });
    let [first, second] = projectors;
    first.signal_kill();
    for trial in 0..TRIALS {
        let order = json!({
            "event": "Order Completed", "userId": customer(trial), "messageId": format!("late{trial}"),
            "properties": { "revenue": 1, "currency": "CNY" },
        });
        let answer = intakes[0].post("/v1/track", "demo-server-key", &order);
        assert_eq!(answer.unwrap().status, 200);
    }
    until("the late orders", || told(&queries[0]) == 2 * TRIALS as u64);
    assert_eq!(shards(&second), PARTITIONS);
    assert!(ready(&second));

    // A command where no server runs joins as one more process.
    let explained = deployment.ok(
        "nobody",
        &[
            "explain",
            "--token",
            token,
            "--purpose",
            "email_marketing",
            "--format",
            "csv",
        ],
    );
    assert!(
        explained.contains(&format!("permitted,{TRIALS}")),
        "{explained}"
    );
    // And one that needs a role asks a process that has it, or is told.
    let (code, talk) = deployment.assent(
        "intake-a",
        &[
            "query",
            "--token",
            token,
            "--purpose",
            "email_marketing",
            bought,
        ],
    );
    assert_eq!(code, Some(2), "{talk}");
    assert!(talk.contains("does not have the role query"), "{talk}");

    // Taken away through one process, gone in the others.
    deployment.ok("query-a", &["principal", "revoke", "me"]);
    assert_eq!(asked(&queries[1], token, bought).0, 401);
    let programme = deployment.folder.path().join("programme");
    std::fs::create_dir(&programme).unwrap();
    with_another_key(&programme);
    deployment.ok("intake-a", &["apply", programme.to_str().unwrap()]);
    for intake in &intakes {
        let call = json!({ "event": "Seen", "userId": "c0" });
        let refused = intake.post("/v1/track", "demo-server-key", &call).unwrap();
        assert_eq!(refused.status, 401, "{:?}", refused.json());
    }
    deployment.ok("query-b", &["doctor"]);
    deployment.ok("nobody", &["doctor"]);
    for server in intakes.into_iter().chain(queries).chain([second]) {
        assert!(server.stop());
    }
}
