//! Workers as processes of their own: they answer with a query process what it would answer alone, and are killed meanwhile.
//!
//! Runs when `ASSENT_KAFKA` and `ASSENT_POSTGRES` name servers, otherwise it says how to get them.

use serde_json::json;

use crate::deployed::{Brokers, Deployment, asked, decide, number, ready, until};
use crate::running::Server;

const WORKERS: usize = 3;
const PEOPLE: usize = 24;
const SECRET: &str = "a secret of these processes alone";
/// Every member once, whatever the share they are in.
const BOUGHT: &str = "SELECT sum(n) AS n FROM (SELECT m.member_id, count(*) AS n FROM members m JOIN events e \
                      ON m.member_id = e.member_id GROUP BY m.member_id)";

fn told(server: &Server, token: &str, sql: &str) -> u64 {
    let (status, n) = asked(server, token, sql);
    assert_eq!(status, 200, "{n}");
    let n = n.as_str().and_then(|n| n.parse().ok()).or(n.as_u64());
    n.unwrap_or_default()
}

#[test]
fn workers_answer_as_one_process_does_and_are_missed_by_nobody() {
    let settings = "[profiles]\ndir = \"profiles\"\n[workers]\nrows = 1";
    let Some(deployment) = Deployment::new(Brokers::One, 2, settings) else {
        return;
    };
    let deployment = deployment.with("ASSENT_WORKERS__SECRET", SECRET);
    deployment.ok("nobody", &["topics", "--create"]);
    let name = |place: usize| format!("worker-{place}");
    let work = |place: usize| deployment.serve(&name(place), "worker");
    let intake = deployment.serve("intake", "intake");
    let projector = deployment.serve("projector", "projector");
    let mut workers: Vec<Server> = (0..WORKERS).map(work).collect();
    let socket = |place| deployment.data(&name(place)).join("worker.sock");
    let sockets: Vec<String> = (0..WORKERS)
        .map(|place| socket(place).display().to_string())
        .collect();
    let sockets = sockets.join(",");
    let alone = deployment.serve("query-alone", "query");
    let sockets = [("ASSENT_WORKERS__SOCKETS", sockets.as_str())];
    let shares = deployment.serve_with("query-shares", "query", &sockets);
    deployment.ok("projector", &["apply", "pipelines"]);
    let token = deployment.ok(
        "intake",
        &["principal", "add", "me", "--purpose", "email_marketing"],
    );
    let token = token.trim();
    for place in 0..PEOPLE {
        let customer = format!("c{place}");
        decide(&intake, &customer, "granted", &format!("g{place}"));
        let order = json!({
            "event": "Order Completed", "userId": customer, "messageId": format!("o{place}"),
            "properties": { "revenue": 1, "currency": "CNY" },
        });
        let sent = intake.post("/v1/track", "demo-server-key", &order).unwrap();
        assert_eq!(sent.status, 200);
    }
    until("every order", || {
        told(&alone, token, BOUGHT) == PEOPLE as u64
    });
    for worker in &workers {
        assert!(ready(worker));
    }

    // With the workers, and at once without whoever withdraws.
    let outcome = |outcome: &str| {
        let name = format!("assent_queries_shared_total{{outcome=\"{outcome}\"}}");
        number(&shares, &name)
    };
    let helped = outcome("answered");
    assert_eq!(told(&shares, token, BOUGHT), PEOPLE as u64);
    assert_eq!(outcome("answered"), helped + 1);
    let accepted: u64 = workers
        .iter()
        .map(|worker| number(worker, "assent_worker_plans_total{outcome=\"accepted\"}"))
        .sum();
    assert!(accepted >= WORKERS as u64, "{accepted}");
    for place in 0..6 {
        decide(
            &intake,
            &format!("c{place}"),
            "withdrawn",
            &format!("w{place}"),
        );
        assert_eq!(told(&shares, token, BOUGHT), (PEOPLE - place - 1) as u64);
    }
    let left = (PEOPLE - 6) as u64;

    // One is killed while queries run: none is without an answer, and none has less than all of it.
    std::thread::scope(|scope| {
        let killer = scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(150));
            workers[0].signal_kill();
        });
        for _ in 0..40 {
            assert_eq!(told(&shares, token, BOUGHT), left);
        }
        killer.join().unwrap();
    });
    let helped = outcome("answered");
    assert_eq!(told(&shares, token, BOUGHT), left);
    assert_eq!(outcome("answered"), helped + 1, "by the others");

    // It comes back under its socket, and is asked again.
    drop(workers.remove(0));
    let again = work(0);
    until("the worker to be back", || ready(&again));
    until("the worker to be asked", || {
        assert_eq!(told(&shares, token, BOUGHT), left);
        number(&again, "assent_worker_plans_total{outcome=\"accepted\"}") > 0
    });
    drop((again, workers));
    // Nobody is left to help.
    assert_eq!(told(&shares, token, BOUGHT), left);
    assert!(projector.stop() && shares.stop());
}
