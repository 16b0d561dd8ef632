//! The evaluator against the naive one, and both against the invariants I5 and I6.
//!
//! Every case comes from a seed; a failure prints it together with the smallest history that still
//! fails. `ASSENT_ORACLE_SEEDS=from..to` runs other seeds than the usual ones.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use assent_consent::{
    CLOCK_TOLERANCE_MICROS, Category, Coverage, Decision, DecisionState, Fact, FactKind,
    LegalBasis, Reason, Registry, Selector, SubjectId, Timestamp, Use, Verdict, evaluate,
};
use assent_testkit::generate::{Question, Story, story};
use assent_testkit::oracle::evaluate_naively;
use assent_testkit::seeded::Seeded;

type Evaluator = fn(&Registry, &[Fact], SubjectId, &Use, Timestamp) -> Verdict;

fn evaluate_really(
    registry: &Registry,
    history: &[Fact],
    subject: SubjectId,
    use_: &Use,
    at: Timestamp,
) -> Verdict {
    evaluate(registry, history, subject, use_, at).verdict
}

const EVALUATORS: [(&str, Evaluator); 2] =
    [("evaluate", evaluate_really), ("oracle", evaluate_naively)];

/// A place in the log behind those of any story.
const LAST: u64 = 1_000_000;

fn seeds(count: u64) -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("ASSENT_ORACLE_SEEDS") else {
        return 0..count;
    };
    let (from, to) = text.split_once("..").expect("write it as from..to");
    from.parse().unwrap()..to.parse().unwrap()
}

/// The smallest part of the history for which `fails` still holds: facts are taken out one by one.
fn shrink(history: &[Fact], fails: impl Fn(&[Fact]) -> bool) -> Vec<Fact> {
    let mut small = history.to_vec();
    let mut place = 0;
    while place < small.len() {
        let mut fewer = small.clone();
        fewer.remove(place);
        if fails(&fewer) {
            small = fewer;
            place = 0;
        } else {
            place += 1;
        }
    }
    small.sort_by_key(|fact| (fact.received_at, fact.event_time));
    small
}

fn tell(story: &Story, history: &[Fact], question: &Question) -> String {
    let mut text = format!("{question:#?}\n");
    let registry = &story.registry;
    let mut next = Some(question.use_.purpose.clone());
    let mut told = BTreeSet::new();
    while let Some(id) = next.filter(|id| told.insert(id.clone())) {
        let purpose = registry.purpose(&id);
        writeln!(text, "{purpose:#?}").unwrap();
        next = purpose.and_then(|p| p.parent.clone());
    }
    for notice in registry.notices() {
        writeln!(
            text,
            "{} {:?} from {} exempt {} says {:#?}",
            notice.reference(),
            notice.change,
            notice.effective_from,
            notice.exemption.is_some(),
            notice.purposes.get(&question.use_.purpose)
        )
        .unwrap();
    }
    for fact in history {
        writeln!(text, "{fact:#?}").unwrap();
    }
    text
}

fn answer(evaluator: Evaluator, story: &Story, history: &[Fact], question: &Question) -> Verdict {
    evaluator(
        &story.registry,
        history,
        question.subject,
        &question.use_,
        question.at,
    )
}

/// The smallest history for which the two still differ, and what each says of it.
fn tell_difference(story: &Story, question: &Question) -> String {
    let small = shrink(&story.history, |history| {
        answer(evaluate_really, story, history, question)
            != answer(evaluate_naively, story, history, question)
    });
    format!(
        "evaluate says {:?}\nthe oracle says {:?}\nof\n{}",
        answer(evaluate_really, story, &small, question),
        answer(evaluate_naively, story, &small, question),
        tell(story, &small, question)
    )
}

#[test]
fn the_evaluator_and_the_naive_one_agree() {
    let mut counts: BTreeMap<Option<Reason>, u64> = BTreeMap::new();
    let mut differences: BTreeMap<_, (u64, String)> = BTreeMap::new();
    let mut by_basis: BTreeMap<Option<LegalBasis>, (u64, u64)> = BTreeMap::new();
    for seed in seeds(5_000) {
        let story = story(seed);
        for (number, question) in story.questions.iter().enumerate() {
            let really = answer(evaluate_really, &story, &story.history, question);
            let naively = answer(evaluate_naively, &story, &story.history, question);
            if really != naively {
                let key = (really.reason(), naively.reason());
                let (times, smallest) = differences.entry(key).or_default();
                *times += 1;
                if *times <= 20 {
                    let told = tell_difference(&story, question);
                    if smallest.is_empty() || told.len() < smallest.len() {
                        *smallest = format!("seed {seed}, question {number}\n{told}");
                    }
                }
            }
            *counts.entry(really.reason()).or_default() += 1;
            let basis = story
                .registry
                .purpose(&question.use_.purpose)
                .map(|p| p.basis);
            let (lawful, all) = by_basis.entry(basis).or_default();
            *lawful += u64::from(really.reason().is_none());
            *all += 1;
        }
    }
    for (kind, (times, smallest)) in &differences {
        println!("{kind:?} {times} times, such as {smallest}");
    }
    assert!(differences.is_empty(), "the evaluators differ, see above");
    let all: u64 = counts.values().sum();
    let lawful = counts.get(&None).copied().unwrap_or(0);
    println!("{all} verdicts: {counts:?}; (lawful, all) by basis: {by_basis:?}");
    if std::env::var_os("ASSENT_ORACLE_SEEDS").is_some() {
        return;
    }
    assert!(lawful * 100 >= all * 40, "only {lawful} of {all} lawful");
    for reason in Reason::ALL {
        let times = counts.get(&Some(reason)).copied().unwrap_or(0);
        assert!(times >= 20, "{reason} occurs {times} times in {all}");
    }
    for basis in LegalBasis::ALL {
        let (lawful, all) = by_basis.get(&Some(basis)).copied().unwrap_or_default();
        assert!(lawful >= 100 && lawful < all, "{basis}: {lawful} of {all}");
    }
}

/// R17: between the instant asked about and `reconsider_at` nothing changes.
#[test]
fn nothing_changes_before_it_is_to_be_reconsidered() {
    let mut later_changes = 0_u64;
    for seed in seeds(600) {
        let story = story(seed);
        for question in story.questions.iter().take(3) {
            let first = evaluate(
                &story.registry,
                &story.history,
                question.subject,
                &question.use_,
                question.at,
            );
            let until = first.reconsider_at.unwrap_or(Timestamp::MAX);
            assert!(until > question.at, "seed {seed}: {until}");
            for probe in edges(&story) {
                let asked = Question {
                    at: probe,
                    ..question.clone()
                };
                if probe <= question.at {
                    continue;
                }
                let then = answer(evaluate_really, &story, &story.history, &asked);
                if probe >= until {
                    later_changes += u64::from(then != first.verdict);
                    continue;
                }
                assert_eq!(
                    then,
                    first.verdict,
                    "seed {seed}: at {probe}, before {until}\n{}",
                    tell(&story, &story.history, question)
                );
            }
        }
    }
    assert!(later_changes > 500, "the probes hardly meet a change");
}

/// Every instant at which something could happen, and the one just before.
fn edges(story: &Story) -> BTreeSet<Timestamp> {
    let calendar = story.registry.calendar();
    let mut edges = BTreeSet::new();
    for fact in &story.history {
        edges.extend([fact.event_time, fact.received_at]);
        match &fact.kind {
            FactKind::Decision(decision) => {
                edges.extend(decision.expires_at);
                for days in [30, 90] {
                    edges.insert(calendar.start_of(calendar.day_of(fact.time()).plus_days(days)));
                }
            }
            FactKind::ContractStarted { starts_at, .. } => drop(edges.insert(*starts_at)),
            FactKind::ContractEnded { ends_at, .. } => drop(edges.insert(*ends_at)),
            FactKind::BirthDate(born) => {
                edges.insert(calendar.start_of(born.birthday(14).plus_days(1)));
            }
            FactKind::Linked { .. }
            | FactKind::Unlinked { .. }
            | FactKind::GuardianshipStarted { .. }
            | FactKind::GuardianshipEnded { .. }
            | FactKind::Restricted { .. }
            | FactKind::RestrictionLifted { .. }
            | FactKind::Erased
            | FactKind::PublicSource { .. } => {}
        }
    }
    edges.extend(story.registry.notices().map(|notice| notice.effective_from));
    let before: Vec<Timestamp> = edges.iter().map(|edge| edge.plus_micros(-1)).collect();
    edges.extend(before);
    edges
}

/// I4, I6: the order of the slice is not the order of events.
#[test]
fn the_order_of_arrival_changes_nothing() {
    for seed in seeds(500) {
        let story = story(seed);
        let mut seeded = Seeded::new(seed ^ 0xa5a5);
        let mut shuffled = story.history.clone();
        for question in &story.questions {
            seeded.shuffle(&mut shuffled);
            for (name, evaluator) in EVALUATORS {
                assert_eq!(
                    answer(evaluator, &story, &shuffled, question),
                    answer(evaluator, &story, &story.history, question),
                    "{name}, seed {seed}"
                );
            }
        }
    }
}

fn covered(verdict: &Verdict) -> BTreeSet<Category> {
    match verdict {
        Verdict::Lawful(Coverage { categories }) => categories.clone(),
        Verdict::Denied(_) => BTreeSet::new(),
    }
}

/// The first instant after everything in the story, and after the question.
fn now(story: &Story, question: &Question) -> Timestamp {
    story
        .history
        .iter()
        .map(|fact| fact.received_at)
        .chain([question.at])
        .max()
        .expect("the question has an instant")
        .plus_micros(1)
}

/// A fact of this instant, written after everything in any story.
fn fact(seeded: &mut Seeded, subject: SubjectId, instant: Timestamp, kind: FactKind) -> Fact {
    Fact {
        id: seeded.bytes16(),
        subject,
        event_time: instant,
        received_at: instant,
        order: LAST,
        kind,
    }
}

/// Asserts that a fact that arrives now widens nothing; returns whether it narrowed something.
fn never_widens(story: &Story, question: &Question, arrives: &Fact, why: &str) -> bool {
    let mut with = story.history.clone();
    with.push(arrives.clone());
    let asked = Question {
        at: arrives.received_at,
        ..question.clone()
    };
    let mut narrowed = false;
    for (name, evaluator) in EVALUATORS {
        let widens = |without: &[Fact], with: &[Fact]| {
            let before = covered(&answer(evaluator, story, without, &asked));
            let after = covered(&answer(evaluator, story, with, &asked));
            !after.is_subset(&before)
        };
        if widens(&story.history, &with) {
            let small = shrink(&story.history, |history| {
                let mut with = history.to_vec();
                with.push(arrives.clone());
                widens(history, &with)
            });
            panic!(
                "{name}: {why} widens: {arrives:#?}\nto\n{}",
                tell(story, &small, &asked)
            );
        }
        narrowed |= answer(evaluator, story, &story.history, &asked)
            != answer(evaluator, story, &with, &asked);
    }
    narrowed
}

/// R1, C19: whoever is found to be the same person now, nobody gains a verdict.
#[test]
fn merging_identities_never_widens() {
    let mut narrowed = 0_u64;
    for seed in seeds(1_200) {
        let story = story(seed);
        let mut seeded = Seeded::new(seed ^ 0x5a5a);
        for question in &story.questions {
            let pair = (*seeded.pick(&story.subjects), *seeded.pick(&story.subjects));
            let mut link = fact(
                &mut seeded,
                pair.0,
                now(&story, question),
                FactKind::Linked { other: pair.1 },
            );
            if seeded.chance(50) {
                link.event_time = Timestamp::MIN;
            }
            narrowed += u64::from(never_widens(&story, question, &link, "a link"));
        }
    }
    assert!(narrowed > 100, "links hardly ever matter: {narrowed}");
}

/// I5: refusals, withdrawals, unreadable decisions, restrictions and erasures, of anybody and of
/// any scope, never widen, however late and whatever they claim.
#[test]
fn what_restricts_never_widens() {
    let mut narrowed = 0_u64;
    for seed in seeds(1_200) {
        let story = story(seed);
        let mut seeded = Seeded::new(seed ^ 0x1234);
        for question in &story.questions {
            let state = *seeded.pick(&[
                DecisionState::Refused,
                DecisionState::Withdrawn,
                DecisionState::Unreadable,
            ]);
            let purpose = &question.use_.purpose;
            let mut ender = Decision::new(state, Selector::One(purpose.clone()));
            if seeded.chance(25) {
                ender.purpose = Selector::All;
            }
            if seeded.chance(30) {
                ender.channel.clone_from(&question.use_.channel);
            }
            if seeded.chance(30) {
                ender.personalisation = Some(seeded.chance(50));
            }
            let kind = match seeded.below(10) {
                0 => FactKind::Erased,
                1 => FactKind::Restricted { purpose: None },
                2 => FactKind::Restricted {
                    purpose: Some(purpose.clone()),
                },
                _ => FactKind::Decision(ender),
            };
            let subject = *seeded.pick(&story.subjects);
            let mut arrives = fact(&mut seeded, subject, now(&story, question), kind);
            if seeded.chance(50) {
                let places = story.history.len();
                let then = story.history.get(seeded.index(places));
                arrives.event_time = then.map_or(Timestamp::MIN, |fact| fact.event_time);
            }
            narrowed += u64::from(never_widens(&story, question, &arrives, "a restriction"));
        }
    }
    assert!(narrowed > 1_000, "restrictions hardly matter: {narrowed}");
}

/// I6: a withdrawal at the very instant of the latest grant wins; and no grant that arrives later
/// with an older time reopens it.
#[test]
fn ties_restrict_and_late_grants_never_reopen() {
    let mut ties = 0_u64;
    for seed in seeds(1_500) {
        let story = story(seed);
        let mut seeded = Seeded::new(seed ^ 0x77);
        for question in &story.questions {
            let consent = story
                .registry
                .purpose(&question.use_.purpose)
                .is_some_and(|p| p.basis == LegalBasis::Consent);
            let lawful = answer(evaluate_naively, &story, &story.history, question);
            if !consent || lawful.reason().is_some() {
                continue;
            }
            let grants: Vec<&Fact> = story
                .history
                .iter()
                .filter(|f| f.subject == question.subject && f.received_at <= question.at)
                .filter(|f| matches!(&f.kind, FactKind::Decision(d) if d.state == DecisionState::Granted))
                .collect();
            let latest = grants.iter().map(|f| f.received_at).max().unwrap();
            let selector = Selector::One(question.use_.purpose.clone());
            let ends = Decision::new(DecisionState::Withdrawn, selector);
            let mut tie = fact(
                &mut seeded,
                question.subject,
                latest,
                FactKind::Decision(ends),
            );
            if seeded.chance(50) {
                tie.order = 0;
            }
            let mut with = story.history.clone();
            with.push(tie.clone());
            for grant in grants {
                let mut late = grant.clone();
                late.id = seeded.bytes16();
                late.event_time = tie.event_time;
                late.received_at = question.at;
                late.order = LAST + 1;
                with.push(late);
            }
            for (name, evaluator) in EVALUATORS {
                let verdict = answer(evaluator, &story, &with, question);
                assert!(
                    verdict.reason().is_some(),
                    "{name}, seed {seed}: {verdict:?}"
                );
            }
            ties += 1;
        }
    }
    assert!(ties > 1_000, "only {ties} lawful cases");
}

/// I2, R2: whatever the clocks stamped, a withdrawal written after every grant of its subject ends them.
#[test]
fn no_clock_puts_a_grant_after_a_withdrawal_that_was_written_after_it() {
    let mut ended = 0_u64;
    for seed in seeds(1_500) {
        let story = story(seed);
        let mut seeded = Seeded::new(seed ^ 0x2c);
        for question in &story.questions {
            let purpose = &question.use_.purpose;
            let consent = story
                .registry
                .purpose(purpose)
                .is_some_and(|p| p.basis == LegalBasis::Consent);
            let asked = Question {
                at: now(&story, question),
                ..question.clone()
            };
            let before = answer(evaluate_naively, &story, &story.history, &asked);
            if !consent || before.reason().is_some() {
                continue;
            }
            let ends = Decision::new(DecisionState::Withdrawn, Selector::One(purpose.clone()));
            // Long before, together with some fact of the story, or now.
            let some = seeded.pick(&story.history).received_at;
            let stamp = *seeded.pick(&[Timestamp::MIN, some, some.plus_micros(-1), asked.at]);
            let ends = FactKind::Decision(ends);
            let mut with = story.history.clone();
            with.push(fact(&mut seeded, question.subject, stamp, ends));
            for (name, evaluator) in EVALUATORS {
                let verdict = answer(evaluator, &story, &with, &asked);
                let denied = verdict.reason().is_some();
                assert!(denied, "{name}, seed {seed}: {verdict:?}");
            }
            ended += 1;
        }
    }
    assert!(ended > 1_000, "only {ended} lawful cases");
}

/// R12, law.md §4: un-linking restores exactly what stood before.
#[test]
fn unlinking_restores() {
    let mut mattered = 0_u64;
    for seed in seeds(1_200) {
        let mut story = story(seed);
        story.history.retain(|fact| {
            !matches!(
                fact.kind,
                FactKind::Linked { .. } | FactKind::Unlinked { .. }
            )
        });
        let mut seeded = Seeded::new(seed ^ 0x99);
        for question in &story.questions {
            let (a, b) = (*seeded.pick(&story.subjects), *seeded.pick(&story.subjects));
            let linked_at = now(&story, question);
            let unlinked_at = linked_at.plus_micros(CLOCK_TOLERANCE_MICROS + 1);
            let link = fact(&mut seeded, a, linked_at, FactKind::Linked { other: b });
            let mut unlink = fact(&mut seeded, b, unlinked_at, FactKind::Unlinked { other: a });
            unlink.order += 1;
            let asked = Question {
                at: unlinked_at,
                ..question.clone()
            };
            let mut with = story.history.clone();
            with.push(link);
            for (name, evaluator) in EVALUATORS {
                let before = answer(evaluator, &story, &story.history, &asked);
                mattered += u64::from(before != answer(evaluator, &story, &with, &asked));
                let mut both = with.clone();
                both.push(unlink.clone());
                let after = answer(evaluator, &story, &both, &asked);
                assert_eq!(after, before, "{name}, seed {seed}");
            }
        }
    }
    assert!(mattered > 100, "links hardly ever matter: {mattered}");
}
