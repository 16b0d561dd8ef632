//! Each guard switched off by itself, and the attack that succeeds then: a guard whose attack fails either way would be
//! no guard, and an attack that fails because everything is denied would show nothing.
//!
//! What an attack looks for is said where it stands. Most look for something of people who may not be read; the guards
//! of statements, functions and views keep the engine and its catalog out of sight, behind which nothing of people lies
//! as long as the other guards stand.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use arrow::ipc::writer::StreamWriter;
use assent_event::ConsentDecision;

use super::oracle::{category, denied, lawful, leak};
use super::world::{self, Person, World, days_ago, fresh, now, world};
use crate::format::Format;
use crate::guards::{Guard, Guards};
use crate::{Asked, Engine, LawfulSession, Limits, QueryResult};

/// What an attack got hold of, if it did.
type Loot = Option<String>;
type Attack = fn(&Besieged<'_>) -> Loot;

/// A world and the engine that is attacked.
struct Besieged<'a> {
    world: &'a World,
    engine: Arc<Engine>,
}

impl Besieged<'_> {
    fn open(&self, purpose: &str, as_of_days_ago: Option<i64>) -> LawfulSession {
        let asked = Asked {
            purpose: Some(purpose.to_owned()),
            ..Asked::default()
        };
        let analyst = self.world.principal("analyst");
        let session =
            LawfulSession::open(&self.engine, &analyst, &asked, as_of_days_ago.map(days_ago));
        self.world.runtime.block_on(session).expect("a session")
    }

    fn ask(&self, purpose: &str, sql: &str) -> crate::Result<QueryResult> {
        self.world
            .runtime
            .block_on(self.open(purpose, None).query(sql))
    }

    /// Everything that an answer shows, as text.
    fn seen(&self, purpose: &str, sql: &str) -> String {
        shown(&self.ask(purpose, sql))
    }
}

fn shown(answer: &crate::Result<QueryResult>) -> String {
    match answer {
        Ok(result) => {
            let json = result.encode(Format::Ndjson).expect("json");
            String::from_utf8(json).expect("utf-8")
        }
        Err(error) => format!("{error} {error:?}"),
    }
}

/// Something of a person who may not be read for marketing.
fn of_the_denied(world: &World, text: &str) -> Loot {
    let who = leak(text, &denied(world, &lawful(world, "marketing")))?;
    Some(Person::canary(who))
}

/// Whether an answer is one at all.
fn answers(besieged: &Besieged<'_>, sql: &str) -> Loot {
    besieged
        .ask("marketing", sql)
        .ok()
        .map(|result| shown(&Ok(result)))
}

fn attack_on(guard: Guard) -> Attack {
    match guard {
        Guard::Rows => |besieged| {
            let text = besieged.seen("marketing", "SELECT member_id FROM members");
            let world = besieged.world;
            let ids = denied(world, &lawful(world, "marketing"));
            let mut ids = ids.iter().map(|who| world.people[*who].subject.to_string());
            // A member is known by one of its subjects, which may be another than the lawful one.
            ids.find(|id| text.contains(id) && !linked(world, id))
        },
        Guard::Stamps => |besieged| {
            let text = besieged.seen("marketing", "SELECT properties FROM events");
            text.find("-refused")
                .map(|_| "an event that was refused for marketing".to_owned())
        },
        Guard::Cells => |besieged| {
            let world = besieged.world;
            let text = besieged.seen("marketing", "SELECT product FROM events");
            uncovered(world)
                .into_iter()
                .find(|canary| text.contains(canary))
        },
        Guard::Properties => |besieged| {
            let world = besieged.world;
            let text = besieged.seen("wellness", "SELECT sensitive_properties FROM events");
            let lawful = lawful(world, "wellness");
            let health = category("health");
            let mut canaries = (0..world.people.len())
                .filter(|who| {
                    lawful
                        .get(who)
                        .is_none_or(|covered| !covered.contains(&health))
                })
                .map(|who| format!("{}-symptom", Person::canary(who)));
            canaries.find(|canary| text.contains(canary))
        },
        Guard::DeclaredNames => |besieged| {
            let text = besieged.seen("marketing", "SELECT properties FROM events");
            text.find("-open")
                .map(|_| "a sensitive property".to_owned())
        },
        Guard::Retention => |besieged| {
            // Behaviour is kept for 300 days.
            let sql =
                "SELECT event_time FROM events WHERE event_time < now() - interval '302 days'";
            let result = besieged.ask("marketing", sql).expect("rows");
            (result.rows > 0).then(|| format!("{} events", result.rows))
        },
        Guard::FreshNulls => |besieged| {
            // As a caller writes batches who does not know what may lie under a null.
            let result = besieged
                .ask("marketing", "SELECT product FROM events")
                .expect("rows");
            let mut bytes = Cursor::new(Vec::new());
            let mut writer = StreamWriter::try_new(&mut bytes, &result.schema).expect("a writer");
            for batch in &result.batches {
                writer.write(batch).expect("written");
            }
            writer.finish().expect("written");
            let text = String::from_utf8_lossy(&bytes.into_inner()).into_owned();
            uncovered(besieged.world)
                .into_iter()
                .find(|canary| text.contains(canary))
        },
        Guard::SmallGroups => |besieged| {
            let sql = "SELECT contacts FROM accounts WHERE contacts < 5";
            let result = besieged.ask("sales", sql).expect("rows");
            (result.rows > 0).then(|| format!("{} small groups", result.rows))
        },
        Guard::LawfulNow => |besieged| {
            let session = besieged.open("marketing", Some(60));
            let answer = besieged
                .world
                .runtime
                .block_on(session.query("SELECT city FROM members"));
            of_the_denied(besieged.world, &shown(&answer))
        },
        Guard::Expiry => |besieged| {
            let (world, who) = (besieged.world, 7);
            let hour = 3_600_000_000;
            let mut decision = ConsentDecision::granted("marketing");
            decision.clear.expires_at = Some(now().plus_micros(hour));
            world::decide(world, who, decision);
            let city = format!("{}-city", Person::canary(who));
            let sees = || {
                besieged
                    .seen("marketing", "SELECT city FROM members")
                    .contains(&city)
            };
            assert!(sees(), "the grant counts until it ends");
            // Nothing happens but that time passes.
            world.clock.set(now().plus_micros(hour));
            sees().then_some(city)
        },
        Guard::Barrier => |besieged| {
            let (world, who) = (besieged.world, 0);
            world
                .house
                .journal
                .delay_consent(Duration::from_millis(300));
            world::decide(world, who, ConsentDecision::withdrawn("marketing"));
            let text = besieged.seen("marketing", "SELECT city FROM members");
            let city = format!("{}-city", Person::canary(who));
            text.contains(&city).then_some(city)
        },
        Guard::ErrorTexts => |besieged| {
            let text = besieged.seen("marketing", "SELECT cast(city AS int) FROM members");
            text.find("-city").map(|_| text)
        },
        Guard::Statements => |besieged| answers(besieged, "DESCRIBE members"),
        // The plan names the manifest, which counts how often anybody's profile changed.
        Guard::Explain => |besieged| {
            answers(besieged, "EXPLAIN SELECT city FROM members")
                .filter(|text| text.contains("manifest"))
        },
        Guard::Functions => |besieged| answers(besieged, "SELECT version() AS v"),
        Guard::MetadataViews => {
            |besieged| answers(besieged, "SELECT name FROM information_schema.df_settings")
        }
        Guard::OpaqueLeaf => |besieged| {
            // Permitted notes are numbers, denied ones are not: who sees the cast fail, saw one of the denied.
            let sql = "SELECT count(*) FROM members WHERE cast(CASE WHEN note LIKE 'P%' THEN note ELSE '1' END AS int) = 1";
            let cast = besieged.ask("marketing", sql).err();
            // And who sees this division fail, knows the number of person 7.
            let number = Person::number(7);
            let sql = format!(
                "SELECT count(*) FROM members WHERE 10 / (cast(ltv AS bigint) - {number}::bigint) < 100"
            );
            let division = besieged.ask("marketing", &sql).err();
            assert_eq!(
                cast.is_some(),
                division.is_some(),
                "both attacks succeed or none"
            );
            Some(format!("{} {}", cast?.code(), division?.code()))
        },
        Guard::Predicates => |besieged| {
            // The greatest number is a denied person's. With pruning, whether the cast is tried tells of it.
            let greatest = Person::number(super::world::PEOPLE - 1);
            let fails = |bound: f64| {
                let sql = format!(
                    "SELECT count(*) FROM members WHERE cast(city AS int) = 1 AND ltv > {bound:?}"
                );
                besieged.ask("marketing", &sql).is_err()
            };
            (fails(greatest - 0.5) != fails(greatest + 0.5)).then(|| greatest.to_string())
        },
        Guard::Limits => |besieged| {
            let sql = "SELECT count(*) AS n FROM (SELECT event_id FROM events LIMIT 40)";
            let text = besieged.seen("marketing", sql);
            (!text.contains("40")).then_some(text)
        },
        Guard::Statistics => |besieged| {
            let counted = besieged.seen("marketing", "SELECT count(*) AS n FROM events");
            let rows = besieged
                .ask("marketing", "SELECT event_id FROM events")
                .expect("rows")
                .rows;
            (!counted.contains(&format!(":{rows}}}"))).then_some(counted)
        },
        Guard::PlainText => |besieged| {
            let result = besieged
                .ask("marketing", "SELECT product FROM events")
                .expect("rows");
            let bytes = result.encode(Format::Arrow).expect("arrow");
            of_the_denied(besieged.world, &String::from_utf8_lossy(&bytes))
        },
    }
}

fn linked(world: &World, id: &str) -> bool {
    let who = world
        .people
        .iter()
        .position(|person| person.subject.to_string() == id);
    super::oracle::component(world, who.expect("one of the people")).len() > 1
}

/// Products of people who granted marketing without transactions.
fn uncovered(world: &World) -> Vec<String> {
    let transaction = category("transaction");
    lawful(world, "marketing")
        .iter()
        .filter(|(_, covered)| !covered.contains(&transaction))
        .map(|(who, _)| format!("{}-product", Person::canary(*who)))
        .collect()
}

/// Whether an attack changes the world.
fn needs_a_fresh_world(guard: Guard) -> bool {
    [Guard::Expiry, Guard::Barrier].contains(&guard)
}

fn attacked(guard: Guard, guards: Guards) -> Loot {
    let own = needs_a_fresh_world(guard).then(fresh);
    let world = own.as_ref().unwrap_or_else(|| world());
    let engine = world.engine_guarded(Limits::default(), guards);
    attack_on(guard)(&Besieged { world, engine })
}

#[test]
fn each_guard_alone_stops_its_attack() {
    let mut faults = Vec::new();
    for (guard, without) in Guard::EACH {
        if let Some(loot) = attacked(guard, Guards::ALL) {
            faults.push(format!("{guard:?} stands, and the attack gets {loot}"));
        }
        match attacked(guard, without) {
            Some(loot) => println!("{guard:?} off: {}", loot.lines().next().unwrap_or_default()),
            None => faults.push(format!("{guard:?} is off, and the attack gets nothing")),
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
