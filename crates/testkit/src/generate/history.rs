//! Histories: a person who mostly did what is needed, and then whatever else can happen.

use std::collections::BTreeSet;

use assent_consent::{
    Actor, Category, Channel, ConsentForm, Day, Decision, DecisionState, Fact, FactKind,
    LegalBasis, NoticeId, NoticeRef, Purpose, PurposeId, RecipientId, Registry, Selector,
    SubjectId, Timestamp, Use,
};

use super::registry::{
    CATEGORIES, CHANNELS, NOTICES, PURPOSES, RECIPIENTS, category, channel, day, purpose_id,
    recipient, registry,
};
use crate::seeded::Seeded;

const HOUR_MICROS: i64 = 3_600_000_000;

/// A question to the evaluator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// About whom.
    pub subject: SubjectId,
    /// For what use.
    pub use_: Use,
    /// At what instant.
    pub at: Timestamp,
}

/// A registry, what happened to some subjects, and questions about them.
#[derive(Debug, Clone)]
pub struct Story {
    /// The definitions.
    pub registry: Registry,
    /// What happened, in random order.
    pub history: Vec<Fact>,
    /// The subjects; most facts concern the first.
    pub subjects: Vec<SubjectId>,
    /// What to ask.
    pub questions: Vec<Question>,
}

/// The story of a seed.
#[must_use]
pub fn story(seed: u64) -> Story {
    let mut seeded = Seeded::new(seed);
    let registry = registry(&mut seeded);
    told(seeded, registry)
}

/// A story of a seed under given definitions, which should be of [`registry`].
#[must_use]
pub fn story_in(registry: Registry, seed: u64) -> Story {
    told(Seeded::new(seed), registry)
}

/// A story of a seed in which every subject may have done what any of these uses needs, so that a
/// crowd of them holds people who are lawful for one, for several and for none. The registry should
/// be of [`registry`], and there must be a use.
#[must_use]
pub fn story_of(registry: Registry, uses: &[Use], seed: u64) -> Story {
    let mut teller = Teller::new(Seeded::new(seed), registry);
    for who in 0..teller.subjects.len() {
        for use_ in uses {
            teller.focus = use_.clone();
            if teller.seeded.chance(65) {
                teller.what_is_needed(who);
            }
        }
    }
    teller.turns(&[0, 0, 1, 1, 2, 2, 3, 4], |teller| {
        teller.focus = teller.seeded.pick(uses).clone();
    });
    teller.finish()
}

/// A use of a purpose that the purpose could allow; of no channel and no recipient when there is no
/// such purpose.
#[must_use]
pub fn a_use(registry: &Registry, purpose: PurposeId, seeded: &mut Seeded) -> Use {
    let mut use_ = Use::of(purpose);
    let Some(purpose) = registry.purpose(&use_.purpose) else {
        return use_;
    };
    let channels: Vec<&Channel> = purpose.channels.iter().collect();
    let recipients: Vec<&RecipientId> = purpose.recipients.iter().collect();
    if !channels.is_empty() && seeded.chance(65) {
        use_.channel = Some((*seeded.pick(&channels)).clone());
    }
    if !recipients.is_empty() && seeded.chance(80) {
        use_.recipient = Some((*seeded.pick(&recipients)).clone());
    }
    use_
}

fn told(seeded: Seeded, registry: Registry) -> Story {
    let mut teller = Teller::new(seeded, registry);
    teller.tell();
    teller.finish()
}

/// The facts with their places in the logs of their subjects: mostly as their receipts have it, in
/// some stories against it, as clocks that disagree would have stamped them.
fn written(mut history: Vec<Fact>, seeded: &mut Seeded) -> Vec<Fact> {
    seeded.shuffle(&mut history);
    if seeded.chance(85) {
        history.sort_by_key(|fact| fact.received_at);
    }
    for (order, fact) in (1..).zip(&mut history) {
        fact.order = order;
    }
    history
}

struct Teller {
    seeded: Seeded,
    registry: Registry,
    subjects: Vec<SubjectId>,
    history: Vec<Fact>,
    /// What the story is mostly about.
    focus: Use,
    child: bool,
}

impl Teller {
    fn new(mut seeded: Seeded, registry: Registry) -> Self {
        let subjects = (0..4)
            .map(|_| SubjectId::from_bytes(seeded.bytes16()))
            .collect();
        let purpose = purpose_id(seeded.word(&PURPOSES));
        let child = seeded.chance(14);
        let mut teller = Self {
            seeded,
            registry,
            subjects,
            history: Vec::new(),
            focus: Use::of(purpose),
            child,
        };
        teller.focus = teller.a_use(teller.focus.purpose.clone());
        teller
    }

    fn tell(&mut self) {
        if self.seeded.chance(88) {
            self.what_is_needed(0);
        }
        self.turns(&[0, 0, 1, 1, 2, 3, 4, 6, 9], |_| {});
    }

    /// As many more things as one of `counts` says, each after `before`.
    fn turns(&mut self, counts: &[u32], mut before: impl FnMut(&mut Self)) {
        let turns = *self.seeded.pick(counts);
        for _ in 0..turns {
            before(self);
            self.something();
        }
    }

    fn finish(mut self) -> Story {
        let questions = (0..6).map(|_| self.question()).collect();
        let mut history = written(self.history, &mut self.seeded);
        self.seeded.shuffle(&mut history);
        Story {
            registry: self.registry,
            history,
            subjects: self.subjects,
            questions,
        }
    }

    /// A use of the purpose that it could allow.
    fn a_use(&mut self, purpose: PurposeId) -> Use {
        a_use(&self.registry, purpose, &mut self.seeded)
    }

    fn question(&mut self) -> Question {
        let mut use_ = if self.seeded.chance(85) {
            self.focus.clone()
        } else {
            let purpose = purpose_id(self.seeded.word(&PURPOSES));
            self.a_use(purpose)
        };
        match self.seeded.below(60) {
            0 => use_.channel = Some(channel(self.seeded.word(&CHANNELS))),
            1 => use_.recipient = Some(recipient(self.seeded.word(&RECIPIENTS))),
            2 => use_.purpose = purpose_id("p_unknown"),
            3 => use_.channel = None,
            _ => {}
        }
        let who = *self.seeded.pick(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        let at = if self.seeded.chance(45) {
            self.an_edge()
        } else {
            self.late_instant()
        };
        Question {
            subject: self.subjects[who],
            use_,
            at,
        }
    }

    /// An instant at which something in the history happens, or just before or after.
    fn an_edge(&mut self) -> Timestamp {
        if self.history.is_empty() {
            return self.late_instant();
        }
        let fact = &self.history[self.seeded.index(self.history.len())];
        let base = match self.seeded.below(6) {
            0 => fact.event_time,
            1 => match &fact.kind {
                FactKind::Decision(decision) => decision.expires_at.unwrap_or(fact.received_at),
                FactKind::ContractStarted { starts_at, .. } => *starts_at,
                FactKind::ContractEnded { ends_at, .. } => *ends_at,
                FactKind::BirthDate(born) => {
                    let turned = born.birthday(14).plus_days(1);
                    self.registry.calendar().start_of(turned)
                }
                FactKind::Linked { .. }
                | FactKind::Unlinked { .. }
                | FactKind::GuardianshipStarted { .. }
                | FactKind::GuardianshipEnded { .. }
                | FactKind::Restricted { .. }
                | FactKind::RestrictionLifted { .. }
                | FactKind::Erased
                | FactKind::PublicSource { .. } => fact.received_at,
            },
            2 => {
                let days = *self.seeded.pick(&[30, 90]);
                let calendar = self.registry.calendar();
                calendar.start_of(calendar.day_of(fact.time()).plus_days(days))
            }
            _ => fact.received_at,
        };
        base.plus_micros(self.seeded.between(-1, 2))
    }

    fn late_instant(&mut self) -> Timestamp {
        let hours = self.seeded.between(24 * 40, 24 * 130);
        day(0).plus_micros(hours * HOUR_MICROS)
    }

    /// Event and receipt: together, late, or with a clock ahead; often on the same few instants.
    fn times(&mut self) -> (Timestamp, Timestamp) {
        let instant = if self.seeded.chance(35) {
            day(self.seeded.between(0, 5) * 12)
        } else {
            day(0).plus_micros(self.seeded.between(0, 24 * 75) * HOUR_MICROS)
        };
        let gap = HOUR_MICROS * self.seeded.between(1, 24 * 20);
        match self.seeded.below(20) {
            0..12 => (instant, instant),
            // About as far apart as clocks may be.
            12..14 => {
                let near = *self.seeded.pick(&[1, 999_999, 1_000_000, 1_000_001]);
                (instant, instant.plus_micros(near))
            }
            14..18 => (instant, instant.plus_micros(gap)),
            _ => (instant.plus_micros(gap), instant),
        }
    }

    fn add(&mut self, who: usize, kind: FactKind) {
        let (event_time, received_at) = self.times();
        self.add_at(who, kind, event_time, received_at);
    }

    /// As [`Teller::add`], mostly before everything else.
    fn add_early(&mut self, who: usize, kind: FactKind) {
        if self.seeded.chance(25) {
            self.add(who, kind);
            return;
        }
        let instant = day(3).plus_micros(self.seeded.between(0, 24 * 20) * HOUR_MICROS);
        self.add_at(who, kind, instant, instant);
    }

    fn add_at(
        &mut self,
        who: usize,
        kind: FactKind,
        event_time: Timestamp,
        received_at: Timestamp,
    ) {
        self.history.push(Fact {
            id: self.seeded.bytes16(),
            subject: self.subjects[who],
            event_time,
            received_at,
            order: 0,
            kind,
        });
    }

    /// What makes the focus lawful for a subject, as far as its notices go.
    fn what_is_needed(&mut self, who: usize) {
        let Some(purpose) = self.registry.purpose(&self.focus.purpose).cloned() else {
            return;
        };
        if purpose.requires_known_age && !self.child {
            self.add_at(who, FactKind::BirthDate(adult()), day(0), day(0));
        }
        if self.child {
            let born = self.child_day();
            self.add_at(who, FactKind::BirthDate(born), day(0), day(0));
            let guardian = self.subjects[3];
            self.add_at(
                who,
                FactKind::GuardianshipStarted { guardian },
                day(0),
                day(0),
            );
        }
        match purpose.basis {
            LegalBasis::Consent => {
                let grant = self.good_grant(&purpose);
                self.add_early(who, FactKind::Decision(grant));
            }
            LegalBasis::Contract => {
                let starts_at = self.times().0;
                let named = self.seeded.chance(50).then(|| purpose.id.clone());
                self.add_early(
                    who,
                    FactKind::ContractStarted {
                        contract: "membership".to_owned(),
                        purpose: named,
                        starts_at,
                    },
                );
            }
            LegalBasis::PublicInformation => {
                let provenance = self.seeded.chance(92);
                self.add_early(who, FactKind::PublicSource { provenance });
            }
            LegalBasis::LegalDuty
            | LegalBasis::Emergency
            | LegalBasis::PublicInterestNews
            | LegalBasis::OtherLaw => {}
        }
    }

    /// A birth date of someone who turns fourteen around the time of the story.
    fn child_day(&mut self) -> Day {
        let choices = [
            Day::from_ymd(2012, 2, 29),
            Day::from_ymd(2012, 1, 20),
            Day::from_ymd(2012, 3, 15),
            Day::from_ymd(2016, 6, 1),
            Day::from_ymd(2016, 6, 1),
            Day::from_ymd(2011, 12, 31),
        ];
        self.seeded.pick(&choices).clone().expect("constant dates")
    }

    /// A grant as careful as the rules ask for.
    fn good_grant(&mut self, purpose: &Purpose) -> Decision {
        let chain = self.chain(&purpose.id);
        let target = if self.seeded.chance(75) {
            purpose.id.clone()
        } else {
            self.seeded.pick(&chain).clone()
        };
        let mut grant = Decision::new(DecisionState::Granted, Selector::One(target));
        grant.notice = Some(self.a_notice(Some(&purpose.id)));
        grant.indication = Some(format!("i-{}", self.seeded.bits()));
        let needs_separate = !purpose.sensitive.is_empty()
            || !purpose.recipients.is_empty()
            || purpose.form != ConsentForm::General;
        grant.form = match purpose.form {
            ConsentForm::Written => ConsentForm::Written,
            ConsentForm::General | ConsentForm::Separate | ConsentForm::Guardian => {
                if needs_separate {
                    ConsentForm::Separate
                } else {
                    ConsentForm::General
                }
            }
        };
        if needs_separate && self.seeded.chance(85) {
            grant.categories = Some(purpose.categories.clone());
        }
        grant.recipient = match &self.focus.recipient {
            Some(recipient) => Some(recipient.clone()),
            None => purpose.recipients.iter().next().cloned(),
        };
        if self.child {
            grant.form = ConsentForm::Guardian;
            grant.actor = Actor::Guardian {
                guardian: self.subjects[3],
            };
        }
        grant
    }

    /// The purpose and its ancestors.
    fn chain(&self, id: &PurposeId) -> Vec<PurposeId> {
        let mut chain = vec![id.clone()];
        let mut next = self.registry.purpose(id).and_then(|p| p.parent.clone());
        while let Some(parent) = next {
            if chain.contains(&parent) {
                break;
            }
            next = self
                .registry
                .purpose(&parent)
                .and_then(|p| p.parent.clone());
            chain.push(parent);
        }
        chain
    }

    /// A notice version that exists, listing the purpose if asked and possible.
    fn a_notice(&mut self, listing: Option<&PurposeId>) -> NoticeRef {
        let all: Vec<NoticeRef> = self
            .registry
            .notices()
            .filter(|notice| listing.is_none_or(|id| notice.purposes.contains_key(id)))
            .filter(|notice| listing.is_none() || notice.effective_from <= day(3))
            .map(|notice| NoticeRef {
                id: notice.id.clone(),
                version: notice.version,
            })
            .collect();
        if all.is_empty() {
            return NoticeRef {
                id: NoticeId::parse(NOTICES[0]).expect("a constant name"),
                version: 1,
            };
        }
        self.seeded.pick(&all).clone()
    }

    /// One more thing that happens.
    fn something(&mut self) {
        let who = *self.seeded.pick(&[0, 0, 0, 0, 1, 1, 2, 3]);
        let contract = self
            .registry
            .purpose(&self.focus.purpose)
            .is_some_and(|purpose| purpose.basis == LegalBasis::Contract);
        if contract && self.seeded.chance(30) {
            self.a_contract(who);
            return;
        }
        match self.seeded.below(100) {
            0..26 => self.a_decent_grant(who),
            26..48 => {
                let ender = self.an_ender();
                self.add(who, FactKind::Decision(ender));
            }
            48..54 => {
                let odd = self.an_odd_decision();
                self.add(who, FactKind::Decision(odd));
            }
            54..68 => self.a_link(who),
            68..72 => self.a_restriction(who),
            72..80 => self.a_contract(who),
            80..84 => self.what_is_needed(who),
            84..88 => self.add(who, FactKind::PublicSource { provenance: true }),
            88..93 => {
                let born = if self.seeded.chance(60) {
                    adult()
                } else {
                    self.child_day()
                };
                self.add(who, FactKind::BirthDate(born));
            }
            93..97 => {
                let guardian = self.subjects[3];
                let kind = if self.seeded.chance(50) {
                    FactKind::GuardianshipStarted { guardian }
                } else {
                    FactKind::GuardianshipEnded { guardian }
                };
                self.add(who, kind);
            }
            97 => self.add(who, FactKind::Erased),
            _ => self.again(),
        }
    }

    /// A good grant for the focus, sometimes with one thing different.
    fn a_decent_grant(&mut self, who: usize) {
        let Some(purpose) = self.registry.purpose(&self.focus.purpose).cloned() else {
            return;
        };
        let mut grant = self.good_grant(&purpose);
        match self.seeded.below(14) {
            0 => grant.channel = Some(channel(self.seeded.word(&CHANNELS))),
            1 => grant.recipient = Some(recipient(self.seeded.word(&RECIPIENTS))),
            2 => grant.categories = Some(self.some_categories()),
            3 => grant.personalisation = Some(self.seeded.chance(50)),
            4 => grant.expires_at = Some(self.late_instant()),
            5 => {
                let acts = ["pre_ticked", "click", "Signature", "", "signature"];
                grant.act = self.seeded.word(&acts).to_owned();
            }
            6 => {
                grant.actor = *self.seeded.pick(&[Actor::Agent, Actor::System]);
                grant.evidence = self.seeded.chance(50);
            }
            7 => grant.authenticated = false,
            8 => grant.form = *self.seeded.pick(&ConsentForm::ALL),
            9 => grant.indication = self.an_indication(),
            10 => grant.notice = Some(self.a_notice(None)),
            _ => {}
        }
        if self.seeded.chance(4) {
            grant.purpose = Selector::All;
        }
        self.add(who, FactKind::Decision(grant));
    }

    /// An indication that another decision carries, too, or none.
    fn an_indication(&mut self) -> Option<String> {
        let used: Vec<String> = self
            .history
            .iter()
            .filter_map(|fact| fact.kind.decision()?.indication.clone())
            .collect();
        if used.is_empty() || self.seeded.chance(20) {
            return self.seeded.chance(50).then(|| " ".to_owned());
        }
        Some(self.seeded.pick(&used).clone())
    }

    fn some_categories(&mut self) -> BTreeSet<Category> {
        CATEGORIES
            .into_iter()
            .filter(|_| self.seeded.chance(45))
            .map(category)
            .collect()
    }

    fn a_selector(&mut self) -> Selector {
        if self.seeded.chance(15) {
            return Selector::All;
        }
        let chain = self.chain(&self.focus.purpose.clone());
        if self.seeded.chance(75) {
            return Selector::One(self.seeded.pick(&chain).clone());
        }
        Selector::One(purpose_id(self.seeded.word(&PURPOSES)))
    }

    fn an_ender(&mut self) -> Decision {
        let state = *self.seeded.pick(&[
            DecisionState::Withdrawn,
            DecisionState::Withdrawn,
            DecisionState::Refused,
            DecisionState::Refused,
            DecisionState::Unreadable,
        ]);
        let mut ender = Decision::new(state, self.a_selector());
        if self.seeded.chance(25) {
            ender.channel = Some(channel(self.seeded.word(&CHANNELS)));
        }
        if state == DecisionState::Unreadable {
            ender.channel_unread = self.seeded.chance(30);
        }
        if self.seeded.chance(12) {
            ender.recipient = Some(recipient(self.seeded.word(&RECIPIENTS)));
        }
        if self.seeded.chance(25) {
            ender.categories = Some(self.some_categories());
        }
        if self.seeded.chance(20) {
            ender.personalisation = Some(self.seeded.chance(25));
        }
        ender
    }

    /// Anything at all.
    fn an_odd_decision(&mut self) -> Decision {
        let state = *self
            .seeded
            .pick(&[DecisionState::Granted, DecisionState::Refused]);
        let mut odd = Decision::new(state, self.a_selector());
        odd.channel = self
            .seeded
            .chance(30)
            .then(|| channel(self.seeded.word(&CHANNELS)));
        odd.recipient = self
            .seeded
            .chance(20)
            .then(|| recipient(self.seeded.word(&RECIPIENTS)));
        odd.categories = self.seeded.chance(40).then(|| self.some_categories());
        odd.personalisation = *self.seeded.pick(&[None, Some(true), Some(false)]);
        odd.notice = self.seeded.chance(85).then(|| self.a_notice(None));
        odd.form = *self.seeded.pick(&ConsentForm::ALL);
        odd.indication = self.an_indication();
        odd.evidence = self.seeded.chance(50);
        odd.authenticated = self.seeded.chance(50);
        let guardian = self.subjects[3];
        odd.actor = *self.seeded.pick(&[
            Actor::Subject,
            Actor::Guardian { guardian },
            Actor::Agent,
            Actor::System,
        ]);
        odd
    }

    fn a_link(&mut self, who: usize) {
        let other = self.subjects[self.seeded.index(self.subjects.len())];
        let kind = if self.seeded.chance(65) {
            FactKind::Linked { other }
        } else {
            FactKind::Unlinked { other }
        };
        self.add(who, kind);
    }

    fn a_restriction(&mut self, who: usize) {
        let purpose = match self.a_selector() {
            Selector::All => None,
            Selector::One(id) => Some(id),
        };
        self.add(
            who,
            FactKind::Restricted {
                purpose: purpose.clone(),
            },
        );
        if self.seeded.chance(65) {
            let purpose = if self.seeded.chance(75) {
                purpose
            } else {
                None
            };
            self.add(who, FactKind::RestrictionLifted { purpose });
        }
    }

    fn a_contract(&mut self, who: usize) {
        let contract = self.seeded.word(&["membership", "warranty"]).to_owned();
        let instant = self.times().0;
        let kind = if self.seeded.chance(50) {
            FactKind::ContractStarted {
                contract,
                purpose: None,
                starts_at: instant,
            }
        } else {
            FactKind::ContractEnded {
                contract,
                ends_at: instant,
            }
        };
        self.add(who, kind);
    }

    /// The same event once more, as a retry delivers it: same content, another id and receipt.
    fn again(&mut self) {
        if self.history.is_empty() {
            return;
        }
        let mut copy = self.history[self.seeded.index(self.history.len())].clone();
        copy.id = self.seeded.bytes16();
        copy.received_at = copy.received_at.plus_micros(HOUR_MICROS);
        self.history.push(copy);
    }
}

fn adult() -> Day {
    Day::from_ymd(1990, 5, 17).expect("a constant date")
}
