//! The gate: a lawful query ÷ the same query without the gate, on the same engine; and beside DuckDB.
//!
//! "Without the gate" is what a platform without one would have: the finished rows of *all* members in ordinary Parquet
//! files (zstd, sorted by member), read by plain DataFusion with its default pruning and as many partitions. The lawful
//! side pays for everything: barrier, permit set, planning, the scan, and the durable record of the use. DuckDB reads the
//! same ordinary files and finds the lawful by a join, see [`Lawful`].
//!
//! Twice: as a projector leaves the profiles that has nothing more to fold, and after some members changed since.
//! `ASSENT_BENCH_MEMBERS` asks for another number of members, with ten events each.

use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};

use crate::consented::{Consented, GRANTED};
use crate::house::{House, Opening};
use crate::measure::{measured, ratio};
use crate::ordinary::Ordinary;
use crate::peer::{DuckDb, Lawful};
use crate::population::asked_for;

const MEMBERS: u64 = 100_000;
const EVENTS_EACH: u64 = 10;
/// Of a hundred members so many change after that.
const CHANGED: u64 = 5;
const ROUNDS: usize = 7;
const DUTY: &str = "rights_handling";

/// What is asked for, and which of the shapes its purpose can ask.
const USES: [(&str, &str, usize); 2] = [
    (
        "account_based_marketing",
        "account_based_marketing/email",
        5,
    ),
    // Without the categories of accounts.
    ("email_marketing", "email_marketing/email", 4),
];

pub(crate) async fn run() {
    let members = asked_for(MEMBERS);
    let events = members * EVENTS_EACH;
    let house = Opening::sample().open().await;
    let mut consented = Consented::fill(&house, members, events).await;
    house.project_to_rest().await;
    println!("{members} members, {events} events, {GRANTED} % granted, {ROUNDS} rounds");
    compare(&house, &consented, "at rest").await;
    consented.change(&house, events, CHANGED).await;
    house.project().await;
    compare(&house, &consented, &format!("{CHANGED} % changed since")).await;
}

/// Ratios of each round, of one way to answer to another.
type Pairs = Vec<(f64, f64)>;

/// What the lawful answer is measured against, by CPU time and on the wall.
#[derive(Default)]
struct Against {
    name: &'static str,
    cpu: Pairs,
    wall: Pairs,
}

async fn compare(house: &House, consented: &Consented, state: &str) {
    let dir = house.dir.path().join(state.replace(' ', "-"));
    std::fs::create_dir(&dir).expect("a new directory");
    let ordinary = Ordinary::write(house, DUTY, &dir, consented).await;
    let plain = ungated(house, &ordinary).await;
    let mut duckdb = DuckDb::start(house.engine.limits().partitions);
    match &mut duckdb {
        Some(duckdb) => duckdb.show(&ordinary.files()),
        None => println!("without DuckDB, which `cargo xtask bench gate` brings along"),
    }
    let month_ago = house.now().plus_micros(-30 * 86_400_000_000).to_string();
    for (purpose, use_, shapes_of_purpose) in USES {
        println!("\n{use_}, {state}: the time of a lawful query ÷ that of another way\n");
        println!("| query | rows lawful / ungated | other way | CPU time | wall time |");
        println!("|---|---|---|---|---|");
        let mut all: Vec<Against> = Vec::new();
        for (name, sql) in shapes(&month_ago).into_iter().take(shapes_of_purpose) {
            let against = shape(house, &plain, duckdb.as_mut(), (purpose, use_), name, &sql).await;
            for (place, one) in against.into_iter().enumerate() {
                if all.len() <= place {
                    all.push(Against {
                        name: one.name,
                        ..Against::default()
                    });
                }
                // The medians of the shapes, each as a ratio to one.
                all[place].cpu.push((median(&one.cpu), 1.0));
                all[place].wall.push((median(&one.wall), 1.0));
            }
        }
        for one in &all {
            let (cpu, wall) = (geometric_mean(&one.cpu), geometric_mean(&one.wall));
            println!("| geometric mean | | {} | {cpu:.2} | {wall:.2} |", one.name);
        }
    }
}

/// Asks one question every way in turn, round by round; the first round is not counted.
async fn shape(
    house: &House,
    plain: &SessionContext,
    mut duckdb: Option<&mut DuckDb>,
    (purpose, use_): (&str, &str),
    name: &str,
    sql: &str,
) -> Vec<Against> {
    let ways = [
        ("without the gate", None),
        ("DuckDB, current decisions", Some(Lawful::Current)),
        ("DuckDB, latest of all decisions", Some(Lawful::Latest)),
    ];
    let mut against: Vec<Against> = Vec::new();
    let mut counted = (String::new(), String::new());
    for round in 0..=ROUNDS {
        let (lawful, result) = measured(async || house.ask(use_, sql).await.expect(name)).await;
        counted.0 = first_cell(&result.batches);
        for (place, (way, found)) in ways.into_iter().enumerate() {
            let other = match (found, &mut duckdb) {
                (None, _) => {
                    let (other, batches) = measured(async || {
                        let frame = plain.sql(sql).await.expect(name);
                        frame.collect().await.expect(name)
                    })
                    .await;
                    counted.1 = first_cell(&batches);
                    other
                }
                (Some(found), Some(duckdb)) => {
                    duckdb.gate(&TABLES, purpose, found);
                    let (other, first) = duckdb.ask(sql);
                    assert_eq!(first, counted.0, "{name}: {way} says something else");
                    other
                }
                (Some(_), None) => continue,
            };
            if round == 0 {
                against.push(Against {
                    name: way,
                    ..Against::default()
                });
                continue;
            }
            against[place].cpu.push((lawful.cpu, other.cpu));
            against[place].wall.push((lawful.wall, other.wall));
        }
    }
    for one in &against {
        println!(
            "| {name} | {} / {} | {} | {} | {} |",
            counted.0,
            counted.1,
            one.name,
            ratio(&one.cpu),
            ratio(&one.wall)
        );
    }
    against
}

/// The tables that the questions are about.
pub(crate) const TABLES: [&str; 3] = ["members", "events", "contacts"];

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
            "top 100 by value per city",
            "SELECT count(*) FROM (SELECT member_id, row_number() OVER (PARTITION BY city ORDER BY revenue_total DESC, \
             member_id) AS place FROM members) t WHERE place <= 100"
                .to_owned(),
        ),
        (
            "roll-up by account",
            "SELECT count(*) FROM (SELECT c.account_id, count(*) AS people, sum(m.revenue_365d) AS spent \
             FROM contacts c JOIN members m ON m.member_id = c.member_id GROUP BY c.account_id) t WHERE spent > 100"
                .to_owned(),
        ),
    ]
}

/// Plain DataFusion over the ordinary files.
async fn ungated(house: &House, ordinary: &Ordinary) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(house.engine.limits().partitions);
    let context = SessionContext::new_with_config(config);
    for table in TABLES {
        let path = ordinary.file(table);
        let path = path.to_str().expect("UTF-8");
        context
            .register_parquet(table, path, ParquetReadOptions::default())
            .await
            .expect("registered");
    }
    context
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

fn geometric_mean(pairs: &[(f64, f64)]) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "five")]
    let count = pairs.len() as f64;
    (pairs.iter().map(|(a, b)| (a / b).ln()).sum::<f64>() / count).exp()
}
