//! What the demo tells its viewers to try, tried.

use std::process::Command;

use serde_json::Value;

use crate::running::{Server, repository};

/// The commands that were printed, each on one line.
fn commands(printed: &str) -> Vec<String> {
    let (_, told) = printed.split_once("In another terminal").expect("told");
    told.replace("\\\n", " ")
        .lines()
        .map(str::trim)
        .filter(|line| line.contains(" --data-dir ") || line.starts_with("curl "))
        .map(str::to_owned)
        .collect()
}

/// A printed command, as a shell runs it in the folder of the demo.
fn run(command: &str) -> String {
    let output = Command::new("sh")
        .current_dir(repository())
        .env_remove("ASSENT_TOKEN")
        .args(["-c", command])
        .output()
        .expect("a shell");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let talk = text(&output.stderr);
    assert!(output.status.success(), "{command}: {talk}");
    text(&output.stdout)
}

#[test]
fn every_command_that_the_demo_prints_does_what_it_says() {
    // A name that a shell would take apart.
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("the demo's data");
    let (server, printed) = Server::demo(&data, &["--members", "300"]);
    let commands = commands(&printed);
    let [query, export, withdrawal] = &commands[..] else {
        panic!("{printed}");
    };
    assert!(run(query).contains("| city "));

    let out = tempfile::tempdir().unwrap();
    let folder = out.path().to_str().unwrap();
    let export = export.replace("--out /tmp", &format!("--out {folder}"));
    let exported = || {
        let answer: Value = serde_json::from_str(&run(&export)).unwrap();
        std::fs::read_to_string(answer["file"].as_str().unwrap()).unwrap()
    };
    let before = exported();

    // curl is not on every machine; what it would send is.
    let (_, body) = withdrawal.split_once(" -d ").unwrap();
    let body: Value = serde_json::from_str(body.trim().trim_matches('\'')).unwrap();
    assert!(withdrawal.contains("curl -u demo-server-key: http://"));
    let response = server.post("/v1/consents", "demo-server-key", &body);
    assert_eq!(response.unwrap().status, 200);

    let after = exported();
    let leaver = body["subject"]["customer_no"].as_str().unwrap();
    assert!(before.contains(leaver), "{leaver} is in the segment");
    assert!(!after.contains(leaver));
    assert_eq!(after.lines().count() + 1, before.lines().count());
    assert!(printed.contains("officer.token"));
    assert!(server.stop());
}
