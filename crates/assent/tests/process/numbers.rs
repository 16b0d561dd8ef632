//! `GET /metrics`: known names, few labels, nothing of anybody.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::golden::golden;
use crate::running::{Server, assent_ok, track};

fn scrape(server: &Server) -> String {
    let response = server
        .request("GET", "/metrics", &[], b"")
        .expect("answered");
    assert_eq!(response.status, 200);
    String::from_utf8(response.body).unwrap()
}

/// Names with their kinds and the names of their labels.
fn names(text: &str) -> String {
    let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut kinds: BTreeMap<String, String> = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            kinds.insert(name.to_owned(), kind.to_owned());
        } else if !line.starts_with('#') && !line.is_empty() {
            let (series, _) = line.rsplit_once(' ').unwrap();
            let (name, inside) = series.split_once('{').unwrap_or((series, "}"));
            let name = ["_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|suffix| name.strip_suffix(suffix))
                .find(|base| kinds.contains_key(*base))
                .unwrap_or(name);
            let of = labels.entry(name.to_owned()).or_default();
            of.extend(
                inside
                    .trim_end_matches('}')
                    .split("\",")
                    .filter_map(|pair| pair.split_once('=').map(|(label, _)| label.to_owned()))
                    .filter(|label| label != "le"),
            );
        }
    }
    labels
        .into_iter()
        .map(|(name, labels)| {
            let labels: Vec<String> = labels.into_iter().collect();
            let line = format!("{} {name} {}", kinds[&name], labels.join(","));
            format!("{}\n", line.trim_end())
        })
        .collect()
}

#[test]
fn numbers_have_known_names_and_few_labels_whatever_is_sent() {
    let data = tempfile::tempdir().unwrap();
    assent_ok(data.path(), &["apply", "pipelines"]);
    let token = assent_ok(
        data.path(),
        &[
            "principal",
            "add",
            "planted-principal",
            "--purpose",
            "email_marketing",
        ],
    );
    let server = Server::start(data.path(), &[]);
    let authorization = format!("Bearer {}", token.trim());
    let send_everything = |round: u32| {
        let batch: Vec<Value> = (0..20)
            .map(|place| {
                let mut call = track(round * 20 + place);
                call["type"] = "track".into();
                call
            })
            .collect();
        assert_eq!(
            server
                .post("/v1/batch", "demo-server-key", &json!({ "batch": batch }))
                .unwrap()
                .status,
            200
        );
        let wrong = json!({ "subject": { "customer_no": format!("planted-{round}") }, "purpose": format!("planted-{round}"), "state": "granted" });
        server
            .post("/v1/consents", "demo-server-key", &wrong)
            .unwrap();
        for path in ["/v1/planted", "/planted", "/v1/segments/planted"] {
            let path = format!("{path}-{round}");
            server
                .request("GET", &path, &[("authorization", &authorization)], b"")
                .unwrap();
        }
        for sql in [
            "SELECT count(*) FROM members",
            "SELECT planted FROM planted",
        ] {
            let body =
                json!({ "sql": format!("{sql} -- planted-{round}"), "purpose": "email_marketing" });
            let headers = [("authorization", authorization.as_str())];
            server
                .request("POST", "/v1/query", &headers, body.to_string().as_bytes())
                .unwrap();
        }
        assent_ok(data.path(), &["project"]);
    };
    // Until every partition has a position.
    (0..4).for_each(&send_everything);
    scrape(&server);
    let first = scrape(&server);
    golden("metrics.txt", &names(&first));
    (4..8).for_each(&send_everything);
    let last = scrape(&server);
    let series = |text: &str| -> BTreeSet<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .filter_map(|line| line.rsplit_once(' ').map(|(series, _)| series.to_owned()))
            .collect()
    };
    let grown: Vec<String> = series(&last).difference(&series(&first)).cloned().collect();
    assert_eq!(grown, Vec::<String>::new(), "labels grow with what is sent");
    assert!(!last.contains("planted"), "{last}");
    assert!(
        last.contains("assent_intake_events_total{outcome=\"journalled\""),
        "the control: {last}"
    );
}
