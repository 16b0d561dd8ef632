//! What Kafka's topics must be like for the journal to keep its promises, and where they are not.
//!
//! Nothing is changed here: a topic that is wrong is told, with what to do, and mended by people.

use std::fmt;
use std::time::Duration;

use assent_journal::{Error, ErrorKind, Topic};

use crate::config::{KafkaConfig, MAX_BATCH_BYTES};

/// One way in which a topic is not as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The topic.
    pub topic: Topic,
    /// What is not as it should be.
    pub setting: Setting,
    /// What Kafka holds.
    pub found: String,
    /// What is wanted, as Kafka writes it.
    pub wanted: String,
    /// Whether one can go on.
    pub severity: Severity,
}

/// Whether one can go on with a topic that is not as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The promises hold; something else does not, such as a duty to delete.
    Warns,
    /// A promise does not hold: the journal is not opened.
    Refuses,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// The topic itself.
    Presence,
    /// The number of partitions.
    Partitions,
    /// The copies of each record.
    ReplicationFactor,
    /// `min.insync.replicas`
    MinInSyncReplicas,
    /// `unclean.leader.election.enable`
    UncleanLeaderElection,
    /// `cleanup.policy`
    CleanupPolicy,
    /// `retention.ms`
    RetentionTime,
    /// `retention.bytes`
    RetentionBytes,
    /// `max.message.bytes`
    MaxMessageBytes,
}

impl Setting {
    /// Its name, Kafka's own where it has one.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Presence => "topic",
            Self::Partitions => "partitions",
            Self::ReplicationFactor => "replication.factor",
            Self::MinInSyncReplicas => "min.insync.replicas",
            Self::UncleanLeaderElection => "unclean.leader.election.enable",
            Self::CleanupPolicy => "cleanup.policy",
            Self::RetentionTime => "retention.ms",
            Self::RetentionBytes => "retention.bytes",
            Self::MaxMessageBytes => "max.message.bytes",
        }
    }

    /// What comes of leaving it as it is, and what to do.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Presence => "`assent topics --create` creates it",
            Self::Partitions => {
                "keys would move to other partitions and lose their order; configure the number found, or \
                 copy the records into a new topic"
            }
            Self::ReplicationFactor => {
                "a broker that is lost would take records with it; reassign the partitions to more brokers"
            }
            Self::MinInSyncReplicas => {
                "it decides how many brokers hold a record before it counts; set it on the topic"
            }
            Self::UncleanLeaderElection => {
                "a copy that lags could become leader and cut off what was acknowledged; set it to false"
            }
            Self::CleanupPolicy => {
                "compaction removes records that are folded again; set it to delete"
            }
            Self::RetentionTime => "it decides when records vanish; set it on the topic",
            Self::RetentionBytes => "records would vanish before their time; set it to -1",
            Self::MaxMessageBytes => "the largest records would be turned down; raise it",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            topic,
            setting,
            found,
            wanted,
            severity: _,
        } = self;
        write!(
            f,
            "{topic}: {} is {found}, wanted {wanted}: {}",
            setting.as_str(),
            setting.advice()
        )
    }
}

/// A topic as Kafka describes it.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    pub(crate) partitions: u32,
    /// The copies of the partition that has fewest.
    pub(crate) replicas: u16,
    /// `None` where they are not to be asked for.
    pub(crate) settings: Option<Settings>,
}

/// Names and values of a topic's settings, those included that it has from its broker.
#[derive(Clone, Debug)]
pub(crate) struct Settings(pub(crate) Vec<(String, String)>);

impl Settings {
    fn get(&self, setting: Setting) -> Result<&str, Error> {
        let name = setting.as_str();
        let found = self.0.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str()).ok_or_else(|| {
            Error::new(
                ErrorKind::Internal,
                format!(
                    "the brokers do not tell {name}: they are older than Kafka 2.0, or no Kafka"
                ),
            )
        })
    }

    fn number(&self, setting: Setting) -> Result<i64, Error> {
        let text = self.get(setting)?;
        text.parse().map_err(|_| {
            Error::new(
                ErrorKind::Internal,
                format!(
                    "the brokers tell {} as {text}, which is no number",
                    setting.as_str()
                ),
            )
        })
    }
}

/// Compares one topic with what is configured. `None` means that it is not there.
pub(crate) fn compare(
    config: &KafkaConfig,
    topic: &Topic,
    partitions: u32,
    described: Option<&Described>,
) -> Result<Vec<Finding>, Error> {
    let mut findings = Findings {
        topic,
        all: Vec::new(),
    };
    let Some(described) = described else {
        findings.refuse(Setting::Presence, "missing", "there");
        return Ok(findings.all);
    };
    if described.partitions != partitions {
        findings.refuse(Setting::Partitions, described.partitions, partitions);
    }
    let wanted = config.replication.factor;
    if described.replicas < wanted {
        let found = described.replicas;
        findings.refuse(
            Setting::ReplicationFactor,
            found,
            format!("at least {wanted}"),
        );
    }
    if let Some(settings) = &described.settings {
        let copies = i64::from(described.replicas);
        let min_in_sync = i64::from(config.replication.min_in_sync);
        copying(&mut findings, settings, copies, min_in_sync)?;
        let retention = config.retention.get(topic).copied();
        keeping(&mut findings, settings, retention)?;
        let found = settings.number(Setting::MaxMessageBytes)?;
        if found < MAX_BATCH_BYTES {
            let wanted = format!("at least {MAX_BATCH_BYTES}");
            findings.refuse(Setting::MaxMessageBytes, found, wanted);
        }
    }
    Ok(findings.all)
}

/// Whether what was acknowledged outlives a broker.
fn copying(
    findings: &mut Findings<'_>,
    settings: &Settings,
    copies: i64,
    min_in_sync: i64,
) -> Result<(), Error> {
    let setting = Setting::MinInSyncReplicas;
    let found = settings.number(setting)?;
    if found < min_in_sync {
        findings.refuse(setting, found, format!("at least {min_in_sync}"));
    } else if found > copies {
        // No append could ever be acknowledged.
        findings.refuse(setting, found, format!("at most {copies}"));
    } else if found == copies && copies > 1 {
        // One broker that is lost stops every append.
        findings.warn(setting, found, format!("at most {}", copies - 1));
    }
    let setting = Setting::UncleanLeaderElection;
    match settings.get(setting)? {
        "false" => {}
        found if copies > 1 => findings.refuse(setting, found, "false"),
        // Where there is one copy there is no other to elect.
        found => findings.warn(setting, found, "false"),
    }
    Ok(())
}

/// Whether records stay as long as they are to stay, and no longer.
fn keeping(
    findings: &mut Findings<'_>,
    settings: &Settings,
    retention: Option<Duration>,
) -> Result<(), Error> {
    let setting = Setting::CleanupPolicy;
    let policy = settings.get(setting)?;
    let has = |wanted| policy.split(',').any(|part| part.trim() == wanted);
    if has("compact") {
        findings.refuse(setting, policy, "delete");
    } else if !has("delete") && retention.is_some() {
        // Nothing is lost, but nothing is deleted either.
        findings.warn(setting, "empty", "delete");
    }
    if !has("delete") {
        // Limits mean something only where they are acted upon.
        return Ok(());
    }
    let setting = Setting::RetentionTime;
    let (found, wanted) = (settings.number(setting)?, retention_ms(retention));
    let longer = found < 0 || (wanted >= 0 && found > wanted);
    match found == wanted {
        true => {}
        false if longer => findings.warn(setting, found, wanted),
        false => findings.refuse(setting, found, wanted),
    }
    let setting = Setting::RetentionBytes;
    let found = settings.number(setting)?;
    if found >= 0 {
        findings.refuse(setting, found, -1);
    }
    Ok(())
}

/// What was found about one topic.
struct Findings<'a> {
    topic: &'a Topic,
    all: Vec<Finding>,
}

impl Findings<'_> {
    fn refuse(&mut self, setting: Setting, found: impl ToString, wanted: impl ToString) {
        self.add(
            setting,
            found.to_string(),
            wanted.to_string(),
            Severity::Refuses,
        );
    }

    fn warn(&mut self, setting: Setting, found: impl ToString, wanted: impl ToString) {
        self.add(
            setting,
            found.to_string(),
            wanted.to_string(),
            Severity::Warns,
        );
    }

    fn add(&mut self, setting: Setting, found: String, wanted: String, severity: Severity) {
        self.all.push(Finding {
            topic: self.topic.clone(),
            setting,
            found,
            wanted,
            severity,
        });
    }
}

/// As Kafka takes it: `None`, for ever, is -1.
pub(crate) fn retention_ms(retention: Option<Duration>) -> i64 {
    retention.map_or(-1, |kept| {
        i64::try_from(kept.as_millis()).unwrap_or(i64::MAX)
    })
}

/// The error that refuses to go on, if any finding does.
pub(crate) fn refusal(findings: &[Finding]) -> Option<Error> {
    let refused: Vec<&Finding> = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Refuses)
        .collect();
    let first = refused.first()?;
    let kind = match first.setting {
        Setting::Presence => ErrorKind::NotFound,
        Setting::Partitions
        | Setting::ReplicationFactor
        | Setting::MinInSyncReplicas
        | Setting::UncleanLeaderElection
        | Setting::CleanupPolicy
        | Setting::RetentionTime
        | Setting::RetentionBytes
        | Setting::MaxMessageBytes => ErrorKind::Conflict,
    };
    let told: Vec<String> = refused.iter().map(ToString::to_string).collect();
    Some(Error::new(kind, told.join("; ")))
}

#[cfg(test)]
#[path = "topics/tests.rs"]
mod tests;
