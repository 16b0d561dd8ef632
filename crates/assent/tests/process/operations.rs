//! Settings shown, help, numbers, stopping, doctor: what operators see of a process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::golden::golden;
use crate::running::{Server, assent, assent_bare, assent_ok};

#[test]
fn settings_are_shown_with_who_said_them() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("assent.toml"),
        "version = 1\ndata_dir = \"/data\"\n\n[query]\nrows = 5\n",
    )
    .unwrap();
    let shown = |format: &str| {
        let args = [
            "--config",
            "assent.toml",
            "--data-dir",
            "/elsewhere",
            "config",
            "show",
            "--format",
            format,
        ];
        let environment = [
            ("ASSENT_SERVER__PORT", "9000"),
            ("ASSENT_VAULT__MASTER_KEY", "planted-secret"),
        ];
        let output = assent_bare(folder.path(), &environment, &args);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    golden("config-show.txt", &shown("table"));
    golden("config-show.toml", &shown("toml"));
    let json: Value = serde_json::from_str(&shown("json")).unwrap();
    let of = |key: &str| {
        let one = json
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["key"] == key)
            .unwrap();
        (
            one["value"].clone(),
            one["origin"].as_str().unwrap().to_owned(),
        )
    };
    assert_eq!(
        of("server.port"),
        (9000.into(), "env ASSENT_SERVER__PORT".to_owned())
    );
    assert_eq!(
        of("data_dir"),
        ("/elsewhere".into(), "flag --data-dir".to_owned())
    );
    assert_eq!(of("query.rows"), (5.into(), "assent.toml:5".to_owned()));
    assert_eq!(of("vault.master_key").0, "(set)");
}

#[test]
fn a_wrong_setting_is_a_usage_error_of_every_command() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("assent.toml"),
        "version = 1\n[server]\nprot = 1\n",
    )
    .unwrap();
    for command in [
        &["serve"][..],
        &["topics"],
        &["config", "show"],
        &["query", "--purpose", "p", "SELECT 1"],
    ] {
        let args = [&["--config", "assent.toml"], command].concat();
        let output = assent_bare(folder.path(), &[], &args);
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{command:?}: {talk}");
        assert!(
            talk.contains("assent.toml:3:1") && talk.contains("server.port"),
            "{talk}"
        );
    }
    let output = assent_bare(folder.path(), &[], &["--config", "assent.toml", "doctor"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("assent.toml:3:1"));
}

#[test]
fn help_is_what_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for command in ["", "serve", "config", "topics", "doctor", "explain"] {
        let mut args: Vec<&str> = command.split(' ').filter(|word| !word.is_empty()).collect();
        args.push("--help");
        let output = assent_bare(folder.path(), &[], &args);
        text.push_str(&format!(
            "$ assent {}\n{}\n",
            args.join(" "),
            String::from_utf8_lossy(&output.stdout)
        ));
    }
    golden("help.txt", &text);
}

/// Members the events are about.
const MEMBERS: u32 = 9;

fn customer(member: u32) -> String {
    format!("planted-customer-{member}")
}

fn track(event: u32) -> Value {
    json!({
        "event": "Order Completed", "userId": customer(event % MEMBERS),
        "messageId": format!("order-{event}"), "properties": { "revenue": 1, "currency": "CNY" },
    })
}

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
        .map(|member| {
            json!({
                "subject": { "customer_no": customer(member) }, "purpose": "email_marketing", "state": "granted",
                "act": "checkbox_ticked", "notice": { "id": "membership", "version": 2 },
            })
        })
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
    let counted = assent_ok(
        data.path(),
        &[
            "query",
            "--token",
            token.trim(),
            "--purpose",
            "email_marketing",
            "--format",
            "csv",
            "SELECT sum(purchases_total) AS n FROM members",
        ],
    );
    let counted: u32 = counted.lines().nth(1).unwrap().parse().unwrap();
    assert!(
        counted >= acknowledged,
        "{acknowledged} acknowledged, {counted} there"
    );
    assert!(counted <= next.load(Ordering::SeqCst));
}

#[test]
fn a_process_says_which_role_it_lacks_and_commands_pass_it_on() {
    let data = tempfile::tempdir().unwrap();
    assent_ok(data.path(), &["apply", "pipelines"]);
    let server = Server::start(data.path(), &[("ASSENT_ROLES", "intake")]);
    let refused = server.request("POST", "/v1/query", &[], b"{}").unwrap();
    assert_eq!(refused.status, 404);
    assert_eq!(refused.json()["code"], "role_missing");
    let ready = server.request("GET", "/readyz", &[], b"").unwrap();
    assert_eq!(
        (ready.status, ready.json()["roles"].clone()),
        (200, json!(["intake"]))
    );
    let output = assent(
        data.path(),
        &[
            "query",
            "--token",
            "t",
            "--purpose",
            "email_marketing",
            "SELECT 1",
        ],
    );
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        talk.contains("does not have the role query") && talk.contains("its roles: intake"),
        "{talk}"
    );
    // Definitions and principals are any process's.
    assert_eq!(assent_ok(data.path(), &["plan", "pipelines"]), "");
    assent_ok(
        data.path(),
        &["principal", "add", "me", "--purpose", "email_marketing"],
    );
    assert!(assent_ok(data.path(), &["principal", "list"]).contains("me"));
    assert!(server.stop());
}

#[test]
fn the_doctor_tells_what_is_wrong_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    // Made by the program, so its owner's alone.
    let data = folder.path().join("data");
    assent_ok(&data, &["apply", "pipelines"]);
    let findings = |expected: i32| -> Vec<(String, String, String)> {
        let output = assent(&data, &["doctor", "--format", "json"]);
        assert_eq!(
            output.status.code(),
            Some(expected),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
        let list = found["findings"].as_array().unwrap();
        list.iter()
            .map(|one| (text(one, "check"), text(one, "status"), text(one, "fix")))
            .collect()
    };
    let of = |found: &[(String, String, String)], check: &str| -> (String, String) {
        let one = found.iter().find(|(name, _, _)| name.starts_with(check));
        one.map(|(_, status, fix)| (status.clone(), fix.clone()))
            .unwrap_or_default()
    };
    let well = findings(0);
    for check in [
        "configuration",
        "journal",
        "definitions",
        "vault",
        "clock",
        "profiles",
        "projection lag",
        "space for",
        "permissions of",
    ] {
        assert_eq!(of(&well, check).0, "ok", "{check}: {well:?}");
    }
    assert_eq!(of(&well, "server").0, "warn");

    // Through a server that holds the stores: the same, and that it is ready.
    let server = Server::start(&data, &[]);
    let running = findings(0);
    assert_eq!(of(&running, "server").0, "ok");
    assert_eq!(of(&running, "vault").0, "ok");
    assert!(server.stop());

    let key = data.join("master.key");
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let open = findings(1);
    let name = format!("permissions of {}", key.display());
    assert_eq!(
        of(&open, &name),
        ("fail".to_owned(), format!("chmod go= {}", key.display()))
    );
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();

    // The key of another vault.
    let right = std::fs::read_to_string(&key).unwrap();
    std::fs::write(&key, "00".repeat(32)).unwrap();
    assert_eq!(of(&findings(1), "vault").0, "fail");
    std::fs::write(&key, right).unwrap();
    assert_eq!(of(&findings(0), "vault").0, "ok");
}

#[test]
fn an_officer_finds_a_person_by_what_is_known_of_them_and_nobody_else_does() {
    let data = tempfile::tempdir().unwrap();
    assent_ok(data.path(), &["apply", "pipelines"]);
    let add = |name: &str, rest: &[&str]| {
        let args = [
            &["principal", "add", name, "--purpose", "email_marketing"],
            rest,
        ]
        .concat();
        assent_ok(data.path(), &args).trim().to_owned()
    };
    let officer = add(
        "officer",
        &["--role", "officer", "--purpose", "rights_handling"],
    );
    let analyst = add("analyst", &[]);
    let server = Server::start(data.path(), &[]);
    let decision = json!({ "subject": { "customer_no": "10=42" }, "purpose": "email_marketing", "state": "withdrawn" });
    assert_eq!(
        server
            .post("/v1/consents", "demo-server-key", &decision)
            .unwrap()
            .status,
        200
    );
    let explain = |token: &str, identifier: &str, under: &str| {
        let args = [
            "explain",
            "--token",
            token,
            "--purpose",
            "email_marketing",
            "--identifier",
            identifier,
            "--under",
            under,
        ];
        let output = assent(data.path(), &args);
        let text = if output.status.success() {
            output.stdout
        } else {
            output.stderr
        };
        (
            output.status.code().unwrap(),
            String::from_utf8(text).unwrap(),
        )
    };
    let (code, told) = explain(&officer, "customer_no=10=42", "rights_handling");
    assert_eq!(code, 0, "{told}");
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["subjects"][0]["verdict"]["reason"], "withdrawn");
    assert!(
        !told.to_string().contains("10=42"),
        "the identifier itself is not told"
    );
    let (code, talk) = explain(&officer, "customer_no=9", "rights_handling");
    assert_eq!(code, 2, "{talk}");
    assert!(
        talk.contains("nobody is known") && !talk.contains('9'),
        "{talk}"
    );
    // Whether somebody is known is told to nobody else, under no purpose.
    for (token, under) in [
        (&analyst, "rights_handling"),
        (&analyst, "email_marketing"),
        (&officer, "email_marketing"),
    ] {
        for identifier in ["customer_no=10=42", "customer_no=9"] {
            let (code, talk) = explain(token, identifier, under);
            assert_eq!(code, 3, "{under}: {talk}");
        }
    }
    let (code, talk) = explain(&officer, "10-42", "rights_handling");
    assert_eq!(
        (code, talk.contains("customer_no=1042")),
        (2, true),
        "{talk}"
    );
    assert!(server.stop());
}
