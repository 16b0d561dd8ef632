//! R10, R11, R16: what ends consent, a channel, or personalisation; and the reason that gives.

use std::collections::BTreeSet;

use assent_consent::{
    Category, Decision, DecisionState, Fact, FactKind, Purpose, Reason, Selector,
};

use super::grants::Grant;
use super::links::r3_supersedes;
use super::{Case, channel_of_use, covering_grants, r2_time, recipient_of_use, with_ancestors};

/// A decision that ends consent for a use.
pub(crate) struct Ender<'a> {
    pub(crate) fact: &'a Fact,
    /// Only these; `None`: all.
    pub(crate) categories: Option<&'a BTreeSet<Category>>,
}

impl Ender<'_> {
    /// C5: whether it ends consent for any of these.
    pub(crate) fn takes_from(&self, categories: &BTreeSet<Category>) -> bool {
        self.categories
            .is_none_or(|named| !named.is_disjoint(categories))
    }
}

/// R16: what the enders that this grant does not supersede leave of it.
pub(crate) fn r16_leaves(
    case: &Case<'_>,
    grant: &Grant<'_>,
    enders: &[Ender<'_>],
) -> BTreeSet<Category> {
    let mut left = grant.categories.clone();
    for ender in enders {
        if r3_supersedes(case, grant.fact, ender.fact) {
            continue;
        }
        match ender.categories {
            None => left.clear(),
            Some(named) => left.retain(|category| !named.contains(category)),
        }
    }
    left
}

/// Refusals, withdrawals and unreadable decisions of the component for All, the purpose or an
/// ancestor.
fn restricting_decisions<'a>(case: &Case<'a>, purpose: &Purpose) -> Vec<(&'a Fact, &'a Decision)> {
    let chain = with_ancestors(case.registry, &purpose.id);
    let mut found = Vec::new();
    for fact in &case.facts {
        let FactKind::Decision(decision) = &fact.kind else {
            continue;
        };
        if decision.state == DecisionState::Granted {
            continue;
        }
        let about_it = match &decision.purpose {
            Selector::All => true,
            Selector::One(id) => chain.contains(id),
        };
        if about_it {
            found.push((*fact, decision));
        }
    }
    found
}

/// R16, C10: what ends consent for this use.
pub(crate) fn r16_enders<'a>(case: &Case<'a>, purpose: &Purpose) -> Vec<Ender<'a>> {
    let mut enders = Vec::new();
    for (fact, decision) in restricting_decisions(case, purpose) {
        if decision.state == DecisionState::Unreadable {
            enders.push(Ender {
                fact,
                categories: None,
            });
            continue;
        }
        let only_personalisation = decision.personalisation == Some(false);
        let only_a_channel = decision.channel.is_some();
        let another_recipient =
            decision.recipient.is_some() && decision.recipient != recipient_of_use(case, purpose);
        if only_personalisation || only_a_channel || another_recipient {
            continue;
        }
        let named = decision.categories.as_ref();
        enders.push(Ender {
            fact,
            categories: named.filter(|categories| !categories.is_empty()),
        });
    }
    enders
}

/// R10, C10: refusals of the use's channel.
pub(crate) fn r10_refusals<'a>(case: &Case<'a>, purpose: &Purpose) -> Vec<&'a Fact> {
    let Some(channel) = channel_of_use(case, purpose) else {
        return Vec::new();
    };
    let mut refusals = Vec::new();
    for (fact, decision) in restricting_decisions(case, purpose) {
        let readable = decision.state != DecisionState::Unreadable;
        if readable && decision.personalisation == Some(false) {
            continue;
        }
        // R16: an unread channel may be any.
        let any = !readable && decision.channel_unread;
        if any || decision.channel.as_ref() == Some(&channel) {
            refusals.push(fact);
        }
    }
    refusals
}

/// R11, C10: refusals of personalisation, where the purpose personalises.
pub(crate) fn r11_refusals<'a>(case: &Case<'a>, purpose: &Purpose) -> Vec<&'a Fact> {
    if !purpose.personalises {
        return Vec::new();
    }
    restricting_decisions(case, purpose)
        .into_iter()
        .filter(|(_, decision)| decision.personalisation == Some(false))
        .map(|(fact, _)| fact)
        .collect()
}

/// C11: whether one single grant that covers the use supersedes all of these.
fn freed(case: &Case<'_>, purpose: &Purpose, refusals: &[&Fact]) -> bool {
    if refusals.is_empty() {
        return true;
    }
    covering_grants(case, purpose).iter().any(|grant| {
        refusals
            .iter()
            .all(|refusal| r3_supersedes(case, grant.fact, refusal))
    })
}

/// R10, C3, C11: the channel must be the purpose's and not refused.
pub(crate) fn r10_channel(case: &Case<'_>, purpose: &Purpose) -> Result<(), Reason> {
    let Some(channel) = channel_of_use(case, purpose) else {
        return Ok(());
    };
    if !purpose.channels.contains(&channel) {
        return Err(Reason::ChannelNotPermitted);
    }
    let mut refusals = r10_refusals(case, purpose);
    if refusals.is_empty() {
        return Ok(());
    }
    refusals.extend(r11_refusals(case, purpose));
    if freed(case, purpose, &refusals) {
        return Ok(());
    }
    Err(Reason::ChannelNotPermitted)
}

/// R11, C11: personalisation not refused, for purposes that personalise.
pub(crate) fn r11_personalisation(case: &Case<'_>, purpose: &Purpose) -> Result<(), Reason> {
    if freed(case, purpose, &r11_refusals(case, purpose)) {
        return Ok(());
    }
    Err(Reason::PersonalisationRefused)
}

/// The latest readable one of these by (time, received_at), on ties a withdrawal: its reason.
fn latest_readable(facts: &[&Fact]) -> Option<Reason> {
    let mut latest = None;
    for fact in facts {
        let FactKind::Decision(decision) = &fact.kind else {
            continue;
        };
        let (withdrawn, reason) = match decision.state {
            DecisionState::Withdrawn => (true, Reason::Withdrawn),
            DecisionState::Refused => (false, Reason::Refused),
            DecisionState::Granted | DecisionState::Unreadable => continue,
        };
        let rank = (r2_time(fact), fact.received_at, withdrawn);
        match latest {
            Some((best, _)) if best >= rank => {}
            Some(_) | None => latest = Some((rank, reason)),
        }
    }
    latest.map(|(_, reason)| reason)
}

fn own<'a>(case: &Case<'_>, facts: &[&'a Fact]) -> Vec<&'a Fact> {
    let mut own = facts.to_vec();
    own.retain(|fact| fact.subject == case.subject);
    own
}

/// C5: the reason of enders that block grants which would cover the use.
pub(crate) fn c5_reason_of_blockers(case: &Case<'_>, blockers: &[&Fact]) -> Reason {
    latest_readable(&own(case, blockers)).unwrap_or(Reason::Conflict)
}

/// C5: the reason where there is no valid grant.
pub(crate) fn c5_reason_without_grant(case: &Case<'_>, enders: &[Ender<'_>]) -> Reason {
    let facts: Vec<&Fact> = enders.iter().map(|ender| ender.fact).collect();
    if facts.is_empty() {
        return Reason::NoDecision;
    }
    latest_readable(&own(case, &facts))
        .or_else(|| latest_readable(&facts))
        .unwrap_or(Reason::Conflict)
}
