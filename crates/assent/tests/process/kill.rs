//! `kill -9` in the middle of intake, again and again: nothing acknowledged is lost, nothing is counted twice (I3).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::running::{Server, assent_ok, decision};

/// How often the server is killed.
const CYCLES: u32 = 6;
/// Events of one request.
const BATCH: u32 = 20;
/// Members the events are about.
const MEMBERS: u32 = 7;

#[test]
fn what_was_acknowledged_survives_kill_9_and_is_counted_once() {
    let data = tempfile::tempdir().unwrap();
    assent_ok(data.path(), &["apply", "pipelines"]);
    let token = assent_ok(
        data.path(),
        &["principal", "add", "me", "--purpose", "email_marketing"],
    );
    grant_everybody(data.path());

    let next = AtomicU32::new(0);
    let mut sent_again = BTreeSet::new();
    for cycle in 0..CYCLES {
        let server = Server::start(data.path(), &[]);
        // What the last cycle could not tell the fate of goes out again, as a client would send it.
        for batch in std::mem::take(&mut sent_again) {
            assert_eq!(send(&server, batch), Some(200));
        }
        let ended = AtomicBool::new(false);
        let unknown = std::thread::scope(|scope| {
            let sender = scope.spawn(|| {
                let mut unknown = BTreeSet::new();
                while !ended.load(Ordering::SeqCst) {
                    let batch = next.fetch_add(1, Ordering::SeqCst);
                    if send(&server, batch) != Some(200) {
                        unknown.insert(batch);
                        break;
                    }
                }
                unknown
            });
            // Different moments: during the first commits, and while the projector publishes.
            std::thread::sleep(Duration::from_millis(120 + 170 * u64::from(cycle)));
            server.signal_kill();
            ended.store(true, Ordering::SeqCst);
            sender.join().unwrap()
        });
        sent_again = unknown;
    }
    let server = Server::start(data.path(), &[]);
    for batch in sent_again {
        assert_eq!(send(&server, batch), Some(200));
    }
    assert!(server.stop(), "a graceful stop ends well");

    let batches = next.load(Ordering::SeqCst);
    assert!(
        batches > CYCLES,
        "only {batches} batches: nothing was tested"
    );
    // The oracle: every batch was acknowledged in the end, so each of its events counts once.
    let events = u64::from(batches) * u64::from(BATCH);
    let revenue: u64 = (0..events).map(|event| event % 10 + 1).sum();
    let counted = totals(data.path(), &token);
    assert_eq!(counted, (events, revenue), "after {CYCLES} kills");
    assent_ok(data.path(), &["project", "--rebuild"]);
    assert_eq!(totals(data.path(), &token), counted, "folded anew (I4)");
}

/// One batch; the message ids say which events they are, so that sending it again changes nothing.
fn send(server: &Server, batch: u32) -> Option<u16> {
    let events: Vec<Value> = (0..BATCH)
        .map(|place| {
            let event = batch * BATCH + place;
            json!({
                "type": "track", "event": "Order Completed", "userId": format!("m{}", event % MEMBERS),
                "messageId": format!("order-{event}"),
                "properties": { "revenue": event % 10 + 1, "currency": "CNY" },
            })
        })
        .collect();
    server
        .post("/v1/batch", "demo-server-key", &json!({ "batch": events }))
        .map(|response| response.status)
}

fn grant_everybody(data: &std::path::Path) {
    let server = Server::start(data, &[]);
    let decisions: Vec<Value> = (0..MEMBERS)
        .map(|member| decision(&format!("m{member}"), "granted", &format!("g{member}")))
        .collect();
    let response = server
        .post("/v1/consents", "demo-server-key", &Value::Array(decisions))
        .expect("answered");
    assert_eq!(response.status, 200);
    assert_eq!(response.json()["journalled"], u64::from(MEMBERS));
    assert!(server.stop());
}

/// Orders and their value, by the members' counters and by the events; both must agree.
fn totals(data: &std::path::Path, token: &str) -> (u64, u64) {
    let mut answers = ["members", "events"].map(|table| {
        let sql = match table {
            "members" => "SELECT sum(purchases_total) AS n, sum(revenue_total) AS r FROM members",
            _ => {
                "SELECT count(*) AS n, sum(revenue) AS r FROM events WHERE name = 'Order Completed'"
            }
        };
        let printed = assent_ok(
            data,
            &[
                "query",
                "--token",
                token.trim(),
                "--purpose",
                "email_marketing",
                "--channel",
                "email",
                "--format",
                "json",
                sql,
            ],
        );
        let rows: Value = serde_json::from_str(&printed).expect("JSON");
        let number = |name: &str| rows[0][name].as_f64().unwrap_or_default().round() as u64;
        (number("n"), number("r"))
    });
    answers.sort_unstable();
    assert_eq!(answers[0], answers[1], "members and events disagree");
    answers[0]
}
