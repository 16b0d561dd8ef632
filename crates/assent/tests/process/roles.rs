//! A process with one role, and what is any process's.

use serde_json::json;

use crate::running::{Server, assent, assent_ok};

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
