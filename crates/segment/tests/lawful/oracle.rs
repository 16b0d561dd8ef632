//! The same world by hand: tables filtered physically, row by row and cell by cell, and queried by a plain engine.
//!
//! Nothing here touches the permit index, the projection or the gate: verdicts come from the pure function over the facts
//! as they were told, traits and counts from the list of deeds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use assent_consent::{Category, Fact, PurposeId, Timestamp, Use, Verdict, evaluate};
use assent_segment::format::{Format, encode};
use datafusion::datasource::MemTable;
use datafusion::execution::config::SessionConfig;
use datafusion::prelude::SessionContext;

use crate::world::{Deed, Person, World, days_ago, now, purposes};

/// Who may be read for what: categories per person; absent means denied.
pub type Lawful = BTreeMap<usize, BTreeSet<Category>>;

pub fn category(name: &str) -> Category {
    Category::parse(name).expect("a category")
}

/// The people linked with this one, directly or through others.
pub fn component(world: &World, who: usize) -> BTreeSet<usize> {
    let mut members = BTreeSet::from([who]);
    loop {
        let before = members.len();
        for (left, right) in &world.links {
            if members.contains(left) || members.contains(right) {
                members.extend([*left, *right]);
            }
        }
        if members.len() == before {
            return members;
        }
    }
}

/// The verdicts for a purpose at an instant, by the pure function.
pub fn lawful_at(world: &World, purpose: &str, at: Timestamp) -> Lawful {
    let declared = Use::of(PurposeId::parse(purpose).expect("a purpose"));
    world
        .people
        .iter()
        .filter_map(|person| {
            let history: Vec<Fact> = component(world, person.index)
                .into_iter()
                .flat_map(|who| world.people[who].facts.clone())
                .collect();
            let verdict = evaluate(
                world.registry.consent(),
                &history,
                person.subject,
                &declared,
                at,
            )
            .verdict;
            match verdict {
                Verdict::Lawful(coverage) => Some((person.index, coverage.categories)),
                Verdict::Denied(_) => None,
            }
        })
        .collect()
}

pub fn lawful(world: &World, purpose: &str) -> Lawful {
    lawful_at(world, purpose, now())
}

/// Everybody, for everything: the world without a gate.
pub fn everybody(world: &World) -> Lawful {
    let all: BTreeSet<Category> = [
        "profile",
        "behaviour",
        "transaction",
        "health",
        "account",
        "subscription",
    ]
    .map(category)
    .into();
    (0..world.people.len())
        .map(|who| (who, all.clone()))
        .collect()
}

/// The canaries of those who may not be read.
pub fn denied(world: &World, lawful: &Lawful) -> Vec<usize> {
    (0..world.people.len())
        .filter(|who| !lawful.contains_key(who))
        .collect()
}

/// The first canary of a denied person that stands in a text.
pub fn leak(text: &str, denied: &[usize]) -> Option<usize> {
    denied.iter().copied().find(|who| {
        text.contains(&Person::canary(*who)) || text.contains(&format!("{}", Person::number(*who)))
    })
}

/// How many whole days ago, and how long may it be.
fn kept(deed: &Deed, days: Option<i64>) -> bool {
    days.is_none_or(|days| deed.at >= days_ago(days))
}

/// How long a purpose keeps what, in days; `None` keeps for ever.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    behaviour: Option<i64>,
    transaction: Option<i64>,
}

impl Keep {
    pub fn of(purpose: &str) -> Self {
        let purpose = purposes()
            .into_iter()
            .find(|known| known.id.as_str() == purpose)
            .expect("a purpose");
        let days = |name: &str| {
            Some(i64::from(
                purpose
                    .retention_days
                    .get(&category(name))
                    .copied()
                    .unwrap_or(purpose.default_retention_days),
            ))
        };
        Self {
            behaviour: days("behaviour"),
            transaction: days("transaction"),
        }
    }

    pub const FOR_EVER: Self = Self {
        behaviour: None,
        transaction: None,
    };
}

/// A plain engine over the tables that `lawful` leaves.
pub fn plain(world: &World, lawful: &Lawful, keep: Keep) -> SessionContext {
    let context = bare();
    for (name, batch) in [
        ("members", members(world, lawful, keep)),
        ("events", events(world, lawful, keep)),
    ] {
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).expect("a table");
        context
            .register_table(name, Arc::new(table))
            .expect("registered");
    }
    context
}

/// A plain engine with nothing in it, typed as ours.
pub fn bare() -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(2);
    config.options_mut().sql_parser.map_string_types_to_utf8view = false;
    config.options_mut().execution.time_zone = Some("Asia/Shanghai".to_owned());
    SessionContext::new_with_config(config)
}

/// The answer of a plain engine: rows as JSON, or the error's whole text.
pub fn answer(world: &World, context: &SessionContext, sql: &str) -> Result<String, String> {
    world.runtime.block_on(async {
        let frame = context.sql(sql).await.map_err(|error| error.to_string())?;
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let batches = frame.collect().await.map_err(|error| error.to_string())?;
        let bytes = encode(Format::Ndjson, &schema, &batches).map_err(|error| error.to_string())?;
        String::from_utf8(bytes).map_err(|error| error.to_string())
    })
}

/// Lines in an order of their own.
pub fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

fn member_id(world: &World, who: usize) -> String {
    component(world, who)
        .into_iter()
        .map(|who| world.people[who].subject)
        .min()
        .expect("a subject")
        .to_string()
}

fn members(world: &World, lawful: &Lawful, keep: Keep) -> RecordBatch {
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for who in lawful.keys() {
        groups.entry(member_id(world, *who)).or_default().push(*who);
    }
    let groups: Vec<(String, Vec<usize>)> = groups.into_iter().collect();
    // The latest that was told; a smaller index told later.
    let told = |people: &[usize], needed: &str| {
        people
            .iter()
            .filter(|who| lawful[*who].contains(&category(needed)))
            .max_by_key(|who| world.people[**who].told_at)
            .map(|who| world.people[*who].clone())
    };
    let purchases = |people: &[usize]| -> Option<Vec<Deed>> {
        let covered: Vec<usize> = people
            .iter()
            .copied()
            .filter(|who| lawful[who].contains(&category("transaction")))
            .collect();
        (!covered.is_empty()).then(|| {
            covered
                .iter()
                .flat_map(|who| world.people[*who].deeds.clone())
                .filter(|deed| deed.name == "purchase" && kept(deed, keep.transaction))
                .collect()
        })
    };
    let text = |of: &dyn Fn(&[usize]) -> Option<String>| -> ArrayRef {
        let cells: StringArray = groups.iter().map(|(_, people)| of(people)).collect();
        Arc::new(cells)
    };
    let count = |of: &dyn Fn(&Deed) -> bool| -> ArrayRef {
        let cells: Int64Array = groups
            .iter()
            .map(|(_, people)| {
                let deeds = purchases(people)?;
                i64::try_from(deeds.iter().filter(|deed| of(deed)).count()).ok()
            })
            .collect();
        Arc::new(cells)
    };
    let ids: StringArray = groups.iter().map(|(id, _)| Some(id.clone())).collect();
    let ltv: Float64Array = groups
        .iter()
        .map(|(_, people)| told(people, "transaction").map(|person| person.ltv))
        .collect();
    let revenue: Float64Array = groups
        .iter()
        .map(|(_, people)| {
            Some(
                purchases(people)?
                    .iter()
                    .filter_map(|deed| deed.revenue)
                    .fold(0.0, |sum, revenue| sum + revenue),
            )
        })
        .collect();
    let last: TimestampMicrosecondArray = groups
        .iter()
        .map(|(_, people)| {
            Some(
                purchases(people)?
                    .iter()
                    .map(|deed| deed.at)
                    .max()?
                    .micros(),
            )
        })
        .collect();
    RecordBatch::try_from_iter_with_nullable(vec![
        ("member_id", Arc::new(ids) as ArrayRef, true),
        (
            "city",
            text(&|people| Some(told(people, "profile")?.city)),
            true,
        ),
        (
            "note",
            text(&|people| Some(told(people, "profile")?.note)),
            true,
        ),
        ("ltv", Arc::new(ltv), true),
        (
            "allergy",
            text(&|people| Some(told(people, "health")?.allergy)),
            true,
        ),
        (
            "purchases_90d",
            count(&|deed| deed.at >= days_ago(89)),
            true,
        ),
        ("purchases_total", count(&|_| true), true),
        ("revenue_total", Arc::new(revenue), true),
        (
            "last_purchase_at",
            Arc::new(last.with_timezone("+00:00")),
            true,
        ),
    ])
    .expect("members")
}

fn events(world: &World, lawful: &Lawful, keep: Keep) -> RecordBatch {
    let mut rows: Vec<(usize, Deed)> = Vec::new();
    for (who, categories) in lawful {
        if categories.contains(&category("behaviour")) {
            rows.extend(
                world.people[*who]
                    .deeds
                    .iter()
                    .filter(|deed| kept(deed, keep.behaviour))
                    .map(|deed| (*who, deed.clone())),
            );
        }
    }
    let money = |who: usize, deed: &Deed| {
        lawful[&who].contains(&category("transaction")) && kept(deed, keep.transaction)
    };
    let text = |of: &dyn Fn(usize, &Deed) -> Option<String>| -> ArrayRef {
        let cells: StringArray = rows.iter().map(|(who, deed)| of(*who, deed)).collect();
        Arc::new(cells)
    };
    let time = || -> ArrayRef {
        let cells: TimestampMicrosecondArray = rows
            .iter()
            .map(|(_, deed)| Some(deed.at.micros()))
            .collect();
        Arc::new(cells.with_timezone("+00:00"))
    };
    let revenue: Float64Array = rows
        .iter()
        .map(|(who, deed)| deed.revenue.filter(|_| money(*who, deed)))
        .collect();
    RecordBatch::try_from_iter_with_nullable(vec![
        (
            "member_id",
            text(&|who, _| Some(member_id(world, who))),
            true,
        ),
        ("event_id", text(&|_, deed| Some(deed.id.to_string())), true),
        ("source", text(&|_, _| Some("shop".to_owned())), true),
        ("name", text(&|_, deed| Some(deed.name.to_owned())), true),
        ("event_time", time(), true),
        ("received_at", time(), true),
        ("revenue", Arc::new(revenue), true),
        (
            "currency",
            text(&|who, deed| {
                deed.revenue
                    .filter(|_| money(who, deed))
                    .map(|_| "CNY".to_owned())
            }),
            true,
        ),
        (
            "product",
            text(&|who, deed| deed.product.clone().filter(|_| money(who, deed))),
            true,
        ),
    ])
    .expect("events")
}
