//! I1, by comparison: whatever is asked, a session answers what a plain engine answers over tables from which the people
//! and cells without a verdict were removed by hand.
//!
//! Towns and queries come from seeds. A difference is made small, first the query and then the town, and told with the
//! seed that leads to it. `cargo xtask fuzz` runs the same for as long as it is told to.

mod compare;
mod dice;
mod ground;
mod people;
mod report;
mod shrink;
mod sql;
mod town;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use self::dice::Dice;
use self::ground::Ground;
use self::report::Report;
use self::town::{Plan, Town};
use crate::guards::{Guard, Guards};

/// Towns of the plain test, and queries in each.
const TOWNS: u64 = 50;
const QUERIES: u64 = 100;
/// How many differences are made small before the rest is only counted.
const SHRUNK: usize = 3;

/// From which seed on, and until when.
struct Campaign {
    seed: u64,
    towns: u64,
    queries: u64,
    /// How many workers help with every query; none: each is answered by one process.
    workers: usize,
    until: Option<Instant>,
}

impl Campaign {
    fn run(&self) -> Report {
        let next = AtomicU64::new(0);
        let report = Mutex::new(Report::default());
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let town = next.fetch_add(1, Ordering::SeqCst);
                        let late = self.until.is_some_and(|until| Instant::now() >= until);
                        if town >= self.towns || (late && town > 0) {
                            return;
                        }
                        let town = found(Plan::of(self.seed + town), self.workers);
                        visit(&town, self.queries, &report);
                    }
                });
            }
        });
        report.into_inner().expect("no visit panicked")
    }
}

fn found(plan: Plan, workers: usize) -> Town {
    match workers {
        0 => plan.found(),
        workers => plan.found_with_workers(workers),
    }
}

/// Asks all queries of one town.
fn visit(town: &Town, queries: u64, report: &Mutex<Report>) {
    let seed = town.plan.seed;
    let grounds: Vec<Ground<'_>> = town
        .plan
        .askings
        .iter()
        .map(|asking| Ground::of(town, asking))
        .collect();
    // Mostly where there is somebody to be found.
    let mut promising: Vec<&Ground<'_>> = grounds
        .iter()
        .filter(|ground| ground.people() >= 4)
        .collect();
    if promising.is_empty() {
        promising.extend(&grounds);
    }
    let mut own = Report::of_town(&promising);
    for number in 0..queries {
        let place = usize::try_from(number).expect("small");
        let ground = if number % 20 == 19 {
            &grounds[place / 20 % grounds.len()]
        } else {
            promising[place % promising.len()]
        };
        let mut dice = Dice::new(seed * 1_000_003 + number);
        let query = sql::query(&mut dice, &ground.tables, &ground.everybody);
        if town.has_workers() && query.sql.matches(" OVER (").count() > 1 {
            // Rows that are equal may be numbered in any order. In one process two windows agree on one.
            continue;
        }
        let trial = catch_unwind(AssertUnwindSafe(|| ground.trial(&query)));
        let trial = trial.unwrap_or_else(|panic| {
            println!("seed {seed}: panicked at\n{}", query.sql);
            resume_unwind(panic)
        });
        match trial {
            Ok(agreement) => own.agreed(&query, &agreement),
            Err(difference) => {
                let shrink = report.lock().expect("not poisoned").differences() < SHRUNK;
                let told = if shrink {
                    shrink::told(town, ground, &dice.rolled, &difference)
                } else {
                    format!("seed {seed}: {difference}\n{}", query.sql)
                };
                own.differs(&query, told);
            }
        }
    }
    own.by_workers = town.outcomes();
    report.lock().expect("not poisoned").add(own);
}

#[test]
fn five_thousand_generated_queries_agree() {
    let started = Instant::now();
    let report = Campaign {
        seed: 1,
        towns: TOWNS,
        queries: QUERIES,
        workers: 0,
        until: None,
    }
    .run();
    println!("{report}\nin {:.1?}", started.elapsed());
    report.assert_agreement();
    report.assert_variety();
}

/// The same with three workers that help with every query.
#[test]
fn generated_queries_agree_when_workers_help() {
    let report = Campaign {
        seed: 60_000,
        towns: 4,
        queries: QUERIES / 2,
        workers: 3,
        until: None,
    }
    .run();
    println!("{report}");
    report.assert_agreement();
    let [answered, again] = report.by_workers;
    assert!(answered > 100, "{answered} by workers, {again} again");
}

/// The control of the comparison: with any of these guards off it finds a difference, sooner or later. In the town it
/// begins with, sooner.
#[test]
fn the_comparison_notices_a_guard_that_is_off() {
    let noticed = [
        (Guard::Rows, 1),
        (Guard::Stamps, 1),
        (Guard::Cells, 4),
        (Guard::Properties, 7),
        (Guard::DeclaredNames, 1),
        (Guard::Retention, 1),
        (Guard::SmallGroups, 1),
        (Guard::LawfulNow, 2),
        (Guard::OpaqueLeaf, 5),
        (Guard::Limits, 4),
        (Guard::Statistics, 4),
    ];
    for (guard, without) in Guard::EACH {
        if let Some((_, seed)) = noticed.iter().find(|(of, _)| *of == guard) {
            let after = queries_until_a_difference(without, *seed);
            println!("{guard:?} off: a difference in query {after:?}");
            assert!(after.is_some(), "{guard:?} is off, and nothing differs");
        }
    }
}

fn queries_until_a_difference(guards: Guards, seed: u64) -> Option<u64> {
    const IN_A_TOWN: u64 = 80;
    const TOWNS: u64 = 20;
    for town in 0..TOWNS {
        let seed = seed + town;
        let place = Plan::of(seed).found_with(guards);
        let grounds: Vec<Ground<'_>> = place
            .plan
            .askings
            .iter()
            .map(|asking| Ground::of(&place, asking))
            .collect();
        for number in 0..IN_A_TOWN {
            let ground = &grounds[usize::try_from(number).expect("small") % grounds.len()];
            let mut dice = Dice::new(seed * 1_000_003 + number);
            let query = sql::query(&mut dice, &ground.tables, &ground.everybody);
            if ground.trial(&query).is_err() {
                return Some(town * IN_A_TOWN + number + 1);
            }
        }
    }
    None
}

/// As long as `ASSENT_FUZZ_MINUTES` says, from `ASSENT_FUZZ_SEED` on, with the help of `ASSENT_FUZZ_WORKERS`;
/// `cargo xtask fuzz` sets them.
#[test]
#[ignore = "runs for as long as it is told to"]
fn fuzz() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let minutes = number("ASSENT_FUZZ_MINUTES").unwrap_or(60);
    let started = Instant::now();
    let report = Campaign {
        seed: number("ASSENT_FUZZ_SEED").unwrap_or(1_000),
        towns: u64::MAX,
        queries: QUERIES,
        workers: number("ASSENT_FUZZ_WORKERS")
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or(0),
        until: Some(started + Duration::from_secs(60 * minutes)),
    }
    .run();
    println!("{report}\nin {:.1?}", started.elapsed());
    report.assert_agreement();
}

/// One query, `ASSENT_FUZZ_SQL`, in every session of the town `ASSENT_FUZZ_SEED`: to look into a difference.
#[test]
#[ignore = "needs a query"]
fn one_query() {
    let text = |name: &str| std::env::var(name).expect(name);
    let town = Plan::of(text("ASSENT_FUZZ_SEED").parse().expect("a number"));
    let workers = std::env::var("ASSENT_FUZZ_WORKERS").unwrap_or("0".to_owned());
    let town = found(town, workers.parse().expect("a number"));
    for asking in &town.plan.askings {
        println!(
            "{asking:?}\n{}",
            Ground::of(&town, asking).both(&text("ASSENT_FUZZ_SQL"))
        );
    }
}
