//! Members and events for the benchmarks: many, plain, and the same each time.

use assent_consent::Timestamp;
use assent_event::{Behaviour, EventId, Payload, Times};
use assent_vault::Draft;
use serde_json::{Value, json};

use crate::house::{House, SERVER_KEY};

/// Items of one request.
pub(crate) const BATCH: u64 = 500;

pub(crate) fn customer(number: u64) -> String {
    format!("B{number:07}")
}

/// How many members the benchmark is to have: as many as `ASSENT_BENCH_MEMBERS` says, or so many.
pub(crate) fn asked_for(members: u64) -> u64 {
    let asked = std::env::var("ASSENT_BENCH_MEMBERS").ok();
    asked.map_or(members, |asked| asked.parse().expect("a number of members"))
}

/// A cheap, well-spread number for each number (the finaliser of SplitMix64).
pub(crate) fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What event `number` is.
pub(crate) struct Event {
    pub(crate) member: u64,
    name: &'static str,
    revenue: Option<u64>,
    product: String,
    days_ago: i64,
}

/// Event `number` of `members` people: six views, two carts and two orders of ten, over 400 days.
pub(crate) fn event(number: u64, members: u64) -> Event {
    let drawn = mixed(number);
    let (name, revenue) = match drawn % 10 {
        0..6 => ("Product Viewed", None),
        6..8 => ("Product Added", None),
        _ => ("Order Completed", Some(20 + drawn % 300)),
    };
    Event {
        member: mixed(drawn) % members,
        name,
        revenue,
        product: format!("tea-{}", drawn % 97),
        days_ago: i64::try_from((drawn >> 20) % 400).unwrap_or_default(),
    }
}

/// The call a back end would send for it, if it is `now`.
pub(crate) fn call(now: Timestamp, number: u64, members: u64) -> Value {
    let event = event(number, members);
    let at = now.plus_micros(-event.days_ago * 86_400_000_000);
    let mut properties = json!({ "product": event.product });
    if let Some(revenue) = event.revenue {
        properties["revenue"] = revenue.into();
        properties["currency"] = "CNY".into();
    }
    json!({
        "type": "track", "event": event.name, "userId": customer(event.member),
        "messageId": format!("e-{number}"), "timestamp": at.to_string(), "properties": properties,
    })
}

/// The same event, as what intake makes of it just before sealing.
pub(crate) fn draft(house: &House, number: u64, members: u64) -> Draft {
    let event = event(number, members);
    let at = house.now().plus_micros(-event.days_ago * 86_400_000_000);
    let mut behaviour = Behaviour::named(event.name).product(event.product);
    if let Some(revenue) = event.revenue {
        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
        let revenue = revenue as f64;
        behaviour = behaviour.revenue(revenue, "CNY");
    }
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    Draft {
        id: EventId::from_bytes(id),
        subject: house.subject("customer_no", &customer(event.member)),
        source: "demo-server".to_owned(),
        message_id: format!("d-{number}"),
        times: Times {
            event_time: at,
            received_at: house.now(),
            sent_at: None,
            original: None,
        },
        payload: Payload::from(behaviour),
    }
}

/// Makes the vault know all members and their keys, so that neither side of a ratio pays for it.
pub(crate) async fn introduce(house: &House, members: u64) {
    let cities = ["杭州", "上海", "苏州", "南京", "绍兴"];
    let tiers = ["青叶", "银毫", "金芽"];
    let mut calls = Vec::new();
    for member in 0..members {
        let drawn = mixed(member ^ 0x5eed);
        calls.push(json!({
            "type": "identify", "userId": customer(member), "messageId": format!("i-{member}"),
            "traits": {
                "city": cities[usize::try_from(drawn % 5).unwrap_or_default()],
                "tier": tiers[usize::try_from((drawn >> 8) % 3).unwrap_or_default()],
            },
        }));
        if calls.len() as u64 == BATCH || member + 1 == members {
            let batch = json!({ "batch": std::mem::take(&mut calls) });
            house
                .call(SERVER_KEY, assent_intake::Route::Batch, batch)
                .await;
        }
    }
    // The first sight of a member is over: this must find everybody.
    assert!(
        house.subject("customer_no", &customer(members - 1))
            != house.subject("customer_no", &customer(0))
    );
}
