//! Random histories over the programme of the consent cases.
//!
//! A history is a sound ground (what makes the use lawful) with noise on it, so that a good share
//! of evaluations come out lawful: a property that holds where everything is denied says nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::LazyLock;

use assent_consent::{
    Actor, Calendar, ConsentForm, Day, Decision, DecisionState, Evaluation, Fact, FactKind,
    LegalBasis, Notice, Purpose, PurposeId, Registry, Selector, SubjectId, Timestamp, Use,
    evaluate,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde::Deserialize;

pub(crate) const PERSON: SubjectId = SubjectId::from_bytes([1; 16]);
pub(crate) const OTHERS: [SubjectId; 2] = [
    SubjectId::from_bytes([2; 16]),
    SubjectId::from_bytes([3; 16]),
];
/// Never linked with anybody by the generator.
pub(crate) const STRANGER: SubjectId = SubjectId::from_bytes([9; 16]);
const GUARDIAN: SubjectId = SubjectId::from_bytes([8; 16]);

/// Times lie on a coarse grid, so that they often coincide: a tick is six hours.
pub(crate) const TICKS: i64 = 200;
const TICK: i64 = 6 * 3_600_000_000;

#[derive(Deserialize)]
struct Programme {
    day_one: Day,
    purposes: Vec<Purpose>,
    notices: Vec<Notice>,
}

static WORLD: LazyLock<(Registry, Timestamp)> = LazyLock::new(|| {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/consent-cases");
    let text = std::fs::read_to_string(folder.join("programme.yaml")).unwrap();
    let programme: Programme = serde_saphyr::from_str(&text).unwrap();
    let mut registry = Registry::new(Calendar::default());
    let start = registry.calendar().start_of(programme.day_one);
    for purpose in programme.purposes {
        registry.insert_purpose(purpose);
    }
    for notice in programme.notices {
        registry.insert_notice(notice).unwrap();
    }
    (registry, start)
});

pub(crate) fn registry() -> &'static Registry {
    &WORLD.0
}

pub(crate) fn tick(number: i64) -> Timestamp {
    WORLD.1.plus_micros(number * TICK)
}

/// A question and what is on record.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) history: Vec<Fact>,
    pub(crate) use_: Use,
    pub(crate) at: Timestamp,
}

impl Scenario {
    pub(crate) fn evaluate(&self) -> Evaluation {
        self.evaluate_with(&self.history, self.at)
    }

    pub(crate) fn evaluate_with(&self, history: &[Fact], at: Timestamp) -> Evaluation {
        evaluate(registry(), history, PERSON, &self.use_, at)
    }

    pub(crate) fn with(&self, more: impl IntoIterator<Item = Fact>) -> Vec<Fact> {
        self.history.iter().cloned().chain(more).collect()
    }

    pub(crate) fn is_by_consent(&self) -> bool {
        let purpose = registry().purpose(&self.use_.purpose).unwrap();
        purpose.basis == LegalBasis::Consent
    }
}

pub(crate) fn scenario() -> impl Strategy<Value = Scenario> {
    use_().prop_flat_map(|use_| {
        let ground = ground(use_.purpose.clone());
        let noise = vec(noise(use_.purpose.clone()), 0..6);
        (Just(use_), ground, noise, 20..TICKS).prop_map(|(use_, ground, noise, at)| {
            let mut history = ground;
            history.extend(noise);
            for (number, fact) in (1..).zip(&mut history) {
                fact.id = [number; 16];
            }
            Scenario {
                history,
                use_,
                at: tick(at),
            }
        })
    })
}

fn use_() -> impl Strategy<Value = Use> {
    const USES: [(&str, Option<&str>, Option<&str>); 20] = [
        ("newsletter", Some("email"), None),
        ("newsletter", None, None),
        ("marketing", Some("sms"), None),
        ("trial_offers", None, None),
        ("recommendations", None, None),
        ("wellness", None, None),
        ("coaching", None, None),
        ("pulse_study", None, None),
        ("partner_offers", None, Some("bank")),
        ("airline_miles", None, None),
        ("kids_club", None, None),
        ("club_offers", Some("email"), None),
        ("club_offers", Some("sms"), None),
        ("club_survey", None, None),
        ("club_picks", None, None),
        ("delivery", Some("email"), None),
        ("member_prices", None, None),
        ("invoices", None, None),
        ("coming_duty", None, None),
        ("lead_research", None, None),
    ];
    select(&USES[..]).prop_map(|(purpose, channel, recipient)| Use {
        purpose: purpose.parse().unwrap(),
        channel: channel.map(|name: &str| name.parse().unwrap()),
        recipient: recipient.map(|name: &str| name.parse().unwrap()),
    })
}

/// What makes a use lawful: an age, a grant, a contract, a source.
fn ground(purpose: PurposeId) -> impl Strategy<Value = Vec<Fact>> {
    let born = prop_oneof![
        2 => Just(None),
        4 => Just(Some("1990-05-01")),
        1 => Just(Some("2012-03-15")),
        1 => Just(Some("2016-05-01")),
    ];
    let is_there = proptest::bool::weighted(0.95);
    (born, is_there, 0..24_i64, any::<bool>()).prop_map(move |(born, is_there, then, newer)| {
        let fact = |kind| fact(PERSON, 0, 0, kind);
        let mut facts = vec![
            fact(FactKind::GuardianshipStarted { guardian: GUARDIAN }),
            fact(FactKind::PublicSource { provenance: true }),
            fact(FactKind::ContractStarted {
                contract: "one".to_owned(),
                purpose: None,
                starts_at: tick(then),
            }),
        ];
        facts.extend(born.map(|day| fact(FactKind::BirthDate(day.parse().unwrap()))));
        if is_there {
            let is_child = born.is_some_and(|day| day > "2012");
            let grant = good_grant(&purpose, is_child, newer);
            let then = if newer { then + 80 } else { then };
            facts.push(self::fact(PERSON, then, then, FactKind::Decision(grant)));
        }
        facts
    })
}

fn good_grant(purpose: &PurposeId, is_child: bool, newer: bool) -> Decision {
    let definition = registry().purpose(purpose).unwrap();
    let notice = match (purpose.as_str().starts_with("club_"), newer) {
        (true, true) => "club@2",
        (true, false) => "club@1",
        (false, _) => "terms@1",
    };
    let mut grant = Decision {
        notice: Some(notice.parse().unwrap()),
        form: ConsentForm::Separate,
        indication: Some("the ground".to_owned()),
        recipient: match purpose.as_str() {
            "partner_offers" => Some("bank".parse().unwrap()),
            "airline_miles" => Some("airline".parse().unwrap()),
            _ => None,
        },
        ..Decision::new(DecisionState::Granted, Selector::One(purpose.clone()))
    };
    if !definition.sensitive.is_empty() {
        grant.categories = Some(definition.categories.clone());
    }
    if is_child {
        grant.form = ConsentForm::Guardian;
        grant.actor = Actor::Guardian { guardian: GUARDIAN };
    }
    grant
}

fn noise(purpose: PurposeId) -> impl Strategy<Value = Fact> {
    prop_oneof![
        4 => grant(purpose.clone()),
        2 => restricting(purpose.clone(), subject()),
        2 => (subject(), times(), widening(purpose)).prop_map(placed),
        1 => (subject(), times(), select(vec!["1990-05-01", "2012-03-15", "2016-05-01"])).prop_map(
            |(subject, times, day)| {
                placed((subject, times, FactKind::BirthDate(day.parse().unwrap())))
            }
        ),
    ]
}

fn placed((subject, (event, received), kind): (SubjectId, (i64, i64), FactKind)) -> Fact {
    fact(subject, event, received, kind)
}

pub(crate) fn fact(subject: SubjectId, event: i64, received: i64, kind: FactKind) -> Fact {
    Fact {
        id: [0; 16],
        subject,
        event_time: tick(event),
        received_at: tick(received),
        order: u64::try_from(received).unwrap(),
        kind,
    }
}

fn subject() -> impl Strategy<Value = SubjectId> {
    prop_oneof![3 => Just(PERSON), 1 => Just(OTHERS[0]), 1 => Just(OTHERS[1])]
}

/// When a fact happened, as claimed, and when it was received: mostly at once.
fn times() -> impl Strategy<Value = (i64, i64)> {
    (0..TICKS, prop_oneof![3 => Just(0), 1 => -30..30_i64])
        .prop_map(|(received, lag)| (received - lag, received))
}

/// A grant, sound or not, of the purpose or another.
pub(crate) fn grant(purpose: PurposeId) -> impl Strategy<Value = Fact> {
    let about = prop_oneof![
        3 => Just(purpose.as_str().to_owned()),
        1 => Just("marketing".to_owned()),
        1 => Just("recommendations".to_owned()),
    ];
    let flaws = subsequence((0..9).collect::<Vec<u8>>(), 0..3);
    let child = proptest::bool::weighted(0.2);
    (subject(), times(), about, any::<bool>(), child, flaws).prop_map(
        |(subject, (event, received), about, newer, is_child, flaws)| {
            let mut grant = good_grant(&about.parse().unwrap(), is_child, newer);
            grant.indication = Some(format!("{subject} {received}"));
            for flaw in flaws {
                match flaw {
                    0 => grant.form = ConsentForm::General,
                    1 => grant.authenticated = false,
                    2 => grant.act = "pre_ticked".to_owned(),
                    3 => grant.expires_at = Some(tick(received + 12)),
                    4 => grant.indication = Some("the ground".to_owned()),
                    5 => grant.channel = Some("email".parse().unwrap()),
                    6 => grant.categories = Some(BTreeSet::from(["contact".parse().unwrap()])),
                    7 => grant.personalisation = Some(false),
                    _ => grant.actor = Actor::Agent,
                }
            }
            fact(subject, event, received, FactKind::Decision(grant))
        },
    )
}

/// A fact that restricts, by a subject of the given ones.
pub(crate) fn restricting(
    purpose: PurposeId,
    subject: impl Strategy<Value = SubjectId>,
) -> impl Strategy<Value = Fact> {
    let refusal = refusal(purpose.clone());
    let purposes = select(vec![None, Some(purpose)]);
    let kind = prop_oneof![
        8 => refusal.prop_map(FactKind::Decision),
        1 => purposes.prop_map(|purpose| FactKind::Restricted { purpose }),
        1 => Just(FactKind::GuardianshipEnded { guardian: GUARDIAN }),
        1 => (0..TICKS).prop_map(|ends| FactKind::ContractEnded {
            contract: "one".to_owned(),
            ends_at: tick(ends),
        }),
        1 => Just(FactKind::Erased),
    ];
    (subject, times(), kind).prop_map(placed)
}

fn refusal(purpose: PurposeId) -> impl Strategy<Value = Decision> {
    let state = select(vec![
        DecisionState::Refused,
        DecisionState::Withdrawn,
        DecisionState::Unreadable,
    ]);
    let about = select(vec![
        Selector::All,
        Selector::One(purpose),
        Selector::One("marketing".parse().unwrap()),
        Selector::One("trial_offers".parse().unwrap()),
    ]);
    let channel = option::weighted(0.4, select(vec!["email", "sms"]));
    let category = option::weighted(0.3, select(vec!["contact", "health", "transaction"]));
    let recipient = option::weighted(0.2, select(vec!["bank", "airline"]));
    let personalisation = option::weighted(0.2, any::<bool>());
    (state, about, channel, category, recipient, personalisation).prop_map(
        |(state, about, channel, category, recipient, personalisation)| Decision {
            channel: channel.map(|name| name.parse().unwrap()),
            categories: category.map(|name| BTreeSet::from([name.parse().unwrap()])),
            recipient: recipient.map(|name| name.parse().unwrap()),
            personalisation,
            ..Decision::new(state, about)
        },
    )
}

fn widening(purpose: PurposeId) -> impl Strategy<Value = FactKind> {
    let other = || select(vec![PERSON, OTHERS[0], OTHERS[1]]);
    let purposes = select(vec![None, Some(purpose)]);
    prop_oneof![
        3 => other().prop_map(|other| FactKind::Linked { other }),
        2 => other().prop_map(|other| FactKind::Unlinked { other }),
        1 => purposes.prop_map(|purpose| FactKind::RestrictionLifted { purpose }),
        1 => (0..TICKS).prop_map(|starts| FactKind::ContractStarted {
            contract: "one".to_owned(),
            purpose: None,
            starts_at: tick(starts),
        }),
        1 => Just(FactKind::GuardianshipStarted { guardian: GUARDIAN }),
    ]
}
