//! Segments that are kept: how many members three of them share, ÷ the same count by their SQL.
//!
//! Both sides ask through the gate and keep the record of the use durable. The first side is asked twice a round: as it
//! is, and right after somebody withdrew, whom it must leave out then. `ASSENT_BENCH_MEMBERS` asks for another number of
//! members, each in a city and a tier, of whom 60 of 100 granted.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::consented::GRANTED;
use crate::house::{House, Opening, repository};
use crate::measure::{measured, ratio, spread};
use crate::population::{BATCH, asked_for, customer, introduce, mixed};

const MEMBERS: u64 = 200_000;
const ROUNDS: usize = 7;
const USE: &str = "email_marketing/email";
/// Each of them holds most members.
const SEGMENTS: [(&str, &str); 3] = [
    ("bench_city", "city IN ('杭州', '上海', '苏州')"),
    ("bench_tier", "tier IN ('青叶', '银毫')"),
    ("bench_elsewhere", "city <> '绍兴'"),
];

pub(crate) async fn run() {
    let members = asked_for(MEMBERS);
    let programme = tempfile::tempdir().expect("a directory");
    write_programme(programme.path());
    let house = Opening {
        programme: programme.path().to_owned(),
        ..Opening::sample()
    };
    let house = house.open().await;
    introduce(&house, members).await;
    decide(&house, (0..members).filter(has_granted), "granted").await;
    house.project_to_rest().await;

    let names = SEGMENTS.map(|(name, _)| name.to_owned());
    let mut kept = Vec::new();
    for name in &names {
        let session = house.for_segment(name).await;
        kept.push(session.refresh_segment(name).await.expect("kept"));
    }
    println!(
        "{members} members, {GRANTED} % granted; segments of {} kept; {ROUNDS} rounds",
        kept.iter()
            .map(u64::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    );
    let all = SEGMENTS.map(|(_, holds)| holds).join(" AND ");
    let by_sql = format!("SELECT count(*) FROM members WHERE {all}");
    let combined = SEGMENTS.map(|(name, _)| format!("in_segment('{name}')"));
    let combined = format!(
        "SELECT count(*) FROM members WHERE {}",
        combined.join(" AND ")
    );

    let mut withdrawing = (0..members).filter(has_granted);
    let (mut still, mut changed, mut in_sql) = (Vec::new(), Vec::new(), Vec::new());
    let mut milliseconds = Vec::new();
    for round in 0..=ROUNDS {
        let one = withdrawing.next().expect("more members than rounds");
        decide(&house, std::iter::once(one), "withdrawn").await;
        // Opening a session takes what changed into its set of verdicts, whatever it is asked then.
        let session = house.for_segment(&names[0]).await;
        let (after, overlap) =
            measured(async || session.segment_overlap(&names).await.expect("counted")).await;
        let (again, _) =
            measured(async || session.segment_overlap(&names).await.expect("counted")).await;
        let (sql, counted) = measured(async || count(&house, &by_sql).await).await;
        let (in_segment, found) = measured(async || count(&house, &combined).await).await;
        let overlap = overlap.last().expect("all three").members;
        assert_eq!((overlap, found), (counted, counted), "one answer");
        // The first round makes plans and bitmaps.
        if round > 0 {
            still.push((again.wall, sql.wall));
            changed.push((after.wall, sql.wall));
            in_sql.push((in_segment.wall, sql.wall));
            milliseconds.push(again.wall * 1_000.0);
        }
    }
    println!("\n| wall time ÷ the same count by SQL | |\n|---|---|");
    println!("| overlap of three segments | {} |", precise(&still));
    println!("| the first after a withdrawal | {} |", precise(&changed));
    println!(
        "| a query with three times in_segment | {} |",
        ratio(&in_sql)
    );
    let (least, median, greatest) = spread(milliseconds);
    println!("\nan overlap of three took {median:.2} ms ({least:.2}–{greatest:.2})");
}

/// As [`ratio`], for small ones.
fn precise(pairs: &[(f64, f64)]) -> String {
    let (least, median, greatest) = spread(pairs.iter().map(|(a, b)| a / b).collect());
    format!("{median:.4} ({least:.4}–{greatest:.4})")
}

fn has_granted(member: &u64) -> bool {
    mixed(member ^ 0xe3a1) % 100 < GRANTED
}

async fn count(house: &House, sql: &str) -> u64 {
    let rows = house.rows(USE, sql).await;
    rows[0][0].as_u64().expect("a count")
}

async fn decide(house: &House, members: impl Iterator<Item = u64>, state: &str) {
    let act = match state {
        "granted" => "checkbox_ticked",
        _ => "unsubscribe_clicked",
    };
    let mut members = members.peekable();
    while members.peek().is_some() {
        let batch = members.by_ref().take(usize::try_from(BATCH).unwrap_or(1));
        let batch = batch.map(|member| {
            json!({
                "subject": { "customer_no": customer(member) }, "purpose": "email_marketing", "state": state, "act": act,
                "notice": { "id": "membership", "version": 2 },
            })
        });
        house.decide(Value::Array(batch.collect())).await;
    }
}

/// The sample programme with the segments.
fn write_programme(into: &Path) {
    copy(&repository().join("pipelines"), into);
    for (name, holds) in SEGMENTS {
        let mut text = format!("-- For a benchmark.\nCREATE SEGMENT {name}\n");
        let _ = write!(
            text,
            "  FOR PURPOSE email_marketing CHANNEL email\n  AS SELECT member_id FROM members WHERE {holds};\n"
        );
        let file = into.join("segments").join(format!("{name}.sql"));
        std::fs::write(file, text).expect("written");
    }
}

fn copy(from: &Path, into: &Path) {
    for entry in std::fs::read_dir(from).expect("a folder") {
        let (entry, into) = (entry.expect("an entry").path(), into.to_owned());
        let into = into.join(entry.file_name().expect("a name"));
        if entry.is_dir() {
            std::fs::create_dir(&into).expect("a new folder");
            copy(&entry, &into);
        } else {
            std::fs::copy(&entry, &into).expect("copied");
        }
    }
}
