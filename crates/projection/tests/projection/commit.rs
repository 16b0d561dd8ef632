//! The commit protocol and what it guards: conflicts, damage, definitions, tombstones, missing keys, cleaning up.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use assent_event::{AccountMembership, Behaviour, Traits};
use assent_projection::{
    Error, ErrorKind, Projector, Rebuilt, Settings, Snapshot, Table, canonical_dump,
};
use assent_vault::Vault;

use crate::catalog::{catalog, definitions, derived};
use crate::memory_journal::{MemoryJournal, PARTITIONS};
use crate::replay::{assert_same, dump, newest, open, settings, snapshot};
use crate::story::{DAY, Room, draft, malformed, open_vault, story, subject};

fn data_files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir.join("data"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

fn manifests(dir: &Path) -> usize {
    fs::read_dir(dir.join("manifest")).unwrap().count()
}

#[tokio::test]
async fn a_run_without_news_writes_nothing_and_the_first_always_commits() {
    let room = Room::new();
    let journal = room.journal(Vec::new());
    let dir = room.dir.path().join("p");
    assert!(Snapshot::latest(&dir).unwrap().is_none());
    let mut projector = open(&room, "p", &journal, &definitions(), settings());
    assert_eq!(projector.run_once().await.unwrap().number, 1);
    room.append(&journal, story(1, 20, 3, false));
    let progress = projector.run_once().await.unwrap();
    assert_eq!((progress.number, progress.commits), (2, 1));
    assert_eq!(progress.counts.folded, 20);
    let again = projector.run_once().await.unwrap();
    assert_eq!((again.number, again.commits), (2, 0));
    assert_eq!(again.counts.records(), 0);
    assert_eq!(again.checkpoint, progress.checkpoint);
}

#[tokio::test]
async fn another_catalogue_rebuilds_and_another_wording_does_not() {
    let room = Room::new();
    let journal = room.journal(story(2, 80, 4, true));
    let mut projector = open(&room, "p", &journal, &definitions(), settings());
    projector.run_once().await.unwrap();
    let before = newest(&room, "p");

    let mut reworded = definitions();
    reworded.catalog.identified[0].description = "where they live".to_owned();
    reworded.catalog.derived[1].window_days = Some(60);
    reworded.catalog.identified.reverse();
    projector.adopt(reworded.clone()).unwrap();
    let progress = projector.run_once().await.unwrap();
    assert_eq!(progress.rebuilt, None);
    let after = newest(&room, "p");
    assert_eq!(
        *after.definitions(),
        reworded,
        "readers see the new wording"
    );
    assert_eq!(after.files(Table::Members), before.files(Table::Members));

    let mut extended = reworded.clone();
    let views = assent_programme::Measure::Count;
    extended.catalog.derived.push(derived("again", views, None));
    projector.adopt(extended.clone()).unwrap();
    let progress = projector.run_once().await.unwrap();
    assert_eq!(progress.rebuilt, Some(Rebuilt::DefinitionsChanged));
    let rebuilt = newest(&room, "p");
    assert_eq!(rebuilt.manifest().generation(), 1);
    let mut fresh = open(&room, "fresh", &journal, &extended, settings());
    fresh.run_once().await.unwrap();
    assert_same(&rebuilt, &newest(&room, "fresh"));

    // Readers of the old snapshot still find its files: two manifests are kept.
    after.verify().unwrap();
}

#[tokio::test]
async fn a_catalogue_whose_columns_clash_is_refused() {
    let mut clashing = definitions();
    clashing.catalog.identified[0].name = "purchases_total__count".to_owned();
    let error = clashing.check().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(
        error.to_string().contains("purchases_total__count"),
        "{error}"
    );
    definitions().check().unwrap();
}

#[tokio::test]
async fn a_damaged_data_file_is_named_and_a_rebuild_mends_it() {
    let room = Room::new();
    let journal = room.journal(story(3, 80, 4, true));
    let mut projector = open(&room, "p", &journal, &definitions(), settings());
    projector.run_once().await.unwrap();
    let snapshot = newest(&room, "p");
    let sound = dump(&snapshot);
    let path = room
        .dir
        .path()
        .join("p")
        .join(&snapshot.files(Table::Events)[0].path);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();

    for error in [
        snapshot.verify().unwrap_err(),
        canonical_dump(&snapshot, Table::Events).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        let text = error.to_string();
        assert!(
            text.contains("events-") && text.contains("assent project --rebuild"),
            "{text}"
        );
    }
    fs::remove_file(&path).unwrap();
    assert!(
        snapshot
            .verify()
            .unwrap_err()
            .to_string()
            .contains("missing")
    );

    projector.rebuild().await.unwrap();
    let mended = newest(&room, "p");
    mended.verify().unwrap();
    assert_eq!(dump(&mended), sound);
}

/// Who has nothing to fold can do without fewer files: what is folded next must not wait for them to be mended.
#[tokio::test]
async fn files_that_cannot_be_put_together_at_rest_hold_nothing_up() {
    let room = Room::new();
    let journal = room.journal(story(7, 200, 9, false));
    let small = Settings {
        batch_records: 20,
        ..settings()
    };
    let mut projector = open(&room, "p", &journal, &definitions(), small);
    projector.run_once().await.unwrap();
    let before = newest(&room, "p");
    let shard = |snapshot: &Snapshot, number: u32| {
        snapshot.manifest().shards[&number]
            .live
            .files(Table::Events)
            .to_vec()
    };
    let damaged = shard(&before, 0);
    let path = room.dir.path().join("p").join(&damaged[0].path);
    let mut bytes = fs::read(&path).unwrap();
    bytes[10] ^= 1;
    fs::write(&path, &bytes).unwrap();

    let progress = projector.run_to_rest().await.unwrap();
    assert!(progress.shards.contains_key(&0), "the shard is still held");
    let after = newest(&room, "p");
    assert_eq!(shard(&after, 0), damaged, "nothing replaces it");
    assert_eq!(shard(&after, 1).len(), 1, "the others are put together");
    // Nobody takes anything over again, and what comes is folded.
    let number = after.manifest().number;
    projector.run_to_rest().await.unwrap();
    assert_eq!(newest(&room, "p").manifest().number, number);
    let more = vec![draft(999, 1, DAY, Traits::new().value("city", "x"))];
    room.append(&journal, more);
    let progress = projector.run_to_rest().await.unwrap();
    assert_eq!(progress.counts.folded, 1);
}

#[tokio::test]
async fn compaction_never_spreads_damage() {
    let room = Room::new();
    let journal = room.journal(story(3, 80, 4, false));
    let mut projector = open(&room, "p", &journal, &definitions(), settings());
    projector.run_once().await.unwrap();
    let before = newest(&room, "p");
    let path = room
        .dir
        .path()
        .join("p")
        .join(&before.files(Table::Members)[0].path);
    let mut bytes = fs::read(&path).unwrap();
    bytes[10] ^= 1;
    fs::write(&path, &bytes).unwrap();
    room.append(
        &journal,
        vec![draft(999, 1, DAY, Traits::new().value("city", "x"))],
    );
    drop(projector);
    let settings = Settings {
        max_files: 1,
        ..settings()
    };
    let mut projector = open(&room, "p", &journal, &definitions(), settings);
    let error = projector.run_once().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[tokio::test]
async fn a_damaged_manifest_is_named_and_a_rebuild_mends_it() {
    let room = Room::new();
    let journal = room.journal(story(3, 40, 4, true));
    let mut projector = open(&room, "p", &journal, &definitions(), settings());
    let number = projector.run_once().await.unwrap().number;
    let dir = room.dir.path().join("p");
    let sound = dump(&snapshot(&dir));
    drop(projector);
    let path = dir.join(format!("manifest/{number:020}.json"));
    let text = fs::read_to_string(&path).unwrap();
    // A change that is still valid JSON, a truncation, and nonsense.
    let nudged = text.replace("\"folded\":", "\"folded\":1");
    assert_ne!(nudged, text);
    for damaged in [nudged.as_str(), &text[..text.len() / 2], "nonsense", ""] {
        fs::write(&path, damaged).unwrap();
        let error = Snapshot::latest(&dir).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(
            error.to_string().contains("assent project --rebuild"),
            "{error}"
        );
        let mut projector = open(&room, "p", &journal, &definitions(), settings());
        assert_eq!(
            projector.run_once().await.unwrap_err().kind(),
            ErrorKind::Corrupt
        );
    }
    let newer = text.replace("\"format\":3", "\"format\":4");
    fs::write(&path, newer).unwrap();
    assert!(matches!(
        Snapshot::latest(&dir).unwrap_err(),
        Error::Format { found: 4, .. }
    ));
    let mut projector = open(&room, "p", &journal, &definitions(), settings());
    let error = projector.rebuild().await.unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Invalid,
        "what a newer program wrote is not ours to replace"
    );
    drop(projector);
    fs::write(&path, "nonsense").unwrap();

    let mut projector = open(&room, "p", &journal, &definitions(), settings());
    projector.rebuild().await.unwrap();
    assert_eq!(dump(&snapshot(&dir)), sound);
    projector.run_once().await.unwrap();
}

#[tokio::test]
async fn every_record_is_accounted_for() {
    let room = Room::new();
    let journal = room.journal(story(4, 50, 3, false));
    let positions = malformed(&room, &journal);
    let wordless = Behaviour::default();
    let wordless = room.append(&journal, vec![draft(800_000, 1, 0, wordless)]);
    let mut projector = open(&room, "p", &journal, &definitions(), settings());
    projector.run_once().await.unwrap();
    let manifest = newest(&room, "p").manifest().clone();
    assert_eq!(manifest.counts().folded, 50);
    assert_eq!(manifest.counts().records(), 55);
    let skipped = manifest.skipped();
    for (position, code) in positions.iter().chain(&wordless).zip([
        "kind_misplaced",
        "envelope_unreadable",
        "envelope_unreadable",
        "schema_unknown",
        "block_missing",
    ]) {
        let named = skipped.iter().find(|skipped| {
            skipped.topic == position.topic.as_str()
                && (skipped.partition, skipped.offset) == (position.partition, position.offset)
        });
        assert_eq!(
            named.map(|skipped| skipped.code.as_str()),
            Some(code),
            "{position}"
        );
    }
}

#[tokio::test]
async fn the_erased_are_tombstones_and_are_purged() {
    let room = Room::new();
    let log = story(5, 120, 5, false);
    let gone = log
        .iter()
        .filter(|draft| draft.subject == subject(2))
        .count() as u64;
    let journal = room.journal(log);
    // Nothing of this event is sealed; it belongs to the erased all the same.
    room.append(
        &journal,
        vec![draft(
            5_000,
            2,
            DAY,
            AccountMembership::joined("solo").name("Solo"),
        )],
    );
    let dir = room.dir.path().join("p");
    let settings = Settings {
        batch_records: 25,
        ..settings()
    };
    let mut projector = open(&room, "p", &journal, &definitions(), settings);
    projector.run_once().await.unwrap();
    let hex = subject(2).to_string();
    let mentions = |snapshot: &Snapshot| {
        let rows = dump(snapshot).into_iter().flat_map(|(_, rows)| rows);
        rows.filter(|row| row.contains(&hex) || row.contains("Solo"))
            .count()
    };
    assert!(mentions(&snapshot(&dir)) > 3);

    room.vault.destroy(subject(2)).unwrap();
    let progress = projector.purge_erased().await.unwrap();
    assert_eq!(progress.compacted, BTreeSet::from(Table::ALL));
    let purged = snapshot(&dir);
    assert_eq!(mentions(&purged), 0);
    assert_eq!(manifests(&dir), 1, "no older manifest keeps the rows");
    let mut named = 0;
    for shard in purged.manifest().shards.values() {
        named += shard.live.seen.len();
        for table in Table::ALL {
            let files = shard.live.files(table).len();
            assert!(files <= 1, "{table}");
            named += files;
        }
    }
    assert!(named > Table::ALL.len());
    assert_eq!(data_files(&dir).len(), named);

    // A rebuild from the log that can still be read says the same.
    let mut fresh = open(&room, "fresh", &journal, &definitions(), self::settings());
    fresh.run_once().await.unwrap();
    let fresh = newest(&room, "fresh");
    assert_eq!(dump(&purged), dump(&fresh));
    assert_eq!(fresh.manifest().counts().erased, gone + 1);
}

#[tokio::test]
async fn a_missing_key_stops_the_projector() {
    let room = Room::new();
    let journal = room.journal(story(6, 30, 3, false));
    let stranger = Arc::new(open_vault(&room.dir.path().join("other.redb")));
    let mut parts = room.alone("p", journal.clone());
    parts.vault = stranger;
    let mut projector = Projector::open(parts, definitions(), settings()).unwrap();
    let error = projector.run_once().await.unwrap_err();
    assert!(matches!(error, Error::Vault { .. }), "{error}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("restore the vault"), "{cause}");
    drop(projector);
    // Nothing was committed but the empty beginning; with the right vault it goes on.
    let mut projector = open(&room, "p", &journal, &definitions(), settings());
    assert_eq!(projector.run_once().await.unwrap().counts.folded, 30);
}

#[tokio::test]
async fn a_repetition_counts_once_within_the_window_and_again_after_it() {
    let room = Room::new();
    let order = |number, day: i64| {
        let mut order = draft(number, 1, day * DAY, Behaviour::named("Order Completed"));
        order.message_id = "the same".to_owned();
        order
    };
    // Eight days after the first and one after its repetition: beyond the window of the one that was admitted.
    let mut other_source = order(4, 8);
    other_source.source = "till".to_owned();
    let journal = room.journal(vec![order(1, 0), order(2, 6), order(3, 8), other_source]);
    let settings = Settings {
        batch_records: 1,
        max_files: 1,
        ..settings()
    };
    let mut projector = open(&room, "p", &journal, &definitions(), settings);
    projector.run_once().await.unwrap();
    let snapshot = newest(&room, "p");
    let counts = &snapshot.manifest().counts();
    assert_eq!((counts.folded, counts.duplicates), (3, 1));
    assert_eq!(canonical_dump(&snapshot, Table::Events).unwrap().len(), 3);
}

#[tokio::test]
async fn a_restart_remembers_what_was_seen() {
    let room = Room::new();
    let journal = room.journal(vec![draft(1, 1, 0, Behaviour::named("Order Completed"))]);
    for repetition in 2..5 {
        let mut projector = open(&room, "p", &journal, &definitions(), settings());
        projector.run_once().await.unwrap();
        drop(projector);
        let mut again = draft(repetition, 1, DAY, Behaviour::named("Order Completed"));
        again.message_id = "m1".to_owned();
        room.append(&journal, vec![again]);
        let mut projector = open(&room, "p", &journal, &definitions(), settings());
        let counts = projector.run_once().await.unwrap().counts;
        assert_eq!((counts.folded, counts.duplicates), (0, 1));
    }
    let snapshot = snapshot(&room.dir.path().join("p"));
    let counts = &snapshot.manifest().counts();
    assert_eq!((counts.folded, counts.duplicates), (1, 3));
}

#[tokio::test]
async fn old_manifests_go_with_their_files_and_compaction_keeps_files_few() {
    let room = Room::new();
    let journal: Arc<MemoryJournal> = room.journal(Vec::new());
    let dir = room.dir.path().join("p");
    let settings = Settings {
        max_files: 3,
        keep_manifests: 3,
        ..settings()
    };
    let mut projector = open(&room, "p", &journal, &definitions(), settings);
    let mut compacted = 0;
    for (round, chunk) in story(8, 240, 5, true).chunks(12).enumerate() {
        room.append(&journal, chunk.to_vec());
        compacted += projector.run_once().await.unwrap().compacted.len();
        let snapshot = snapshot(&dir);
        for shard in snapshot.manifest().shards.values() {
            for table in Table::ALL {
                let files = shard.live.files(table).len();
                assert!(files <= 3, "round {round}: {table}");
            }
            assert!(shard.live.seen.len() <= 3);
        }
        assert!(
            manifests(&dir) <= 3 + 2 * 3,
            "cleaned with every compaction"
        );
        assert!(data_files(&dir).len() <= 3 * 9 * (Table::ALL.len() + 1));
    }
    assert!(compacted > 10);
    assert_eq!(snapshot(&dir).manifest().counts().records(), 240);
}

#[tokio::test]
async fn a_projector_runs_until_it_is_told_to_stop() {
    let room = Room::new();
    let journal = room.journal(story(9, 30, 3, false));
    let mut projector = open(&room, "p", &journal, &definitions(), settings());
    let dir = room.dir.path().join("p");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running =
        tokio::spawn(async move { projector.run(async { stopped.await.unwrap_or(()) }).await });
    room.append(
        &journal,
        vec![draft(999, 1, DAY, Traits::new().value("city", "late"))],
    );
    let folded = || {
        let snapshot = Snapshot::latest(&dir).unwrap();
        snapshot.map_or(0, |snapshot| snapshot.manifest().counts().folded)
    };
    while folded() < 31 {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
}

#[test]
fn files_have_the_layout_that_is_documented() {
    let schema = Snapshot::file_schema(Table::Members, &catalog());
    assert_eq!(schema.field(0).name(), "subject");
    let columns: Vec<String> = assent_projection::members::partial_columns(&catalog())
        .into_iter()
        .map(|column| column.name)
        .collect();
    let fields: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    assert_eq!(columns, fields);
}

/// Manifests of the first format know no shards, so the projection is folded anew, and only when that is asked for: the
/// journal may retain less than the projection.
#[tokio::test]
async fn a_projection_of_the_first_format_is_refused_until_it_is_rebuilt() {
    let room = Room::new();
    let journal = room.journal(story(3, 40, 4, true));
    let dir = room.dir.path().join("p");
    for folder in ["data", "manifest"] {
        fs::create_dir_all(dir.join(folder)).unwrap();
    }
    let manifest = dir.join("manifest/00000000000000000003.json");
    let orphan = dir.join("data/members-00000000000000000003-0.parquet");
    fs::write(&manifest, include_bytes!("fixtures/manifest-format-1.json")).unwrap();
    fs::write(&orphan, b"rows of an older program").unwrap();

    let mut projector = open(&room, "p", &journal, &definitions(), settings());
    for error in [
        Snapshot::latest(&dir).unwrap_err(),
        projector.run_once().await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Outdated { found: 1, .. }), "{error}");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(
            error.to_string().contains("assent project --rebuild"),
            "{error}"
        );
    }
    assert!(
        manifest.exists() && orphan.exists(),
        "nothing is touched until then"
    );

    let progress = projector.rebuild().await.unwrap();
    assert!(progress.number > 3);
    let mut fresh = open(&room, "fresh", &journal, &definitions(), settings());
    fresh.run_once().await.unwrap();
    assert_same(&newest(&room, "p"), &newest(&room, "fresh"));
    assert!(
        !orphan.exists(),
        "what the older program wrote is gone with its manifests"
    );
}

#[tokio::test]
async fn topics_that_are_cut_differently_are_refused() {
    let room = Room::new();
    let journal = room.journal(story(3, 20, 4, true));
    let mut projector = open(&room, "p", &journal, &definitions(), settings());
    projector.run_once().await.unwrap();
    journal.claim_partitions(assent_event::topics::BEHAVIOUR, PARTITIONS + 1);
    let error = projector.run_once().await.unwrap_err();
    assert!(matches!(error, Error::Partitions { .. }), "{error}");
    // Both alike, and fewer than the projection knows.
    journal.claim_partitions(assent_event::topics::BEHAVIOUR, PARTITIONS - 1);
    journal.claim_partitions(assent_event::topics::PROFILE, PARTITIONS - 1);
    let error = projector.run_once().await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Partitions {
                found: 2,
                expected: 3,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(error.kind(), ErrorKind::Conflict);
}
