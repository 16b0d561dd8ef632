use assent_consent::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::{EventId, SubjectFactClear, SubjectFactIdentity, Times, Traits, indication_digest};

const SUBJECT: SubjectId = SubjectId::from_bytes([1; 16]);
const OTHER: SubjectId = SubjectId::from_bytes([2; 16]);

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn envelope(payload: &Payload) -> (Envelope, Vec<(KeyClass, Vec<u8>)>) {
    let (clear, personal) = payload.blocks().unwrap();
    let envelope = Envelope {
        id: EventId::from_bytes([9; 16]),
        kind: payload.kind(),
        schema_id: payload.schema_id(),
        subject: SUBJECT,
        source: "shop".to_owned(),
        message_id: "m".to_owned(),
        times: Times::new(at(5), at(7)),
        clear,
        sealed: Vec::new(),
    };
    (envelope, personal)
}

fn read(payload: impl Into<Payload>) -> FactKind {
    let payload = payload.into();
    let (envelope, opened) = envelope(&payload);
    let fact = to_fact(&envelope, &payload).unwrap().unwrap();
    assert_eq!((fact.id, fact.subject), ([9; 16], SUBJECT));
    assert_eq!((fact.event_time, fact.received_at), (at(5), at(7)));
    assert_eq!(fact_of(&envelope, &opened).as_ref(), Some(&fact));
    fact.kind
}

fn purpose(name: &str) -> PurposeId {
    PurposeId::parse(name).unwrap()
}

#[test]
fn a_decision_is_read_whole() {
    let decision = ConsentDecision::granted("email_marketing")
        .channel("email")
        .recipient("card_partner")
        .categories(["transaction", "contact", "contact"])
        .personalisation(false)
        .notice("membership_terms", 3)
        .form("separate")
        .act("checkbox_ticked")
        .indication("shop", "ui-1")
        .artefact("scan")
        .expires_at(at(99));
    let wanted = Decision {
        state: DecisionState::Granted,
        purpose: Selector::One(purpose("email_marketing")),
        channel: Some(Channel::parse("email").unwrap()),
        channel_unread: false,
        recipient: Some(RecipientId::parse("card_partner").unwrap()),
        categories: Some(
            ["contact", "transaction"]
                .map(|c| Category::parse(c).unwrap())
                .into(),
        ),
        personalisation: Some(false),
        notice: Some("membership_terms@3".parse().unwrap()),
        form: ConsentForm::Separate,
        act: "checkbox_ticked".to_owned(),
        indication: Some(hex::encode(indication_digest("shop", "ui-1"))),
        evidence: true,
        actor: Actor::Subject,
        authenticated: true,
        expires_at: Some(at(99)),
    };
    assert_eq!(read(decision), FactKind::Decision(wanted));
}

#[test]
fn states_and_actors_are_told_apart() {
    let cases = [
        (
            ConsentDecision::refused("p").by_agent(),
            DecisionState::Refused,
            Actor::Agent,
        ),
        (
            ConsentDecision::withdrawn("p").by_system(),
            DecisionState::Withdrawn,
            Actor::System,
        ),
        (
            ConsentDecision::granted("p").by_guardian(OTHER),
            DecisionState::Granted,
            Actor::Guardian { guardian: OTHER },
        ),
    ];
    for (decision, state, actor) in cases {
        let FactKind::Decision(read) = read(decision.unauthenticated()) else {
            panic!("a decision")
        };
        assert_eq!(
            (read.state, read.actor, read.authenticated),
            (state, actor, false)
        );
        assert_eq!(
            (read.evidence, read.indication, read.notice),
            (false, None, None)
        );
    }
    let FactKind::Decision(all) = read(ConsentDecision::withdrawn_from_all()) else {
        panic!("a decision")
    };
    assert_eq!(
        (all.state, all.purpose),
        (DecisionState::Withdrawn, Selector::All)
    );
}

/// Separate consent rests on an act; a digest of nothing would look like one.
#[test]
fn a_blank_indication_is_none() {
    for (indication, names_an_act) in [("", false), (" \t", false), ("ui-1", true)] {
        let decision = crate::ConsentDecision::granted("email_marketing");
        let decision = decision.indication("shop", indication);
        assert_eq!(decision.clear.indication_digest.is_some(), names_an_act);
        let evidence = decision.evidence.expect("kept as it was sent");
        assert_eq!(evidence.indication.as_deref(), Some(indication));
    }
}

#[test]
fn two_indications_differ_by_source_and_by_where_they_are_split() {
    let digests = [
        ("shop", "ui"),
        ("sho", "pui"),
        ("shop", "ui2"),
        ("web", "ui"),
    ]
    .map(|(source, indication)| indication_digest(source, indication));
    for (index, digest) in digests.iter().enumerate() {
        assert!(!digests[..index].contains(digest));
    }
}

/// I5: a decision of which any part cannot be read restricts all of its purpose and refuses what it
/// says of channel and personalisation; nothing of it widens.
#[test]
fn an_unreadable_part_makes_the_decision_unreadable() {
    let email = Channel::parse("email").unwrap();
    let breakages: [fn(&mut ConsentDecision); 12] = [
        |d| d.clear.state = "Granted".to_owned(),
        |d| d.clear.state = "renewed".to_owned(),
        |d| d.clear.state = "unreadable".to_owned(),
        |d| d.clear.channel = Some("E-mail".to_owned()),
        |d| d.clear.recipient = Some(String::new()),
        |d| d.clear.categories = Some(vec!["contact".to_owned(), "?".to_owned()]),
        |d| d.clear.notice_id = Some("Terms 2".to_owned()),
        |d| d.clear.notice_version = None,
        |d| d.clear.notice_id = None,
        |d| d.clear.form = "spoken".to_owned(),
        |d| d.clear.actor = "robot".to_owned(),
        |d| d.clear.actor = "guardian".to_owned(),
    ];
    for state in ["granted", "refused", "withdrawn"] {
        for (index, breakage) in breakages.iter().enumerate() {
            let mut decision = ConsentDecision::of(state, Some("p".to_owned()))
                .notice("terms", 1)
                .channel("email")
                .personalisation(false)
                .categories(["contact"]);
            assert!(!is_unreadable(&read(decision.clone())));
            breakage(&mut decision);
            let channel_read = decision.clear.channel.as_deref() == Some("email");
            let wanted = |selector| {
                FactKind::Decision(Decision {
                    purpose: selector,
                    channel: channel_read.then(|| email.clone()),
                    channel_unread: !channel_read,
                    personalisation: Some(false),
                    ..Decision::unreadable()
                })
            };
            let of_one = wanted(Selector::One(purpose("p")));
            assert_eq!(read(decision.clone()), of_one, "{state} {index}");
            decision.clear.purpose = Some("No Purpose".to_owned());
            assert_eq!(read(decision), wanted(Selector::All), "{state} {index}");
        }
    }
}

/// What names neither channel nor personalisation and can be read in that refuses neither.
#[test]
fn an_unreadable_decision_refuses_no_channel_it_does_not_name() {
    let FactKind::Decision(read) = read(ConsentDecision::of("renewed", None)) else {
        panic!("a decision")
    };
    assert_eq!(read.state, DecisionState::Unreadable);
    assert_eq!((read.channel, read.channel_unread), (None, false));
    assert_eq!(read.personalisation, None);
}

fn is_unreadable(kind: &FactKind) -> bool {
    matches!(kind, FactKind::Decision(decision) if decision.state == DecisionState::Unreadable)
}

#[test]
fn links_are_read() {
    assert_eq!(
        read(IdentityLink::linked(OTHER)),
        FactKind::Linked { other: OTHER }
    );
    assert_eq!(
        read(IdentityLink::unlinked(OTHER)),
        FactKind::Unlinked { other: OTHER }
    );
}

#[test]
fn subject_facts_are_read() {
    let p = Some("p".to_owned());
    let cases = [
        (
            SubjectFact::contract_started("c1", p.clone(), at(3)),
            FactKind::ContractStarted {
                contract: "c1".to_owned(),
                purpose: Some(purpose("p")),
                starts_at: at(3),
            },
        ),
        (
            SubjectFact::contract_started("c1", None, at(3)),
            FactKind::ContractStarted {
                contract: "c1".to_owned(),
                purpose: None,
                starts_at: at(3),
            },
        ),
        (
            SubjectFact::contract_ended("c1", at(4)),
            FactKind::ContractEnded {
                contract: "c1".to_owned(),
                ends_at: at(4),
            },
        ),
        (
            SubjectFact::birth_date(15_000),
            FactKind::BirthDate(Day::from_days(15_000)),
        ),
        (
            SubjectFact::guardianship_started(OTHER),
            FactKind::GuardianshipStarted { guardian: OTHER },
        ),
        (
            SubjectFact::guardianship_ended(OTHER),
            FactKind::GuardianshipEnded { guardian: OTHER },
        ),
        (
            SubjectFact::restricted(None),
            FactKind::Restricted { purpose: None },
        ),
        (
            SubjectFact::restricted(p.clone()),
            FactKind::Restricted {
                purpose: Some(purpose("p")),
            },
        ),
        (
            SubjectFact::restriction_lifted(None),
            FactKind::RestrictionLifted { purpose: None },
        ),
        (
            SubjectFact::restriction_lifted(p),
            FactKind::RestrictionLifted {
                purpose: Some(purpose("p")),
            },
        ),
        (SubjectFact::erased().reason("request"), FactKind::Erased),
        (
            SubjectFact::public_source(Some("https://e.org".to_owned())),
            FactKind::PublicSource { provenance: true },
        ),
        (
            SubjectFact::public_source(None),
            FactKind::PublicSource { provenance: false },
        ),
    ];
    for (fact, wanted) in cases {
        assert_eq!(read(fact), wanted);
    }
}

#[test]
fn a_subject_fact_that_cannot_be_read_never_widens() {
    let of = |fact: &str| SubjectFact {
        clear: SubjectFactClear {
            fact: fact.to_owned(),
            ..SubjectFactClear::default()
        },
        ..SubjectFact::default()
    };
    let badly = |mut fact: SubjectFact| {
        fact.clear.purpose = Some("No Purpose".to_owned());
        fact
    };
    let unreadable = FactKind::Decision(Decision {
        channel_unread: false,
        personalisation: None,
        ..Decision::unreadable()
    });
    let restricted = FactKind::Restricted { purpose: None };
    let dateless = SubjectFact {
        identity: Some(SubjectFactIdentity::default()),
        ..of("birth_date")
    };
    let mut nameless = SubjectFact::contract_ended("c", at(1));
    nameless.clear.contract = None;
    let cases = [
        (of("contract_started"), &unreadable),
        (
            badly(SubjectFact::contract_started("c", None, at(1))),
            &unreadable,
        ),
        (of("birth_date"), &unreadable),
        (dateless, &unreadable),
        (of("guardianship_started"), &unreadable),
        (of("guardianship_ended"), &unreadable),
        (badly(of("restriction_lifted")), &unreadable),
        (of("contract_ended"), &restricted),
        (nameless, &restricted),
        (badly(of("restricted")), &restricted),
        (of("deceased"), &restricted),
        (of(""), &restricted),
    ];
    for (fact, wanted) in cases {
        assert_eq!(read(fact.clone()), *wanted, "{}", fact.clear.fact);
    }
}

#[test]
fn a_birth_date_whose_key_is_gone_is_unreadable_not_nothing() {
    let (envelope, opened) = envelope(&SubjectFact::birth_date(15_000).into());
    assert_eq!(
        fact_of(&envelope, &opened).unwrap().kind,
        FactKind::BirthDate(Day::from_days(15_000))
    );
    assert!(is_unreadable(&fact_of(&envelope, &[]).unwrap().kind));
}

#[test]
fn damaged_evidence_changes_no_fact() {
    let decision = ConsentDecision::withdrawn("p").artefact("scan");
    let (envelope, mut opened) = envelope(&decision.into());
    let whole = fact_of(&envelope, &opened);
    assert!(!is_unreadable(&whole.as_ref().unwrap().kind));
    opened[0].1.clear();
    assert!(envelope.payload(&opened).is_err(), "the control");
    assert_eq!(fact_of(&envelope, &opened), whole);
    assert_eq!(fact_of(&envelope, &[]), whole);
}

/// A notice version that is no u32 follows the schema but not the type.
#[test]
fn a_version_out_of_range_is_unreadable() {
    let (mut envelope, _) = envelope(&ConsentDecision::granted("p").notice("n", 63).into());
    let at = envelope.clear.iter().position(|byte| *byte == 126).unwrap();
    envelope.clear[at] = 125; // -63
    let error = envelope.clear_payload().unwrap_err();
    assert!(error.to_string().contains("out of range"), "{error}");
    assert!(is_unreadable(&fact_of(&envelope, &[]).unwrap().kind));
}

#[test]
fn blocks_that_cannot_be_read_restrict() {
    for (payload, wanted) in [
        (
            Payload::from(ConsentDecision::granted("p")),
            FactKind::Decision(Decision::unreadable()),
        ),
        (
            IdentityLink::linked(OTHER).into(),
            FactKind::Restricted { purpose: None },
        ),
        (
            SubjectFact::contract_started("c", None, at(1)).into(),
            FactKind::Restricted { purpose: None },
        ),
    ] {
        let (good, _) = envelope(&payload);
        assert_ne!(fact_of(&good, &[]).unwrap().kind, wanted, "the control");
        let mut cut = good.clone();
        cut.clear.pop();
        let mut newer = good;
        newer.schema_id = 4711;
        for broken in [cut, newer] {
            let fact = fact_of(&broken, &[]).unwrap();
            assert_eq!((fact.subject, fact.received_at), (SUBJECT, at(7)));
            assert_eq!(fact.kind, wanted);
        }
    }
}

#[test]
fn other_topics_have_no_facts() {
    let payload = Payload::from(Traits::new().value("city", "x"));
    let (envelope, opened) = envelope(&payload);
    assert_eq!(to_fact(&envelope, &payload), Ok(None));
    assert_eq!(fact_of(&envelope, &opened), None);
    let mismatch = to_fact(&envelope, &SubjectFact::erased().into());
    assert!(matches!(mismatch, Err(Error::KindMismatch { .. })));
}

#[test]
fn an_unreadable_record_restricts_the_subject_of_its_key() {
    let fact = salvage(SUBJECT.as_bytes(), b"garbage", at(11)).unwrap();
    assert_eq!(fact.subject, SUBJECT);
    assert_eq!((fact.event_time, fact.received_at), (at(11), at(11)));
    assert_eq!(fact.kind, FactKind::Restricted { purpose: None });
    assert_ne!(
        fact.id,
        salvage(SUBJECT.as_bytes(), b"other", at(11)).unwrap().id
    );
    assert_eq!(salvage(b"short", b"garbage", at(11)), None);
}

proptest! {
    /// I5: only a decision spelled `granted` ever becomes a grant, whatever the bytes.
    #[test]
    fn no_accident_grants(mut at_bytes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let (mut envelope, _) = envelope(&ConsentDecision::withdrawn("p").channel("email").notice("n", 1).into());
        for (index, byte) in at_bytes.drain(..) {
            let index = index.index(envelope.clear.len());
            envelope.clear[index] = byte;
        }
        let fact = fact_of(&envelope, &[]);
        let FactKind::Decision(decision) = fact.unwrap().kind else {
            return Err(TestCaseError::fail("not a decision"));
        };
        prop_assert_ne!(decision.state, DecisionState::Granted);
    }
}
