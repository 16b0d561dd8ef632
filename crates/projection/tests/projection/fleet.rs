//! Several projectors of one journal and one storage, with a group, crashes and pauses that a test decides on.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::sync::{Arc, Mutex, Weak};

use arrow::array::{Array, AsArray};
use assent_consent::SubjectId;
use assent_journal::{Checkpoint, Group};
use assent_projection::{
    Clustering, Clusters, DataFile, Definitions, Error, ErrorKind, FailPoint, Parts, Profiles,
    Progress, Projector, Settings, Snapshot, Step, Storage,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::catalog::definitions;
use crate::memory_journal::{MemoryJournal, PARTITIONS};
use crate::memory_storage::{Faulty, MemoryStorage};
use crate::story::{Room, owner, topics};

/// A group that gives what the test says.
pub struct Assigned(pub watch::Sender<BTreeSet<u32>>);

impl Group for Assigned {
    fn shards(&self) -> watch::Receiver<BTreeSet<u32>> {
        self.0.subscribe()
    }
}

/// Some clusters, by the first byte of the subject.
#[derive(Debug)]
pub struct ByByte;

impl ByByte {
    pub fn of(subject: &SubjectId, count: usize) -> usize {
        usize::from(subject.as_bytes()[0]) % count
    }
}

impl Clustering for ByByte {
    fn is_ready(&self) -> bool {
        true
    }

    fn clusters(&self, at_most: usize) -> Option<Clusters> {
        let count = at_most.min(3);
        Some(Clusters {
            count,
            of: Box::new(move |subject| Self::of(subject, count)),
        })
    }
}

/// What happens when a projector reaches a step of the commit protocol.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    Go,
    /// The process dies.
    Crash,
    /// It is paused, and meanwhile another runs.
    Let(usize),
    /// The group speaks to a projector, if only to say the same again.
    Regroup(usize),
}

pub struct Script {
    fleet: Weak<Fleet>,
    /// What happens at the next steps, whichever they are.
    pub plan: Mutex<VecDeque<Act>>,
    /// What happens when this step is reached next.
    pub when: Mutex<Option<(Step, Act)>>,
    crashed: Mutex<bool>,
}

impl FailPoint for Script {
    fn reached(&self, step: Step) {
        let awaited = self.when.lock().unwrap().take_if(|(when, _)| *when == step);
        let planned = || self.plan.lock().unwrap().pop_front();
        let act = match awaited {
            Some((_, act)) => act,
            None => planned().unwrap_or(Act::Go),
        };
        match act {
            Act::Go => {}
            Act::Crash => {
                *self.crashed.lock().unwrap() = true;
                std::panic::resume_unwind(Box::new("a crash of the test"));
            }
            Act::Regroup(number) => {
                if let Some(fleet) = self.fleet.upgrade() {
                    fleet.members[number].group.0.send_modify(|_| {});
                }
            }
            Act::Let(other) => {
                if let Some(fleet) = self.fleet.upgrade() {
                    Handle::current().block_on(fleet.run(other));
                }
            }
        }
    }
}

pub struct Member {
    pub group: Arc<Assigned>,
    pub script: Arc<Script>,
    pub projector: tokio::sync::Mutex<Projector>,
}

/// The projectors, their journal and their storage.
pub struct Fleet {
    pub room: Room,
    pub journal: Arc<MemoryJournal>,
    pub memory: Arc<MemoryStorage>,
    pub storage: Arc<Faulty>,
    settings: Settings,
    /// What each folds with.
    pub definitions: Mutex<Vec<Definitions>>,
    pub members: Vec<Member>,
    seen: Mutex<Seen>,
}

/// What readers saw last.
#[derive(Default)]
struct Seen {
    number: u64,
    generation: u64,
    checkpoint: Checkpoint,
}

impl Fleet {
    pub fn new(
        room: Room,
        journal: Arc<MemoryJournal>,
        members: usize,
        settings: Settings,
        seed: u64,
    ) -> Arc<Self> {
        let memory = Arc::new(MemoryStorage::default());
        let storage = Arc::new(Faulty::new(memory.clone(), seed));
        Arc::new_cyclic(|fleet| {
            Self {
                room,
                journal,
                memory,
                storage,
                settings,
                definitions: Mutex::new(vec![definitions(); members]),
                members: Vec::new(),
                seen: Mutex::default(),
            }
            .with_members(fleet, members)
        })
    }

    fn with_members(mut self, fleet: &Weak<Self>, members: usize) -> Self {
        for _ in 0..members {
            let group = Arc::new(Assigned(watch::Sender::new(BTreeSet::new())));
            let script = Arc::new(Script {
                fleet: fleet.clone(),
                plan: Mutex::default(),
                when: Mutex::default(),
                crashed: Mutex::default(),
            });
            let projector = self.open(&group, &script, &definitions());
            self.members.push(Member {
                group,
                script,
                projector: tokio::sync::Mutex::new(projector),
            });
        }
        self
    }

    /// A process that was just started.
    fn open(&self, group: &Arc<Assigned>, script: &Arc<Script>, with: &Definitions) -> Projector {
        let parts = Parts {
            journal: self.journal.clone(),
            vault: self.room.vault.clone(),
            storage: self.storage.clone(),
            group: group.clone(),
            clustering: Some(Arc::new(ByByte)),
            owner: owner(),
        };
        let settings = self.settings.clone();
        Projector::open_with(parts, with.clone(), settings, script.clone()).unwrap()
    }

    pub fn reopen(&self, number: usize, projector: &mut Projector) {
        let member = &self.members[number];
        member.script.plan.lock().unwrap().clear();
        *member.script.crashed.lock().unwrap() = false;
        let definitions = self.definitions.lock().unwrap()[number].clone();
        *projector = self.open(&member.group, &member.script, &definitions);
    }

    pub fn assign(&self, number: usize, shards: impl IntoIterator<Item = u32>) {
        let shards = shards.into_iter().collect();
        self.members[number].group.0.send_replace(shards);
    }

    /// Shares the shards out, each to one.
    pub fn share(&self, rng: &mut StdRng) {
        let owners: Vec<usize> = (0..PARTITIONS)
            .map(|_| rng.random_range(0..self.members.len()))
            .collect();
        for number in 0..self.members.len() {
            let shards = (0..PARTITIONS).filter(|shard| owners[*shard as usize] == number);
            self.assign(number, shards);
        }
    }

    /// Runs a projector once, unless it runs already. One that crashed is started again.
    pub async fn run(&self, number: usize) -> Option<Progress> {
        self.job(number, async |projector| projector.run_once().await)
            .await
    }

    /// As [`Fleet::run`], with merges beside the fold.
    pub async fn keep_up(&self, number: usize) -> Option<Progress> {
        self.job(number, async |projector| projector.keep_up().await)
            .await
    }

    pub async fn job(
        &self,
        number: usize,
        job: impl AsyncFnOnce(&mut Projector) -> Result<Progress, Error>,
    ) -> Option<Progress> {
        let member = &self.members[number];
        let Ok(mut projector) = member.projector.try_lock() else {
            return None;
        };
        let definitions = self.definitions.lock().unwrap()[number].clone();
        projector.adopt(definitions).unwrap();
        let done = job(&mut projector).await;
        // Also while files were merged beside the run.
        let crashed = std::mem::take(&mut *member.script.crashed.lock().unwrap());
        match done {
            Ok(_) | Err(_) if crashed => {
                self.reopen(number, &mut projector);
                None
            }
            Ok(progress) => Some(progress),
            Err(error) if error.kind() == ErrorKind::Unavailable => None,
            Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
        }
    }

    /// What readers see, checked: every file is there, every record counted once, and nothing ever goes back.
    pub fn look(&self) -> Option<Snapshot> {
        let storage: Arc<dyn Storage> = self.memory.clone();
        let snapshot = Profiles::new(storage).latest().unwrap()?;
        snapshot.verify().unwrap();
        let manifest = snapshot.manifest();
        for (number, shard) in &manifest.shards {
            let read: u64 = shard.live.checkpoint.iter().map(|(_, _, next)| next).sum();
            assert_eq!(shard.live.counts.records(), read, "shard {number}");
            for (_, partition, _) in shard.live.checkpoint.iter() {
                assert_eq!(partition, *number);
            }
        }
        let mut seen = self.seen.lock().unwrap();
        assert!(manifest.number >= seen.number);
        assert!(manifest.generation() >= seen.generation);
        if manifest.generation() == seen.generation {
            assert!(manifest.checkpoint().covers(&seen.checkpoint));
        }
        *seen = Seen {
            number: manifest.number,
            generation: manifest.generation(),
            checkpoint: manifest.checkpoint(),
        };
        drop(seen);
        Some(snapshot)
    }

    /// Lets everything come to rest, with each shard given to one, and all folding alike.
    pub async fn rest(&self, rng: &mut StdRng) -> Snapshot {
        self.storage.fail_one_in(0);
        self.storage.arrive();
        self.journal.show(None);
        self.share(rng);
        for member in &self.members {
            member.script.plan.lock().unwrap().clear();
        }
        let ends = self.journal.ends(&topics());
        for round in 0..10 {
            let mut waiting = BTreeSet::new();
            for number in 0..self.members.len() {
                let progress = self.run(number).await.unwrap();
                assert!(round == 0 || progress.fenced.is_empty(), "{progress:?}");
                waiting = progress.to_be_rebuilt;
                waiting.extend(progress.to_be_purged);
            }
            let snapshot = self.look().unwrap();
            if waiting.is_empty() && snapshot.manifest().checkpoint().covers(&ends) {
                return snapshot;
            }
        }
        panic!("it does not come to rest");
    }

    /// Every subject with a row in any file of the storage, named or not.
    pub fn subjects(&self) -> BTreeSet<SubjectId> {
        let mut subjects = BTreeSet::new();
        for path in self.memory.names("data/") {
            let file = DataFile {
                path,
                rows: 0,
                bytes: 0,
                crc32: 0,
                first_subject: String::new(),
                last_subject: String::new(),
            };
            subjects.append(&mut subjects_of(self.memory.open(&file).unwrap()));
        }
        subjects
    }
}

/// Every subject with a row in a data file.
pub fn subjects_of(file: File) -> BTreeSet<SubjectId> {
    let mut subjects = BTreeSet::new();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        let Some(column) = batch.column_by_name("subject") else {
            continue;
        };
        let column = column.as_fixed_size_binary();
        for row in 0..column.len() {
            let bytes: [u8; 16] = column.value(row).try_into().unwrap();
            subjects.insert(SubjectId::from(bytes));
        }
    }
    subjects
}
