//! The commands, their output and their exit statuses.

use serde_json::Value;

use crate::running::{Server, assent, assent_ok};

fn status(data: &std::path::Path, args: &[&str]) -> (i32, String) {
    let output = assent(data, args);
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn the_demo_shows_the_withdrawal_and_its_commands_work() {
    let data = tempfile::tempdir().unwrap();
    let printed = assent_ok(data.path(), &["demo", "--once", "--members", "300"]);
    assert!(
        printed.contains("that member is gone, nobody else"),
        "{printed}"
    );
    // What was done to a demo since is not thrown away unasked.
    let (code, talk) = status(data.path(), &["demo", "--once"]);
    assert_eq!(code, 2, "{talk}");
    assert!(talk.contains("--afresh"), "{talk}");
    // The same seed, the same people: only times may differ.
    let again = assent_ok(
        data.path(),
        &["demo", "--once", "--members", "300", "--afresh"],
    );
    let lines = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| line.contains('%') || line.contains("withdraws"))
            .map(str::to_owned)
            .collect()
    };
    assert!(!lines(&printed).is_empty());
    assert_eq!(lines(&printed), lines(&again));

    // Without a server the commands open the stores, with one they ask it: the same answers.
    let query = [
        "query",
        "--purpose",
        "email_marketing",
        "--channel",
        "email",
        "--format",
        "csv",
        "SELECT count(*) AS n, sum(purchases_total) AS p FROM members",
    ];
    let alone = assent_ok(data.path(), &query);
    let server = Server::start(data.path(), &[]);
    assert_eq!(assent_ok(data.path(), &query), alone);
    let listed = assent_ok(data.path(), &["segment", "list", "--format", "json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.as_array().map(Vec::len), Some(9));
    let out = tempfile::tempdir().unwrap();
    let exported = assent_ok(
        data.path(),
        &[
            "segment",
            "export",
            "lapsing_regulars",
            "--out",
            out.path().to_str().unwrap(),
        ],
    );
    let exported: Value = serde_json::from_str(&exported).unwrap();
    let file = std::fs::read_to_string(exported["file"].as_str().unwrap()).unwrap();
    assert_eq!(
        file.lines().count() as u64,
        exported["manifest"]["rows"].as_u64().unwrap() + 1
    );
    assert!(file.lines().nth(1).unwrap().starts_with("customer_no,LS"));
    assert!(server.stop());
}

#[test]
fn refusals_say_what_is_allowed_and_have_their_own_exit_status() {
    let data = tempfile::tempdir().unwrap();
    assent_ok(data.path(), &["apply", "pipelines"]);
    let token = assent_ok(
        data.path(),
        &["principal", "add", "me", "--purpose", "email_marketing"],
    );
    let token = token.trim();
    let ask = |purpose: &str, sql: &str| {
        status(
            data.path(),
            &["query", "--token", token, "--purpose", purpose, sql],
        )
    };

    let (code, talk) = ask("email_marketing", "SELECT count(*) FROM members");
    assert_eq!(code, 0, "{talk}");
    let (code, talk) = ask("sms_marketing", "SELECT count(*) FROM members");
    assert_eq!(code, 3, "{talk}");
    assert!(
        talk.contains("email_marketing"),
        "lists what is allowed: {talk}"
    );
    let (code, talk) = ask("no_such_purpose", "SELECT count(*) FROM members");
    assert_eq!(code, 2, "{talk}");
    assert!(talk.contains("email_marketing"), "{talk}");
    let (code, talk) = ask("email_marketing", "SELECT avoids_caffeine FROM members");
    assert_eq!(code, 2, "{talk}");
    assert!(talk.contains("city"), "lists the columns: {talk}");
    let (code, talk) = ask("email_marketing", "SELECT purchases_9d FROM members");
    assert_eq!(code, 2, "{talk}");
    assert!(talk.contains("did you mean purchases_90d?"), "{talk}");
    // What the purpose does not read is no column that may have been meant.
    let (code, talk) = ask("email_marketing", "SELECT avoids_caffein FROM members");
    assert_eq!(code, 2, "{talk}");
    assert!(!talk.contains("avoids_caffeine"), "{talk}");
    let (code, talk) = ask("email_marketing", "COPY (SELECT 1) TO '/tmp/x.csv'");
    assert_eq!(code, 2, "{talk}");
    let (code, talk) = status(
        data.path(),
        &["query", "--token", token, "SELECT count(*) FROM members"],
    );
    assert_eq!(code, 2, "a purpose is asked for: {talk}");
    assert!(
        talk.contains("name one with --purpose; allowed purposes: email_marketing"),
        "{talk}"
    );
    let (code, talk) = status(data.path(), &["explain", "--token", token]);
    assert_eq!(code, 2, "{talk}");
    assert!(talk.contains("allowed purposes: email_marketing"), "{talk}");
    let (code, talk) = status(data.path(), &["query", "SELECT 1"]);
    assert_eq!(code, 3, "{talk}");
    assert!(talk.contains("ASSENT_TOKEN"), "{talk}");

    // A token of another data directory, given or found.
    let other = tempfile::tempdir().unwrap();
    assent_ok(other.path(), &["apply", "pipelines"]);
    let query = ["--purpose", "email_marketing", "SELECT 1"];
    let given = [&["query", "--token", token][..], &query].concat();
    let (code, talk) = status(other.path(), &given);
    assert_eq!(code, 3, "{talk}");
    let place = other.path().to_str().unwrap();
    for said in ["--token or ASSENT_TOKEN", place, "assent principal add"] {
        assert!(talk.contains(said), "{talk}");
    }
    assert!(!talk.contains(token), "{talk}");
    std::fs::write(other.path().join("token"), token).unwrap();
    let (code, talk) = status(other.path(), &[&["query"][..], &query].concat());
    assert_eq!(code, 3, "{talk}");
    assert!(
        talk.contains(&format!("the token in {place}/token")),
        "{talk}"
    );

    assent_ok(data.path(), &["principal", "revoke", "me"]);
    let (code, talk) = ask("email_marketing", "SELECT count(*) FROM members");
    assert_eq!(code, 3, "revoked: {talk}");
}

#[test]
fn a_faulty_programme_is_refused_whole_with_places_and_fixes() {
    let data = tempfile::tempdir().unwrap();
    let programme = tempfile::tempdir().unwrap();
    copy("pipelines", programme.path());
    let segment = programme.path().join("segments/lapsing_regulars.sql");
    let text = std::fs::read_to_string(&segment).unwrap();
    std::fs::write(&segment, text.replace("purchases_90d", "purchases_9d")).unwrap();
    let dir = programme.path().to_str().unwrap();
    let (code, talk) = status(data.path(), &["apply", dir]);
    assert_eq!(code, 2, "{talk}");
    assert!(talk.contains("segments/lapsing_regulars.sql:9:"), "{talk}");
    // Nothing was journalled: planning the good one shows everything as new.
    let planned = assent_ok(data.path(), &["plan", "pipelines"]);
    assert!(planned.contains("purpose email_marketing"), "{planned}");
    assent_ok(data.path(), &["apply", "pipelines"]);
    assert_eq!(assent_ok(data.path(), &["plan", "pipelines"]), "");
}

fn copy(from: &str, to: &std::path::Path) {
    let from = crate::running::repository().join(from);
    let copied = std::process::Command::new("cp")
        .arg("-R")
        .arg(from.join("."))
        .arg(to)
        .status();
    assert!(copied.is_ok_and(|status| status.success()));
}
