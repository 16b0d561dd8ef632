//! Facts as the events that would have brought them.

use assent_consent::{Actor, Decision, Fact, FactKind, Selector};
use assent_event::{ConsentDecision, EventId, IdentityLink, Payload, SubjectFact, Times};

/// The payload that [`assent_event::to_fact`] reads back as this fact; the indication of a decision
/// becomes its digest, so that two decisions share one before as after.
#[must_use]
pub fn payload_of(fact: &Fact) -> Payload {
    let text = |purpose: &Option<assent_consent::PurposeId>| {
        purpose.as_ref().map(|id| id.as_str().to_owned())
    };
    match &fact.kind {
        FactKind::Decision(decision) => Payload::ConsentDecision(decision_of(decision)),
        FactKind::Linked { other } => Payload::IdentityLink(IdentityLink::linked(*other)),
        FactKind::Unlinked { other } => Payload::IdentityLink(IdentityLink::unlinked(*other)),
        FactKind::ContractStarted {
            contract,
            purpose,
            starts_at,
        } => Payload::SubjectFact(SubjectFact::contract_started(
            contract.as_str(),
            text(purpose),
            *starts_at,
        )),
        FactKind::ContractEnded { contract, ends_at } => {
            Payload::SubjectFact(SubjectFact::contract_ended(contract.as_str(), *ends_at))
        }
        FactKind::BirthDate(day) => Payload::SubjectFact(SubjectFact::birth_date(day.days())),
        FactKind::GuardianshipStarted { guardian } => {
            Payload::SubjectFact(SubjectFact::guardianship_started(*guardian))
        }
        FactKind::GuardianshipEnded { guardian } => {
            Payload::SubjectFact(SubjectFact::guardianship_ended(*guardian))
        }
        FactKind::Restricted { purpose } => {
            Payload::SubjectFact(SubjectFact::restricted(text(purpose)))
        }
        FactKind::RestrictionLifted { purpose } => {
            Payload::SubjectFact(SubjectFact::restriction_lifted(text(purpose)))
        }
        FactKind::Erased => Payload::SubjectFact(SubjectFact::erased()),
        FactKind::PublicSource { provenance } => {
            let url = provenance.then(|| "https://registry.example.invalid/1".to_owned());
            Payload::SubjectFact(SubjectFact::public_source(url))
        }
    }
}

/// The id of the event that brought the fact.
#[must_use]
pub fn event_of(fact: &Fact) -> EventId {
    EventId::from(fact.id)
}

/// The times of the event that brought the fact.
#[must_use]
pub fn times_of(fact: &Fact) -> Times {
    Times::new(fact.event_time, fact.received_at)
}

fn decision_of(decision: &Decision) -> ConsentDecision {
    let purpose = match &decision.purpose {
        Selector::All => None,
        Selector::One(id) => Some(id.as_str().to_owned()),
    };
    let mut made = ConsentDecision::of(decision.state.as_str(), purpose)
        .form(decision.form.as_str())
        .act(decision.act.as_str());
    let clear = &mut made.clear;
    clear.channel = match &decision.channel {
        Some(channel) => Some(channel.as_str().to_owned()),
        // No name of a channel: it reads as any.
        None => decision.channel_unread.then(|| "No Channel".to_owned()),
    };
    clear.recipient = decision.recipient.as_ref().map(|r| r.as_str().to_owned());
    clear.categories = decision
        .categories
        .as_ref()
        .map(|all| all.iter().map(|c| c.as_str().to_owned()).collect());
    clear.personalisation = decision.personalisation;
    if let Some(notice) = &decision.notice {
        clear.notice_id = Some(notice.id.as_str().to_owned());
        clear.notice_version = Some(notice.version);
    }
    clear.has_evidence = decision.evidence;
    clear.authenticated = decision.authenticated;
    clear.expires_at = decision.expires_at;
    let (actor, guardian) = match decision.actor {
        Actor::Subject => ("subject", None),
        Actor::Guardian { guardian } => ("guardian", Some(guardian)),
        Actor::Agent => ("agent", None),
        Actor::System => ("system", None),
    };
    clear.actor = actor.to_owned();
    clear.guardian = guardian;
    match &decision.indication {
        Some(indication) => made.indication("testkit", indication.as_str()),
        None => made,
    }
}
