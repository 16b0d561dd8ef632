//! Several processes on Kafka and PostgreSQL, each with a role: what one acknowledged holds in all of them at once (I2).
//!
//! Runs when `ASSENT_KAFKA` and `ASSENT_POSTGRES` name servers, otherwise it says how to get them.

use std::path::Path;

use serde_json::json;

use crate::deployed::{Brokers, Deployment, asked, bucket, decide, ready, shards, until};
use crate::kept;
use crate::running::{Server, repository};

/// Shards of the deployment.
const PARTITIONS: u64 = 3;
/// Withdrawals that are tried.
const TRIALS: usize = 20;

/// Copies the sample programme.
fn copied(to: &Path) {
    std::fs::create_dir(to).unwrap();
    let copied = std::process::Command::new("cp")
        .arg("-R")
        .arg(repository().join("pipelines/."))
        .arg(to)
        .status();
    assert!(copied.is_ok_and(|status| status.success()));
}

/// Makes the write key of the shop's back end another one.
fn with_another_key(programme: &Path) {
    let sources = programme.join("sources.yaml");
    let text = std::fs::read_to_string(&sources).unwrap();
    // SHA-256 of `demo-server-key` and of `another-key`.
    let key = text
        .lines()
        .skip_while(|line| !line.contains("demo-server"))
        .find_map(|line| line.trim().strip_prefix("write_key_sha256: "))
        .unwrap()
        .to_owned();
    let another = "8c5a3b1c3f3f0d9d3f0a6ee1d8a5c2a6f1b2f1f7a8e9d0c1b2a3948576655443";
    std::fs::write(&sources, text.replace(&key, another)).unwrap();
}

#[test]
fn what_one_process_acknowledged_holds_in_all_of_them_at_once() {
    // One after the other: the topics are the same.
    several_processes("[profiles]\ndir = \"profiles\"");
    match std::env::var("ASSENT_S3") {
        Ok(address) => several_processes(&bucket(&address)),
        Err(_) => eprintln!("the same with profiles in a bucket is skipped: ASSENT_S3 names none"),
    }
}

fn several_processes(profiles: &str) {
    let Some(deployment) = Deployment::new(Brokers::One, PARTITIONS, profiles) else {
        return;
    };
    let (code, talk) = deployment.assent("nobody", &["topics"]);
    assert_eq!(code, Some(1), "{talk}");
    deployment.ok("nobody", &["topics", "--create"]);
    let intakes = [
        deployment.serve("intake-a", "intake"),
        deployment.serve("intake-b", "intake"),
    ];
    let projectors = [
        deployment.serve("projector-a", "projector"),
        deployment.serve("projector-b", "projector"),
    ];
    let queries = [
        deployment.serve("query-a", "query"),
        deployment.serve("query-b", "query"),
    ];
    assert!(!ready(&intakes[0]), "no source is defined yet");

    // Definitions and principals through any process, in force in all of them.
    deployment.ok("projector-a", &["apply", "pipelines"]);
    for intake in &intakes {
        assert!(
            ready(intake),
            "{:?}",
            intake.request("GET", "/readyz", &[], b"")
        );
    }
    let token = deployment.ok(
        "intake-b",
        &["principal", "add", "me", "--purpose", "email_marketing"],
    );
    let token = token.trim();
    for query in &queries {
        assert_eq!(
            asked(query, token, "SELECT count(*) AS n FROM members"),
            (200, 0.into())
        );
    }

    // Taken in here, folded there, told elsewhere; and gone with the withdrawal, wherever it came in.
    let customer = |trial: usize| format!("c{trial}");
    for trial in 0..TRIALS {
        let intake = &intakes[trial % 2];
        decide(intake, &customer(trial), "granted", &format!("g{trial}"));
        let order = json!({
            "event": "Order Completed", "userId": customer(trial), "messageId": format!("o{trial}"),
            "properties": { "revenue": 1, "currency": "CNY" },
        });
        assert_eq!(
            intake
                .post("/v1/track", "demo-server-key", &order)
                .unwrap()
                .status,
            200
        );
    }
    let bought = "SELECT sum(purchases_total) AS n FROM members";
    let told = |query: &Server| -> u64 {
        let (status, n) = asked(query, token, bought);
        assert_eq!(status, 200);
        n.as_str()
            .and_then(|n| n.parse().ok())
            .or(n.as_u64())
            .unwrap_or_default()
    };
    for query in &queries {
        until("the profiles", || told(query) == TRIALS as u64);
    }
    for trial in 0..TRIALS {
        decide(
            &intakes[(trial + 1) % 2],
            &customer(trial),
            "withdrawn",
            &format!("w{trial}"),
        );
        let left = (TRIALS - trial - 1) as u64;
        let query = &queries[trial % 2];
        assert_eq!(
            told(query),
            left,
            "trial {trial}: a withdrawal was not honoured"
        );
    }
    // And back again, by the other process: the later receipt is later, whichever stamped it.
    for trial in 0..TRIALS {
        decide(
            &intakes[trial % 2],
            &customer(trial),
            "granted",
            &format!("again{trial}"),
        );
        assert_eq!(told(&queries[trial % 2]), trial as u64 + 1, "trial {trial}");
    }

    // Two projectors share the shards; when one dies the other takes its share over and goes on where the last commit
    // stands.
    until("a share for each projector", || {
        let shares: Vec<u64> = projectors.iter().map(shards).collect();
        shares.iter().sum::<u64>() == PARTITIONS && shares.iter().all(|share| *share > 0)
    });
    let [first, second] = projectors;
    first.signal_kill();
    for trial in 0..TRIALS {
        let order = json!({
            "event": "Order Completed", "userId": customer(trial), "messageId": format!("late{trial}"),
            "properties": { "revenue": 1, "currency": "CNY" },
        });
        let answer = intakes[0].post("/v1/track", "demo-server-key", &order);
        assert_eq!(answer.unwrap().status, 200);
    }
    until("the late orders", || told(&queries[0]) == 2 * TRIALS as u64);
    // Told when the run ends, which is after its commits are seen.
    until("all shards", || shards(&second) == PARTITIONS);
    assert!(ready(&second));

    // A command where no server runs joins as one more process.
    let explained = deployment.ok(
        "nobody",
        &[
            "explain",
            "--token",
            token,
            "--purpose",
            "email_marketing",
            "--format",
            "csv",
        ],
    );
    assert!(
        explained.contains(&format!("permitted,{TRIALS}")),
        "{explained}"
    );
    // And one that needs a role asks a process that has it, or is told.
    let (code, talk) = deployment.assent(
        "intake-a",
        &[
            "query",
            "--token",
            token,
            "--purpose",
            "email_marketing",
            bought,
        ],
    );
    assert_eq!(code, Some(2), "{talk}");
    assert!(talk.contains("does not have the role query"), "{talk}");

    let programme = deployment.folder().join("programme");
    copied(&programme);
    kept::define(&programme);
    deployment.ok("query-a", &["apply", programme.to_str().unwrap()]);
    let customers: Vec<String> = (0..TRIALS).map(customer).collect();
    kept::by_several(&intakes, &queries, token, &customers);

    // Taken away through one process, gone in the others.
    deployment.ok("query-a", &["principal", "revoke", "me"]);
    assert_eq!(asked(&queries[1], token, bought).0, 401);
    with_another_key(&programme);
    deployment.ok("intake-a", &["apply", programme.to_str().unwrap()]);
    for intake in &intakes {
        let call = json!({ "event": "Seen", "userId": "c0" });
        let refused = intake.post("/v1/track", "demo-server-key", &call).unwrap();
        assert_eq!(refused.status, 401, "{:?}", refused.json());
    }
    deployment.ok("query-b", &["doctor"]);
    deployment.ok("nobody", &["doctor"]);
    for server in intakes.into_iter().chain(queries).chain([second]) {
        assert!(server.stop());
    }
}
