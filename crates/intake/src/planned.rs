//! What an item of a request becomes while its people are still named by identifiers.

use assent_consent::{Namespace, Timestamp};
use assent_event::{ConsentDecision, Identifier, Payload, SubjectFact, topics};
use assent_programme::{RegistryState, SourceDefinition, SourceKind};

use crate::limits::Limits;
use crate::outcome::{Rejected, Warning};
use crate::tracking::Names;

/// What reading one item led to.
pub(crate) type Reading = Result<Item, Rejected>;

/// An item that is refused.
pub(crate) struct Refused {
    pub(crate) why: Rejected,
    /// What restricts in it. It is recorded all the same, as of its receipt: a detail that is wrong
    /// must not cost anybody a refusal (I6).
    pub(crate) kept: Vec<Planned>,
}

impl Refused {
    pub(crate) fn keeping(mut why: Rejected, kept: Vec<Planned>) -> Self {
        if !kept.is_empty() {
            why.message.push_str("; what restricts in it was recorded");
        }
        Self { why, kept }
    }
}

impl From<Rejected> for Refused {
    fn from(why: Rejected) -> Self {
        Self {
            why,
            kept: Vec::new(),
        }
    }
}

/// What an item is read against.
pub(crate) struct Context<'r> {
    pub(crate) source: &'r SourceDefinition,
    pub(crate) registry: &'r RegistryState,
    pub(crate) limits: &'r Limits,
    /// When the request came.
    pub(crate) now: Timestamp,
    /// Whether it carried `Sec-GPC: 1`.
    pub(crate) gpc: bool,
    /// Of the properties in it.
    pub(crate) names: &'r Names,
}

impl Context<'_> {
    pub(crate) fn server(&self) -> bool {
        match self.source.kind {
            SourceKind::Server => true,
            SourceKind::Browser => false,
        }
    }

    /// Whom a source means, in the one spelling that the vault knows; `None` when nothing is left of
    /// the value.
    pub(crate) fn identifier(&self, namespace: &Namespace, value: String) -> Option<Identifier> {
        let code = self.registry.settings().phone_calling_code;
        let normal = Identifier::new(namespace.clone(), value).normal(code);
        (!normal.value.is_empty()).then_some(normal)
    }
}

/// An item that will be recorded.
#[derive(Debug)]
pub(crate) struct Item {
    /// The sender's message id; `None` asks for a new one.
    pub(crate) message_id: Option<String>,
    pub(crate) times: ItemTimes,
    /// At least one.
    pub(crate) planned: Vec<Planned>,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) said: Said,
}

/// How an item says what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// A tracking call, one event of its message id.
    Call,
    /// Preferences within a tracking call: decisions, told apart by their people, too.
    Preferences,
    /// A decision or fact of `/v1/consents`. Its sender knows whom it is about.
    Stated,
}

/// How far ahead a sender's clock may be before it is told of; less is everyday jitter.
pub(crate) const JITTER_MICROS: i64 = 60_000_000;

/// When an item happened, as far as its sender tells.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ItemTimes {
    /// Corrected for the sender's clock; `None` is the time of receipt.
    pub(crate) event: Option<Timestamp>,
    /// As the sender wrote it.
    pub(crate) original: Option<Timestamp>,
    pub(crate) sent: Option<Timestamp>,
}

impl ItemTimes {
    /// One time, as its sender wrote it and without a clock to correct it by.
    pub(crate) fn told(time: Option<Timestamp>) -> Self {
        Self {
            event: time,
            original: time,
            sent: None,
        }
    }

    /// When a permission of the item counts as given: the earlier of what the sender wrote and what
    /// it is corrected to. An SDK that re-uses `sentAt` when it tries again late would else move the
    /// permission past a withdrawal.
    pub(crate) fn of_permission(&self) -> Option<Timestamp> {
        self.event.min(self.original)
    }

    /// When a restriction of the item counts as made: the later of the two, for the same reason.
    fn of_restriction(&self) -> Option<Timestamp> {
        self.event.max(self.original)
    }
}

/// One event of an item.
#[derive(Debug)]
pub(crate) struct Planned {
    /// Whom it is about.
    pub(crate) about: Identifier,
    /// What is put behind the message id, so that the events of one item differ; the first has
    /// nothing.
    pub(crate) suffix: String,
    pub(crate) say: Say,
    pub(crate) often: Often,
}

/// How often the same is worth recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Often {
    /// Each time it is said.
    Each,
    /// Left out while the same is known to stand: for what follows from every call, such as the link
    /// between its two ids, which stands until somebody says otherwise. Never for a decision.
    WhileItStands,
    /// Once for the items of one request, in which nothing can widen: a browser's signal.
    InRequest,
}

impl Planned {
    pub(crate) fn first(about: Identifier, say: impl Into<Say>) -> Self {
        Self {
            about,
            suffix: String::new(),
            say: say.into(),
            often: Often::Each,
        }
    }

    pub(crate) fn further(
        about: Identifier,
        suffix: impl Into<String>,
        say: impl Into<Say>,
    ) -> Self {
        Self {
            about,
            suffix: suffix.into(),
            say: say.into(),
            often: Often::Each,
        }
    }

    pub(crate) fn only(mut self, often: Often) -> Self {
        self.often = often;
        self
    }

    /// When it happened, as far as that can be believed; `None` is the time of receipt.
    pub(crate) fn happened(&self, times: &ItemTimes) -> Option<Timestamp> {
        if self.restricts() {
            times.of_restriction()
        } else if self.bears_on_verdicts() {
            times.of_permission()
        } else {
            times.event
        }
    }

    fn bears_on_verdicts(&self) -> bool {
        match &self.say {
            Say::Payload(payload) => payload.kind().topic() == topics::CONSENT,
            Say::Link { .. } | Say::Guardian { .. } | Say::Guardianship { .. } => true,
        }
    }

    /// Whether it may restrict what is lawful. Recording it again under a message id that was seen
    /// does no harm; leaving it out might, as something may have widened in between (I6).
    pub(crate) fn restricts(&self) -> bool {
        match &self.say {
            Say::Payload(payload) => match payload.as_ref() {
                Payload::ConsentDecision(decision) => decision.clear.state != GRANTED,
                Payload::SubjectFact(fact) => !WIDENING.contains(&fact.clear.fact.as_str()),
                Payload::IdentityLink(link) => link.clear.linked,
                Payload::Traits(_)
                | Payload::AccountMembership(_)
                | Payload::SubscriptionChange(_)
                | Payload::Behaviour(_)
                | Payload::Use(_)
                | Payload::Rejection(_)
                | Payload::SegmentChange(_) => false,
            },
            Say::Link { linked, .. } => *linked,
            Say::Guardian { decision, .. } => decision.clear.state != GRANTED,
            Say::Guardianship { fact, .. } => !WIDENING.contains(&fact.clear.fact.as_str()),
        }
    }

    /// The same without what proves it, which may be long.
    pub(crate) fn without_evidence(mut self) -> Self {
        match &mut self.say {
            Say::Payload(payload) => match payload.as_mut() {
                Payload::ConsentDecision(decision) => decision.evidence = None,
                Payload::SubjectFact(fact) => fact.evidence = None,
                Payload::IdentityLink(_)
                | Payload::Traits(_)
                | Payload::AccountMembership(_)
                | Payload::SubscriptionChange(_)
                | Payload::Behaviour(_)
                | Payload::Use(_)
                | Payload::Rejection(_)
                | Payload::SegmentChange(_) => {}
            },
            Say::Guardian { decision, .. } => decision.evidence = None,
            Say::Guardianship { fact, .. } => fact.evidence = None,
            Say::Link { .. } => {}
        }
        self
    }

    /// Whether it is meant to protect the person it names: a refusal, a withdrawal, a restriction.
    pub(crate) fn protects(&self) -> bool {
        match &self.say {
            Say::Payload(payload) => match payload.as_ref() {
                Payload::ConsentDecision(decision) => decision.clear.state != GRANTED,
                Payload::SubjectFact(fact) => fact.clear.fact == "restricted",
                Payload::IdentityLink(_)
                | Payload::Traits(_)
                | Payload::AccountMembership(_)
                | Payload::SubscriptionChange(_)
                | Payload::Behaviour(_)
                | Payload::Use(_)
                | Payload::Rejection(_)
                | Payload::SegmentChange(_) => false,
            },
            Say::Guardian { decision, .. } => decision.clear.state != GRANTED,
            Say::Link { .. } | Say::Guardianship { .. } => false,
        }
    }
}

/// The state of a grant, as it stands in a decision.
const GRANTED: &str = "granted";

/// Facts that can only widen what is lawful.
const WIDENING: [&str; 4] = [
    "contract_started",
    "guardianship_started",
    "restriction_lifted",
    "public_source",
];

/// What an event says, where it may name further people by identifiers.
#[derive(Debug)]
pub(crate) enum Say {
    /// Nobody else is named.
    Payload(Box<Payload>),
    /// The two identifiers are one person, or are not. If `or` is known already it is meant
    /// instead of `other`.
    Link {
        other: Identifier,
        or: Option<Identifier>,
        linked: bool,
    },
    /// A decision by a guardian.
    Guardian {
        decision: Box<ConsentDecision>,
        guardian: Identifier,
    },
    /// A guardianship starts or ends.
    Guardianship {
        fact: Box<SubjectFact>,
        guardian: Identifier,
    },
}

impl<P: Into<Payload>> From<P> for Say {
    fn from(payload: P) -> Self {
        Self::Payload(Box::new(payload.into()))
    }
}
