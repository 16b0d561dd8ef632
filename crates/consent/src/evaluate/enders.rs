//! What stands against a use: enders of consent, and refusals of a channel or of personalisation
//! (rules R10, R11, R16; art. 15, 24; Advertising Law 43).

use std::collections::BTreeSet;

use crate::decision::{Decision, DecisionState};
use crate::fact::Fact;
use crate::slug::Category;
use crate::verdict::Reason;

use super::case::Case;
use super::grant::Grant;
use super::record::latest;

/// How much of a use an ender takes away.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reach<'a> {
    /// All of it.
    Everything,
    /// These categories.
    Only(&'a BTreeSet<Category>),
}

/// A known decision, by any subject of the person, that ends consent to the use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ender<'a> {
    pub(super) fact: &'a Fact,
    pub(super) state: DecisionState,
    pub(super) reach: Reach<'a>,
}

impl Ender<'_> {
    /// Whether it takes the category away from grants that do not supersede it.
    pub(super) fn takes(&self, category: &Category) -> bool {
        match self.reach {
            Reach::Everything => true,
            Reach::Only(categories) => categories.contains(category),
        }
    }
}

/// R16: every decision that ends consent to the use, superseded or not.
pub(super) fn enders<'a>(case: &Case<'a>) -> Vec<Ender<'a>> {
    let decisions = case.record.decisions();
    decisions
        .filter_map(|(fact, decision)| {
            Some(Ender {
                fact,
                state: decision.state,
                reach: reach(case, decision)?,
            })
        })
        .collect()
}

/// What is limited to the personalisation, to a channel or to another recipient ends nothing
/// here. What cannot be read is believed in nothing but its purpose: it ends everything.
fn reach<'a>(case: &Case<'_>, decision: &'a Decision) -> Option<Reach<'a>> {
    if !restricts(case, decision) {
        return None;
    }
    if decision.state == DecisionState::Unreadable {
        return Some(Reach::Everything);
    }
    let is_for_other_recipient =
        decision.recipient.is_some() && decision.recipient.as_ref() != case.recipient;
    if decision.personalisation == Some(false)
        || decision.channel.is_some()
        || is_for_other_recipient
    {
        return None;
    }
    Some(match &decision.categories {
        Some(categories) if !categories.is_empty() => Reach::Only(categories),
        Some(_) | None => Reach::Everything,
    })
}

/// R10: refusals and withdrawals that name the use's channel, or may name it, whatever else they name.
pub(super) fn channel_refusals<'a>(case: &Case<'a>) -> Vec<&'a Fact> {
    let Some(channel) = case.channel else {
        return Vec::new();
    };
    refusals(case, |decision| {
        let is_named = decision.channel.as_ref() == Some(channel);
        match decision.state {
            DecisionState::Unreadable => is_named || decision.channel_unread,
            DecisionState::Refused | DecisionState::Withdrawn => {
                is_named && decision.personalisation != Some(false)
            }
            DecisionState::Granted => false,
        }
    })
}

/// R11: refusals and withdrawals of the personalisation, where the purpose personalises.
pub(super) fn personalisation_refusals<'a>(case: &Case<'a>) -> Vec<&'a Fact> {
    if !case.purpose.personalises {
        return Vec::new();
    }
    refusals(case, |decision| decision.personalisation == Some(false))
}

fn refusals<'a>(case: &Case<'a>, is_meant: impl Fn(&Decision) -> bool) -> Vec<&'a Fact> {
    let decisions = case.record.decisions();
    decisions
        .filter(|(_, decision)| restricts(case, decision) && is_meant(decision))
        .map(|(fact, _)| fact)
        .collect()
}

fn restricts(case: &Case<'_>, decision: &Decision) -> bool {
    decision.state != DecisionState::Granted && case.lineage.selected_by(&decision.purpose)
}

/// What a grant covers once every ender that it does not itself supersede has had its effect.
pub(super) fn remaining<'a>(
    case: &Case<'_>,
    grant: &Grant<'a>,
    enders: &[Ender<'_>],
) -> Vec<&'a Category> {
    let mut covered = match &grant.scope {
        Ok(categories) => categories.clone(),
        Err(_) => return Vec::new(),
    };
    for ender in enders {
        if !grant.supersedes(case, ender.fact) {
            covered.retain(|category| !ender.takes(category));
        }
    }
    covered
}

/// R4, where a grant would cover the use: `conflict` if every blocker is another subject's or
/// unreadable, otherwise what the latest readable one of the subject itself says.
pub(super) fn reason_against_grants<'a>(
    case: &Case<'_>,
    blockers: &[Ender<'a>],
) -> (Reason, Option<&'a Fact>) {
    let own = blockers
        .iter()
        .filter(|ender| ender.fact.subject == case.record.subject);
    latest_readable(own).unwrap_or_else(|| conflict(blockers))
}

/// R4, where nothing was validly granted: what the latest readable decision says, the subject's
/// own before those of others; `conflict` if none can be read; nothing if there is none.
pub(super) fn reason_without_grants<'a>(
    case: &Case<'_>,
    enders: &[Ender<'a>],
) -> Option<(Reason, Option<&'a Fact>)> {
    let own = enders
        .iter()
        .filter(|ender| ender.fact.subject == case.record.subject);
    latest_readable(own)
        .or_else(|| latest_readable(enders.iter()))
        .or_else(|| (!enders.is_empty()).then(|| conflict(enders)))
}

fn conflict<'a>(enders: &[Ender<'a>]) -> (Reason, Option<&'a Fact>) {
    (
        Reason::Conflict,
        latest(enders.iter().map(|ender| ender.fact)),
    )
}

/// The latest refusal or withdrawal: by time, then receipt, then withdrawn before refused.
fn latest_readable<'a, 'b>(
    enders: impl Iterator<Item = &'b Ender<'a>>,
) -> Option<(Reason, Option<&'a Fact>)>
where
    'a: 'b,
{
    enders
        .filter_map(|ender| match ender.state {
            DecisionState::Withdrawn => Some((ender.fact, Reason::Withdrawn)),
            DecisionState::Refused => Some((ender.fact, Reason::Refused)),
            DecisionState::Granted | DecisionState::Unreadable => None,
        })
        .max_by_key(|(fact, reason)| {
            let is_withdrawal = *reason == Reason::Withdrawn;
            (fact.time(), fact.received_at, is_withdrawal, fact.id)
        })
        .map(|(fact, reason)| (reason, Some(fact)))
}
