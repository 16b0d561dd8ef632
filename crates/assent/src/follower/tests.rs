//! What another process acknowledged is known after the next question, and askings are shared only when they began late
//! enough.

use std::sync::atomic::{AtomicUsize, Ordering};

use assent_consent::SubjectId;
use assent_event::{ConsentDecision, EventId, Payload, Times};
use assent_journal::{Batch, EmbeddedConfig, EmbeddedJournal, Error, Position, Record};
use async_trait::async_trait;

use super::*;

/// Counts how often the ends are asked for, and waits a moment before it tells.
struct Counting {
    journal: EmbeddedJournal,
    asked: AtomicUsize,
    pause: Duration,
}

#[async_trait]
impl Journal for Counting {
    fn partitions(&self, topic: &Topic) -> Result<u32, Error> {
        self.journal.partitions(topic)
    }

    async fn append(&self, records: Vec<Record>) -> Result<Vec<Position>, Error> {
        self.journal.append(records).await
    }

    async fn read(
        &self,
        topic: &Topic,
        partition: u32,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Batch, Error> {
        self.journal.read(topic, partition, from, limit).await
    }

    async fn end_positions(&self, topics: &[Topic]) -> Result<Checkpoint, Error> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let ends = self.journal.end_positions(topics).await;
        tokio::time::sleep(self.pause).await;
        ends
    }

    async fn changed(&self, seen: &Checkpoint, timeout: Duration) -> Result<(), Error> {
        self.journal.changed(seen, timeout).await
    }
}

fn opened(dir: &tempfile::TempDir, pause: Duration) -> Arc<Counting> {
    let partitions = EmbeddedConfig::new(crate::config::topics(2));
    Arc::new(Counting {
        journal: EmbeddedJournal::open(&dir.path().join("journal.redb"), partitions).unwrap(),
        asked: AtomicUsize::new(0),
        pause,
    })
}

/// A withdrawal received at this second, by any process.
fn received(second: i64) -> Record {
    let at = Timestamp::from_micros(second * 1_000_000);
    let subject = SubjectId::from_bytes([second as u8; 16]);
    let envelope = Envelope::without_personal_blocks(
        EventId::from_bytes([second as u8; 16]),
        subject,
        "shop",
        second.to_string(),
        Times::at(at),
        &Payload::from(ConsentDecision::withdrawn("mail")),
    )
    .unwrap();
    Record {
        topic: Topic::new(topics::CONSENT),
        key: subject.as_bytes().to_vec().into(),
        value: envelope.encode().unwrap().into(),
        headers: Vec::new(),
    }
}

#[tokio::test]
async fn the_latest_receipt_of_any_process_is_known_after_the_next_question() {
    let dir = tempfile::tempdir().unwrap();
    let journal = opened(&dir, Duration::ZERO);
    journal
        .append(vec![received(50), received(7)])
        .await
        .unwrap();
    let shared = Arc::clone(&journal) as Arc<dyn Journal>;
    let follower = Follower::start(Arc::clone(&shared), Follow::Receipts, EVERY)
        .await
        .unwrap();
    assert_eq!(follower.latest_receipt().micros(), 50_000_000);
    journal.append(vec![received(60)]).await.unwrap();
    follower.catch_up().await.unwrap();
    assert_eq!(follower.latest_receipt().micros(), 60_000_000);
    journal.append(vec![received(8)]).await.unwrap();
    follower.catch_up().await.unwrap();
    assert_eq!(follower.latest_receipt().micros(), 60_000_000, "never back");
    let definitions = Follower::start(shared, Follow::Definitions, EVERY)
        .await
        .unwrap();
    assert_eq!(definitions.latest_receipt(), Timestamp::MIN);
}

#[tokio::test]
async fn those_who_ask_at_once_share_an_asking_that_began_after_they_came() {
    let dir = tempfile::tempdir().unwrap();
    let journal = opened(&dir, Duration::from_millis(50));
    let shared = Arc::clone(&journal) as Arc<dyn Journal>;
    let patience = Duration::from_secs(5);
    let follower = Follower::start(shared, Follow::Definitions, patience)
        .await
        .unwrap();
    let before = journal.asked.load(Ordering::SeqCst);
    let asking: Vec<_> = (0..100)
        .map(|_| {
            let follower = Arc::clone(&follower);
            tokio::spawn(async move { follower.catch_up().await })
        })
        .collect();
    for one in asking {
        one.await.unwrap().unwrap();
    }
    let asked = journal.asked.load(Ordering::SeqCst) - before;
    assert!((1..=3).contains(&asked), "{asked} askings for 100 callers");
    follower.catch_up().await.unwrap();
    let again = journal.asked.load(Ordering::SeqCst) - before;
    assert_eq!(
        again,
        asked + 1,
        "whoever comes later is not told what was true before"
    );
}

#[tokio::test]
async fn a_journal_that_does_not_answer_is_an_error_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let journal = opened(&dir, Duration::from_millis(200));
    let patience = Duration::from_millis(20);
    let follower = Follower::start(journal, Follow::Definitions, patience)
        .await
        .unwrap();
    let late = follower.catch_up().await;
    assert!(matches!(late, Err(Lost::TooLate(_))), "{late:?}");
}
