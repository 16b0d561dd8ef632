//! Everything applied so far, as an immutable value that is cheap to share and to change.
//!
//! The fold itself: pure, without I/O or time. Two indexes that applied the same records hold the
//! same state but for the subjects' numbers (I4).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use assent_consent::{
    CLOCK_TOLERANCE_MICROS, Fact, FactKind, Registry as ConsentRegistry, SubjectId, Timestamp,
};
use assent_event::topics;
use assent_journal::{Checkpoint, Position, Stored, Topic};
use assent_programme::{Absorbed, RegistryState};
use parking_lot::Mutex;

use crate::chunked::Chunked;
use crate::error::{Error, ErrorKind};
use crate::history::{Groups, History, Place, index, members_of_group};
use crate::messages::{Message, Messages};
use crate::numbers::Numbers;

/// How many touches are remembered at least, for those who follow.
const TOUCHES: usize = if cfg!(test) { 256 } else { 1 << 20 };

#[derive(Clone)]
pub(crate) struct State {
    /// The next position to apply, per partition of the two topics.
    pub(crate) applied: Checkpoint,
    pub(crate) registry: Arc<RegistryState>,
    /// Its purposes and notices, which verdicts rest on.
    pub(crate) consent: Arc<ConsentRegistry>,
    /// Counts what makes every verdict be worked out anew: changes of `registry`, and of what `touched` begins with.
    pub(crate) generation: u64,
    /// The records of the registry topic, to fold it as it was known at an earlier place.
    definitions: Arc<Vec<Stored>>,
    /// By number.
    pub(crate) histories: Chunked<Arc<History>>,
    pub(crate) groups: Groups,
    /// By number: the subject with the smallest id in the component, by everything applied.
    pub(crate) members: Chunked<u32>,
    /// The numbers touched by each fact of this generation, in order of application; whoever follows remembers
    /// how far it read. See [`State::touch`].
    pub(crate) touched: Chunked<u32>,
    /// How many links were ended.
    pub(crate) links_ended: u64,
    /// The latest receipt of any fact.
    pub(crate) latest_receipt: Timestamp,
    /// The same by partition, for records that do not tell when they came.
    receipts: BTreeMap<u32, Timestamp>,
    /// By how many microseconds receipts ran back within a partition, at most.
    ran_back: i64,
    pub(crate) numbers: Arc<Numbers>,
    pub(crate) messages: Arc<Mutex<Messages>>,
}

/// A fact to be applied.
pub(crate) struct Arrived {
    pub(crate) fact: Fact,
    pub(crate) place: Place,
    /// What brought it.
    pub(crate) message: Message,
}

impl State {
    pub(crate) fn new(applied: Checkpoint) -> Self {
        Self {
            applied,
            registry: Arc::default(),
            consent: Arc::default(),
            generation: 0,
            definitions: Arc::default(),
            histories: Chunked::default(),
            groups: Groups::default(),
            members: Chunked::default(),
            touched: Chunked::default(),
            links_ended: 0,
            latest_receipt: Timestamp::MIN,
            receipts: BTreeMap::new(),
            ran_back: 0,
            numbers: Arc::default(),
            messages: Arc::default(),
        }
    }

    /// Applies definitions; the registry is unchanged from the first one on that cannot be read.
    pub(crate) fn define(&mut self, records: &[Stored], next: u64) -> Result<(), Error> {
        let mut registry = RegistryState::clone(&self.registry);
        let mut changed = false;
        for stored in records {
            let absorbed = registry.absorb(stored).map_err(|error| {
                Error::new(
                    ErrorKind::Corrupt,
                    format!(
                        "the definition at {} cannot be read; restore the registry or upgrade, \
                         nothing is permitted until then",
                        stored.position
                    ),
                )
                .with_source(error)
            })?;
            changed |= matches!(absorbed, Absorbed::Accepted(_));
        }
        let kept = records.iter().map(own_copy);
        Arc::make_mut(&mut self.definitions).extend(kept);
        self.consent = registry.consent_arc();
        self.registry = Arc::new(registry);
        self.generation += u64::from(changed);
        let topic = Topic::new(topics::REGISTRY);
        self.applied.set(&topic, 0, next);
        Ok(())
    }

    /// Applies facts of one partition.
    pub(crate) fn apply(
        &mut self,
        partition: u32,
        arrived: Vec<Arrived>,
        next: u64,
    ) -> Result<(), Error> {
        for one in arrived {
            self.take_in(one)?;
        }
        let topic = Topic::new(topics::CONSENT);
        self.applied.set(&topic, partition, next);
        Ok(())
    }

    fn take_in(&mut self, arrived: Arrived) -> Result<(), Error> {
        let Arrived {
            mut fact,
            place,
            message,
        } = arrived;
        fact.order = place.offset;
        self.received(&fact, place);
        let number = self.number(fact.subject)?;
        let repeated = self.is_repeated(number, &fact, message);
        if fact.kind.widens() {
            self.note(number, message, fact.order);
        }
        if repeated {
            // Perhaps after what it allowed was taken back: it is no new permission.
            tracing::debug!(offset = place.offset, "a fact came again that counts once");
            self.take_back(number, message, &fact.kind);
            return Ok(());
        }
        let kind = fact.kind.clone();
        let other = match fact.kind.pair() {
            Some(other) => Some(self.number(other)?),
            None => None,
        };
        self.links_ended += u64::from(matches!(kind, FactKind::Unlinked { .. }));
        if let Some(history) = self.histories.get_mut(index(number)) {
            Arc::make_mut(history).take(fact, place);
        }
        self.touch(number);
        if let Some(other) = other {
            self.touch(other);
            self.groups.join(number, other);
            self.settle_members(number);
        }
        self.take_back(number, message, &kind);
        Ok(())
    }

    /// Remembers the latest receipts, and warns when they run back by more than the clocks of those who
    /// receive may be apart: beyond that, only the log of each subject tells what came first (R2).
    fn received(&mut self, fact: &Fact, place: Place) {
        self.latest_receipt = self.latest_receipt.max(fact.received_at);
        let latest = self
            .receipts
            .entry(place.partition)
            .or_insert(Timestamp::MIN);
        let back = latest.micros().saturating_sub(fact.received_at.micros());
        *latest = (*latest).max(fact.received_at);
        if back > CLOCK_TOLERANCE_MICROS.max(self.ran_back) {
            self.ran_back = back;
            tracing::warn!(
                partition = place.partition,
                offset = place.offset,
                seconds = back / 1_000_000,
                "a receipt is earlier than one before it in the log: set the clocks of all processes that \
                 receive events right"
            );
        }
    }

    /// The receipt to assume for a record that does not tell: the latest of its partition so far,
    /// so that the restriction it becomes holds from then on.
    pub(crate) fn receipt_in(&self, partition: u32) -> Timestamp {
        self.receipts
            .get(&partition)
            .copied()
            .unwrap_or(Timestamp::MIN)
    }

    /// Whether the subject has a number: a fact names it, or somebody introduced it.
    pub(crate) fn knows(&self, subject: SubjectId) -> bool {
        // The numbers are shared with later states.
        let number = self.numbers.get(&subject);
        number.is_some_and(|number| index(number) < self.histories.len())
    }

    /// A subject of whom nothing is recorded here gets a number, and with it verdicts.
    pub(crate) fn introduce(&mut self, subject: SubjectId) -> Result<(), Error> {
        self.number(subject).map(|_| ())
    }

    fn number(&mut self, subject: SubjectId) -> Result<u32, Error> {
        let number = self.numbers.get_or_add(subject).ok_or_else(|| {
            Error::new(
                ErrorKind::Internal,
                "there are more subjects than numbers for them",
            )
        })?;
        if index(number) == self.histories.len() {
            self.histories.push(Arc::default());
            self.groups.add();
            self.members.push(number);
            self.touch(number);
        }
        Ok(number)
    }

    /// Tells those who follow that something happened to this number. What they have not read once there is much of
    /// it they need not: they look at everybody again.
    pub(crate) fn touch(&mut self, number: u32) {
        if self.touched.len() >= TOUCHES.max(4 * self.histories.len()) {
            self.touched = Chunked::default();
            self.generation += 1;
        }
        self.touched.push(number);
    }

    /// Works out anew who is a member with whom in the group of this number.
    pub(crate) fn settle_members(&mut self, number: u32) {
        for (one, member) in self.members_at(number, Timestamp::MAX) {
            if let Some(place) = self.members.get_mut(index(one)) {
                *place = member;
            }
        }
    }

    /// For each number of this one's group, the number of its member at `at`.
    pub(crate) fn members_at(&self, number: u32, at: Timestamp) -> Vec<(u32, u32)> {
        let Some(group) = self.groups.of(number) else {
            return vec![(number, number)];
        };
        let subjects: Vec<SubjectId> = group
            .iter()
            .filter_map(|number| self.numbers.subject(*number))
            .collect();
        let facts = self.of_group(group);
        let links: Vec<&Fact> = facts.filter(|fact| fact.kind.pair().is_some()).collect();
        members_of_group(group, &subjects, &links, at)
    }

    /// The subjects with which this one was linked directly, and was not told to be another person than since.
    pub(crate) fn linked_with(&self, subject: SubjectId) -> Vec<SubjectId> {
        let number = self.numbers.get(&subject);
        let group = number.and_then(|number| self.groups.of(number));
        let of_subject = self.of_group(group.unwrap_or_default()).filter_map(|fact| {
            let other = fact.kind.pair()?;
            let with = match subject {
                _ if fact.subject == subject => other,
                _ if other == subject => fact.subject,
                _ => return None,
            };
            Some((with, fact))
        });
        let mut latest: HashMap<SubjectId, &Fact> = HashMap::new();
        for (with, fact) in of_subject {
            let kept = latest.entry(with).or_insert(fact);
            if fact.received_at >= kept.received_at {
                *kept = fact;
            }
        }
        let stands = |fact: &Fact| matches!(fact.kind, FactKind::Linked { .. });
        let standing = latest.into_iter().filter(|(_, fact)| stands(fact));
        standing.map(|(with, _)| with).collect()
    }

    /// Whether more is applied about the subject than what restricts: a permission, a birth date, a link.
    pub(crate) fn is_more_than_restricted(&self, subject: SubjectId) -> bool {
        let Some(number) = self.numbers.get(&subject) else {
            return false;
        };
        let history = self.histories.get(index(number));
        let mut facts = history.into_iter().flat_map(|history| &history.facts);
        let is_more =
            |fact: &Fact| fact.kind.widens() || matches!(fact.kind, FactKind::BirthDate(_));
        self.groups.of(number).is_some() || facts.any(is_more)
    }

    fn of_group(&self, group: &[u32]) -> impl Iterator<Item = &Fact> {
        group
            .iter()
            .filter_map(|number| self.histories.get(index(*number)))
            .flat_map(|history| &history.facts)
    }

    /// The facts of all these subjects.
    pub(crate) fn facts_of_group(&self, group: &[u32]) -> Vec<Fact> {
        self.of_group(group).cloned().collect()
    }

    /// The registry as it was known at an earlier place (I10).
    pub(crate) fn registry_until(&self, end: u64) -> Result<Arc<RegistryState>, Error> {
        if end >= self.applied.get(&Topic::new(topics::REGISTRY), 0) {
            return Ok(Arc::clone(&self.registry));
        }
        let mut registry = RegistryState::new();
        for stored in self.definitions.iter() {
            if stored.position.offset >= end {
                break;
            }
            registry.absorb(stored).map_err(|error| {
                Error::new(
                    ErrorKind::Internal,
                    "the registry cannot be folded a second time",
                )
                .with_source(error)
            })?;
        }
        Ok(Arc::new(registry))
    }
}

/// Where a fact stands, in full.
pub(crate) fn position(place: Place) -> Position {
    Position {
        topic: Topic::new(topics::CONSENT),
        partition: place.partition,
        offset: place.offset,
    }
}

/// A copy that does not hold on to the buffer it was read into.
fn own_copy(stored: &Stored) -> Stored {
    Stored {
        position: stored.position.clone(),
        key: stored.key.to_vec().into(),
        value: stored.value.to_vec().into(),
        headers: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
