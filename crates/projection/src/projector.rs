//! The projector: follows the journal, folds, commits, compacts; resumable at any point.

use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use assent_event::topics;
use assent_journal::{Checkpoint, Journal, ReadLimit, Topic};
use assent_vault::Vault;

use crate::settings::{FailPoint, NoFailPoint, Settings};
use crate::take_in::LogBatch;
use crate::worker::{Target, Worker};
use crate::{Counts, Definitions, Error, ErrorKind, Snapshot, Table};

/// Why a projection was folded again from the journal's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rebuilt {
    /// [`Projector::rebuild`] was called.
    Asked,
    /// The definitions (trait catalogue, calendar, window) or the fold itself changed.
    DefinitionsChanged,
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Number of the newest manifest.
    pub number: u64,
    /// Manifests published.
    pub commits: u64,
    /// What became of the records read in this run.
    pub counts: Counts,
    /// Where the projection stands.
    pub checkpoint: Checkpoint,
    /// Tables compacted.
    pub compacted: Vec<Table>,
    /// Whether everything was folded again, and why.
    pub rebuilt: Option<Rebuilt>,
}

/// Folds the profile and behaviour topics into the projection of one directory. One projector works on a directory at
/// a time; a lock in the directory sees to it, and the exclusive creation of manifests where there is no lock.
pub struct Projector {
    journal: Arc<dyn Journal>,
    definitions: Definitions,
    settings: Settings,
    topics: [Topic; 2],
    worker: Arc<Mutex<Worker>>,
}

impl Projector {
    /// Opens the directory, creating it where it is missing.
    ///
    /// # Errors
    /// [`Error::Locked`] when another projector works there, [`Error::Catalog`] when the traits cannot be columns.
    pub fn open(
        dir: &Path,
        journal: Arc<dyn Journal>,
        vault: Arc<dyn Vault>,
        definitions: Definitions,
        settings: Settings,
    ) -> Result<Self, Error> {
        Self::open_with(
            dir,
            journal,
            vault,
            definitions,
            settings,
            Arc::new(NoFailPoint),
        )
    }

    /// As [`Projector::open`], with a fail point for tests.
    ///
    /// # Errors
    /// As [`Projector::open`].
    pub fn open_with(
        dir: &Path,
        journal: Arc<dyn Journal>,
        vault: Arc<dyn Vault>,
        definitions: Definitions,
        settings: Settings,
        fail: Arc<dyn FailPoint>,
    ) -> Result<Self, Error> {
        definitions.check()?;
        let worker = Worker::open(dir, vault, settings.clone(), fail)?;
        Ok(Self {
            journal,
            definitions,
            settings,
            topics: [topics::PROFILE, topics::BEHAVIOUR].map(Topic::new),
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

    /// Catches up with the end of the journal as it is now. When there is nothing new, nothing is written.
    ///
    /// # Errors
    /// Nothing of a batch that failed is visible, and the next run begins where the last commit stands.
    /// [`Error::Vault`] when a key is missing that was not destroyed; [`Error::Conflict`] when another projector
    /// committed first; [`Error::Corrupt`] when the newest manifest, or a file to be compacted, is damaged.
    pub async fn run_once(&mut self) -> Result<Progress, Error> {
        let definitions = self.definitions.clone();
        let stand = self.work(move |worker| worker.stand(&definitions)).await?;
        let Some(checkpoint) = stand else {
            return self.fold_again(Rebuilt::DefinitionsChanged).await;
        };
        let mut progress = Progress::default();
        self.catch_up(Target::Live, checkpoint, &mut progress)
            .await?;
        self.work(move |worker| worker.settle(&mut progress).map(|()| progress))
            .await
    }

    /// Folds everything the journal retains into a new generation and swaps to it in one commit. Readers see the old
    /// one until then. Works on a damaged projection, too.
    ///
    /// # Errors
    /// As [`Projector::run_once`]; the old generation stays.
    pub async fn rebuild(&mut self) -> Result<Progress, Error> {
        self.fold_again(Rebuilt::Asked).await
    }

    /// Runs until `shutdown` is done, waiting for news in between. Goes on after errors that a retry can mend.
    ///
    /// # Errors
    /// The first error that no retry can mend.
    pub async fn run(&mut self, shutdown: impl Future<Output = ()> + Send) -> Result<(), Error> {
        const FIRST_PAUSE: Duration = Duration::from_millis(100);
        let mut pause = FIRST_PAUSE;
        tokio::pin!(shutdown);
        loop {
            let wait = match self.run_once().await {
                Ok(progress) => {
                    pause = FIRST_PAUSE;
                    Ok(self.every_partition(progress.checkpoint)?)
                }
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
            }
        }
    }

    /// Merges all files of every table into one and removes what the vault records as erased, then forgets all older
    /// manifests and their files: no erased subject's rows remain in the directory (I8).
    ///
    /// # Errors
    /// As [`Projector::run_once`].
    pub async fn purge_erased(&mut self) -> Result<Progress, Error> {
        let definitions = self.definitions.clone();
        self.work(move |worker| worker.purge(&definitions)).await
    }

    /// The newest snapshot; `None` before the first run.
    ///
    /// # Errors
    /// As [`Snapshot::latest`].
    pub async fn snapshot(&self) -> Result<Option<Snapshot>, Error> {
        self.work(|worker| Snapshot::latest(worker.dir())).await
    }

    async fn fold_again(&mut self, why: Rebuilt) -> Result<Progress, Error> {
        tracing::info!(?why, "rebuilding the projection from the journal");
        let definitions = self.definitions.clone();
        let start = self.journal.start_positions(&self.topics).await?;
        let begin = start.clone();
        self.work(move |worker| worker.begin_rebuild(definitions, begin))
            .await?;
        let mut progress = Progress {
            rebuilt: Some(why),
            ..Progress::default()
        };
        self.catch_up(Target::Rebuild, start, &mut progress).await?;
        self.work(move |worker| worker.finish_rebuild(&mut progress).map(|()| progress))
            .await
    }

    /// Reads up to the end as it is now; the next batch is read while the last one is folded.
    async fn catch_up(
        &self,
        target: Target,
        mut checkpoint: Checkpoint,
        progress: &mut Progress,
    ) -> Result<(), Error> {
        let end = self.journal.end_positions(&self.topics).await?;
        let mut ahead = self.fetch(&checkpoint, &end).await?;
        while let Some(batch) = ahead {
            checkpoint = batch.after(&checkpoint);
            let (done, next) = tokio::join!(
                self.work(move |worker| worker.take_in(target, batch)),
                self.fetch(&checkpoint, &end)
            );
            let done = done?;
            progress.counts.add(&done.counts);
            progress.commits += done.commits;
            progress.compacted.extend(done.compacted);
            ahead = next?;
        }
        Ok(())
    }

    /// The next records before `end`, within the limits of a batch; `None` when there are none.
    async fn fetch(
        &self,
        checkpoint: &Checkpoint,
        end: &Checkpoint,
    ) -> Result<Option<LogBatch>, Error> {
        let mut batch = LogBatch::default();
        let mut limit = ReadLimit {
            records: self.settings.batch_records.max(1),
            bytes: self.settings.batch_bytes.max(1),
        };
        for (topic, partition, to) in end.iter() {
            let mut from = checkpoint.get(topic, partition);
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
            if from > checkpoint.get(topic, partition) {
                batch.next.push((topic.clone(), partition, from));
            }
        }
        Ok((!batch.next.is_empty()).then_some(batch))
    }

    /// The checkpoint with every partition named, so that the journal watches all of them.
    fn every_partition(&self, mut checkpoint: Checkpoint) -> Result<Checkpoint, Error> {
        for topic in &self.topics {
            for partition in 0..self.journal.partitions(topic)? {
                let next = checkpoint.get(topic, partition);
                checkpoint.set(topic, partition, next);
            }
        }
        Ok(checkpoint)
    }

    /// Runs on a thread that may block.
    async fn work<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Worker) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let worker = Arc::clone(&self.worker);
        let done = tokio::task::spawn_blocking(move || {
            let mut worker = worker.lock().map_err(|_| Error::Worker {
                reason: "an earlier job panicked".to_owned(),
            })?;
            job(&mut worker)
        });
        done.await.map_err(|error| Error::Worker {
            reason: error.to_string(),
        })?
    }
}
