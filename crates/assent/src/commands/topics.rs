//! `assent topics`: whether the journal's topics are as configured.

use assent_journal_kafka::KafkaJournal;
use comfy_table::{Table, presets};

use super::print_bytes;
use crate::config::{self, Config, JournalKind};
use crate::failure::{Explained, Failure};

/// Prints the topics, after creating those that are missing if asked to.
///
/// # Errors
/// Something refuses: a topic is missing or is not as configured.
pub async fn run(config: &Config, create: bool) -> Result<(), Failure> {
    let JournalKind::Kafka(kafka) = &config.journal else {
        eprintln!("the embedded journal makes its topics by itself:");
        return printed(config);
    };
    if create {
        for topic in KafkaJournal::provision(kafka).await.explained("topics")? {
            eprintln!("created {topic}");
        }
    }
    KafkaJournal::connect(kafka.as_ref().clone())
        .await
        .explained("topics")?;
    printed(config)
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
