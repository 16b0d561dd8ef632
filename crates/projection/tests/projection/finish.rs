//! Finished columns against a naive evaluator over the events themselves: windows, recency, latest values, linked
//! subjects, looking back, masked cells.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, new_null_array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use assent_consent::{Calendar, PurposeId, SubjectId, Timestamp};
use assent_event::{AccountMembership, Behaviour, Payload, SubscriptionChange, Traits};
use assent_programme::{Measure, TraitType};
use assent_projection::members::{self, Finisher};
use assent_projection::{
    Attributes, DENIED, Groups, Snapshot, Table, accounts, contacts, denies, subscriptions, whole,
};
use assent_vault::Draft;
use serde_json::Value;

use crate::catalog::{catalog, definitions};
use crate::replay::{newest, open, settings};
use crate::story::{DAY, Room, SECOND, at, draft, story, subject};

const PEOPLE: u8 = 6;

/// Subjects 0, 1 and 2 are one member, 3 takes no part, the others are by themselves.
fn member_of(who: SubjectId) -> Option<SubjectId> {
    if (0..3).any(|number| subject(number) == who) {
        Some(subject(0))
    } else {
        (who != subject(3)).then_some(who)
    }
}

/// All columns of a batch as text, per member.
fn shown(batch: &RecordBatch) -> BTreeMap<(String, String), String> {
    let options = FormatOptions::default().with_null("∅");
    let mut shown = BTreeMap::new();
    for (index, field) in batch.schema().fields().iter().enumerate().skip(1) {
        let values = ArrayFormatter::try_new(batch.column(index).as_ref(), &options).unwrap();
        let members = ArrayFormatter::try_new(batch.column(0).as_ref(), &options).unwrap();
        for row in 0..batch.num_rows() {
            let member = members.value(row).to_string();
            shown.insert(
                (member, field.name().clone()),
                values.value(row).to_string(),
            );
        }
    }
    shown
}

fn instant(micros: i64) -> String {
    Timestamp::from_micros(micros).to_string()
}

/// What the finished columns should say, computed event by event.
fn naive(log: &[Draft], at: Timestamp) -> BTreeMap<(String, String), String> {
    let calendar = Calendar::default();
    let today = calendar.day_of(at).days();
    type Dated<'d> = Vec<(i64, [u8; 16], &'d Draft)>;
    let mut events: BTreeMap<SubjectId, Dated<'_>> = BTreeMap::new();
    for draft in log {
        if let Some(member) = member_of(draft.subject) {
            let time = draft.times.event_time.min(draft.times.received_at).micros();
            events
                .entry(member)
                .or_default()
                .push((time, draft.id.to_bytes(), draft));
        }
    }
    let mut expected = BTreeMap::new();
    for (member, mut events) in events {
        events.sort_by_key(|(time, id, _)| (*time, *id));
        let mut put = |name: &str, value: Option<String>| {
            let value = value.unwrap_or_else(|| "∅".to_owned());
            expected.insert((member.to_string(), name.to_owned()), value);
        };
        let past = |time: &i64| *time <= at.micros();
        put(
            "first_seen",
            events.first().map(|e| e.0).filter(past).map(instant),
        );
        put(
            "last_seen",
            events.last().map(|e| e.0).filter(past).map(instant),
        );
        for t in &catalog().identified {
            let mut last: Option<(i64, Option<String>)> = None;
            for (time, _, draft) in &events {
                if let Payload::Traits(traits) = &draft.payload
                    && let Some(told) = read(traits, &t.name, t.r#type)
                {
                    last = Some((*time, told));
                }
            }
            put(
                &t.name,
                last.filter(|(time, _)| past(time))
                    .and_then(|(_, told)| told),
            );
        }
        for t in &catalog().derived {
            let mut chosen = Vec::new();
            for (time, _, draft) in &events {
                let day = calendar.day_of(Timestamp::from_micros(*time)).days();
                let begins = t
                    .window_days
                    .map_or(i32::MIN, |days| today - days as i32 + 1);
                if let Payload::Behaviour(behaviour) = &draft.payload
                    && let Some(profile) = &behaviour.profile
                    && profile.name == t.event
                    && (begins..=today).contains(&day)
                {
                    chosen.push((*time, day, behaviour));
                }
            }
            let texts = |property: &str| -> Vec<String> {
                let property = property.to_owned();
                let read = chosen.iter().filter_map(move |(_, _, behaviour)| {
                    let profile = behaviour.profile.as_ref()?;
                    match property.as_str() {
                        "product" => profile.product.clone(),
                        other => {
                            let text = profile.properties.get(other)?;
                            Some(
                                serde_json::from_str::<Value>(text)
                                    .ok()?
                                    .as_str()?
                                    .to_owned(),
                            )
                        }
                    }
                });
                read.collect()
            };
            let value = match &t.measure {
                Measure::Count => Some(chosen.len().to_string()),
                Measure::Sum { property } => {
                    let mut millionths = 0_i128;
                    for (_, _, behaviour) in &chosen {
                        let profile = behaviour.profile.as_ref().unwrap();
                        let dose = behaviour.sensitive.as_ref().filter(|_| t.sensitive);
                        let amount = match property.as_str() {
                            "revenue" => profile.revenue,
                            "quantity" => profile.quantity.map(|quantity| quantity as f64),
                            _dose => dose.and_then(|dose| dose.properties["dose"].parse().ok()),
                        };
                        millionths += amount.map_or(0, |amount| (amount * 1e6).round() as i128);
                    }
                    Some(format!("{:?}", millionths as f64 / 1e6))
                }
                Measure::FirstAt => chosen.first().map(|event| instant(event.0)),
                Measure::LastAt => chosen.last().map(|event| instant(event.0)),
                Measure::DaysSinceLast => chosen.last().map(|event| (today - event.1).to_string()),
                Measure::FirstValue { property } => texts(property).first().cloned(),
                Measure::LastValue { property } => texts(property).last().cloned(),
            };
            put(&t.name, value);
        }
    }
    expected
}

/// A told trait as it is shown; the inner `None` is a trait that was cleared.
fn read(traits: &Traits, name: &str, r#type: TraitType) -> Option<Option<String>> {
    let sensitive = traits
        .sensitive
        .as_ref()
        .and_then(|block| block.values.get(name));
    let profile = traits
        .profile
        .as_ref()
        .and_then(|block| block.values.get(name));
    let value: Value = serde_json::from_str(sensitive.or(profile)?).unwrap();
    match (value, r#type) {
        (Value::Null, _) => Some(None),
        (Value::String(_), TraitType::Integer) => None,
        (Value::String(text), _) => Some(Some(text)),
        (number, TraitType::Number) => Some(Some(format!("{:?}", number.as_f64().unwrap()))),
        (other, _) => Some(Some(other.to_string())),
    }
}

async fn projected(room: &Room, log: Vec<Draft>, batch_records: usize) -> Snapshot {
    let journal = room.journal(log);
    let settings = assent_projection::Settings {
        batch_records,
        ..settings()
    };
    let mut projector = open(room, "projection", &journal, &definitions(), settings);
    projector.run_once().await.unwrap();
    newest(room, "projection")
}

fn finisher(at: Timestamp, latest: Option<Timestamp>) -> Finisher {
    Finisher::new(&catalog(), at, Calendar::default(), latest)
}

#[tokio::test]
async fn finished_columns_are_those_of_the_naive_evaluator() {
    let room = Room::new();
    let log = story(5, 500, PEOPLE, false);
    let snapshot = projected(&room, log.clone(), 40).await;
    let partials = snapshot.read(Table::Members).unwrap();
    assert!(partials.len() > 10, "several partial rows a subject");
    let groups = Groups::by_member(&partials, member_of).unwrap();
    let latest = snapshot.manifest().latest().unwrap();
    let mut windows_differ = false;
    for days in [0, 20, 50, 90, 100, 130, 400] {
        let at = at(days * DAY + 7 * SECOND);
        let finished = members::finish(&partials, &groups, &catalog(), at, Calendar::default());
        let finished = shown(&finished.unwrap());
        assert_eq!(finished, naive(&log, at), "day {days}");
        let member = subject(5).to_string();
        windows_differ |= finished[&(member.clone(), "purchases_30d".to_owned())]
            != finished[&(member, "purchases_total".to_owned())];

        // The short way, over totals, and over only the columns asked for.
        let all = finisher(at, Some(latest));
        let columns: Vec<String> = all.input_columns();
        let narrow: Vec<RecordBatch> = partials
            .iter()
            .map(|batch| {
                let indices = columns
                    .iter()
                    .map(|name| batch.schema().index_of(name).unwrap());
                batch.project(&indices.collect::<Vec<_>>()).unwrap()
            })
            .collect();
        assert_eq!(shown(&all.finish(&narrow, &groups).unwrap()), finished);
        let reads_totals = columns.contains(&"purchases_total__count".to_owned());
        assert_eq!(reads_totals, at >= latest, "day {days}");
    }
    assert!(windows_differ, "a control of the story");
}

#[tokio::test]
async fn a_window_is_the_evaluation_day_and_those_before_it() {
    let room = Room::new();
    let order = |number, time| {
        draft(
            number,
            1,
            time,
            assent_event::Behaviour::named("Order Completed"),
        )
    };
    // Shanghai is 8 hours ahead: 16:00 UTC begins a day there.
    let midnight = 16 * 3600 * SECOND;
    let log = vec![
        order(1, midnight - 1),
        order(2, midnight),
        order(3, midnight + 29 * DAY),
    ];
    let snapshot = projected(&room, log, 2).await;
    let partials = snapshot.read(Table::Members).unwrap();
    let groups = Groups::by_subject(&partials).unwrap();
    let counted = |time: i64| {
        let finisher = finisher(at(time), None).select(&["purchases_30d", "purchases_total"]);
        let shown = shown(&finisher.unwrap().finish(&partials, &groups).unwrap());
        shown
            .into_values()
            .map(|text| text.parse().unwrap())
            .collect::<Vec<u32>>()
    };
    // Day 29 after the midnight is the thirtieth day; the event a microsecond before midnight is out.
    assert_eq!(counted(midnight + 29 * DAY - 1), [2, 2]);
    assert_eq!(counted(midnight + 29 * DAY), [2, 3]);
    assert_eq!(counted(midnight + 30 * DAY), [1, 3]);
    assert_eq!(counted(midnight - DAY - 1), [0, 0]);
    assert_eq!(counted(midnight - DAY), [1, 1]);
}

#[tokio::test]
async fn masked_cells_are_neutral_and_a_wholly_masked_count_is_null() {
    let room = Room::new();
    let snapshot = projected(&room, story(6, 200, PEOPLE, false), 30).await;
    let partials = snapshot.read(Table::Members).unwrap();
    let groups = Groups::by_member(&partials, member_of).unwrap();
    let at = at(100 * DAY);
    let transaction = crate::catalog::category("transaction");
    let masked: Vec<RecordBatch> = partials
        .iter()
        .map(|batch| mask(batch, &transaction))
        .collect();
    for latest in [None, snapshot.manifest().latest()] {
        let finished = shown(&finisher(at, latest).finish(&masked, &groups).unwrap());
        let clear = shown(&finisher(at, latest).finish(&partials, &groups).unwrap());
        for ((member, name), value) in &finished {
            if catalog().derived(name).is_some() {
                assert_eq!(value, "∅", "{member} {name}");
            } else {
                assert_eq!(*value, clear[&(member.clone(), name.clone())]);
            }
        }
    }
}

/// The batch with the columns of a category null, as a reader's gate makes them.
fn mask(batch: &RecordBatch, category: &assent_consent::Category) -> RecordBatch {
    let columns = members::partial_columns(&catalog());
    let masked = columns.iter().map(|column| {
        let array = batch.column_by_name(&column.name).unwrap();
        if column.category.as_ref() == Some(category) {
            new_null_array(array.data_type(), array.len())
        } else {
            Arc::clone(array)
        }
    });
    RecordBatch::try_new(batch.schema(), masked.collect()).unwrap()
}

#[tokio::test]
async fn attributes_are_merged_one_by_one_and_the_latest_wins() {
    let room = Room::new();
    let log = vec![
        draft(
            1,
            1,
            5 * DAY,
            AccountMembership::joined("acme").name("Acme").role("buyer"),
        ),
        draft(
            2,
            1,
            7 * DAY,
            AccountMembership::joined("acme").department("IT"),
        ),
        draft(
            3,
            1,
            6 * DAY,
            AccountMembership::left("acme").name("Acme Ltd"),
        ),
        draft(
            4,
            4,
            8 * DAY,
            AccountMembership::joined("acme").country("CN").role("cook"),
        ),
        draft(
            5,
            3,
            9 * DAY,
            AccountMembership::joined("acme").name("Left out"),
        ),
        draft(6, 2, 2 * DAY, AccountMembership::left("acme").role("old")),
        draft(7, 4, 3 * DAY, status("s1", "trial")),
        draft(8, 4, 4 * DAY, status("s1", "active")),
    ];
    for batch in [1, 100] {
        let room_dir = if batch == 1 { "one by one" } else { "at once" };
        let journal = room.journal(log.clone());
        let settings = assent_projection::Settings {
            batch_records: batch,
            ..settings()
        };
        let mut projector = open(&room, room_dir, &journal, &definitions(), settings);
        projector.run_once().await.unwrap();
        let snapshot = newest(&room, room_dir);

        let rows = |table, merge: Merge, at: i64| {
            let partials = snapshot.read(table).unwrap();
            let groups = Groups::by_member(&partials, member_of).unwrap();
            lines(&merge(&partials, &groups, every_attribute(at)).unwrap())
        };
        assert_eq!(
            rows(Table::Accounts, accounts, 10 * DAY),
            ["acme|Acme Ltd|∅|∅|CN"]
        );
        // Subjects 1 and 2 are member 0; the latest told of each attribute wins, whoever of them told it.
        let mut expected = vec![
            format!("{}|acme|buyer|∅|IT|false", subject(0)),
            format!("{}|acme|cook|∅|∅|false", subject(4)),
        ];
        expected.sort();
        let mut contacted = rows(Table::Contacts, contacts, 10 * DAY);
        contacted.sort();
        assert_eq!(contacted, expected);
        let subscribed = rows(Table::Subscriptions, subscriptions, 10 * DAY);
        assert_eq!(
            subscribed,
            [format!("{}|s1|∅|active|∅|∅|∅|∅|∅", subject(4))]
        );
        // Looking back to before it was told, an attribute is null, not what an older file still holds.
        let earlier = rows(Table::Subscriptions, subscriptions, 3 * DAY);
        assert_eq!(earlier, [format!("{}|s1|∅|∅|∅|∅|∅|∅|∅", subject(4))]);
        // Only what is asked for, of whatever was read.
        let partials = snapshot.read(Table::Contacts).unwrap();
        let groups =
            Groups::by_member(&partials, |who| (who == subject(4)).then_some(who)).unwrap();
        let department = Attributes {
            wanted: &["left"],
            until: None,
        };
        let left = contacts(&partials, &groups, department).unwrap();
        assert_eq!(lines(&left), [format!("{}|acme|false", subject(4))]);
    }
}

type Merge =
    fn(&[RecordBatch], &Groups, Attributes<'_>) -> Result<RecordBatch, assent_projection::Error>;

/// Of all three tables.
fn every_attribute(at: i64) -> Attributes<'static> {
    Attributes {
        wanted: &[
            "name",
            "industry",
            "size_band",
            "country",
            "role",
            "buying_role",
            "department",
            "left",
            "plan",
            "status",
            "started_at",
            "renews_at",
            "ends_at",
            "amount",
            "currency",
        ],
        until: Some(crate::story::at(at)),
    }
}

/// Every subject's rows lie in one place: what merging would give is there already.
#[tokio::test]
async fn whole_rows_are_what_merging_gives() {
    let room = Room::new();
    let mut log = story(8, 400, PEOPLE, false);
    log.push(draft(900, 4, 3 * DAY, status("s1", "trial")));
    log.push(draft(901, 4, 4 * DAY, status("s2", "active")));
    let buyer = AccountMembership::joined("acme").role("buyer");
    log.push(draft(902, 5, 5 * DAY, buyer));
    let snapshot = projected(&room, log, 10_000).await;
    let latest = snapshot.manifest().latest();
    let without_member = |batch: RecordBatch| {
        let columns: Vec<usize> = (1..batch.num_columns()).collect();
        batch.project(&columns).unwrap()
    };

    // A file a shard, no subject in two of them, and of each subject the row without a stamp.
    let (mut people, mut timed) = (0, BTreeSet::new());
    for members in snapshot.read(Table::Members).unwrap() {
        let stamps = members.column_by_name(DENIED).unwrap().as_string::<i32>();
        let unstamped: BooleanArray = stamps.iter().map(|stamp| Some(stamp == Some(""))).collect();
        let members = [filter_record_batch(&members, &unstamped).unwrap()];
        let groups = Groups::by_subject(&members).unwrap();
        assert_eq!(members[0].num_rows(), groups.members().len());
        people += members[0].num_rows();
        for days in [0, 20, 50, 90, 130] {
            let at = at(days * DAY + 7 * SECOND);
            for finisher in [
                finisher(at, latest),
                finisher(at, None),
                finisher(at, latest).by_days(),
            ] {
                let merged = finisher.finish(&members, &groups).unwrap();
                let needed = finisher.value_columns();
                assert!(!needed.iter().any(|name| name.ends_with("__by")));
                timed.insert(needed.contains(&"city__at".to_owned()));
                let schema = members[0].schema();
                let needed = needed.iter().map(|name| schema.index_of(name).unwrap());
                let rows = members[0].project(&needed.collect::<Vec<_>>()).unwrap();
                let whole = finisher.finish_whole(&rows).unwrap();
                assert_eq!(whole, without_member(merged), "day {days}");
            }
        }
    }
    assert_eq!(people, usize::from(PEOPLE));
    assert_eq!(
        timed.len(),
        2,
        "times are read only when something is later"
    );

    for (table, merge) in [
        (Table::Contacts, contacts as Merge),
        (Table::Subscriptions, subscriptions as Merge),
    ] {
        for rows in snapshot.read(table).unwrap() {
            let rows = [rows];
            let groups = Groups::by_subject(&rows).unwrap();
            for day in [3, 200] {
                let attributes = every_attribute(day * DAY);
                let merged = merge(&rows, &groups, attributes).unwrap();
                let found = whole(table, &rows[0], attributes).unwrap();
                assert!(found.num_rows() > 0);
                assert_eq!(found, without_member(merged), "{table}, day {day}");
            }
        }
    }
}

fn status(subscription: &str, status: &str) -> SubscriptionChange {
    let mut change = SubscriptionChange::of(subscription);
    if let Some(profile) = &mut change.profile {
        profile.status = Some(status.to_owned());
    }
    change
}

fn lines(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("∅");
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
        .collect();
    (0..batch.num_rows())
        .map(|row| {
            let cells: Vec<String> = columns.iter().map(|c| c.value(row).to_string()).collect();
            cells.join("|")
        })
        .collect()
}

/// As a reader's gate does: rows with a stamp that denies the purpose are left out before the others are merged.
#[tokio::test]
async fn what_a_stamp_denies_can_be_left_out_afterwards() {
    let room = Room::new();
    let bought = || Behaviour::named("Order Completed").revenue(10.0, "CNY");
    let log = vec![
        draft(1, 4, DAY, bought()),
        draft(2, 4, 2 * DAY, bought().denied(["marketing"])),
        draft(3, 4, 3 * DAY, bought().denied(["ads", "marketing"])),
        draft(4, 5, 2 * DAY, bought().denied(["marketing"])),
    ];
    let snapshot = projected(&room, log, 10).await;
    let (ads, marketing) = ("ads".parse().unwrap(), "marketing".parse().unwrap());
    for (purpose, expected) in [
        (&ads, vec![(4, 2), (5, 1)]),
        (&marketing, vec![(4, 1)]),
        (&"service".parse().unwrap(), vec![(4, 3), (5, 1)]),
    ] {
        let lineage: Vec<&PurposeId> = vec![purpose];
        for table in [Table::Members, Table::Events] {
            let kept: Vec<RecordBatch> = snapshot
                .read(table)
                .unwrap()
                .iter()
                .map(|batch| {
                    let denied = batch.column_by_name(DENIED).unwrap().as_string::<i32>();
                    let kept = denied
                        .iter()
                        .map(|text| Some(!denies(text.unwrap(), &lineage)));
                    filter_record_batch(batch, &BooleanArray::from_iter(kept)).unwrap()
                })
                .collect();
            if table == Table::Events {
                let rows: i64 = kept.iter().map(|batch| batch.num_rows() as i64).sum();
                assert_eq!(rows, expected.iter().map(|(_, count)| count).sum::<i64>());
                continue;
            }
            let groups = Groups::by_subject(&kept).unwrap();
            let finisher = finisher(at(5 * DAY), None)
                .select(&["purchases_total"])
                .unwrap();
            let finished = finisher.finish(&kept, &groups).unwrap();
            let counts = finished
                .column(1)
                .as_primitive::<Int64Type>()
                .values()
                .to_vec();
            let who = groups.members().iter().copied();
            let mut found: Vec<(SubjectId, i64)> = who.zip(counts).collect();
            found.sort();
            let mut expected: Vec<_> = expected
                .iter()
                .map(|(who, count)| (subject(*who), *count))
                .collect();
            expected.sort();
            assert_eq!(found, expected, "{purpose}");
        }
    }
}

#[tokio::test]
async fn nothing_projected_finishes_to_nothing() {
    let room = Room::new();
    let snapshot = projected(&room, Vec::new(), 10).await;
    let partials = snapshot.read(Table::Members).unwrap();
    let groups = Groups::by_subject(&partials).unwrap();
    let finished = finisher(at(0), None).finish(&partials, &groups).unwrap();
    assert_eq!(finished.num_rows(), 0);
    assert_eq!(
        accounts(&[], &groups, every_attribute(0))
            .unwrap()
            .num_rows(),
        0
    );
    assert_eq!(
        contacts(&[], &groups, every_attribute(0))
            .unwrap()
            .num_rows(),
        0
    );
}
