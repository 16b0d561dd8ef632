//! What was sent before: left out, or refused where it now says something else.
//!
//! The fold decides what counts (rule R2), whatever is written here. This only keeps repetitions out of the log
//! and tells senders what they would else not learn: that a message id stands for one thing, once and for all.
//! It forgets nothing that restricts: that is recorded each time.

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Write as _};

use assent_consent::{DecisionState, FactKind, Selector, SubjectId, Timestamp};
use assent_event::{ConsentDecision, EventId, Identifier, Payload, SubjectFact};
use assent_vault::Vault;

use crate::error::Error;
use crate::outcome::{Code, Rejected, Warning, WarningCode};
use crate::planned::{Item, Planned, Said, Say};
use crate::recent::{Mark, Recent, mark};

/// What the log is known to say, by somebody who follows it, such as the permit index. It may lag behind.
pub trait Known: Send + Sync + 'static {
    /// The fact of this event that counts for the subject, if there is one.
    fn fact(&self, subject: SubjectId, event: EventId) -> Option<FactKind>;

    /// Whether this message brought something for a subject that was erased since.
    fn is_of_erased(&self, source: &str, message_id: &str) -> bool;

    /// How many links were ended.
    fn links_ended(&self) -> u64;

    /// The subjects with which this one was linked directly.
    fn linked_with(&self, subject: SubjectId) -> Vec<SubjectId>;

    /// Whether more is on record of the subject than what restricts: a permission, a birth date, a link.
    fn is_more_than_restricted(&self, subject: SubjectId) -> bool;
}

/// The id of an event that bears on verdicts: of what its sender sends again, the same again, so that whoever
/// folds it can tell that a grant is not a new one, however long ago it came first.
pub(crate) fn id_of(source: &str, message_id: &str, subject: SubjectId) -> EventId {
    let parts = [
        source.as_bytes(),
        message_id.as_bytes(),
        &subject.to_bytes()[..],
    ];
    EventId::from_bytes(mark(parts).to_be_bytes())
}

/// The same of what its sender gave no message id: it is told by its time and by what it says in clear.
pub(crate) fn id_by_time(source: &str, at: Timestamp, clear: &[u8], subject: SubjectId) -> EventId {
    let at = at.micros().to_be_bytes();
    let parts = [
        &b"time"[..],
        source.as_bytes(),
        &at,
        clear,
        subject.as_bytes(),
    ];
    EventId::from_bytes(mark(parts).to_be_bytes())
}

/// The repetitions among the items of a request.
pub(crate) struct Repeats<'r> {
    source: &'r str,
    recent: &'r Recent,
    known: Option<&'r dyn Known>,
    /// Who is named and was heard of before, as far as it is asked.
    subjects: HashMap<Identifier, SubjectId>,
    seen: HashSet<Mark>,
    /// What need not be recorded again once the request is.
    marks: Vec<Mark>,
}

/// How something compares to what came before under its message id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    New,
    Same,
    /// The id stands for something else.
    Other,
}

impl<'r> Repeats<'r> {
    /// # Errors
    /// When the vault cannot tell who is known.
    pub(crate) fn among<'i>(
        items: impl Iterator<Item = &'i Item>,
        source: &'r str,
        recent: &'r Recent,
        known: Option<&'r dyn Known>,
        vault: &dyn Vault,
    ) -> Result<Self, Error> {
        let mut subjects = HashMap::new();
        if known.is_some() {
            let people: HashSet<&Identifier> = items
                .filter(|item| item.message_id.is_some() && item.said != Said::Call)
                .flat_map(|item| &item.planned)
                .filter(|planned| content(&planned.say).is_some())
                .map(|planned| &planned.about)
                .collect();
            let people: Vec<Identifier> = people.into_iter().cloned().collect();
            if !people.is_empty() {
                let found = vault.subjects(&people, false)?;
                let found = people.into_iter().zip(found);
                subjects = found.filter_map(|(who, id)| Some((who, id?))).collect();
            }
        }
        Ok(Self {
            source,
            recent,
            known,
            subjects,
            seen: HashSet::new(),
            marks: Vec::new(),
        })
    }

    /// The item without what it repeats; `None` when nothing is left of it.
    pub(crate) fn sift(&mut self, mut item: Item) -> Result<Option<Item>, Rejected> {
        let Some(id) = item.message_id.clone() else {
            // It stands for itself.
            return Ok(Some(item));
        };
        let mut changed = false;
        match item.said {
            Said::Call => {
                let call = mark([self.source.as_bytes(), id.as_bytes()]);
                if self.is_seen(call) {
                    // What restricts is never a repetition: something may have been granted since, and
                    // restricting twice is harmless.
                    item.planned.retain(Planned::restricts);
                } else {
                    self.see([call]);
                }
            }
            Said::Preferences | Said::Stated => item.planned.retain(|planned| {
                let repeat = self.compare(&id, planned);
                changed |= repeat == Repeat::Other;
                repeat == Repeat::New
            }),
        }
        if changed {
            let pointer = match item.said {
                Said::Stated => "/message_id",
                Said::Call | Said::Preferences => "/messageId",
            };
            let why = used(pointer);
            if item.planned.is_empty() {
                return Err(why);
            }
            let told = format!("{}; {}", why.message, why.fix);
            item.warnings
                .push(Warning::new(WarningCode::GrantNotRecorded, pointer, told));
        }
        Ok((!item.planned.is_empty()).then_some(item))
    }

    /// What to remember once the request is recorded.
    pub(crate) fn into_marks(self) -> Vec<Mark> {
        self.marks
    }

    fn compare(&mut self, id: &str, planned: &Planned) -> Repeat {
        let message_id = format!("{id}{}", planned.suffix);
        let about = &planned.about;
        let parts = [
            self.source.as_bytes(),
            message_id.as_bytes(),
            about.namespace.as_str().as_bytes(),
            about.value.as_bytes(),
        ];
        let any = mark(parts);
        let Some(content) = content(&planned.say) else {
            // It counts each time; but what widens under its id does not.
            self.see([any]);
            return Repeat::New;
        };
        let this = mark(parts.into_iter().chain([content.as_bytes()]));
        let repeat = if self.is_seen(this) {
            Repeat::Same
        } else if self.is_seen(any) {
            Repeat::Other
        } else {
            self.known_before(&message_id, about, &content)
        };
        // A birth date that is another one is a correction (R2).
        let repeat = match repeat {
            Repeat::Other if is_birth_date(&planned.say) => Repeat::New,
            Repeat::New | Repeat::Same | Repeat::Other => repeat,
        };
        if repeat == Repeat::New {
            // In this order: `any` is forgotten first, so that what is repeated never seems to be something else.
            self.see([any, this]);
        }
        repeat
    }

    /// By the log.
    fn known_before(&self, message_id: &str, about: &Identifier, content: &str) -> Repeat {
        let Some(known) = self.known else {
            return Repeat::New;
        };
        let fact = self.subjects.get(about).and_then(|subject| {
            let event = id_of(self.source, message_id, *subject);
            known.fact(*subject, event)
        });
        match fact {
            Some(fact) if content_of_fact(&fact).as_deref() == Some(content) => Repeat::Same,
            Some(_) => Repeat::Other,
            None if known.is_of_erased(self.source, message_id) => Repeat::Other,
            None => Repeat::New,
        }
    }

    fn is_seen(&self, mark: Mark) -> bool {
        self.seen.contains(&mark) || self.recent.contains(mark)
    }

    fn see(&mut self, marks: impl IntoIterator<Item = Mark>) {
        for mark in marks {
            self.seen.insert(mark);
            self.marks.push(mark);
        }
    }
}

fn used(pointer: &str) -> Rejected {
    Rejected::new(
        Code::MessageIdUsed,
        pointer,
        "this message id was used before for something else, so what it says now would not count",
        "send it with a new message id",
    )
}

fn is_birth_date(say: &Say) -> bool {
    match say {
        Say::Payload(payload) => match payload.as_ref() {
            Payload::SubjectFact(fact) => fact.clear.fact == BIRTH_DATE,
            Payload::ConsentDecision(_)
            | Payload::IdentityLink(_)
            | Payload::Traits(_)
            | Payload::AccountMembership(_)
            | Payload::SubscriptionChange(_)
            | Payload::Behaviour(_)
            | Payload::Use(_)
            | Payload::Rejection(_)
            | Payload::SegmentChange(_) => false,
        },
        Say::Link { .. } | Say::Guardian { .. } | Say::Guardianship { .. } => false,
    }
}

const BIRTH_DATE: &str = "birth_date";

/// What of an event makes it another one than an earlier one of its id; `None` when it counts each time.
fn content(say: &Say) -> Option<String> {
    match say {
        Say::Payload(payload) => match payload.as_ref() {
            Payload::ConsentDecision(decision) => of_decision(decision),
            Payload::SubjectFact(fact) => of_subject_fact(fact),
            Payload::IdentityLink(link) => (!link.clear.linked).then(|| "unlinked".to_owned()),
            Payload::Traits(_)
            | Payload::AccountMembership(_)
            | Payload::SubscriptionChange(_)
            | Payload::Behaviour(_)
            | Payload::Use(_)
            | Payload::Rejection(_)
            | Payload::SegmentChange(_) => None,
        },
        Say::Guardian { decision, .. } => of_decision(decision),
        Say::Guardianship { fact, .. } => of_subject_fact(fact),
        Say::Link { linked, .. } => (!linked).then(|| "unlinked".to_owned()),
    }
}

fn of_decision(decision: &ConsentDecision) -> Option<String> {
    let clear = &decision.clear;
    if clear.state != DecisionState::Granted.as_str() {
        return None;
    }
    let mut content = Content::of("granted");
    content.part(clear.purpose.as_deref());
    content.part(clear.channel.as_deref());
    content.part(clear.recipient.as_deref());
    match &clear.categories {
        None => content.part(None::<&str>),
        Some(names) => content.part(Some(names.join(" "))),
    }
    content.part(clear.personalisation);
    content.part(clear.notice_id.as_deref());
    content.part(clear.notice_version);
    content.part(Some(&clear.form));
    content.part(clear.expires_at);
    Some(content.0)
}

fn of_subject_fact(fact: &SubjectFact) -> Option<String> {
    let clear = &fact.clear;
    let mut content = Content::of(&clear.fact);
    match clear.fact.as_str() {
        "contract_started" => {
            content.part(clear.contract.as_deref());
            content.part(clear.purpose.as_deref());
        }
        "restriction_lifted" => content.part(clear.purpose.as_deref()),
        "guardianship_started" | "public_source" => {}
        BIRTH_DATE => content.part(fact.identity.as_ref().and_then(|of| of.birth_date)),
        _ => return None,
    }
    Some(content.0)
}

/// The same of a fact in the log.
fn content_of_fact(fact: &FactKind) -> Option<String> {
    let mut content = Content::of(match fact {
        FactKind::Decision(decision) => decision.state.as_str(),
        FactKind::Linked { .. }
        | FactKind::Unlinked { .. }
        | FactKind::ContractStarted { .. }
        | FactKind::ContractEnded { .. }
        | FactKind::BirthDate(_)
        | FactKind::GuardianshipStarted { .. }
        | FactKind::GuardianshipEnded { .. }
        | FactKind::Restricted { .. }
        | FactKind::RestrictionLifted { .. }
        | FactKind::Erased
        | FactKind::PublicSource { .. } => fact.name(),
    });
    match fact {
        FactKind::Decision(decision) => {
            content.part(match &decision.purpose {
                Selector::All => None,
                Selector::One(purpose) => Some(purpose),
            });
            content.part(decision.channel.as_ref());
            content.part(decision.recipient.as_ref());
            let categories = decision.categories.as_ref().map(|categories| {
                let names: Vec<&str> = categories.iter().map(|name| name.as_str()).collect();
                names.join(" ")
            });
            content.part(categories);
            content.part(decision.personalisation);
            content.part(decision.notice.as_ref().map(|notice| &notice.id));
            content.part(decision.notice.as_ref().map(|notice| notice.version));
            content.part(Some(decision.form));
            content.part(decision.expires_at);
        }
        FactKind::ContractStarted {
            contract, purpose, ..
        } => {
            content.part(Some(contract));
            content.part(purpose.as_ref());
        }
        FactKind::RestrictionLifted { purpose } => content.part(purpose.as_ref()),
        FactKind::BirthDate(day) => content.part(Some(day.days())),
        FactKind::Unlinked { .. }
        | FactKind::GuardianshipStarted { .. }
        | FactKind::PublicSource { .. } => {}
        FactKind::Linked { .. }
        | FactKind::ContractEnded { .. }
        | FactKind::GuardianshipEnded { .. }
        | FactKind::Restricted { .. }
        | FactKind::Erased => return None,
    }
    Some(content.0)
}

/// Texts and numbers that cannot run into each other.
struct Content(String);

impl Content {
    fn of(name: &str) -> Self {
        Self(name.to_owned())
    }

    fn part(&mut self, part: Option<impl fmt::Display>) {
        let text = part.map(|part| part.to_string());
        // Writing to a string cannot fail.
        let _ = match text {
            Some(text) => write!(self.0, "\n{}:{text}", text.len()),
            None => write!(self.0, "\n-"),
        };
    }
}
