//! What each of several projectors may do, case by case: fences, races, cleaning up, rebuilds and purges together.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use assent_journal::Group;
use assent_projection::{
    Error, ErrorKind, Fenced, LocalStorage, Profiles, Projector, Rebuilt, Settings, Snapshot, Step,
    Storage, Table,
};
use assent_vault::Vault;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::catalog::definitions;
use crate::fleet::{Act, Assigned, Fleet};
use crate::memory_journal::{MemoryJournal, PARTITIONS};
use crate::replay::{assert_same, at_once, dump, newest, settings};
use crate::rivals::extended;
use crate::story::{Room, story, subject, topics};

/// Two projectors over a log of which nothing can be seen yet; the first has 0 and 1, the second 2.
async fn two(settings: Settings) -> Arc<Fleet> {
    let room = Room::new();
    let journal = room.journal(story(31, 200, 9, true));
    journal.show(Some(assent_journal::Checkpoint::new()));
    let fleet = Fleet::new(room, journal, 2, settings, 1);
    fleet.assign(0, [0, 1]);
    fleet.assign(1, [2]);
    for number in 0..2 {
        fleet.run(number).await.unwrap();
    }
    fleet.journal.show(None);
    fleet
}

async fn whole(fleet: &Fleet) -> Snapshot {
    let definitions = fleet.definitions.lock().unwrap()[0].clone();
    at_once(&fleet.room, "whole", &fleet.journal, &definitions).await
}

/// Data files that the newest manifest does not name.
fn orphans(fleet: &Fleet) -> Vec<String> {
    let snapshot = fleet.look().unwrap();
    let text = serde_json::to_string(snapshot.manifest().as_ref()).unwrap();
    let mut files = fleet.memory.names("data/");
    files.retain(|file| !text.contains(file));
    files
}

fn epoch(fleet: &Fleet, shard: u32) -> u64 {
    fleet.look().unwrap().manifest().shards[&shard].epoch
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_race_costs_no_second_fold() {
    let fleet = two(settings()).await;
    let before = fleet.look().unwrap().manifest().number;
    *fleet.members[0].script.when.lock().unwrap() = Some((Step::BeforeManifest, Act::Let(1)));
    let progress = fleet.run(0).await.unwrap();
    assert_eq!((progress.commits, progress.fenced.len()), (1, 0));
    assert_eq!(progress.number, before + 2, "the other was faster");
    assert_eq!(progress.shards.len(), 2);
    for shard in progress.shards.values() {
        assert_eq!((shard.commits, shard.lag()), (1, 0), "{shard:?}");
        assert!(shard.counts.records() > 10);
    }
    // Whatever was written is what stands.
    assert_eq!(orphans(&fleet), [""; 0]);
    assert_same(&fleet.look().unwrap(), &whole(&fleet).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_commits_nothing_of_what_was_taken_over_and_all_of_the_rest() {
    // It is paused before its files are written, so that the new owner cannot have removed them, or after.
    for step in [Step::BeforeData, Step::BeforeManifest] {
        zombie(step).await;
    }
}

async fn zombie(paused: Step) {
    let fleet = two(settings()).await;
    let (mine, kept) = (epoch(&fleet, 0), epoch(&fleet, 1));
    // Meanwhile its shard 0 goes to the other, which folds it.
    fleet.assign(1, [0, 2]);
    *fleet.members[0].script.when.lock().unwrap() = Some((paused, Act::Let(1)));
    let progress = fleet.run(0).await.unwrap();
    let taken = epoch(&fleet, 0);
    assert!(taken > mine);
    let fenced = Fenced {
        shard: 0,
        epoch: mine,
        by: taken,
    };
    assert_eq!(progress.fenced, [fenced]);
    assert_eq!(progress.shards.keys().collect::<Vec<_>>(), [&1]);
    assert_eq!(epoch(&fleet, 1), kept, "what stays is not taken over again");
    assert_eq!(orphans(&fleet), [""; 0], "the zombie takes its files along");
    assert_same(&fleet.look().unwrap(), &whole(&fleet).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_before_a_take_over_is_what_the_new_owner_goes_on_from() {
    let fleet = two(settings()).await;
    fleet.assign(1, [0, 2]);
    *fleet.members[0].script.when.lock().unwrap() = Some((Step::AfterManifest, Act::Let(1)));
    let first = fleet.run(0).await.unwrap();
    assert_eq!(first.fenced, [], "it had committed, and need not know");
    assert_same(&fleet.look().unwrap(), &whole(&fleet).await);
    // A group that gives a shard to two lets them take it from each other, to no harm.
    for number in [0, 1, 0, 1] {
        let progress = fleet.run(number).await.unwrap();
        assert_eq!(progress.fenced.len(), 1);
        assert_same(&fleet.look().unwrap(), &whole(&fleet).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_is_lost_again_before_it_is_loaded_is_no_damage() {
    let small = Settings {
        batch_records: 10,
        max_files: 1,
        keep_manifests: 1,
        ..settings()
    };
    let fleet = two(small).await;
    fleet.run(0).await.unwrap();
    fleet.room.append(&fleet.journal, story(35, 60, 9, true));
    fleet.assign(1, [0, 2]);
    // When the other has taken shard 0 over, it is paused; the first takes it back, and replaces all of its files.
    *fleet.members[1].script.when.lock().unwrap() = Some((Step::AfterManifest, Act::Let(0)));
    let progress = fleet.run(1).await.unwrap();
    assert_eq!(progress.fenced.len(), 1, "{progress:?}");
    assert_eq!(progress.shards.keys().collect::<Vec<_>>(), [&2]);
    assert_same(&fleet.look().unwrap(), &whole(&fleet).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_removes_what_a_living_rival_is_about_to_commit() {
    let small = Settings {
        batch_records: 10,
        max_files: 1,
        keep_manifests: 100,
        ..settings()
    };
    let fleet = two(small).await;
    let left = format!("data/members-00002-{:020}-{}-9.parquet", 1, "0".repeat(8));
    let staged = fleet.memory.stage(&left).unwrap();
    fleet.memory.put(vec![staged]).unwrap();
    // The other compacts and cleans up while the first is paused with its files written.
    *fleet.members[0].script.when.lock().unwrap() = Some((Step::BeforeManifest, Act::Let(1)));
    let progress = fleet.run(0).await.unwrap();
    assert!(progress.commits > 1 && progress.fenced.is_empty());
    assert!(
        !fleet.memory.names("data/").contains(&left),
        "it did clean up"
    );
    fleet.look().unwrap();
    let mut rng = StdRng::seed_from_u64(1);
    assert_same(&fleet.rest(&mut rng).await, &whole(&fleet).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_dead_left_goes_when_its_shard_has_a_new_owner() {
    let fleet = two(settings()).await;
    *fleet.members[0].script.when.lock().unwrap() = Some((Step::BeforeManifest, Act::Crash));
    assert!(fleet.run(0).await.is_none());
    let left = orphans(&fleet);
    assert!(left.len() > 4, "{left:?}");
    // Another owner's cleaning leaves it alone: it cannot know that the first is dead.
    fleet
        .job(1, async |one| one.purge_erased().await)
        .await
        .unwrap();
    assert_eq!(orphans(&fleet), left);
    fleet.assign(1, [0, 2]);
    fleet.run(1).await.unwrap();
    let left = orphans(&fleet);
    assert!(
        !left.is_empty() && left.iter().all(|file| file.contains("-00001-")),
        "{left:?}"
    );
    fleet.assign(1, [0, 1, 2]);
    fleet.run(1).await.unwrap();
    assert_eq!(orphans(&fleet), [""; 0]);
    assert_same(&fleet.look().unwrap(), &whole(&fleet).await);
}

fn numbered(manifest: &str) -> u64 {
    let file = manifest.strip_prefix("manifest/").unwrap();
    file.strip_suffix(".json").unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_slept_until_its_number_came_free_again_is_none() {
    let small = Settings {
        batch_records: 5,
        max_files: 1,
        keep_manifests: 1,
        ..settings()
    };
    let fleet = two(small).await;
    *fleet.members[0].script.when.lock().unwrap() = Some((Step::BeforeManifest, Act::Let(1)));
    // The other makes so many commits that it removes the one which took the sleeper's number.
    let first = fleet.look().unwrap().manifest().number;
    assert!(
        fleet.run(0).await.is_none(),
        "it knows that it does not know"
    );
    assert!(fleet.look().unwrap().manifest().number > first + 8);
    let progress = fleet.run(0).await.unwrap();
    assert_eq!(progress.shards.len(), 2);
    let mut numbers = fleet.memory.names("manifest/");
    numbers.retain(|name| *name <= format!("manifest/{:020}.json", first + 1));
    assert_eq!(numbers, [""; 0], "no manifest of the past came back");
    let removed = fleet.memory.removed("manifest/");
    // But for the sleeper's own, which came twice.
    let ascending = removed.is_sorted_by(|one, other| one < other || numbered(other) == first + 1);
    assert!(
        removed.len() > 8 && ascending,
        "parents go before their children: {removed:?}"
    );
    assert_same(&fleet.look().unwrap(), &whole(&fleet).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_never_see_shards_that_were_folded_by_different_definitions() {
    let fleet = two(settings()).await;
    fleet.run(0).await.unwrap();
    fleet.run(1).await.unwrap();
    let old = whole(&fleet).await;
    assert_same(&fleet.look().unwrap(), &old);

    // The first learns of a new trait, and folds its shards again; they wait for the other.
    fleet.definitions.lock().unwrap()[0] = extended();
    let progress = fleet.run(0).await.unwrap();
    assert_eq!(progress.rebuilt, Some(Rebuilt::DefinitionsChanged));
    assert_eq!(progress.to_be_rebuilt, BTreeSet::from([2]));
    assert_same(&fleet.look().unwrap(), &old);
    // Done once, it is not done again: it only follows the journal.
    let waiting = fleet.run(0).await.unwrap();
    assert_eq!((waiting.rebuilt, waiting.commits), (None, 0));
    // The other, which knows nothing of it yet, works on what readers see.
    let other = fleet.run(1).await.unwrap();
    assert_eq!((other.rebuilt, other.commits), (None, 0));
    assert_same(&fleet.look().unwrap(), &old);

    fleet.definitions.lock().unwrap()[1] = extended();
    let other = fleet.run(1).await.unwrap();
    assert_eq!(other.rebuilt, Some(Rebuilt::DefinitionsChanged));
    assert!(other.to_be_rebuilt.is_empty());
    let new = fleet.look().unwrap();
    assert_eq!(new.manifest().generation(), 1);
    assert_eq!(*new.definitions(), extended());
    let fresh = at_once(&fleet.room, "fresh", &fleet.journal, &extended()).await;
    assert_same(&new, &fresh);
    // The first goes on with what it rebuilt, without loading or folding it anew.
    let first = fleet.run(0).await.unwrap();
    assert_eq!((first.commits, first.fenced.len()), (0, 0));

    // A change of mind before all are done is given up.
    fleet.definitions.lock().unwrap()[0] = definitions();
    fleet.run(0).await.unwrap();
    assert!(!fleet.look().unwrap().manifest().to_be_rebuilt().is_empty());
    fleet.definitions.lock().unwrap()[0] = extended();
    fleet.run(0).await.unwrap();
    let snapshot = fleet.look().unwrap();
    assert!(
        snapshot
            .manifest()
            .shards
            .values()
            .all(|shard| shard.next.is_none())
    );
    assert_same(&snapshot, &fresh);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_the_group_cuts_short_is_not_complete() {
    let small = Settings {
        batch_records: 10,
        ..settings()
    };
    let fleet = two(small).await;
    fleet.assign(0, [0, 1, 2]);
    fleet.assign(1, []);
    fleet.run(0).await.unwrap();
    let before = fleet.look().unwrap();
    fleet.definitions.lock().unwrap()[0] = extended();
    *fleet.members[0].script.when.lock().unwrap() = Some((Step::AfterData, Act::Regroup(0)));
    let progress = fleet.run(0).await.unwrap();
    assert!(
        progress.counts.records() < 50 && progress.to_be_rebuilt.len() > 1,
        "{progress:?}"
    );
    assert_same(&fleet.look().unwrap(), &before);
    // It goes on from there, and what was folded is not folded again.
    let more = fleet.run(0).await.unwrap();
    assert_eq!(progress.counts.records() + more.counts.records(), 200);
    assert!(more.to_be_rebuilt.is_empty());
    assert_same(&fleet.look().unwrap(), &whole(&fleet).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_is_asked_of_one_is_done_by_all() {
    let fleet = two(settings()).await;
    fleet.run(0).await.unwrap();
    fleet.run(1).await.unwrap();
    let before = fleet.look().unwrap();
    let progress = fleet.job(1, async |one| one.rebuild().await).await.unwrap();
    assert_eq!(progress.rebuilt, Some(Rebuilt::Asked));
    assert_eq!(progress.to_be_rebuilt, BTreeSet::from([0, 1]));
    assert_eq!(fleet.look().unwrap().manifest().generation(), 0);
    let progress = fleet.run(0).await.unwrap();
    assert_eq!(progress.rebuilt, Some(Rebuilt::Asked));
    assert_eq!(progress.to_be_rebuilt, BTreeSet::new());
    let after = fleet.look().unwrap();
    assert_eq!(after.manifest().generation(), 1);
    assert_same(&before, &after);
    for table in Table::ALL {
        let files = before.files(table);
        assert!(
            after.files(table).iter().all(|file| !files.contains(file)),
            "{table}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_projection_is_shown_again_when_all_have_rebuilt_it() {
    let room = Room::new();
    let journal = room.journal(story(32, 120, 6, true));
    let whole = at_once(&room, "whole", &journal, &definitions()).await;
    let dir = room.dir.path().join("p");
    let profiles = Profiles::new(Arc::new(LocalStorage::new(&dir)));
    let open = |shards: &[u32]| {
        let shards: BTreeSet<u32> = shards.iter().copied().collect();
        let mut parts = room.alone("p", journal.clone());
        parts.group = Arc::new(Assigned(tokio::sync::watch::Sender::new(shards)));
        Projector::open(parts, definitions(), settings()).unwrap()
    };
    let (mut one, mut other) = (open(&[0, 2]), open(&[1]));
    one.run_once().await.unwrap();
    let number = other.run_once().await.unwrap().number;
    assert_same(&profiles.latest().unwrap().unwrap(), &whole);
    fs::write(dir.join(format!("manifest/{number:020}.json")), "nonsense").unwrap();
    // Who starts now cannot go on from it; neither can readers.
    let (mut one, mut other) = (open(&[0, 2]), open(&[1]));
    assert_eq!(one.run_once().await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(
        Snapshot::latest(&dir).unwrap_err().kind(),
        ErrorKind::Corrupt
    );

    let progress = one.rebuild().await.unwrap();
    assert_eq!(progress.to_be_rebuilt, BTreeSet::from([1]));
    let error = Snapshot::latest(&dir).unwrap_err();
    assert!(matches!(error, Error::Rebuilding { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    other.run_once().await.unwrap();
    assert_same(&Snapshot::latest(&dir).unwrap().unwrap(), &whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_that_is_asked_of_one_is_done_by_all() {
    let fleet = two(settings()).await;
    fleet.run(0).await.unwrap();
    fleet.run(1).await.unwrap();
    let gone = subject(2);
    assert!(fleet.subjects().contains(&gone));
    fleet.room.vault.destroy(gone).unwrap();
    let progress = fleet
        .job(1, async |one| one.purge_erased().await)
        .await
        .unwrap();
    assert_eq!(progress.to_be_purged, BTreeSet::from([0, 1]));
    let progress = fleet.run(0).await.unwrap();
    assert_eq!(progress.to_be_purged, BTreeSet::new());
    fleet.run(1).await.unwrap();
    assert!(!fleet.subjects().contains(&gone));
    assert_eq!(orphans(&fleet), [""; 0]);
    assert_eq!(fleet.memory.names("manifest/").len(), 1);
    assert_eq!(dump(&fleet.look().unwrap()), dump(&whole(&fleet).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_that_stay_keep_their_state_when_others_move() {
    let fleet = two(settings()).await;
    fleet.run(0).await.unwrap();
    fleet.run(1).await.unwrap();
    let epochs: Vec<u64> = (0..PARTITIONS).map(|shard| epoch(&fleet, shard)).collect();
    fleet.assign(0, [0]);
    fleet.assign(1, [1, 2]);
    let mut log = story(33, 60, 9, true);
    log.truncate(60);
    fleet.room.append(&fleet.journal, log);
    for number in [1, 0] {
        let progress = fleet.run(number).await.unwrap();
        assert_eq!(
            progress.fenced,
            [],
            "a shard that was given away is not missed"
        );
    }
    let now: Vec<u64> = (0..PARTITIONS).map(|shard| epoch(&fleet, shard)).collect();
    assert_eq!((now[0], now[2]), (epochs[0], epochs[2]));
    assert!(now[1] > epochs[1]);
    let ends = fleet.journal.ends(&topics());
    assert_eq!(fleet.look().unwrap().manifest().checkpoint(), ends);
    assert_same(&fleet.look().unwrap(), &whole(&fleet).await);
}

#[tokio::test]
async fn whoever_has_left_the_group_folds_no_more() {
    let room = Room::new();
    let journal = room.journal(story(34, 20, 3, false));
    struct Leaving(std::sync::Mutex<Option<tokio::sync::watch::Sender<BTreeSet<u32>>>>);
    impl Group for Leaving {
        fn shards(&self) -> tokio::sync::watch::Receiver<BTreeSet<u32>> {
            self.0.lock().unwrap().as_ref().unwrap().subscribe()
        }
    }
    let shards = (0..PARTITIONS).collect();
    let group = Arc::new(Leaving(
        Some(tokio::sync::watch::Sender::new(shards)).into(),
    ));
    let mut parts = room.alone("p", journal);
    parts.group = group.clone();
    let mut projector = Projector::open(parts, definitions(), settings()).unwrap();
    assert_eq!(projector.run_once().await.unwrap().counts.folded, 20);
    drop(group.0.lock().unwrap().take());
    let error = projector.run_once().await.unwrap_err();
    assert!(matches!(error, Error::GroupLeft), "{error}");
    let error = projector.run(std::future::pending()).await.unwrap_err();
    assert!(matches!(error, Error::GroupLeft), "{error}");
}

/// A group that counts how often it heard of the work, and gives `then` when it heard so often.
struct Hearing {
    given: tokio::sync::watch::Sender<BTreeSet<u32>>,
    heard: AtomicUsize,
    then: (usize, BTreeSet<u32>),
}

impl Hearing {
    fn new(often: usize, then: impl Into<BTreeSet<u32>>) -> Arc<Self> {
        Arc::new(Self {
            given: tokio::sync::watch::Sender::new((0..PARTITIONS).collect()),
            heard: AtomicUsize::new(0),
            then: (often, then.into()),
        })
    }

    /// How often since it was asked last.
    fn heard(&self) -> usize {
        self.heard.swap(0, Ordering::SeqCst)
    }
}

impl Group for Hearing {
    fn shards(&self) -> tokio::sync::watch::Receiver<BTreeSet<u32>> {
        self.given.subscribe()
    }

    fn working(&self) {
        if self.heard.fetch_add(1, Ordering::SeqCst) + 1 == self.then.0 {
            self.given.send_replace(self.then.1.clone());
        }
    }
}

fn few() -> Settings {
    Settings {
        batch_records: 4,
        ..settings()
    }
}

fn heard_by(group: &Arc<Hearing>, room: &Room, journal: &Arc<MemoryJournal>) -> Projector {
    let mut parts = room.alone("p", journal.clone());
    parts.group = group.clone();
    Projector::open(parts, definitions(), few()).unwrap()
}

/// A group of several takes the shards from one that is not heard: with every batch, and when there is nothing to do.
#[tokio::test]
async fn the_group_hears_of_every_step() {
    let room = Room::new();
    let journal = room.journal(story(35, 40, 3, false));
    let group = Hearing::new(usize::MAX, []);
    let mut projector = heard_by(&group, &room, &journal);
    assert_eq!(projector.run_once().await.unwrap().counts.folded, 40);
    let working = group.heard();
    assert!(working >= 10, "{working} signs of life in ten batches");
    projector.run_once().await.unwrap();
    assert_eq!(group.heard(), 1, "idle is a step, too");
    let shards = PARTITIONS as usize;
    projector.run_to_rest().await.unwrap();
    assert!(group.heard() > shards, "waiting for merges is one, too");

    // Folded at once there is nothing to be put together.
    let mut parts = room.alone("at once", journal);
    parts.group = group.clone();
    let mut projector = Projector::open(parts, definitions(), settings()).unwrap();
    projector.run_once().await.unwrap();
    group.heard();
    projector.run_to_rest().await.unwrap();
    assert_eq!(group.heard(), 1 + shards, "each shard at rest is one");
}

/// Between two shards whose files are put together a projector sees that it is to have others.
#[tokio::test]
async fn a_shard_that_is_given_away_is_not_put_together_any_more() {
    let room = Room::new();
    let journal = room.journal(story(36, 200, 9, false));
    heard_by(&Hearing::new(usize::MAX, []), &room, &journal)
        .run_once()
        .await
        .unwrap();
    let files = || {
        let manifest = newest(&room, "p").manifest().clone();
        let shards = manifest.shards.values();
        shards
            .map(|shard| shard.live.files(Table::Members).len())
            .collect::<Vec<_>>()
    };
    let before = files();
    assert!(before.iter().all(|files| *files > 2), "control: {before:?}");
    // It is heard of at the beginning, and then before each shard.
    let progress = heard_by(&Hearing::new(2, [0]), &room, &journal)
        .run_to_rest()
        .await
        .unwrap();
    assert_eq!(progress.fenced, []);
    let after = files();
    assert_eq!((after[0], &after[1..]), (1, &before[1..]));
}
