//! `assent topics`: whether the journal's topics are as configured.

use assent_journal_kafka::{Finding, KafkaJournal, Severity};
use comfy_table::{Table, presets};

use super::print_bytes;
use crate::config::{self, Config, JournalKind};
use crate::failure::{Explained, Failure};

/// Prints the topics and what is wrong with them, after creating those that are missing if asked to.
///
/// # Errors
/// Something refuses: a topic is missing, or breaks a promise.
pub async fn run(config: &Config, create: bool) -> Result<(), Failure> {
    let JournalKind::Kafka(kafka) = &config.journal else {
        eprintln!("the embedded journal makes its topics by itself");
        return printed(config);
    };
    if create {
        let created = KafkaJournal::provision(&kafka.journal).await;
        for topic in created.explained("topics")? {
            eprintln!("created {topic}");
        }
    }
    let findings = KafkaJournal::check(&kafka.journal)
        .await
        .explained("topics")?;
    if findings.is_empty() {
        eprintln!("every topic is as configured");
        return printed(config);
    }
    print_bytes(table(&findings).as_bytes())?;
    let refusing = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Refuses)
        .count();
    match refusing {
        0 => Ok(()),
        count => Err(Failure::failed(format!(
            "{count} of {} refuse: the journal is not opened like that",
            findings.len()
        ))),
    }
}

/// The word for a severity.
fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Warns => "warns",
        Severity::Refuses => "refuses",
    }
}

fn table(findings: &[Finding]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header([
        "",
        "topic",
        "setting",
        "found",
        "wanted",
        "what comes of it",
    ]);
    for one in findings {
        table.add_row([
            word(one.severity),
            one.topic.as_str(),
            one.setting.as_str(),
            &one.found,
            &one.wanted,
            one.setting.advice(),
        ]);
    }
    format!("{}\n", table.trim_fmt())
}

fn printed(config: &Config) -> Result<(), Failure> {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(["topic", "partitions"]);
    for (topic, partitions) in config::topics(config.partitions) {
        table.add_row([topic.to_string(), partitions.to_string()]);
    }
    print_bytes(format!("{}\n", table.trim_fmt()).as_bytes())
}
