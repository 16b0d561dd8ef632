//! Crate arrows point down only, and no crate knows what it must not.
//!
//! The order and the forbidden knowledge are those of ARCHITECTURE.md. A crate may depend on the
//! crates listed before it; development crates may be used for tests only.

use cargo_metadata::{DependencyKind, MetadataCommand};

struct Room {
    name: &'static str,
    /// External crates this room must not depend on directly, tests included.
    must_not_know: &'static [&'static str],
}

const KAFKA: &str = "rdkafka";
const SQL: &str = "datafusion";
const HTTP: &[&str] = &["axum", "hyper", "hyper-util", "tower", "tower-http"];

/// Top of the list is the ground floor.
const ROOMS: &[Room] = &[
    Room {
        name: "assent-consent",
        must_not_know: &[
            "arrow",
            "parquet",
            "tokio",
            "redb",
            "object_store",
            KAFKA,
            SQL,
        ],
    },
    Room {
        name: "assent-event",
        must_not_know: &["tokio", "redb", "object_store", KAFKA, SQL],
    },
    Room {
        name: "assent-journal",
        must_not_know: &["arrow", "apache-avro", "serde_avro_fast", KAFKA, SQL],
    },
    Room {
        name: "assent-journal-kafka",
        must_not_know: &["arrow", "apache-avro", "serde_avro_fast", SQL],
    },
    Room {
        name: "assent-vault",
        must_not_know: &["arrow", KAFKA, SQL],
    },
    Room {
        name: "assent-vault-postgres",
        must_not_know: &["arrow", KAFKA, SQL],
    },
    Room {
        name: "assent-programme",
        must_not_know: &["arrow", KAFKA, SQL],
    },
    Room {
        name: "assent-permit",
        must_not_know: &["arrow", KAFKA, SQL],
    },
    Room {
        name: "assent-intake",
        must_not_know: &["arrow", KAFKA, SQL],
    },
    Room {
        name: "assent-projection",
        must_not_know: &[KAFKA, SQL],
    },
    Room {
        name: "assent-segment",
        must_not_know: &[KAFKA],
    },
    Room {
        name: "assent-server",
        must_not_know: &["parquet", KAFKA],
    },
    Room {
        name: "assent",
        must_not_know: &[],
    },
];

/// Development only: no product crate may depend on them outside tests.
const WORKSHOPS: &[&str] = &["assent-testkit", "assent-tests", "xtask"];

/// Rooms that may use HTTP crates.
const HTTP_ROOMS: &[&str] = &["assent-server", "assent"];

/// Checks every arrow that `cargo metadata` reports.
pub fn check() -> Result<(), String> {
    let metadata = MetadataCommand::new()
        .no_deps()
        .exec()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    let mut faults = Vec::new();
    let mut arrows = 0;
    for package in &metadata.packages {
        let name = package.name.as_str();
        let floor = ROOMS.iter().position(|room| room.name == name);
        if floor.is_none() && !WORKSHOPS.contains(&name) {
            faults.push(format!(
                "{name}: has no place in the list of rooms (crates/xtask/src/layers.rs)"
            ));
        }
        for dependency in &package.dependencies {
            arrows += 1;
            let target = dependency.name.as_str();
            let in_product = floor.is_some() && dependency.kind != DependencyKind::Development;
            if let (Some(from), Some(to)) =
                (floor, ROOMS.iter().position(|room| room.name == target))
                && to >= from
            {
                faults.push(format!(
                    "{name} → {target}: points up; move what is needed to a lower room"
                ));
            }
            if in_product && WORKSHOPS.contains(&target) {
                faults.push(format!(
                    "{name} → {target}: a workshop in the product; make it a dev-dependency"
                ));
            }
            if let Some(from) = floor {
                let forbidden = ROOMS[from].must_not_know.contains(&target)
                    || (HTTP.contains(&target) && !HTTP_ROOMS.contains(&name));
                if forbidden {
                    faults.push(format!("{name} → {target}: this room must not know it"));
                }
            }
        }
    }
    if faults.is_empty() {
        eprintln!("layers: {arrows} arrows, all point down");
        Ok(())
    } else {
        Err(format!("\n  {}", faults.join("\n  ")))
    }
}
