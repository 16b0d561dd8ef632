//! Queries one would write, compared with a plain engine over tables from which the unlawful rows and cells were removed
//! by hand.

use crate::LawfulSession;
use crate::format::Format;
use assent_journal::partition_of;
use assent_projection::{Snapshot, Table};
use datafusion::prelude::SessionContext;

use super::oracle::{answer, filtered};
use super::world::{LINKS, World, with_files, world};

fn compare(world: &World, session: &LawfulSession, filtered: &SessionContext, sql: &str) -> usize {
    let expected = answer(world, filtered, sql);
    let found = world.runtime.block_on(session.query(sql));
    match (expected, found) {
        (Ok(expected), Ok(found)) => {
            let text =
                String::from_utf8(found.encode(Format::Ndjson).expect("json")).expect("utf-8");
            assert_eq!(sorted(&text), sorted(&expected), "{sql}");
            found.rows
        }
        (Err(_), Err(_)) => 0,
        (expected, found) => panic!("{sql}\n plain: {expected:?}\n ours: {found:?}"),
    }
}

/// Lines in an order of their own.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

const HAND_MADE: &[&str] = &[
    "SELECT member_id, city, note, ltv, purchases_90d, purchases_total, revenue_total, last_purchase_at FROM members",
    "SELECT member_id, event_id, source, name, event_time, received_at, revenue, currency, product FROM events",
    "SELECT count(*) AS n, count(ltv) AS m, count(purchases_total) AS k FROM members",
    "SELECT 1 AS one FROM members",
    "SELECT name, count(*) AS n, sum(revenue) AS r FROM events GROUP BY name",
    "SELECT m.city, count(e.event_id) AS n FROM members m LEFT JOIN events e ON e.member_id = m.member_id GROUP BY m.city",
    "SELECT city FROM members WHERE NOT EXISTS (SELECT 1 FROM events WHERE events.member_id = members.member_id)",
    "SELECT city FROM members WHERE member_id NOT IN (SELECT member_id FROM events WHERE name = 'purchase')",
    "SELECT city FROM members WHERE ltv = (SELECT max(ltv) FROM members)",
    "SELECT event_id, row_number() OVER (PARTITION BY member_id ORDER BY event_time, event_id) AS n FROM events",
    "SELECT event_id, lag(name) OVER (PARTITION BY member_id ORDER BY event_time, event_id) AS before FROM events",
    "SELECT CASE WHEN ltv IS NULL THEN 'hidden' ELSE 'shown' END AS x, count(*) AS n FROM members GROUP BY 1",
    "SELECT city FROM members UNION SELECT product FROM events",
    "SELECT city FROM members EXCEPT SELECT city FROM members WHERE purchases_90d > 0",
    "SELECT member_id FROM members INTERSECT SELECT member_id FROM events",
    "SELECT a.city AS x, b.city AS y FROM members a JOIN members b ON a.purchases_total = b.purchases_total",
    "SELECT city, purchases_total FROM members ORDER BY purchases_total DESC NULLS LAST, city LIMIT 7 OFFSET 2",
    "SELECT avg(ltv) AS a, round(stddev(ltv), 3) AS s FROM members WHERE purchases_total > 0",
    "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 4) SELECT i, count(city) AS c FROM n JOIN members ON purchases_total = i GROUP BY i",
    "SELECT date_trunc('month', event_time) AS m, count(*) AS n FROM events GROUP BY 1",
    "SELECT city FROM members WHERE last_purchase_at >= timestamp '2026-08-01T00:00:00Z'",
    "SELECT approx_distinct(city) AS n FROM members",
    "SELECT grouping(name) AS g, name, count(*) AS n FROM events GROUP BY CUBE (name)",
    "SELECT city FROM members WHERE nothing = 1",
];

fn hand_made(world: &World) {
    let session = world.open("marketing");
    let filtered = filtered(world, "marketing");
    let rows: usize = HAND_MADE
        .iter()
        .map(|sql| compare(world, &session, &filtered, sql))
        .sum();
    assert!(rows > 100);
}

#[test]
fn hand_made_queries_agree() {
    hand_made(world());
}

/// The same answers whether members lie in many files or in one place.
#[test]
fn hand_made_queries_agree_after_compaction() {
    let files = |world: &World| {
        Snapshot::latest(&world.house.profiles())
            .expect("a snapshot")
            .expect("a manifest")
            .files(Table::Members)
            .len()
    };
    let compacted = with_files(1);
    let (many, few) = (files(world()), files(&compacted));
    assert!(few < many, "{few} after compaction, {many} before");
    hand_made(&compacted);
}

/// The profiles of linked subjects are folded by the owners of two shards, and are one member's all the same.
#[test]
fn a_member_whose_subjects_lie_in_different_shards_is_one() {
    let world = world();
    let snapshot = Snapshot::latest(&world.house.profiles())
        .expect("a snapshot")
        .expect("a manifest");
    let shards = snapshot.manifest().partitions;
    let shard = |person: usize| partition_of(world.people[person].subject.as_bytes(), shards);
    // Both of them permit marketing.
    let both = [(5, 6), (17, 18)];
    assert!(both.iter().all(|link| LINKS.contains(link)));
    let apart = both
        .iter()
        .filter(|(one, other)| shard(*one) != shard(*other));
    assert!(apart.count() > 0, "else this proves nothing");
    let session = world.open("marketing");
    let filtered = filtered(world, "marketing");
    let sql = "SELECT member_id, city, ltv, purchases_total, revenue_total, last_purchase_at FROM members";
    assert!(compare(world, &session, &filtered, sql) > 10);
}

#[test]
fn sensitive_categories_are_masked_by_subject() {
    let world = world();
    let session = world.open("wellness");
    let filtered = filtered(world, "wellness");
    let shown = compare(
        world,
        &session,
        &filtered,
        "SELECT member_id, allergy FROM members WHERE allergy IS NOT NULL",
    );
    let hidden = compare(
        world,
        &session,
        &filtered,
        "SELECT member_id, city FROM members WHERE allergy IS NULL",
    );
    assert!(shown > 5 && hidden > 5, "{shown} shown, {hidden} hidden");
}
