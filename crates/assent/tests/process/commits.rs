//! A projector is killed at every step of a commit to a bucket, as the bucket sees them: whoever goes on counts each order
//! once (I3), and folding everything anew gives the same (I4).

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::deployed::{Brokers, Deployment, bucket, decide, ready, until};
use crate::orders;
use crate::proxies::bucket::{BucketProxy, Fate, Wish};
use crate::proxies::{Moment, Victim};

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
    deployment.ok("nobody", &["topics", "--create"]);
    deployment.ok("nobody", &["apply", "pipelines"]);
    let add = ["principal", "add", "me", "--purpose", "email_marketing"];
    let token = deployment.ok("nobody", &add);
    let intake = deployment.serve("intake", "intake");
    // Files are put together, and old ones removed, all the time; for that, nobody may be about to read them for long.
    let deployment = deployment
        .with("ASSENT_PROJECTOR__MAX_FILES", "2")
        // Whoever follows a killed one waits for as long.
        .with("ASSENT_JOURNAL__KAFKA__SESSION_TIMEOUT", "1s")
        .with("ASSENT_PROJECTOR__KEEP_MANIFESTS", "2")
        .with("ASSENT_PROJECTOR__KEEP_FOR", "1s")
        .with("ASSENT_QUERY__TIMEOUT", "1s")
        .with("ASSENT_QUERY__BARRIER_TIMEOUT", "1s");
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
        let victim = Victim::of(&projector);
        let struck = Arc::clone(&victim);
        proxy.rule(move |seen, now| {
            if (seen, now) == (wish, moment) && struck.kill() {
                Fate::Lost
            } else {
                Fate::GoesOn
            }
        });
        let begin = Instant::now();
        while !victim.is_killed() {
            let orders = orders::batch(batches * BATCH, BATCH, BUYERS);
            let answer = intake.post("/v1/batch", "demo-server-key", &orders);
            assert_eq!(answer.expect("answered").status, 200);
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

    // Queries take their time, and files stay for as long.
    let deployment = deployment
        .with("ASSENT_PROJECTOR__KEEP_FOR", "60s")
        .with("ASSENT_QUERY__TIMEOUT", "60s")
        .with("ASSENT_QUERY__BARRIER_TIMEOUT", "5s");
    let projector = deployment.serve("projector", "projector");
    let query = deployment.serve("query", "query");
    let all = batches * BATCH;
    println!("{} kills, {all} orders", STEPS.len());
    orders::counted_once(&query, token.trim(), all, PATIENCE);
    deployment.ok("projector", &["project", "--rebuild"]);
    orders::counted_once(&query, token.trim(), all, PATIENCE);
    assert!(projector.stop() && query.stop() && intake.stop());
}
