//! The product's rooms over a temporary directory, wired as the binary wires them, with a clock and randomness of our
//! own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use assent_consent::{FactKind, Namespace, SubjectId, Timestamp};
use assent_event::{EventId, Identifier, Payload, SubjectFact, Times, topics};
use assent_intake::import::{self, Files, Mapping};
use assent_intake::{Caller, Intake, Known, Outcome, Route};
use assent_journal::{EmbeddedConfig, EmbeddedJournal, Journal, Record, Topic};
use assent_permit::Permit;
use assent_programme::{
    Principal, RegistryState, Role, apply, load, plan_checked, principal_added, token_sha256,
};
use assent_projection::{Definitions, Owner, Parts, Profiles, Progress, Projector, Settings};
use assent_segment::{
    Asked, ByConsent, Engine, Error, ExportFormat, LawfulSession, Limits, QueryResult, SqlCheck,
    Stores,
};
use assent_server::{
    Changes, Control, Examined, ImportProgress, ImportRequest, NewPrincipal, NotReady,
    PrincipalListed, Problem, Projected, Readiness, Services,
};
use assent_vault::{Draft, EmbeddedVault, MasterKey, RandomSource, Sealer, SharedRng, Vault};
use axum::Router;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Mutex, mpsc};

/// The sample keys of `pipelines/sources.yaml`, published there.
pub const SERVER_KEY: &str = "demo-server-key";
/// See [`SERVER_KEY`].
pub const BROWSER_KEY: &str = "demo-browser-key";
/// See [`SERVER_KEY`].
pub const IMPORT_KEY: &str = "demo-import-key";

/// The token of the analyst, who may use every purpose that is no legal duty.
pub const TOKEN: &str = "analyst-token";

const SUBJECT_PARTITIONS: u32 = 4;

/// What the permit index knows of the log, for intake.
struct Followed(Arc<Permit>);

impl Known for Followed {
    fn fact(&self, subject: SubjectId, event: EventId) -> Option<FactKind> {
        self.0.fact(&subject, event.to_bytes())
    }

    fn is_of_erased(&self, source: &str, message_id: &str) -> bool {
        self.0.is_of_erased(source, message_id)
    }

    fn links_ended(&self) -> u64 {
        self.0.links_ended()
    }

    fn linked_with(&self, subject: SubjectId) -> Vec<SubjectId> {
        self.0.linked_with(subject)
    }

    fn is_more_than_restricted(&self, subject: SubjectId) -> bool {
        self.0.is_more_than_restricted(subject)
    }
}

/// The rooms, open.
pub struct House {
    /// The journal; the embedded one unless another was given.
    pub journal: Arc<dyn Journal>,
    /// The embedded vault.
    pub vault: Arc<EmbeddedVault>,
    /// The permit index.
    pub permit: Arc<Permit>,
    /// Intake.
    pub intake: Arc<Intake>,
    /// Opens lawful sessions.
    pub engine: Arc<Engine>,
    /// Where everything lies.
    pub dir: Arc<TempDir>,
    projector: Mutex<Projector>,
    random: Arc<SharedRng<StdRng>>,
    now: Arc<AtomicI64>,
}

/// How a house is opened.
pub struct Opening {
    /// The folder of the programme.
    pub programme: PathBuf,
    /// What time it is, RFC 3339.
    pub now: &'static str,
    /// Whether personal blocks are sealed; off only in the control of the test of planted values.
    pub sealed: bool,
}

impl Opening {
    /// The sample programme, at a time when all of its notices are in force.
    pub fn sample() -> Self {
        Self {
            programme: repository().join("pipelines"),
            now: "2026-06-01T12:00:00+08:00",
            sealed: true,
        }
    }

    /// The house, with the programme applied.
    pub async fn open(self) -> House {
        let dir = Arc::new(TempDir::new().unwrap());
        let journal = embedded(&dir);
        self.over(dir, journal).await
    }

    /// The same on another journal, which holds [`topics`] and nothing in them.
    pub async fn open_on(self, journal: Arc<dyn Journal>) -> House {
        self.over(Arc::new(TempDir::new().unwrap()), journal).await
    }

    async fn over(self, dir: Arc<TempDir>, journal: Arc<dyn Journal>) -> House {
        let house = House::over(dir, journal, at(self.now), self.sealed, 1).await;
        house.define(&self.programme).await;
        house
    }
}

/// The repository's root.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// An instant, from RFC 3339.
pub fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

/// An identifier.
pub fn identifier(namespace: &str, value: &str) -> Identifier {
    Identifier::new(Namespace::parse(namespace).unwrap(), value)
}

impl House {
    async fn over(
        dir: Arc<TempDir>,
        journal: Arc<dyn Journal>,
        now: Timestamp,
        sealed: bool,
        seed: u64,
    ) -> Self {
        let random = Arc::new(SharedRng::new(StdRng::seed_from_u64(seed)));
        let key_file = dir.path().join("master.key");
        let master = if key_file.exists() {
            MasterKey::from_file(&key_file).unwrap()
        } else {
            MasterKey::create_file(&key_file, random.as_ref()).unwrap()
        };
        let vault = EmbeddedVault::open(
            &dir.path().join("vault.redb"),
            master,
            Box::new(Arc::clone(&random)),
        )
        .unwrap();
        let vault = Arc::new(if sealed {
            vault
        } else {
            vault.unsealed_as_test_control()
        });
        let shared_journal = Arc::clone(&journal);
        let shared_vault: Arc<dyn Vault> = Arc::clone(&vault) as Arc<dyn Vault>;
        let config = assent_permit::Config {
            // An unoptimised index may take long over many thousands of decisions.
            barrier_timeout: Duration::from_secs(60),
            ..assent_permit::Config::default()
        };
        let permit = Arc::new(
            Permit::start(
                Arc::clone(&shared_journal),
                Arc::clone(&shared_vault),
                config,
            )
            .unwrap(),
        );
        permit.barrier().await.unwrap();
        let now = Arc::new(AtomicI64::new(now.micros()));
        let clock = {
            let now = Arc::clone(&now);
            move || Timestamp::from_micros(now.load(Ordering::SeqCst))
        };
        let registry = Arc::clone(&permit);
        let intake = Arc::new(Intake::new(
            Arc::clone(&shared_journal),
            Arc::clone(&shared_vault),
            Arc::new(move || registry.registry()),
            Arc::new(clock.clone()),
            Arc::clone(&random) as Arc<dyn RandomSource>,
        ));
        intake.ask(Arc::new(Followed(Arc::clone(&permit))));
        let mut parts = Parts::alone(
            &dir.path().join("profiles"),
            Arc::clone(&shared_journal),
            Arc::clone(&shared_vault),
            Owner::random(&random),
        )
        .unwrap();
        let by_consent = ByConsent::new(Arc::clone(&permit), Arc::new(clock.clone()));
        parts.clustering = Some(Arc::new(by_consent));
        let profiles = Arc::new(Profiles::new(Arc::clone(&parts.storage)));
        let projector =
            Projector::open(parts, definitions(&permit.registry()), Settings::default()).unwrap();
        let engine = Engine::new(
            Stores {
                permit: Arc::clone(&permit),
                journal: shared_journal,
                vault: shared_vault,
                profiles,
            },
            Arc::new(clock),
            Arc::clone(&random) as Arc<dyn RandomSource>,
            Limits::default(),
        );
        Self {
            journal,
            vault,
            permit,
            intake,
            engine,
            dir,
            projector: Mutex::new(projector),
            random,
            now,
        }
    }

    /// The same house after a restart: nothing is remembered but what is stored.
    pub async fn restart(self) -> Self {
        let (dir, now) = (Arc::clone(&self.dir), self.now());
        self.close().await;
        let journal = embedded(&dir);
        Self::over(dir, journal, now, true, 2).await
    }

    /// Lets go of the stores; what is stored stays as long as somebody holds the directory.
    pub async fn close(self) -> Arc<TempDir> {
        let Self {
            journal,
            vault,
            permit,
            intake,
            engine,
            dir,
            projector,
            ..
        } = self;
        drop((journal, vault, permit, intake, engine, projector));
        let free = |name: &str| {
            let file = std::fs::File::open(dir.path().join(name)).unwrap();
            file.try_lock().is_ok()
        };
        // The applier of the permit index ends at its next await, on another thread.
        for _ in 0..1_000 {
            if free("journal.redb") && free("vault.redb") {
                return dir;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("somebody still holds the stores");
    }

    async fn define(&self, programme: &Path) {
        let wanted = load(programme).unwrap_or_else(|faults| panic!("{faults:#?}"));
        let planned = plan_checked(&self.permit.registry(), &wanted, Some(&SqlCheck))
            .unwrap_or_else(|faults| panic!("{faults:#?}"));
        apply(self.journal.as_ref(), &planned, self.now())
            .await
            .unwrap();
        self.permit.barrier().await.unwrap();
        for (name, role, token) in [
            ("analyst", Role::Analyst, TOKEN),
            ("officer", Role::Officer, "officer-token"),
        ] {
            let registry = self.permit.registry();
            let purposes = registry
                .consent()
                .purposes()
                .filter(|purpose| {
                    role == Role::Officer || purpose.basis != assent_consent::LegalBasis::LegalDuty
                })
                .map(|purpose| purpose.id.clone())
                .collect();
            let principal = Principal {
                name: name.to_owned(),
                token_sha256: token_sha256(token),
                role,
                purposes,
                revoked: false,
            };
            let planned = principal_added(&registry, principal).unwrap();
            apply(self.journal.as_ref(), &planned, self.now())
                .await
                .unwrap();
            self.permit.barrier().await.unwrap();
        }
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.now.load(Ordering::SeqCst))
    }

    /// Sets the clock, which never goes back.
    pub fn set_now(&self, to: Timestamp) {
        let before = self.now.swap(to.micros(), Ordering::SeqCst);
        assert!(before <= to.micros(), "the clock would go back");
    }

    /// A second passes: what is sent next is later than everything sent before.
    pub fn tick(&self) {
        self.now.fetch_add(1_000_000, Ordering::SeqCst);
    }

    /// Sends decisions and facts a second later.
    pub async fn consents(&self, key: &str, body: Value) -> Vec<Outcome> {
        self.tick();
        self.intake
            .consents(&Caller::with_key(key), body)
            .await
            .unwrap()
    }

    /// Sends decisions or facts that must be taken; each under a message id of its own, if it has none.
    pub async fn decide(&self, mut body: Value) {
        let all = match &mut body {
            Value::Array(all) => all.as_mut_slice(),
            one => std::slice::from_mut(one),
        };
        for (index, one) in all.iter_mut().enumerate() {
            if one.get("message_id").is_none() {
                one["message_id"] = format!("decided-{}-{index}", self.now().micros()).into();
            }
        }
        let outcomes = self.consents(SERVER_KEY, body).await;
        assert!(outcomes.iter().all(is_journalled), "{outcomes:?}");
    }

    /// Sends one call, or a batch of them, a second later.
    pub async fn call(&self, key: &str, route: Route, body: Value) -> Vec<Outcome> {
        self.tick();
        self.intake
            .events(&Caller::with_key(key), route, body.to_string().into_bytes())
            .await
            .unwrap()
    }

    /// Imports a file.
    pub async fn import(&self, file: &Path, mapping: &Path) -> import::Progress {
        let mapping = Mapping::parse(&std::fs::read_to_string(mapping).unwrap()).unwrap();
        let mut files = Files::beside(&self.dir.path().join("import.csv"));
        files.input = file.to_owned();
        import::run(&self.intake, &mapping, &files, &mut |_| {})
            .await
            .unwrap()
    }

    /// Folds what the journal holds into the profiles.
    pub async fn project(&self) -> Progress {
        self.fold(async |projector| projector.run_once().await)
            .await
    }

    /// As [`House::project`], and puts files together as a projector does that has nothing more to fold.
    pub async fn project_to_rest(&self) -> Progress {
        self.fold(async |projector| projector.run_to_rest().await)
            .await
    }

    /// Folds everything anew.
    pub async fn rebuild(&self) -> Progress {
        self.fold(async |projector| projector.rebuild().await).await
    }

    /// With the definitions in force.
    async fn fold(
        &self,
        work: impl AsyncFnOnce(&mut Projector) -> Result<Progress, assent_projection::Error>,
    ) -> Progress {
        let mut projector = self.projector.lock().await;
        let definitions = definitions(&self.permit.registry());
        projector.adopt(definitions).unwrap();
        work(&mut projector).await.unwrap()
    }

    /// Removes what is erased from the profiles.
    pub async fn purge(&self) -> Progress {
        self.projector.lock().await.purge_erased().await.unwrap()
    }

    /// Asks as the analyst.
    pub async fn ask(&self, use_: &str, sql: &str) -> Result<QueryResult, Error> {
        self.ask_as("analyst", use_, sql).await
    }

    /// Asks as `analyst` or `officer`.
    pub async fn ask_as(&self, who: &str, use_: &str, sql: &str) -> Result<QueryResult, Error> {
        let principal = self.permit.registry().principal(who).cloned();
        LawfulSession::open(&self.engine, &principal.unwrap(), &asked(use_), None)
            .await?
            .query(sql)
            .await
    }

    /// The rows of a query that must succeed.
    pub async fn rows(&self, use_: &str, sql: &str) -> Vec<Vec<Value>> {
        self.rows_as("analyst", use_, sql).await
    }

    /// As [`House::rows`], for `analyst` or `officer`.
    pub async fn rows_as(&self, who: &str, use_: &str, sql: &str) -> Vec<Vec<Value>> {
        let result = self.ask_as(who, use_, sql).await.unwrap();
        result.batches.iter().flat_map(rows).collect()
    }

    /// Whether this person is among the members under a use: `purpose`, `purpose/channel` or `purpose//recipient`.
    pub async fn sees(&self, use_: &str, subject: SubjectId) -> bool {
        let sql = format!("SELECT member_id FROM members WHERE member_id = '{subject}'");
        !self.rows(use_, &sql).await.is_empty()
    }

    /// Runs a segment.
    pub async fn run(&self, segment: &str) -> QueryResult {
        self.for_segment(segment)
            .await
            .run_segment(segment)
            .await
            .unwrap()
    }

    /// A session of the analyst under a segment's own use.
    pub async fn for_segment(&self, segment: &str) -> LawfulSession {
        let principal = self.permit.registry().principal("analyst").cloned();
        LawfulSession::for_segment(&self.engine, &principal.unwrap(), segment, None)
            .await
            .unwrap()
    }

    /// Exports a segment, as CSV: the identifiers in the file, in ascending order.
    pub async fn exported(&self, segment: &str) -> Vec<String> {
        let session = self.for_segment(segment).await;
        let made = session
            .export_segment(segment, ExportFormat::Csv, self.dir.path(), 7)
            .await
            .unwrap();
        assert_eq!(made.manifest.not_exportable, 0);
        let mut reader = csv::Reader::from_path(&made.file).unwrap();
        let mut identifiers: Vec<String> = reader
            .records()
            .map(|record| record.unwrap()[1].to_owned())
            .collect();
        assert_eq!(identifiers.len(), made.manifest.rows);
        identifiers.sort();
        identifiers
    }

    /// The subject of an identifier that is known.
    pub fn subject(&self, namespace: &str, value: &str) -> SubjectId {
        self.vault
            .subjects(&[identifier(namespace, value)], false)
            .unwrap()[0]
            .unwrap()
    }

    /// Erases a person as the request's way will: the keys go, and the fact is recorded for ever.
    pub async fn erase(&self, subject: SubjectId) {
        self.tick();
        self.vault.destroy(subject).unwrap();
        let mut id = [0; 16];
        self.random.fill(&mut id);
        let draft = Draft {
            id: assent_event::EventId::from_bytes(id),
            subject,
            source: "assent".to_owned(),
            message_id: format!("erase-{subject}"),
            times: Times::at(self.now()),
            payload: Payload::from(SubjectFact::erased()),
        };
        let sealed = Sealer::new(self.vault.as_ref(), self.random.as_ref())
            .seal_batch(vec![draft])
            .unwrap();
        let records = sealed
            .into_iter()
            .map(|envelope| Record {
                topic: Topic::new(envelope.kind.topic()),
                key: bytes::Bytes::copy_from_slice(envelope.subject.as_bytes()),
                value: envelope.encode().unwrap().into(),
                headers: Vec::new(),
            })
            .collect();
        self.journal.append(records).await.unwrap();
    }

    /// The HTTP routes of the port.
    pub fn router(&self) -> Router {
        self.router_over(&self.engine)
    }

    /// The same over another engine.
    pub fn router_over(&self, engine: &Arc<Engine>) -> Router {
        assent_server::router(Services {
            body_limit: self.intake.limits().body_bytes,
            intake: Some(Arc::clone(&self.intake)),
            engine: Some(Arc::clone(engine)),
            projects: false,
            works: false,
            control: Arc::new(NoOwner),
            readiness: Arc::new(NoOwner),
            metrics: None,
        })
    }
}

/// A grant under the sample programme's present notice, each with a message id of its own.
pub fn grant(customer: &str, purpose: &str) -> Value {
    static GRANTS: AtomicU64 = AtomicU64::new(0);
    let number = GRANTS.fetch_add(1, Ordering::Relaxed);
    json!({
        "subject": {"customer_no": customer}, "purpose": purpose, "state": "granted",
        "notice": "membership@2", "act": "checkbox_ticked", "message_id": format!("grant-{number}"),
    })
}

/// A withdrawal.
pub fn withdrawal(customer: &str, purpose: &str) -> Value {
    json!({"subject": {"customer_no": customer}, "purpose": purpose, "state": "withdrawn"})
}

/// Whether an event was taken.
pub fn is_journalled(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Journalled { .. })
}

/// `purpose`, `purpose/channel` or `purpose//recipient`.
fn asked(use_: &str) -> Asked {
    let mut parts = use_
        .split('/')
        .map(|part| (!part.is_empty()).then(|| part.to_owned()));
    Asked {
        purpose: parts.next().flatten(),
        channel: parts.next().flatten(),
        recipient: parts.next().flatten(),
    }
}

/// The topics and how many partitions each has.
pub fn topics() -> Vec<(Topic, u32)> {
    let of = |topic| match topic {
        topics::REGISTRY | topics::USE | topics::REJECTS => 1,
        _ => SUBJECT_PARTITIONS,
    };
    topics::ALL
        .map(|topic| (Topic::new(topic), of(topic)))
        .to_vec()
}

fn embedded(dir: &TempDir) -> Arc<dyn Journal> {
    let path = dir.path().join("journal.redb");
    Arc::new(EmbeddedJournal::open(&path, EmbeddedConfig::new(topics())).unwrap())
}

fn definitions(registry: &RegistryState) -> Definitions {
    let settings = registry.settings();
    let mut definitions = Definitions::new(registry.traits().clone(), settings.calendar);
    definitions.dedup_window_micros = i64::from(settings.deduplication_days) * 86_400_000_000;
    definitions
}

/// Cells as JSON; instants are microseconds since 1970.
fn rows(batch: &RecordBatch) -> Vec<Vec<Value>> {
    let cell = |column: &dyn Array, row: usize| {
        if column.is_null(row) {
            return Value::Null;
        }
        match column.data_type() {
            DataType::Utf8 => column.as_string::<i32>().value(row).into(),
            DataType::Int64 => column.as_primitive::<Int64Type>().value(row).into(),
            DataType::Float64 => column.as_primitive::<Float64Type>().value(row).into(),
            DataType::Boolean => column.as_boolean().value(row).into(),
            DataType::Timestamp(TimeUnit::Microsecond, _) => column
                .as_primitive::<TimestampMicrosecondType>()
                .value(row)
                .into(),
            other => panic!("no test reads {other}"),
        }
    };
    (0..batch.num_rows())
        .map(|row| {
            batch
                .columns()
                .iter()
                .map(|column| cell(column, row))
                .collect()
        })
        .collect()
}

/// Nobody owns the data directory here: the routes of the port do not reach the owner's commands.
struct NoOwner;

#[async_trait::async_trait]
impl Control for NoOwner {
    async fn plan(&self, _dir: PathBuf) -> Result<Changes, Problem> {
        Err(nobody())
    }

    async fn apply(&self, _dir: PathBuf) -> Result<Changes, Problem> {
        Err(nobody())
    }

    async fn import(
        &self,
        _request: ImportRequest,
        _progress: mpsc::UnboundedSender<ImportProgress>,
    ) {
    }

    async fn project(&self, _rebuild: bool) -> Result<Projected, Problem> {
        Err(nobody())
    }

    async fn add_principal(&self, _request: NewPrincipal) -> Result<String, Problem> {
        Err(nobody())
    }

    async fn revoke_principal(&self, _name: &str) -> Result<(), Problem> {
        Err(nobody())
    }

    async fn principals(&self) -> Result<Vec<PrincipalListed>, Problem> {
        Err(nobody())
    }

    async fn examine(&self) -> Examined {
        Examined::default()
    }
}

#[async_trait::async_trait]
impl Readiness for NoOwner {
    async fn check(&self) -> Vec<NotReady> {
        Vec::new()
    }
}

fn nobody() -> Problem {
    Problem::unavailable("no_owner", "not offered here")
}
