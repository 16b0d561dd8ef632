//! The protocol of applying: of all sets planned on one state exactly one takes effect, and every reader
//! agrees which (I10).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod folder;
mod memory;

use std::sync::Arc;

use assent_consent::Timestamp;
use assent_journal::{EmbeddedConfig, EmbeddedJournal, ErrorKind, Journal, Record, Stored, Topic};
use assent_programme::{
    Absorbed, Applied, Digest, Error, Plan, Principal, RegistryState, Role, apply, canonical_json,
    plan, principal_added, token_sha256,
};
use folder::{EMAIL, Folder, SEGMENT, SERVICE};
use memory::{Memory, Next};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::proptest;

fn at(minute: i64) -> Timestamp {
    Timestamp::from_millis(1_772_323_200_000 + minute * 60_000)
}

fn journal() -> Memory {
    Memory::new(RegistryState::topic())
}

async fn planned(journal: &dyn Journal, folder: &Folder) -> Plan {
    let state = RegistryState::fold(journal).await.unwrap();
    plan(&state, &folder.programme()).unwrap()
}

/// The records that `apply` would write, and nothing else.
async fn records(plan: &Plan, parent: &Memory, at: Timestamp) -> Vec<Record> {
    let copy = journal();
    copy.write(parent.log().into_iter().map(record).collect());
    let before = copy.log().len();
    apply(&copy, plan, at).await.unwrap();
    copy.log().into_iter().skip(before).map(record).collect()
}

fn record(stored: Stored) -> Record {
    let Stored {
        position,
        key,
        value,
        headers,
    } = stored;
    Record {
        topic: position.topic,
        key,
        value,
        headers,
    }
}

#[tokio::test]
async fn what_is_applied_is_folded_and_then_unchanged() {
    let (journal, folder) = (journal(), Folder::new());
    let plan = planned(&journal, &folder).await;
    let applied = apply(&journal, &plan, at(0)).await.unwrap();
    assert_eq!(applied.definitions, 10);
    assert_eq!(applied.position.as_ref().unwrap().offset, 9);

    let state = RegistryState::fold(&journal).await.unwrap();
    assert_eq!((state.digest(), state.next()), (applied.digest, 10));
    assert_ne!(state.digest(), Digest::EMPTY);
    let programme = folder.programme();
    for purpose in programme.purposes.values() {
        assert_eq!(state.purpose(&purpose.id), Some(purpose));
    }
    for notice in programme.notices.values() {
        assert_eq!(state.consent().notice(&notice.reference()), Some(notice));
    }
    assert_eq!(
        state.segments().collect::<Vec<_>>(),
        programme.segments.iter().collect::<Vec<_>>()
    );
    assert_eq!(
        state.sources().collect::<Vec<_>>(),
        programme.sources.iter().collect::<Vec<_>>()
    );
    assert_eq!(
        (state.traits(), state.settings()),
        (&programme.traits, &programme.settings)
    );

    let again = planned(&journal, &folder).await;
    assert!(again.is_empty(), "{again}");
    let nothing = apply(&journal, &again, at(1)).await.unwrap();
    assert_eq!(
        nothing,
        Applied {
            digest: state.digest(),
            definitions: 0,
            position: None
        }
    );
    assert_eq!(journal.log().len(), 10);
}

#[tokio::test]
async fn records_are_canonical_and_the_same_on_every_machine() {
    let (journal, folder) = (journal(), Folder::new());
    let plan = planned(&journal, &folder).await;
    apply(&journal, &plan, at(0)).await.unwrap();
    for stored in journal.log() {
        let text = std::str::from_utf8(&stored.value).unwrap();
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(canonical_json(&value).unwrap(), text);
        assert_eq!(stored.key.as_ref(), b"registry");
    }
    let state = RegistryState::fold(&journal).await.unwrap();
    assert_eq!(
        state.digest().to_string(),
        "d7f722a0a911f4359e4d094b0555f6767896de14907740264e0269d184282b33",
        "what is written must stay readable: a change here needs a new format number"
    );
    assert_eq!(
        std::str::from_utf8(&journal.log()[0].value).unwrap(),
        "{\"assent\":1,\"at\":\"2026-03-01T00:00:00Z\",\"body\":{\"calendar\":\"Asia/Shanghai\",\
         \"deduplication_days\":7,\"enabled_bases\":[],\"k\":5},\"index\":0,\"kind\":\"settings\",\
         \"name\":\"programme\",\"of\":10,\"parent\":\"0000000000000000000000000000000000000000000000000000000000000000\",\
         \"set\":\"d7f722a0a911f4359e4d094b0555f6767896de14907740264e0269d184282b33\",\"version\":1}"
    );
}

#[tokio::test]
async fn a_plan_on_a_state_that_is_past_is_a_conflict_and_writes_nothing() {
    let (journal, folder) = (journal(), Folder::new());
    let stale = planned(&journal, &folder).await;
    let applied = apply(&journal, &stale, at(0)).await.unwrap();
    let error = apply(&journal, &stale, at(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    match error {
        Error::Conflict { expected, found } => {
            assert_eq!((expected, found), (Digest::EMPTY, applied.digest));
        }
        other => panic!("{other}"),
    }
    assert_eq!(journal.log().len(), 10);
}

/// A journal with the programme applied, and two different plans on it.
async fn two_plans() -> (Memory, Plan, Plan) {
    let (journal, folder) = (journal(), Folder::new());
    let first = planned(&journal, &folder).await;
    apply(&journal, &first, at(0)).await.unwrap();
    folder.replace(SEGMENT, ">= 3", ">= 4");
    folder.replace(SERVICE, "1095", "365");
    let ours = planned(&journal, &folder).await;
    folder.replace(SEGMENT, ">= 4", ">= 5");
    folder.replace(EMAIL, "730", "100");
    let theirs = planned(&journal, &folder).await;
    assert_eq!((ours.definitions.len(), theirs.definitions.len()), (2, 3));
    (journal, ours, theirs)
}

#[tokio::test]
async fn who_is_overtaken_between_comparing_and_appending_is_told_and_leaves_no_trace() {
    let (journal, ours, theirs) = two_plans().await;
    let before = RegistryState::fold(&journal).await.unwrap();
    journal.next(Next::After(records(&theirs, &journal, at(2)).await));
    let error = apply(&journal, &ours, at(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let state = RegistryState::fold(&journal).await.unwrap();
    assert!(state.segment("regulars").unwrap().query.ends_with(">= 5"));
    assert_eq!(state.segment("regulars").unwrap().version, 2);
    assert_eq!(state.sets().len(), 2);
    assert_eq!(state.sets()[1].parent, before.digest());
    assert_eq!(state.next(), 15, "the ignored records are read over");
}

#[tokio::test]
async fn records_of_two_sets_may_interleave_and_the_first_complete_one_wins() {
    let (journal, ours, theirs) = two_plans().await;
    // Ours has two records, theirs three: ours completes first.
    journal.next(Next::Between(records(&theirs, &journal, at(2)).await));
    let applied = apply(&journal, &ours, at(1)).await.unwrap();
    let state = RegistryState::fold(&journal).await.unwrap();
    assert_eq!(state.digest(), applied.digest);
    assert!(state.segment("regulars").unwrap().query.ends_with(">= 4"));

    let (journal, ours, theirs) = two_plans().await;
    journal.next(Next::Between(records(&ours, &journal, at(1)).await));
    let error = apply(&journal, &theirs, at(2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let state = RegistryState::fold(&journal).await.unwrap();
    assert!(state.segment("regulars").unwrap().query.ends_with(">= 4"));
}

#[tokio::test]
async fn the_same_plan_applied_twice_at_once_is_applied_once() {
    let (journal, ours, _) = two_plans().await;
    journal.next(Next::After(records(&ours, &journal, at(1)).await));
    let error = apply(&journal, &ours, at(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let state = RegistryState::fold(&journal).await.unwrap();
    assert_eq!(state.segment("regulars").unwrap().version, 2);
    assert_eq!(state.sets().len(), 2);
}

#[tokio::test]
async fn an_append_that_stops_half_way_counts_for_nothing_and_the_plan_can_be_made_again() {
    for kept in 0..=2 {
        let (journal, ours, _) = two_plans().await;
        let before = RegistryState::fold(&journal).await.unwrap();
        journal.next(Next::Breaks(kept));
        let error = apply(&journal, &ours, at(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let state = RegistryState::fold(&journal).await.unwrap();
        if kept < 2 {
            assert_eq!(state.digest(), before.digest(), "half a set must not show");
            let applied = apply(&journal, &ours, at(2)).await.unwrap();
            assert_eq!(applied.definitions, 2);
        } else {
            // All was written, only the answer was lost: planning again shows that nothing is left.
            assert_ne!(state.digest(), before.digest());
            assert_eq!(
                apply(&journal, &ours, at(2)).await.unwrap_err().kind(),
                ErrorKind::Conflict
            );
        }
        let state = RegistryState::fold(&journal).await.unwrap();
        assert!(state.segment("regulars").unwrap().query.ends_with(">= 4"));
        assert_eq!(state.segment("regulars").unwrap().version, 2);
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_trusted_stops_the_fold_at_its_position() {
    let (journal, ours, _) = two_plans().await;
    let genuine = records(&ours, &journal, at(1)).await;
    let text = |r: &Record| String::from_utf8(r.value.to_vec()).unwrap();
    let last = text(&genuine[1]);
    let cases = [
        ("{", "it is no definition record"),
        ("[]", "it is no definition record"),
        (&last.replace("\"assent\":1", "\"assent\":2"), "format 2"),
        (
            &last.replace("\"at\":", "\"By\":1,\"at\":"),
            "it is no definition record",
        ),
        (
            &last.replace(">= 4", ">= 1"),
            "does not have the digest it names",
        ),
        (
            &last.replace("\"of\":2", "\"of\":3"),
            "contradicts the other records",
        ),
        (
            &last.replace("\"index\":1", "\"index\":2"),
            "it is number 2 of a set of 2",
        ),
        (
            &last.replace("\"index\":1", "\"index\":0"),
            "contradicts the other records",
        ),
    ];
    for (value, expected) in cases {
        assert_ne!(*value, last, "the case changes something");
        let copy = self::journal();
        copy.write(journal.log().into_iter().map(record).collect());
        let spoilt = Record {
            value: value.to_owned().into(),
            ..genuine[1].clone()
        };
        copy.write(vec![genuine[0].clone(), spoilt]);
        let error = RegistryState::fold(&copy).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        let told = error.to_string();
        assert!(told.contains("assent.registry/0@11"), "{told}");
        assert!(told.contains(expected), "{told}");
        // Nothing is applied on a registry that is known in part only.
        assert_eq!(
            apply(&copy, &ours, at(3)).await.unwrap_err().kind(),
            ErrorKind::Corrupt
        );
    }
    journal.write(genuine);
    RegistryState::fold(&journal).await.unwrap();
}

#[tokio::test]
async fn a_fold_that_fails_leaves_the_state_as_it_was() {
    let (journal, _, _) = two_plans().await;
    let state = RegistryState::fold(&journal).await.unwrap();
    let mut tried = state.clone();
    let topic = RegistryState::topic();
    journal.write(vec![Record {
        topic,
        key: "x".into(),
        value: "?".into(),
        headers: vec![],
    }]);
    assert!(tried.absorb(&journal.log()[10]).is_err());
    assert_eq!(tried, state);
}

#[tokio::test]
async fn definitions_need_one_order() {
    let journal = Memory::with_partitions(RegistryState::topic(), 3);
    let error = RegistryState::fold(&journal).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let plan = plan(&RegistryState::new(), &Folder::new().programme()).unwrap();
    assert_eq!(
        apply(&journal, &plan, at(0)).await.unwrap_err().kind(),
        ErrorKind::Invalid
    );
}

#[tokio::test]
async fn what_was_known_at_a_position_can_be_told_later() {
    let (journal, ours, _) = two_plans().await;
    let before = RegistryState::fold(&journal).await.unwrap();
    apply(&journal, &ours, at(1)).await.unwrap();
    let past = RegistryState::fold_until(&journal, before.next())
        .await
        .unwrap();
    assert_eq!(past, before);
    assert!(past.segment("regulars").unwrap().query.ends_with(">= 3"));
    // In the middle of a set the one before is in force.
    let middle = RegistryState::fold_until(&journal, before.next() + 1)
        .await
        .unwrap();
    assert_eq!(middle.digest(), before.digest());
}

#[tokio::test]
async fn principals_are_journalled_like_everything_else() {
    let (journal, folder) = (journal(), Folder::new());
    apply(&journal, &planned(&journal, &folder).await, at(0))
        .await
        .unwrap();
    let state = RegistryState::fold(&journal).await.unwrap();
    let principal = Principal {
        name: "ana".to_owned(),
        token_sha256: token_sha256("planted-token"),
        role: Role::Analyst,
        purposes: ["email".parse().unwrap()].into(),
        revoked: false,
    };
    let plan = principal_added(&state, principal.clone()).unwrap();
    apply(&journal, &plan, at(1)).await.unwrap();
    let state = RegistryState::fold(&journal).await.unwrap();
    assert_eq!(state.principal("ana"), Some(&principal));
    for stored in journal.log() {
        assert!(!String::from_utf8_lossy(&stored.value).contains("planted-token"));
    }
}

/// Eight tasks race on the real journal: one wins, seven are told.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_that_apply_at_once_exactly_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let topic: Topic = RegistryState::topic();
    let config = EmbeddedConfig::new(vec![(topic, 1)]);
    let journal = Arc::new(EmbeddedJournal::open(&dir.path().join("journal"), config).unwrap());
    let folder = Folder::new();
    apply(&*journal, &planned(&*journal, &folder).await, at(0))
        .await
        .unwrap();

    let mut winners = Vec::new();
    for round in 1..=3 {
        // All plans are made on one state before any of them is applied.
        let mut plans = Vec::new();
        for number in 0..8_i64 {
            let days = 100 * round + number;
            let old = folder.read(EMAIL);
            let line = old.lines().find(|l| l.starts_with("default_")).unwrap();
            folder.write(
                EMAIL,
                &old.replace(line, &format!("default_retention_days: {days}")),
            );
            plans.push((days, planned(&*journal, &folder).await));
        }
        let mut tasks = Vec::new();
        for (days, plan) in plans {
            let journal = Arc::clone(&journal);
            tasks.push(tokio::spawn(async move {
                (days, apply(&*journal, &plan, at(round)).await)
            }));
        }
        let mut won = Vec::new();
        for task in tasks {
            match task.await.unwrap() {
                (days, Ok(applied)) => won.push((days, applied)),
                (_, Err(error)) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
            }
        }
        winners.push(won.len());
        let state = RegistryState::fold(&*journal).await.unwrap();
        let (days, applied) = won.last().unwrap();
        assert_eq!(state.digest(), applied.digest);
        let email = state.purpose(&"email".parse().unwrap()).unwrap();
        assert_eq!(i64::from(email.default_retention_days), *days);
    }
    assert_eq!(winners, [1, 1, 1]);
}

/// A log of several sets, some of which lose, some half-written, some repeated.
fn logs() -> impl Strategy<Value = Vec<Stored>> {
    let step = prop_oneof![
        3 => Just(0_u8), // applies
        1 => Just(1),    // is overtaken
        1 => Just(2),    // interleaves
        1 => Just(3),    // stops half-way
    ];
    proptest::collection::vec((step, any::<bool>()), 1..5).prop_map(|steps| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (journal, folder) = (journal(), Folder::new());
            apply(&journal, &planned(&journal, &folder).await, at(0))
                .await
                .unwrap();
            let old = folder.read(SEGMENT);
            for (number, (step, repeat)) in (1_u32..).zip(steps) {
                let query = format!("purchases_total >= {}", 10 + number);
                let start = old.find("purchases_total").unwrap();
                folder.write(SEGMENT, &format!("{}{query};\n", &old[..start]));
                let ours = planned(&journal, &folder).await;
                folder.write(SEGMENT, &format!("{}city = '{number}';\n", &old[..start]));
                let text = folder.read(SERVICE);
                folder.write(
                    SERVICE,
                    &format!("{text}# {number}\nreask_after_days: {}\n", 100 + number),
                );
                let theirs = planned(&journal, &folder).await;
                folder.write(SERVICE, &text);
                let others = records(&theirs, &journal, at(i64::from(number))).await;
                match step {
                    0 => {}
                    1 => journal.next(Next::After(others)),
                    2 => journal.next(Next::Between(others)),
                    _ => journal.next(Next::Breaks(others.len() - 1)),
                }
                let _ = apply(&journal, &ours, at(i64::from(number))).await;
                if repeat {
                    let last = journal.log().pop().unwrap();
                    journal.write(vec![record(last)]);
                }
            }
            journal.log()
        })
    })
}

proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 10, failure_persistence: None, ..Default::default() })]

    /// Folding in any split, with repeated deliveries, equals folding the whole (I4).
    #[test]
    fn the_fold_of_any_split_equals_the_fold_of_the_whole(
        log in logs(),
        cuts in proptest::collection::vec((any::<u16>(), any::<u16>()), 0..6),
        batch in 1_usize..7,
    ) {
        let mut whole = RegistryState::new();
        let mut accepted = 0;
        for stored in &log {
            if let Absorbed::Accepted(_) = whole.absorb(stored).unwrap() {
                accepted += 1;
            }
        }
        assert!(accepted >= 1, "the control: something took effect");
        assert_eq!(whole.sets().len(), accepted);

        let mut split = RegistryState::new();
        for (from, to) in cuts {
            // Any stretch that begins at or before what was read: a delivery may repeat, never skip.
            let read = usize::try_from(split.next()).unwrap();
            let from = usize::from(from) % (read + 1);
            let to = from + usize::from(to) % (log.len() - from + 1);
            for stored in &log[from..to] {
                let known = stored.position.offset < split.next();
                let absorbed = split.absorb(stored).unwrap();
                assert_eq!(absorbed == Absorbed::Known, known);
            }
            split = split.clone();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut memory = journal();
        memory.batch = batch;
        memory.write(log.iter().cloned().map(record).collect());
        runtime.block_on(split.catch_up(&memory)).unwrap();
        assert_eq!(split, whole);
    }
}
