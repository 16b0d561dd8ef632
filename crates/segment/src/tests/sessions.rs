//! Opening a session, what it stands on, and what it leaves in the journal.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::{Asked, Error, ErrorKind, LawfulSession, Limits, QueryResult};
use arrow::array::AsArray;
use assent_event::{ConsentDecision, Envelope, Payload, UseRecordClear, topics};
use assent_journal::{Journal, ReadLimit, Topic};
use assent_programme::{RegistryState, apply, principal_revoked};

use super::oracle::{self, answer, category, filtered, lawful, lawful_at, over, ungated, view};
use super::world::{Person, World, days_ago, fresh, now, world};

fn open(world: &World, principal: &str, purpose: Option<&str>) -> Result<LawfulSession, Error> {
    let asked = Asked {
        purpose: purpose.map(str::to_owned),
        ..Asked::default()
    };
    world.runtime.block_on(LawfulSession::open(
        &world.engine,
        &world.principal(principal),
        &asked,
        None,
    ))
}

fn texts(result: &QueryResult, column: &str) -> BTreeSet<String> {
    result
        .batches
        .iter()
        .flat_map(|batch| {
            batch
                .column_by_name(column)
                .expect("a column")
                .as_string::<i32>()
                .iter()
                .flatten()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect()
}

pub fn uses(world: &World) -> Vec<(UseRecordClear, Vec<u8>)> {
    let topic = Topic::new(topics::USE);
    let mut found = Vec::new();
    for partition in 0..world.house.journal.partitions(&topic).expect("partitions") {
        let batch = world
            .runtime
            .block_on(
                world
                    .house
                    .journal
                    .read(&topic, partition, 0, ReadLimit::default()),
            )
            .expect("uses");
        for stored in batch.records {
            let envelope = Envelope::decode(&stored.value).expect("an envelope");
            match envelope.clear_payload().expect("a use") {
                Payload::Use(record) => found.push((record.clear, stored.value.to_vec())),
                other => panic!("{:?} on the use topic", other.kind()),
            }
        }
    }
    found
}

#[test]
fn a_session_needs_a_purpose_that_the_principal_has() {
    let world = world();
    for (principal, purpose, kind, code) in [
        ("analyst", None, ErrorKind::Invalid, "purpose_missing"),
        (
            "analyst",
            Some("selling"),
            ErrorKind::Invalid,
            "purpose_unknown",
        ),
        (
            "narrow",
            Some("marketing"),
            ErrorKind::Denied,
            "purpose_not_given",
        ),
        ("analyst", Some("audit"), ErrorKind::Denied, "officer_only"),
        (
            "operator",
            Some("marketing"),
            ErrorKind::Denied,
            "purpose_not_given",
        ),
    ] {
        let error = open(world, principal, purpose).expect_err(code);
        assert_eq!((error.kind(), error.code()), (kind, code), "{error}");
        let listed = error.fix().expect("a list");
        assert!(listed.starts_with("allowed purposes: "), "{listed}");
    }
    let error = open(world, "narrow", None).expect_err("no purpose");
    assert_eq!(error.fix(), Some("allowed purposes: sales"));
    open(world, "officer", Some("audit")).expect("an officer");
    let asked = Asked {
        purpose: Some("marketing".to_owned()),
        channel: Some("pigeon".to_owned()),
        recipient: None,
    };
    let error = world
        .runtime
        .block_on(LawfulSession::open(
            &world.engine,
            &world.principal("analyst"),
            &asked,
            None,
        ))
        .expect_err("a channel");
    assert_eq!(
        (error.code(), error.fix()),
        ("channel_unknown", Some("its channels: email"))
    );
}

#[test]
fn a_revoked_principal_opens_nothing_though_the_caller_does_not_know() {
    let world = fresh();
    let stale = world.principal("narrow");
    world.runtime.block_on(async {
        let state = RegistryState::fold(world.house.journal.as_ref())
            .await
            .expect("a registry");
        let planned = principal_revoked(&state, "narrow").expect("a plan");
        apply(world.house.journal.as_ref(), &planned, now())
            .await
            .expect("applied");
        let asked = Asked {
            purpose: Some("sales".to_owned()),
            ..Asked::default()
        };
        let error = LawfulSession::open(&world.engine, &stale, &asked, None)
            .await
            .expect_err("revoked");
        assert_eq!(error.code(), "principal_revoked");
    });
}

#[test]
fn a_column_outside_the_purpose_does_not_exist() {
    let world = world();
    let error = world
        .ask("wellness", "SELECT city,\n       ltv FROM members")
        .expect_err("no transactions");
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Invalid, "unknown_column")
    );
    assert_eq!(error.place().map(|place| place.line), Some(2), "{error}");
    let help = error.fix().expect("a list");
    assert!(
        help.contains("members(member_id, city, note, allergy"),
        "{help}"
    );
    assert!(!help.contains("ltv"), "{help}");
    let error = world
        .ask("wellness", "SELECT * FROM accounts")
        .expect_err("no accounts");
    assert_eq!(error.code(), "unknown_table");
    let all = world.ask("wellness", "SELECT * FROM members").expect("all");
    let names: Vec<&str> = all
        .schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    assert_eq!(
        names,
        [
            "member_id",
            "city",
            "note",
            "allergy",
            "first_seen",
            "last_seen"
        ]
    );
}

#[test]
fn a_withdrawal_counts_for_the_next_session() {
    let world = fresh();
    let sql = "SELECT city FROM members";
    let city = format!("{}-city", Person::canary(0));
    let before = world.open("marketing");
    super::world::decide(&world, 0, ConsentDecision::withdrawn("marketing"));
    let ask = |session: &LawfulSession| {
        texts(
            &world.runtime.block_on(session.query(sql)).expect("rows"),
            "city",
        )
    };
    assert!(
        ask(&before).contains(&city),
        "a session stands where it was opened"
    );
    assert!(
        !ask(&world.open("marketing")).contains(&city),
        "the next does not see it"
    );
}

#[test]
fn without_a_barrier_nothing_is_answered() {
    let world = fresh();
    world
        .house
        .journal
        .refuses_reads
        .store(true, Ordering::SeqCst);
    let error = open(&world, "analyst", Some("marketing")).expect_err("closed");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    world
        .house
        .journal
        .refuses_reads
        .store(false, Ordering::SeqCst);
    open(&world, "analyst", Some("marketing")).expect("open again");
}

#[test]
fn every_use_is_journalled_and_holds_nothing_personal() {
    let world = fresh();
    let secret = "SELECT city FROM members WHERE city = 'P000X-city'";
    let answered = world.ask("marketing", secret).expect("rows");
    world
        .ask("marketing", "SELECT cast(city AS int) FROM members")
        .expect_err("a cast");
    let uses = uses(&world);
    assert_eq!(uses.len(), 2);
    let (first, bytes) = uses
        .iter()
        .find(|(record, _)| record.rows == Some(1))
        .expect("the first query");
    assert_eq!(answered.rows, 1);
    assert_eq!(first.operation, "query");
    assert_eq!(first.principal, "analyst");
    assert_eq!(first.purpose, "marketing");
    assert_eq!(first.basis, "consent");
    assert_eq!(first.outcome, "answered");
    assert_eq!(first.sql_sha256.as_deref().map(str::len), Some(64));
    assert!(
        first.position.contains("assent.consent"),
        "{}",
        first.position
    );
    assert!(!String::from_utf8_lossy(bytes).contains("P000X"));
    assert!(
        uses.iter()
            .any(|(record, _)| record.outcome == "failed: cast_failed")
    );
}

#[test]
fn what_cannot_be_journalled_is_not_answered() {
    let world = fresh();
    let session = world.open("marketing");
    world
        .house
        .journal
        .refuses_appends
        .store(true, Ordering::SeqCst);
    let error = world
        .runtime
        .block_on(session.query("SELECT city FROM members"))
        .expect_err("refused");
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Unavailable, "use_not_journalled")
    );
    world
        .house
        .journal
        .refuses_appends
        .store(false, Ordering::SeqCst);
    world
        .runtime
        .block_on(session.query("SELECT city FROM members"))
        .expect("answered");
}

#[test]
fn looking_back_needs_to_be_lawful_then_and_now() {
    let world = world();
    let then = days_ago(60);
    let at = |when| {
        let asked = Asked {
            purpose: Some("marketing".to_owned()),
            ..Asked::default()
        };
        world.runtime.block_on(LawfulSession::open(
            &world.engine,
            &world.principal("analyst"),
            &asked,
            Some(when),
        ))
    };
    let session = at(then).expect("a session");
    let result = world
        .runtime
        .block_on(session.query("SELECT city FROM members"))
        .expect("rows");
    let found: BTreeSet<usize> = texts(&result, "city")
        .iter()
        .map(|city| city[1..4].parse().expect("an index"))
        .collect();
    let (past, present) = (
        lawful_at(world, "marketing", then),
        lawful(world, "marketing"),
    );
    let withdrawn: Vec<&usize> = past
        .keys()
        .filter(|who| !present.contains_key(who))
        .collect();
    assert!(withdrawn.len() > 5, "control: some were lawful then only");
    assert!(
        found
            .iter()
            .all(|who| past.contains_key(who) && present.contains_key(who))
    );
    assert!(found.len() > 10);
    // No row without a name either: the others are gone, not masked.
    let both: BTreeSet<BTreeSet<usize>> = past
        .keys()
        .filter(|who| present.contains_key(who))
        .map(|who| oracle::component(world, *who))
        .collect();
    assert_eq!(result.rows, both.len());
    assert_eq!(
        at(now().plus_micros(1)).expect_err("the future").code(),
        "as_of_future"
    );
    // The window is that of the evaluation time: a deed after it counts for nothing.
    let seen = |session: &LawfulSession| {
        let sql = "SELECT max(last_purchase_at) AS t, max(event_time) AS e FROM members, events";
        let result = world.runtime.block_on(session.query(sql)).expect("rows");
        let bytes = result.encode(crate::format::Format::Json).expect("json");
        String::from_utf8(bytes).expect("utf-8")
    };
    let (past, present) = (seen(&session), seen(&world.open("marketing")));
    assert!(
        !past.contains("2026-08") && !past.contains("2026-09"),
        "{past}"
    );
    assert!(present.contains("2026-09-01"), "control: {present}");
}

#[test]
fn what_is_older_than_its_retention_is_gone() {
    let world = world();
    let sql = "SELECT min(event_time) AS t FROM events";
    let raw = answer(world, &ungated(world), sql).expect("control");
    let ours = world.seen("marketing", sql);
    assert!(
        raw.contains("2025-0") || raw.contains("2025-1"),
        "control: {raw}"
    );
    assert!(
        ours.contains("2025-11") || ours.contains("2025-12") || ours.contains("2026"),
        "{ours}"
    );
    // Totals too: 400 days for transactions.
    let sql = "SELECT sum(purchases_total) AS n FROM members";
    let kept = answer(world, &filtered(world, "marketing"), sql).expect("oracle");
    let for_ever = over(world, &view(world, "marketing").keeping_for_ever());
    let ever = answer(world, &for_ever, sql).expect("control");
    assert_ne!(kept, ever, "control: some purchases are older");
    assert!(world.seen("marketing", sql).contains(kept.trim()));
}

#[test]
fn small_groups_are_not_counted_and_empty_ones_not_shown() {
    let world = world();
    let lawful = lawful(world, "sales");
    let result = world
        .ask(
            "sales",
            "SELECT account_id, name, contacts FROM accounts ORDER BY account_id",
        )
        .expect("rows");
    let text = String::from_utf8(result.encode(crate::format::Format::Json).expect("json"))
        .expect("utf-8");
    assert_eq!(
        oracle::leak(&text, &oracle::denied(world, &lawful)),
        None,
        "{text}"
    );
    let mut expected = std::collections::BTreeMap::new();
    for person in &world.people {
        if let Some(account) = &person.account
            && lawful
                .get(&person.index)
                .is_some_and(|c| c.contains(&category("account")))
        {
            let members: &mut BTreeSet<BTreeSet<usize>> =
                expected.entry(account.clone()).or_default();
            members.insert(oracle::component(world, person.index));
        }
    }
    let rows: Vec<serde_json::Value> = serde_json::from_str(&text).expect("json");
    assert_eq!(rows.len(), expected.len(), "{text}");
    let small = |people: &BTreeSet<BTreeSet<usize>>| people.len() < 5;
    assert!(expected.values().any(small), "control: a small group");
    assert!(!expected.values().all(small), "control: a large group");
    for row in &rows {
        let people = expected[row["account_id"].as_str().expect("an id")].len() as u64;
        let told = row.get("contacts").and_then(serde_json::Value::as_u64);
        assert_eq!(told, (people >= 5).then_some(people), "{row}");
    }
    let contacts = world
        .ask("sales", "SELECT role FROM contacts")
        .expect("rows");
    assert_eq!(
        contacts.rows,
        expected.values().map(BTreeSet::len).sum::<usize>()
    );
}

#[test]
fn subscriptions_are_those_of_the_permitted() {
    let world = world();
    let lawful = lawful(world, "sales");
    let result = world
        .ask(
            "sales",
            "SELECT subscription_id, plan, amount FROM subscriptions",
        )
        .expect("rows");
    let expected: BTreeSet<String> = lawful
        .keys()
        .filter(|who| **who % 7 == 0)
        .map(|who| format!("s{who}"))
        .collect();
    assert!(expected.len() > 2);
    assert_eq!(texts(&result, "subscription_id"), expected);
}

#[test]
fn sensitive_properties_are_filtered_one_by_one() {
    let world = world();
    let lawful = lawful(world, "wellness");
    let seen = world.seen("wellness", "SELECT sensitive_properties FROM events");
    let mut shown = 0;
    for who in 0..world.people.len() {
        let may = lawful
            .get(&who)
            .is_some_and(|c| c.contains(&category("health")));
        let does = seen.contains(&format!("{}-symptom", Person::canary(who)));
        assert!(may || !does, "{who}");
        shown += usize::from(does);
    }
    assert!(shown > 5, "{seen}");
    // Covered for health alone, nobody sees what is biometric, or identifies, within what is of health.
    assert!(seen.contains("pulse"), "control: {seen}");
    assert!(
        !seen.contains("-print") && !seen.contains("-phone"),
        "{seen}"
    );
    let error = world
        .ask("marketing", "SELECT sensitive_properties FROM events")
        .expect_err("no health in marketing");
    assert_eq!(error.code(), "unknown_column");
}

#[test]
fn limits_end_a_query_with_an_error_and_never_with_fewer_rows() {
    let world = world();
    let with = |limits: Limits, sql: &str| {
        let engine = world.engine_within(limits);
        world.runtime.block_on(async {
            let asked = Asked {
                purpose: Some("marketing".to_owned()),
                ..Asked::default()
            };
            LawfulSession::open(&engine, &world.principal("analyst"), &asked, None)
                .await
                .expect("a session")
                .query(sql)
                .await
                .expect_err(sql)
        })
    };
    let rows = Limits {
        rows: 3,
        ..Limits::default()
    };
    assert_eq!(with(rows, "SELECT city FROM members").code(), "row_limit");
    let time = Limits {
        timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let endless =
        "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    assert_eq!(with(time, endless).code(), "timeout");
    let memory = Limits {
        memory_bytes: 64 << 10,
        ..Limits::default()
    };
    let hungry = "SELECT a.event_id, b.event_id AS o FROM events a, events b, events c ORDER BY a.event_id, b.event_id";
    assert_eq!(with(memory, hungry).code(), "memory_limit");
}

#[test]
fn now_is_the_evaluation_time() {
    let world = world();
    let seen = world.seen(
        "marketing",
        "SELECT cast(now() AS varchar) AS t, cast(current_date AS varchar) AS d",
    );
    assert!(seen.contains("2026-09-01"), "{seen}");
    let sql = "SELECT count(*) AS n FROM events WHERE event_time > now() - interval '30 days'";
    let by_hand =
        "SELECT count(*) AS n FROM events WHERE event_time > timestamp '2026-08-02T04:00:00Z'";
    assert_eq!(
        world.seen("marketing", sql),
        world.seen("marketing", by_hand)
    );
}

#[test]
fn reasons_are_counted_over_the_base_and_told_by_person_to_officers_only() {
    let world = world();
    let session = world.open("marketing");
    let officer = open(world, "officer", Some("marketing")).expect("an officer");
    let counts = world
        .runtime
        .block_on(officer.base_counts())
        .expect("counts");
    let lawful = lawful(world, "marketing");
    let members: BTreeSet<BTreeSet<usize>> = lawful
        .keys()
        .map(|who| oracle::component(world, *who))
        .collect();
    assert_eq!(counts.permitted, members.len() as u64);
    assert!(counts.denied.len() >= 3, "{counts:?}");

    let about = Asked {
        purpose: Some("marketing".to_owned()),
        ..Asked::default()
    };
    let subject = world.people[4].subject;
    let error = world
        .runtime
        .block_on(session.explain_member(subject, &about, None))
        .expect_err("an analyst");
    assert_eq!(error.code(), "officer_only");
    let officer = open(world, "officer", Some("audit")).expect("an officer");
    let told = world
        .runtime
        .block_on(officer.explain_member(subject, &about, None))
        .expect("told");
    assert_eq!(told.subjects.len(), 1);
    let verdict = &told.subjects[0].explained.evaluation.verdict;
    assert_eq!(format!("{verdict:?}"), "Denied(Withdrawn)", "{verdict:?}");
    world
        .runtime
        .block_on(session.waterfall("SELECT city FROM members"))
        .expect_err("an analyst");
    let officer = open(world, "officer", Some("marketing")).expect("an officer");
    let fall = world
        .runtime
        .block_on(officer.waterfall("SELECT city FROM members"))
        .expect("a waterfall");
    assert_eq!(fall.base, counts);
    assert!(fall.rows > 0);
}
