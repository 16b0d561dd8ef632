//! I1, by comparison: what a session answers is what a plain engine answers over tables from which the unlawful rows
//! and cells were removed by hand.

use assent_projection::{Snapshot, Table};
use assent_segment::LawfulSession;
use assent_segment::format::Format;
use datafusion::prelude::SessionContext;

use crate::oracle::{Keep, answer, lawful, plain, sorted};
use crate::world::{World, with_files, world};

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
    let filtered = plain(world, &lawful(world, "marketing"), Keep::of("marketing"));
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
        Snapshot::latest(&world.profiles)
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

#[test]
fn sensitive_categories_are_masked_by_subject() {
    let world = world();
    let session = world.open("wellness");
    let filtered = plain(world, &lawful(world, "wellness"), Keep::of("wellness"));
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

/// A generator that repeats: the tests need variety, not chance.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        let place = self.roll(choices.len() as u64);
        choices[usize::try_from(place).expect("small")]
    }

    fn about_members(&mut self, depth: u32) -> String {
        if depth > 0 && self.roll(2) == 0 {
            let (left, right) = (self.about_members(depth - 1), self.about_members(depth - 1));
            let word = self.pick(&["AND", "OR", "AND NOT"]);
            return format!("({left} {word} {right})");
        }
        let number = self.roll(60);
        match self.roll(9) {
            0 => format!("city LIKE 'P0{}%'", number % 6),
            1 => format!("ltv > {}", 7_000_000 + number * 1_000),
            2 => "ltv IS NULL".to_owned(),
            3 => format!("purchases_total >= {}", number % 4),
            4 => format!("purchases_90d = {}", number % 3),
            5 => "cast(note AS int) = 1".to_owned(),
            6 => format!(
                "coalesce(revenue_total, 0) < {}",
                14_000_000 + number * 1_000
            ),
            7 => format!(
                "last_purchase_at < timestamp '2026-0{}-01T00:00:00Z'",
                1 + number % 8
            ),
            _ => format!(
                "member_id IN (SELECT member_id FROM events WHERE {})",
                self.about_events()
            ),
        }
    }

    fn about_events(&mut self) -> String {
        let number = self.roll(60);
        match self.roll(5) {
            0 => "name = 'purchase'".to_owned(),
            1 => format!("revenue > {}", 7_000_000 + number * 1_000),
            2 => format!("product LIKE 'P0{}%'", number % 6),
            3 => format!(
                "event_time >= timestamp '2026-0{}-01T00:00:00Z'",
                1 + number % 8
            ),
            _ => "currency IS NULL".to_owned(),
        }
    }

    fn query(&mut self) -> String {
        let (members, events) = (self.about_members(2), self.about_events());
        let aggregate = self.pick(&[
            "count(*)",
            "sum(ltv)",
            "min(city)",
            "max(last_purchase_at)",
            "avg(purchases_total)",
            "count(DISTINCT purchases_total)",
        ]);
        match self.roll(8) {
            0 => format!("SELECT city, ltv, purchases_total FROM members WHERE {members}"),
            1 => format!("SELECT {aggregate} AS a FROM members WHERE {members}"),
            2 => format!(
                "SELECT name, count(*) AS n, sum(revenue) AS r FROM events WHERE {events} GROUP BY name"
            ),
            3 => format!(
                "SELECT m.city, e.product FROM members m JOIN events e ON m.member_id = e.member_id WHERE {members_of} AND ({events})",
                members_of = "m.ltv IS NOT NULL"
            ),
            4 => format!(
                "SELECT city FROM members WHERE {members} AND NOT EXISTS (SELECT 1 FROM events WHERE events.member_id = members.member_id AND ({events}))"
            ),
            5 => format!(
                "SELECT purchases_total AS p, {aggregate} AS a FROM members WHERE {members} GROUP BY purchases_total HAVING count(*) > 1"
            ),
            6 => format!(
                "SELECT city FROM members WHERE {members} ORDER BY city LIMIT {}",
                1 + self.roll(9)
            ),
            _ => format!(
                "SELECT city, rank() OVER (ORDER BY ltv DESC NULLS LAST) AS r FROM members WHERE {members}"
            ),
        }
    }
}

#[test]
fn generated_queries_agree() {
    let world = world();
    let session = world.open("marketing");
    let filtered = plain(world, &lawful(world, "marketing"), Keep::of("marketing"));
    let mut dice = Dice(20_260_901);
    let mut answered = 0;
    for _round in 0..200 {
        let sql = dice.query();
        if compare(world, &session, &filtered, &sql) > 0 {
            answered += 1;
        }
    }
    assert!(answered > 100, "only {answered} queries had an answer");
}
