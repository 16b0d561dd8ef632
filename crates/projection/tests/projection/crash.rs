//! I3 and I4 under `kill -9` at every step of the commit protocol: a process that dies there and is started again
//! ends with what an undisturbed one has.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use assent_journal::{EmbeddedConfig, EmbeddedJournal, Journal};
use assent_projection::{FailPoint, NoFailPoint, Parts, Projector, Settings, Step, Table};

use crate::catalog::definitions;
use crate::memory_journal::PARTITIONS;
use crate::replay::{assert_same, settings, snapshot};
use crate::story::{Room, open_vault, owner, story, topics};

const DIR: &str = "ASSENT_TEST_CRASH_DIR";
const STEP: &str = "ASSENT_TEST_CRASH_STEP";
const HIT: &str = "ASSENT_TEST_CRASH_HIT";

/// Kills its own process at the given arrival at a step.
struct Kill {
    step: Step,
    hits: AtomicUsize,
}

impl FailPoint for Kill {
    fn reached(&self, step: Step) {
        if step == self.step && self.hits.fetch_sub(1, Ordering::SeqCst) == 1 {
            let kill = format!("kill -9 {}", std::process::id());
            Command::new("sh").arg("-c").arg(kill).status().unwrap();
            unreachable!("this process was killed");
        }
    }
}

fn journal(dir: &Path) -> EmbeddedJournal {
    let topics = topics().map(|topic| (topic, PARTITIONS)).to_vec();
    EmbeddedJournal::open(&dir.join("journal.redb"), EmbeddedConfig::new(topics)).unwrap()
}

/// Catches up with the journal in that directory.
fn project(dir: &Path, to: &str, settings: Settings, fail: Arc<dyn FailPoint>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let parts = Parts::alone(
            &dir.join(to),
            Arc::new(journal(dir)),
            Arc::new(open_vault(&dir.join("vault.redb"))),
            owner(),
        )
        .unwrap();
        let mut projector = Projector::open_with(parts, definitions(), settings, fail).unwrap();
        projector.run_once().await.unwrap();
    });
}

fn small() -> Settings {
    Settings {
        batch_records: 12,
        max_files: 2,
        ..settings()
    }
}

/// Not a test of its own: the process that dies.
#[test]
#[ignore = "started by the test that kills it"]
fn child() {
    let dir = std::env::var_os(DIR).unwrap();
    let named = std::env::var(STEP).unwrap();
    let hits = std::env::var(HIT).unwrap().parse().unwrap();
    let step = Step::ALL
        .into_iter()
        .find(|step| format!("{step:?}") == named);
    let fail = Kill {
        step: step.unwrap(),
        hits: AtomicUsize::new(hits),
    };
    project(dir.as_ref(), "projection", small(), Arc::new(fail));
}

fn child_killed_at(dir: &Path, step: Step, hit: usize) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args(["crash::child", "--exact", "--ignored"])
        .env(DIR, dir)
        .env(STEP, format!("{step:?}"))
        .env(HIT, hit.to_string())
        .output()
        .unwrap()
        .status
}

#[test]
fn killed_at_every_step_and_started_again_it_says_the_same() {
    let room = Room::new();
    let records = room.seal(story(11, 400, 9, true));
    let dir = room.dir.path().to_owned();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async { journal(&dir).append(records).await.unwrap() });
    // The files stay, the stores are closed: they belong to one process at a time.
    let Room {
        dir: kept, vault, ..
    } = room;
    drop(vault);

    for hit in [1, 2, 4] {
        for step in Step::ALL {
            let status = child_killed_at(&dir, step, hit);
            assert_eq!(status.signal(), Some(9), "{step:?} {hit}: {status}");
        }
    }
    let before = snapshot(&dir.join("projection"));
    assert!(before.manifest().number > 8, "the children got somewhere");
    before.verify().unwrap();

    project(&dir, "projection", small(), Arc::new(NoFailPoint));
    project(&dir, "whole", settings(), Arc::new(NoFailPoint));
    let (after, whole) = (
        snapshot(&dir.join("projection")),
        snapshot(&dir.join("whole")),
    );
    assert!(after.manifest().counts().folded > before.manifest().counts().folded);
    after.verify().unwrap();
    assert_same(&after, &whole);

    // What the crashes left behind is gone: every file is named by a manifest that is kept.
    let data = std::fs::read_dir(dir.join("projection/data")).unwrap();
    let present: BTreeSet<String> = data
        .map(|entry| format!("data/{}", entry.unwrap().file_name().display()))
        .collect();
    let manifests = std::fs::read_dir(dir.join("projection/manifest")).unwrap();
    let mut named = BTreeSet::new();
    for entry in manifests {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        named.extend(present.iter().filter(|path| text.contains(*path)).cloned());
    }
    assert_eq!(present, named);
    assert!(
        Table::ALL
            .iter()
            .all(|table| !after.files(*table).is_empty())
    );
    drop(kept);
}
