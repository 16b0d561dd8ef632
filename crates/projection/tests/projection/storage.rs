//! The contract of a storage, on a directory, on an object store in memory, and on one that speaks S3 (when `ASSENT_S3`
//! names a bucket of it); what is refused; and what becomes of local copies.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
};

use assent_projection::{
    CacheSettings, Created, DataFile, Error, ErrorKind, LocalStorage, ObjectStorage, Profiles,
    Projector, S3Credentials, S3Settings, Settings, Storage, Table, canonical_dump,
};
use assent_vault::Vault;

use crate::catalog::definitions;
use crate::lost_answers::LostAnswers;
use crate::replay::{assert_same, at_once, open, settings};
use crate::story::{Room, owner, story, subject};

/// Something that several storages can be opened over, as several processes would.
trait Place: Sync {
    fn storage(&self) -> Arc<dyn Storage>;
}

struct Directory(tempfile::TempDir);

impl Place for Directory {
    fn storage(&self) -> Arc<dyn Storage> {
        Arc::new(LocalStorage::new(&self.0.path().join("projection")))
    }
}

/// A cache of its own for each storage opened.
struct Caches {
    dir: tempfile::TempDir,
    opened: AtomicU32,
}

impl Caches {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            opened: AtomicU32::new(0),
        }
    }

    fn next(&self) -> CacheSettings {
        let number = self.opened.fetch_add(1, Ordering::SeqCst);
        CacheSettings {
            dir: self.dir.path().join(number.to_string()),
            bytes: 1 << 30,
        }
    }

    /// The files in the cache that was opened as `number`.
    fn files(&self, number: u32) -> BTreeSet<String> {
        std::fs::read_dir(self.dir.path().join(number.to_string()))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "lock")
            .collect()
    }
}

struct Memory {
    store: Arc<InMemory>,
    caches: Caches,
}

impl Memory {
    fn new() -> Self {
        Self {
            store: Arc::new(InMemory::new()),
            caches: Caches::new(),
        }
    }
}

impl Place for Memory {
    fn storage(&self) -> Arc<dyn Storage> {
        let opened = ObjectStorage::over(
            self.store.clone(),
            "memory:",
            "a/prefix",
            self.caches.next(),
            &owner(),
        );
        Arc::new(opened.unwrap())
    }
}

/// A prefix of a bucket that speaks S3.
pub struct Bucket {
    settings: S3Settings,
    caches: Caches,
}

impl Bucket {
    /// The bucket of `ASSENT_S3` (`http://127.0.0.1:19900/bucket`), under a prefix of this call's own.
    pub fn of_environment() -> Option<Self> {
        static TOLD: Once = Once::new();
        let Ok(address) = std::env::var("ASSENT_S3") else {
            // Written past the test harness, which would swallow the words of a test that passes.
            TOLD.call_once(|| {
                let _ = writeln!(
                    std::io::stderr(),
                    "the tests on an object store are skipped. Run `cargo xtask s3 up`, then this with the \
                     ASSENT_S3 it prints, or everything with `cargo xtask test`"
                );
            });
            return None;
        };
        let (endpoint, bucket) = address.rsplit_once('/').unwrap();
        Some(Self {
            settings: S3Settings {
                bucket: bucket.to_owned(),
                prefix: format!("tests/{}", owner()),
                region: "us-east-1".to_owned(),
                endpoint: Some(endpoint.to_owned()),
                allow_http: true,
                credentials: Some(S3Credentials {
                    access_key_id: "test".to_owned(),
                    secret_access_key: "test".to_owned(),
                    session_token: None,
                }),
            },
            caches: Caches::new(),
        })
    }

    /// The same bucket by another way.
    fn through(&self, endpoint: String) -> S3Settings {
        S3Settings {
            endpoint: Some(endpoint),
            ..self.settings.clone()
        }
    }
}

impl Place for Bucket {
    fn storage(&self) -> Arc<dyn Storage> {
        let opened = ObjectStorage::s3(&self.settings, self.caches.next(), &owner());
        Arc::new(opened.unwrap())
    }
}

fn file(name: &str, content: &[u8]) -> DataFile {
    DataFile {
        path: name.to_owned(),
        rows: 1,
        bytes: content.len() as u64,
        crc32: crc32fast::hash(content),
        first_subject: String::new(),
        last_subject: String::new(),
    }
}

fn put(storage: &dyn Storage, contents: &[(&str, &[u8])]) {
    let staged = contents.iter().map(|(name, content)| {
        let mut staged = storage.stage(name).unwrap();
        staged.file().write_all(content).unwrap();
        staged
    });
    storage.put(staged.collect()).unwrap();
}

fn bytes_of(storage: &dyn Storage, name: &str, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut opened = storage.open(&file(name, content)).unwrap();
    opened.read_to_end(&mut bytes).unwrap();
    bytes
}

fn names(storage: &dyn Storage, folder: &str, after: &str) -> Vec<String> {
    let listed = storage.list(folder, after).unwrap();
    listed.into_iter().map(|entry| entry.name).collect()
}

/// What every storage promises.
fn contract(place: &dyn Place) {
    let (one, other) = (place.storage(), place.storage());
    assert_eq!(names(one.as_ref(), "data", ""), [""; 0]);
    assert_eq!(one.read("manifest/1.json").unwrap(), None);

    // Data files: invisible until put, whole afterwards, for everybody.
    let large: Vec<u8> = (0..20_000_000_u32)
        .map(|at| (at.wrapping_mul(at) >> 7) as u8)
        .collect();
    let mut half = one.stage("data/b.parquet").unwrap();
    half.file().write_all(b"half").unwrap();
    put(
        one.as_ref(),
        &[("data/c.parquet", b"small"), ("data/a.parquet", &large)],
    );
    assert_eq!(names(one.as_ref(), "data", ""), ["a.parquet", "c.parquet"]);
    for storage in [&one, &other] {
        assert_eq!(
            bytes_of(storage.as_ref(), "data/c.parquet", b"small"),
            b"small"
        );
        assert!(bytes_of(storage.as_ref(), "data/a.parquet", &large) == large);
    }
    drop(half);
    put(other.as_ref(), &[("data/b.parquet", b"whole")]);
    assert_eq!(bytes_of(one.as_ref(), "data/b.parquet", b"whole"), b"whole");

    // Copies, where there are any, can always be made again.
    one.forget_copies(&|name| name == "data/a.parquet").unwrap();
    assert_eq!(bytes_of(one.as_ref(), "data/c.parquet", b"small"), b"small");

    // Creation excludes, in turn and in races, and what a winner wrote stands.
    assert_eq!(one.create("manifest/1.json", b"one").unwrap(), Created::New);
    assert_eq!(
        other.create("manifest/1.json", b"two").unwrap(),
        Created::Taken
    );
    assert_eq!(
        one.create("manifest/1.json", b"one").unwrap(),
        Created::Taken
    );
    assert_eq!(
        other.read("manifest/1.json").unwrap().as_deref(),
        Some(&b"one"[..])
    );
    for round in 0..10 {
        let name = format!("manifest/{round}-raced.json");
        let winners: Vec<u8> = std::thread::scope(|scope| {
            let rivals: Vec<_> = (0..6)
                .map(|rival| {
                    let storage = if rival % 2 == 0 { &one } else { &other };
                    let name = &name;
                    scope.spawn(move || storage.create(name, &[rival]).unwrap())
                })
                .collect();
            let outcomes = rivals.into_iter().map(|rival| rival.join().unwrap());
            (0..)
                .zip(outcomes)
                .filter_map(|(rival, outcome)| (outcome == Created::New).then_some(rival))
                .collect()
        });
        assert_eq!(winners.len(), 1, "round {round}");
        assert_eq!(one.read(&name).unwrap(), Some(winners));
    }

    // Lists: ascending, after a name, complete, one folder only.
    for number in [3, 10, 2] {
        one.create(&format!("list/{number:03}.json"), b"x").unwrap();
    }
    assert_eq!(
        names(other.as_ref(), "list", ""),
        ["002.json", "003.json", "010.json"]
    );
    assert_eq!(
        names(other.as_ref(), "list", "002.json"),
        ["003.json", "010.json"]
    );
    assert_eq!(names(other.as_ref(), "list", "005"), ["010.json"]);
    let entries = other.list("list", "").unwrap();
    assert!(
        entries[0].created_at >= entries[2].created_at,
        "they were made in this order: 3, 10, 2"
    );

    // Removal, once or twice.
    other.remove("data/c.parquet").unwrap();
    other.remove("data/c.parquet").unwrap();
    assert_eq!(names(one.as_ref(), "data", ""), ["a.parquet", "b.parquet"]);
    let error = other.open(&file("data/c.parquet", b"small")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("missing"), "{error}");
    one.remove("manifest/1.json").unwrap();
    assert_eq!(
        other.create("manifest/1.json", b"new").unwrap(),
        Created::New
    );
}

#[test]
fn a_directory_keeps_the_contract() {
    contract(&Directory(tempfile::tempdir().unwrap()));
}

#[test]
fn an_object_store_in_memory_keeps_the_contract() {
    contract(&Memory::new());
}

#[test]
fn a_bucket_keeps_the_contract() {
    if let Some(bucket) = Bucket::of_environment() {
        contract(&bucket);
    }
}

/// It blocks, and may be called where blocking is not allowed to tokio.
#[tokio::test]
async fn an_object_store_can_be_used_within_a_runtime() {
    let memory = Memory::new();
    let storage = memory.storage();
    put(storage.as_ref(), &[("data/a.parquet", b"a")]);
    assert_eq!(names(storage.as_ref(), "data", ""), ["a.parquet"]);
    drop(storage);
}

#[test]
fn what_is_half_written_goes_when_nobody_can_finish_it() {
    let place = Directory(tempfile::tempdir().unwrap());
    let storage = place.storage();
    let mut staged: Vec<_> = ["data/dead.parquet", "data/alive.parquet"]
        .map(|name| storage.stage(name).unwrap())
        .into();
    storage.sweep(&|name| name == "dead.parquet").unwrap();
    let alive = staged.remove(1);
    storage.put(vec![alive]).unwrap();
    let error = storage.put(staged).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(names(storage.as_ref(), "data", ""), ["alive.parquet"]);
}

#[test]
fn what_an_object_store_gives_back_is_checked() {
    let memory = Memory::new();
    let (one, other) = (memory.storage(), memory.storage());
    put(one.as_ref(), &[("data/a.parquet", b"right")]);
    for wrong in [&b"wrong"[..], b"righ", b"rightly"] {
        let error = other.open(&file("data/a.parquet", wrong)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
    assert_eq!(
        bytes_of(other.as_ref(), "data/a.parquet", b"right"),
        b"right"
    );
}

/// How a store fails to exclude.
#[derive(Clone, Copy, Debug)]
enum Careless {
    /// It does not know the condition.
    Ignorant,
    /// It looks first and writes then.
    Slow,
    /// It says that it cannot.
    Unable,
}

#[derive(Debug)]
struct CarelessStore(Arc<InMemory>, Careless);

impl fmt::Display for CarelessStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("careless")
    }
}

#[async_trait]
impl ObjectStore for CarelessStore {
    async fn put_opts(
        &self,
        location: &ObjectPath,
        payload: PutPayload,
        mut options: PutOptions,
    ) -> object_store::Result<PutResult> {
        match self.1 {
            Careless::Ignorant => {}
            Careless::Slow => {
                if let Ok(_there) = self.0.head(location).await {
                    return self.0.put_opts(location, payload, options).await;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Careless::Unable => {
                return Err(object_store::Error::NotImplemented {
                    operation: "put_opts".to_owned(),
                    implementer: "careless".to_owned(),
                });
            }
        }
        options.mode = PutMode::Overwrite;
        self.0.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &ObjectPath,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, options).await
    }

    async fn get_opts(
        &self,
        location: &ObjectPath,
        options: GetOptions,
    ) -> object_store::Result<GetResult> {
        self.0.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<ObjectPath>>,
    ) -> BoxStream<'static, object_store::Result<ObjectPath>> {
        self.0.delete_stream(locations)
    }

    fn list(
        &self,
        prefix: Option<&ObjectPath>,
    ) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(
        &self,
        prefix: Option<&ObjectPath>,
    ) -> object_store::Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(
        &self,
        from: &ObjectPath,
        to: &ObjectPath,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

#[test]
fn a_store_that_does_not_exclude_is_refused() {
    for careless in [Careless::Ignorant, Careless::Slow, Careless::Unable] {
        let caches = Caches::new();
        let inner = Arc::new(InMemory::new());
        let store = Arc::new(CarelessStore(inner.clone(), careless));
        let opened = ObjectStorage::over(store, "careless", "", caches.next(), &owner());
        let error = opened.err().unwrap();
        assert!(
            matches!(error, Error::NotExclusive { .. }),
            "{careless:?}: {error}"
        );
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("If-None-Match"), "{error}");
        // The trial leaves nothing behind.
        let clean = ObjectStorage::over(inner, "sound", "", caches.next(), &owner()).unwrap();
        assert_eq!(names(&clean, "probe", ""), [""; 0]);
    }
}

fn projector(
    room: &Room,
    journal: &Arc<crate::memory_journal::MemoryJournal>,
    storage: Arc<dyn Storage>,
    settings: Settings,
) -> Projector {
    let mut parts = room.alone("unused", journal.clone());
    parts.storage = storage;
    Projector::open(parts, definitions(), settings).unwrap()
}

/// Folds piece by piece, with restarts, by way of this storage, and compares with folding at once in a directory.
async fn projects(place: &dyn Place) {
    let room = Room::new();
    let journal = room.journal(Vec::new());
    let small = Settings {
        batch_records: 40,
        max_files: 2,
        ..settings()
    };
    for chunk in story(21, 240, 9, true).chunks(80) {
        room.append(&journal, chunk.to_vec());
        let mut projector = projector(&room, &journal, place.storage(), small.clone());
        projector.run_once().await.unwrap();
    }
    let folded = Profiles::new(place.storage()).latest().unwrap().unwrap();
    folded.verify().unwrap();
    let whole = at_once(&room, "whole", &journal, &definitions()).await;
    assert_same(&folded, &whole);
}

#[tokio::test]
async fn a_projection_in_an_object_store_is_that_in_a_directory() {
    projects(&Memory::new()).await;
}

#[tokio::test]
async fn a_projection_in_a_bucket_is_that_in_a_directory() {
    if let Some(bucket) = Bucket::of_environment() {
        projects(&bucket).await;
    }
}

/// Between the projector and the bucket somebody loses the answers to creations that took place.
#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found_again_in_the_bucket() {
    let Some(bucket) = Bucket::of_environment() else {
        return;
    };
    let lossy = LostAnswers::to(bucket.settings.endpoint.as_deref().unwrap());
    let storage = ObjectStorage::s3(
        &bucket.through(lossy.endpoint()),
        bucket.caches.next(),
        &owner(),
    );
    let room = Room::new();
    let journal = room.journal(story(22, 120, 9, true));
    let small = Settings {
        batch_records: 30,
        ..settings()
    };
    let mut projector = projector(&room, &journal, Arc::new(storage.unwrap()), small);
    lossy.lose_one_in(2);
    let progress = projector.run_once().await.unwrap();
    assert!(lossy.lost() >= 2, "{} answers were lost", lossy.lost());
    assert!(
        progress.fenced.is_empty(),
        "its own commits are not a rival's: {progress:?}"
    );
    assert_eq!(progress.counts.records(), 120, "nothing was folded twice");
    let folded = Profiles::new(bucket.storage()).latest().unwrap().unwrap();
    let whole = at_once(&room, "whole", &journal, &definitions()).await;
    assert_same(&folded, &whole);
}

/// I8: what was purged leaves the copies of a reader in another process, too.
#[tokio::test]
async fn what_is_purged_leaves_every_copy() {
    let memory = Memory::new();
    let room = Room::new();
    let journal = room.journal(story(23, 100, 5, false));
    let (writing, reading) = (memory.storage(), memory.storage());
    let mut projector = projector(&room, &journal, writing, settings());
    projector.run_once().await.unwrap();
    let profiles = Profiles::new(reading);
    let before = profiles.latest().unwrap().unwrap();
    assert!(canonical_dump(&before, Table::Members).unwrap().len() >= 5);
    let copied = memory.caches.files(1);
    assert!(!copied.is_empty() && memory.caches.files(0).len() > copied.len());

    room.vault.destroy(subject(2)).unwrap();
    projector.purge_erased().await.unwrap();
    // Whoever still reads the old snapshot keeps its copies until it is done.
    let after = profiles.latest().unwrap().unwrap();
    assert_eq!(memory.caches.files(1), copied);
    drop(before);
    let again = profiles.latest().unwrap().unwrap();
    assert_eq!(again.manifest().number, after.manifest().number);
    assert_eq!(memory.caches.files(1), BTreeSet::new());
    let left = memory.caches.files(0);
    let named: BTreeSet<String> = again
        .manifest()
        .shards
        .values()
        .flat_map(|shard| shard.live.tables.values().flatten().chain(&shard.live.seen))
        .map(|file| file.path.rsplit('/').next().unwrap().to_owned())
        .collect();
    assert!(left.is_subset(&named), "{left:?}");
    let rows = canonical_dump(&again, Table::Members).unwrap();
    assert!(
        rows.iter()
            .all(|row| !row.contains(&subject(2).to_string()))
    );
}

#[tokio::test]
async fn a_reader_finds_the_newest_however_long_it_slept() {
    let room = Room::new();
    let journal = room.journal(story(24, 20, 3, false));
    let mut projector = open(&room, "p", &journal, &definitions(), settings());
    projector.run_once().await.unwrap();
    let storage = LocalStorage::new(&room.dir.path().join("p"));
    let profiles = Profiles::new(Arc::new(storage));
    let first = profiles.latest().unwrap().unwrap().manifest().number;
    assert_eq!(profiles.latest().unwrap().unwrap().manifest().number, first);
    // Manifests follow that are cleaned away before the reader looks again.
    let mut number = first;
    for _ in 0..6 {
        number = projector.purge_erased().await.unwrap().number;
    }
    assert!(number > first + 5);
    assert_eq!(
        profiles.latest().unwrap().unwrap().manifest().number,
        number
    );
    // And when somebody emptied the place, there is nothing.
    std::fs::remove_dir_all(room.dir.path().join("p")).unwrap();
    assert!(profiles.latest().unwrap().is_none());
    projector.run_once().await.unwrap();
    let again = profiles.latest().unwrap().unwrap();
    assert_eq!(again.manifest().counts().folded, 20);
}
