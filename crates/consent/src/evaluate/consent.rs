//! Consent as the basis (rule R4 for consent; art. 13(1)(1), 14, 15).

use std::collections::BTreeSet;

use crate::fact::Fact;
use crate::verdict::Reason;

use super::age::Age;
use super::case::Case;
use super::enders::{
    Ender, channel_refusals, enders, personalisation_refusals, reason_against_grants,
    reason_without_grants, remaining,
};
use super::grant::{Grant, Miss, grants};
use super::outcome::Outcome;
use super::record::latest;

/// The subject's grants, weighed against everything that stands against them.
pub(super) struct Consent<'a, 'c> {
    case: &'c Case<'a>,
    age: Age,
    grants: Vec<Grant<'a>>,
    enders: Vec<Ender<'a>>,
    personalisation_refusals: Vec<&'a Fact>,
    channel_refusals: Vec<&'a Fact>,
}

impl<'a, 'c> Consent<'a, 'c> {
    pub(super) fn weigh(case: &'c Case<'a>) -> Self {
        let age = Age::of(case.record, case.registry.calendar());
        Self {
            grants: grants(case, &age),
            enders: enders(case),
            personalisation_refusals: personalisation_refusals(case),
            channel_refusals: channel_refusals(case),
            case,
            age,
        }
    }

    /// R11: the latest refusal of personalisation, unless superseded.
    pub(super) fn refused_personalisation(&self) -> Option<&'a Fact> {
        let is_free = self.personalisation_refusals.is_empty()
            || self
                .covering()
                .any(|grant| self.frees_personalisation(grant));
        if is_free {
            None
        } else {
            latest(self.personalisation_refusals.iter().copied())
        }
    }

    /// R10: the latest refusal of the channel, unless superseded.
    pub(super) fn refused_channel(&self) -> Option<&'a Fact> {
        let is_free =
            self.channel_refusals.is_empty() || self.covering().any(|grant| self.frees_use(grant));
        if is_free {
            None
        } else {
            latest(self.channel_refusals.iter().copied())
        }
    }

    /// Art. 27: the refusal of a use of public information, unless superseded by a grant that is
    /// not limited to categories.
    pub(super) fn refused(&self) -> Option<(Reason, Option<&'a Fact>)> {
        let is_free = self.covering().any(|grant| {
            let mut enders = self.enders.iter();
            grant.decision.categories.is_none()
                && enders.all(|ender| grant.supersedes(self.case, ender.fact))
        });
        if is_free {
            None
        } else {
            reason_without_grants(self.case, &self.enders)
        }
    }

    /// The outcome where consent is the basis.
    pub(super) fn outcome(&self) -> Outcome<'a> {
        let is_child = self.age.is_child(self.case.record.at);
        let needs_age = self.case.purpose.requires_known_age && !self.age.is_known();
        if needs_age || (is_child && self.grants.is_empty()) {
            return Outcome::denied(Reason::GuardianConsentMissing, None);
        }
        if self.grants.is_empty() {
            let (reason, fact) = reason_without_grants(self.case, &self.enders)
                .unwrap_or((Reason::NoDecision, None));
            return Outcome::denied(reason, fact);
        }
        if let Some((miss, fact)) = self.nearest_miss() {
            return Outcome::denied(reason(miss), Some(fact));
        }
        self.coverage().unwrap_or_else(|| {
            let blockers: Vec<_> = self.blockers().collect();
            let (reason, fact) = reason_against_grants(self.case, &blockers);
            Outcome::denied(reason, fact)
        })
    }

    /// The nearest miss and the latest grant with it, if no grant would cover the use even with
    /// nothing against it.
    fn nearest_miss(&self) -> Option<(Miss, &'a Fact)> {
        if self.grants.iter().any(|grant| grant.scope.is_ok()) {
            return None;
        }
        let misses = || {
            self.grants
                .iter()
                .filter_map(|grant| Some((*grant.scope.as_ref().err()?, grant.fact)))
        };
        let nearest = misses().map(|(miss, _)| miss).min()?;
        let of_nearest = misses().filter(|(miss, _)| *miss == nearest);
        latest(of_nearest.map(|(_, fact)| fact)).map(|fact| (nearest, fact))
    }

    /// R9: the union over the grants that pass everything.
    fn coverage(&self) -> Option<Outcome<'a>> {
        let mut covered = BTreeSet::new();
        let mut by = None;
        for grant in self.grants.iter().filter(|grant| self.frees_use(grant)) {
            let remaining = remaining(self.case, grant, &self.enders);
            if !remaining.is_empty() {
                covered.extend(remaining.into_iter().cloned());
                by = latest(by.into_iter().chain([grant.fact]));
            }
        }
        (!covered.is_empty()).then(|| Outcome::lawful(covered, by))
    }

    /// The enders that take something from a grant which would cover the use without them.
    fn blockers(&self) -> impl Iterator<Item = Ender<'a>> {
        let enders = self.enders.iter().copied();
        enders.filter(|ender| {
            self.grants.iter().any(|grant| {
                let would_cover = grant.scope.as_deref().unwrap_or_default();
                would_cover.iter().any(|category| ender.takes(category))
                    && !grant.supersedes(self.case, ender.fact)
            })
        })
    }

    /// The grants that cover the use, enders considered: only these supersede refusals of a
    /// channel or of personalisation. A grant that has itself ended permits nothing.
    fn covering(&self) -> impl Iterator<Item = &Grant<'a>> {
        self.grants
            .iter()
            .filter(|grant| !remaining(self.case, grant, &self.enders).is_empty())
    }

    fn frees_personalisation(&self, grant: &Grant<'_>) -> bool {
        let mut refusals = self.personalisation_refusals.iter();
        refusals.all(|refusal| grant.supersedes(self.case, refusal))
    }

    /// Whether the grant supersedes both the refusals of personalisation and of the channel.
    fn frees_use(&self, grant: &Grant<'_>) -> bool {
        let mut refusals = self.channel_refusals.iter();
        self.frees_personalisation(grant)
            && refusals.all(|refusal| grant.supersedes(self.case, refusal))
    }
}

fn reason(miss: Miss) -> Reason {
    match miss {
        Miss::Personalisation => Reason::PersonalisationRefused,
        Miss::Separate => Reason::SeparateConsentMissing,
        Miss::Notice => Reason::NoticeSuperseded,
        Miss::Expired => Reason::Expired,
        Miss::Scope => Reason::ScopeNotCovered,
    }
}
