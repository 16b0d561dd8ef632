//! `assent doctor`.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::running::{Server, assent, assent_ok};

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
