//! A projector is killed at every step of a commit to a bucket, as the bucket sees them: whoever goes on counts each order
//! once (I3), and folding everything anew gives the same (I4).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::deployed::{Brokers, Deployment, asked, bucket, decide, ready, until};
use crate::proxies::bucket::{BucketProxy, Fate, Moment, Wish};
use crate::running::Server;

/// Orders of one request.
const BATCH: u64 = 5;
/// Members the orders are of.
const BUYERS: u64 = 3;
/// Until a step is come to: files gather before any is removed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Every step of a commit that the store knows of.
const STEPS: [(Wish, Moment); 6] = [
    (Wish::PutData, Moment::Before),
    (Wish::PutData, Moment::After),
    (Wish::CreateManifest, Moment::Before),
    (Wish::CreateManifest, Moment::After),
    (Wish::Remove, Moment::Before),
    (Wish::Remove, Moment::After),
];

fn order(intake: &Server, batch: u64) {
    let orders: Vec<Value> = (batch * BATCH..(batch + 1) * BATCH)
        .map(|order| {
            json!({
                "type": "track", "event": "Order Completed", "userId": format!("buyer-{}", order % BUYERS),
                "messageId": format!("order-{order}"), "properties": { "revenue": 1, "currency": "CNY" },
            })
        })
        .collect();
    let answer = intake.post("/v1/batch", "demo-server-key", &json!({ "batch": orders }));
    assert_eq!(answer.expect("answered").status, 200);
}

/// What is counted in the profiles, the events and the events by their ids.
fn counted(query: &Server, token: &str) -> Option<[u64; 3]> {
    let mut counts = [0; 3];
    for (count, sql) in counts.iter_mut().zip([
        "SELECT sum(purchases_total) AS n FROM members",
        "SELECT count(*) AS n FROM events WHERE name = 'Order Completed'",
        "SELECT count(DISTINCT event_id) AS n FROM events WHERE name = 'Order Completed'",
    ]) {
        let (status, n) = asked(query, token, sql);
        assert_eq!(status, 200, "{sql}");
        *count = n.as_u64().or_else(|| n.as_str()?.parse().ok())?;
    }
    Some(counts)
}

#[test]
fn a_projector_killed_at_any_step_of_a_commit_loses_nothing() {
    let Ok(address) = std::env::var("ASSENT_S3") else {
        eprintln!("kills at each step of a commit are skipped: ASSENT_S3 names no bucket");
        return;
    };
    let proxy = BucketProxy::before(&address);
    let Some(deployment) = Deployment::new(Brokers::One, 2, &bucket(&proxy.address())) else {
        return;
    };
    // Files are put together, and old ones removed, all the time.
    let deployment = deployment
        .with("ASSENT_PROJECTOR__MAX_FILES", "2")
        // Whoever follows a killed one waits for as long.
        .with("ASSENT_JOURNAL__KAFKA__SESSION_TIMEOUT", "1s")
        .with("ASSENT_PROJECTOR__KEEP_MANIFESTS", "2")
        .with("ASSENT_PROJECTOR__KEEP_FOR", "1s")
        .with("ASSENT_QUERY__TIMEOUT", "1s")
        .with("ASSENT_QUERY__BARRIER_TIMEOUT", "1s");
    deployment.ok("nobody", &["topics", "--create"]);
    deployment.ok("nobody", &["apply", "pipelines"]);
    let add = ["principal", "add", "me", "--purpose", "email_marketing"];
    let token = deployment.ok("nobody", &add);
    let intake = deployment.serve("intake", "intake");
    for buyer in 0..BUYERS {
        decide(
            &intake,
            &format!("buyer-{buyer}"),
            "granted",
            &format!("g{buyer}"),
        );
    }

    let mut batches = 0;
    for (wish, moment) in STEPS {
        let projector = deployment.serve("projector", "projector");
        until("the projector to hold its shards", || ready(&projector));
        let victim = Arc::new(AtomicU32::new(projector.pid()));
        let killed = Arc::new(AtomicBool::new(false));
        let tells = Arc::clone(&killed);
        proxy.rule(move |seen, now| {
            if (seen, now) != (wish, moment) || victim.load(Ordering::SeqCst) == 0 {
                return Fate::GoesOn;
            }
            let victim = victim.swap(0, Ordering::SeqCst);
            if victim != 0 {
                let line = ["-KILL", &victim.to_string()];
                let kill = std::process::Command::new("kill").args(line).status();
                tells.store(kill.is_ok_and(|kill| kill.success()), Ordering::SeqCst);
            }
            Fate::Lost
        });
        let begin = Instant::now();
        while !killed.load(Ordering::SeqCst) {
            order(&intake, batches);
            batches += 1;
            assert!(
                begin.elapsed() < PATIENCE,
                "no {wish:?}, {moment:?}, after {batches} batches"
            );
            std::thread::sleep(Duration::from_millis(30));
        }
        drop(projector);
        proxy.calm();
    }

    let projector = deployment.serve("projector", "projector");
    let query = deployment.serve("query", "query");
    let all = batches * BATCH;
    println!("{} kills, {all} orders", STEPS.len());
    let begin = Instant::now();
    loop {
        let counts = counted(&query, token.trim());
        if counts == Some([all; 3]) {
            break;
        }
        assert!(
            begin.elapsed() < PATIENCE
                && counts.is_none_or(|counts| counts.iter().all(|n| *n <= all)),
            "{counts:?} of {all}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    deployment.ok("projector", &["project", "--rebuild"]);
    until("the same, folded anew", || {
        counted(&query, token.trim()) == Some([all; 3])
    });
    assert!(projector.stop() && query.stop() && intake.stop());
}
