//! A process answers the routes of its roles and no others, and says that it is not ready exactly when one of its roles
//! cannot do its job.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use assent_consent::Category;
use assent_event::{Envelope, EventId, IdentityLink, KeyClass, Payload, Times, topics};
use assent_journal::{Batch, Checkpoint, Error, ErrorKind, Position, ReadLimit, Record, Topic};
use assent_programme::{IdentifiedTrait, Programme, RegistryState, TraitType};
use assent_server::{Control, Readiness, Route};
use assent_vault::KeyState;
use async_trait::async_trait;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use super::*;
use crate::config::Sources;

fn config(dir: &Path, roles: &str) -> Config {
    let loaded = Config::load(&Sources {
        flags: vec![("data_dir", "--data-dir", dir.display().to_string())],
        ..Sources::default()
    });
    Config {
        // A worker over a journal of its own would be refused: it is of no use, but does no harm.
        roles: roles.parse().unwrap(),
        ..loaded.unwrap()
    }
}

/// The programme's checks refuse such traits; a journal may hold them all the same, from before.
#[test]
fn a_catalogue_that_cannot_be_folded_closes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    // Its tasks end with the runtime, as they do with the process.
    let run = |work: &mut dyn FnMut(&tokio::runtime::Runtime, Node)| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let node = runtime.block_on(Node::open(config(dir.path(), "intake,projector,query")));
        work(&runtime, node.unwrap());
    };
    run(&mut |runtime, node| {
        runtime.block_on(apply_traits(&node, &["score", "score__at"]));
        let profiles = dir.path().join("profiles").metadata().unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&profiles.permissions());
        assert_eq!(mode & 0o777, 0o700);
    });
    run(&mut |runtime, node| {
        let why = |node: &Node| {
            let mut missing = runtime.block_on(node.ready().check());
            missing.retain(|one| one.what == "projector/fold");
            missing.pop().map(|one| one.why)
        };
        let told = why(&node).unwrap();
        assert!(
            told.contains("traits.yaml") && !told.contains("score"),
            "{told}"
        );
        for rebuild in [false, true] {
            let outcome = runtime.block_on(node.projection().unwrap().project(rebuild));
            let problem = outcome.unwrap_err();
            assert!(problem.detail.contains("score__at"), "{problem:?}");
        }
        runtime.block_on(async {
            apply_traits(&node, &["score"]).await;
            node.projection().unwrap().project(false).await.unwrap();
        });
        assert_eq!(why(&node), None);
    });
}

async fn apply_traits(node: &Node, names: &[&str]) {
    let journal = node.stores().journal.as_ref();
    let state = RegistryState::fold(journal).await.unwrap();
    let mut programme = Programme::default();
    programme.traits.identified = names
        .iter()
        .map(|name| IdentifiedTrait {
            name: (*name).to_owned(),
            r#type: TraitType::Text,
            category: Category::parse("profile").unwrap(),
            sensitive: false,
            description: String::new(),
        })
        .collect();
    let plan = assent_programme::plan(&state, &programme).unwrap();
    assent_programme::apply(journal, &plan, clock::now())
        .await
        .unwrap();
}

fn pipelines() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines")
}

/// The code of the problem that a route answers without a body and a credential; empty when it answers well.
async fn code(router: &axum::Router, path: &str) -> String {
    let path = path.replace("{name}", "anything");
    let mut codes = Vec::new();
    for method in ["GET", "POST"] {
        let request = Request::builder().method(method).uri(&path);
        let request = request.body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        if response.status().as_u16() == 405 {
            continue;
        }
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        codes.push(body["code"].as_str().unwrap_or_default().to_owned());
    }
    codes.pop().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_answers_the_routes_of_its_roles_only() {
    let routes = assent_server::table();
    let mut answers: Vec<Vec<bool>> = vec![Vec::new(); routes.len()];
    for role in ProcessRole::ALL {
        let dir = tempfile::tempdir().unwrap();
        let node = Node::open(config(dir.path(), role.as_str())).await.unwrap();
        let port = assent_server::router(node.services(None));
        let socket = assent_server::local_router(node.services(None));
        for (route, answers) in routes.iter().zip(&mut answers) {
            let (on_port, on_socket) = (
                code(&port, route.path).await,
                code(&socket, route.path).await,
            );
            if route.owners {
                assert_eq!(on_port, "no_such_route", "{} on the port", route.path);
            } else {
                assert_eq!(on_port, on_socket, "{}", route.path);
            }
            assert_ne!(on_socket, "no_such_route", "{}", route.path);
            answers.push(on_socket != "role_missing");
        }
        assert_eq!(code(&port, "/v1/nothing").await, "no_such_route");
    }
    let mut text = format!("{:<36} {:<7}", "route", "surface");
    for role in ProcessRole::ALL {
        text.push_str(&format!(" {role:<9}"));
    }
    for (route, answers) in routes.iter().zip(&answers) {
        let surface = if route.owners { "socket" } else { "port" };
        text.push_str(&format!("\n{:<36} {surface:<7}", route.path));
        for answers in answers {
            text.push_str(&format!(" {:<9}", if *answers { "yes" } else { "404" }));
        }
    }
    let text: String = text
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect();
    golden("routes.txt", &text);
    // What the table says of roles and what is answered are the same thing.
    for (Route { path, role, .. }, answers) in routes.iter().zip(&answers) {
        let expected: Vec<bool> = ProcessRole::ALL
            .into_iter()
            .map(|held| role.is_none_or(|role| role == held))
            .collect();
        assert_eq!(*answers, expected, "{path}");
    }
}

/// Compares with a file under `tests/golden`; writes it where ASSENT_WRITE_GOLDEN is set.
fn golden(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("ASSENT_WRITE_GOLDEN").is_some() {
        std::fs::write(&file, text).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(text == committed, "{name} is now\n{text}");
}

/// A journal and a vault that can be taken away.
#[derive(Default)]
struct Away {
    journal: AtomicBool,
    vault: AtomicBool,
}

struct LosableJournal(Arc<dyn Journal>, Arc<Away>);

impl LosableJournal {
    fn here(&self) -> Result<(), Error> {
        if self.1.journal.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Unavailable, "taken away"));
        }
        Ok(())
    }
}

#[async_trait]
impl Journal for LosableJournal {
    fn partitions(&self, topic: &Topic) -> Result<u32, Error> {
        self.0.partitions(topic)
    }

    async fn append(&self, records: Vec<Record>) -> Result<Vec<Position>, Error> {
        self.here()?;
        self.0.append(records).await
    }

    async fn read(
        &self,
        topic: &Topic,
        partition: u32,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Batch, Error> {
        self.here()?;
        self.0.read(topic, partition, from, limit).await
    }

    async fn end_positions(&self, topics: &[Topic]) -> Result<Checkpoint, Error> {
        self.here()?;
        self.0.end_positions(topics).await
    }

    async fn changed(&self, seen: &Checkpoint, timeout: Duration) -> Result<(), Error> {
        self.0.changed(seen, timeout).await
    }
}

struct LosableVault(Arc<dyn Vault>, Arc<Away>);

impl LosableVault {
    fn here(&self) -> Result<(), assent_vault::Error> {
        if self.1.vault.load(Ordering::SeqCst) {
            return Err(assent_vault::Error::Store {
                action: "answer",
                source: "taken away".into(),
            });
        }
        Ok(())
    }
}

impl Vault for LosableVault {
    fn subjects(
        &self,
        ids: &[Identifier],
        create: bool,
    ) -> Result<Vec<Option<SubjectId>>, assent_vault::Error> {
        self.here()?;
        self.0.subjects(ids, create)
    }

    fn identifiers(
        &self,
        subjects: &[SubjectId],
        namespace: &Namespace,
    ) -> Result<Vec<Option<String>>, assent_vault::Error> {
        self.here()?;
        self.0.identifiers(subjects, namespace)
    }

    fn keys(
        &self,
        wanted: &[(SubjectId, KeyClass)],
        create: bool,
    ) -> Result<Vec<KeyState>, assent_vault::Error> {
        self.here()?;
        self.0.keys(wanted, create)
    }

    fn destroy_classes(
        &self,
        subject: SubjectId,
        classes: &[KeyClass],
    ) -> Result<(), assent_vault::Error> {
        self.here()?;
        self.0.destroy_classes(subject, classes)
    }

    fn master_version(&self) -> u32 {
        self.0.master_version()
    }

    fn roll(&self, new: &assent_vault::MasterKey) -> Result<(), assent_vault::Error> {
        self.here()?;
        self.0.roll(new)
    }

    fn adopt(&self, master: &assent_vault::MasterKey) -> Result<(), assent_vault::Error> {
        self.here()?;
        self.0.adopt(master)
    }
}

async fn losable(dir: &Path, roles: &str) -> (Node, Arc<Away>) {
    let config = config(dir, roles);
    let random: Arc<dyn RandomSource> = Arc::new(clock::generator());
    let away = Arc::new(Away::default());
    let journal = stores::journal(&config).await.unwrap();
    let journal = Arc::new(LosableJournal(journal, Arc::clone(&away)));
    let vault = stores::vault(&config, &random).unwrap();
    let vault = Arc::new(LosableVault(vault, Arc::clone(&away)));
    let owner = assent_projection::Owner::random(&random);
    let storage = stores::profiles(&config, owner).await.unwrap();
    let opened = Opened {
        journal,
        vault: Some(vault),
        storage: Some(storage),
        random,
        owner,
    };
    let node = Node::over(config, opened).await.unwrap();
    (node, away)
}

async fn missing(node: &Node) -> Vec<&'static str> {
    node.ready()
        .check()
        .await
        .iter()
        .map(|one| one.what)
        .collect()
}

const NOTHING: [&str; 0] = [];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn intake_is_ready_when_journal_vault_and_definitions_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let (node, away) = losable(dir.path(), "intake").await;
    assert_eq!(missing(&node).await, ["intake/definitions"]);
    node.owner().apply(pipelines()).await.unwrap();
    assert_eq!(missing(&node).await, NOTHING);
    away.vault.store(true, Ordering::SeqCst);
    assert_eq!(missing(&node).await, ["intake/vault"]);
    away.vault.store(false, Ordering::SeqCst);
    away.journal.store(true, Ordering::SeqCst);
    assert_eq!(missing(&node).await, ["intake/journal"]);
    away.journal.store(false, Ordering::SeqCst);
    assert_eq!(missing(&node).await, NOTHING);
    node.ready().stop();
    assert_eq!(missing(&node).await, ["process"]);
}

/// An event that was received then, as intake writes it.
fn received(at: Timestamp) -> Record {
    let payload = Payload::from(IdentityLink::linked(SubjectId::from_bytes([2; 16])));
    let (clear, _) = payload.blocks().unwrap();
    let envelope = Envelope {
        id: EventId::from_bytes([1; 16]),
        kind: payload.kind(),
        schema_id: payload.schema_id(),
        subject: SubjectId::from_bytes([1; 16]),
        source: "demo-server".to_owned(),
        message_id: "m1".to_owned(),
        times: Times::at(at),
        clear,
        sealed: Vec::new(),
    };
    Record {
        topic: Topic::new(topics::CONSENT),
        key: envelope.subject.to_bytes().to_vec().into(),
        value: envelope.encode().unwrap().into(),
        headers: Vec::new(),
    }
}

/// Opens the stores of a node that was dropped as soon as its last task lets go of them.
async fn opened(config: Config) -> Result<Node, Failure> {
    let mut tries = 0..100;
    loop {
        match Node::open(config.clone()).await {
            Err(failure) if failure.to_string().contains("in use") && tries.next().is_some() => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            opened => return opened,
        }
    }
}

/// Founds the stores; then one event was received.
async fn received_once(dir: &Path, at: Timestamp) {
    let node = Node::open(config(dir, "all")).await.unwrap();
    let journal = &node.stores().journal;
    journal.append(vec![received(at)]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_empty_vault_takes_the_place_of_one_that_was_lost() {
    let dir = tempfile::tempdir().unwrap();
    received_once(dir.path(), clock::now()).await;
    drop(opened(config(dir.path(), "all")).await.unwrap());
    let (vault, key) = (dir.path().join("vault.redb"), dir.path().join("master.key"));
    for lost in [vault, key] {
        assert!(lost.exists(), "control: {}", lost.display());
        let aside = lost.with_extension("aside");
        std::fs::rename(&lost, &aside).unwrap();
        let refused = opened(config(dir.path(), "all")).await.err().unwrap();
        let text = refused.to_string();
        assert!(
            text.contains(&format!("{} is not there", lost.display())),
            "{text}"
        );
        assert!(!lost.exists(), "nothing was made in its place");
        std::fs::rename(&aside, &lost).unwrap();
        drop(opened(config(dir.path(), "all")).await.unwrap());
    }
}

/// One reading of a clock far ahead would hold all later receipts there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_pause_nothing_is_taken_in_before_the_date_is_confirmed() {
    let refusal = || serde_json::json!({"subject": {"customer_no": "1"}, "state": "refused"});
    let caller = assent_intake::Caller::with_key("demo-server-key");
    let dir = tempfile::tempdir().unwrap();
    let node = Node::open(config(dir.path(), "all")).await.unwrap();
    node.owner().apply(pipelines()).await.unwrap();
    node.stores().knowledge.catch_up().await.unwrap();
    // Nothing was received yet, so nothing tells of a pause.
    node.intake()
        .unwrap()
        .consents(&caller, refusal())
        .await
        .unwrap();
    drop(node);

    let dir = tempfile::tempdir().unwrap();
    let days = |days: i64| clock::now().plus_micros(days * 86_400_000_000);
    received_once(dir.path(), days(-3)).await;
    let node = opened(config(dir.path(), "all")).await.unwrap();
    node.owner().apply(pipelines()).await.unwrap();
    node.stores().knowledge.catch_up().await.unwrap();
    assert_eq!(missing(&node).await, ["intake/clock"]);
    let error = node.intake().unwrap().consents(&caller, refusal()).await;
    assert_eq!(error.unwrap_err().code(), "clock_ahead");
    drop(node);

    let calendar = assent_consent::Calendar::default();
    let told = |days_on: i64| Config {
        today: Some(calendar.day_of(days(days_on))),
        ..config(dir.path(), "all")
    };
    let wrong = opened(told(-1))
        .await
        .err()
        .map(|failure| failure.to_string());
    assert!(
        wrong.as_ref().is_some_and(|text| text.contains("shows")),
        "{wrong:?}"
    );
    let node = opened(told(0)).await.unwrap();
    assert_eq!(missing(&node).await, NOTHING);
    node.intake()
        .unwrap()
        .consents(&caller, refusal())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_process_is_ready_when_the_barrier_passes_and_profiles_load() {
    let dir = tempfile::tempdir().unwrap();
    let (node, away) = losable(dir.path(), "query").await;
    assert_eq!(missing(&node).await, NOTHING, "no profiles yet is no fault");
    away.journal.store(true, Ordering::SeqCst);
    assert_eq!(missing(&node).await, ["query/barrier"]);
    away.journal.store(false, Ordering::SeqCst);
    assert_eq!(missing(&node).await, NOTHING);
    away.vault.store(true, Ordering::SeqCst);
    assert_eq!(
        missing(&node).await,
        NOTHING,
        "a query never asks the vault"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_profiles_make_a_query_process_not_ready() {
    let dir = tempfile::tempdir().unwrap();
    let (node, _away) = losable(dir.path(), "projector,query").await;
    node.owner().apply(pipelines()).await.unwrap();
    node.projection().unwrap().project(false).await.unwrap();
    assert_eq!(missing(&node).await, NOTHING);
    let manifests = dir.path().join("profiles/manifest");
    // A manifest that was read stays known, as none ever changes: the damage comes with the next.
    std::fs::write(manifests.join(format!("{:020}.json", u64::MAX)), "{").unwrap();
    assert_eq!(missing(&node).await, ["query/profiles"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_projector_is_ready_unless_its_last_fold_failed() {
    let dir = tempfile::tempdir().unwrap();
    let (node, away) = losable(dir.path(), "projector").await;
    let projection = node.projection().unwrap();
    projection.project(false).await.unwrap();
    assert_eq!(missing(&node).await, NOTHING);
    away.journal.store(true, Ordering::SeqCst);
    assert!(projection.project(false).await.is_err());
    assert_eq!(missing(&node).await, ["projector/fold"]);
    away.journal.store(false, Ordering::SeqCst);
    projection.project(false).await.unwrap();
    assert_eq!(missing(&node).await, NOTHING);
}
