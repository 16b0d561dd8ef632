//! Queries that cost the server, not the people: deep trees, long texts, endless planning; and answers that tell more
//! than rows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::format::Format;
use crate::{Asked, Engine, ErrorKind, LawfulSession, Limits, SqlCheck};
use assent_programme::SegmentCheck as _;

use super::world::{World, fresh, world};

fn with(world: &World, engine: &Arc<Engine>) -> LawfulSession {
    let asked = Asked {
        purpose: Some("marketing".to_owned()),
        ..Asked::default()
    };
    world
        .runtime
        .block_on(LawfulSession::open(
            engine,
            &world.principal("analyst"),
            &asked,
            None,
        ))
        .expect("a session")
}

/// Each of these ended the process.
#[test]
fn chains_are_refused_before_they_are_parsed() {
    let world = world();
    let chain = |first: &str, link: &str, times: usize| format!("{first}{}", link.repeat(times));
    for sql in [
        chain("SELECT 1", "+1", 1_200),
        chain("SELECT 'a'", "||'a'", 900),
        chain(
            "SELECT count(*) FROM members WHERE city = 'a'",
            " OR city = 'a'",
            10_000,
        ),
        chain("SELECT 1", " UNION ALL SELECT 1", 6_000),
        chain("SELECT 1", "::bigint", 2_000),
        chain("SELECT count(*) FROM members", ", members", 2_000),
        chain("SELECT count(*) FROM members", " CROSS JOIN members", 2_000),
    ] {
        let error = world.ask("marketing", &sql).expect_err("refused");
        assert_eq!(error.code(), "query_too_complex", "{error}");
    }
}

/// The longest chains that are let in are planned, run and dropped; the threads of the test have small stacks.
#[test]
fn the_longest_chains_have_room() {
    let world = world();
    for sql in [
        format!("SELECT 1{} AS n", "+1".repeat(490)),
        format!("SELECT length('a'{}) AS n", "||'a'".repeat(490)),
        format!(
            "SELECT length(city{}) AS n FROM members",
            "||city".repeat(490)
        ),
        format!(
            "SELECT count(*) AS n FROM members WHERE city = 'a'{}",
            " OR city = note".repeat(240)
        ),
        format!("SELECT 1 AS n{}", " UNION ALL SELECT 2".repeat(160)),
        format!("SELECT 1 AS n{}", " EXCEPT SELECT 2".repeat(60)),
    ] {
        let started = Instant::now();
        match world.ask("marketing", &sql) {
            Ok(result) => assert!(result.rows > 0, "{}", &sql[..40]),
            Err(error) => panic!("{}: {error} after {:?}", &sql[..40], started.elapsed()),
        }
    }
}

#[test]
fn a_plan_that_doubles_itself_is_refused() {
    let mut sql = "WITH a0 AS (SELECT 1 AS x)".to_owned();
    for step in 1..24 {
        let before = step - 1;
        sql += &format!(", a{step} AS (SELECT l.x FROM a{before} l, a{before} r)");
    }
    sql += " SELECT * FROM a23";
    let error = world().ask("marketing", &sql).expect_err("refused");
    assert_eq!(error.code(), "query_too_complex", "{error}");
}

/// Computing constants never yields; here it fills the threads of queries while the runtime of the test, which has a
/// single thread, goes on.
#[test]
fn planning_is_within_the_timeout_and_on_threads_of_its_own() {
    let world = fresh();
    let limits = Limits {
        timeout: Duration::from_millis(300),
        concurrent: 1,
        ..Limits::default()
    };
    let engine = world.engine_within(limits);
    let (first, second) = (with(&world, &engine), with(&world, &engine));
    let text = "x".repeat(2_000);
    let pairs: Vec<String> = (0..100)
        .map(|n| format!("levenshtein(reverse(t.a), concat(t.a, '{n}'))"))
        .collect();
    let heavy = format!(
        "SELECT {} FROM (SELECT '{text}' AS a) AS t",
        pairs.join(" + ")
    );
    let single = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    single.block_on(async {
        let ticks = async {
            let mut longest = Duration::ZERO;
            for _ in 0..20 {
                let started = Instant::now();
                tokio::time::sleep(Duration::from_millis(10)).await;
                longest = longest.max(started.elapsed());
            }
            longest
        };
        let started = Instant::now();
        let waiting = async {
            // Behind the first, which keeps its turn as long as it computes.
            tokio::time::sleep(Duration::from_millis(50)).await;
            second.query("SELECT 1").await
        };
        let (outcome, behind, longest) = tokio::join!(first.query(&heavy), waiting, ticks);
        assert_eq!(outcome.expect_err("too long").code(), "timeout");
        assert_eq!(behind.expect_err("no turn").code(), "timeout");
        assert!(started.elapsed() < Duration::from_secs(3));
        assert!(longest < Duration::from_millis(250), "{longest:?}");
    });
}

#[test]
fn an_engine_may_be_dropped_within_a_runtime() {
    let world = world();
    world.runtime.block_on(async {
        let engine = world.engine_within(Limits::default());
        drop(engine);
    });
}

#[test]
fn functions_that_make_long_texts_are_bounded_by_the_text_of_the_query() {
    let world = world();
    let long = "y".repeat(101);
    for sql in [
        "SELECT lpad(city, 900000000) FROM members".to_owned(),
        "SELECT rpad(city, 1001, 'x') FROM members".to_owned(),
        "SELECT lpad(city, cast(ltv AS bigint)) FROM members".to_owned(),
        "SELECT 1 FROM members WHERE length(lpad('x', 20000000)) > 3".to_owned(),
        "SELECT city FROM members ORDER BY (SELECT max(rpad(city, 5000)) FROM members)".to_owned(),
        format!("SELECT replace(city, 'P', '{long}') FROM members"),
        "SELECT replace(city, 'P', note) FROM members".to_owned(),
        format!("SELECT regexp_replace(city, '.', '{long}', 'g') FROM members"),
        format!("SELECT translate(city, 'P', '{long}') FROM members"),
        format!(
            "SELECT replace(replace(replace(city, 'P', '{0}'), 'y', '{0}'), 'y', '{0}') FROM members",
            &long[..99]
        ),
    ] {
        let error = world.ask("marketing", &sql).expect_err(&sql);
        assert_eq!(error.code(), "text_too_long", "{sql}: {error}");
        assert!(error.fix().is_some_and(|fix| fix.contains("00")), "{error}");
    }
    let mut nested = "SELECT city AS t FROM members".to_owned();
    for _ in 0..12 {
        nested = format!("SELECT t || t AS t FROM ({nested}) AS s");
    }
    for sql in [
        nested.as_str(),
        "WITH RECURSIVE n AS (SELECT 'x' AS t UNION ALL SELECT t || t FROM n) SELECT count(*) FROM n",
        "WITH RECURSIVE n AS (SELECT 'x' AS t UNION ALL SELECT replace(t, 'x', 'xx') FROM n) SELECT count(*) FROM n",
    ] {
        let error = world.ask("marketing", sql).expect_err(sql);
        assert_eq!(error.code(), "text_too_long", "{sql}: {error}");
    }
    for sql in [
        "SELECT lpad(city, 1000, '.') FROM members",
        "SELECT a || '-' || a FROM (SELECT concat(city, '/', note) AS a FROM members) AS s",
        "SELECT replace(city, 'P', 'Q'), regexp_replace(city, '^P', ''), translate(city, 'P', 'Q') FROM members",
    ] {
        world.ask("marketing", sql).expect(sql);
    }
}

/// How far a partition has got tells how much the denied do.
#[test]
fn what_leaves_tells_no_position() {
    let world = world();
    let session = world.open("marketing");
    let told = session.answered().to_json();
    let names: Vec<&String> = told.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["evaluated_at", "looking_back", "position"]);
    let digest = told["position"].as_str().expect("a digest");
    assert_eq!(digest.len(), 64);
    assert!(!told.to_string().contains("assent."), "{told}");
    assert!(session.answered().projected.iter().count() > 0, "control");
    assert_eq!(
        world.open("marketing").answered().to_json()["position"],
        digest
    );
}

#[test]
fn a_cell_that_cannot_be_written_fails_the_answer() {
    let world = world();
    let result = world
        .ask(
            "marketing",
            "SELECT from_unixtime(9223372036854775807) AS t",
        )
        .expect("a row");
    for format in [Format::Table, Format::Json, Format::Ndjson, Format::Csv] {
        let error = result.encode(format).expect_err("no text");
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Invalid, "cell_without_text")
        );
        assert!(!error.to_string().contains("922"), "{error}");
    }
    let fine = world
        .ask(
            "marketing",
            "SELECT from_unixtime(1) AS t, event_time FROM events",
        )
        .expect("rows");
    fine.encode(Format::Json).expect("json");
}

#[test]
fn a_constant_that_does_not_fit_is_told_in_our_words() {
    let error = world()
        .ask(
            "marketing",
            "SELECT city FROM members WHERE last_purchase_at = 'abc-secret'",
        )
        .expect_err("no instant");
    assert_eq!(error.code(), "constant", "{error}");
    assert!(!error.to_string().contains("Arrow"), "{error}");
    assert!(!error.to_string().contains("abc-secret"), "{error}");
}

/// What was folded before a source declared it sensitive is taken out at the gate.
#[test]
fn declared_names_never_show_among_ordinary_properties() {
    let world = world();
    for purpose in ["marketing", "wellness"] {
        let seen = world.seen(purpose, "SELECT properties FROM events");
        assert!(seen.contains("-page"), "{purpose} sees properties");
        assert!(
            seen.contains("size"),
            "control: {purpose} sees what is within"
        );
        for name in ["symptom", "mood", "till_card", "workemail"] {
            assert!(!seen.to_lowercase().contains(name), "{name}: {seen}");
        }
        assert!(!seen.contains("-open"), "{seen}");
    }
    let count = "SELECT count(*) AS n FROM events WHERE properties LIKE '%-open%'";
    assert!(world.seen("marketing", count).contains("\"n\":0"));
}

#[test]
fn a_fault_of_a_segment_names_the_columns() {
    let world = world();
    let mut segment = world.registry.segment("buyers").expect("a segment").clone();
    segment.query = "SELECT member_id FROM members WHERE )".to_owned();
    let fault = SqlCheck
        .check(&world.registry, &segment)
        .expect_err("a syntax error");
    assert!(fault.fix.contains("members("), "{fault:?}");
    assert!(!fault.fix.contains("assent explain"), "{fault:?}");
}

/// An officer finds the positions behind a digest in the use log.
#[test]
fn the_use_log_has_the_positions_behind_a_digest() {
    let world = fresh();
    let result = world.ask("marketing", "SELECT 1 AS n").expect("a row");
    let told = result.answered.to_json();
    let uses = super::sessions::uses(&world);
    let position: serde_json::Value = serde_json::from_str(&uses[0].0.position).expect("json");
    assert_eq!(position["digest"], told["position"]);
    assert!(
        position["projected"]["assent.behaviour"].is_object(),
        "{position}"
    );
}
