//! The way of a request: authenticate, read, drop duplicates, seal, append once, answer.

use std::fmt;
use std::sync::{Arc, OnceLock};

use assent_consent::{SubjectId, Timestamp};
use assent_event::Identifier;
use assent_journal::Journal;
use assent_programme::RegistryState;
use assent_vault::{RandomSource, Vault};
use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::Value;

use crate::clock::{Clock, Watch};
use crate::consent;
use crate::error::Error;
use crate::json::Sent;
use crate::limits::Limits;
use crate::links::RecentLinks;
use crate::metrics;
use crate::outcome::{Code, Outcome, Rejected, Warning, WarningCode};
use crate::planned::{Context, Item, Reading, Refused};
use crate::recent::{Mark, Recent};
use crate::record::{Entry, Ready, Recorder, Records, TOO_MANY_LINKS};
use crate::repeats::{Known, Repeats};
use crate::source::{self, Caller, Source};
use crate::tracking::{self, Body, Names, Route};

/// Where intake finds the registry in force, and what other processes took in. Permit has one that follows the
/// journal.
#[async_trait]
pub trait CurrentRegistry: Send + Sync + 'static {
    /// The registry as it is known now.
    fn current(&self) -> Arc<RegistryState>;

    /// Makes known here what any process acknowledged before the call, and returns the latest receipt among it. Intake
    /// calls it before it reads a request: a key that was taken away through another process opens nothing here, and
    /// what is received now is received later than what another process received, whatever the two clocks say
    /// (I2, I6). Whoever takes everything in alone knows it all; that is the default.
    ///
    /// # Errors
    /// When it cannot be asked; the request is refused then.
    async fn heard(&self) -> Result<Timestamp, Unheard> {
        Ok(Timestamp::MIN)
    }
}

/// Why it cannot be told what other processes took in.
pub type Unheard = Box<dyn std::error::Error + Send + Sync>;

impl<F: Fn() -> Arc<RegistryState> + Send + Sync + 'static> CurrentRegistry for F {
    fn current(&self) -> Arc<RegistryState> {
        self()
    }
}

/// The door through which events enter. Cloning is cheap.
#[derive(Clone)]
pub struct Intake {
    inner: Arc<Inner>,
}

struct Inner {
    journal: Arc<dyn Journal>,
    vault: Arc<dyn Vault>,
    registry: Arc<dyn CurrentRegistry>,
    clock: Arc<dyn Clock>,
    watch: Watch,
    random: Arc<dyn RandomSource>,
    limits: Limits,
    recent: Recent,
    recent_links: RecentLinks,
    /// Who follows the log, to tell senders what it says already.
    known: OnceLock<Arc<dyn Known>>,
    /// The last time of receipt given out, so that later items are received later.
    last: Mutex<Timestamp>,
}

/// A request ready to be appended.
struct Prepared {
    records: Vec<assent_journal::Record>,
    outcomes: Vec<Outcome>,
    marks: Vec<Mark>,
    /// Links made in it.
    linked: Vec<(SubjectId, SubjectId)>,
    /// Whether a link is ended in it.
    unlinked: bool,
}

impl Intake {
    /// Intake with default limits. `random` makes event ids, message ids and nonces.
    pub fn new(
        journal: Arc<dyn Journal>,
        vault: Arc<dyn Vault>,
        registry: Arc<dyn CurrentRegistry>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn RandomSource>,
    ) -> Self {
        Self::with_limits(journal, vault, registry, clock, random, Limits::default())
    }

    /// Intake with these limits.
    pub fn with_limits(
        journal: Arc<dyn Journal>,
        vault: Arc<dyn Vault>,
        registry: Arc<dyn CurrentRegistry>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn RandomSource>,
        limits: Limits,
    ) -> Self {
        let limits = limits.capped();
        Self {
            inner: Arc::new(Inner {
                recent: Recent::new(limits.remembered),
                recent_links: RecentLinks::default(),
                known: OnceLock::new(),
                journal,
                vault,
                registry,
                clock,
                watch: Watch::default(),
                random,
                limits,
                last: Mutex::new(Timestamp::MIN),
            }),
        }
    }

    /// Everything received from now on is received after `latest`, whatever the clock says. The
    /// binary calls it at start with the latest receipt in the journal.
    pub fn received_until(&self, latest: Timestamp) {
        let mut last = self.inner.last.lock();
        *last = latest.max(*last);
        self.inner.watch.begin(latest, self.inner.clock.as_ref());
    }

    /// Somebody looked at the clock and says that it is right, although it is far ahead of the latest receipt:
    /// nothing was received for long.
    pub fn confirm_clock(&self) {
        self.inner.watch.confirm(self.inner.clock.as_ref());
    }

    /// Whether the clock is believed. If not, nothing is taken in.
    ///
    /// # Errors
    /// [`Error::ClockAhead`].
    pub fn check_clock(&self) -> Result<(), Error> {
        let now = self.inner.watch.now(self.inner.clock.as_ref());
        now.map(|_| ())
    }

    /// Whether the write key in the caller's header opens anything, asked before a body is read; a key in the body
    /// is not known yet.
    ///
    /// # Errors
    /// [`Error::UnknownKey`]; [`Error::Unheard`].
    pub async fn admit(&self, caller: &Caller) -> Result<(), Error> {
        if caller.opens(&self.inner.registry.current()).is_ok() {
            return Ok(());
        }
        // Another process may have just declared it.
        self.hear().await?;
        caller.opens(&self.inner.registry.current())
    }

    /// Asks this one what the log says already, so that senders learn when a message id stands for something
    /// else. Without it that is told as far back as recent requests are remembered. The first one given stays.
    pub fn ask(&self, known: Arc<dyn Known>) {
        // Whoever was given first follows the same log.
        let _ = self.inner.known.set(known);
    }

    /// The source whose write key this is.
    ///
    /// # Errors
    /// [`Error::UnknownKey`].
    pub fn authenticate(&self, write_key: &str) -> Result<Source, Error> {
        source::by_key(&self.inner.registry.current(), write_key)
    }

    /// The source of this id, for a part of the program that acts for it (an import, an agent).
    ///
    /// # Errors
    /// [`Error::UnknownSource`].
    pub fn source(&self, id: &str) -> Result<Source, Error> {
        let registry = self.inner.registry.current();
        let found = registry.source(id).map(Source::new);
        found.ok_or_else(|| Error::UnknownSource(id.to_owned()))
    }

    /// The limits in force.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// The registry in force.
    #[must_use]
    pub fn registry(&self) -> Arc<RegistryState> {
        self.inner.registry.current()
    }

    /// Records decisions and facts; the body is described in [`crate::consent`]. One outcome for
    /// each object of the body, in order.
    ///
    /// # Errors
    /// When nothing of the request was taken; nothing is acknowledged then, though parts of it may
    /// be in the journal. Sending the same again does no harm: what widens is known again by its
    /// message id, or by its time, and what restricts may be recorded twice. (An event without a
    /// message id is another event.)
    pub async fn consents(&self, caller: &Caller, body: Value) -> Result<Vec<Outcome>, Error> {
        let (items, array) = match body {
            Value::Array(items) => (items.into_iter().map(Sent::whole).collect(), true),
            one @ (Value::Object(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)) => (vec![Sent::whole(one)], false),
        };
        let by = self.by(caller).await?;
        self.stated(by, items, array).await
    }

    /// The same from the bytes of a body. Use it for whatever came over a wire: a JSON value does not
    /// tell that a name was repeated in it, such as `state`, and with what.
    ///
    /// # Errors
    /// As [`Intake::consents`]; also [`Error::NotJson`].
    pub async fn consents_bytes(
        &self,
        caller: &Caller,
        body: Vec<u8>,
    ) -> Result<Vec<Outcome>, Error> {
        let by = self.by(caller).await?;
        match blocking(move || Sent::many(&body)).await {
            Ok((items, array)) => self.stated(by, items, array).await,
            Err(error) => Err(self.noted(by, error).await?),
        }
    }

    async fn stated(&self, by: By, items: Vec<Sent>, array: bool) -> Result<Vec<Outcome>, Error> {
        if let Err(error) = self.too_many(items.len()) {
            return Err(self.noted(by, error).await?);
        }
        self.run(move |inner| {
            let request = Request::new(inner, by);
            let readings = items
                .iter()
                .map(|item| (consent::read_sent(&request.context(), item), &item.value))
                .map(|(reading, value)| (reading.map_err(Refused::from), value));
            let place = |index| {
                if array {
                    format!("/{index}")
                } else {
                    String::new()
                }
            };
            request.prepare(readings, place)
        })
        .await
    }

    /// Records what the SDKs of Segment and RudderStack send; see [`crate::tracking`]. One outcome
    /// for each event, in order.
    ///
    /// # Errors
    /// As [`Intake::consents`]; also when the body is not JSON, too large or of the wrong shape.
    pub async fn events(
        &self,
        caller: &Caller,
        route: Route,
        body: Vec<u8>,
    ) -> Result<Vec<Outcome>, Error> {
        let now = self.hear().await?;
        let registry = self.inner.registry.current();
        // Of a body that cannot be read the header can still tell who sent it.
        caller.opens(&registry)?;
        let this = Arc::clone(&self.inner);
        let parsed = blocking(move || Body::parse(route, &body, &this.limits)).await;
        let key = parsed.as_ref().map_or(None, Body::write_key);
        let by = By {
            source: caller.resolve(&registry, key)?,
            registry,
            now,
            gpc: caller.gpc(),
        };
        let body = match parsed {
            Ok(body) => body,
            Err(error) => return Err(self.noted(by, error).await?),
        };
        self.run(move |inner| {
            let request = Request::new(inner, by);
            let readings = body.items().iter().map(|item| {
                let cx = request.context();
                (tracking::read(&cx, route, item, body.shared(), None), item)
            });
            let place = |index| match route {
                Route::Batch => format!("/batch/{index}"),
                Route::Track
                | Route::Identify
                | Route::Page
                | Route::Screen
                | Route::Group
                | Route::Alias => String::new(),
            };
            request.prepare(readings, place)
        })
        .await
    }

    /// Records items that a part of this program made, such as an import: tracking calls that name
    /// their person by an identifier of any namespace, and objects of `/v1/consents`.
    ///
    /// # Errors
    /// As [`Intake::consents`].
    pub(crate) async fn submit(
        &self,
        source: &Source,
        items: Vec<Submitted>,
    ) -> Result<Vec<Outcome>, Error> {
        self.too_many(items.len())?;
        let by = self.by(&Caller::source(source.clone())).await?;
        self.run(move |inner| {
            let request = Request::new(inner, by);
            let readings = items.iter().map(|item| (request.read(item), item.value()));
            request.prepare(readings, |_| String::new())
        })
        .await
    }

    /// What an item that a part of this program made would be read as; nothing is recorded.
    pub(crate) fn read(&self, source: &Source, item: &Submitted) -> Reading {
        let by = By {
            registry: self.inner.registry.current(),
            source: source.clone(),
            now: self.inner.clock.now(),
            gpc: false,
        };
        let inner = &self.inner;
        let read = Request::new(inner, by).read(item);
        read.map_err(|refused| refused.why)
    }

    /// Learns what other processes took in, and tells what time it is.
    async fn hear(&self) -> Result<Timestamp, Error> {
        let latest = self.inner.registry.heard().await.map_err(Error::Unheard)?;
        self.received_until(latest);
        self.inner.watch.now(self.inner.clock.as_ref())
    }

    /// Who sends a request whose body holds no key.
    async fn by(&self, caller: &Caller) -> Result<By, Error> {
        let now = self.hear().await?;
        let registry = self.inner.registry.current();
        Ok(By {
            source: caller.resolve(&registry, None)?,
            registry,
            now,
            gpc: caller.gpc(),
        })
    }

    fn too_many(&self, found: usize) -> Result<(), Error> {
        let limit = self.inner.limits.events;
        if found > limit {
            return Err(Error::TooManyEvents { found, limit });
        }
        Ok(())
    }

    /// A body that is refused as a whole is recorded as one rejection (I9).
    async fn noted(&self, by: By, error: Error) -> Result<Error, Error> {
        let why = Rejected::new(
            Code::UnreadableBody,
            "",
            error.to_string(),
            "mend the body and send it again",
        );
        let noted = self.run(move |inner| {
            let request = Request::new(inner, by);
            let nothing = Value::Null;
            let readings = std::iter::once((Err(why.into()), &nothing));
            request.prepare(readings, |_| String::new())
        });
        noted.await.map(|_outcomes| error)
    }

    /// Prepares on a thread that may block (the vault commits to disk), appends, remembers.
    async fn run<F>(&self, prepare: F) -> Result<Vec<Outcome>, Error>
    where
        F: FnOnce(&Inner) -> Result<Prepared, Error> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        let prepared = blocking(move || prepare(&inner)).await?;
        if !prepared.records.is_empty() {
            let count = prepared.records.len();
            // Also when it fails, or nobody waits for it any more: it may be in the journal all the same.
            let _forgets = prepared.unlinked.then(|| Forgets(&self.inner.recent));
            self.inner.recent_links.remember(&prepared.linked);
            self.inner.journal.append(prepared.records).await?;
            tracing::debug!(records = count, "request journalled");
        }
        self.inner.recent.remember(prepared.marks);
        metrics::answered(&prepared.outcomes);
        Ok(prepared.outcomes)
    }
}

/// Forgets which links stand when it is dropped.
struct Forgets<'r>(&'r Recent);

impl Drop for Forgets<'_> {
    fn drop(&mut self) {
        self.0.forget_links();
    }
}

/// An item made within the program.
pub(crate) enum Submitted {
    Consent(Value),
    Call {
        route: Route,
        about: Option<Identifier>,
        value: Value,
    },
}

impl Submitted {
    fn value(&self) -> &Value {
        match self {
            Self::Consent(value) | Self::Call { value, .. } => value,
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(Error::Interrupted))
}

/// Who sends a request, and when.
struct By {
    registry: Arc<RegistryState>,
    source: Source,
    now: Timestamp,
    gpc: bool,
}

/// One request of one source.
struct Request<'i> {
    inner: &'i Inner,
    by: By,
    names: Names,
}

impl<'i> Request<'i> {
    fn new(inner: &'i Inner, by: By) -> Self {
        Self {
            inner,
            by,
            names: Names::default(),
        }
    }

    fn context(&self) -> Context<'_> {
        Context {
            source: self.by.source.definition(),
            registry: &self.by.registry,
            limits: &self.inner.limits,
            now: self.by.now,
            gpc: self.by.gpc,
            names: &self.names,
        }
    }

    fn read(&self, item: &Submitted) -> Result<Item, Refused> {
        let cx = self.context();
        match item {
            Submitted::Consent(value) => consent::read(&cx, value).map_err(Refused::from),
            Submitted::Call {
                route,
                about,
                value,
            } => tracking::read(
                &cx,
                *route,
                value,
                tracking::Shared::default(),
                about.clone(),
            ),
        }
    }

    fn prepare<'v>(
        &self,
        readings: impl Iterator<Item = (Result<Item, Refused>, &'v Value)>,
        place: impl Fn(usize) -> String,
    ) -> Result<Prepared, Error> {
        let readings: Vec<(Result<Item, Refused>, &Value)> = readings.collect();
        let read = readings
            .iter()
            .filter_map(|(reading, _)| reading.as_ref().ok());
        let mut repeats = Repeats::among(
            read,
            self.by.source.id(),
            &self.inner.recent,
            self.inner.known.get().map(AsRef::as_ref),
            self.inner.vault.as_ref(),
        )?;
        // By the items of the request: which of `ready` they are, or none for a repetition.
        let mut slots = Vec::new();
        let mut ready: Vec<Ready<'_>> = Vec::new();
        for (index, (reading, value)) in readings.into_iter().enumerate() {
            let place = place(index);
            let sifted = reading.and_then(|item| repeats.sift(item).map_err(Refused::from));
            let (message_id, entry) = match sifted {
                Ok(None) => {
                    slots.push(None);
                    continue;
                }
                Ok(Some(mut item)) => (item.message_id.take(), Entry::Item(item)),
                Err(Refused { why, kept }) => {
                    let why = why.within(&place);
                    (None, Refused { why, kept }.into())
                }
            };
            slots.push(Some(ready.len()));
            ready.push(Ready {
                entry,
                value,
                place,
                own_id: message_id.is_some(),
                message_id: message_id.unwrap_or_else(|| self.message_id()),
                // Known once they are counted.
                received_at: self.by.now,
            });
        }
        self.not_too_many(&ready)?;
        let received = self.times_of_receipt(ready.len());
        for (ready, received_at) in ready.iter_mut().zip(received) {
            ready.received_at = received_at;
        }
        let refused = |ready: &[Ready<'_>]| ready.iter().filter(|one| one.is_refused()).count();
        let refused_before = refused(&ready);
        let recorder = Recorder {
            vault: self.inner.vault.as_ref(),
            random: self.inner.random.as_ref(),
            source: self.by.source.id(),
            calendar: self.by.registry.settings().calendar,
            limits: &self.inner.limits,
            recent: &self.inner.recent,
            recent_links: &self.inner.recent_links,
            known: self.inner.known.get().map(AsRef::as_ref),
        };
        let recorded = recorder.record(&mut ready)?;
        let mut marks = recorded.once.clone();
        if refused(&ready) == refused_before {
            marks.extend(repeats.into_marks());
        } // else a message id stands for what was refused, and must not be taken for a repetition when it is mended
        let outcomes = slots
            .into_iter()
            .map(|slot| match slot {
                None => Outcome::Duplicate,
                Some(index) => outcome(index, &mut ready[index], &recorded),
            })
            .collect();
        Ok(Prepared {
            records: recorded.records,
            outcomes,
            marks,
            linked: recorded.linked,
            unlinked: recorded.unlinked,
        })
    }

    fn not_too_many(&self, ready: &[Ready<'_>]) -> Result<(), Error> {
        let found = ready.iter().map(Ready::records).sum();
        let limit = self.inner.limits.records;
        if found > limit {
            return Err(Error::TooManyRecords { found, limit });
        }
        Ok(())
    }

    fn message_id(&self) -> String {
        let mut bytes = [0; 16];
        self.inner.random.fill(&mut bytes);
        format!("assent-{}", hex::encode(bytes))
    }

    /// Times of receipt that rise with the order of the items, also from request to request, even
    /// when the clock is set back: what is said later must not be received earlier. Under load they
    /// run ahead of the clock by a microsecond an item; a live read looks at least as late as the
    /// latest receipt (I2).
    fn times_of_receipt(&self, count: usize) -> Vec<Timestamp> {
        let now = self.by.now.micros();
        let more = i64::try_from(count).unwrap_or(i64::MAX).saturating_sub(1);
        let mut last = self.inner.last.lock();
        let first = now
            .saturating_sub(more)
            .max(last.micros().saturating_add(1));
        let times: Vec<Timestamp> = (0_i64..)
            .take(count)
            .map(|index| Timestamp::from_micros(first.saturating_add(index)))
            .collect();
        if let Some(latest) = times.last() {
            *last = *latest;
        }
        times
    }
}

/// What became of an entry.
fn outcome(index: usize, ready: &mut Ready<'_>, recorded: &Records) -> Outcome {
    let mut warnings = match &mut ready.entry {
        Entry::Rejected { why, .. } => return Outcome::Rejected(why.clone()),
        Entry::Item(item) => std::mem::take(&mut item.warnings),
    };
    if recorded.strangers.contains(&index) {
        warnings.push(Warning::new(
            WarningCode::SubjectUnknown,
            "/subject",
            "nothing was ever sent about this identifier but what restricts; recorded, but check whether it \
             is the person's",
        ));
    }
    if recorded.unlinkable.contains(&index) {
        warnings.push(Warning::new(
            WarningCode::LinkNotRecorded,
            "",
            TOO_MANY_LINKS,
        ));
    }
    match recorded.ids[index] {
        Some(event_id) => Outcome::Journalled {
            event_id,
            message_id: std::mem::take(&mut ready.message_id),
            warnings,
        },
        None => Outcome::Duplicate,
    }
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake").finish_non_exhaustive()
    }
}
