//! What every session shares: the stores, the clock, the limits and the cache of subject vectors.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use assent_consent::Timestamp;
use assent_journal::Journal;
use assent_permit::Permit;
use assent_projection::Profiles;
use assent_vault::{RandomSource, Vault};

use crate::coarse::Coarse;
use crate::distribution::Fleet;
use crate::error::Result;
use crate::format::Format;
use crate::gate::{FileCache, PlanCache};
use crate::guards::Guards;
use crate::materialised::Materialised;
use crate::metrics;
use crate::session::{QueryResult, refused};
use crate::workers::{Turn, Workers};

/// Where the present comes from; only the binary reads the wall clock.
pub trait Clock: Send + Sync + 'static {
    /// The present.
    fn now(&self) -> Timestamp;
}

impl<F: Fn() -> Timestamp + Send + Sync + 'static> Clock for F {
    fn now(&self) -> Timestamp {
        self()
    }
}

/// The stores a session reads, and the journal it writes its uses to.
#[derive(Clone)]
pub struct Stores {
    /// The live index of permitted subjects, and the barrier.
    pub permit: Arc<Permit>,
    /// Where uses are journalled.
    pub journal: Arc<dyn Journal>,
    /// For the identifiers of an export; a query never asks it.
    pub vault: Arc<dyn Vault>,
    /// The profiles.
    pub profiles: Arc<Profiles>,
}

/// What one query may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Memory of operators that hold rows, in bytes. Nothing is ever spilled to disk.
    pub memory_bytes: usize,
    /// From being asked to the last row: waiting for a turn, planning and running.
    pub timeout: Duration,
    /// Rows of a result; more is an error, never a silent cut.
    pub rows: usize,
    /// Bytes of a result, in memory and written out, each; more is an error as well.
    pub bytes: usize,
    /// Distinct ids of a segment that is exported; an export reads its id column only.
    pub export_rows: usize,
    /// How many threads a query may use.
    pub partitions: usize,
    /// Runs of subjects held in memory over all files, 8 bytes each; and a quarter as many in plans kept for the next query,
    /// 12 bytes each, and 32 more where members are asked for by id.
    pub cached_runs: usize,
    /// Queries that may run at once; the others wait, and their waiting counts against `timeout`.
    pub concurrent: usize,
}

impl Default for Limits {
    /// 1 GiB, a minute, a million rows, 256 MiB, five million ids, two threads, 64 million runs (512 MiB), four queries
    /// at once.
    fn default() -> Self {
        Self {
            memory_bytes: 1 << 30,
            timeout: Duration::from_secs(60),
            rows: 1_000_000,
            bytes: 256 << 20,
            export_rows: 5_000_000,
            partitions: 2,
            cached_runs: 64 << 20,
            concurrent: 4,
        }
    }
}

/// The engine from which sessions are opened.
pub struct Engine {
    pub(crate) stores: Stores,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn RandomSource>,
    pub(crate) limits: Limits,
    pub(crate) files: Arc<FileCache>,
    pub(crate) plans: Arc<PlanCache>,
    pub(crate) workers: Workers,
    pub(crate) coarse: Coarse,
    pub(crate) materialised: Materialised,
    pub(crate) fleet: Option<Arc<Fleet>>,
    pub(crate) guards: Guards,
}

impl Engine {
    /// An engine over these stores. `random` makes the ids of use records.
    #[must_use]
    pub fn new(
        stores: Stores,
        clock: Arc<dyn Clock>,
        random: Arc<dyn RandomSource>,
        limits: Limits,
    ) -> Arc<Self> {
        Self::guarded(stores, clock, random, limits, (Guards::ALL, None))
    }

    /// An engine that shares large queries out among workers.
    #[must_use]
    pub fn with_fleet(
        stores: Stores,
        clock: Arc<dyn Clock>,
        random: Arc<dyn RandomSource>,
        limits: Limits,
        fleet: Fleet,
    ) -> Arc<Self> {
        let fleet = Some(Arc::new(fleet));
        Self::guarded(stores, clock, random, limits, (Guards::ALL, fleet))
    }

    pub(crate) fn guarded(
        stores: Stores,
        clock: Arc<dyn Clock>,
        random: Arc<dyn RandomSource>,
        limits: Limits,
        (guards, fleet): (Guards, Option<Arc<Fleet>>),
    ) -> Arc<Self> {
        let files = Arc::new(FileCache::new(limits.cached_runs));
        let plans = Arc::new(PlanCache::new(limits.cached_runs / 4));
        if fleet.is_some() {
            metrics::shares();
        }
        let workers = Workers::start(limits.concurrent);
        let materialised = Materialised::new(Arc::clone(stores.profiles.storage()));
        Arc::new(Self {
            stores,
            clock,
            random,
            limits,
            files,
            plans,
            workers,
            coarse: Coarse::default(),
            materialised,
            fleet,
            guards,
        })
    }

    /// The limits of a query.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Waits until definitions and decisions that were acknowledged count (I2).
    ///
    /// # Errors
    /// As [`crate::LawfulSession::open`]; the text is fixed, so anybody may read it.
    pub async fn barrier(&self) -> Result<()> {
        let reached = self.stores.permit.barrier().await;
        reached.map(|_| ()).map_err(|error| refused(&error))
    }

    /// Writes a result in a format, on the threads of queries.
    ///
    /// # Errors
    /// As [`QueryResult::encode`].
    pub async fn encode(&self, result: QueryResult, format: Format) -> Result<Vec<u8>> {
        let work = move |_: &Turn| result.encode(format);
        self.workers.compute(self.limits.timeout, work).await
    }

    /// The permit index.
    #[must_use]
    pub fn permit(&self) -> &Arc<Permit> {
        &self.stores.permit
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("profiles", &self.stores.profiles)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
