//! The lawful session: one principal, one purpose, one place and one instant.
//!
//! What a session stands on is fixed when it is opened and never changes: to see a later withdrawal or a later profile,
//! open another session. Sessions are cheap.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use assent_consent::{Purpose, Timestamp, Use};
use assent_journal::Checkpoint;
use assent_permit::{ErrorKind as PermitKind, PermitSet};
use assent_programme::{Principal, RegistryState, Role};
use assent_projection::{ErrorKind as ProjectionKind, Snapshot};

use crate::engine::Engine;
use crate::entitlement::{self, Asked, Entitled};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{self, Format};
use crate::gate::{self, ColumnDoc, Foundation, Gate, Shape, Standing};
use crate::guards::Guard;
use crate::metrics;
use crate::running::{Bounds, Running};
use crate::use_log::{self, Entry, User};
use crate::workers::Turn;

/// What an answer rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// What was declared.
    pub declared: Use,
    /// The instant at which windows, expiry and verdicts were evaluated.
    pub evaluated_at: Timestamp,
    /// Whether that instant was asked for, rather than the present.
    pub looking_back: bool,
    /// How far the consent and registry topics were applied.
    pub position: Checkpoint,
    /// The manifest of the profiles; 0 before the first.
    pub manifest: u64,
    /// How far the profile and behaviour topics were folded into it.
    pub projected: Checkpoint,
}

impl Answered {
    /// The place as JSON, as answers and export manifests show it. How far each partition has got would tell how much
    /// the people do whom the reader may not see (I1), so the positions stand there as a digest only; an officer finds
    /// them by it in the use log.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "evaluated_at": self.evaluated_at,
            "looking_back": self.looking_back,
            "position": self.digest(),
        })
    }

    /// The place as JSON with every position and the digest that answers show, for the use log.
    pub(crate) fn for_the_log(&self) -> serde_json::Value {
        let mut place = self.place();
        place["digest"] = self.digest().into();
        place
    }

    fn place(&self) -> serde_json::Value {
        serde_json::json!({
            "evaluated_at": self.evaluated_at,
            "looking_back": self.looking_back,
            "position": positions(&self.position),
            "manifest": self.manifest,
            "projected": positions(&self.projected),
        })
    }

    /// By which the use log has its positions.
    pub(crate) fn digest(&self) -> String {
        use_log::sha256_hex(&self.place().to_string())
    }
}

fn positions(checkpoint: &Checkpoint) -> BTreeMap<String, BTreeMap<String, u64>> {
    let mut topics: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for (topic, partition, next) in checkpoint.iter() {
        topics
            .entry(topic.as_str().to_owned())
            .or_default()
            .insert(partition.to_string(), next);
    }
    topics
}

/// The rows of a query, and what they rest on.
#[derive(Debug, Clone)]
pub struct QueryResult {
    /// The columns.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
    /// How many rows.
    pub rows: usize,
    /// What they rest on.
    pub answered: Answered,
    /// How many bytes they may have, written out.
    pub(crate) byte_limit: usize,
}

impl QueryResult {
    /// The rows as bytes. Computes without ever waiting: elsewhere than in a test use [`Engine::encode`].
    ///
    /// # Errors
    /// As [`format::encode`].
    pub fn encode(&self, format: Format) -> Result<Vec<u8>> {
        format::encode_within(self.byte_limit, format, &self.schema, &self.batches)
    }
}

/// A session of one principal for one purpose.
pub struct LawfulSession {
    pub(crate) engine: Arc<Engine>,
    pub(crate) principal: Principal,
    pub(crate) purpose: Purpose,
    /// Where it stands; each query has a gate of its own there.
    pub(crate) gate: Gate,
    pub(crate) answered: Answered,
    pub(crate) shapes: Vec<Shape>,
}

impl std::fmt::Debug for LawfulSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LawfulSession")
            .field("principal", &self.principal.name)
            .field("answered", &self.answered)
            .finish_non_exhaustive()
    }
}

impl LawfulSession {
    /// Opens a session: checks the entitlement, runs the barrier and fixes what the session stands on. It waits for
    /// consent and definitions (I2), not for the projection.
    ///
    /// `as_of` looks back: rows are those that were lawful then, are lawful now and were not erased.
    ///
    /// # Errors
    /// `Invalid` and `Denied` list the purposes allowed. `Unavailable` when the barrier was refused: nothing can be
    /// lawful then. `Corrupt` when the journal or the profiles do not read.
    pub async fn open(
        engine: &Arc<Engine>,
        principal: &Principal,
        asked: &Asked,
        as_of: Option<Timestamp>,
    ) -> Result<Self> {
        Self::open_for(engine, principal, |_| Ok(asked.clone()), as_of).await
    }

    /// As [`LawfulSession::open`]; what is asked may depend on the definitions that the barrier found.
    pub(crate) async fn open_for(
        engine: &Arc<Engine>,
        principal: &Principal,
        asked: impl FnOnce(&RegistryState) -> Result<Asked>,
        as_of: Option<Timestamp>,
    ) -> Result<Self> {
        let permit = &engine.stores.permit;
        let position = if engine.guards.stand(Guard::Barrier) {
            permit.barrier().await.map_err(|error| refused(&error))?
        } else {
            permit.applied()
        };
        let registry = permit.registry();
        let principal = current(&registry, principal)?;
        let Entitled { declared, purpose } =
            entitlement::check(&registry, &principal, &asked(&registry)?)?;
        let snapshot = latest(engine).await?;
        let standing = stand(engine, &declared, as_of, snapshot.as_ref()).await?;
        let evaluated_at = standing.evaluated_at();
        let answered = Answered {
            declared: declared.clone(),
            evaluated_at,
            looking_back: as_of.is_some(),
            position: position.join(&standing.set().position),
            manifest: snapshot.as_ref().map_or(0, |s| s.manifest().number),
            projected: snapshot
                .as_ref()
                .map_or_else(Checkpoint::new, |s| s.manifest().checkpoint()),
        };
        let shapes = gate::visible(&registry, &purpose.categories);
        let foundation = Foundation {
            declared,
            standing,
            snapshot,
            position: answered.position.clone(),
            registry,
        };
        let gate = Gate::on(engine, &purpose, foundation);
        Ok(Self {
            engine: Arc::clone(engine),
            principal,
            purpose,
            gate,
            answered,
            shapes,
        })
    }

    /// What every answer of this session rests on.
    #[must_use]
    pub fn answered(&self) -> &Answered {
        &self.answered
    }

    /// The purpose, as it is defined at the session's place.
    #[must_use]
    pub fn purpose(&self) -> &Purpose {
        &self.purpose
    }

    /// The principal, as it is defined at the session's place.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The definitions in force.
    #[must_use]
    pub fn registry(&self) -> &Arc<RegistryState> {
        &self.gate.registry
    }

    /// The columns that this session can see.
    #[must_use]
    pub fn columns(&self) -> Vec<ColumnDoc> {
        let seen = |column: &ColumnDoc| {
            self.shapes.iter().any(|shape| {
                shape.table.as_str() == column.table && shape.column(&column.name).is_some()
            })
        };
        let mut columns = gate::column_docs(&self.gate.registry);
        columns.retain(seen);
        columns
    }

    /// Answers a query. The use is journalled before anything leaves.
    ///
    /// # Errors
    /// `Invalid` for what is not a lawful query, with the place and what is allowed; `Exhausted` at a limit;
    /// `Unavailable` when the use cannot be journalled. No text holds a value (I1).
    pub async fn query(&self, sql: &str) -> Result<QueryResult> {
        let operation = if self.answered.looking_back {
            "as_of"
        } else {
            "query"
        };
        let result = self.rows(sql).await;
        self.record(operation, Some(sql), None, &result).await?;
        result
    }

    /// Answers without journalling; every caller journals before it lets anything out. Planning and running happen on
    /// the engine's own threads, so that no query keeps whatever else this process serves waiting.
    pub(crate) async fn rows(&self, sql: &str) -> Result<QueryResult> {
        self.run(sql, Bounds::of_a_result(&self.engine.limits))
            .await
    }

    /// As [`LawfulSession::rows`], the distinct ids of a segment's query; for exports, whose limit is their own.
    pub(crate) async fn ids(&self, sql: &str) -> Result<QueryResult> {
        self.run(sql, Bounds::of_ids(&self.engine.limits)).await
    }

    async fn run(&self, sql: &str, bounds: Bounds) -> Result<QueryResult> {
        let begin = Instant::now();
        let running = Running {
            gate: self.gate.clone(),
            shapes: self.shapes.clone(),
            engine: Arc::clone(&self.engine),
            bounds,
            answered: self.answered.clone(),
            asked: begin,
            segments: self.kept_segments(),
        };
        let sql = sql.to_owned();
        let rows = self
            .engine
            .workers
            .run(self.engine.limits.timeout, |turn| async move {
                running.answer(turn, &sql).await
            })
            .await;
        metrics::asked(begin.elapsed(), &rows);
        rows
    }

    /// Journals what is about to leave, be it rows or an error.
    pub(crate) async fn record(
        &self,
        operation: &'static str,
        sql: Option<&str>,
        segment: Option<(String, u32)>,
        result: &Result<QueryResult>,
    ) -> Result<()> {
        let (rows, outcome) = match result {
            Ok(result) => (Some(result.rows), "answered".to_owned()),
            Err(error) => (None, format!("failed: {}", error.code())),
        };
        self.journal(Entry {
            operation,
            sql: sql.map(str::to_owned),
            segment,
            rows,
            outcome,
            ..Entry::default()
        })
        .await
    }

    pub(crate) async fn journal(&self, entry: Entry) -> Result<()> {
        let user = User {
            principal: self.principal.name.clone(),
            declared: self.answered.declared.clone(),
            basis: self.purpose.basis,
            position: self.answered.for_the_log().to_string(),
            as_of: self
                .answered
                .looking_back
                .then_some(self.answered.evaluated_at),
        };
        use_log::journal(&self.engine, &user, entry).await
    }
}

/// The principal as it is defined now: it may have been revoked, or given another token, since the caller looked it up.
fn current(registry: &RegistryState, principal: &Principal) -> Result<Principal> {
    registry
        .principal(&principal.name)
        .filter(|current| current.token_sha256 == principal.token_sha256)
        .cloned()
        .ok_or_else(|| {
            Error::unauthenticated("principal_unknown", "there is no such principal")
                .help("`assent principal add` makes one")
        })
}

/// Works out who is lawful, on the threads of queries: it may take as long as there are people, while others withdraw.
async fn stand(
    engine: &Arc<Engine>,
    declared: &Use,
    as_of: Option<Timestamp>,
    snapshot: Option<&Snapshot>,
) -> Result<Standing> {
    let (shared, declared, snapshot) = (Arc::clone(engine), declared.clone(), snapshot.cloned());
    let work = move |turn: &Turn| {
        if let Some(snapshot) = snapshot {
            introduce(&shared, &snapshot, turn)?;
        }
        standing(&shared, &declared, as_of)
    };
    engine.workers.compute(engine.limits.timeout, work).await
}

fn standing(engine: &Engine, declared: &Use, as_of: Option<Timestamp>) -> Result<Standing> {
    let permit = &engine.stores.permit;
    let now = if engine.guards.stand(Guard::Expiry) {
        engine.clock.now()
    } else {
        Timestamp::MIN
    };
    let live: Arc<PermitSet> = permit
        .permitted_live(declared, now)
        .map_err(|error| refused(&error))?;
    let Some(at) = as_of else {
        return Ok(Standing::live(live));
    };
    if at > live.at {
        return Err(
            Error::invalid("as_of_future", "the evaluation time lies in the future")
                .help("a session looks at the present or back"),
        );
    }
    let then = permit
        .permitted(declared, at)
        .map_err(|error| refused(&error))?;
    if engine.guards.stand(Guard::LawfulNow) {
        Ok(Standing::as_of(then, live))
    } else {
        Ok(Standing::live(then))
    }
}

/// A permit index that does not answer: nothing is lawful then.
pub(crate) fn refused(error: &assent_permit::Error) -> Error {
    // How far it got stays here: positions tell how much everybody does.
    tracing::warn!(kind = %error.kind(), %error, "the permit index refused");
    match error.kind() {
        PermitKind::Invalid => Error::invalid("permit", "the permit index cannot answer that"),
        PermitKind::NotFound => Error::new(
            ErrorKind::NotFound,
            "permit",
            "the permit index does not know that",
        ),
        PermitKind::Unavailable => Error::unavailable(
            "barrier",
            "it cannot be told now who is lawful, so nothing is answered",
        )
        .help("try again; if it persists, run `assent doctor`"),
        PermitKind::Corrupt => Error::corrupt(
            "consent_log",
            "a record of the consent log cannot be attributed, so nothing is answered",
        )
        .help("run `assent doctor`"),
        PermitKind::Internal => Error::internal("permit", "the permit index failed"),
    }
}

async fn latest(engine: &Engine) -> Result<Option<Snapshot>> {
    let profiles = Arc::clone(&engine.stores.profiles);
    let read = tokio::task::spawn_blocking(move || profiles.latest()).await;
    match read {
        Ok(Ok(snapshot)) => Ok(snapshot),
        Ok(Err(error)) => {
            tracing::error!(%error, "the projection's manifest could not be read");
            Err(match error.kind() {
                ProjectionKind::Corrupt | ProjectionKind::Invalid => {
                    Error::corrupt("manifest", "the projection's manifest does not read")
                        .help("run `assent project --rebuild`")
                }
                ProjectionKind::NotFound
                | ProjectionKind::Conflict
                | ProjectionKind::Denied
                | ProjectionKind::Unavailable => {
                    Error::unavailable("manifest", "the profiles cannot be read now")
                }
                ProjectionKind::Internal => {
                    Error::internal("manifest", "the profiles cannot be opened")
                }
            })
        }
        Err(_) => Err(Error::internal("manifest", "the profiles cannot be opened")),
    }
}

/// Tells the permit index of people who have a profile and no decision: they are part of the base, and legal duty
/// covers them. Reads each file's subjects once.
pub(crate) fn introduce(engine: &Engine, snapshot: &Snapshot, turn: &Turn) -> Result<()> {
    let permit = &engine.stores.permit;
    let strangers = gate::strangers(&engine.files, snapshot, permit, turn)?;
    permit
        .introduce(&strangers)
        .map_err(|error| refused(&error))
}

/// Officers' matters: reasons and verdicts of single people.
pub(crate) fn officers_only(session: &LawfulSession) -> Result<()> {
    let duty = session.purpose.basis == assent_consent::LegalBasis::LegalDuty;
    if session.principal.role == Role::Officer && duty {
        Ok(())
    } else {
        Err(Error::denied(
            "officer_only",
            "verdicts of single people are told to officers under a legal-duty purpose only",
        ))
    }
}
