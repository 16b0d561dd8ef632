//! The main job on a whole deployment: one process a role, on Kafka, PostgreSQL and an object store, spoken to over HTTP
//! alone. It does not care who started the deployment: `cargo xtask cluster` or `docker compose up`.
//!
//! Runs when `ASSENT_CLUSTER` names its intake, projector and query processes (`host:port`, with commas between) and
//! `ASSENT_CLUSTER_TOKEN` a token for `email_marketing`; otherwise it says how to get them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::running::{Address, decision};

/// Members of a run.
const MEMBERS: usize = 40;
/// Write key of the sample programme's shop.
const KEY: &str = "demo-server-key";

struct Deployment {
    intake: Address,
    projector: Address,
    query: Address,
    token: String,
    /// In every name of this run, so that it can be run again on the same deployment.
    run: String,
}

impl Deployment {
    fn there() -> Option<Self> {
        let told = (
            std::env::var("ASSENT_CLUSTER"),
            std::env::var("ASSENT_CLUSTER_TOKEN"),
        );
        let (Ok(addresses), Ok(token)) = told else {
            eprintln!("the test of a whole deployment is skipped: `cargo xtask cluster` runs it");
            return None;
        };
        let mut addresses = addresses.split(',').map(Address::of);
        let mut next = || addresses.next().expect("three addresses");
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().file_name().unwrap().to_string_lossy();
        Some(Self {
            intake: next(),
            projector: next(),
            query: next(),
            token,
            run: run.replace('.', ""),
        })
    }

    fn send(&self, path: &str, body: &Value) {
        let answer = self.intake.post(path, KEY, body).expect("answered");
        assert_eq!(answer.status, 200, "{:?}", answer.json());
        assert_eq!(answer.json()["success"], true, "{:?}", answer.json());
    }

    fn decide(&self, member: usize, state: &str, time: usize) {
        self.send(
            "/v1/consents",
            &decision(
                &self.customer(member),
                state,
                &format!("{}-{state}-{member}-{time}", self.run),
            ),
        );
    }

    fn customer(&self, member: usize) -> String {
        format!("{}-{member}", self.run)
    }

    /// What is told of one member: a city of this run's own, and an order.
    fn told(&self, member: usize) -> Value {
        let message = |what: &str| format!("{}-{what}-{member}", self.run);
        let user = self.customer(member);
        json!({ "batch": [
            { "type": "identify", "userId": user, "messageId": message("is"), "traits": { "city": self.run } },
            { "type": "track", "userId": user, "messageId": message("buys"), "event": "Order Completed",
              "properties": { "revenue": 1, "currency": "CNY" } },
        ] })
    }

    /// Members of this run, and orders of theirs, that a lawful query sees now.
    fn seen(&self) -> (u64, u64) {
        let sql = format!(
            "SELECT count(*) AS members, coalesce(sum(purchases_total), 0) AS orders FROM members WHERE city = '{}'",
            self.run
        );
        let body = json!({ "sql": sql, "purpose": "email_marketing" }).to_string();
        let authorization = format!("Bearer {}", self.token);
        let headers = [
            ("authorization", authorization.as_str()),
            ("accept", "application/json"),
        ];
        let answer = self
            .query
            .request("POST", "/v1/query", &headers, body.as_bytes())
            .expect("answered");
        assert_eq!(answer.status, 200, "{:?}", answer.json());
        let rows = answer.json();
        let number = |name: &str| {
            let cell = &rows[0][name];
            let text = cell.as_str().and_then(|text| text.parse().ok());
            text.or(cell.as_u64()).expect("a number")
        };
        (number("members"), number("orders"))
    }
}

#[test]
fn the_main_job_on_a_whole_deployment() {
    let Some(deployment) = Deployment::there() else {
        return;
    };
    let roles = [
        (&deployment.intake, "intake"),
        (&deployment.projector, "projector"),
        (&deployment.query, "query"),
    ];
    for (address, role) in roles {
        let answer = address
            .request("GET", "/readyz", &[], b"")
            .expect("answered");
        assert_eq!(answer.status, 200, "{role}: {:?}", answer.json());
        assert_eq!(answer.json()["roles"], json!([role]));
    }
    for member in 0..MEMBERS {
        deployment.decide(member, "granted", 0);
    }
    for member in 0..MEMBERS {
        let body = deployment.told(member);
        deployment.send("/v1/batch", &body);
        // As somebody does whose connection broke: it counts once.
        deployment.send("/v1/batch", &body);
    }
    let all = MEMBERS as u64;
    let begin = Instant::now();
    while deployment.seen() != (all, all) {
        let waited = begin.elapsed();
        assert!(waited < Duration::from_secs(60), "{:?}", deployment.seen());
        std::thread::sleep(Duration::from_millis(100));
    }
    // A withdrawal that was acknowledged counts for the very next query, and so does its being taken back.
    for member in 0..MEMBERS {
        deployment.decide(member, "withdrawn", 1);
        let left = all - member as u64 - 1;
        assert_eq!(deployment.seen(), (left, left), "member {member} withdrew");
    }
    for member in 0..MEMBERS {
        deployment.decide(member, "granted", 2);
        let back = member as u64 + 1;
        assert_eq!(deployment.seen(), (back, back), "member {member} is back");
    }
}
