//! A stop in good order, under load.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::running::{MEMBERS, Server, assent_ok, customer, decision, rows, track};

#[test]
fn stopping_says_so_first_and_loses_nothing_that_was_acknowledged() {
    let data = tempfile::tempdir().unwrap();
    assent_ok(data.path(), &["apply", "pipelines"]);
    let token = assent_ok(
        data.path(),
        &["principal", "add", "me", "--purpose", "email_marketing"],
    );
    let server = Server::start(data.path(), &[("ASSENT_SERVER__DRAIN_DELAY", "1s")]);
    let decisions: Vec<Value> = (0..MEMBERS)
        .map(|member| decision(&customer(member), "granted", &format!("grant-{member}")))
        .collect();
    let granted = server
        .post("/v1/consents", "demo-server-key", &Value::Array(decisions))
        .unwrap();
    assert_eq!(granted.json()["journalled"], MEMBERS);
    let next = AtomicU32::new(0);
    let acknowledged = AtomicU32::new(0);
    let (seen_not_ready, taken_while_not_ready) = (AtomicBool::new(false), AtomicBool::new(false));
    let pid = server.pid();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let not_ready = seen_not_ready.load(Ordering::SeqCst);
                    let event = next.fetch_add(1, Ordering::SeqCst);
                    match server.post("/v1/track", "demo-server-key", &track(event)) {
                        Some(response) if response.status == 200 => {
                            acknowledged.fetch_add(1, Ordering::SeqCst);
                            taken_while_not_ready.fetch_or(not_ready, Ordering::SeqCst);
                        }
                        Some(other) => {
                            panic!("{} while stopping: {:?}", other.status, other.json())
                        }
                        None => break,
                    }
                }
            });
        }
        scope.spawn(|| {
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_secs(10) {
                match server.request("GET", "/readyz", &[], b"") {
                    Some(response) if response.status == 503 => {
                        assert_eq!(response.json()["errors"][0]["pointer"], "process");
                        seen_not_ready.store(true, Ordering::SeqCst);
                    }
                    Some(_) => {}
                    None => return,
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        // A request that is under way when the process stops accepting, and ends after that.
        scope.spawn(|| {
            let body = track(next.fetch_add(1, Ordering::SeqCst)).to_string();
            let (first, rest) = body.split_at(body.len() / 2);
            let mut slow =
                server.begin("/v1/track", "demo-server-key", body.len(), first.as_bytes());
            std::thread::sleep(Duration::from_millis(600 + 1_000 + 700));
            let response = slow
                .finish(rest.as_bytes())
                .expect("what was accepted is finished");
            assert_eq!(response.status, 200);
            acknowledged.fetch_add(1, Ordering::SeqCst);
        });
        std::thread::sleep(Duration::from_millis(600));
        let signalled = std::process::Command::new("kill")
            .args(["-TERM", &pid.to_string()])
            .status();
        assert!(signalled.is_ok_and(|status| status.success()));
    });
    assert!(
        seen_not_ready.load(Ordering::SeqCst),
        "/readyz never said no"
    );
    assert!(
        taken_while_not_ready.load(Ordering::SeqCst),
        "it stopped accepting at once"
    );
    assert!(server.ended(), "a graceful stop ends well");
    let acknowledged = acknowledged.load(Ordering::SeqCst);
    assert!(acknowledged > 20, "only {acknowledged}: nothing was tested");
    let sql = "SELECT sum(purchases_total) AS n FROM members";
    let counted = rows(data.path(), token.trim(), sql)[0]["n"]
        .as_f64()
        .unwrap() as u32;
    assert!(
        counted >= acknowledged,
        "{acknowledged} acknowledged, {counted} there"
    );
    assert!(counted <= next.load(Ordering::SeqCst));
}
