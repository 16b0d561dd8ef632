//! I4: folding from the start equals folding incrementally, in any batch split, any interleaving of partitions, with
//! restarts and compaction in between.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use assent_journal::Checkpoint;
use assent_projection::{
    Definitions, Manifest, Projector, Settings, Snapshot, Table, canonical_dump,
};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::catalog::definitions;
use crate::fleet::{ByByte, subjects_of};
use crate::memory_journal::{MemoryJournal, PARTITIONS};
use crate::story::{DAY, Room, malformed, story, topics};

pub fn settings() -> Settings {
    Settings {
        batch_records: 10_000,
        max_files: 100,
        keep_manifests: 2,
        keep_for: Duration::ZERO,
        row_group_rows: 64,
        cluster_rows: 10,
        poll: Duration::from_millis(5),
        linger: Duration::ZERO,
        ..Settings::default()
    }
}

pub fn open(
    room: &Room,
    name: &str,
    journal: &Arc<MemoryJournal>,
    definitions: &Definitions,
    settings: Settings,
) -> Projector {
    Projector::open(
        room.alone(name, journal.clone()),
        definitions.clone(),
        settings,
    )
    .unwrap()
}

/// The newest snapshot of a projection of the room.
pub fn newest(room: &Room, name: &str) -> Snapshot {
    snapshot(&room.dir.path().join(name))
}

pub fn snapshot(dir: &Path) -> Snapshot {
    Snapshot::latest(dir).unwrap().unwrap()
}

/// Whoever has nothing more to fold puts the files together, and says what it said before.
#[tokio::test]
async fn at_rest_a_shard_has_one_file_a_table() {
    let room = Room::new();
    let journal = room.journal(story(9, 300, 8, true));
    let small = Settings {
        batch_records: 20,
        ..settings()
    };
    let mut projector = open(&room, "projection", &journal, &definitions(), small);
    projector.run_once().await.unwrap();
    let busy = newest(&room, "projection");
    let files = |snapshot: &Snapshot| snapshot.files(Table::Members).len();
    let shards = busy.manifest().shards.len();
    assert!(files(&busy) > 2 * shards, "control: there are many");
    let said = dump(&busy);
    let progress = projector.run_to_rest().await.unwrap();
    assert!(progress.compacted.contains(&Table::Members) && progress.counts.records() == 0);
    let rested = newest(&room, "projection");
    assert!(files(&rested) <= shards);
    assert_eq!(dump(&rested), said);
    let number = rested.manifest().number;
    projector.run_to_rest().await.unwrap();
    assert_eq!(
        newest(&room, "projection").manifest().number,
        number,
        "nothing is left to do"
    );
}

/// Where somebody says whose rows are to lie together, each file at rest has those of one cluster.
#[tokio::test]
async fn at_rest_rows_of_a_cluster_lie_together() {
    let room = Room::new();
    let journal = room.journal(story(9, 300, 8, true));
    let mut parts = room.alone("projection", journal.clone());
    parts.clustering = Some(Arc::new(ByByte));
    let small = Settings {
        batch_records: 20,
        cluster_rows: 1,
        ..settings()
    };
    let mut projector = Projector::open(parts, definitions(), small).unwrap();
    projector.run_to_rest().await.unwrap();
    let snapshot = newest(&room, "projection");
    snapshot.verify().unwrap();
    let mut several = 0;
    for shard in snapshot.manifest().shards.values() {
        for table in [Table::Members, Table::Events] {
            let files = shard.live.files(table);
            let clusters = files.iter().map(|file| {
                let stored = snapshot.stored(file).open().unwrap();
                let of: BTreeSet<usize> = subjects_of(stored)
                    .iter()
                    .map(|subject| ByByte::of(subject, 3))
                    .collect();
                assert_eq!(of.len(), 1, "{table}");
                of.first().copied().unwrap()
            });
            let clusters: Vec<usize> = clusters.collect();
            let distinct: BTreeSet<usize> = clusters.iter().copied().collect();
            assert_eq!(distinct.len(), clusters.len(), "{table}");
            several += usize::from(clusters.len() > 1);
        }
    }
    assert!(several > 1, "control: there are clusters");
    let number = snapshot.manifest().number;
    projector.run_to_rest().await.unwrap();
    let after = newest(&room, "projection").manifest().number;
    assert_eq!(after, number, "nothing is left to do");
    let whole = at_once(&room, "whole", &journal, &definitions()).await;
    assert_same(&snapshot, &whole);
}

/// Everything a snapshot says.
pub fn dump(snapshot: &Snapshot) -> Vec<(Table, Vec<String>)> {
    Table::ALL
        .into_iter()
        .map(|table| (table, canonical_dump(snapshot, table).unwrap()))
        .collect()
}

pub fn assert_same(one: &Snapshot, other: &Snapshot) {
    for ((table, rows), (_, others)) in dump(one).into_iter().zip(dump(other)) {
        assert_eq!(rows, others, "{table}");
    }
    let said = |manifest: &Manifest| {
        (
            manifest.checkpoint(),
            manifest.counts(),
            manifest.skipped(),
            manifest.latest(),
            manifest.schema_ids(),
        )
    };
    assert_eq!(said(one.manifest()), said(other.manifest()));
}

/// Moves every partition's visible end on by a little.
pub fn reveal(rng: &mut StdRng, from: &Checkpoint, ends: &Checkpoint) -> Checkpoint {
    let mut shown = Checkpoint::new();
    for topic in topics() {
        for partition in 0..PARTITIONS {
            let (from, end) = (from.get(&topic, partition), ends.get(&topic, partition));
            let step = if rng.random_ratio(1, 3) {
                0
            } else {
                rng.random_range(0..30)
            };
            shown.set(&topic, partition, (from + step).min(end));
        }
    }
    shown
}

async fn incrementally(
    room: &Room,
    journal: &Arc<MemoryJournal>,
    definitions: &Definitions,
    seed: u64,
) -> Snapshot {
    let mut rng = StdRng::seed_from_u64(seed);
    let ends = journal.ends(&topics());
    let mut shown = Checkpoint::new();
    let mut projector: Option<Projector> = None;
    loop {
        shown = reveal(&mut rng, &shown, &ends);
        journal.show(Some(shown.clone()));
        // A restart loses everything in memory; compaction comes at once, or hardly ever.
        if rng.random_ratio(1, 4) {
            projector = None;
        }
        let open = projector.get_or_insert_with(|| {
            let settings = Settings {
                batch_records: rng.random_range(1..40),
                max_files: rng.random_range(1..9),
                ..settings()
            };
            self::open(room, "incremental", journal, definitions, settings)
        });
        open.run_once().await.unwrap();
        if shown.covers(&ends) {
            return self::newest(room, "incremental");
        }
    }
}

pub async fn at_once(
    room: &Room,
    name: &str,
    journal: &Arc<MemoryJournal>,
    definitions: &Definitions,
) -> Snapshot {
    journal.show(None);
    let mut projector = open(room, name, journal, definitions, settings());
    projector.run_once().await.unwrap();
    self::newest(room, name)
}

pub fn run<T>(job: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
        .block_on(job)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn any_split_with_restarts_and_compaction_says_the_same(seed: u64, length in 1_usize..120, window in 1_i64..12) {
        let room = Room::new();
        let journal = room.journal(story(seed, length, 9, true));
        malformed(&room, &journal);
        let definitions = Definitions { dedup_window_micros: window * DAY, ..definitions() };
        run(async {
            let cut = incrementally(&room, &journal, &definitions, seed).await;
            let whole = at_once(&room, "whole", &journal, &definitions).await;
            assert_same(&cut, &whole);
            cut.verify().unwrap();

            // The same once more by an explicit rebuild over what is there, and by a rebuild in small pieces.
            let settings = Settings { batch_records: 7, max_files: 2, ..settings() };
            let mut projector = open(&room, "incremental", &journal, &definitions, settings);
            let progress = projector.rebuild().await.unwrap();
            let rebuilt = self::newest(&room, "incremental");
            assert_same(&rebuilt, &whole);
            assert_eq!(progress.to_be_rebuilt.len(), 0);
            assert_eq!(rebuilt.manifest().generation(), cut.manifest().generation() + 1);
        });
    }
}

#[test]
fn the_story_says_something_of_every_kind() {
    // The control of the property above: it would hold for empty tables, too.
    let room = Room::new();
    let journal = room.journal(story(1, 400, 9, true));
    malformed(&room, &journal);
    run(async {
        let whole = at_once(&room, "whole", &journal, &definitions()).await;
        for (table, rows) in dump(&whole) {
            assert!(rows.len() >= 9, "{table}: {}", rows.len());
        }
        let counts = &whole.manifest().counts();
        assert!(counts.duplicates > 5 && counts.folded > 300, "{counts:?}");
        assert_eq!(counts.skipped.len(), 3, "{counts:?}");
        assert_eq!(counts.values.len(), 2, "{counts:?}");
        assert_eq!(counts.records(), 404);
    });
}

#[test]
fn another_order_of_another_log_says_something_else() {
    // The control of `canonical_dump`: it must see a difference of one event.
    let room = Room::new();
    let mut drafts = story(3, 60, 4, false);
    let one = room.journal(drafts.clone());
    drafts.pop();
    let other = room.journal(drafts);
    run(async {
        let one = at_once(&room, "one", &one, &definitions()).await;
        let other = at_once(&room, "other", &other, &definitions()).await;
        assert_ne!(dump(&one), dump(&other));
    });
}
