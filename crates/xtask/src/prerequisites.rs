//! What a machine needs before the long builds start, and how to get what is missing.

use std::process::{Command, Stdio};

struct Need {
    what: &'static str,
    probe: &'static [&'static str],
    get: &'static str,
}

const BUILD: &[Need] = &[
    Need {
        what: "a C compiler",
        probe: &["cc", "--version"],
        get: "apt-get install build-essential",
    },
    Need {
        what: "make",
        probe: &["make", "--version"],
        get: "apt-get install build-essential",
    },
    Need {
        what: "OpenSSL's headers, for Kafka's client",
        probe: &["pkg-config", "--exists", "openssl"],
        get: "apt-get install libssl-dev pkg-config",
    },
];

const KAFKA: &[Need] = &[
    Need {
        what: "Java 17 or newer",
        probe: &["java", "-version"],
        get: "apt-get install openjdk-17-jre-headless",
    },
    Need {
        what: "Maven",
        probe: &["mvn", "--version"],
        get: "apt-get install maven",
    },
];

/// Fails with one line for each missing program.
pub fn check(with_kafka: bool) -> Result<(), String> {
    let needs = BUILD
        .iter()
        .chain(if with_kafka { KAFKA } else { &[] }.iter());
    let missing: Vec<String> = needs
        .filter(|need| !present(need.probe))
        .map(|need| format!("  {}: {}", need.what, need.get))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!(
        "this machine lacks (Debian commands behind the colon):\n{}\n\
         Without Java and Maven, `cargo xtask test --no-kafka` runs the rest.",
        missing.join("\n")
    ))
}

fn present(probe: &[&str]) -> bool {
    let Some((program, args)) = probe.split_first() else {
        return false;
    };
    Command::new(program)
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
