//! The index on a real journal and vault: what it knows, what it refuses, what survives.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::support::{
    DAY, Deployment, START, grant_fact, granted, mail, programme, purpose_id, records, service,
    withdrawn,
};
use assent_consent::{
    Decision, DecisionState, Fact, FactKind, Reason, Selector, SubjectId, Timestamp, Verdict,
};
use assent_event::{ConsentDecision, IdentityLink, Payload, SubjectFact, Times};
use assent_journal::Checkpoint;
use assent_permit::{Config, ErrorKind, Permit, PermitSet};
use assent_testkit::interrupted::Call;
use assent_vault::Vault;

fn quick() -> Config {
    Config {
        barrier_timeout: Duration::from_millis(400),
        retry_after: Duration::from_millis(10),
        ..Config::default()
    }
}

#[tokio::test]
async fn who_granted_is_permitted_and_nobody_else() {
    let site = Deployment::new().await;
    let permit = site.start();
    let (yes, no, unknown) = (
        site.random.subject(),
        site.random.subject(),
        site.random.subject(),
    );
    site.tell(yes, granted()).await;
    site.tell(no, ConsentDecision::refused("mail")).await;
    permit.barrier().await.unwrap();
    let set = permit.permitted_live(&mail(), site.now()).unwrap();
    let number = set.number_of(&yes).unwrap();
    assert_eq!(set.coverage(number).unwrap().categories.len(), 2);
    assert_eq!(set.member_of(number), Some(yes));
    let denied = set.number_of(&no).unwrap();
    assert_eq!(set.reason(denied), Some(Reason::Refused));
    assert_eq!(set.number_of(&unknown), None);
    assert!(!set.is_permitted(999));
    assert_eq!((set.permitted_len(), set.len()), (1, 2));
    assert_eq!(set.position, permit.applied());
    let explained = permit
        .evaluate_subject(unknown, &mail(), site.now(), None)
        .unwrap();
    assert_eq!(
        explained.evaluation.verdict,
        Verdict::Denied(Reason::NoDecision)
    );
}

/// Who is explained is who is permitted: somebody introduced stands under the bases that need no decision,
/// somebody never heard of under none.
#[tokio::test]
async fn somebody_introduced_is_explained_as_permitted() {
    let site = Deployment::new().await;
    let permit = site.start();
    permit.barrier().await.unwrap();
    let (known, stranger) = (site.random.subject(), site.random.subject());
    permit.introduce(&[known, known]).unwrap();
    for (use_, reason) in [(records(), None), (mail(), Some(Reason::NoDecision))] {
        let set = permit.permitted_live(&use_, site.now()).unwrap();
        assert_eq!(set.reason(set.number_of(&known).unwrap()), reason);
        assert_eq!(set.number_of(&stranger), None);
        let explained = |who| {
            let told = permit.evaluate_subject(who, &use_, site.now(), None);
            told.unwrap().evaluation.verdict.reason()
        };
        assert_eq!(explained(known), reason);
        assert_eq!(explained(stranger), Some(Reason::NoDecision));
    }
}

#[tokio::test]
async fn a_grant_ends_with_time_alone() {
    let site = Deployment::new().await;
    site.define(&programme(Some(10))).await;
    let permit = site.start();
    let subject = site.random.subject();
    let ends = Timestamp::from_micros(START + 3 * DAY);
    site.tell(subject, granted().expires_at(ends)).await;
    let other = site.random.subject();
    site.tell(other, granted()).await;
    permit.barrier().await.unwrap();
    let reason = |at: Timestamp, who| {
        let set = permit.permitted(&mail(), at).unwrap();
        set.reason(set.number_of(&who).unwrap())
    };
    assert_eq!(reason(ends.plus_micros(-1), subject), None);
    assert_eq!(reason(ends, subject), Some(Reason::Expired));
    assert_eq!(reason(ends, other), None);
    // 2026-03-01T08:00 in Shanghai, plus ten days: midnight there.
    let midnight: Timestamp = "2026-03-10T16:00:00Z".parse().unwrap();
    assert_eq!(reason(midnight.plus_micros(-1), other), None);
    assert_eq!(reason(midnight, other), Some(Reason::Expired));
    // Looking back is worked out afresh and does not disturb what is kept.
    assert_eq!(reason(ends.plus_micros(-1), subject), None);
    assert_eq!(reason(midnight, subject), Some(Reason::Expired));
}

#[tokio::test]
async fn a_definition_that_changes_changes_every_verdict() {
    let site = Deployment::new().await;
    let permit = site.start();
    let subject = site.random.subject();
    site.tell(subject, granted()).await;
    permit.barrier().await.unwrap();
    let at = Timestamp::from_micros(START + 20 * DAY);
    let before = permit.permitted(&mail(), at).unwrap();
    assert_eq!(before.permitted_len(), 1);
    let digest = permit.registry().digest();
    site.define(&programme(Some(10))).await;
    permit.barrier().await.unwrap();
    assert_ne!(permit.registry().digest(), digest);
    let after = permit.permitted(&mail(), at).unwrap();
    assert_eq!(after.permitted_len(), 0);
    // What was handed out stays as it was.
    assert_eq!(before.permitted_len(), 1);
    assert_eq!(before.number_of(&subject), Some(0));
}

#[tokio::test]
async fn linked_subjects_are_one_member_until_they_are_not() {
    let site = Deployment::new().await;
    let permit = site.start();
    let (a, b) = (site.random.subject(), site.random.subject());
    site.tell(a, granted()).await;
    site.tell(b, ConsentDecision::refused("mail")).await;
    site.tell(b, IdentityLink::linked(a)).await;
    permit.barrier().await.unwrap();
    let set = permit.permitted_live(&mail(), site.now()).unwrap();
    let of = |set: &PermitSet, subject| set.member_of(set.number_of(&subject).unwrap()).unwrap();
    assert_eq!(of(&set, a), a.min(b));
    assert_eq!(of(&set, b), a.min(b));
    assert_eq!(
        set.reason(set.number_of(&a).unwrap()),
        Some(Reason::Conflict)
    );
    assert_eq!(set.reason_counts().values().sum::<u64>(), 1);
    let then = site.now();
    site.tell(a, IdentityLink::unlinked(b)).await;
    permit.barrier().await.unwrap();
    let apart = permit.permitted_live(&mail(), site.now()).unwrap();
    assert_eq!((of(&apart, a), of(&apart, b)), (a, b));
    assert!(apart.is_permitted(apart.number_of(&a).unwrap()));
    let counts = permit.permitted(&mail(), site.now()).unwrap();
    let counts = counts.reason_counts();
    assert_eq!(
        counts,
        BTreeMap::from([(None, 1), (Some(Reason::Refused), 1)])
    );
    // As of then they still were one.
    let back = permit.permitted(&mail(), then).unwrap();
    assert_eq!(of(&back, a), of(&back, b));
    assert_eq!(back.permitted_len(), 0);
}

#[tokio::test]
async fn what_was_known_then_can_still_be_told() {
    let site = Deployment::new().await;
    let permit = site.start();
    let subject = site.random.subject();
    let given = site.tell(subject, granted()).await;
    let known_by = permit.barrier().await.unwrap();
    site.define(&programme(Some(1))).await;
    let taken_back = site.tell(subject, withdrawn()).await;
    permit.barrier().await.unwrap();
    let at = Timestamp::from_micros(START + 5 * DAY);
    let now = permit.evaluate_subject(subject, &mail(), at, None).unwrap();
    assert_eq!(now.evaluation.verdict, Verdict::Denied(Reason::Expired));
    assert_eq!(now.facts.len(), 2);
    assert_eq!(now.facts[1].position, taken_back);
    assert_eq!(now.notices, ["terms@1".parse().unwrap()]);
    let then = permit
        .evaluate_subject(subject, &mail(), at, Some(&known_by))
        .unwrap();
    assert!(matches!(then.evaluation.verdict, Verdict::Lawful(_)));
    assert_eq!(then.facts.len(), 1);
    assert_eq!(then.decided_at, Some(given));
    assert_eq!((then.member, then.component), (subject, vec![subject]));
    let mut ahead = Checkpoint::new();
    ahead.set(&taken_back.topic, taken_back.partition, 99);
    let error = permit
        .evaluate_subject(subject, &mail(), at, Some(&ahead))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_restart_knows_the_same() {
    let mut site = Deployment::new().await;
    let mut said = Vec::new();
    for round in 0..2 {
        let permit = site.start();
        if round == 0 {
            let subjects: Vec<_> = (0..40).map(|_| site.random.subject()).collect();
            for (place, subject) in subjects.iter().enumerate() {
                site.tell(*subject, granted()).await;
                if place % 3 == 0 {
                    site.tell(*subject, withdrawn()).await;
                }
                if place % 5 == 1 {
                    site.tell(*subject, IdentityLink::linked(subjects[place - 1]))
                        .await;
                }
                if place % 4 == 0 {
                    let started = SubjectFact::contract_started("c", None, site.now());
                    site.tell(*subject, started).await;
                }
            }
        }
        permit.barrier().await.unwrap();
        let mut told = Vec::new();
        for use_ in [mail(), service()] {
            let at = Timestamp::from_micros(START + DAY);
            let set = permit.permitted(&use_, at).unwrap();
            let mut rows: Vec<_> = (0..u32::try_from(set.len()).unwrap())
                .map(|number| {
                    (
                        set.subject_of(number),
                        set.reason(number),
                        set.coverage(number).cloned(),
                        set.member_of(number),
                    )
                })
                .collect();
            rows.sort();
            told.push((rows, set.reason_counts()));
        }
        said.push((told, permit.applied()));
        drop(permit);
        // The applier's task ends at its next await.
        for _ in 0..200 {
            if std::sync::Arc::strong_count(&site.journal) == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        site = site.reopened();
    }
    assert_eq!(said[0], said[1]);
    assert!(said[0].0[0].0.iter().any(|row| row.1.is_none()));
}

#[tokio::test]
async fn birth_dates_are_opened_and_destroyed_keys_are_tombstones() {
    let site = Deployment::new().await;
    let (child, gone) = (site.random.subject(), site.random.subject());
    let born = assent_consent::Day::from_ymd(2016, 5, 1).unwrap();
    for subject in [child, gone] {
        let started = SubjectFact::contract_started("c", None, site.now());
        site.tell(subject, started).await;
        site.tell(subject, granted()).await;
        site.tell(subject, SubjectFact::birth_date(born.days()))
            .await;
    }
    site.vault.destroy(gone).unwrap();
    let permit = site.start();
    permit.barrier().await.unwrap();
    let reason = |use_, subject| {
        let set = permit.permitted_live(&use_, site.now()).unwrap();
        set.reason(set.number_of(&subject).unwrap())
    };
    assert_eq!(reason(mail(), child), Some(Reason::GuardianConsentMissing));
    assert_eq!(reason(service(), child), None);
    assert_eq!(reason(mail(), gone), Some(Reason::Erased));
    assert_eq!(reason(service(), gone), Some(Reason::Erased));
    let explained = permit
        .evaluate_subject(child, &mail(), site.now(), None)
        .unwrap();
    assert!(
        explained
            .facts
            .iter()
            .any(|one| one.fact.kind == FactKind::BirthDate(born))
    );
    assert!(!format!("{explained:?}").contains("2016-05-01"));
}

#[tokio::test]
async fn what_cannot_be_read_restricts_its_subject_alone() {
    let site = Deployment::new().await;
    let permit = site.start();
    let subjects: Vec<_> = (0..4).map(|_| site.random.subject()).collect();
    for subject in &subjects {
        site.tell(*subject, granted()).await;
        let started = SubjectFact::contract_started("c", None, site.now());
        site.tell(*subject, started).await;
    }
    let [fine, garbled, tampered, keyless] = subjects[..] else {
        unreachable!();
    };
    site.append(&garbled, b"\x00\x00\x00\x00\x01 no envelope".to_vec())
        .await;
    let birth = SubjectFact::birth_date(7_000);
    let mut envelope = site.seal(tampered, Times::at(site.now()), birth.clone().into());
    envelope.sealed[0].ciphertext[0] ^= 1;
    site.append(&tampered, envelope.encode().unwrap()).await;
    let mut envelope = site.seal(site.random.subject(), Times::at(site.now()), birth.into());
    envelope.subject = keyless;
    site.append(&keyless, envelope.encode().unwrap()).await;
    permit.barrier().await.unwrap();
    for use_ in [mail(), service()] {
        let set = permit.permitted_live(&use_, site.now()).unwrap();
        let reason = |subject| set.reason(set.number_of(&subject).unwrap());
        assert_eq!(reason(fine), None);
        assert_eq!(reason(garbled), Some(Reason::Restricted));
        assert_eq!(reason(tampered), Some(Reason::Restricted));
        assert_eq!(reason(keyless), Some(Reason::Restricted));
    }
}

/// Another program may write where it should not: what widens counts only in its subject's own log.
#[tokio::test]
async fn what_stands_under_another_key_only_restricts() {
    let site = Deployment::new().await;
    let permit = site.start();
    let [at_home, astray, withdrew, elsewhere] = [(); 4].map(|()| site.random.subject());
    let framed = |subject, payload: Payload| {
        let envelope = site.seal(subject, Times::at(site.now()), payload);
        envelope.encode().unwrap()
    };
    site.tell(at_home, granted()).await;
    site.tell(withdrew, granted()).await;
    let grant = framed(astray, granted().into());
    site.append(&elsewhere, grant).await;
    let withdrawal = framed(withdrew, withdrawn().into());
    site.append(&elsewhere, withdrawal).await;
    permit.barrier().await.unwrap();
    let set = permit.permitted_live(&mail(), site.now()).unwrap();
    let reason = |subject| set.number_of(&subject).map(|number| set.reason(number));
    assert_eq!(reason(at_home), Some(None));
    assert_eq!(reason(astray), Some(Some(Reason::Conflict)));
    assert_eq!(reason(withdrew), Some(Some(Reason::Withdrawn)));
    assert_eq!(reason(elsewhere), None, "nothing was said of it");
    // A grant of its own log counts again.
    site.tell(astray, granted()).await;
    permit.barrier().await.unwrap();
    let set = permit.permitted_live(&mail(), site.now()).unwrap();
    assert_eq!(set.reason(set.number_of(&astray).unwrap()), None);
}

#[tokio::test]
async fn what_cannot_be_attributed_stops_everything_and_is_named() {
    let site = Deployment::new().await;
    let permit = site.start_with(quick());
    let subject = site.random.subject();
    site.tell(subject, granted()).await;
    permit.barrier().await.unwrap();
    let position = site.append_raw(b"?", b"no envelope".to_vec()).await;
    let error = permit.barrier().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains(&position.to_string()), "{error}");
    let at = site.now();
    let refused = [
        permit.permitted(&mail(), at).err(),
        permit.permitted_live(&mail(), at).err(),
        permit.evaluate_subject(subject, &mail(), at, None).err(),
    ];
    for error in refused {
        assert_eq!(error.unwrap().kind(), ErrorKind::Corrupt);
    }
}

#[tokio::test]
async fn a_journal_that_cannot_be_asked_means_no() {
    let site = Deployment::new().await;
    let permit = site.start_with(quick());
    permit.barrier().await.unwrap();
    site.journal.interrupt(Call::EndPositions, true);
    let error = permit.barrier().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    site.journal.interrupt(Call::EndPositions, false);
    permit.barrier().await.unwrap();
    // It says where it ends, but cannot be read: the index cannot catch up.
    site.journal.interrupt(Call::Read, true);
    let subject = site.random.subject();
    site.tell(subject, granted()).await;
    let error = permit.barrier().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("did not reach"), "{error}");
    assert!(std::error::Error::source(&error).is_some());
    site.journal.interrupt(Call::Read, false);
    permit.barrier().await.unwrap();
    let set = permit.permitted_live(&mail(), site.now()).unwrap();
    assert_eq!(set.permitted_len(), 1);
}

/// Brokers that have just been elected do not know a topic for a moment: that is no reason to stop for good.
#[tokio::test]
async fn a_topic_that_is_unknown_for_a_moment_is_waited_for() {
    let site = Deployment::new().await;
    let permit = site.start_with(quick());
    permit.barrier().await.unwrap();
    site.journal.know_nothing();
    site.journal.interrupt(Call::Read, true);
    site.tell(site.random.subject(), granted()).await;
    let error = permit.barrier().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    site.journal.interrupt(Call::Read, false);
    permit.barrier().await.unwrap();
    let set = permit.permitted_live(&mail(), site.now()).unwrap();
    assert_eq!(set.permitted_len(), 1);
}

/// What intake asks about people.
#[tokio::test]
async fn links_and_strangers_are_told_of() {
    let site = Deployment::new().await;
    let permit = site.start();
    let people: Vec<_> = (0..5).map(|_| site.random.subject()).collect();
    let [one, two, three, four, five] = people[..] else {
        panic!();
    };
    site.tell(one, IdentityLink::linked(two)).await;
    site.tell(three, IdentityLink::linked(one)).await;
    site.tell(two, IdentityLink::linked(three)).await;
    site.tell(four, withdrawn()).await;
    site.tell(four, withdrawn()).await;
    site.tell(five, granted()).await;
    permit.barrier().await.unwrap();
    let linked = |permit: &Permit, subject| BTreeSet::from_iter(permit.linked_with(subject));
    assert_eq!(linked(&permit, one), BTreeSet::from([two, three]));
    assert_eq!(linked(&permit, four), BTreeSet::new());
    assert_eq!(permit.links_ended(), 0);
    site.tell(two, IdentityLink::unlinked(one)).await;
    permit.barrier().await.unwrap();
    assert_eq!(linked(&permit, one), BTreeSet::from([three]));
    assert_eq!(linked(&permit, two), BTreeSet::from([three]));
    assert_eq!(permit.links_ended(), 1);
    let known = people
        .iter()
        .map(|subject| permit.is_more_than_restricted(*subject));
    assert_eq!(known.collect::<Vec<_>>(), [true, true, true, false, true]);
    assert!(!permit.is_more_than_restricted(site.random.subject()));
    permit.introduce(&[four]).unwrap();
    assert!(!permit.is_more_than_restricted(four));
}

/// A receipt stamped by a clock that is ahead of the reader's was acknowledged all the same (I2).
#[tokio::test]
async fn a_receipt_from_a_clock_ahead_does_not_escape() {
    let site = Deployment::new().await;
    let permit = site.start();
    let subject = site.random.subject();
    site.tell(subject, granted()).await;
    let now = site.now();
    let ahead = now.plus_micros(3_000_000);
    site.tell_at(subject, Times::at(ahead), withdrawn()).await;
    permit.barrier().await.unwrap();
    let set = permit.permitted_live(&mail(), now).unwrap();
    assert_eq!((set.at, set.permitted_len()), (ahead, 0));
    // Somebody who asks about the far future does not take the others along.
    let future = now.plus_micros(400 * DAY);
    assert_eq!(permit.permitted(&mail(), future).unwrap().at, future);
    assert_eq!(permit.permitted_live(&mail(), now).unwrap().at, ahead);
}

#[tokio::test]
async fn uses_give_way_when_there_are_too_many() {
    let site = Deployment::new().await;
    let permit = site.start_with(Config {
        cached_uses: 1,
        ..Config::default()
    });
    let subject = site.random.subject();
    site.tell_facts(&[grant_fact([3; 16], subject, site.now())])
        .await;
    permit.barrier().await.unwrap();
    for _ in 0..3 {
        let now = site.now();
        assert_eq!(permit.permitted(&mail(), now).unwrap().permitted_len(), 1);
        assert_eq!(
            permit.permitted(&service(), now).unwrap().permitted_len(),
            0
        );
    }
}

/// A fact of this id, received now.
fn said(site: &Deployment, id: u8, subject: SubjectId, kind: FactKind) -> Fact {
    let at = site.now();
    Fact {
        id: [id; 16],
        subject,
        event_time: at,
        received_at: at,
        order: 0,
        kind,
    }
}

#[tokio::test]
async fn a_grant_that_comes_again_under_its_id_reopens_nothing() {
    let site = Deployment::new().await;
    let permit = site.start();
    let (one, other) = (site.random.subject(), site.random.subject());
    let grant = |id: u8, subject| grant_fact([id; 16], subject, site.now());
    let withdrawal = |id: u8, subject| {
        let kind = FactKind::Decision(Decision::new(
            DecisionState::Withdrawn,
            Selector::One(purpose_id("mail")),
        ));
        said(&site, id, subject, kind)
    };
    let reason = async |permit: &Permit, subject| {
        permit.barrier().await.unwrap();
        let set = permit.permitted_live(&mail(), site.now()).unwrap();
        set.reason(set.number_of(&subject).unwrap())
    };
    site.tell_facts(&[grant(1, one)]).await;
    assert_eq!(reason(&permit, one).await, None);
    site.tell_facts(&[withdrawal(2, one), grant(1, one)]).await;
    assert_eq!(reason(&permit, one).await, Some(Reason::Withdrawn));
    // Somebody else's message may have the same id, and what is new counts.
    site.tell_facts(&[grant(1, other)]).await;
    assert_eq!(reason(&permit, other).await, None);
    site.tell_facts(&[grant(3, one)]).await;
    assert_eq!(reason(&permit, one).await, None);
    // A restriction counts as often as it comes, also under the id of a grant.
    site.tell_facts(&[withdrawal(2, one)]).await;
    assert_eq!(reason(&permit, one).await, Some(Reason::Withdrawn));
    site.tell_facts(&[grant(4, one)]).await;
    assert_eq!(reason(&permit, one).await, None);
    site.tell_facts(&[withdrawal(4, one), grant(4, one)]).await;
    assert_eq!(reason(&permit, one).await, Some(Reason::Withdrawn));
    // Whoever starts anew comes to the same.
    let again = site.start();
    assert_eq!(reason(&again, one).await, Some(Reason::Withdrawn));
    assert_eq!(reason(&again, other).await, None);
}

#[tokio::test]
async fn facts_that_widen_count_once_and_those_that_restrict_each_time() {
    let site = Deployment::new().await;
    let permit = site.start();
    let (lifted, started, a, b) = (
        site.random.subject(),
        site.random.subject(),
        site.random.subject(),
        site.random.subject(),
    );
    let contract = |id: u8| {
        let starts_at = Timestamp::from_micros(START);
        let kind = FactKind::ContractStarted {
            contract: "k".to_owned(),
            purpose: None,
            starts_at,
        };
        said(&site, id, started, kind)
    };
    let restricted = |id: u8| {
        let kind = FactKind::Restricted { purpose: None };
        said(&site, id, lifted, kind)
    };
    let lift = |id: u8| {
        let kind = FactKind::RestrictionLifted { purpose: None };
        said(&site, id, lifted, kind)
    };
    let facts = [
        grant_fact([1; 16], lifted, site.now()),
        restricted(2),
        lift(3),
        restricted(2),
        lift(3),
        contract(1),
        said(
            &site,
            2,
            started,
            FactKind::ContractEnded {
                contract: "k".to_owned(),
                ends_at: Timestamp::from_micros(START + 1),
            },
        ),
        contract(1),
        grant_fact([1; 16], a, site.now()),
        said(&site, 2, a, FactKind::Linked { other: b }),
        said(&site, 3, a, FactKind::Unlinked { other: b }),
        said(&site, 2, a, FactKind::Linked { other: b }),
        said(&site, 3, a, FactKind::Unlinked { other: b }),
    ];
    site.tell_facts(&facts).await;
    permit.barrier().await.unwrap();
    let set = permit.permitted_live(&mail(), site.now()).unwrap();
    let number = |subject| set.number_of(&subject).unwrap();
    assert_eq!(set.reason(number(lifted)), Some(Reason::Restricted));
    assert_eq!(
        set.member_of(number(a)),
        set.member_of(number(b)),
        "linked again, and the end of the link came again"
    );
    let service = permit.permitted_live(&service(), site.now()).unwrap();
    assert_eq!(service.reason(number(started)), Some(Reason::BasisEnded));
    let known = |subject| {
        let explained = permit
            .evaluate_subject(subject, &mail(), site.now(), None)
            .unwrap();
        explained.facts.len()
    };
    assert_eq!((known(lifted), known(started), known(a)), (4, 2, 4));
}

/// Law.md §4, return after erasure: whoever returns is a new subject, and the sender repeats what it sent.
#[tokio::test]
async fn nothing_erased_comes_back_by_its_message() {
    let site = Deployment::new().await;
    let permit = site.start();
    let (formerly, returned) = (site.random.subject(), site.random.subject());
    let reason = async |permit: &Permit, subject| {
        permit.barrier().await.unwrap();
        let set = permit.permitted_live(&mail(), site.now()).unwrap();
        set.reason(set.number_of(&subject).unwrap())
    };
    let first = site.tell_by("m1", formerly, granted()).await;
    assert_eq!(reason(&permit, formerly).await, None);
    assert!(permit.fact(&formerly, first.to_bytes()).is_some());
    assert!(!permit.is_of_erased("test", "m1"));
    site.tell(formerly, SubjectFact::erased()).await;
    site.vault.destroy(formerly).unwrap();
    let again = site.tell_by("m1", returned, granted()).await;
    assert_eq!(reason(&permit, formerly).await, Some(Reason::Erased));
    let nothing = Some(Reason::NoDecision);
    assert_eq!(reason(&permit, returned).await, nothing);
    assert!(permit.is_of_erased("test", "m1"));
    assert!(!permit.is_of_erased("shop", "m1") && !permit.is_of_erased("test", "m2"));
    assert_eq!(permit.fact(&returned, again.to_bytes()), None);
    // Whoever starts anew comes to the same, and what is new counts.
    let anew = site.start();
    assert_eq!(reason(&anew, returned).await, nothing);
    site.tell_by("m2", returned, granted()).await;
    assert_eq!(reason(&permit, returned).await, None);
    assert_eq!(reason(&anew, returned).await, None);
}

#[tokio::test]
async fn the_latest_receipt_is_told() {
    let site = Deployment::new().await;
    let permit = site.start();
    permit.barrier().await.unwrap();
    assert_eq!(permit.latest_receipt(), Timestamp::MIN);
    let subject = site.random.subject();
    let late = Timestamp::from_micros(START + 5 * DAY);
    site.tell_at(subject, Times::at(late), granted()).await;
    site.tell(subject, withdrawn()).await;
    permit.barrier().await.unwrap();
    assert_eq!(permit.latest_receipt(), late);
}
