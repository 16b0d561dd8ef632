//! Orders of a few members, each of one yuan, and what a deployment counts of them in the end.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::deployed::asked;
use crate::running::Server;

/// The body of a batch of `count` orders from number `first` on, of so many members.
pub fn batch(first: u64, count: u64, buyers: u64) -> Value {
    let orders: Vec<Value> = (first..first + count)
        .map(|order| {
            json!({
                "type": "track", "event": "Order Completed", "userId": format!("buyer-{}", order % buyers),
                "messageId": format!("order-{order}"), "properties": { "revenue": 1, "currency": "CNY" },
            })
        })
        .collect();
    json!({ "batch": orders })
}

/// Waits until each of `all` orders is counted once: in the profiles, in the events and by the ids of events. More is an
/// error at once.
pub fn counted_once(query: &Server, token: &str, all: u64, patience: Duration) {
    for sql in [
        "SELECT sum(purchases_total) AS n FROM members",
        "SELECT count(*) AS n FROM events WHERE name = 'Order Completed'",
        "SELECT count(DISTINCT event_id) AS n FROM events WHERE name = 'Order Completed'",
    ] {
        let begin = Instant::now();
        loop {
            let (status, n) = asked(query, token, sql);
            assert_eq!(status, 200, "{sql}");
            // Nothing is the sum of no orders.
            let counted = n.as_u64().or_else(|| n.as_str()?.parse().ok());
            if counted == Some(all) {
                break;
            }
            assert!(
                begin.elapsed() < patience && counted < Some(all),
                "{sql}: {counted:?} of {all}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
