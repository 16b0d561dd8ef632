//! The gate: a lawful query ÷ the same query without the gate, on the same engine.
//!
//! "Without the gate" is what a platform without one would have: the finished rows of *all* members in ordinary Parquet
//! files (zstd, sorted by member), read by plain DataFusion with its default pruning and as many partitions. The lawful
//! side pays for everything: barrier, permit set, planning, the scan, and the durable record of the use.
//!
//! Twice: as a projector leaves the profiles that has nothing more to fold, and after some members changed since.

use std::path::Path;
use std::sync::Arc;

use assent_intake::Route;
use assent_segment::QueryResult;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};

use crate::house::{House, Opening, SERVER_KEY};
use crate::measure::{measured, ratio};
use crate::population::{BATCH, call, customer, introduce, mixed};

const MEMBERS: u64 = 100_000;
const EVENTS: u64 = 1_000_000;
/// Of a hundred members so many granted.
const GRANTED: u64 = 60;
/// Of a hundred members so many change after that.
const CHANGED: u64 = 5;
const ROUNDS: usize = 7;
const USE: &str = "account_based_marketing/email";
const DUTY: &str = "rights_handling";

pub(crate) async fn run() {
    let house = Opening::sample().open().await;
    fill(&house).await;
    house.project_to_rest().await;
    println!(
        "{MEMBERS} members, {EVENTS} events, {GRANTED} % granted, {ROUNDS} rounds, lawful ÷ ungated"
    );
    compare(&house, "at rest").await;
    change(&house).await;
    house.project().await;
    compare(&house, &format!("{CHANGED} % changed since")).await;
}

async fn compare(house: &House, state: &str) {
    let plain = ungated(house, state).await;
    println!("\n{state}\n");
    println!("| query | rows lawful / ungated | CPU time | wall time |");
    println!("|---|---|---|---|");
    let month_ago = house.now().plus_micros(-30 * 86_400_000_000);
    let mut all = (Vec::new(), Vec::new());
    for (name, sql) in shapes(&month_ago.to_string()) {
        let (mut walls, mut cpus, mut counted) =
            (Vec::new(), Vec::new(), (String::new(), String::new()));
        for round in 0..=ROUNDS {
            let (lawful, result) = measured(async || house.ask(USE, &sql).await.expect(name)).await;
            let (raw, batches) = measured(async || {
                let frame = plain.sql(&sql).await.expect(name);
                frame.collect().await.expect(name)
            })
            .await;
            counted = (first_cell(&result.batches), first_cell(&batches));
            if round > 0 {
                walls.push((lawful.wall, raw.wall));
                cpus.push((lawful.cpu, raw.cpu));
            }
        }
        println!(
            "| {name} | {} / {} | {} | {} |",
            counted.0,
            counted.1,
            ratio(&cpus),
            ratio(&walls)
        );
        all.0.push(median(&cpus));
        all.1.push(median(&walls));
    }
    println!(
        "| geometric mean | | {:.2} | {:.2} |",
        geometric_mean(&all.0),
        geometric_mean(&all.1)
    );
}

/// Five shapes that growth and account people ask; each ends in one row, so that printing costs nothing.
fn shapes(month_ago: &str) -> [(&'static str, String); 5] {
    [
        (
            "members by attribute",
            "SELECT count(*) FROM members WHERE city = '杭州' AND tier = '银毫'".to_owned(),
        ),
        (
            "two orders or more in 30 days",
            format!(
                "SELECT count(*) FROM (SELECT member_id FROM events WHERE name = 'Order Completed' \
                 AND event_time >= TIMESTAMP '{month_ago}' GROUP BY member_id HAVING count(*) >= 2) t"
            ),
        ),
        (
            "viewed and put in the cart, not ordered, 30 days",
            format!(
                "SELECT count(*) FROM (SELECT member_id, \
                 sum(CASE WHEN name = 'Product Viewed' THEN 1 ELSE 0 END) AS v, \
                 sum(CASE WHEN name = 'Product Added' THEN 1 ELSE 0 END) AS a, \
                 sum(CASE WHEN name = 'Order Completed' THEN 1 ELSE 0 END) AS o \
                 FROM events WHERE event_time >= TIMESTAMP '{month_ago}' GROUP BY member_id) t \
                 WHERE v > 0 AND a > 0 AND o = 0"
            ),
        ),
        (
            "roll-up by account",
            "SELECT count(*) FROM (SELECT c.account_id, count(*) AS people, sum(m.revenue_365d) AS spent \
             FROM contacts c JOIN members m ON m.member_id = c.member_id GROUP BY c.account_id) t WHERE spent > 100"
                .to_owned(),
        ),
        (
            "top 100 by value per city",
            "SELECT count(*) FROM (SELECT member_id, row_number() OVER (PARTITION BY city ORDER BY revenue_total DESC, \
             member_id) AS place FROM members) t WHERE place <= 100"
                .to_owned(),
        ),
    ]
}

async fn fill(house: &House) {
    introduce(house, MEMBERS).await;
    for first in (0..EVENTS).step_by(usize::try_from(BATCH).unwrap_or(1)) {
        let calls: Vec<Value> = (first..first + BATCH)
            .map(|number| call(house.now(), number, MEMBERS))
            .collect();
        house
            .call(SERVER_KEY, Route::Batch, json!({ "batch": calls }))
            .await;
    }
    let mut groups = Vec::new();
    let mut decisions = Vec::new();
    for member in 0..MEMBERS {
        groups.push(json!({
            "type": "group", "userId": customer(member), "messageId": format!("g-{member}"),
            "groupId": format!("CO-{}", mixed(member) % (MEMBERS / 20)),
            "traits": { "country": "CN", "employees": "200-499", "buying_role": "influencer" },
        }));
        if mixed(member ^ 0x6ea7) % 100 < GRANTED {
            decisions.push(json!({
                "subject": { "customer_no": customer(member) }, "purpose": "account_based_marketing",
                "state": "granted", "act": "checkbox_ticked", "notice": { "id": "business_contacts", "version": 1 },
            }));
        }
        let last = member + 1 == MEMBERS;
        if groups.len() as u64 == BATCH || last {
            let batch = json!({ "batch": std::mem::take(&mut groups) });
            house.call(SERVER_KEY, Route::Batch, batch).await;
        }
        if decisions.len() as u64 == BATCH || last {
            house
                .decide(Value::Array(std::mem::take(&mut decisions)))
                .await;
        }
    }
}

/// Some members do something more, and some of them decide anew.
async fn change(house: &House) {
    let changed = (0..MEMBERS).filter(|member| mixed(member ^ 0xc4a9) % 100 < CHANGED);
    let (mut calls, mut decisions) = (Vec::new(), Vec::new());
    for (number, member) in (EVENTS..).zip(changed) {
        calls.push(json!({
            "type": "track", "event": "Order Completed", "userId": customer(member),
            "messageId": format!("o-{number}"), "properties": { "revenue": 40, "currency": "CNY" },
        }));
        let (state, act) = match mixed(member ^ 0x91) % 10 {
            0..=3 => ("withdrawn", "unsubscribe_clicked"),
            _ => ("granted", "checkbox_ticked"),
        };
        decisions.push(json!({
            "subject": { "customer_no": customer(member) }, "purpose": "account_based_marketing",
            "state": state, "act": act, "notice": { "id": "business_contacts", "version": 1 },
        }));
    }
    for batch in calls.chunks(usize::try_from(BATCH).unwrap_or(1)) {
        house
            .call(SERVER_KEY, Route::Batch, json!({ "batch": batch }))
            .await;
    }
    for batch in decisions.chunks(usize::try_from(BATCH).unwrap_or(1)) {
        house.decide(Value::Array(batch.to_vec())).await;
    }
}

/// Plain DataFusion over the finished rows of all members.
async fn ungated(house: &House, state: &str) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(house.engine.limits().partitions);
    let context = SessionContext::new_with_config(config);
    for table in ["members", "events", "contacts"] {
        let file = house
            .dir
            .path()
            .join(format!("ungated-{table}-{state}.parquet"));
        // In two halves, since an answer has a limit.
        let mut halves = Vec::new();
        for half in ["member_id < '8'", "member_id >= '8'"] {
            let sql = format!("SELECT * FROM {table} WHERE {half} ORDER BY member_id");
            // Under a legal duty nobody is denied.
            halves.push(house.ask_as("officer", DUTY, &sql).await.expect("rows"));
        }
        write(&file, &halves);
        let path = file.to_str().expect("UTF-8");
        context
            .register_parquet(table, path, ParquetReadOptions::default())
            .await
            .expect("registered");
    }
    context
}

fn write(path: &Path, parts: &[QueryResult]) {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .build();
    let file = std::fs::File::create_new(path).expect("a new file");
    let mut writer = ArrowWriter::try_new(file, Arc::clone(&parts[0].schema), Some(properties))
        .expect("a writer");
    for batch in parts.iter().flat_map(|part| &part.batches) {
        writer.write(batch).expect("written");
    }
    writer.close().expect("closed");
}

fn first_cell(batches: &[arrow::array::RecordBatch]) -> String {
    batches
        .iter()
        .find(|batch| batch.num_rows() > 0)
        .map_or_else(String::new, |batch| {
            arrow::util::display::array_value_to_string(batch.column(0), 0).unwrap_or_default()
        })
}

fn median(pairs: &[(f64, f64)]) -> f64 {
    crate::measure::spread(pairs.iter().map(|(a, b)| a / b).collect()).1
}

fn geometric_mean(figures: &[f64]) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "five")]
    let count = figures.len() as f64;
    (figures.iter().map(|figure| figure.ln()).sum::<f64>() / count).exp()
}
