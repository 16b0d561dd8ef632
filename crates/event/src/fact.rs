//! From an event of the consent topic to the fact that `evaluate` folds.
//!
//! Owns deny by default at this seam (I5): what cannot be read, in whole or in part, becomes a fact
//! that restricts at least as much as what may have been meant; never nothing. It refuses to judge
//! what a fact means. An event does not know where it stands in the log: whoever read it there sets
//! [`Fact::order`], which is zero here.

use std::collections::BTreeSet;

use assent_consent::{
    Actor, Category, Channel, ConsentForm, Day, Decision, DecisionState, Fact, FactKind, NoticeId,
    NoticeRef, PurposeId, RecipientId, Selector, SubjectId, Timestamp,
};
use sha2::{Digest, Sha256};

use crate::{
    ConsentDecision, Envelope, Error, IdentityLink, KeyClass, Kind, Payload, SubjectFact, topics,
};

/// The fact in an event, or none when its kind is not one that `evaluate` folds.
///
/// A decision that names something unreadable becomes an unreadable decision about as much as could
/// be read of its purpose, channel and personalisation; a subject fact that cannot be understood
/// becomes a restriction, or an unreadable decision when it could only have widened.
///
/// # Errors
/// [`Error::KindMismatch`] when the payload is not of the envelope's kind: a defect of the caller.
pub fn to_fact(envelope: &Envelope, payload: &Payload) -> Result<Option<Fact>, Error> {
    if payload.kind() != envelope.kind {
        return Err(Error::KindMismatch {
            event: envelope.id,
            kind: envelope.kind,
            id: payload.schema_id(),
        });
    }
    let kind = match payload {
        Payload::ConsentDecision(decision) => Some(FactKind::Decision(read_decision(decision))),
        Payload::IdentityLink(link) => Some(read_link(link)),
        Payload::SubjectFact(fact) => Some(read_subject_fact(fact)),
        Payload::Traits(_)
        | Payload::AccountMembership(_)
        | Payload::SubscriptionChange(_)
        | Payload::Behaviour(_)
        | Payload::Use(_)
        | Payload::Rejection(_)
        | Payload::SegmentChange(_) => None,
    };
    Ok(kind.map(|kind| fact(envelope, kind)))
}

/// The fact in an event of the consent topic, given those blocks that could be opened; none for
/// other topics.
///
/// What proves a fact does not take part: destroying or damaging evidence changes no verdict.
///
/// Never fails: an event whose blocks are malformed or written by an unknown schema becomes an
/// unreadable decision of everything, every channel and the personalisation; or a restriction if it
/// is a subject fact, since it may have been one, or a link, since it may have been one with somebody
/// restricted. Only a birth date needs an opened block (class identity); without it the fact is an unreadable
/// decision.
#[must_use]
pub fn fact_of(envelope: &Envelope, opened: &[(KeyClass, Vec<u8>)]) -> Option<Fact> {
    if envelope.kind.topic() != topics::CONSENT {
        return None;
    }
    let needed: Vec<_> = opened
        .iter()
        .filter(|(class, _)| *class == KeyClass::Identity)
        .cloned()
        .collect();
    let read = envelope
        .payload(&needed)
        .and_then(|payload| to_fact(envelope, &payload));
    match read {
        Ok(found) => found,
        Err(_) => Some(fact(
            envelope,
            match envelope.kind {
                Kind::SubjectFact | Kind::IdentityLink => FactKind::Restricted { purpose: None },
                Kind::ConsentDecision
                | Kind::Traits
                | Kind::AccountMembership
                | Kind::SubscriptionChange
                | Kind::Behaviour
                | Kind::Use
                | Kind::Rejection
                | Kind::SegmentChange => FactKind::Decision(Decision::unreadable()),
            },
        )),
    }
}

/// What to take of a record of the consent topic whose envelope cannot be read: a restriction, as
/// it may have been one, or an erasure. `at` is when the log received the record.
///
/// None when the key is not a subject id: nobody can be protected then, and the reader has to stop.
#[must_use]
pub fn salvage(key: &[u8], value: &[u8], at: Timestamp) -> Option<Fact> {
    let subject = SubjectId::from_bytes(key.try_into().ok()?);
    let digest: [u8; 32] = Sha256::digest(value).into();
    let (id, _) = digest.split_first_chunk::<16>()?;
    Some(Fact {
        id: *id,
        subject,
        event_time: at,
        received_at: at,
        order: 0,
        kind: FactKind::Restricted { purpose: None },
    })
}

fn fact(envelope: &Envelope, kind: FactKind) -> Fact {
    Fact {
        id: envelope.id.to_bytes(),
        subject: envelope.subject,
        event_time: envelope.times.event_time,
        received_at: envelope.times.received_at,
        order: 0,
        kind,
    }
}

fn read_link(link: &IdentityLink) -> FactKind {
    let other = link.clear.other;
    if link.clear.linked {
        FactKind::Linked { other }
    } else {
        FactKind::Unlinked { other }
    }
}

/// A part of a decision that cannot be read.
#[derive(Clone, Copy)]
struct Unread;

fn read_decision(decision: &ConsentDecision) -> Decision {
    let clear = &decision.clear;
    let purpose = match &clear.purpose {
        None => Ok(Selector::All),
        Some(text) => PurposeId::parse(text)
            .map(Selector::One)
            .map_err(|_| Unread),
    };
    let whole = purpose
        .clone()
        .and_then(|purpose| read_whole(decision, purpose));
    whole.unwrap_or_else(|Unread| {
        let channel = optional(clear.channel.as_deref(), Channel::parse);
        Decision {
            purpose: purpose.unwrap_or(Selector::All),
            channel_unread: channel.is_err(),
            channel: channel.unwrap_or(None),
            personalisation: clear.personalisation,
            ..Decision::unreadable()
        }
    })
}

fn read_whole(decision: &ConsentDecision, purpose: Selector) -> Result<Decision, Unread> {
    let clear = &decision.clear;
    let state = match DecisionState::from(clear.state.as_str()) {
        DecisionState::Unreadable => return Err(Unread),
        state @ (DecisionState::Granted | DecisionState::Refused | DecisionState::Withdrawn) => {
            state
        }
    };
    Ok(Decision {
        state,
        purpose,
        channel: optional(clear.channel.as_deref(), Channel::parse)?,
        channel_unread: false,
        recipient: optional(clear.recipient.as_deref(), RecipientId::parse)?,
        categories: clear
            .categories
            .as_deref()
            .map(read_categories)
            .transpose()?,
        personalisation: clear.personalisation,
        notice: read_notice(clear.notice_id.as_deref(), clear.notice_version)?,
        form: clear.form.parse::<ConsentForm>().map_err(|_| Unread)?,
        act: clear.act.clone(),
        indication: clear.indication_digest.as_ref().map(hex::encode),
        evidence: clear.has_evidence,
        actor: read_actor(&clear.actor, clear.guardian)?,
        authenticated: clear.authenticated,
        expires_at: clear.expires_at,
    })
}

fn optional<T, E>(
    text: Option<&str>,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, Unread> {
    text.map(parse).transpose().map_err(|_| Unread)
}

fn read_categories(names: &[String]) -> Result<BTreeSet<Category>, Unread> {
    names
        .iter()
        .map(|name| Category::parse(name).map_err(|_| Unread))
        .collect()
}

fn read_notice(id: Option<&str>, version: Option<u32>) -> Result<Option<NoticeRef>, Unread> {
    match (id, version) {
        (None, None) => Ok(None),
        (Some(id), Some(version)) => {
            let id = NoticeId::parse(id).map_err(|_| Unread)?;
            Ok(Some(NoticeRef { id, version }))
        }
        (Some(_), None) | (None, Some(_)) => Err(Unread),
    }
}

fn read_actor(actor: &str, guardian: Option<SubjectId>) -> Result<Actor, Unread> {
    match (actor, guardian) {
        ("subject", None) => Ok(Actor::Subject),
        ("agent", None) => Ok(Actor::Agent),
        ("system", None) => Ok(Actor::System),
        ("guardian", Some(guardian)) => Ok(Actor::Guardian { guardian }),
        (_, None | Some(_)) => Err(Unread),
    }
}

fn read_subject_fact(fact: &SubjectFact) -> FactKind {
    let clear = &fact.clear;
    let purpose = optional(clear.purpose.as_deref(), PurposeId::parse);
    // What could only have widened consent is refused as a decision would be that names neither a
    // channel nor the personalisation; what may have restricted any basis restricts.
    let widening = || {
        FactKind::Decision(Decision {
            channel_unread: false,
            personalisation: None,
            ..Decision::unreadable()
        })
    };
    let restricting = || FactKind::Restricted { purpose: None };
    match clear.fact.as_str() {
        "contract_started" => match (&clear.contract, purpose, clear.at) {
            (Some(contract), Ok(purpose), Some(starts_at)) => FactKind::ContractStarted {
                contract: contract.clone(),
                purpose,
                starts_at,
            },
            (_, _, _) => widening(),
        },
        "contract_ended" => match (&clear.contract, clear.at) {
            (Some(contract), Some(ends_at)) => FactKind::ContractEnded {
                contract: contract.clone(),
                ends_at,
            },
            (_, _) => restricting(),
        },
        "birth_date" => fact
            .identity
            .as_ref()
            .and_then(|identity| identity.birth_date)
            .map_or_else(widening, |days| FactKind::BirthDate(Day::from_days(days))),
        "guardianship_started" => {
            clear
                .guardian
                .map_or_else(widening, |guardian| FactKind::GuardianshipStarted {
                    guardian,
                })
        }
        "guardianship_ended" => {
            clear
                .guardian
                .map_or_else(widening, |guardian| FactKind::GuardianshipEnded {
                    guardian,
                })
        }
        "restricted" => purpose.map_or_else(
            |Unread| restricting(),
            |purpose| FactKind::Restricted { purpose },
        ),
        "restriction_lifted" => purpose.map_or_else(
            |Unread| widening(),
            |purpose| FactKind::RestrictionLifted { purpose },
        ),
        "erased" => FactKind::Erased,
        "public_source" => FactKind::PublicSource {
            provenance: clear.provenance == Some(true),
        },
        _ => restricting(),
    }
}

#[cfg(test)]
mod tests;
