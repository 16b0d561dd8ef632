//! Files are merged beside the fold: nothing waits for it but where there are far too many, and whatever happens to the
//! shard meanwhile, what is read is what it was, and nothing comes back or is left lying about.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use assent_journal::Group;
use assent_projection::{FailPoint, Projector, Settings, Step, Table, canonical_dump};
use assent_vault::Vault;
use tokio::sync::watch;

use crate::catalog::definitions;
use crate::fleet::Assigned;
use crate::memory_journal::{MemoryJournal, PARTITIONS};
use crate::replay::{assert_same, at_once, newest, settings};
use crate::rivals::extended;
use crate::story::{Room, story, subject, topics};

/// Holds merges up when they have written their files.
#[derive(Default)]
struct Hold {
    open: Mutex<bool>,
    opened: Condvar,
    held: AtomicUsize,
}

impl Hold {
    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    /// Returns when so many merges were held up.
    async fn holds(&self, merges: usize) {
        while self.held.load(Ordering::SeqCst) < merges {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl FailPoint for Hold {
    fn reached(&self, step: Step) {
        if step == Step::AfterMerge {
            self.held.fetch_add(1, Ordering::SeqCst);
            let open = self.open.lock().unwrap();
            drop(self.opened.wait_while(open, |open| !*open).unwrap());
        }
    }
}

/// A projector whose merges are held up.
struct House {
    room: Room,
    journal: Arc<MemoryJournal>,
    group: Arc<Assigned>,
    hold: Arc<Hold>,
    projector: Projector,
}

impl House {
    /// Has folded nothing yet.
    fn new() -> Self {
        let room = Room::new();
        let journal = room.journal(story(41, 120, 6, true));
        let group = Arc::new(Assigned(watch::Sender::new((0..PARTITIONS).collect())));
        let hold = Arc::new(Hold::default());
        let mut parts = room.alone("p", journal.clone());
        parts.group = Arc::clone(&group) as Arc<dyn Group>;
        let small = Settings {
            batch_records: 20,
            ..settings()
        };
        let projector = Projector::open_with(parts, definitions(), small, hold.clone());
        Self {
            room,
            journal,
            group,
            hold,
            projector: projector.unwrap(),
        }
    }

    /// Caught up with some records, and with a merge at rest held up.
    async fn merging() -> Self {
        let mut house = Self::new();
        house.projector.keep_up().await.unwrap();
        house.hold.holds(1).await;
        house
    }

    /// Lets merges go on, and commits them all.
    async fn rest(&mut self) {
        self.hold.open();
        self.projector.run_to_rest().await.unwrap();
    }

    /// Data files that no manifest names.
    fn orphans(&self) -> Vec<String> {
        let paths = |folder: &str| {
            let folder = self.room.dir.path().join("p").join(folder);
            let entries = fs::read_dir(folder).unwrap();
            entries.map(|entry| entry.unwrap().path())
        };
        let manifests = paths("manifest").map(|path| fs::read_to_string(path).unwrap());
        let manifests = manifests.collect::<Vec<_>>().concat();
        let names = paths("data").map(|path| path.file_name().unwrap().display().to_string());
        names.filter(|name| !manifests.contains(name)).collect()
    }

    async fn assert_whole(&self) {
        let whole = at_once(&self.room, "whole", &self.journal, &definitions()).await;
        assert_same(&newest(&self.room, "p"), &whole);
    }
}

impl Drop for House {
    /// A test that fails is not to wait for its merges for ever.
    fn drop(&mut self) {
        self.hold.open();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_in_is_visible_while_files_are_merged() {
    let mut house = House::merging().await;
    let mut ended = house.projector.merged();
    ended.mark_unchanged();
    for seed in 0..5 {
        let more = story(50 + seed, 30, 6, true);
        house.room.append(&house.journal, more);
        let progress = house.projector.keep_up().await.unwrap();
        assert!(progress.counts.records() == 30 && progress.compacted.is_empty());
        let ends = house.journal.ends(&topics());
        assert_eq!(newest(&house.room, "p").manifest().checkpoint(), ends);
    }
    assert!(!ended.has_changed().unwrap());
    house.assert_whole().await;

    house.hold.open();
    ended.changed().await.unwrap();
    let progress = house.projector.keep_up().await.unwrap();
    assert!(!progress.compacted.is_empty(), "it is committed now");
    house.rest().await;
    house.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_brings_no_purged_rows_back() {
    let mut house = House::merging().await;
    house.room.vault.destroy(subject(2)).unwrap();
    let (room, hold) = (&house.room, &house.hold);
    let asked = async {
        while newest(room, "p").manifest().purge == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let to_be_purged = newest(room, "p").manifest().to_be_purged();
        assert!(!to_be_purged.is_empty(), "it waits for the merge");
        hold.open();
    };
    let (done, ()) = tokio::join!(house.projector.purge_erased(), asked);
    assert!(done.unwrap().to_be_purged.is_empty());
    assert_eq!(house.orphans(), [""; 0]);
    let mentioned = |house: &House| {
        let hex = subject(2).to_string();
        let snapshot = newest(&house.room, "p");
        let rows = Table::ALL.map(|table| canonical_dump(&snapshot, table).unwrap());
        rows.concat().iter().any(|row| row.contains(&hex))
    };
    assert!(!mentioned(&house));
    house.rest().await;
    assert!(!mentioned(&house));
    assert_eq!(house.orphans(), [""; 0]);
}

/// Who is asked by another to purge says that it has only when no merge can leave purged rows lying about.
#[tokio::test(flavor = "multi_thread")]
async fn a_purge_that_another_asks_for_waits_for_merges() {
    let mut house = House::merging().await;
    house.room.vault.destroy(subject(2)).unwrap();
    let mut parts = house.room.alone("p", house.journal.clone());
    parts.group = Arc::new(Assigned(watch::Sender::new(BTreeSet::new())));
    let mut other = Projector::open(parts, definitions(), settings()).unwrap();
    let progress = other.purge_erased().await.unwrap();
    assert_eq!(progress.to_be_purged.len(), PARTITIONS as usize);

    let mut ended = house.projector.merged();
    ended.mark_unchanged();
    let progress = house.projector.keep_up().await.unwrap();
    assert_eq!(progress.to_be_purged.len(), 1, "the one that is merged");
    house.hold.open();
    ended.changed().await.unwrap();
    house.projector.keep_up().await.unwrap();
    let progress = house.projector.keep_up().await.unwrap();
    assert!(progress.to_be_purged.is_empty());
    assert_eq!(house.orphans(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_of_a_shard_that_was_given_away_is_dropped() {
    let mut house = House::merging().await;
    house.group.0.send_replace(BTreeSet::new());
    house.projector.keep_up().await.unwrap();
    house.group.0.send_replace((0..PARTITIONS).collect());
    house.projector.keep_up().await.unwrap();
    house.rest().await;
    assert_eq!(house.orphans(), [""; 0]);
    house.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_of_what_is_rebuilt_meanwhile_is_dropped() {
    let mut house = House::merging().await;
    house.projector.adopt(extended()).unwrap();
    let progress = house.projector.keep_up().await.unwrap();
    assert!(progress.rebuilt.is_some() && progress.to_be_rebuilt.is_empty());
    house.rest().await;
    assert_eq!(house.orphans(), [""; 0]);
    let whole = at_once(&house.room, "whole", &house.journal, &extended()).await;
    assert_same(&newest(&house.room, "p"), &whole);
}

/// A merge that was begun in the generation being made is committed after the swap as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_merge_of_what_becomes_live_meanwhile_is_kept() {
    let mut house = House::new();
    house.projector.run_once().await.unwrap();
    house.group.0.send_replace([0].into());
    house.projector.adopt(extended()).unwrap();
    let progress = house.projector.keep_up().await.unwrap();
    assert_eq!(progress.to_be_rebuilt, BTreeSet::from([1, 2]));
    house.hold.holds(1).await;

    // Another folds the others again, and all is swapped.
    let mut parts = house.room.alone("p", house.journal.clone());
    parts.group = Arc::new(Assigned(watch::Sender::new([1, 2].into())));
    let mut other = Projector::open(parts, extended(), settings()).unwrap();
    assert!(other.run_once().await.unwrap().to_be_rebuilt.is_empty());
    house.hold.open();
    let progress = house.projector.run_once().await.unwrap();
    assert_eq!(progress.fenced, []);
    assert!(!progress.compacted.is_empty(), "{progress:?}");
    let whole = at_once(&house.room, "whole", &house.journal, &extended()).await;
    assert_same(&newest(&house.room, "p"), &whole);
}

/// Merges slowly, and looks at how many files there are.
struct Slow {
    most: AtomicUsize,
    room: Room,
}

impl FailPoint for Slow {
    fn reached(&self, step: Step) {
        match step {
            Step::AfterMerge => std::thread::sleep(Duration::from_millis(100)),
            Step::AfterManifest => {
                let snapshot = newest(&self.room, "p");
                for shard in snapshot.manifest().shards.values() {
                    for table in Table::ALL {
                        let files = shard.live.files(table).len();
                        self.most.fetch_max(files, Ordering::SeqCst);
                    }
                    self.most.fetch_max(shard.live.seen.len(), Ordering::SeqCst);
                }
            }
            Step::BeforeData | Step::AfterData | Step::BeforeManifest => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fold_waits_where_merging_cannot_keep_up() {
    let room = Room::new();
    let journal = room.journal(story(42, 120, 6, true));
    let parts = room.alone("p", journal.clone());
    let slow = Arc::new(Slow {
        most: AtomicUsize::new(0),
        room,
    });
    let most = 2;
    let small = Settings {
        batch_records: 2,
        max_files: most,
        ..settings()
    };
    let mut projector = Projector::open_with(parts, definitions(), small, slow.clone()).unwrap();
    projector.keep_up().await.unwrap();
    // Twice as many as are too many and the last batch's, and as many that are being merged.
    let bound = 2 * (2 * most + 1);
    let found = slow.most.load(Ordering::SeqCst);
    assert!(found > most && found <= bound, "{found}");
    projector.run_once().await.unwrap();
    let whole = at_once(&slow.room, "whole", &journal, &definitions()).await;
    assert_same(&newest(&slow.room, "p"), &whole);
}
