//! Several processes receive facts, each by a clock of its own: what the log's order must make good (I2, I6).

use assent_consent::{
    Calendar, Decision, DecisionState, FactKind, NoticeRef, PurposeId, Selector, Use, evaluate,
};
use assent_testkit::oracle::{Written, what_counts};
use assent_testkit::seeded::Seeded;
use serde_json::{Value, json};

use super::*;

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
const PARTITIONS: u32 = 3;

/// One purpose by consent, under one notice.
fn registry() -> ConsentRegistry {
    fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).unwrap()
    }
    let mut registry = ConsentRegistry::new(Calendar::default()).with_purpose(read(json!({
        "id": "mail", "version": 1, "title": {}, "basis": "consent", "categories": ["contact"],
        "default_retention_days": 1,
    })));
    let notice = read(json!({
        "id": "terms", "version": 1, "change": "material", "effective_from": "1970-01-01T00:00:00Z",
        "handler": {"name": "n", "contact": "c"}, "rights": "r",
        "purposes": {"mail": {"method": "m", "categories": ["contact"], "retention": "r"}},
    }));
    registry.insert_notice(notice).unwrap();
    registry
}

fn mail() -> PurposeId {
    PurposeId::parse("mail").unwrap()
}

/// A process that receives facts.
struct Receiver {
    /// How far its clock runs ahead of true time.
    ahead: i64,
    /// The last receipt it gave out; it gives out none twice.
    last: i64,
}

impl Receiver {
    fn stamp(&mut self, now: i64) -> Timestamp {
        self.last = (now + self.ahead).max(self.last + 1);
        Timestamp::from_micros(self.last)
    }
}

/// A decision that was acknowledged.
struct Acknowledged {
    who: usize,
    grants: bool,
    /// In true time.
    at: i64,
}

/// Pairs of subjects, what they decided, and the logs in which it stands.
struct Town {
    /// Two and two are one person, where they are linked.
    subjects: Vec<SubjectId>,
    linked: bool,
    logs: Vec<Vec<Written>>,
    acknowledged: Vec<Acknowledged>,
    now: i64,
}

impl Town {
    /// `apart`: how far two clocks may be apart.
    fn new(seeded: &mut Seeded, apart: i64, linked: bool) -> Self {
        let mut town = Self {
            subjects: (0..8)
                .map(|_| SubjectId::from_bytes(seeded.bytes16()))
                .collect(),
            linked,
            logs: (0..PARTITIONS).map(|_| Vec::new()).collect(),
            acknowledged: Vec::new(),
            now: 1_000 * HOUR,
        };
        let mut receivers: Vec<Receiver> = (0..3)
            .map(|_| Receiver {
                ahead: seeded.between(0, apart + 1),
                last: 0,
            })
            .collect();
        if linked {
            for who in (0..town.subjects.len()).step_by(2) {
                let other = town.subjects[who + 1];
                town.write(seeded, &mut receivers, who, FactKind::Linked { other });
            }
            town.now += 10 * SECOND;
        }
        for _ in 0..40 {
            town.now += *seeded.pick(&[1, 1_000, SECOND / 2, SECOND, 3 * SECOND, HOUR]);
            let who = seeded.index(town.subjects.len());
            let grants = seeded.chance(55);
            let state = if grants {
                DecisionState::Granted
            } else {
                DecisionState::Withdrawn
            };
            let mut decision = Decision::new(state, Selector::One(mail()));
            decision.notice = Some("terms@1".parse::<NoticeRef>().unwrap());
            town.write(seeded, &mut receivers, who, FactKind::Decision(decision));
            let at = town.now;
            town.acknowledged.push(Acknowledged { who, grants, at });
        }
        town
    }

    fn write(
        &mut self,
        seeded: &mut Seeded,
        receivers: &mut [Receiver],
        who: usize,
        kind: FactKind,
    ) {
        let place = seeded.index(receivers.len());
        let received_at = receivers[place].stamp(self.now);
        let partition = who % self.logs.len();
        let message = seeded.bits();
        self.repeat(partition, who, received_at, kind, message);
    }

    /// Writes what a message brings a subject.
    fn repeat(
        &mut self,
        partition: usize,
        who: usize,
        received_at: Timestamp,
        kind: FactKind,
        message: u64,
    ) {
        let subject = self.subjects[who];
        // As intake makes them: one for a message and a subject.
        let mut id = subject.to_bytes();
        for (byte, more) in id.iter_mut().zip(message.to_be_bytes()) {
            *byte ^= more;
        }
        let order = u64::try_from(self.logs[partition].len()).unwrap();
        let fact = Fact {
            id,
            subject,
            event_time: received_at,
            received_at,
            order,
            kind,
        };
        self.logs[partition].push(Written { fact, message });
    }

    /// The state of an index that read the logs batch by batch, in some order of partitions.
    fn read(&self, seeded: &mut Seeded) -> State {
        let mut state = State::new(Checkpoint::new());
        let mut done = vec![0_usize; self.logs.len()];
        while let Some(partition) = (0..done.len())
            .filter(|p| done[*p] < self.logs[*p].len())
            .min_by_key(|_| seeded.bits())
        {
            let from = done[partition];
            let to = (from + 1 + seeded.index(5)).min(self.logs[partition].len());
            let number = u32::try_from(partition).unwrap();
            let arrived = self.logs[partition][from..to]
                .iter()
                .map(|written| Arrived {
                    fact: written.fact.clone(),
                    place: Place {
                        partition: number,
                        offset: written.fact.order,
                    },
                    message: Message::numbered(written.message),
                });
            let next = u64::try_from(to).unwrap();
            state.apply(number, arrived.collect(), next).unwrap();
            done[partition] = to;
        }
        state
    }

    fn is_one_person(&self, a: usize, b: usize) -> bool {
        a == b || (self.linked && a / 2 == b / 2)
    }

    /// When the subject's person withdrew last, in true time.
    fn withdrawn_at(&self, who: usize) -> Option<i64> {
        let of_person = self
            .acknowledged
            .iter()
            .filter(|one| !one.grants && self.is_one_person(one.who, who));
        of_person.map(|one| one.at).max()
    }

    /// When the subject granted last, in true time.
    fn granted_at(&self, who: usize) -> Option<i64> {
        let own = self
            .acknowledged
            .iter()
            .filter(|one| one.grants && one.who == who);
        own.map(|one| one.at).max()
    }
}

/// No withdrawal is superseded by a grant that was acknowledged before it; and a grant counts again once the
/// clocks cannot have turned the two. Returns how often each was seen.
fn withdrawals_hold(apart: i64, linked: bool) -> (u32, u32) {
    let registry = registry();
    let use_ = Use::of(mail());
    let (mut held, mut granted_anew) = (0, 0);
    for seed in 0..300 {
        let mut seeded = Seeded::new(seed);
        let town = Town::new(&mut seeded, apart, linked);
        let state = town.read(&mut seeded);
        let at = state.latest_receipt;
        for (who, subject) in town.subjects.iter().enumerate() {
            let Some(number) = state.numbers.get(subject) else {
                continue;
            };
            let alone = [number];
            let group = state.groups.of(number).unwrap_or(&alone);
            let facts = state.facts_of_group(group);
            let verdict = evaluate(&registry, &facts, *subject, &use_, at).verdict;
            match (town.granted_at(who), town.withdrawn_at(who)) {
                (Some(granted), Some(withdrawn)) if granted < withdrawn => {
                    assert!(verdict.reason().is_some(), "seed {seed}, subject {who}");
                    held += 1;
                }
                (Some(granted), Some(withdrawn))
                    if granted > withdrawn + 2 * apart + 2 * SECOND =>
                {
                    assert_eq!(verdict.reason(), None, "seed {seed}, subject {who}");
                    granted_anew += 1;
                }
                (Some(_), None) => assert_eq!(verdict.reason(), None, "seed {seed}"),
                (Some(_), Some(_)) | (None, _) => {}
            }
        }
    }
    (held, granted_anew)
}

#[test]
fn a_withdrawal_holds_against_every_grant_written_before_it_whatever_the_clocks_say() {
    for apart in [0, SECOND, HOUR, 30 * 24 * HOUR] {
        let (held, anew) = withdrawals_hold(apart, false);
        assert!(held > 500, "{held} of clocks {apart} apart");
        assert!(anew > 100 || apart > HOUR, "{anew} of clocks {apart} apart");
    }
}

#[test]
fn it_holds_for_linked_subjects_while_clocks_are_within_the_tolerance() {
    for apart in [0, SECOND / 2, SECOND] {
        let (held, anew) = withdrawals_hold(apart, true);
        assert!(held > 500 && anew > 100, "{held} and {anew}");
    }
}

/// The control: beyond the tolerance only the log of one subject helps.
#[test]
#[should_panic(expected = "subject")]
fn for_linked_subjects_it_does_not_hold_when_clocks_are_further_apart() {
    withdrawals_hold(HOUR, true);
}

/// A town where few messages bring much, again and again, and people are erased.
fn repeating_itself(seeded: &mut Seeded) -> Town {
    let mut town = Town::new(seeded, 2 * SECOND, false);
    for log in &mut town.logs {
        log.clear();
    }
    let other = town.subjects[7];
    let born = |day: &str| FactKind::BirthDate(day.parse().unwrap());
    let decides = |state| {
        let mut decision = Decision::new(state, Selector::One(mail()));
        decision.notice = Some("terms@1".parse::<NoticeRef>().unwrap());
        FactKind::Decision(decision)
    };
    let kinds = [
        decides(DecisionState::Granted),
        decides(DecisionState::Granted),
        decides(DecisionState::Withdrawn),
        FactKind::Unlinked { other },
        FactKind::Linked { other },
        born("1990-05-01"),
        born("2016-05-01"),
        FactKind::RestrictionLifted { purpose: None },
        FactKind::Restricted { purpose: None },
    ];
    for _ in 0..60 {
        town.now += *seeded.pick(&[SECOND / 2, SECOND, 2 * SECOND]);
        let kind = if seeded.chance(6) {
            FactKind::Erased
        } else {
            seeded.pick(&kinds).clone()
        };
        let who = seeded.index(town.subjects.len());
        // Clocks that disagree, and messages that few subjects share.
        let received_at = Timestamp::from_micros(town.now + seeded.between(0, 2 * SECOND));
        let (partition, message) = (who % town.logs.len(), seeded.below(12));
        town.repeat(partition, who, received_at, kind, message);
    }
    town
}

/// Of equal restrictions of a subject, nothing having widened in between, the first and the latest.
fn without_repetitions(written: &[Written], counting: &[Fact], subject: SubjectId) -> Vec<Fact> {
    let mut widened: Vec<(u64, u64)> = Vec::new();
    for one in written.iter().filter(|one| one.fact.subject == subject) {
        let is_new = widened.iter().all(|(message, _)| *message != one.message);
        if one.fact.kind.widens() && is_new {
            widened.push((one.message, one.fact.order));
        }
    }
    let mut kept: Vec<Fact> = Vec::new();
    for fact in counting.iter().filter(|fact| fact.subject == subject) {
        let restricts = match &fact.kind {
            FactKind::Decision(decision) => decision.state != DecisionState::Granted,
            FactKind::Restricted { .. } => true,
            _ => false,
        };
        let undisturbed = |one: &Fact| {
            let between = |order: u64| one.order < order && order < fact.order;
            !widened.iter().any(|(_, order)| between(*order))
        };
        let equal: Vec<usize> = (0..kept.len())
            .filter(|n| kept[*n].kind == fact.kind && undisturbed(&kept[*n]))
            .collect();
        if let [_, .., latest] = equal[..]
            && restricts
            && fact.received_at >= kept[latest].received_at
            && fact.time() >= kept[latest].time()
        {
            kept.remove(latest);
        }
        kept.push(fact.clone());
    }
    kept
}

/// I4, R2: however the partitions are read, and in whatever batches, the facts that count are those of the rule.
#[test]
fn what_counts_is_what_the_rule_says_in_whatever_order_it_is_read() {
    let (mut repeated, mut returned) = (0, 0);
    for seed in 0..400 {
        let mut seeded = Seeded::new(seed);
        let town = repeating_itself(&mut seeded);
        let written = town.logs.concat();
        let counting = what_counts(&written);
        let is_erased = |fact: &Fact| {
            let mut erasures = written.iter().map(|one| &one.fact);
            erasures.any(|e| e.subject == fact.subject && e.kind == FactKind::Erased)
        };
        repeated += written.len() - counting.len();
        let lost = written.iter().filter(|one| !counting.contains(&one.fact));
        returned += lost
            .filter(|one| one.fact.kind.widens() && !is_erased(&one.fact))
            .count();
        for _ in 0..3 {
            let state = town.read(&mut seeded);
            for subject in &town.subjects {
                let of_rule = without_repetitions(&written, &counting, *subject);
                let of_state = state
                    .numbers
                    .get(subject)
                    .and_then(|number| state.histories.get(index(number)));
                let of_state = of_state.into_iter().flat_map(|history| {
                    assert_eq!(history.facts.len(), history.places.len());
                    &history.facts
                });
                assert!(of_state.eq(&of_rule), "seed {seed}");
            }
        }
    }
    assert!(repeated > 1_000 && returned > 100, "{repeated}, {returned}");
}

/// Who is a member with whom follows an un-link that is taken back.
#[test]
fn an_unlink_that_came_back_after_an_erasure_does_not_part_anybody() {
    let mut seeded = Seeded::new(1);
    let mut town = repeating_itself(&mut seeded);
    for log in &mut town.logs {
        log.clear();
    }
    let at = |seconds: i64| Timestamp::from_micros(seconds * 10 * SECOND);
    let other = town.subjects[2];
    let unlinked = || FactKind::Unlinked { other };
    town.repeat(0, 0, at(1), unlinked(), 5);
    town.repeat(0, 0, at(2), FactKind::Erased, 6);
    town.repeat(1, 1, at(3), FactKind::Linked { other }, 7);
    town.repeat(1, 1, at(4), unlinked(), 5);
    for _ in 0..10 {
        let state = town.read(&mut seeded);
        let number = |who: usize| state.numbers.get(&town.subjects[who]).unwrap();
        let member = |who| state.members.get(index(number(who)));
        assert_eq!(member(1), member(2));
    }
}
