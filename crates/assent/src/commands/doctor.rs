//! `assent doctor`: one line for each thing that must be right, with what to do about it.
//!
//! What this machine can tell it looks at itself. The stores are looked at by the server that holds them, if one runs,
//! else here, one by one, so that one that is broken does not hide the next.

use std::path::PathBuf;
use std::sync::Arc;

use assent_journal_kafka::{KafkaJournal, Severity};
use assent_projection::Owner;
use assent_server::{Examined, Finding, Roles};
use assent_vault::RandomSource;
use comfy_table::{Table, presets};
use tokio::net::UnixStream;

use super::print_bytes;
use crate::cli::FindingFormat;
use crate::clock;
use crate::config::{Config, JournalKind, Kind, Profiles, RawConfig, SETTINGS, Sources};
use crate::connection::{Connection, TOKEN_FILE};
use crate::examine::{self, Status, finding};
use crate::failure::{Explained, Failure};
use crate::node::{Node, Opened};
use crate::stores;

/// Looks at everything and prints it.
///
/// # Errors
/// Something failed.
pub async fn run(sources: &Sources, format: FindingFormat) -> Result<(), Failure> {
    let said = RawConfig::layered(sources).and_then(|raw| {
        let config = Config::read(&raw)?;
        Ok((raw, config))
    });
    let findings = match said {
        Ok((raw, config)) => {
            let mut findings = examined(&config).await;
            findings.extend(this_machine(&raw, &config));
            findings
        }
        Err(faults) => faults
            .into_iter()
            .map(|fault| {
                let fix = "mend the setting; `assent config default` explains each";
                finding("configuration", Status::Fail, fault, fix)
            })
            .collect(),
    };
    let text = match format {
        FindingFormat::Table => table(&findings),
        FindingFormat::Json => {
            let findings = Examined {
                findings: findings.clone(),
            };
            let json = serde_json::to_string_pretty(&findings).explained("findings")?;
            format!("{json}\n")
        }
    };
    print_bytes(text.as_bytes())?;
    let failed = findings
        .iter()
        .filter(|one| one.status == Status::Fail.as_str())
        .count();
    match failed {
        0 => Ok(()),
        failed => Err(Failure::failed(format!(
            "{failed} of {} failed",
            findings.len()
        ))),
    }
}

async fn examined(config: &Config) -> Vec<Finding> {
    let detail = format!("reads; roles {}", config.roles);
    let mut findings = vec![finding("configuration", Status::Ok, detail, "")];
    if UnixStream::connect(&config.server.socket).await.is_ok() {
        findings.extend(by_the_server(config).await);
    } else {
        let detail = format!("none answers on {}", config.server.socket.display());
        findings.push(finding("server", Status::Warn, detail, "assent serve"));
        findings.extend(by_ourselves(config).await);
    }
    findings.extend(topics(config).await);
    findings
}

/// Whether the topics in Kafka are as configured; the embedded journal sees to its own.
async fn topics(config: &Config) -> Vec<Finding> {
    let JournalKind::Kafka(kafka) = &config.journal else {
        return Vec::new();
    };
    let found = match KafkaJournal::check(&kafka.journal).await {
        Ok(found) => found,
        Err(error) => {
            let fix = "see that the brokers can be reached";
            return vec![finding("topics", Status::Fail, error, fix)];
        }
    };
    if found.is_empty() {
        return vec![finding("topics", Status::Ok, "as configured", "")];
    }
    found
        .iter()
        .map(|one| {
            let status = match one.severity {
                Severity::Warns => Status::Warn,
                Severity::Refuses => Status::Fail,
            };
            let check = format!("topic {} {}", one.topic, one.setting.as_str());
            let detail = format!("is {}, wanted {}", one.found, one.wanted);
            finding(check, status, detail, one.setting.advice())
        })
        .collect()
}

/// What the running server says of itself and of its stores.
async fn by_the_server(config: &Config) -> Vec<Finding> {
    let asked = async {
        let connection = Connection::open(config, None, None, false).await?;
        let examined = connection.get("/local/examine", "application/json").await?;
        let ready = connection.get("/readyz", "application/json").await;
        Ok::<_, Failure>((examined.json()?, ready))
    };
    match asked.await {
        Ok((examined, ready)) => {
            let mut findings = vec![match ready {
                Ok(_) => finding("server", Status::Ok, "runs and is ready", ""),
                Err(failure) => finding(
                    "server",
                    Status::Fail,
                    failure.message.replace('\n', "; "),
                    "see below",
                ),
            }];
            let examined: Examined = serde_json::from_value(examined).unwrap_or_default();
            findings.extend(examined.findings);
            findings
        }
        Err(failure) => vec![finding(
            "server",
            Status::Fail,
            failure,
            "see the log of the server",
        )],
    }
}

/// Opens the stores one by one; when all can be opened, looks at them as a server does.
async fn by_ourselves(config: &Config) -> Vec<Finding> {
    if let JournalKind::Embedded = config.journal
        && !config.data_dir.is_dir()
    {
        let detail = format!("{}: no data here", config.data_dir.display());
        return vec![finding(
            "stores",
            Status::Warn,
            detail,
            "assent apply DIR begins",
        )];
    }
    let mut findings = Vec::new();
    let mut failed = |check: &str, failure: &Failure, fix: &str| {
        findings.push(finding(check, Status::Fail, failure, fix));
    };
    let random: Arc<dyn RandomSource> = Arc::new(clock::generator());
    let owner = Owner::random(&random);
    let journal = stores::journal(config).await;
    if let Err(failure) = &journal {
        let fix = "see that it can be reached; assent topics tells of its topics";
        failed("journal", failure, fix);
    }
    let found = match &journal {
        Ok(journal) => stores::look_for_vault(config, journal.as_ref()).await,
        Err(_) => Ok(()),
    };
    let vault = found.and_then(|()| stores::vault(config, &random));
    if let Err(failure) = &vault {
        let fix = "see that it can be reached, and that the master key is the one it was made with";
        failed("vault", failure, fix);
    }
    let storage = stores::profiles(config, owner).await;
    if let Err(failure) = &storage {
        let fix = "see that it can be reached, and that it honours If-None-Match";
        failed("storage", failure, fix);
    }
    let (Ok(journal), Ok(vault), Ok(storage)) = (journal, vault, storage) else {
        return findings;
    };
    let opened = Opened {
        journal,
        vault: Some(vault),
        storage: Some(storage),
        random,
        owner,
    };
    // Without a role: to look is not to take part.
    let looking = Config {
        roles: Roles::default(),
        ..config.clone()
    };
    match Node::over(looking, opened).await {
        Ok(node) => findings.extend(examine::stores(config, node.stores()).await),
        Err(failure) => findings.push(finding(
            "definitions",
            Status::Fail,
            failure,
            "mend what it says",
        )),
    }
    findings
}

/// Files, their permissions, and the space they lie in.
fn this_machine(raw: &RawConfig, config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    let local = match &config.profiles {
        Profiles::Local(dir) => dir,
        Profiles::S3(places) => &places.1.dir,
    };
    for dir in [&config.data_dir, local] {
        if dir.is_dir() {
            findings.push(examine::space(dir));
        }
    }
    let mut private: Vec<PathBuf> = vec![
        config.data_dir.clone(),
        config.server.socket.clone(),
        config.data_dir.join(TOKEN_FILE),
        local.clone(),
    ];
    let secrets = SETTINGS
        .iter()
        .filter(|setting| setting.kind == Kind::Secret)
        .filter_map(|setting| raw.secret(setting.key));
    private.extend(secrets.filter_map(|secret| secret.path().map(PathBuf::from)));
    findings.extend(private.iter().filter_map(|path| examine::privacy(path)));
    findings
}

fn table(findings: &[Finding]) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(["", "check", "found"]);
    for one in findings {
        let detail = match one.fix.as_str() {
            "" => one.detail.clone(),
            fix => format!("{}\n→ {fix}", one.detail),
        };
        table.add_row([one.status.as_str(), one.check.as_str(), &detail]);
    }
    format!("{}\n", table.trim_fmt())
}
