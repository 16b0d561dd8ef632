//! A withdrawal counts at the next question, without projection; so do links, erasure and what undoes them.

use std::collections::BTreeSet;
use std::time::Duration;

use assent_intake::Route;
use serde_json::json;

use crate::house::{House, Opening, SERVER_KEY, grant, is_journalled, withdrawal};
use crate::scan;

/// Under every one of these uses the people below may be found.
const USES: [&str; 4] = [
    "email_marketing",
    "direct_marketing/email",
    "direct_marketing/sms",
    "membership_service/sms",
];

/// A house in which these customers ordered something, and nobody decided anything.
async fn house_of(customers: &[&str]) -> House {
    let house = Opening::sample().open().await;
    let orders: Vec<_> = customers
        .iter()
        .map(|customer| {
            json!({
                "type": "track", "userId": customer, "event": "Order Completed",
                "properties": {"revenue": 10, "product": "Longjing"},
            })
        })
        .collect();
    let taken = house
        .call(SERVER_KEY, Route::Batch, json!({"batch": orders}))
        .await;
    assert!(taken.iter().all(is_journalled));
    house.project().await;
    house
}

/// Which of these customers are there under a use, in `members` and in `events`, which must agree.
async fn there(house: &House, use_: &str, customers: &[&str]) -> Vec<bool> {
    let sees = |table: &'static str| async move {
        let sql = format!("SELECT DISTINCT member_id FROM {table}");
        let rows = house.rows(use_, &sql).await;
        let found: BTreeSet<String> = rows
            .into_iter()
            .map(|row| row[0].as_str().unwrap().to_owned())
            .collect();
        customers
            .iter()
            .map(|customer| found.contains(&house.subject("customer_no", customer).to_string()))
            .collect::<Vec<_>>()
    };
    let members = sees("members").await;
    if use_.starts_with("email_marketing") {
        assert_eq!(sees("events").await, members, "{use_}");
    }
    members
}

#[tokio::test]
async fn a_withdrawal_counts_at_once_and_a_new_grant_too() {
    let house = house_of(&["a", "b"]).await;
    let now = async || there(&house, "email_marketing", &["a", "b"]).await;
    assert_eq!(now().await, [false, false]);
    house.decide(grant("a", "email_marketing")).await;
    house.decide(grant("b", "email_marketing")).await;
    assert_eq!(now().await, [true, true]);
    for _ in 0..20 {
        house.decide(withdrawal("a", "email_marketing")).await;
        assert_eq!(now().await, [false, true]);
        house.decide(grant("a", "email_marketing")).await;
        assert_eq!(now().await, [true, true]);
    }
    // One for all purposes reaches every consent, from the umbrella down, and no other member.
    house.decide(grant("a", "direct_marketing")).await;
    house.decide(withdrawal("a", "all")).await;
    assert_eq!(now().await, [false, true]);
    assert!(
        !house
            .sees("direct_marketing/sms", house.subject("customer_no", "a"))
            .await
    );
    // A grant that was made before it and comes late opens nothing.
    let mut late = grant("a", "email_marketing");
    late["event_time"] = "2026-05-01T00:00:00Z".into();
    house.decide(late).await;
    assert_eq!(now().await, [false, true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_index_is_waited_for() {
    let house = house_of(&["a"]).await;
    house.decide(grant("a", "email_marketing")).await;
    let a = house.subject("customer_no", "a");
    assert!(house.sees("email_marketing", a).await);
    house.permit.hooks().delay_applier(Duration::from_secs(2));
    house.decide(withdrawal("a", "email_marketing")).await;
    assert!(!house.sees("email_marketing", a).await);
    // The control: without the barrier the same withdrawal is missed.
    house.decide(grant("a", "email_marketing")).await;
    assert!(house.sees("email_marketing", a).await);
    house.permit.hooks().bypass_barrier(true);
    house.decide(withdrawal("a", "email_marketing")).await;
    assert!(house.sees("email_marketing", a).await);
    house.permit.hooks().bypass_barrier(false);
    assert!(!house.sees("email_marketing", a).await);
}

#[tokio::test]
async fn an_umbrella_covers_what_is_below_it() {
    let house = house_of(&["a"]).await;
    house.decide(grant("a", "direct_marketing")).await;
    assert_eq!(there(&house, "email_marketing", &["a"]).await, [true]);
    house.decide(withdrawal("a", "email_marketing")).await;
    assert_eq!(there(&house, "email_marketing", &["a"]).await, [false]);
    assert_eq!(
        there(&house, "direct_marketing/email", &["a"]).await,
        [true]
    );
    house.decide(grant("a", "email_marketing")).await;
    house.decide(withdrawal("a", "direct_marketing")).await;
    assert_eq!(there(&house, "email_marketing", &["a"]).await, [false]);
}

#[tokio::test]
async fn a_channel_can_be_closed_alone() {
    let house = house_of(&["a"]).await;
    house.decide(grant("a", "direct_marketing")).await;
    let contract =
        json!({"subject": {"customer_no": "a"}, "fact": "contract_started", "contract": "1"});
    house.decide(contract).await;
    let mut by_text = withdrawal("a", "all");
    by_text["channel"] = "sms".into();
    house.decide(by_text).await;
    for (use_, expected) in [
        ("direct_marketing/email", true),
        ("direct_marketing/sms", false),
        ("email_marketing", true),
        // A contract needs no consent, but its channel can be refused.
        ("membership_service/email", true),
        ("membership_service/sms", false),
    ] {
        assert_eq!(there(&house, use_, &["a"]).await, [expected], "{use_}");
    }
    house.decide(grant("a", "direct_marketing")).await;
    assert_eq!(there(&house, "direct_marketing/sms", &["a"]).await, [true]);
    assert_eq!(
        there(&house, "membership_service/sms", &["a"]).await,
        [false]
    );
}

#[tokio::test]
async fn who_is_one_person_is_out_together() {
    let customers = ["a", "b"];
    let house = house_of(&customers).await;
    let now = async || there(&house, "email_marketing", &customers).await;
    for customer in customers {
        house.decide(grant(customer, "email_marketing")).await;
    }
    house.decide(withdrawal("b", "email_marketing")).await;
    assert_eq!(now().await, [true, false]);
    let link = |fact| json!({"subject": {"customer_no": "a"}, "fact": fact, "other": {"customer_no": "b"}});
    house.decide(link("linked")).await;
    assert_eq!(now().await, [false, false]);
    house.decide(link("unlinked")).await;
    assert_eq!(now().await, [true, false]);

    // Linked, b's later grant frees b alone. One by a frees a, too, if it is by the same authenticated person.
    house.decide(grant("b", "email_marketing")).await;
    assert_eq!(now().await, [true, true]);
    house.decide(link("linked")).await;
    let (a, b) = (
        house.subject("customer_no", "a"),
        house.subject("customer_no", "b"),
    );
    let orders = async || {
        house
            .rows(
                "email_marketing",
                "SELECT member_id, purchases_total FROM members",
            )
            .await
    };
    let member = json!(a.min(b).to_string());
    assert_eq!(orders().await, [[member.clone(), json!(1)]]);
    house.decide(grant("a", "email_marketing")).await;
    assert_eq!(orders().await, [[member.clone(), json!(1)]]);
    let mut known = grant("a", "email_marketing");
    known["authenticated"] = true.into();
    house.decide(known).await;
    assert_eq!(orders().await, [[member, json!(2)]]);
    // Either withdraws for both; un-linking restores the other, and only the other.
    house.decide(withdrawal("a", "email_marketing")).await;
    assert_eq!(
        house
            .rows("email_marketing", "SELECT 1 FROM members")
            .await
            .len(),
        0
    );
    assert_eq!(
        house
            .rows("email_marketing", "SELECT 1 FROM events")
            .await
            .len(),
        0
    );
    house.decide(link("unlinked")).await;
    assert_eq!(now().await, [false, true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_erased_is_gone_everywhere_and_for_good() {
    let customers = ["a", "b"];
    let house = house_of(&customers).await;
    for customer in customers {
        let mut proven = grant(customer, "email_marketing");
        proven["evidence"] = "a form".into();
        house.decide(proven).await;
        house.decide(grant(customer, "direct_marketing")).await;
        house
            .decide(json!([
                {"subject": {"customer_no": customer}, "fact": "contract_started", "contract": customer},
                {"subject": {"customer_no": customer}, "fact": "birth_date", "birth_date": "1990-01-01"},
            ]))
            .await;
    }
    let (a, b) = (
        house.subject("customer_no", "a"),
        house.subject("customer_no", "b"),
    );
    for use_ in USES {
        assert!(
            house.sees(use_, a).await && house.sees(use_, b).await,
            "{use_}"
        );
    }
    house.erase(a).await;
    let gone = async |house: &House| {
        for use_ in USES {
            assert!(!house.sees(use_, a).await, "{use_}");
            assert!(house.sees(use_, b).await, "{use_}");
        }
        let members = house
            .rows("email_marketing", "SELECT member_id FROM members")
            .await;
        assert_eq!(members, [[json!(b.to_string())]]);
        let events = house
            .rows("email_marketing", "SELECT DISTINCT member_id FROM events")
            .await;
        assert_eq!(events, [[json!(b.to_string())]]);
    };
    gone(&house).await;
    // Folding anew meets the erased events as tombstones and goes on.
    let rebuilt = house.rebuild().await;
    assert_eq!(
        (rebuilt.counts.folded, rebuilt.counts.erased),
        (1, 1),
        "{rebuilt:?}"
    );
    gone(&house).await;
    house.purge().await;
    gone(&house).await;
    // The index, too, starts anew without the keys.
    let house = house.restart().await;
    gone(&house).await;

    // The same customer number seen later is somebody else, of whom nothing is known.
    let order = json!({"userId": "a", "event": "Order Completed"});
    assert!(is_journalled(
        &house.call(SERVER_KEY, Route::Track, order).await[0]
    ));
    house.project().await;
    let again = house.subject("customer_no", "a");
    assert_ne!(again, a);
    assert!(!house.sees("email_marketing", again).await);
    house.decide(grant("a", "email_marketing")).await;
    let rows = house
        .rows(
            "email_marketing",
            &format!("SELECT purchases_total FROM members WHERE member_id = '{again}'"),
        )
        .await;
    assert_eq!(rows, [[json!(1)]]);
    assert!(!house.sees("email_marketing", a).await);

    let dir = house.close().await;
    let mut others = false;
    for (column, cells) in scan::profiles(dir.path()) {
        let cells = String::from_utf8_lossy(&cells).into_owned();
        assert!(!cells.contains(&a.to_string()), "{column}");
        others |= column == "members.subject" && cells.contains(&b.to_string());
    }
    assert!(others, "control: the others are there");
}
