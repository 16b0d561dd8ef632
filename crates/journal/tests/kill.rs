//! A process that appends is killed again and again; whatever it was told is durable must be there,
//! exactly once and in order (I3).
//!
//! The test runs its own binary as the process to be killed. SIGKILL at random moments finds what
//! nobody thought of; aborts at the two edges of a commit find the places one does think of.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use assent_journal::{
    EmbeddedConfig, EmbeddedJournal, FaultPoint, Faults, Journal, ReadLimit, Record, Topic,
};

const PARTITIONS: u32 = 3;
const TASKS: u32 = 8;
/// Set only for the process to be killed: the journal's file.
const FILE: &str = "ASSENT_TEST_KILL_FILE";
/// Set only for the process to be killed: `before N` or `after N`, the commit at which it aborts.
const ABORT: &str = "ASSENT_TEST_KILL_ABORT";

fn topic() -> Topic {
    Topic::new("t")
}

fn config() -> EmbeddedConfig {
    EmbeddedConfig::new(vec![(topic(), PARTITIONS)])
}

/// Everything in the journal: per key the values in order, and per place the key and value.
struct Content {
    order: BTreeMap<String, Vec<u64>>,
    places: BTreeMap<(u32, u64), (String, u64)>,
}

async fn content(journal: &EmbeddedJournal) -> Content {
    let mut content = Content {
        order: BTreeMap::new(),
        places: BTreeMap::new(),
    };
    for partition in 0..PARTITIONS {
        let mut at = 0;
        loop {
            let batch = journal
                .read(&topic(), partition, at, ReadLimit::default())
                .await
                .unwrap();
            for stored in batch.records {
                let key = String::from_utf8(stored.key.to_vec()).unwrap();
                let text = String::from_utf8(stored.value.to_vec()).unwrap();
                let value: u64 = text.split(' ').next().unwrap().parse().unwrap();
                let place = (partition, stored.position.offset);
                content.order.entry(key.clone()).or_default().push(value);
                content.places.insert(place, (key, value));
            }
            at = batch.next;
            if at == batch.end {
                break;
            }
        }
    }
    content
}

struct AbortAt {
    point: FaultPoint,
    left: AtomicU64,
}

impl Faults for AbortAt {
    fn at(&self, point: FaultPoint) -> Result<(), String> {
        if point == self.point && self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            std::process::abort();
        }
        Ok(())
    }
}

fn planned_abort() -> Option<Arc<dyn Faults>> {
    let plan = std::env::var(ABORT).ok()?;
    let (point, commit) = plan.split_once(' ').unwrap();
    let point = match point {
        "before" => FaultPoint::BeforeCommit,
        "after" => FaultPoint::AfterCommit,
        other => panic!("unknown point {other}"),
    };
    let left = AtomicU64::new(commit.parse().unwrap());
    Some(Arc::new(AbortAt { point, left }))
}

/// The process to be killed: every task appends 0, 1, 2, … under its key, going on where the journal
/// ends, and prints every acknowledgement. Does nothing unless it is started by the tests below.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_until_killed() {
    let Ok(file) = std::env::var(FILE) else {
        return;
    };
    let config = EmbeddedConfig {
        faults: planned_abort(),
        ..config()
    };
    let journal = Arc::new(EmbeddedJournal::open(Path::new(&file), config).unwrap());
    let found = content(&journal).await;
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let key = format!("key-{task}");
            let next = found.order.get(&key).map_or(0, |order| order.len() as u64);
            tokio::spawn(append_from(Arc::clone(&journal), key, next))
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// Appends `next` and what follows it, for ever, and prints what was acknowledged.
async fn append_from(journal: Arc<EmbeddedJournal>, key: String, mut next: u64) {
    loop {
        let count = 1 + next % 3;
        let records = (next..next + count)
            .map(|n| Record {
                topic: topic(),
                key: key.clone().into(),
                value: format!("{n} {}", "x".repeat((n % 7) as usize * 100)).into(),
                headers: vec![],
            })
            .collect();
        let positions = journal.append(records).await.unwrap();
        let mut told = String::new();
        for (n, place) in (next..).zip(positions) {
            told += &format!("ack {key} {n} {} {}\n", place.partition, place.offset);
        }
        // One write, so that acknowledgements do not mix.
        std::io::stdout().write_all(told.as_bytes()).unwrap();
        next += count;
    }
}

/// Runs the process until it has acknowledged `acks` records and then some moments, kills it, and
/// returns what it acknowledged. With a planned abort it is left to die by itself.
fn run_until_killed(
    file: &Path,
    acks: usize,
    then: Duration,
    abort: Option<String>,
) -> Vec<(String, u64, u32, u64)> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "appends_until_killed", "--nocapture"])
        .env(FILE, file)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let dies_alone = abort.is_some();
    if let Some(plan) = abort {
        command.env(ABORT, plan);
    }
    let mut child = command.spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let child = Arc::new(Mutex::new(child));
    let mut told = Vec::new();
    let mut line = String::new();
    let mut killer = None;
    loop {
        line.clear();
        if output.read_line(&mut line).unwrap() == 0 {
            break;
        }
        // The last line may be cut off: then it was not told.
        let words: Vec<&str> = line.trim_end().split(' ').collect();
        if let (true, ["ack", key, n, partition, offset]) = (line.ends_with('\n'), &words[..]) {
            told.push((
                (*key).to_owned(),
                n.parse().unwrap(),
                partition.parse().unwrap(),
                offset.parse().unwrap(),
            ));
        }
        if !dies_alone && told.len() >= acks && killer.is_none() {
            let child = Arc::clone(&child);
            // The pipe is read on while the moment passes; then SIGKILL.
            killer = Some(std::thread::spawn(move || {
                std::thread::sleep(then);
                child.lock().unwrap().kill().unwrap();
            }));
        }
    }
    if let Some(killer) = killer {
        killer.join().unwrap();
    }
    let status = child.lock().unwrap().wait().unwrap();
    assert!(!status.success(), "the process was to die: {status}");
    told
}

/// Checks a restarted journal against everything ever acknowledged.
async fn check(file: &Path, acknowledged: &BTreeMap<(u32, u64), (String, u64)>) -> usize {
    let journal = EmbeddedJournal::open(file, config()).unwrap();
    let found = content(&journal).await;
    for (key, order) in &found.order {
        let expected: Vec<u64> = (0..order.len() as u64).collect();
        assert_eq!(order, &expected, "{key}: each once and in order");
    }
    for (place, record) in acknowledged {
        assert_eq!(found.places.get(place), Some(record), "at {place:?}");
    }
    found.places.len()
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("journal.redb");
    let mut acknowledged = BTreeMap::new();
    let mut dice = 20_261_122u64;
    for cycle in 0..24 {
        dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let random = dice >> 33;
        // Every sixth cycle dies at an edge of a commit of its own accord.
        let abort = match cycle % 12 {
            5 => Some(format!("before {}", 2 + random % 20)),
            11 => Some(format!("after {}", 2 + random % 20)),
            _ => None,
        };
        let then = Duration::from_micros(random % 40_000);
        let told = run_until_killed(&file, (random % 30) as usize + 1, then, abort);
        for (key, n, partition, offset) in told {
            let other = acknowledged.insert((partition, offset), (key, n));
            assert_eq!(other, None, "a position is given once");
        }
        let found = check(&file, &acknowledged).await;
        assert!(found >= acknowledged.len());
    }
    assert!(acknowledged.len() > 500, "only {}", acknowledged.len());
}
