//! What a machine needs before the long builds start, and how to get what is missing.

use std::process::{Command, Stdio};

use crate::postgres;
use crate::test::Server;

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

/// Fails with one line for each program missing to build and to run these servers.
pub fn check(servers: &[Server]) -> Result<(), String> {
    let needs = servers.iter().flat_map(|server| match server {
        Server::Kafka => KAFKA,
        Server::Postgres => POSTGRES,
    });
    let mut missing: Vec<String> = BUILD
        .iter()
        .chain(needs)
        .filter(|need| !present(need.probe))
        .map(|need| format!("  {}: {}", need.what, need.get))
        .collect();
    // Debian keeps it away from the search path.
    if servers.contains(&Server::Postgres) && postgres::bindir().is_none() {
        missing.push("  PostgreSQL's server: apt-get install postgresql".to_owned());
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!(
        "this machine lacks (Debian commands behind the colon):\n{}\n\
         `cargo xtask test --without kafka --without postgres` runs what needs neither.",
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
