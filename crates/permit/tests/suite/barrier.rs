//! I2: what was acknowledged before a read starts is honoured by that read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::{Deployment, granted, mail, withdrawn};
use assent_permit::Permit;

/// Withdraws and grants in turn, and reads after each acknowledgement; counts the answers that do
/// not honour it.
async fn stale_answers(site: &Deployment, permit: &Permit, trials: u32) -> u32 {
    let subject = site.random.subject();
    let mut stale = 0;
    for trial in 0..trials {
        let grants = trial % 2 == 0;
        let decision = if grants { granted() } else { withdrawn() };
        site.tell(subject, decision).await;
        permit.barrier().await.unwrap();
        let set = permit.permitted_live(&mail(), site.now()).unwrap();
        let permitted = set
            .number_of(&subject)
            .is_some_and(|number| set.is_permitted(number));
        stale += u32::from(permitted != grants);
    }
    stale
}

/// Others who write as fast as they can, until told to stop.
fn writers(site: &Arc<Deployment>, stop: &Arc<AtomicBool>) -> Vec<tokio::task::JoinHandle<u64>> {
    (0..3)
        .map(|_| {
            let (site, stop) = (Arc::clone(site), Arc::clone(stop));
            tokio::spawn(async move {
                let mut written = 0;
                while !stop.load(Ordering::SeqCst) {
                    let subject = site.random.subject();
                    site.tell(subject, granted()).await;
                    written += 1;
                }
                written
            })
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_thousand_reads_under_load_and_none_is_stale() {
    let site = Arc::new(Deployment::new().await);
    let permit = Arc::new(site.start());
    let stop = Arc::new(AtomicBool::new(false));
    let writers = writers(&site, &stop);
    let mut readers = Vec::new();
    for _ in 0..20 {
        let (site, permit) = (Arc::clone(&site), Arc::clone(&permit));
        readers.push(tokio::spawn(async move {
            stale_answers(&site, &permit, 100).await
        }));
    }
    for reader in readers {
        assert_eq!(reader.await.unwrap(), 0);
    }
    stop.store(true, Ordering::SeqCst);
    let mut written = 0;
    for writer in writers {
        written += writer.await.unwrap();
    }
    assert!(written > 100, "the load was none: {written}");
}

/// A slow applier makes readers wait, and makes nobody stale.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_index_makes_readers_wait() {
    let site = Deployment::new().await;
    let permit = site.start();
    permit.hooks().delay_applier(Duration::from_millis(5));
    let begun = std::time::Instant::now();
    assert_eq!(stale_answers(&site, &permit, 20).await, 0);
    assert!(begun.elapsed() >= Duration::from_millis(100));
}

/// The control: without the barrier the same test finds stale answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_barrier_the_same_test_finds_stale_answers() {
    let site = Deployment::new().await;
    let permit = site.start();
    permit.barrier().await.unwrap();
    permit.hooks().delay_applier(Duration::from_millis(20));
    permit.hooks().bypass_barrier(true);
    assert!(stale_answers(&site, &permit, 20).await > 5);
}
