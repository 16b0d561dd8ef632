//! People who have a profile and never decided anything: denied for consent, counted in the base, and covered by a legal
//! duty, so that an officer can answer them (rules R7, PIPL art. 44 to 50).

use std::collections::BTreeMap;

use assent_consent::Reason;
use assent_intake::Route;
use assent_segment::{Asked, BaseCounts, LawfulSession};
use serde_json::json;

use crate::house::{House, Opening, SERVER_KEY, grant};

const MARKETING: &str = "email_marketing";
const DUTY: &str = "rights_handling";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_decided_is_counted_and_covered_by_legal_duty_only() {
    let house = Opening::sample().open().await;
    for customer in ["decided", "silent"] {
        let order = json!({
            "type": "track", "event": "Order Completed", "userId": customer,
            "properties": { "revenue": 10, "currency": "CNY" },
        });
        house.call(SERVER_KEY, Route::Track, order).await;
    }
    house.decide(grant("decided", MARKETING)).await;
    house.project().await;

    assert_eq!(members(&house, "analyst", MARKETING).await, 1);
    let counts = base(&house, "officer", MARKETING).await;
    assert_eq!(counts.permitted, 1);
    assert_eq!(counts.denied, BTreeMap::from([(Reason::NoDecision, 1)]));

    assert_eq!(members(&house, "officer", DUTY).await, 2);
    assert_eq!(base(&house, "officer", DUTY).await.permitted, 2);

    // What is known of the silent one changes with a decision, as for anybody.
    house.decide(grant("silent", MARKETING)).await;
    assert_eq!(members(&house, "analyst", MARKETING).await, 2);
}

async fn session(house: &House, principal: &str, purpose: &str) -> LawfulSession {
    let registry = house.permit.registry();
    let principal = registry.principal(principal).expect("added by the house");
    let asked = Asked {
        purpose: Some(purpose.to_owned()),
        ..Asked::default()
    };
    LawfulSession::open(&house.engine, principal, &asked, None)
        .await
        .unwrap()
}

async fn members(house: &House, principal: &str, purpose: &str) -> usize {
    let session = session(house, principal, purpose).await;
    session
        .query("SELECT member_id FROM members")
        .await
        .unwrap()
        .rows
}

async fn base(house: &House, principal: &str, purpose: &str) -> BaseCounts {
    session(house, principal, purpose)
        .await
        .base_counts()
        .await
        .unwrap()
}
