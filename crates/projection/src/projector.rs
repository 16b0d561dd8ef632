//! The projector: follows the journal, folds, commits, compacts; resumable at any point.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use assent_event::topics;
use assent_journal::{Alone, Checkpoint, Group, Journal, ReadLimit, Topic};
use assent_vault::Vault;
use tokio::sync::watch;

use crate::held::ShardBatch;
use crate::progress::Progress;
use crate::settings::{FailPoint, NoFailPoint, Settings};
use crate::storage::{LocalStorage, Storage};
use crate::upkeep::Tended;
use crate::worker::{Wish, Worker, partitions_of};
use crate::{Clustering, Definitions, Error, ErrorKind, Owner};

/// What a projector works with.
#[derive(Clone)]
pub struct Parts {
    /// Read from.
    pub journal: Arc<dyn Journal>,
    /// Opens what stands in the journal.
    pub vault: Arc<dyn Vault>,
    /// Where the projection lies.
    pub storage: Arc<dyn Storage>,
    /// Says which shards to fold: [`assent_journal::Alone`] where there is one projector.
    pub group: Arc<dyn Group>,
    /// Says whose rows are to lie together, where somebody knows.
    pub clustering: Option<Arc<dyn Clustering>>,
    /// Drawn at random when the process starts, see [`Owner::random`].
    pub owner: Owner,
}

impl Parts {
    /// The parts of a projector that works alone, in a directory.
    ///
    /// # Errors
    /// [`Error::Journal`] when the journal does not hold the topics.
    pub fn alone(
        dir: &Path,
        journal: Arc<dyn Journal>,
        vault: Arc<dyn Vault>,
        owner: Owner,
    ) -> Result<Self, Error> {
        let partitions = journal.partitions(&Topic::new(topics::PROFILE))?;
        Ok(Self {
            journal,
            vault,
            storage: Arc::new(LocalStorage::new(dir)),
            group: Arc::new(Alone::new(partitions)),
            clustering: None,
            owner,
        })
    }
}

/// Folds the profile and behaviour topics into the projection of one storage, together with others of its group.
pub struct Projector {
    journal: Arc<dyn Journal>,
    /// Gives shards as long as it hears that they are worked on.
    group: Arc<dyn Group>,
    assigned: watch::Receiver<BTreeSet<u32>>,
    definitions: Definitions,
    settings: Settings,
    topics: [Topic; 2],
    worker: Arc<Mutex<Worker>>,
    /// Counts the merges that have ended beside the fold.
    merged: watch::Receiver<u64>,
    /// Has merges stop.
    given_up: Arc<AtomicBool>,
}

/// Whether a run waits for the merges it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// After every batch, so that what a run does depends on nothing but what there was to be done.
    InStep,
    /// Only where there are far too many files.
    Beside,
}

/// How long a run waits for a merge before it says that it is still at work.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

impl Projector {
    /// A projector that holds nothing yet: the first run takes shards over.
    ///
    /// # Errors
    /// [`Error::Catalog`] when the traits cannot be columns.
    pub fn open(parts: Parts, definitions: Definitions, settings: Settings) -> Result<Self, Error> {
        Self::open_with(parts, definitions, settings, Arc::new(NoFailPoint))
    }

    /// As [`Projector::open`], with a fail point for tests.
    ///
    /// # Errors
    /// As [`Projector::open`].
    pub fn open_with(
        parts: Parts,
        definitions: Definitions,
        settings: Settings,
        fail: Arc<dyn FailPoint>,
    ) -> Result<Self, Error> {
        let Parts {
            journal,
            vault,
            storage,
            group,
            clustering,
            owner,
        } = parts;
        definitions.check()?;
        let worker = Worker::new(storage, vault, clustering, owner, settings.clone(), fail);
        Ok(Self {
            journal,
            assigned: group.shards(),
            group,
            definitions,
            settings,
            topics: [topics::PROFILE, topics::BEHAVIOUR].map(Topic::new),
            merged: worker.merges.ended(),
            given_up: Arc::clone(worker.merges.given_up()),
            worker: Arc::new(Mutex::new(worker)),
        })
    }

    /// Takes over new definitions; the next run rebuilds when they change what the fold writes.
    ///
    /// # Errors
    /// [`Error::Catalog`] when the traits cannot be columns; then the old ones stay.
    pub fn adopt(&mut self, definitions: Definitions) -> Result<(), Error> {
        definitions.check()?;
        self.definitions = definitions;
        Ok(())
    }

    /// Catches up with the end of the journal as it is now, in the shards that the group gives now, and puts files together
    /// where there are too many. When there is nothing new and no shard to take over, nothing is written. It ends early when
    /// the group gives other shards.
    ///
    /// # Errors
    /// Nothing of a batch that failed is visible, and the next run begins where the last commit stands.
    /// [`Error::Vault`] when a key is missing that was not destroyed; [`Error::Corrupt`] when the newest manifest, or a
    /// file to be compacted, is damaged; [`Error::Outdated`] when it must be rebuilt. Losing a shard is none: see
    /// [`Progress::fenced`].
    pub async fn run_once(&mut self) -> Result<Progress, Error> {
        let (end, _) = self.fold(Pace::InStep).await?;
        self.work(move |worker| worker.report(&end)).await
    }

    /// As [`Projector::run_once`]; then, where nothing is left to fold, puts files together until readers find nearly every
    /// member in one place, if it has not spent more than a tenth of the time since on that before. What the tables say does
    /// not change. Files that cannot be put together stay as they are, and a warning is logged.
    ///
    /// # Errors
    /// As [`Projector::run_once`].
    pub async fn run_to_rest(&mut self) -> Result<Progress, Error> {
        let (end, resting) = self.fold(Pace::InStep).await?;
        if self.work(|worker| Ok(worker.begin_rest())).await? {
            for shard in resting {
                if self.is_regrouped() {
                    break;
                }
                self.group.working();
                self.tend(Pace::InStep, &BTreeSet::from([shard])).await?;
            }
            self.end_rest().await?;
        }
        self.work(move |worker| worker.report(&end)).await
    }

    /// As [`Projector::run_to_rest`], but files are put together beside the fold, and it does not wait for that: the next run
    /// commits what has come of it until then. [`Projector::merged`] says when it is time for that, if for nothing else. The
    /// fold waits only where merging cannot keep up with it.
    ///
    /// # Errors
    /// As [`Projector::run_once`].
    pub async fn keep_up(&mut self) -> Result<Progress, Error> {
        let (end, resting) = self.fold(Pace::Beside).await?;
        if self.work(|worker| Ok(worker.begin_rest())).await?
            && self.tend(Pace::Beside, &resting).await?.rested
        {
            self.end_rest().await?;
        }
        self.work(move |worker| worker.report(&end)).await
    }

    /// Counts the merges that have ended beside the fold, each of which a run has to commit.
    #[must_use]
    pub fn merged(&self) -> watch::Receiver<u64> {
        self.merged.clone()
    }

    /// Has merges beside the fold stop soon, for good: nothing that they do is needed.
    pub fn give_up_merges(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// Folds what there is now. Where the journal ended, and the shards that stand there.
    async fn fold(&mut self, pace: Pace) -> Result<(Checkpoint, BTreeSet<u32>), Error> {
        let (stands, end) = self.begin().await?;
        self.tend(pace, &BTreeSet::new()).await?;
        self.catch_up(stands, &end, pace).await?;
        let until = end.clone();
        let resting = self.work(move |worker| worker.settle(&until)).await?;
        Ok((end, resting))
    }

    async fn end_rest(&self) -> Result<(), Error> {
        self.work(|worker| {
            worker.rests.end();
            Ok(())
        })
        .await
    }

    /// Commits what has come of merges, and begins others: where there are too many files, and in the shards that are at
    /// rest. Whoever breaks this off loses nothing: the worker knows what is under way.
    async fn tend(&self, pace: Pace, resting: &BTreeSet<u32>) -> Result<Tended, Error> {
        let mut merged = self.merged.clone();
        loop {
            merged.mark_unchanged();
            let shards = resting.clone();
            let tended = self.work(move |worker| worker.tend(&shards)).await?;
            let waits = match pace {
                Pace::InStep => true,
                Pace::Beside => tended.crowded,
            };
            if tended.idle || !waits {
                return Ok(tended);
            }
            let ended = tokio::time::timeout(SIGN_OF_LIFE, merged.changed());
            // That it took too long is no error: it is only said that it is still at work.
            drop(ended.await);
            self.group.working();
        }
    }

    /// Has everything the journal retains folded into a new generation, here for the shards held and by the other
    /// projectors, when they run next, for theirs. Readers see the old generation until the last shard has caught up.
    /// Works on a damaged projection, too; then readers see nothing until then.
    ///
    /// # Errors
    /// As [`Projector::run_once`]; the old generation stays.
    pub async fn rebuild(&mut self) -> Result<Progress, Error> {
        tracing::info!("rebuilding the projection from the journal");
        self.work(Worker::request_rebuild).await?;
        let (end, _) = self.fold(Pace::Beside).await?;
        self.tend(Pace::InStep, &BTreeSet::new()).await?;
        let mut progress = self.work(move |worker| worker.report(&end)).await?;
        progress.rebuilt = Some(crate::Rebuilt::Asked);
        Ok(progress)
    }

    /// Runs until `shutdown` is done, waiting for news in between. Goes on after errors that a retry can mend.
    ///
    /// # Errors
    /// The first error that no retry can mend, and [`Error::GroupLeft`].
    pub async fn run(&mut self, shutdown: impl Future<Output = ()> + Send) -> Result<(), Error> {
        const FIRST_PAUSE: Duration = Duration::from_millis(100);
        let mut pause = FIRST_PAUSE;
        let mut assigned = self.assigned.clone();
        let mut merged = self.merged();
        tokio::pin!(shutdown);
        loop {
            assigned.mark_unchanged();
            merged.mark_unchanged();
            let wait = match self.keep_up().await {
                Ok(progress) => {
                    pause = FIRST_PAUSE;
                    Ok(progress.waits_for())
                }
                Err(Error::GroupLeft) => return Err(Error::GroupLeft),
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    tracing::warn!(%error, "projection paused");
                    pause = (pause * 2).min(self.settings.poll);
                    Err(pause)
                }
                Err(error) => return Err(error),
            };
            let news = async {
                match wait {
                    Ok(seen) => match self.journal.changed(&seen, self.settings.poll).await {
                        Ok(()) => tokio::time::sleep(self.settings.linger).await,
                        Err(error) => {
                            tracing::warn!(%error, "the journal cannot be watched");
                            tokio::time::sleep(FIRST_PAUSE).await;
                        }
                    },
                    Err(pause) => tokio::time::sleep(pause).await,
                }
            };
            tokio::select! {
                () = &mut shutdown => return Ok(()),
                () = news => {}
                // Whether it changed or was left, the next run sees.
                _ = assigned.changed() => {}
                _ = merged.changed() => {}
            }
        }
    }

    /// Merges all files of every table into one and removes what the vault records as erased, here for the shards held
    /// and by the other projectors, when they run next, for theirs. When the last of them has ([`Progress::to_be_purged`]
    /// is empty), all older manifests and their files go: no erased subject's rows remain in the storage (I8).
    ///
    /// # Errors
    /// As [`Projector::run_once`].
    pub async fn purge_erased(&mut self) -> Result<Progress, Error> {
        let (_, end) = self.begin().await?;
        self.work(Worker::request_purge).await?;
        // What is merged just now may hold the erased.
        self.tend(Pace::InStep, &BTreeSet::new()).await?;
        self.work(Worker::answer_purge).await?;
        self.work(move |worker| worker.report(&end)).await
    }

    /// The shards that the group gives now.
    fn assigned(&mut self) -> Result<BTreeSet<u32>, Error> {
        if self.assigned.has_changed().is_err() {
            return Err(Error::GroupLeft);
        }
        Ok(self.assigned.borrow_and_update().clone())
    }

    /// Whether the group has given other shards since, or was left.
    fn is_regrouped(&self) -> bool {
        self.assigned.has_changed().unwrap_or(true)
    }

    /// How many shards there are: the partitions of either topic.
    fn partitions(&self) -> Result<u32, Error> {
        let [profile, behaviour] = &self.topics;
        let (expected, found) = (
            self.journal.partitions(profile)?,
            self.journal.partitions(behaviour)?,
        );
        if expected == found {
            return Ok(expected);
        }
        Err(Error::Partitions {
            topic: behaviour.as_str().to_owned(),
            found,
            expected,
        })
    }

    /// Takes over what the group gives. Where the shards stand, and where their partitions end now.
    async fn begin(&mut self) -> Result<(BTreeMap<u32, Checkpoint>, Checkpoint), Error> {
        self.group.working();
        let wish = Wish {
            shards: self.assigned()?,
            partitions: self.partitions()?,
            definitions: self.definitions.clone(),
        };
        let again = wish.clone();
        let mut stands = self.work(move |worker| worker.stand(&wish, None)).await?;
        if stands.is_none() {
            let start = self.journal.start_positions(&self.topics).await?;
            let stand = move |worker: &mut Worker| worker.stand(&again, Some(&start));
            stands = self.work(stand).await?;
        }
        let end = self.journal.end_positions(&self.topics).await?;
        Ok((stands.unwrap_or_default(), end))
    }

    /// Reads up to the end; the next batch is read while the last one is folded.
    async fn catch_up(
        &mut self,
        mut stands: BTreeMap<u32, Checkpoint>,
        end: &Checkpoint,
        pace: Pace,
    ) -> Result<(), Error> {
        let mut ahead = self.fetch(&mut stands, end).await?;
        while !ahead.is_empty() {
            self.group.working();
            let (done, next) = tokio::join!(
                self.work(move |worker| worker.take_in(ahead)),
                self.fetch(&mut stands, end)
            );
            done?;
            ahead = next?;
            self.tend(pace, &BTreeSet::new()).await?;
            if self.is_regrouped() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The next records before `end`, shard by shard, within the limits of a batch; and moves `stands` behind them.
    async fn fetch(
        &self,
        stands: &mut BTreeMap<u32, Checkpoint>,
        end: &Checkpoint,
    ) -> Result<Vec<ShardBatch>, Error> {
        let mut batches = Vec::new();
        let mut limit = ReadLimit {
            records: self.settings.batch_records.max(1),
            bytes: self.settings.batch_bytes.max(1),
        };
        for (shard, stand) in stands {
            let mut batch = ShardBatch {
                shard: *shard,
                from: stand.clone(),
                to: stand.clone(),
                records: Vec::new(),
            };
            for (topic, partition, to) in partitions_of(end, *shard).iter() {
                let mut from = stand.get(topic, partition);
                while from < to && limit.records > 0 && limit.bytes > 0 {
                    let read = self.journal.read(topic, partition, from, limit).await?;
                    if read.next <= from {
                        break;
                    }
                    from = read.next;
                    for record in &read.records {
                        let weight = record.key.len() + record.value.len();
                        limit.bytes = limit.bytes.saturating_sub(weight);
                    }
                    limit.records = limit.records.saturating_sub(read.records.len());
                    batch.records.extend(read.records);
                }
                batch.to.set(topic, partition, from);
            }
            if batch.to != batch.from {
                stand.clone_from(&batch.to);
                batches.push(batch);
            }
        }
        Ok(batches)
    }

    /// Runs on a thread that may block. What an error may have spoilt is forgotten.
    async fn work<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Worker) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let worker = Arc::clone(&self.worker);
        let span = tracing::Span::current();
        let done = tokio::task::spawn_blocking(move || {
            let _within = span.entered();
            let mut worker = worker.lock().map_err(|_| Error::Worker {
                reason: "an earlier job panicked".to_owned(),
            })?;
            let done = job(&mut worker);
            if done.is_err() {
                worker.forget();
            }
            done
        });
        done.await.map_err(|error| Error::Worker {
            reason: error.to_string(),
        })?
    }
}
