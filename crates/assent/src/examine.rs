//! Looking at the stores for `assent doctor`: what each finding is made of, and how the stores of one process stand.
//!
//! Reads, and writes nothing but a file beside the profiles that it takes away again. No finding names a person.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use assent_consent::Timestamp;
use assent_journal::{Checkpoint, Journal, Topic};
use assent_projection::{Profiles, Storage};
use assent_server::Finding;

use crate::clock;
use crate::config::{self, Config};
use crate::node::Stores;
use crate::projection;
use crate::readiness;

/// How a thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// As it should be.
    Ok,
    /// It works; somebody should look.
    Warn,
    /// Something that must work does not.
    Fail,
}

impl Status {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// A finding.
pub fn finding(
    check: impl Into<String>,
    status: Status,
    detail: impl Display,
    fix: impl Into<String>,
) -> Finding {
    Finding {
        check: check.into(),
        status: status.as_str().to_owned(),
        detail: detail.to_string(),
        fix: match status {
            Status::Ok => String::new(),
            Status::Warn | Status::Fail => fix.into(),
        },
    }
}

/// Microseconds by which a receipt may lie ahead of the clock: under load receipts run ahead by themselves.
const AHEAD: i64 = 60 * 1_000_000;
/// The clock of a machine that was never set tells a time before this: 1 January 2026, UTC, in microseconds.
const NEVER_SET: i64 = 1_767_225_600 * 1_000_000;

/// Looks at the stores of one process.
pub async fn stores(config: &Config, stores: &Stores) -> Vec<Finding> {
    let mut findings = journal(config, &*stores.journal).await;
    findings.push(definitions(stores).await);
    if let Some(vault) = &stores.vault {
        findings.push(match readiness::answers(Arc::clone(vault)).await {
            Ok(()) => {
                let version = vault.master_version();
                let detail = format!("answers; the master key (version {version}) opens it");
                finding("vault", Status::Ok, detail, "")
            }
            Err(error) => finding(
                "vault",
                Status::Fail,
                error,
                "see that the vault can be reached",
            ),
        });
    }
    findings.push(clock_is_sane(stores.knowledge.latest_receipt()));
    if let (Some(storage), Some(profiles)) = (&stores.storage, &stores.profiles) {
        findings.push(writable(Arc::clone(storage)).await);
        findings.extend(profiles_and_lag(config, stores, profiles).await);
    }
    if let Some(trouble) = stores
        .projection
        .as_ref()
        .and_then(|projection| projection.trouble())
    {
        findings.push(finding(
            "projection",
            Status::Fail,
            trouble,
            "mend what it says; the projector goes on by itself",
        ));
    }
    findings
}

/// Whether what is folded could be written. Nothing stays of it.
async fn writable(storage: Arc<dyn Storage>) -> Finding {
    let place = storage.locate("");
    let tried = tokio::task::spawn_blocking(move || {
        let staged = storage.stage("data/probe").map(drop);
        staged.and_then(|()| storage.list("manifest", "").map(|found| found.len()))
    });
    let check = format!("storage {}", place.display());
    match tried.await {
        Ok(Ok(manifests)) => {
            let detail = format!("can be written and listed; manifests {manifests}");
            finding(check, Status::Ok, detail, "")
        }
        Ok(Err(error)) => finding(check, Status::Fail, error, "see that it can be written"),
        Err(error) => finding(check, Status::Fail, error, "report this defect"),
    }
}

async fn profiles_and_lag(
    config: &Config,
    stores: &Stores,
    profiles: &Arc<Profiles>,
) -> Vec<Finding> {
    let fix = "see that they can be read; assent project --rebuild folds them anew";
    let snapshot = match readiness::load(Arc::clone(profiles)).await {
        Ok(snapshot) => snapshot,
        Err(error) => return vec![finding("profiles", Status::Fail, error, fix)],
    };
    let detail = match &snapshot {
        Some(snapshot) => format!("manifest {} reads", snapshot.manifest().number),
        None => "nothing is projected yet".to_owned(),
    };
    let mut findings = vec![finding("profiles", Status::Ok, detail, "")];
    match projection::behind(&*stores.journal, snapshot.as_ref()).await {
        Ok(behind) => findings.extend(lag(config, &behind)),
        Err(error) => findings.push(finding("projection lag", Status::Fail, error, fix)),
    }
    findings
}

/// Whether the journal answers, where it ends, and whether its topics are as configured.
pub async fn journal(config: &Config, journal: &dyn Journal) -> Vec<Finding> {
    let wanted = config::topics(config.partitions);
    let names: Vec<Topic> = wanted.iter().map(|(topic, _)| topic.clone()).collect();
    let mut findings = Vec::new();
    match journal.end_positions(&names).await {
        Ok(ends) => findings.push(finding("journal", Status::Ok, held(&names, &ends), "")),
        Err(error) => {
            findings.push(finding(
                "journal",
                Status::Fail,
                error,
                "see that the journal can be reached",
            ));
            return findings;
        }
    }
    for (topic, partitions) in &wanted {
        match journal.partitions(topic) {
            Ok(found) if found == *partitions => {}
            Ok(found) => findings.push(finding(
                format!("topic {topic}"),
                Status::Fail,
                format_args!("has {found} partitions, {partitions} are configured"),
                format!("set journal.partitions to {found}"),
            )),
            Err(error) => findings.push(finding(
                format!("topic {topic}"),
                Status::Fail,
                error,
                "assent topics --create",
            )),
        }
    }
    findings
}

fn held(names: &[Topic], ends: &Checkpoint) -> String {
    let texts: Vec<String> = names
        .iter()
        .map(|topic| {
            let end: u64 = ends
                .iter()
                .filter(|(of, _, _)| *of == topic)
                .map(|(_, _, end)| end)
                .sum();
            format!("{topic} {end}")
        })
        .collect();
    format!("answers; positions given so far: {}", texts.join(", "))
}

async fn definitions(stores: &Stores) -> Finding {
    if let Err(error) = stores.knowledge.catch_up().await {
        return finding(
            "definitions",
            Status::Fail,
            error,
            "see that the journal can be reached",
        );
    }
    let registry = stores.knowledge.registry();
    let (purposes, sources) = (
        registry.consent().purposes().count(),
        registry.sources().count(),
    );
    if purposes == 0 {
        return finding(
            "definitions",
            Status::Warn,
            "no programme was applied",
            "assent apply DIR",
        );
    }
    finding(
        "definitions",
        Status::Ok,
        format_args!("{purposes} purposes, {sources} sources"),
        "",
    )
}

/// Whether this machine's clock can be right.
fn clock_is_sane(latest: Timestamp) -> Finding {
    let now = clock::now();
    let ahead = latest.micros().saturating_sub(now.micros());
    if now.micros() < NEVER_SET {
        finding(
            "clock",
            Status::Fail,
            format_args!("tells {now}: it was never set"),
            "set it, and keep it by NTP",
        )
    } else if ahead > AHEAD {
        finding(
            "clock",
            Status::Fail,
            format_args!(
                "is {} s behind the latest receipt in the journal: it is slow, or that of another process was fast",
                ahead / 1_000_000
            ),
            "keep the clocks of all machines by NTP",
        )
    } else {
        finding("clock", Status::Ok, format_args!("tells {now}"), "")
    }
}

/// One finding a partition that is behind; one for all if none is.
fn lag(config: &Config, behind: &Checkpoint) -> Vec<Finding> {
    let late: Vec<Finding> = behind
        .iter()
        .filter(|(_, _, records)| *records > 0)
        .map(|(topic, partition, records)| {
            // What fits one batch is folded with the next one.
            let many = records > config.projection.batch_records as u64;
            finding(
                format!("projection lag {topic}/{partition}"),
                if many { Status::Warn } else { Status::Ok },
                format_args!("{records} records are not folded yet"),
                "wait, or run more projectors; if it does not shrink, see the log of the projector",
            )
        })
        .collect();
    if late.is_empty() {
        return vec![finding("projection lag", Status::Ok, "none", "")];
    }
    late
}

/// Space below which a store is about to stop, and space below which somebody should look, in bytes.
const LEAST_SPACE: u64 = 200 << 20;
const LITTLE_SPACE: u64 = 2 << 30;

/// How much space is left where this directory lies.
pub fn space(dir: &Path) -> Finding {
    let check = format!("space for {}", dir.display());
    let stat = match rustix::fs::statvfs(dir) {
        Ok(stat) => stat,
        Err(error) => {
            return finding(
                check,
                Status::Warn,
                error,
                "see that the directory is there",
            );
        }
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let status = if free < LEAST_SPACE {
        Status::Fail
    } else if free < LITTLE_SPACE {
        Status::Warn
    } else {
        Status::Ok
    };
    finding(
        check,
        status,
        format_args!("{:.1} GiB left", free as f64 / (1_u64 << 30) as f64),
        "make room; the embedded stores need it for every append",
    )
}

/// Whether others than its owner can reach a file or directory.
pub fn privacy(path: &Path) -> Option<Finding> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    let check = format!("permissions of {}", path.display());
    if mode & 0o077 == 0 {
        return Some(finding(check, Status::Ok, "its owner's alone", ""));
    }
    Some(finding(
        check,
        Status::Fail,
        format_args!("others can reach it (mode {:o})", mode & 0o777),
        format!("chmod go= {}", path.display()),
    ))
}
