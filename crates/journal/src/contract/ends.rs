//! End positions, and waiting for them to move.

use std::time::{Duration, Instant};

use super::{Backend, append, record};
use crate::{Checkpoint, Journal, Topic};

async fn ends_of(journal: &dyn Journal, topics: &[Topic]) -> Checkpoint {
    journal
        .end_positions(topics)
        .await
        .expect("ends can be asked")
}

pub(super) async fn end_positions(backend: &dyn Backend) {
    let (one, two) = (backend.topic("ends-one"), backend.topic("ends-two"));
    let wanted = [(one.clone(), 1), (two.clone(), 3)];
    let both = [one.clone(), two.clone()];
    let mut expected = Checkpoint::new();
    {
        let journal = backend.open(&wanted).await;
        let ends = ends_of(&*journal, &both).await;
        assert_eq!(ends, Checkpoint::new());
        assert_eq!(ends.iter().count(), 4, "partitions at zero are named");
        assert!(ends_of(&*journal, &[]).await.is_empty());
        for n in 0..30u32 {
            let topic = if n % 3 == 0 { &one } else { &two };
            let placed = append(&*journal, vec![record(topic, n.to_string(), "v")]).await;
            let place = &placed[0];
            assert_eq!(expected.get(topic, place.partition), place.offset);
            expected.set(topic, place.partition, place.offset + 1);
            // At once and exactly: what was acknowledged is covered (I2).
            assert_eq!(ends_of(&*journal, &both).await, expected);
        }
        let part = ends_of(&*journal, std::slice::from_ref(&two)).await;
        assert_eq!(part, expected.restrict(std::slice::from_ref(&two)));
        let start = journal
            .start_positions(&both)
            .await
            .expect("starts can be asked");
        assert_eq!(start, Checkpoint::new());
        assert_eq!(start.iter().count(), 4);
    }
    let journal = backend.open(&wanted).await;
    assert_eq!(ends_of(&*journal, &both).await, expected);
}

pub(super) async fn changed(backend: &dyn Backend) {
    let long = Duration::from_secs(30);
    let short = Duration::from_millis(120);
    let (one, two) = (backend.topic("changed-one"), backend.topic("changed-two"));
    let wanted = [(one.clone(), 1), (two.clone(), 2)];
    let journal = std::sync::Arc::<dyn Journal>::from(backend.open(&wanted).await);
    let wait = async |seen: &Checkpoint, timeout| {
        let begin = Instant::now();
        journal
            .changed(seen, timeout)
            .await
            .expect("the partitions are known");
        begin.elapsed()
    };

    // Nothing new: it waits, and comes back.
    let mut seen = ends_of(&*journal, std::slice::from_ref(&one)).await;
    let waited = wait(&seen, short).await;
    assert!(waited >= short && waited < long, "{waited:?}");

    // What is there already is told at once; what is not named is not waited for.
    append(&*journal, vec![record(&two, "key", "v")]).await;
    assert!(wait(&seen, short).await >= short);
    let everything = ends_of(&*journal, &[]).await;
    assert!(wait(&everything, short).await >= short);
    append(&*journal, vec![record(&one, "key", "v")]).await;
    assert!(wait(&seen, long).await < long / 2);

    // What comes while waiting wakes the waiter, every time.
    for n in 0..5 {
        seen = ends_of(&*journal, &[one.clone(), two.clone()]).await;
        let waiter = {
            let (journal, seen) = (journal.clone(), seen.clone());
            tokio::spawn(async move { journal.changed(&seen, long).await })
        };
        tokio::time::sleep(Duration::from_millis(20)).await;
        let begin = Instant::now();
        append(&*journal, vec![record(&two, format!("{n}"), "v")]).await;
        waiter
            .await
            .expect("the waiter does not panic")
            .expect("the partitions are known");
        assert!(begin.elapsed() < long / 2);
        assert!(!seen.covers(&ends_of(&*journal, std::slice::from_ref(&two)).await));
    }
}
