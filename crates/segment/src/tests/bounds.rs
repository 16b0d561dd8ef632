//! How much an answer may be, and what it costs while somebody waits and after nobody does.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::format::Format;
use crate::guards::Guards;
use crate::running;
use crate::sql::in_segment::Segments;
use crate::{Asked, Engine, ErrorKind, LawfulSession, Limits};
use assent_projection::Table;

use super::house::Repeating;
use super::world::{World, days_ago, fresh, now, world};

fn asked(purpose: &str) -> Asked {
    Asked {
        purpose: Some(purpose.to_owned()),
        ..Asked::default()
    }
}

fn session(world: &World, engine: &Arc<Engine>) -> LawfulSession {
    world
        .runtime
        .block_on(LawfulSession::open(
            engine,
            &world.principal("analyst"),
            &asked("marketing"),
            None,
        ))
        .expect("a session")
}

#[test]
fn a_result_is_bounded_in_bytes_however_few_its_rows() {
    let world = world();
    let limits = Limits {
        bytes: 200_000,
        ..Limits::default()
    };
    let session = session(world, &world.engine_within(limits));
    let query = |sql: &str| world.runtime.block_on(session.query(sql));
    let copies: Vec<String> = (0..400).map(|n| format!("properties AS p{n}")).collect();
    let error = query(&format!("SELECT {} FROM events", copies.join(", "))).expect_err("too large");
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Exhausted, "byte_limit"),
        "{error}"
    );
    assert!(error.fix().is_some(), "{error}");
    query("SELECT properties FROM events").expect("control: one of them fits");
    // Within the limit in memory, beyond it in a format that writes six bytes for one.
    let control = "SELECT lpad('', 1000, chr(1)) AS t FROM members, (VALUES (1), (2), (3)) AS n";
    let result = query(control).expect("in memory it fits");
    assert!(result.rows > 40, "control: {}", result.rows);
    let error = result
        .encode(Format::Json)
        .expect_err("written out it does not");
    assert_eq!(error.code(), "byte_limit");
    result
        .encode(Format::Parquet)
        .expect("control: packed it does");
}

#[test]
fn texts_of_a_query_are_bounded_but_for_those_that_are_looked_up() {
    let world = world();
    let long = "x".repeat(17_000);
    for sql in [
        format!("SELECT '{long}' FROM events"),
        format!("SELECT city FROM members WHERE note = '{long}'"),
        format!(
            "SELECT '{0}' AS a, '{0}' AS b, '{0}' AS c FROM events",
            &long[..6_000]
        ),
        format!("SELECT n.t FROM events, (VALUES ('{long}')) AS n (t)"),
        format!(
            "SELECT {} FROM events",
            ["lpad(name, 1000)"; 5].join(" || ")
        ),
    ] {
        let error = world.ask("marketing", &sql).expect_err("too long");
        assert_eq!(error.code(), "text_too_long", "{error}");
        assert!(
            error.fix().is_some_and(|fix| fix.contains("16384")),
            "{error}"
        );
    }
    let many: Vec<String> = (0..3_000).map(|n| format!("'a city named {n}'")).collect();
    let listed = format!(
        "SELECT city FROM members WHERE city NOT IN ({})",
        many.join(", ")
    );
    assert!(world.ask("marketing", &listed).expect("looked up").rows > 5);
    let rows: Vec<String> = many.iter().map(|text| format!("({text})")).collect();
    let values = format!(
        "SELECT count(*) FROM members, (VALUES {}) AS n (t) WHERE city = n.t",
        rows.join(", ")
    );
    world
        .ask("marketing", &values)
        .expect("the longest row counts");
}

#[test]
fn what_stands_between_parts_or_in_their_place_is_a_short_literal() {
    let world = world();
    let long = "y".repeat(101);
    for sql in [
        format!("SELECT array_to_string(string_to_array(city, ''), '{long}') FROM members"),
        "SELECT array_to_string(string_to_array(city, ''), city) FROM members".to_owned(),
        format!("SELECT array_to_string(make_array(city, null), ',', '{long}') FROM members"),
        "SELECT array_to_string(make_array(city, null), ',', city) FROM members".to_owned(),
        format!("SELECT string_agg(city, '{long}') FROM members"),
        "SELECT string_agg(city, note) FROM members GROUP BY note".to_owned(),
        format!("SELECT concat_ws('{long}', city, note) FROM members"),
        "SELECT concat_ws(city, city, note) FROM members".to_owned(),
        format!("SELECT array_replace(string_to_array(city, ''), 'P', '{long}') FROM members"),
        "SELECT array_replace_all(string_to_array(city, ''), 'P', city) FROM members".to_owned(),
        format!("SELECT array_replace_n(string_to_array(city, ''), 'P', '{long}', 2) FROM members"),
        // Each row would hold all rows before it.
        "SELECT string_agg(city, ',') OVER (ORDER BY city) FROM members".to_owned(),
        "SELECT array_agg(city) OVER (ORDER BY city) FROM members".to_owned(),
        // Split and joined, over and over.
        {
            let mut text = "city".to_owned();
            for _ in 0..3 {
                text = format!(
                    "array_to_string(string_to_array({text}, ''), '{}')",
                    &long[..20]
                );
            }
            format!("SELECT {text} FROM members")
        },
        {
            let mut nested = "SELECT struct(city, city) AS t FROM members".to_owned();
            for _ in 0..12 {
                nested = format!("SELECT struct(t, t) AS t FROM ({nested}) AS s");
            }
            nested
        },
    ] {
        let error = world.ask("marketing", &sql).expect_err(&sql);
        assert_eq!(error.code(), "text_too_long", "{sql}: {error}");
    }
    for sql in [
        "SELECT array_to_string(string_to_array(city, '-'), ', ') FROM members",
        "SELECT string_agg(city, ', '), string_agg(note, ', ') FROM members",
        "SELECT concat_ws(', ', city, note) FROM members",
        "SELECT array_replace_all(make_array(1, 2), 1, 3) FROM members",
        "SELECT array_replace_all(string_to_array(city, '-'), 'city', 'town') FROM members",
    ] {
        world.ask("marketing", sql).expect(sql);
    }
}

#[test]
fn the_longer_a_query_makes_its_rows_the_fewer_are_worked_on_at_once() {
    let world = world();
    let session = world.open("marketing");
    let at_once = |sql: &str| {
        let gate = Arc::new(session.gate.clone());
        let opened = running::opened(&gate, session.shapes.clone(), &Limits::default());
        let (mut state, catalogs) = opened.expect("an engine");
        let nobody = |_: BTreeSet<String>| Ok(Segments::default());
        let known = running::known(&mut state, sql, Guards::ALL, &nobody).expect(sql);
        let planned = running::logical(&state, &catalogs, known, false, Guards::ALL);
        world.runtime.block_on(planned).expect(sql).batch_rows
    };
    assert_eq!(at_once("SELECT city FROM members"), 8_192, "control");
    let chain = |what: &str| format!("{what}{}", format!(" || {what}").repeat(29));
    let long = format!(
        "SELECT length({}) AS n FROM (SELECT {} AS t FROM members) AS s",
        chain("t"),
        chain("city")
    );
    // 30 times as long, twice.
    assert_eq!(at_once(&long), 8_192 / 900);
}

/// A query whose planning hangs at a file keeps its turn though its caller has gone; else whoever asks and hangs up, over
/// and over, has as many files read at once as there are threads.
#[test]
fn a_turn_ends_with_the_last_work_for_it() {
    let world = fresh();
    let limits = Limits {
        timeout: Duration::from_millis(400),
        concurrent: 1,
        ..Limits::default()
    };
    let engine = world.engine_within(limits);
    let (first, second) = (session(&world, &engine), session(&world, &engine));
    let profiles = world.house.stores().profiles;
    let snapshot = profiles.latest().expect("a snapshot").expect("a manifest");
    let hanging = world
        .house
        .profiles()
        .join(&snapshot.files(Table::Events)[0].path);
    std::fs::remove_file(&hanging).expect("removed");
    let made = Command::new("mkfifo").arg(&hanging).status();
    assert!(made.expect("mkfifo").success());
    let ask = |session: &LawfulSession, sql: &str| world.runtime.block_on(session.query(sql));

    let error = ask(&first, "SELECT count(*) FROM events").expect_err("it hangs");
    assert_eq!(error.code(), "timeout");
    let error = ask(&second, "SELECT 1").expect_err("no turn");
    assert_eq!(error.code(), "timeout");
    // The other end: nothing to read, so the first query's work fails, unheard.
    drop(std::fs::File::create(&hanging).expect("opened"));
    ask(&second, "SELECT 1").expect("its turn");
}

/// The present is asked for while it is worked out who is lawful.
#[test]
fn who_is_lawful_is_worked_out_on_the_threads_of_queries() {
    let world = world();
    let threads: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&threads);
    let clock = move || {
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        seen.lock().expect("a list").push(name);
        now()
    };
    let engine = Engine::new(
        world.house.stores(),
        Arc::new(clock),
        Arc::new(Repeating::default()),
        Limits::default(),
    );
    let principal = world.principal("analyst");
    for as_of in [None, Some(days_ago(30))] {
        world
            .runtime
            .block_on(LawfulSession::open(
                &engine,
                &principal,
                &asked("marketing"),
                as_of,
            ))
            .expect("a session");
    }
    let threads: BTreeSet<String> = threads.lock().expect("a list").iter().cloned().collect();
    assert_eq!(threads, BTreeSet::from(["assent-query".to_owned()]));
}

/// Writing a result out takes as long as it is; the runtime of the test has a single thread, which goes on.
#[test]
fn a_result_is_written_out_on_the_threads_of_queries() {
    let world = world();
    let session = session(world, &world.engine);
    let sql = "SELECT a.*, b.* EXCLUDE (member_id) FROM members a, \
               (SELECT member_id, city AS c, note AS n, ltv AS l FROM members) b, (VALUES (1), (2), (3)) v";
    let result = world.runtime.block_on(session.query(sql)).expect("rows");
    assert!(result.rows > 1_000, "{}", result.rows);
    let started = Instant::now();
    let expected = result.encode(Format::Table).expect("a table");
    let takes = started.elapsed();
    let single = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    single.block_on(async {
        let ticks = async {
            let mut longest = Duration::ZERO;
            let whole = Instant::now();
            while whole.elapsed() < takes * 2 {
                let started = Instant::now();
                tokio::time::sleep(Duration::from_millis(1)).await;
                longest = longest.max(started.elapsed());
            }
            longest
        };
        // The ticks begin first.
        let (longest, written) = tokio::join!(ticks, world.engine.encode(result, Format::Table));
        assert_eq!(written.expect("a table"), expected);
        assert!(longest < takes / 2, "{longest:?} of {takes:?}");
    });
}
