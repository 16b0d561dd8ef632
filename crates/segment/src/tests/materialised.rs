//! Materialised segments: nobody is in one who may not be, at once; and what the membership topic tells, folded, is who is
//! in it.

use std::collections::BTreeSet;
use std::sync::Arc;

use assent_consent::{PurposeId, SubjectId, Timestamp};
use assent_event::{
    ConsentDecision, Envelope, EventId, IdentityLink, Payload, SegmentChangeClear, Times, topics,
};
use assent_journal::{Journal, ReadLimit, Topic};
use assent_programme::SegmentDefinition;
use assent_vault::Draft;
use serde_json::json;

use super::world::{World, days_ago, decide, fresh, now, programme::programme};
use crate::{Engine, ErrorKind, Limits, SegmentIds, check_segment};

/// Somebody alone, lawful for all that marketing may read, from whom something was bought.
fn buyers_alone(world: &World) -> Vec<usize> {
    let found = ids(
        world,
        "SELECT member_id FROM members WHERE purchases_total >= 1",
    );
    let alone = (24..59).filter(|who| found.contains(&world.people[*who].subject.to_string()));
    alone.collect()
}

fn ids(world: &World, sql: &str) -> BTreeSet<String> {
    let result = world.ask("marketing", sql).expect("rows");
    SegmentIds::of(&result)
        .expect("ids")
        .ids
        .into_iter()
        .collect()
}

fn held(world: &World, name: &str) -> BTreeSet<String> {
    ids(
        world,
        &format!("SELECT member_id FROM members WHERE in_segment('{name}')"),
    )
}

fn run(world: &World, name: &str) -> BTreeSet<String> {
    let session = world.for_segment(name);
    let result = world
        .runtime
        .block_on(session.run_segment(name))
        .expect("a run");
    SegmentIds::of(&result)
        .expect("ids")
        .ids
        .into_iter()
        .collect()
}

fn keep(world: &World) {
    world
        .runtime
        .block_on(world.engine.keep_segments())
        .expect("kept");
}

/// What was told of a segment, in the order of steps, each with the member.
fn told(world: &World, name: &str) -> Vec<(SubjectId, SegmentChangeClear)> {
    let topic = Topic::new(topics::MEMBERSHIP);
    let journal = &world.house.journal;
    let mut found = Vec::new();
    for partition in 0..journal.partitions(&topic).expect("partitions") {
        let read = journal.read(&topic, partition, 0, ReadLimit::default());
        for stored in world.runtime.block_on(read).expect("changes").records {
            let envelope = Envelope::decode(&stored.value).expect("an envelope");
            assert_eq!(&stored.key[..], envelope.subject.as_bytes());
            match envelope.clear_payload().expect("a change") {
                Payload::SegmentChange(change) if change.clear.segment == name => {
                    found.push((envelope.subject, change.clear));
                }
                Payload::SegmentChange(_) => {}
                other => panic!("{:?} on the membership topic", other.kind()),
            }
        }
    }
    found.sort_by_key(|(_, change)| change.step);
    found
}

/// Who is in a segment for one who only reads the topic.
fn folded(world: &World, name: &str) -> BTreeSet<String> {
    let mut members = BTreeSet::new();
    for (member, change) in told(world, name) {
        let changed = match change.entered {
            true => members.insert(member.to_string()),
            false => members.remove(&member.to_string()),
        };
        assert!(changed, "nobody enters or leaves twice: {change:?}");
    }
    members
}

fn last_cause(world: &World, name: &str, who: usize) -> (bool, String) {
    let subject = world.people[who].subject;
    let told = told(world, name).into_iter().rev();
    let (_, last) = told
        .into_iter()
        .find(|(member, _)| *member == subject)
        .expect("told of");
    assert_eq!(last.purpose, "marketing");
    (last.entered, last.cause)
}

fn counts(world: &World, name: &str) -> (u64, usize, usize) {
    let session = world.for_segment(name);
    let diff = world
        .runtime
        .block_on(session.segment_diff(name))
        .expect("a diff");
    (diff.stayed, diff.entered.len(), diff.left_by_query.len())
}

fn id(world: &World, who: usize) -> String {
    world.people[who].subject.to_string()
}

#[test]
fn a_segment_kept_is_what_its_run_found() {
    let world = fresh();
    let sql = "SELECT count(*) FROM members WHERE in_segment('buyers')";
    let error = world.ask("marketing", sql).expect_err("never run");
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Invalid, "segment_not_run")
    );
    let found = run(&world, "buyers");
    assert!(found.len() > 5);
    assert_eq!(held(&world, "buyers"), found);
    assert_eq!(folded(&world, "buyers"), found);
    assert_eq!(counts(&world, "buyers"), (0, found.len(), 0));
    assert_eq!(run(&world, "buyers"), found);
    assert_eq!(counts(&world, "buyers"), (found.len() as u64, 0, 0));
    assert_eq!(folded(&world, "buyers"), found, "nothing is told twice");
    // By the column that is written, of a join, and negated.
    let joined = "SELECT DISTINCT e.member_id FROM members m JOIN events e ON m.member_id = e.member_id \
                  WHERE in_segment('buyers', e.member_id)";
    assert!(ids(&world, joined).is_subset(&found) && !ids(&world, joined).is_empty());
    let all = ids(&world, "SELECT member_id FROM members");
    let others = ids(
        &world,
        "SELECT member_id FROM members WHERE NOT in_segment('buyers')",
    );
    assert_eq!(
        all.difference(&found).cloned().collect::<BTreeSet<_>>(),
        others
    );
    let quoted = "SELECT member_id FROM members WHERE \"in_segment\"('buyers', member_id)";
    assert_eq!(ids(&world, quoted), found);
    // A process that comes later reads the same from what is stored.
    let later = world.engine_within(crate::Limits::default());
    let overlap = world.runtime.block_on(async {
        let analyst = world.principal("analyst");
        let session = crate::LawfulSession::for_segment(&later, &analyst, "buyers", None);
        let session = session.await.expect("a session");
        session
            .segment_overlap(&["buyers".to_owned()])
            .await
            .expect("an overlap")
    });
    assert_eq!(overlap[0].members, found.len() as u64);
}

#[test]
fn whoever_may_not_be_in_a_segment_is_out_at_once_and_told() {
    let world = fresh();
    let alone = buyers_alone(&world);
    let [withdraws, narrows, links, other] = alone[..4] else {
        panic!("{} are too few", alone.len())
    };
    let found = run(&world, "buyers");
    // Whoever stands is remembered from here on, and only what changes is looked at.
    assert_eq!(held(&world, "buyers"), found);
    decide(&world, withdraws, ConsentDecision::withdrawn("marketing"));
    decide(&world, narrows, ConsentDecision::withdrawn("marketing"));
    let narrower = ConsentDecision::granted("marketing").categories(["profile", "behaviour"]);
    decide(&world, narrows, narrower);
    link(&world, links, other);
    let all = ids(&world, "SELECT member_id FROM members");
    assert!(
        all.contains(&id(&world, narrows)),
        "control: lawful for less"
    );
    // The member of both is the one with the smaller id, who was found by itself.
    let merged = id(&world, links).max(id(&world, other));
    let mut expected = found.clone();
    for gone in [id(&world, withdraws), id(&world, narrows), merged.clone()] {
        assert!(expected.remove(&gone), "control: {gone} was in it");
    }
    assert_eq!(held(&world, "buyers"), expected, "before anything was told");
    assert_eq!(folded(&world, "buyers"), found);
    keep(&world);
    assert_eq!(folded(&world, "buyers"), expected);
    assert_eq!(
        last_cause(&world, "buyers", withdraws),
        (false, "consent".to_owned())
    );
    assert_eq!(
        last_cause(&world, "buyers", narrows),
        (false, "consent".to_owned())
    );
    let linked = if merged == id(&world, links) {
        links
    } else {
        other
    };
    assert_eq!(
        last_cause(&world, "buyers", linked),
        (false, "identity".to_owned())
    );
    let before = told(&world, "buyers").len();
    keep(&world);
    assert_eq!(told(&world, "buyers").len(), before, "told once");

    // Whoever comes back waits for the next run: others were told that they are out.
    decide(&world, withdraws, ConsentDecision::granted("marketing"));
    assert_eq!(held(&world, "buyers"), expected);
    let again = run(&world, "buyers");
    assert!(again.contains(&id(&world, withdraws)));
    assert_eq!(held(&world, "buyers"), again);
    assert_eq!(folded(&world, "buyers"), again);
    assert_eq!(
        last_cause(&world, "buyers", withdraws),
        (true, "query".to_owned())
    );
}

#[test]
fn whoever_withdraws_while_a_segment_runs_is_not_told_as_having_entered() {
    let world = fresh();
    let who = buyers_alone(&world)[0];
    let session = world.for_segment("buyers");
    decide(&world, who, ConsentDecision::withdrawn("marketing"));
    let result = world.runtime.block_on(session.run_segment("buyers"));
    let found = SegmentIds::of(&result.expect("a run")).expect("ids").ids;
    assert!(
        found.contains(&id(&world, who)),
        "control: the session stands where it was opened"
    );
    let kept = held(&world, "buyers");
    assert_eq!(kept.len(), found.len() - 1);
    assert_eq!(folded(&world, "buyers"), kept);
}

#[test]
fn a_segment_with_more_members_than_an_answer_may_have_is_kept_by_a_refresh() {
    let world = fresh();
    let limits = |rows, export_rows| Limits {
        rows,
        bytes: 50,
        export_rows,
        ..Limits::default()
    };
    let at = |engine: &Arc<Engine>, name: &str, back: Option<Timestamp>| {
        world.runtime.block_on(async {
            let analyst = world.principal("analyst");
            let session = crate::LawfulSession::for_segment(engine, &analyst, name, back);
            let session = session.await.expect("a session");
            let run = session.run_segment(name).await;
            (run, session.refresh_segment(name).await)
        })
    };
    let engine = world.engine_within(limits(3, 1_000));
    let (run, refreshed) = at(&engine, "buyers", None);
    assert_eq!(run.expect_err("too many to show").code(), "row_limit");
    let found = ids(
        &world,
        "SELECT member_id FROM members WHERE purchases_total >= 1",
    );
    assert!(found.len() > 3);
    assert_eq!(refreshed.expect("not too many"), found.len() as u64);
    assert_eq!(held(&world, "buyers"), found);
    assert_eq!(folded(&world, "buyers"), found);

    let code = |(_, refreshed): (_, crate::Result<u64>)| refreshed.expect_err("refused").code();
    assert_eq!(code(at(&engine, "firms", None)), "segment_of_accounts");
    let back = Some(days_ago(1));
    assert_eq!(code(at(&engine, "buyers", back)), "segment_looking_back");
    let few = world.engine_within(limits(3, 3));
    assert_eq!(code(at(&few, "buyers", None)), "row_limit");
    let uses = super::sessions::uses(&world).into_iter();
    let outcomes: Vec<(Option<String>, String)> = uses
        .map(|(record, _)| record)
        .filter(|record| record.operation == "refresh")
        .map(|record| (record.segment, record.outcome))
        .collect();
    let outcomes: Vec<_> = outcomes
        .iter()
        .map(|(segment, outcome)| (segment.as_deref().unwrap_or_default(), outcome.as_str()))
        .collect();
    let expected = [
        ("buyers", "answered"),
        ("buyers", "failed: row_limit"),
        ("firms", "failed: segment_of_accounts"),
    ];
    assert_eq!(
        BTreeSet::from_iter(outcomes.iter().copied()),
        BTreeSet::from(expected)
    );
    assert_eq!(outcomes.len(), 3);
}

#[test]
fn a_segment_of_another_purpose_since_is_nobody_elses() {
    let world = fresh();
    let found = run(&world, "buyers");
    let mut other = programme();
    other.segments.retain(|segment| segment.name != "buyers");
    let mut moved = segment(
        "buyers",
        "SELECT member_id FROM members WHERE city IS NOT NULL",
    );
    moved.purpose = PurposeId::parse("wellness").expect("a purpose");
    other.segments.push(moved);
    world.runtime.block_on(world.house.redefine(&other, now()));
    let session = world.for_segment("buyers");
    let compared = world.runtime.block_on(session.segment_diff("buyers"));
    assert_eq!(
        compared.expect_err("of marketing").code(),
        "segment_outdated"
    );
    let again = run(&world, "buyers");
    let told = told(&world, "buyers");
    let of = |purpose: &str, entered: bool| -> BTreeSet<String> {
        let of = told.iter().filter(|(_, change)| change.purpose == purpose);
        let of = of.filter(|(_, change)| change.entered == entered);
        of.map(|(member, _)| member.to_string()).collect()
    };
    assert_eq!(
        (of("marketing", true), of("marketing", false)),
        (found.clone(), found)
    );
    assert_eq!(
        (of("wellness", true), of("wellness", false)),
        (again.clone(), BTreeSet::new())
    );
    let session = world.for_segment("buyers");
    let diff = world
        .runtime
        .block_on(session.segment_diff("buyers"))
        .expect("a diff");
    assert_eq!(
        (diff.before, diff.stayed, diff.entered.len()),
        (None, 0, again.len())
    );
}

#[test]
fn what_nobody_told_is_told_again_under_the_same_ids() {
    let world = fresh();
    let found = run(&world, "buyers");
    let folder = world.house.profiles().join("segments");
    let step = |kind| folder.join(format!("buyers.{:020}.{kind}", 1));
    std::fs::remove_file(step("told")).expect("it was told");
    let created = step("step")
        .metadata()
        .and_then(|step| step.modified())
        .expect("a time");
    let created = created
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a time")
        .as_micros();
    let created = Timestamp::from_micros(i64::try_from(created).expect("a time"));
    let minute = 60_000_000;
    world.clock.set(created.plus_micros(minute / 2));
    keep(&world);
    let entered = |told: Vec<(SubjectId, SegmentChangeClear)>| {
        told.iter().filter(|(_, one)| one.entered).count()
    };
    assert_eq!(
        entered(told(&world, "buyers")),
        found.len(),
        "whoever made it may still be at it"
    );
    world.clock.set(created.plus_micros(2 * minute));
    keep(&world);
    assert!(step("told").exists());
    assert_eq!(entered(told(&world, "buyers")), 2 * found.len());
    assert_eq!(ids_told(&world), found.len(), "an id for each change");
}

/// How many ids the events have by which somebody entered.
fn ids_told(world: &World) -> usize {
    let topic = Topic::new(topics::MEMBERSHIP);
    let journal = &world.house.journal;
    let mut ids = BTreeSet::new();
    for partition in 0..journal.partitions(&topic).expect("partitions") {
        let read = journal.read(&topic, partition, 0, ReadLimit::default());
        for stored in world.runtime.block_on(read).expect("changes").records {
            let envelope = Envelope::decode(&stored.value).expect("an envelope");
            if let Payload::SegmentChange(change) = envelope.clear_payload().expect("a change")
                && change.clear.entered
            {
                ids.insert(envelope.id);
            }
        }
    }
    ids.len()
}

#[test]
fn steps_that_are_no_longer_needed_go() {
    let world = fresh();
    let alone = buyers_alone(&world);
    run(&world, "buyers");
    for who in &alone[..4] {
        decide(&world, *who, ConsentDecision::withdrawn("marketing"));
        keep(&world);
    }
    let steps = || {
        let folder = world.house.profiles().join("segments");
        let names = folder
            .read_dir()
            .expect("a folder")
            .map(|file| file.expect("a file").file_name());
        let names = names.filter(|name| name.to_string_lossy().ends_with(".step"));
        names.count()
    };
    assert_eq!(steps(), 2, "the run, and all who left since");
    let left = held(&world, "buyers");
    assert_eq!(folded(&world, "buyers"), left);
    let later = world.engine_within(crate::Limits::default());
    world
        .runtime
        .block_on(later.keep_segments())
        .expect("nothing to do");
    assert_eq!(run(&world, "buyers"), left);
    assert_eq!(run(&world, "buyers"), left);
    assert_eq!(steps(), 2, "the last two runs");
}

fn link(world: &World, one: usize, other: usize) {
    let at = world.clock.tick();
    let mut id = [0xDD; 16];
    id[8..].copy_from_slice(&at.micros().to_be_bytes());
    let id = EventId::from_bytes(id);
    let other = world.people[other].subject;
    let draft = Draft {
        id,
        subject: world.people[one].subject,
        source: "shop".to_owned(),
        message_id: id.to_string(),
        times: Times::at(at),
        payload: Payload::IdentityLink(IdentityLink::linked(other)),
    };
    world.runtime.block_on(world.house.tell(vec![draft]));
}

#[test]
fn between_runs_it_is_told_who_left_and_by_what() {
    let world = fresh();
    let alone = buyers_alone(&world);
    let all = run(&world, "buyers");
    for who in &alone[..3] {
        decide(&world, *who, ConsentDecision::withdrawn("marketing"));
    }
    run(&world, "buyers");
    let (analyst, officer) = (world.principal("analyst"), world.principal("officer"));
    let by_consent = |principal: &assent_programme::Principal| {
        world.runtime.block_on(async {
            let session =
                crate::LawfulSession::for_segment(&world.engine, principal, "buyers", None);
            let session = session.await.expect("a session");
            let diff = session.segment_diff("buyers").await.expect("a diff");
            assert_eq!((diff.stayed, diff.before), (all.len() as u64 - 3, Some(1)));
            assert!(diff.entered.is_empty() && diff.left_by_query.is_empty());
            diff.left_by_consent
        })
    };
    assert_eq!(by_consent(&analyst), 0, "fewer than k are not told");
    assert_eq!(by_consent(&officer), 3);
}

fn segment(name: &str, query: &str) -> SegmentDefinition {
    serde_json::from_value(json!({
        "name": name, "version": 0, "purpose": "marketing", "channel": null, "recipient": null,
        "description": "", "query": query, "query_line": 3, "query_column": 6,
    }))
    .expect("a segment")
}

#[test]
fn segments_build_on_each_other_within_one_use() {
    let world = fresh();
    let mut more = programme();
    more.segments.push(segment(
        "rich",
        "SELECT member_id FROM members WHERE ltv > 7020000",
    ));
    let both = "SELECT member_id FROM members WHERE in_segment('buyers') AND in_segment('rich')";
    more.segments.push(segment("both", both));
    world.runtime.block_on(world.house.redefine(&more, now()));
    let (buyers, rich) = (run(&world, "buyers"), run(&world, "rich"));
    let both: BTreeSet<String> = buyers.intersection(&rich).cloned().collect();
    assert!(!both.is_empty() && both.len() < buyers.len());
    assert_eq!(run(&world, "both"), both);
    let session = world.for_segment("buyers");
    let names = ["buyers", "rich"].map(str::to_owned);
    let overlap = world
        .runtime
        .block_on(session.segment_overlap(&names))
        .expect("an overlap");
    let overlap: Vec<(u64, u64)> = overlap.iter().map(|one| (one.members, one.only)).collect();
    let count = |ids: &BTreeSet<String>| ids.len() as u64;
    let uses = super::sessions::uses(&world)
        .into_iter()
        .map(|(record, _)| record);
    let overlaid = uses.filter(|record| record.operation == "overlap");
    let overlaid: BTreeSet<_> = overlaid.filter_map(|record| record.segment).collect();
    assert_eq!(overlaid, BTreeSet::from(names));
    let expected = [
        (count(&buyers), count(&buyers) - count(&both)),
        (count(&rich), count(&rich) - count(&both)),
        (count(&both), count(&both)),
    ];
    assert_eq!(overlap, expected);

    for (purpose, sql, code) in [
        (
            "wellness",
            "SELECT 1 FROM members WHERE in_segment('buyers')",
            "other_purpose",
        ),
        (
            "marketing",
            "SELECT 1 FROM members WHERE in_segment('patients')",
            "other_purpose",
        ),
        (
            "marketing",
            "SELECT 1 FROM members WHERE in_segment(city)",
            "in_segment_name",
        ),
        ("marketing", "SELECT in_segment()", "in_segment_name"),
    ] {
        assert_eq!(
            world.ask(purpose, sql).expect_err(sql).code(),
            code,
            "{sql}"
        );
    }
    let back = world.open_as_of("marketing", Some(days_ago(1)));
    let back = back.query("SELECT 1 FROM members WHERE in_segment('buyers')");
    let error = world.runtime.block_on(back).expect_err("looks back");
    assert_eq!(error.code(), "segment_looking_back");
    let registry = world.house.permit.registry();
    let other = segment(
        "tried",
        "SELECT member_id FROM members WHERE in_segment('patients')",
    );
    assert_eq!(
        check_segment(&registry, &other)
            .expect_err("refused")
            .code(),
        "other_purpose"
    );

    // Defined anew it must run anew; removed, everybody is out.
    more.segments
        .retain(|segment| segment.name != "both" && segment.name != "rich");
    more.segments.push(segment(
        "rich",
        "SELECT member_id FROM members WHERE ltv > 0",
    ));
    world.runtime.block_on(world.house.redefine(&more, now()));
    let stale = world.ask(
        "marketing",
        "SELECT 1 FROM members WHERE in_segment('rich')",
    );
    assert_eq!(stale.expect_err("outdated").code(), "segment_outdated");
    assert_eq!(folded(&world, "both"), both);
    keep(&world);
    assert!(folded(&world, "both").is_empty());
    assert_eq!(
        told(&world, "both")
            .last()
            .map(|(_, change)| change.cause.as_str()),
        Some("removed")
    );
    assert_eq!(
        folded(&world, "rich"),
        rich,
        "it is in force, if by an older definition"
    );
}

#[test]
fn a_damaged_step_is_named_nothing_is_answered_and_a_run_begins_anew() {
    let world = fresh();
    run(&world, "buyers");
    let folder = world.house.profiles().join("segments");
    let step = folder.join(format!("buyers.{:020}.step", 1));
    let mut bytes = std::fs::read(&step).expect("the step");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&step, bytes).expect("damaged");
    // Told, but not marked as told.
    std::fs::remove_file(step.with_extension("told")).expect("the mark");
    // Another process, which does not know it yet.
    let later = world.engine_within(crate::Limits::default());
    let error = world.runtime.block_on(async {
        let analyst = world.principal("analyst");
        let session = crate::LawfulSession::for_segment(&later, &analyst, "buyers", None);
        let sql = "SELECT 1 FROM members WHERE in_segment('buyers')";
        session
            .await
            .expect("a session")
            .query(sql)
            .await
            .expect_err("damaged")
    });
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Corrupt, "segment_step")
    );
    assert!(error.message().contains("segments/buyers.0"), "{error}");
    let who = buyers_alone(&world)[0];
    decide(&world, who, ConsentDecision::withdrawn("marketing"));
    let refreshed = world.runtime.block_on(async {
        let analyst = world.principal("analyst");
        let kept = later.keep_segments().await.expect_err("damaged");
        assert_eq!(kept.code(), "segment_step");
        let session = crate::LawfulSession::for_segment(&later, &analyst, "buyers", None);
        let session = session.await.expect("a session");
        session.refresh_segment("buyers").await
    });
    assert!(!step.exists());
    let members = held(&world, "buyers");
    assert_eq!(refreshed.expect("it begins anew"), members.len() as u64);
    assert!(!members.is_empty() && !members.contains(&id(&world, who)));
    assert_eq!(folded(&world, "buyers"), members);
    assert_eq!(
        last_cause(&world, "buyers", who),
        (false, "consent".to_owned())
    );
    let told_before = told(&world, "buyers").len();
    world
        .runtime
        .block_on(later.keep_segments())
        .expect("it reads");
    run(&world, "buyers");
    assert_eq!(told(&world, "buyers").len(), told_before);
}
