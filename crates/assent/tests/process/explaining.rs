//! `assent explain` about one person.

use serde_json::{Value, json};

use crate::running::{Server, assent, assent_ok};

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
    // However it is written: intake has one spelling, too.
    let (code, wide) = explain(
        &officer,
        "customer_no= \u{ff11}\u{ff10}=42",
        "rights_handling",
    );
    assert_eq!(code, 0, "{wide}");
    let wide: Value = serde_json::from_str(&wide).unwrap();
    assert_eq!(wide["subjects"], told["subjects"]);
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
