//! From items to records of the journal: subjects resolved, blocks sealed, envelopes framed.
//!
//! Three lookups for a whole request: identifiers, keys, and the clock; and at most one durable
//! commit of the vault for new people and one for new keys.

use std::collections::{BTreeSet, HashMap, HashSet};

use assent_consent::{Calendar, Namespace, SubjectId, Timestamp};
use assent_event::{
    EventId, Identifier, IdentityLink, KeyClass, MAX_ENVELOPE_BYTES, Payload, Rejection, Times,
    schema, topics,
};
use assent_journal::{Record, Topic};
use assent_vault::{Draft, KeyState, RandomSource, Sealer, Vault};
use bytes::Bytes;
use serde_json::Value;

use crate::consent::RESERVED_NAMESPACE;
use crate::error::Error;
use crate::limits::Limits;
use crate::links::{Links, RecentLinks};
use crate::outcome::{Code, Rejected};
use crate::planned::{Item, ItemTimes, Often, Planned, Refused, Said, Say};
use crate::recent::{Mark, Recent, mark};
use crate::repeats::{Known, id_by_time, id_of};

/// What a request does to the journal, item by item.
pub(crate) enum Entry {
    Item(Item),
    Rejected {
        why: Rejected,
        /// What restricts in it.
        kept: Vec<Planned>,
    },
}

impl Entry {
    fn planned(&self) -> &[Planned] {
        match self {
            Self::Item(item) => &item.planned,
            Self::Rejected { kept, .. } => kept,
        }
    }

    /// Refuses what turned out not to be recordable, but for what restricts in it. That needs no
    /// evidence; and if it cannot be recorded without, it cannot be recorded.
    fn refuse(&mut self, why: Rejected) {
        let kept = match self {
            Self::Item(item) => item
                .planned
                .drain(..)
                .filter(Planned::restricts)
                .map(Planned::without_evidence)
                .collect(),
            Self::Rejected { .. } => Vec::new(),
        };
        *self = Refused::keeping(why, kept).into();
    }
}

impl From<Refused> for Entry {
    fn from(Refused { why, kept }: Refused) -> Self {
        Self::Rejected { why, kept }
    }
}

/// An entry with what is needed to record it.
pub(crate) struct Ready<'v> {
    pub(crate) entry: Entry,
    /// What was sent.
    pub(crate) value: &'v Value,
    /// Where it stands in the body.
    pub(crate) place: String,
    pub(crate) message_id: String,
    /// Whether the sender gave the message id.
    pub(crate) own_id: bool,
    pub(crate) received_at: Timestamp,
}

impl Ready<'_> {
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.entry, Entry::Rejected { .. })
    }

    /// How many records it may become.
    pub(crate) fn records(&self) -> usize {
        self.entry.planned().len() + usize::from(self.is_refused())
    }
}

/// The records of a request.
pub(crate) struct Records {
    pub(crate) records: Vec<Record>,
    /// The first event of each entry; none when all of it stands already.
    pub(crate) ids: Vec<Option<EventId>>,
    /// What need not be recorded again soon, in order.
    pub(crate) once: Vec<Mark>,
    /// The same, to find it.
    standing: HashSet<Mark>,
    /// What was recorded and need not be again in this request.
    said: HashSet<Mark>,
    /// Whether a link was ended, so that links have to be recorded again.
    pub(crate) unlinked: bool,
    /// Which entries are to protect somebody who was never heard of.
    pub(crate) strangers: BTreeSet<usize>,
    /// Which entries lost a link, since an identifier in it belongs to too many people.
    pub(crate) unlinkable: BTreeSet<usize>,
    /// The links recorded.
    pub(crate) linked: Vec<(SubjectId, SubjectId)>,
    /// What cannot be recorded after all, and why.
    refused: Vec<(usize, Rejected)>,
}

/// Makes records.
pub(crate) struct Recorder<'r> {
    pub(crate) vault: &'r dyn Vault,
    pub(crate) random: &'r dyn RandomSource,
    pub(crate) source: &'r str,
    pub(crate) calendar: Calendar,
    pub(crate) limits: &'r Limits,
    pub(crate) recent: &'r Recent,
    pub(crate) recent_links: &'r RecentLinks,
    pub(crate) known: Option<&'r dyn Known>,
}

/// How often subjects are looked up again when one is erased in between.
const ATTEMPTS: usize = 3;

type Subjects = HashMap<Identifier, SubjectId>;

impl Recorder<'_> {
    /// Resolves, seals and frames. What turns out not to be recordable becomes a rejection.
    pub(crate) fn record(&self, ready: &mut [Ready<'_>]) -> Result<Records, Error> {
        let strangers = self.strangers(ready)?;
        let mut attempt = 1;
        loop {
            match self.attempt(ready) {
                Err(Error::Vault(assent_vault::Error::Erased { .. })) if attempt < ATTEMPTS => {
                    attempt += 1;
                }
                Ok(mut records) if records.refused.is_empty() => {
                    records.strangers = strangers;
                    return Ok(records);
                }
                // An entry is refused twice at most: with what restricts in it, and without.
                Ok(records) => {
                    for (index, why) in records.refused {
                        let Ready { entry, place, .. } = &mut ready[index];
                        entry.refuse(why.within(place));
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn attempt(&self, ready: &[Ready<'_>]) -> Result<Records, Error> {
        let subjects = self.subjects(ready)?;
        let mut out = Records {
            records: Vec::new(),
            ids: Vec::with_capacity(ready.len()),
            once: Vec::new(),
            standing: HashSet::new(),
            said: HashSet::new(),
            unlinked: false,
            strangers: BTreeSet::new(),
            unlinkable: BTreeSet::new(),
            linked: Vec::new(),
            refused: Vec::new(),
        };
        let mut links = Links::new(self.recent_links, self.known);
        let mut drafts = Vec::with_capacity(ready.len());
        let mut owners = Vec::with_capacity(ready.len());
        for (index, entry) in ready.iter().enumerate() {
            let first = self.drafts(index, entry, &subjects, &mut drafts, &mut links, &mut out)?;
            out.ids.push(first);
            owners.resize(drafts.len(), index);
        }
        out.linked = links.gained;
        if !out.refused.is_empty() {
            return Ok(out);
        }
        let sealed = Sealer::new(self.vault, self.random).seal_batch(drafts)?;
        out.records.reserve(sealed.len());
        for (envelope, owner) in sealed.into_iter().zip(owners) {
            let value = match envelope.encode() {
                Ok(value) => value,
                Err(assent_event::Error::TooLarge { .. }) => {
                    let refused = &mut out.refused;
                    if refused.last().is_none_or(|(last, _)| *last != owner) {
                        refused.push((owner, envelope_too_large()));
                    }
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let fingerprint = schema::fingerprint(envelope.schema_id).unwrap_or_default();
            out.records.push(Record {
                topic: Topic::new(envelope.kind.topic()),
                key: Bytes::copy_from_slice(envelope.subject.as_bytes()),
                value: Bytes::from(value),
                headers: vec![(
                    schema::FINGERPRINT_HEADER.to_owned(),
                    Bytes::copy_from_slice(&fingerprint),
                )],
            });
        }
        Ok(out)
    }

    /// Which entries refuse, withdraw or restrict for somebody of whom nothing is known, neither to
    /// the vault nor from an earlier entry. Their sender may have mistaken the identifier.
    fn strangers(&self, ready: &[Ready<'_>]) -> Result<BTreeSet<usize>, Error> {
        let mut named = HashSet::new();
        let mut asked = Vec::new();
        for (index, entry) in ready.iter().enumerate() {
            let Entry::Item(item) = &entry.entry else {
                continue;
            };
            for planned in &item.planned {
                let first = named.insert(&planned.about);
                if first && item.said == Said::Stated && planned.protects() {
                    asked.push((index, planned.about.clone()));
                }
            }
        }
        if asked.is_empty() {
            return Ok(BTreeSet::new());
        }
        let (places, identifiers): (Vec<usize>, Vec<Identifier>) = asked.into_iter().unzip();
        let found = self.vault.subjects(&identifiers, false)?;
        let known = self.known_people(found.iter().flatten().copied().collect())?;
        let asked = places.into_iter().zip(found);
        let unknown = asked.filter(|(_, subject)| !subject.is_some_and(|s| known.contains(&s)));
        Ok(unknown.map(|(index, _)| index).collect())
    }

    /// Those of whom more is on record than what restricts: data of theirs, or what permits something.
    /// Who was only ever refused for is as unknown as before.
    fn known_people(&self, subjects: BTreeSet<SubjectId>) -> Result<BTreeSet<SubjectId>, Error> {
        let Some(index) = self.known else {
            return Ok(subjects);
        };
        let data = [KeyClass::Identity, KeyClass::Profile, KeyClass::Sensitive];
        let wanted: Vec<_> = subjects
            .iter()
            .flat_map(|subject| data.map(|class| (*subject, class)))
            .collect();
        let keys = self.vault.keys(&wanted, false)?;
        let with_data = wanted
            .iter()
            .zip(keys)
            .filter_map(|((subject, _), key)| match key {
                KeyState::Live(_) | KeyState::Destroyed => Some(*subject),
                KeyState::Absent => None,
            });
        let mut known: BTreeSet<_> = with_data.collect();
        known.extend(
            subjects
                .into_iter()
                .filter(|s| index.is_more_than_restricted(*s)),
        );
        Ok(known)
    }

    /// Looks up everybody who is named, once.
    fn subjects(&self, ready: &[Ready<'_>]) -> Result<Subjects, Error> {
        let mut wanted = BTreeSet::new();
        let mut alternatives = BTreeSet::new();
        for entry in ready {
            for planned in entry.entry.planned() {
                name(planned, &mut wanted, &mut alternatives);
            }
            if matches!(entry.entry, Entry::Rejected { .. }) {
                wanted.insert(self.rejects(entry.received_at));
            }
        }
        let mut subjects = Subjects::new();
        let alternatives: Vec<Identifier> = alternatives.into_iter().cloned().collect();
        if !alternatives.is_empty() {
            let found = self.vault.subjects(&alternatives, false)?;
            for (identifier, subject) in alternatives.into_iter().zip(found) {
                if let Some(subject) = subject {
                    subjects.insert(identifier, subject);
                }
            }
        }
        let wanted: Vec<Identifier> = wanted.into_iter().collect();
        let found = self.vault.subjects(&wanted, true)?;
        for (identifier, subject) in wanted.into_iter().zip(found) {
            let subject = subject.ok_or(Error::Interrupted)?;
            subjects.insert(identifier, subject);
        }
        Ok(subjects)
    }

    /// The subject under whose key rejected bodies of a source and month are sealed: destroying it
    /// forgets them together.
    fn rejects(&self, at: Timestamp) -> Identifier {
        let day = self.calendar.day_of(at).to_string();
        let month = day
            .rsplit_once('-')
            .map_or(day.as_str(), |(month, _)| month);
        Identifier {
            namespace: Namespace::parse(RESERVED_NAMESPACE).expect("the constant is a name"),
            value: format!("{} {month}", self.source),
        }
    }

    fn drafts(
        &self,
        index: usize,
        ready: &Ready<'_>,
        subjects: &Subjects,
        drafts: &mut Vec<Draft>,
        links: &mut Links<'_>,
        out: &mut Records,
    ) -> Result<Option<EventId>, Error> {
        let ended = self.recent.links() + self.known.map_or(0, Known::links_ended);
        let of =
            |identifier: &Identifier| subjects.get(identifier).copied().ok_or(Error::Interrupted);
        let mut first = None;
        let mut push = |subject, times: Times, suffix: &str, payload: Payload| {
            let message_id = format!("{}{suffix}", ready.message_id);
            let bears_on_verdicts = payload.kind().topic() == topics::CONSENT;
            let id = match times.original {
                _ if !bears_on_verdicts => self.event_id(),
                _ if ready.own_id => id_of(self.source, &message_id, subject),
                // Without a message id it is the same when it says the same of the same instant.
                Some(at) => {
                    let (clear, _) = payload.blocks()?;
                    id_by_time(self.source, at, &clear, subject)
                }
                None => self.event_id(),
            };
            first.get_or_insert(id);
            drafts.push(Draft {
                id,
                subject,
                source: self.source.to_owned(),
                message_id,
                times,
                payload,
            });
            Ok::<(), Error>(())
        };
        let claimed = match &ready.entry {
            Entry::Item(item) => item.times,
            Entry::Rejected { why, .. } => {
                let body = truncated(ready.value, self.limits.event_bytes);
                let subject = of(&self.rejects(ready.received_at))?;
                let reason = format!("{}; {}", why.message, why.fix);
                let rejection = Rejection::new(self.source, why.code.as_str(), reason)
                    .place(why.pointer.as_str())
                    .body(body.as_str());
                push(subject, Times::at(ready.received_at), "", rejection.into())?;
                ItemTimes::default()
            }
        };
        for planned in ready.entry.planned() {
            let subject = of(&planned.about)?;
            let (payload, other) = payload(&planned.say, subjects, of)?;
            let mark = || once_mark(ended, subject, other, &planned.suffix);
            match planned.often {
                Often::Each => {}
                Often::InRequest if !out.said.insert(mark()) => continue,
                Often::InRequest => {}
                Often::WhileItStands => {
                    let mark = mark();
                    // After a link was ended within this request nothing of before it holds.
                    let stands = !out.unlinked && self.recent.contains(mark);
                    if stands || !out.standing.insert(mark) {
                        continue;
                    }
                    out.once.push(mark);
                }
            }
            if matches!(planned.say, Say::Link { linked: false, .. }) {
                out.unlinked = true;
                out.once.clear();
                out.standing.clear();
            }
            if let (Say::Link { linked: true, .. }, Some(other)) = (&planned.say, other)
                && !links.gain(subject, other)
            {
                out.unlinkable.insert(index);
                continue;
            }
            let times = times(&claimed, planned, ready.received_at);
            push(subject, times, &planned.suffix, payload)?;
        }
        let is_item = matches!(ready.entry, Entry::Item(_));
        if is_item && first.is_none() && out.unlinkable.contains(&index) {
            out.refused.push((index, too_many_links()));
        }
        Ok(first)
    }

    fn event_id(&self) -> EventId {
        let mut bytes = [0; 16];
        self.random.fill(&mut bytes);
        EventId::from_bytes(bytes)
    }
}

fn too_many_links() -> Rejected {
    Rejected::new(
        Code::TooManyLinks,
        "",
        TOO_MANY_LINKS,
        "send identifiers that belong to one person; end the links that are wrong with the fact unlinked",
    )
}

/// Said of a link that was left out.
pub(crate) const TOO_MANY_LINKS: &str = "one of the two identifiers belongs to as many people already as one may, so it tells nobody apart";

fn envelope_too_large() -> Rejected {
    Rejected::new(
        Code::EventTooLarge,
        "",
        format!("as a record the event has more than {MAX_ENVELOPE_BYTES} bytes"),
        "send less with it",
    )
}

/// The beginning of an item as JSON, for the record of its rejection.
fn truncated(value: &Value, limit: usize) -> String {
    let mut text = value.to_string();
    if text.len() > limit {
        let mut end = limit;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}

fn name<'i>(
    planned: &'i Planned,
    wanted: &mut BTreeSet<Identifier>,
    alternatives: &mut BTreeSet<&'i Identifier>,
) {
    wanted.insert(planned.about.clone());
    match &planned.say {
        Say::Payload(_) => {}
        Say::Link { other, or, .. } => {
            alternatives.extend(or);
            wanted.insert(other.clone());
        }
        Say::Guardian { guardian, .. } | Say::Guardianship { guardian, .. } => {
            wanted.insert(guardian.clone());
        }
    }
}

/// What is said, with everybody named by subject; and the other subject of a link.
fn payload(
    say: &Say,
    subjects: &Subjects,
    of: impl Fn(&Identifier) -> Result<SubjectId, Error>,
) -> Result<(Payload, Option<SubjectId>), Error> {
    Ok(match say {
        Say::Payload(payload) => (payload.as_ref().clone(), None),
        Say::Link { other, or, linked } => {
            let known = or.as_ref().and_then(|or| subjects.get(or)).copied();
            let other = match known {
                Some(known) => known,
                None => of(other)?,
            };
            let link = if *linked {
                IdentityLink::linked(other)
            } else {
                IdentityLink::unlinked(other)
            };
            (link.into(), Some(other))
        }
        Say::Guardian { decision, guardian } => {
            let form = decision.clear.form.clone();
            let mut decision = decision.as_ref().clone().by_guardian(of(guardian)?);
            decision.clear.form = form;
            (decision.into(), None)
        }
        Say::Guardianship { fact, guardian } => {
            let mut fact = fact.as_ref().clone();
            fact.clear.guardian = Some(of(guardian)?);
            (fact.into(), None)
        }
    })
}

/// The event time is at the latest the time of receipt (rule R2); what was claimed stays beside it.
fn times(claimed: &ItemTimes, planned: &Planned, received_at: Timestamp) -> Times {
    let happened = planned.happened(claimed).unwrap_or(received_at);
    Times {
        event_time: happened.min(received_at),
        received_at,
        sent_at: claimed.sent,
        original: claimed.original,
    }
}

fn once_mark(links: u64, subject: SubjectId, other: Option<SubjectId>, suffix: &str) -> Mark {
    let other = other.map(SubjectId::to_bytes).unwrap_or_default();
    mark([
        &b"once"[..],
        &links.to_be_bytes(),
        subject.as_bytes(),
        &other,
        suffix.as_bytes(),
    ])
}
