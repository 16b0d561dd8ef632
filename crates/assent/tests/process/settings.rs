//! Settings shown and refused, and help, as whoever types commands sees them.

use serde_json::Value;

use crate::golden::golden;
use crate::running::assent_bare;

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
