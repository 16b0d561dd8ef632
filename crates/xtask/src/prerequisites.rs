//! What a machine needs before the long builds start, and how to get what is missing.

use std::process::{Command, Stdio};

use crate::postgres;
use crate::test::Companion;

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

const POSTGRES: &[Need] = &[Need {
    what: "openssl, for the certificate of the test server",
    probe: &["openssl", "version"],
    get: "apt-get install openssl",
}];

const PYTHON: &[Need] = &[Need {
    what: "Python 3 with virtual environments",
    probe: &["python3", "-c", "import venv, ensurepip"],
    get: "apt-get install python3-venv",
}];

/// Fails with one line for each program missing to build and to run these companions of the tests.
pub fn check(companions: &[Companion]) -> Result<(), String> {
    let needs = companions.iter().flat_map(|companion| match companion {
        Companion::Kafka => KAFKA,
        Companion::Postgres => POSTGRES,
        Companion::Python | Companion::S3 => PYTHON,
    });
    let mut missing: Vec<String> = BUILD
        .iter()
        .chain(needs)
        .filter(|need| !present(need.probe))
        .map(|need| format!("  {}: {}", need.what, need.get))
        .collect();
    // Two companions may need the same.
    missing.dedup();
    // Debian keeps it away from the search path.
    if companions.contains(&Companion::Postgres) && postgres::bindir().is_none() {
        missing.push("  PostgreSQL's server: apt-get install postgresql".to_owned());
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!(
        "this machine lacks (Debian commands behind the colon):\n{}\n\
         `cargo xtask test --without kafka --without postgres --without python --without s3` runs what needs none \
         of them.",
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
