//! A commit that fails: nobody is told otherwise, and the journal stays shut until it is opened again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::{FaultPoint, Faults};
use super::{EmbeddedConfig, EmbeddedJournal, File, record};
use crate::contract::Backend;
use crate::{ErrorKind, Journal, ReadLimit, Topic};

/// Fails at one point of the n-th commit (counted from one).
struct FailAt {
    point: FaultPoint,
    commit: usize,
    seen: AtomicUsize,
}

impl Faults for FailAt {
    fn at(&self, point: FaultPoint) -> Result<(), String> {
        if point != self.point {
            return Ok(());
        }
        let commit = self.seen.fetch_add(1, Ordering::SeqCst) + 1;
        if commit == self.commit {
            return Err("planted fault".to_owned());
        }
        Ok(())
    }
}

fn open(file: &File, topic: &Topic, faults: Arc<FailAt>) -> EmbeddedJournal {
    let config = EmbeddedConfig {
        faults: Some(faults),
        ..EmbeddedConfig::new(vec![(topic.clone(), 1)])
    };
    EmbeddedJournal::open(&file.path(), config).unwrap()
}

#[tokio::test]
async fn a_failed_commit_is_sticky_and_told_to_all() {
    let topic = Topic::new("t");
    for point in [FaultPoint::BeforeCommit, FaultPoint::AfterCommit] {
        let file = File::new();
        let faults = Arc::new(FailAt {
            point,
            commit: 2,
            seen: AtomicUsize::new(0),
        });
        let journal = open(&file, &topic, Arc::clone(&faults));
        journal
            .append(vec![record(&topic, "k", "kept")])
            .await
            .unwrap();
        for attempt in 0..3 {
            let error = journal
                .append(vec![record(&topic, "k", "lost or not")])
                .await
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            assert!(error.to_string().contains("takes no more records"));
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert_eq!(cause, "planted fault", "attempt {attempt}");
        }
        assert_eq!(
            faults.seen.load(Ordering::SeqCst),
            2,
            "after the failed commit there is no other"
        );
        // What was durable before can still be read, and no more than that is promised.
        let ends = journal
            .end_positions(std::slice::from_ref(&topic))
            .await
            .unwrap();
        assert_eq!(ends.get(&topic, 0), 1);
        let batch = journal
            .read(&topic, 0, 0, ReadLimit::default())
            .await
            .unwrap();
        assert_eq!((batch.records.len(), batch.end), (1, 1));
        drop(journal);

        // Opened again it is what the disk says: an unanswered record is there or not, never half.
        let journal = file.open(&[(topic.clone(), 1)]).await;
        let expected = match point {
            FaultPoint::BeforeCommit => 1,
            FaultPoint::AfterCommit => 2,
        };
        let batch = journal
            .read(&topic, 0, 0, ReadLimit::default())
            .await
            .unwrap();
        assert_eq!(batch.records.len(), expected);
        let placed = journal
            .append(vec![record(&topic, "k", "next")])
            .await
            .unwrap();
        assert_eq!(placed[0].offset, expected as u64);
    }
}

/// Many appends share one commit; with a commit held up, all that wait go into the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_appends_share_commits() {
    struct Slow(AtomicUsize);
    impl Faults for Slow {
        fn at(&self, point: FaultPoint) -> Result<(), String> {
            if point == FaultPoint::BeforeCommit {
                self.0.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            Ok(())
        }
    }
    let file = File::new();
    let topic = Topic::new("t");
    let slow = Arc::new(Slow(AtomicUsize::new(0)));
    let config = EmbeddedConfig {
        faults: Some(slow.clone()),
        ..EmbeddedConfig::new(vec![(topic.clone(), 1)])
    };
    let journal = Arc::new(EmbeddedJournal::open(&file.path(), config).unwrap());
    let tasks: Vec<_> = (0..200)
        .map(|n| {
            let (journal, topic) = (journal.clone(), topic.clone());
            tokio::spawn(async move {
                let placed = journal.append(vec![record(&topic, "k", &n.to_string())]);
                placed.await.unwrap()
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let commits = slow.0.load(Ordering::SeqCst);
    assert!(commits < 20, "200 appends took {commits} commits");
}
