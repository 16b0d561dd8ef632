//! Derived traits are what their definitions say in SQL over the events, however the events came in: out of order, in
//! many projections, of people who turn out to be one, as time goes by.

use std::collections::BTreeMap;

use assent_consent::{Calendar, Category, Timestamp};
use assent_intake::Route;
use assent_programme::{DerivedTrait, Measure, RegistryState};
use assent_testkit::seeded::Seeded;
use serde_json::{Value, json};

use crate::house::{House, Opening, SERVER_KEY, grant, withdrawal};

const PEOPLE: u64 = 40;
const ROUNDS: usize = 5;
const EVENTS_A_ROUND: usize = 250;
/// Between two rounds, so that windows move.
const DAYS_A_ROUND: i64 = 41;
const DAY_MICROS: i64 = 86_400_000_000;
/// How long ago something may have happened when it is told.
const OLDEST_DAYS: i64 = 300;
/// Those who are asked, and for which use: once of everybody, once of those who granted.
const ASKED: [(&str, &str); 2] = [
    ("officer", "rights_handling"),
    ("analyst", "email_marketing/email"),
];

#[tokio::test(flavor = "multi_thread")]
async fn derived_traits_are_their_sql_over_the_events() {
    let house = Opening::sample().open().await;
    let mut seeded = Seeded::new(7);
    let mut compared = Compared::default();
    let mut oldest_days = OLDEST_DAYS;
    for round in 0..ROUNDS {
        let now = house.now().plus_micros(DAYS_A_ROUND * DAY_MICROS);
        house.set_now(now);
        tell(&house, &mut seeded, round).await;
        decide(&house, &mut seeded).await;
        match round % 2 {
            0 => house.project().await,
            _ => house.project_to_rest().await,
        };
        oldest_days += DAYS_A_ROUND;
        compared.look(&house, oldest_days).await;
    }
    house.rebuild().await;
    compared.look(&house, oldest_days).await;
    compared.assert_variety(&house);
}

/// Some did something, at any time of the last ten months; some who were strangers tell who they are.
async fn tell(house: &House, seeded: &mut Seeded, round: usize) {
    let mut calls = Vec::new();
    for number in 0..EVENTS_A_ROUND {
        let person = seeded.below(PEOPLE);
        let who = match seeded.chance(30) {
            true => json!({ "anonymousId": device(person) }),
            false => json!({ "userId": customer(person) }),
        };
        // Whole microseconds of its own, so that nothing happens at the same time.
        let ago = seeded.between(1, OLDEST_DAYS * DAY_MICROS);
        let mut call = json!({
            "type": "track", "messageId": format!("m-{round}-{number}"), "timestamp": house.now().plus_micros(-ago).to_string(),
            "event": seeded.word(&["Order Completed", "Order Completed", "Product Viewed", "Tasting Attended", "Wandered"]),
            "properties": {},
        });
        if seeded.chance(80) {
            call["properties"]["product"] = format!("tea-{}", seeded.below(9)).into();
        }
        if seeded.chance(80) {
            call["properties"]["revenue"] = seeded.below(500).into();
            call["properties"]["currency"] = "CNY".into();
        }
        for (name, value) in who.as_object().unwrap() {
            call[name] = value.clone();
        }
        calls.push(call);
    }
    for person in (0..PEOPLE).filter(|person| person % ROUNDS as u64 == round as u64) {
        calls.push(json!({
            "type": "identify", "userId": customer(person), "anonymousId": device(person),
            "messageId": format!("i-{person}"), "traits": {},
        }));
    }
    let body = json!({ "batch": calls });
    let outcomes = house.call(SERVER_KEY, Route::Batch, body).await;
    let taken = outcomes.iter().all(crate::house::is_journalled);
    assert!(taken, "{outcomes:?}");
}

async fn decide(house: &House, seeded: &mut Seeded) {
    let decisions: Vec<Value> = (0..PEOPLE / 2)
        .map(|_| {
            let customer = customer(seeded.below(PEOPLE));
            match seeded.chance(75) {
                true => grant(&customer, "email_marketing"),
                false => withdrawal(&customer, "email_marketing"),
            }
        })
        .collect();
    house.decide(Value::Array(decisions)).await;
}

fn customer(person: u64) -> String {
    format!("D{person:05}")
}

fn device(person: u64) -> String {
    format!("device-{person}")
}

/// How many values of each trait were equal, and of those how many said something.
#[derive(Default)]
struct Compared {
    told: BTreeMap<String, usize>,
    members: BTreeMap<&'static str, usize>,
}

impl Compared {
    async fn look(&mut self, house: &House, oldest_days: i64) {
        let registry = house.permit.registry();
        let calendar = registry.settings().calendar;
        for (who, use_) in ASKED {
            for derived in &registry.traits().derived {
                // The property of a sensitive one is in no column of events.
                if derived.sensitive || outlives_events(&registry, use_, derived, oldest_days) {
                    continue;
                }
                let name = &derived.name;
                let folded = format!("SELECT member_id, {name} FROM members");
                let folded = ask(house, who, use_, &folded).await;
                let defined = definition(derived, calendar, house.now());
                let defined = ask(house, who, use_, &defined).await;
                for (member, value) in &folded {
                    let expected = defined
                        .get(member)
                        .cloned()
                        .unwrap_or_else(|| nothing(derived));
                    assert_eq!(*value, expected, "{name} of {member} for {use_}");
                    let told = usize::from(expected != nothing(derived));
                    *self.told.entry(name.clone()).or_default() += told;
                }
                assert!(defined.keys().all(|member| folded.contains_key(member)));
                *self.members.entry(use_).or_default() += folded.len();
            }
        }
    }

    fn assert_variety(&self, house: &House) {
        let registry = house.permit.registry();
        let open = registry
            .traits()
            .derived
            .iter()
            .filter(|one| !one.sensitive);
        for derived in open {
            let told = self.told.get(&derived.name).copied().unwrap_or_default();
            assert!(told >= 20, "{} said something {told} times", derived.name);
        }
        let [everybody, granted] = ASKED.map(|(_, use_)| self.members[use_]);
        assert!(granted > 500 && granted < everybody, "{:?}", self.members);
    }
}

/// Whether some of what the trait sums up may be kept for longer than the events that show it, or less long.
fn outlives_events(
    registry: &RegistryState,
    use_: &str,
    derived: &DerivedTrait,
    oldest_days: i64,
) -> bool {
    let purpose = use_.split('/').next().unwrap().parse().unwrap();
    let purpose = registry.purpose(&purpose).unwrap();
    let kept = |category: &Category| {
        let days = purpose.retention_days.get(category);
        i64::from(*days.unwrap_or(&purpose.default_retention_days))
    };
    let (value, events) = (
        kept(&derived.category),
        kept(&Category::parse("behaviour").unwrap()),
    );
    value != events && oldest_days >= value.min(events)
}

async fn ask(house: &House, who: &str, use_: &str, sql: &str) -> BTreeMap<String, Value> {
    let rows = house.rows_as(who, use_, sql).await.into_iter();
    rows.map(|mut row| {
        let value = row.pop().unwrap();
        (row[0].as_str().unwrap().to_owned(), value)
    })
    .collect()
}

/// Of somebody without such an event.
fn nothing(derived: &DerivedTrait) -> Value {
    match derived.measure {
        Measure::Count => 0.into(),
        Measure::Sum { .. } => 0.0.into(),
        _ => Value::Null,
    }
}

/// The trait as whoever defines it would write it, over the events.
fn definition(derived: &DerivedTrait, calendar: Calendar, now: Timestamp) -> String {
    let today = calendar.day_of(now);
    let measure = match &derived.measure {
        Measure::Count => "count(*)".to_owned(),
        Measure::Sum { property } => format!("coalesce(sum({property}), 0.0)"),
        Measure::FirstAt => "min(event_time)".to_owned(),
        Measure::LastAt => "max(event_time)".to_owned(),
        // Shanghai is eight hours ahead, all year.
        Measure::DaysSinceLast => format!(
            "CAST({} AS BIGINT) - CAST(CAST(max(event_time) + INTERVAL '8 hours' AS DATE) AS INT)",
            today.days()
        ),
        Measure::FirstValue { property } => {
            format!(
                "first_value({property} ORDER BY event_time) FILTER (WHERE {property} IS NOT NULL)"
            )
        }
        Measure::LastValue { property } => {
            format!(
                "last_value({property} ORDER BY event_time) FILTER (WHERE {property} IS NOT NULL)"
            )
        }
    };
    let window = derived.window_days.map_or_else(String::new, |days| {
        let days_before = i64::from(days) - 1;
        let start = calendar
            .start_of(today)
            .plus_micros(-days_before * DAY_MICROS);
        format!(" AND event_time >= TIMESTAMP '{start}'")
    });
    format!(
        "SELECT member_id, {measure} AS value FROM events WHERE name = '{}'{window} GROUP BY member_id",
        derived.event
    )
}
