//! The contract on the embedded journal, and what only an embedded journal can get wrong.

mod damage;
mod faults;
mod power;

use std::path::PathBuf;

use async_trait::async_trait;
use tempfile::TempDir;

use super::{EmbeddedConfig, EmbeddedJournal};
use crate::contract::{self, Backend};
use crate::{ErrorKind, Journal, Record, Topic};

/// A file of its own per case.
struct File {
    directory: TempDir,
}

impl File {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("data").join("journal.redb")
    }
}

#[async_trait]
impl Backend for File {
    fn topic(&self, name: &str) -> Topic {
        Topic::new(name)
    }

    async fn open(&self, topics: &[(Topic, u32)]) -> Box<dyn Journal> {
        Box::new(EmbeddedJournal::open(&self.path(), EmbeddedConfig::new(topics.to_vec())).unwrap())
    }
}

fn record(topic: &Topic, key: &str, value: &str) -> Record {
    Record {
        topic: topic.clone(),
        key: key.to_owned().into(),
        value: value.to_owned().into(),
        headers: vec![],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_journal_keeps_the_contract() {
    contract::all(File::new).await;
}

/// Appends wait for room in the queue and are cut into many commits; nothing else changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tiny_queue_keeps_the_contract() {
    struct Tiny(File);
    #[async_trait]
    impl Backend for Tiny {
        fn topic(&self, name: &str) -> Topic {
            self.0.topic(name)
        }

        async fn open(&self, topics: &[(Topic, u32)]) -> Box<dyn Journal> {
            let config = EmbeddedConfig {
                partitions: topics.to_vec(),
                commit_bytes: 1,
                queue_bytes: 2_000,
                cache_bytes: 0,
                faults: None,
            };
            Box::new(EmbeddedJournal::open(&self.0.path(), config).unwrap())
        }
    }
    contract::all(|| Tiny(File::new())).await;
}

fn open_error(path: &std::path::Path, config: EmbeddedConfig) -> crate::Error {
    match EmbeddedJournal::open(path, config) {
        Ok(_) => panic!("the journal was opened"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_file_in_use_is_refused_with_advice() {
    let file = File::new();
    let journal = file.open(&[("t".into(), 1)]).await;
    let error = open_error(&file.path(), EmbeddedConfig::default());
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(
        error
            .to_string()
            .contains("in use by another process, use the running server"),
        "{error}"
    );
    drop(journal);
    file.open(&[("t".into(), 1)]).await;
}

#[tokio::test]
async fn other_partition_counts_are_refused_and_change_nothing() {
    let file = File::new();
    let (topic, new) = (Topic::new("t"), Topic::new("new"));
    let journal = file.open(&[(topic.clone(), 4)]).await;
    journal
        .append(vec![record(&topic, "k", "v")])
        .await
        .unwrap();
    drop(journal);

    let wanted = vec![(new.clone(), 2), (topic.clone(), 8)];
    let error = open_error(&file.path(), EmbeddedConfig::new(wanted));
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let text = error.to_string();
    assert!(
        text.contains("t was created with 4 partitions and cannot be opened with 8"),
        "{text}"
    );

    // The refused opening did not create the other topic; a topic not named stays there.
    let journal = file.open(&[(new.clone(), 3)]).await;
    assert_eq!(journal.partitions(&new).unwrap(), 3);
    assert_eq!(journal.partitions(&topic).unwrap(), 4);
    let ends = journal.end_positions(&[topic]).await.unwrap();
    assert_eq!(ends.iter().map(|(_, _, next)| next).sum::<u64>(), 1);
}

#[test]
fn bad_topics_are_refused() {
    let file = File::new();
    for bad in [("a b", 1), ("t", 0)] {
        let wanted = vec![(Topic::new(bad.0), bad.1)];
        let error = open_error(&file.path(), EmbeddedConfig::new(wanted));
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    // Named twice alike is harmless, named twice differently is refused.
    let twice = |second| vec![(Topic::new("t"), 1), (Topic::new("t"), second)];
    assert!(EmbeddedJournal::open(&file.path(), EmbeddedConfig::new(twice(1))).is_ok());
    let error = open_error(&file.path(), EmbeddedConfig::new(twice(2)));
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
}

#[test]
fn a_file_that_is_no_journal_is_refused_and_left_alone() {
    let file = File::new();
    std::fs::create_dir_all(file.path().parent().unwrap()).unwrap();
    let text = "something else entirely, ".repeat(500);
    std::fs::write(file.path(), &text).unwrap();
    let error = open_error(&file.path(), EmbeddedConfig::default());
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    assert_eq!(std::fs::read_to_string(file.path()).unwrap(), text);
}

#[tokio::test]
async fn what_was_queued_is_committed_when_the_journal_is_dropped() {
    let file = File::new();
    let topic = Topic::new("t");
    let journal = std::sync::Arc::new(
        EmbeddedJournal::open(&file.path(), EmbeddedConfig::new(vec![(topic.clone(), 1)])).unwrap(),
    );
    // Polled once, so queued, then abandoned.
    let mut append = Box::pin(journal.append(vec![record(&topic, "k", "v")]));
    tokio::select! {
        biased;
        done = &mut append => { done.unwrap(); }
        () = std::future::ready(()) => {}
    }
    drop(append);
    drop(journal);
    let journal = file.open(&[(topic.clone(), 1)]).await;
    let ends = journal
        .end_positions(std::slice::from_ref(&topic))
        .await
        .unwrap();
    assert_eq!(ends.get(&topic, 0), 1);
}
