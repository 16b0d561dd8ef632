//! Many at once, in one process and in two.

use std::collections::HashSet;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use assent_event::KeyClass;

use super::{Backend, all_bytes, id, is_destroyed, keys, made, master, processes, subject};

/// Threads of each process.
const THREADS: usize = 4;

pub(super) fn all_agree(backend: &dyn Backend) {
    let vaults = processes(backend, &master(1));
    let start = Barrier::new(vaults.len() * THREADS);
    let answers: HashSet<Vec<_>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..vaults.len() * THREADS)
            .map(|number| {
                let vault = vaults[number % vaults.len()].as_ref();
                let start = &start;
                scope.spawn(move || {
                    let mut answers = Vec::new();
                    for round in 0..15 {
                        // All ask for the same new people at the same time.
                        let ids: Vec<_> = (0..5).map(|n| id("c", round * 5 + n)).collect();
                        start.wait();
                        let people = made(vault, &ids);
                        let wanted: Vec<_> =
                            people.iter().map(|s| (*s, KeyClass::Profile)).collect();
                        start.wait();
                        let keys = all_bytes(&keys(vault, &wanted, true));
                        answers.extend(people.into_iter().zip(keys));
                    }
                    answers
                })
            })
            .collect();
        let joined = threads.into_iter().map(|t| t.join().expect("it answers"));
        joined.collect()
    });
    assert_eq!(answers.len(), 1, "everybody got the same answers");
}

/// Two batches of the same people in opposite order: neither waits for the other for ever, and
/// neither is refused.
pub(super) fn crossing(backend: &dyn Backend) {
    let vaults = processes(backend, &master(1));
    let start = Barrier::new(vaults.len() * THREADS);
    std::thread::scope(|scope| {
        for number in 0..vaults.len() * THREADS {
            let vault = vaults[number % vaults.len()].as_ref();
            let start = &start;
            scope.spawn(move || {
                for round in 0..8 {
                    let mut ids: Vec<_> = (0..200).map(|n| id("c", round * 200 + n)).collect();
                    if number % 2 == 0 {
                        ids.reverse();
                    }
                    start.wait();
                    let people = made(vault, &ids);
                    let wanted: Vec<_> = people.iter().map(|s| (*s, KeyClass::Identity)).collect();
                    start.wait();
                    keys(vault, &wanted, true);
                }
            });
        }
    });
}

/// While one destroys, others ask for new keys: whoever asks after the destruction was confirmed
/// hears of it, and nothing brings the key back.
pub(super) fn no_resurrection(backend: &dyn Backend) {
    let vaults = processes(backend, &master(1));
    let everybody = vaults.len() * THREADS;
    for round in 0..15 {
        let person = subject(vaults[0].as_ref(), "c", round);
        let wanted = KeyClass::ALL.map(|class| (person, class));
        let start = Barrier::new(everybody + 1);
        let confirmed = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for number in 0..everybody {
                let vault = vaults[number % vaults.len()].as_ref();
                let (start, confirmed) = (&start, &confirmed);
                scope.spawn(move || {
                    start.wait();
                    let mut seen = false;
                    loop {
                        let after = confirmed.load(Ordering::Acquire);
                        let states = keys(vault, &wanted, true);
                        let gone = states.iter().filter(|state| is_destroyed(state)).count();
                        assert!(gone == 0 || gone == 4, "all classes go together");
                        assert!(gone == 4 || !seen, "what was destroyed came back");
                        assert!(gone == 4 || !after, "the destruction was confirmed before");
                        seen |= gone == 4;
                        if after {
                            break;
                        }
                    }
                });
            }
            start.wait();
            let destroyer = vaults[round % vaults.len()].as_ref();
            destroyer.destroy(person).expect("the store answers");
            confirmed.store(true, Ordering::Release);
        });
        for vault in &vaults {
            let states = keys(vault.as_ref(), &wanted, true);
            assert!(states.iter().all(is_destroyed));
        }
    }
}

/// While one forgets an identifier, others ask for its subject: after the forgetting was confirmed
/// nobody gets the old one, and all get the same new one.
pub(super) fn forgotten_and_asked(backend: &dyn Backend) {
    let vaults = processes(backend, &master(1));
    let everybody = vaults.len() * THREADS;
    for round in 0..15 {
        let before = subject(vaults[0].as_ref(), "c", round);
        let start = Barrier::new(everybody + 1);
        let confirmed = AtomicBool::new(false);
        let last: HashSet<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..everybody)
                .map(|number| {
                    let vault = vaults[number % vaults.len()].as_ref();
                    let (start, confirmed) = (&start, &confirmed);
                    scope.spawn(move || {
                        start.wait();
                        loop {
                            let after = confirmed.load(Ordering::Acquire);
                            let now = subject(vault, "c", round);
                            if after {
                                return now;
                            }
                        }
                    })
                })
                .collect();
            start.wait();
            let destroyer = vaults[round % vaults.len()].as_ref();
            destroyer.destroy(before).expect("the store answers");
            confirmed.store(true, Ordering::Release);
            let joined = threads.into_iter().map(|t| t.join().expect("it answers"));
            joined.collect()
        });
        assert_eq!(last.len(), 1, "everybody got the same new subject");
        assert!(!last.contains(&before));
    }
}
