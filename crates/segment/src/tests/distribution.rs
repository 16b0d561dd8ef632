//! Several workers, each with an index of its own, beside the one process that could answer alone.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use assent_consent::Timestamp;
use assent_event::ConsentDecision;
use assent_permit::Config;

use super::house::{House, Repeating, Standstill};
use super::world::{World, days_ago, decide, fresh};
use crate::{Asked, Engine, Fleet, LawfulSession, Limits, QueryResult, Secret, Worker};

/// How long a worker waits for a position.
const PATIENCE: Duration = Duration::from_secs(5);

/// An engine that shares every query out, and its workers.
pub struct Team {
    pub engine: Arc<Engine>,
    pub workers: Vec<Worker>,
    /// Where they listen.
    pub sockets: Vec<PathBuf>,
    /// What the workers work with.
    pub elsewhere: Vec<Arc<Engine>>,
}

/// What everybody in these tests shares.
pub fn secret() -> Secret {
    Secret::new([42; 32]).expect("long enough")
}

impl Team {
    /// Must be called within a runtime.
    pub async fn of(house: &House, clock: &Standstill, limits: &Limits, size: usize) -> Self {
        let random = || Arc::new(Repeating::default());
        static SOCKET: AtomicUsize = AtomicUsize::new(0);
        let (mut workers, mut sockets, mut elsewhere) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..size {
            let patience = Config {
                barrier_timeout: PATIENCE,
                ..Config::default()
            };
            let stores = house.stores_elsewhere(patience).await;
            let engine = Engine::new(stores, clock.clock(), random(), limits.clone());
            let number = SOCKET.fetch_add(1, Ordering::SeqCst);
            let socket = house.dir.path().join(format!("{number}.sock"));
            let listener = UnixListener::bind(&socket).expect("a socket");
            sockets.push(socket);
            let worker = Worker::serve(Arc::clone(&engine), secret(), listener);
            workers.push(worker.expect("a worker"));
            elsewhere.push(engine);
        }
        let fleet = Fleet::new(&sockets, 1, secret());
        let (stores, limits) = (house.stores(), limits.clone());
        Self {
            engine: Engine::with_fleet(stores, clock.clock(), random(), limits, fleet),
            workers,
            sockets,
            elsewhere,
        }
    }

    /// Queries answered with the help of workers, and those run again without.
    fn outcomes(&self) -> [u64; 2] {
        self.engine.fleet.as_ref().expect("a fleet").outcomes()
    }
}

/// A team in a world.
pub fn team(world: &World, size: usize) -> Team {
    let limits = Limits::default();
    let made = Team::of(&world.house, &world.clock, &limits, size);
    world.runtime.block_on(made)
}

fn ask(
    world: &World,
    engine: &Arc<Engine>,
    (purpose, as_of): (&str, Option<Timestamp>),
    sql: &str,
) -> crate::Result<QueryResult> {
    world.runtime.block_on(async {
        let asked = Asked {
            purpose: Some(purpose.to_owned()),
            ..Asked::default()
        };
        let principal = world.principal("analyst");
        let session = LawfulSession::open(engine, &principal, &asked, as_of).await?;
        session.query(sql).await
    })
}

/// The rows as text, in an order of their own.
fn rows(result: &QueryResult) -> Vec<String> {
    let text = result.encode(crate::format::Format::Csv).expect("csv");
    let text = String::from_utf8(text).expect("utf-8");
    let mut rows: Vec<String> = text.lines().map(str::to_owned).collect();
    rows[1..].sort();
    rows
}

const QUERIES: [&str; 9] = [
    "SELECT member_id, city, note FROM members",
    "SELECT city, count(*) AS n FROM members GROUP BY city",
    "SELECT count(*) AS n, count(DISTINCT member_id) AS m FROM events",
    "SELECT m.city, count(*) AS n FROM members m JOIN events e ON m.member_id = e.member_id GROUP BY m.city",
    "SELECT member_id FROM members WHERE member_id NOT IN (SELECT member_id FROM events)",
    "SELECT member_id, (SELECT count(*) FROM events e WHERE e.member_id = m.member_id) AS n FROM members m",
    "SELECT member_id, rank() OVER (PARTITION BY city ORDER BY member_id) AS r FROM members",
    "SELECT city FROM members UNION ALL SELECT 'nowhere' UNION ALL SELECT note FROM members WHERE city IS NULL",
    "SELECT max(city) AS last, (SELECT count(*) FROM events) AS n FROM members HAVING count(*) > 1",
];

#[test]
fn three_workers_answer_what_one_process_answers() {
    let world = fresh();
    let team = team(&world, 3);
    let mut asked = 0;
    for purpose in ["marketing", "sales", "wellness"] {
        for as_of in [None, Some(days_ago(60))] {
            for sql in QUERIES {
                let alone = ask(&world, &world.engine, (purpose, as_of), sql);
                let shared = ask(&world, &team.engine, (purpose, as_of), sql);
                asked += 1;
                match (alone, shared) {
                    (Ok(alone), Ok(shared)) => {
                        assert_eq!(rows(&shared), rows(&alone), "{purpose}: {sql}");
                    }
                    (Err(alone), Err(shared)) => assert_eq!(shared, alone, "{sql}"),
                    (alone, shared) => panic!("{sql}: {alone:?} and {shared:?}"),
                }
            }
        }
    }
    let [answered, again] = team.outcomes();
    assert_eq!(again, 0);
    assert!(answered > 30, "{answered} of {asked}");
}

/// An error is part of the answer, so it is the one that one process gives.
#[test]
fn what_fails_among_workers_is_run_again_and_told_as_ever() {
    let world = fresh();
    let team = team(&world, 2);
    for sql in [
        "SELECT sum(CAST(member_id AS INT)) FROM members",
        "SELECT 1 / (count(*) - count(*)) FROM members",
    ] {
        let alone = ask(&world, &world.engine, ("marketing", None), sql).expect_err("fails");
        let shared = ask(&world, &team.engine, ("marketing", None), sql).expect_err("fails");
        assert_eq!(shared, alone);
    }
    let [_, again] = team.outcomes();
    assert!(again > 0);
}

const ALL: &str = "SELECT member_id, note FROM members";

/// Whatever the moment at which a worker is gone, nobody is missing and nobody comes twice.
#[test]
fn a_worker_that_dies_in_the_middle_of_a_query_takes_no_row_along() {
    const TRIALS: u64 = 16;
    let world = fresh();
    let sql = "SELECT m.city, e.name, count(*) AS n FROM members m JOIN events e ON m.member_id = e.member_id \
               GROUP BY m.city, e.name";
    let expected = ask(&world, &world.engine, ("marketing", None), sql).expect("an answer");
    let mut outcomes = [0, 0];
    for trial in 0..TRIALS {
        let mut team = team(&world, 3);
        let dying = team.workers.pop();
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(4 * trial));
            drop(dying);
        });
        let shared = ask(&world, &team.engine, ("marketing", None), sql).expect("an answer");
        killer.join().expect("a killer");
        assert_eq!(rows(&shared), rows(&expected), "after {} ms", 4 * trial);
        let [answered, again] = team.outcomes();
        outcomes = [outcomes[0] + answered, outcomes[1] + again];
    }
    println!("{outcomes:?} were answered by workers, or run again");
    assert!(outcomes[1] > 0, "no worker died in time");
}

#[test]
fn workers_that_are_not_there_are_not_waited_for() {
    let world = fresh();
    let mut team = team(&world, 2);
    team.workers.clear();
    let expected = ask(&world, &world.engine, ("marketing", None), ALL).expect("an answer");
    let shared = ask(&world, &team.engine, ("marketing", None), ALL).expect("an answer");
    assert_eq!(rows(&shared), rows(&expected));
    assert_eq!(team.outcomes(), [0, 0], "nobody was asked");
}

/// I2 among several: a worker that has not heard of a withdrawal waits for it, or does not work.
#[test]
fn a_worker_that_lags_behind_never_reads_who_withdrew() {
    let world = fresh();
    let team = team(&world, 2);
    let read = |expected: usize, outcomes: [u64; 2]| {
        let shared = ask(&world, &team.engine, ("marketing", None), ALL).expect("an answer");
        assert_eq!(shared.rows, expected);
        assert_eq!(team.outcomes(), outcomes);
    };
    let alone = ask(&world, &world.engine, ("marketing", None), ALL).expect("an answer");
    let everybody = alone.rows;
    read(everybody, [1, 0]);

    let lag = |by: Duration| {
        for engine in &team.elsewhere {
            engine.permit().hooks().delay_applier(by);
        }
    };
    lag(PATIENCE / 50);
    decide(&world, 30, ConsentDecision::withdrawn("marketing"));
    read(everybody - 1, [2, 0]);

    lag(4 * PATIENCE);
    decide(&world, 35, ConsentDecision::withdrawn("marketing"));
    read(everybody - 2, [2, 1]);
}

/// Who is in a segment is known by numbers that are no other process's, so such a query stays here.
#[test]
fn queries_over_kept_segments_are_answered_here() {
    let world = fresh();
    let team = team(&world, 2);
    let kept = world.for_segment("buyers");
    let kept = world.runtime.block_on(kept.refresh_segment("buyers"));
    let of_segment = "SELECT member_id FROM members WHERE in_segment('buyers')";
    let alone = ask(&world, &world.engine, ("marketing", None), of_segment);
    let shared = ask(&world, &team.engine, ("marketing", None), of_segment);
    let (alone, shared) = (alone.expect("an answer"), shared.expect("an answer"));
    assert_eq!(rows(&shared), rows(&alone));
    assert_eq!(Ok(shared.rows as u64), kept);
    assert_eq!(team.outcomes(), [0, 0]);
}
