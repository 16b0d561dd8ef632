//! What a machine needs before the long builds start, and how to get what is missing.

use std::process::{Command, Stdio};

use crate::postgres;

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

const POSTGRES: &[Need] = &[Need {
    what: "openssl, for the certificate of the test server",
    probe: &["openssl", "version"],
    get: "apt-get install openssl",
}];

/// Fails with one line for each missing program.
pub fn check(with_kafka: bool, with_postgres: bool) -> Result<(), String> {
    let needs = BUILD
        .iter()
        .chain(if with_kafka { KAFKA } else { &[] })
        .chain(if with_postgres { POSTGRES } else { &[] });
    let mut missing: Vec<String> = needs
        .filter(|need| !present(need.probe))
        .map(|need| format!("  {}: {}", need.what, need.get))
        .collect();
    // Debian keeps it away from the search path.
    if with_postgres && postgres::bindir().is_none() {
        missing.push("  PostgreSQL's server: apt-get install postgresql".to_owned());
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!(
        "this machine lacks (Debian commands behind the colon):\n{}\n\
         Without Java and Maven, `cargo xtask test --no-kafka` runs the rest; without PostgreSQL,\n\
         `--no-postgres` does.",
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
