//! The handle that readers hold.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use assent_consent::{
    Evaluation, Fact, FactKind, NoticeRef, Reason, SubjectId, Timestamp, Use, Verdict, component,
    evaluate,
};
use assent_event::topics;
use assent_journal::{Checkpoint, Journal, Topic};
use assent_programme::RegistryState;
use assent_vault::Vault;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::applier::Applier;
use crate::cache::UseCache;
use crate::config::{Config, Hooks};
use crate::error::{Error, ErrorKind};
use crate::explain::{Explained, PlacedFact};
use crate::history::index;
use crate::messages::Message;
use crate::metrics;
use crate::set::PermitSet;
use crate::shared::Shared;
use crate::state::{State, position};

/// How far a live reader may be taken ahead of its own clock to share the work of another: one
/// second, in microseconds. Reading slightly later is as lawful as waiting that long would be.
const SHARED_AHEAD_MICROS: i64 = 1_000_000;

/// The live index of who is permitted for what.
pub struct Permit {
    journal: Arc<dyn Journal>,
    shared: Arc<Shared>,
    topics: [Topic; 2],
    caches: Mutex<Caches>,
    applier: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Caches {
    by_use: HashMap<Use, (u64, Arc<Mutex<UseCache>>)>,
    clock: u64,
}

impl Permit {
    /// Starts the applier, which follows the topics `assent.consent` and `assent.registry` from
    /// their beginning. Must be called within a Tokio runtime; the applier ends when the handle is
    /// dropped. Returns at once: readers wait at the [`Permit::barrier`].
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when the journal does not hold the two topics,
    /// [`ErrorKind::Unavailable`] when it cannot tell.
    pub fn start(
        journal: Arc<dyn Journal>,
        vault: Arc<dyn Vault>,
        config: Config,
    ) -> Result<Self, Error> {
        let topics = [Topic::new(topics::REGISTRY), Topic::new(topics::CONSENT)];
        let mut seen = Checkpoint::new();
        for topic in &topics {
            let partitions = journal.partitions(topic).map_err(|error| {
                let kind = if error.kind() == assent_journal::ErrorKind::NotFound {
                    ErrorKind::NotFound
                } else {
                    ErrorKind::Unavailable
                };
                Error::new(kind, format!("the permit index cannot follow {topic}"))
                    .with_source(error)
            })?;
            for partition in 0..partitions {
                seen.set(topic, partition, 0);
            }
        }
        let shared = Arc::new(Shared::new(config, State::new(seen.clone())));
        let applier = Applier {
            journal: Arc::clone(&journal),
            vault,
            shared: Arc::clone(&shared),
            seen,
        };
        Ok(Self {
            journal,
            shared,
            topics,
            caches: Mutex::default(),
            applier: tokio::spawn(applier.run()),
        })
    }

    /// Waits until everything acknowledged before the call is applied (I2) and returns the place
    /// reached.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the journal cannot be asked or the index does not catch up in
    /// time, [`ErrorKind::Corrupt`] when it met what it cannot attribute. Refuse the read then.
    pub async fn barrier(&self) -> Result<Checkpoint, Error> {
        let begin = Instant::now();
        let passed = self.pass().await;
        metrics::barrier(begin.elapsed(), &passed);
        passed
    }

    async fn pass(&self) -> Result<Checkpoint, Error> {
        self.shared.check()?;
        if self.shared.hooks.bypassed() {
            return Ok(self.applied());
        }
        let deadline = Instant::now() + self.shared.config.barrier_timeout;
        let ends = match timeout_at(deadline, self.journal.end_positions(&self.topics)).await {
            Ok(Ok(ends)) => ends,
            Ok(Err(error)) => {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    "the journal cannot be asked where it ends, so nobody can tell what was \
                     withdrawn last; nothing is read until it answers",
                )
                .with_source(error));
            }
            Err(_) => {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    "the journal did not tell in time where it ends; try again",
                ));
            }
        };
        self.wait_for(&ends, deadline).await
    }

    /// Waits until a place is applied that another process reached, and returns the place reached here.
    ///
    /// # Errors
    /// As [`Permit::barrier`].
    pub async fn reach(&self, place: &Checkpoint) -> Result<Checkpoint, Error> {
        let deadline = Instant::now() + self.shared.config.barrier_timeout;
        self.wait_for(&place.restrict(&self.topics), deadline).await
    }

    async fn wait_for(&self, ends: &Checkpoint, deadline: Instant) -> Result<Checkpoint, Error> {
        let mut progress = self.shared.subscribe();
        loop {
            self.shared.check()?;
            let applied = progress.borrow_and_update().clone();
            if applied.covers(ends) {
                return Ok(applied);
            }
            self.shared.nudge.notify_one();
            match timeout_at(deadline, progress.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Err(self.too_late(ends)),
            }
        }
    }

    fn too_late(&self, ends: &Checkpoint) -> Error {
        let error = Error::new(
            ErrorKind::Unavailable,
            format!(
                "the permit index stands at {} and did not reach {ends} in {:?}; try again",
                self.applied(),
                self.shared.config.barrier_timeout,
            ),
        );
        match self.shared.last_trouble() {
            Some(trouble) => error.with_source(trouble),
            None => error,
        }
    }

    /// The definitions in force at the place reached.
    #[must_use]
    pub fn registry(&self) -> Arc<RegistryState> {
        Arc::clone(&self.shared.state().registry)
    }

    /// The place reached, without waiting.
    #[must_use]
    pub fn applied(&self) -> Checkpoint {
        self.shared.state().applied.clone()
    }

    /// The latest receipt of any fact applied, [`Timestamp::MIN`] when there is none. What is
    /// received next has to be received later, whatever the clock says.
    #[must_use]
    pub fn latest_receipt(&self) -> Timestamp {
        self.shared.state().latest_receipt
    }

    /// The number of a subject; `None`: never heard of.
    #[must_use]
    pub fn number_of(&self, subject: &SubjectId) -> Option<u32> {
        self.shared.state().numbers.get(subject)
    }

    /// Makes known that these subjects exist, whatever is recorded of their consent. Whoever holds profiles calls it,
    /// so that people without any decision are counted as such, and stand under the bases that need none (PIPL
    /// art. 13(1)(2)-(7)); for consent they stay denied (I5). Repeating it costs a look-up each.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when there are more subjects than numbers for them.
    pub fn introduce(&self, subjects: &[SubjectId]) -> Result<(), Error> {
        let state = self.shared.state();
        let strangers: Vec<SubjectId> = subjects
            .iter()
            .filter(|subject| state.numbers.get(subject).is_none())
            .copied()
            .collect();
        // The snapshot would make the change copy what it shares.
        drop(state);
        if strangers.is_empty() {
            return Ok(());
        }
        self.shared.change(|state| {
            strangers
                .into_iter()
                .try_for_each(|subject| state.introduce(subject))
        })
    }

    /// Who is permitted for a use at `at`, by what is applied. Verdicts are kept per use and brought
    /// up to date; an instant earlier than one asked before is worked out from nothing, which takes
    /// as long as there are subjects. For a live read, call [`Permit::barrier`] first and
    /// [`Permit::permitted_live`] then. May compute for long after a definition changed: call it
    /// where blocking is allowed.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] as [`Permit::barrier`].
    pub fn permitted(&self, use_: &Use, at: Timestamp) -> Result<Arc<PermitSet>, Error> {
        self.shared.check()?;
        let cache = self.cache(use_);
        {
            let mut cache = cache.lock();
            if cache.at() <= at {
                return cache.set_at(&self.shared.state(), at);
            }
        }
        UseCache::new(use_.clone(), self.shared.config.threads).set_at(&self.shared.state(), at)
    }

    /// Who is permitted for a use now: at `now`, or at the latest receipt applied if that is later
    /// (a receipt stamped by another process's clock must not escape a read that follows its
    /// acknowledgement, I2), or up to a second later, to share the work of another reader. The set
    /// tells the instant taken.
    ///
    /// # Errors
    /// As [`Permit::permitted`].
    pub fn permitted_live(&self, use_: &Use, now: Timestamp) -> Result<Arc<PermitSet>, Error> {
        self.shared.check()?;
        let cache = self.cache(use_);
        let mut cache = cache.lock();
        let state = self.shared.state();
        let at = now.max(state.latest_receipt);
        if cache.at() > at.plus_micros(SHARED_AHEAD_MICROS) {
            // Somebody asked about the future; the living do not follow there.
            *cache = UseCache::new(use_.clone(), self.shared.config.threads);
        }
        let at = at.max(cache.at());
        cache.set_at(&state, at)
    }

    /// By which another process that applied the same, and is the same build of this program, can tell that a set of its
    /// own says of everybody what this one says. Takes as long as what changed since the set of the use that was asked
    /// about last, the first time as long as there are subjects.
    #[must_use]
    pub fn fingerprint(&self, set: &Arc<PermitSet>) -> u64 {
        self.cache(&set.use_).lock().fingerprint(set)
    }

    fn cache(&self, use_: &Use) -> Arc<Mutex<UseCache>> {
        let mut caches = self.caches.lock();
        caches.clock += 1;
        let clock = caches.clock;
        if let Some((used, cache)) = caches.by_use.get_mut(use_) {
            *used = clock;
            return Arc::clone(cache);
        }
        if caches.by_use.len() >= self.shared.config.cached_uses.max(1) {
            let oldest = caches
                .by_use
                .iter()
                .min_by_key(|(_, (used, _))| *used)
                .map(|(use_, _)| use_.clone());
            if let Some(oldest) = oldest {
                caches.by_use.remove(&oldest);
            }
        }
        let cache = Arc::new(Mutex::new(UseCache::new(
            use_.clone(),
            self.shared.config.threads,
        )));
        caches
            .by_use
            .insert(use_.clone(), (clock, Arc::clone(&cache)));
        cache
    }

    /// Why one subject is permitted or not, for officers. `known_by`: as it was known at that
    /// place in the journal (I10); `None`: by all that is applied.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when `known_by` lies ahead of what is applied; else as
    /// [`Permit::permitted`].
    pub fn evaluate_subject(
        &self,
        subject: SubjectId,
        use_: &Use,
        at: Timestamp,
        known_by: Option<&Checkpoint>,
    ) -> Result<Explained, Error> {
        self.shared.check()?;
        let state = self.shared.state();
        let known_by = match known_by {
            None => state.applied.clone(),
            Some(place) if state.applied.covers(&place.restrict(&self.topics)) => {
                place.restrict(&self.topics)
            }
            Some(place) => {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!(
                        "{place} lies ahead of {}, which is all that is known; name an earlier place",
                        state.applied
                    ),
                ));
            }
        };
        let [registry_topic, consent_topic] = &self.topics;
        let registry = state.registry_until(known_by.get(registry_topic, 0))?;
        let mut placed = placed_facts(&state, subject);
        placed.retain(|one| {
            let next = known_by.get(consent_topic, one.position.partition);
            one.position.offset < next
        });
        linked_by_then(&mut placed, subject);
        let facts: Vec<Fact> = placed.iter().map(|one| one.fact.clone()).collect();
        let evaluation = if state.knows(subject) {
            evaluate(registry.consent(), &facts, subject, use_, at)
        } else {
            never_heard_of()
        };
        let together = component(&facts, subject, at);
        placed.retain(|one| one.fact.received_at <= at && together.contains(&one.fact.subject));
        placed.sort_by(|a, b| {
            let when = |one: &PlacedFact| (one.fact.received_at, one.fact.time());
            when(a)
                .cmp(&when(b))
                .then_with(|| a.position.cmp(&b.position))
        });
        let decided_at = evaluation.decided_by.and_then(|id| {
            placed
                .iter()
                .find(|one| one.fact.id == id)
                .map(|one| one.position.clone())
        });
        Ok(Explained {
            subject,
            use_: use_.clone(),
            at,
            known_by,
            member: together.first().copied().unwrap_or(subject),
            component: together.into_iter().collect(),
            evaluation,
            notices: notices_of(&placed),
            facts: placed,
            decided_at,
        })
    }

    /// The fact of this event that counts for the subject, by what is applied.
    #[must_use]
    pub fn fact(&self, subject: &SubjectId, event: [u8; 16]) -> Option<FactKind> {
        let state = self.shared.state();
        let history = state.histories.get(index(state.numbers.get(subject)?))?;
        let fact = history.facts.iter().find(|fact| fact.id == event)?;
        Some(fact.kind.clone())
    }

    /// Whether a message of a source brought something that widens for a subject that was erased since, by what is
    /// applied: then it brings nothing of the kind for anybody else (rule R2).
    #[must_use]
    pub fn is_of_erased(&self, source: &str, message_id: &str) -> bool {
        self.shared
            .state()
            .is_of_erased(Message::of(source, message_id))
    }

    /// How many links were ended, by what is applied.
    #[must_use]
    pub fn links_ended(&self) -> u64 {
        self.shared.state().links_ended
    }

    /// The subjects with which this one was linked directly and was not told to be another person than since, by
    /// what is applied. (Whether a link counts is for the rules to say.)
    #[must_use]
    pub fn linked_with(&self, subject: SubjectId) -> Vec<SubjectId> {
        self.shared.state().linked_with(subject)
    }

    /// Whether more is applied about the subject than what restricts: a permission, a birth date, a link. Who was only
    /// ever refused for may be nobody.
    #[must_use]
    pub fn is_more_than_restricted(&self, subject: SubjectId) -> bool {
        self.shared.state().is_more_than_restricted(subject)
    }

    /// Faults for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn hooks(&self) -> &Hooks {
        &self.shared.hooks
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.applier.abort();
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("applied", &self.applied())
            .finish_non_exhaustive()
    }
}

/// Neither a fact nor an introduction ([`Permit::introduce`]) names the subject: it has no number, so no
/// set permits it, on whichever basis (I5), and neither does this.
fn never_heard_of() -> Evaluation {
    Evaluation {
        verdict: Verdict::Denied(Reason::NoDecision),
        decided_by: None,
        reconsider_at: None,
    }
}

/// The facts of everybody who was ever linked with the subject, in no order.
fn placed_facts(state: &State, subject: SubjectId) -> Vec<PlacedFact> {
    let Some(number) = state.numbers.get(&subject) else {
        return Vec::new();
    };
    let alone = [number];
    let group = state.groups.of(number).unwrap_or(&alone);
    group
        .iter()
        .filter_map(|number| state.histories.get(index(*number)))
        .flat_map(|history| history.facts.iter().zip(&history.places))
        .map(|(fact, place)| PlacedFact {
            fact: fact.clone(),
            position: position(*place),
        })
        .collect()
}

/// Leaves the facts of whoever these facts link with the subject: others may be known to be the same person only since.
fn linked_by_then(placed: &mut Vec<PlacedFact>, subject: SubjectId) {
    let links: Vec<[SubjectId; 2]> = placed
        .iter()
        .filter_map(|one| match one.fact.kind {
            FactKind::Linked { other } => Some([one.fact.subject, other]),
            _ => None,
        })
        .collect();
    let mut together = BTreeSet::from([subject]);
    loop {
        let before = together.len();
        for link in &links {
            if link.iter().any(|one| together.contains(one)) {
                together.extend(link);
            }
        }
        if together.len() == before {
            break;
        }
    }
    placed.retain(|one| together.contains(&one.fact.subject));
}

/// The notice versions named by decisions.
fn notices_of(placed: &[PlacedFact]) -> Vec<NoticeRef> {
    let notices: BTreeSet<NoticeRef> = placed
        .iter()
        .filter_map(|one| one.fact.kind.decision()?.notice.clone())
        .collect();
    notices.into_iter().collect()
}
