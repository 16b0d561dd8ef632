//! The real stores in a temporary directory, with a clock and randomness of our own.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use assent_consent::{Calendar, Fact, Timestamp};
use assent_event::{to_fact, topics};
use assent_journal::{
    Batch, Checkpoint, EmbeddedConfig, EmbeddedJournal, Journal, Position, ReadLimit, Record, Topic,
};
use assent_permit::{Config, Permit};
use assent_programme::{
    Principal, Programme, RegistryState, TraitCatalog, apply, plan, principal_added,
};
use assent_projection::{Definitions, Owner, Parts, Profiles, Projector, Settings};
use assent_vault::{Draft, EmbeddedVault, MasterKey, RandomSource, Sealer, Vault};
use async_trait::async_trait;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::{ByConsent, Stores};

pub const DAY: i64 = 86_400_000_000;

/// Randomness that repeats.
#[derive(Default)]
pub struct Repeating(AtomicU64);

impl RandomSource for Repeating {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let count = self.0.fetch_add(1, Ordering::SeqCst);
            let block = Sha256::digest(count.to_be_bytes());
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}

/// A journal that can be told to refuse, and to take its time with the consent topic.
pub struct Failing {
    inner: EmbeddedJournal,
    pub refuses_reads: AtomicBool,
    pub refuses_appends: AtomicBool,
    delay: Mutex<Duration>,
}

impl Failing {
    /// From now on the permit index hears of each decision this much later.
    pub fn delay_consent(&self, delay: Duration) {
        *self.delay.lock().expect("not poisoned") = delay;
    }
}

fn refusal(refused: &AtomicBool) -> Result<(), assent_journal::Error> {
    if refused.load(Ordering::SeqCst) {
        return Err(assent_journal::Error::new(
            assent_journal::ErrorKind::Unavailable,
            "told to refuse",
        ));
    }
    Ok(())
}

#[async_trait]
impl Journal for Failing {
    fn partitions(&self, topic: &Topic) -> Result<u32, assent_journal::Error> {
        self.inner.partitions(topic)
    }

    async fn append(&self, records: Vec<Record>) -> Result<Vec<Position>, assent_journal::Error> {
        refusal(&self.refuses_appends)?;
        self.inner.append(records).await
    }

    async fn read(
        &self,
        topic: &Topic,
        partition: u32,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Batch, assent_journal::Error> {
        refusal(&self.refuses_reads)?;
        let batch = self.inner.read(topic, partition, from, limit).await?;
        let delay = *self.delay.lock().expect("not poisoned");
        if !delay.is_zero() && topic.as_str() == topics::CONSENT && !batch.records.is_empty() {
            tokio::time::sleep(delay).await;
        }
        Ok(batch)
    }

    async fn end_positions(&self, topics: &[Topic]) -> Result<Checkpoint, assent_journal::Error> {
        refusal(&self.refuses_reads)?;
        self.inner.end_positions(topics).await
    }

    async fn changed(
        &self,
        seen: &Checkpoint,
        timeout: Duration,
    ) -> Result<(), assent_journal::Error> {
        self.inner.changed(seen, timeout).await
    }
}

/// How profiles are laid out in files; no answer depends on it.
#[derive(Debug, Clone)]
pub struct Layout {
    /// A table with more files than this is compacted.
    pub max_files: usize,
    pub batch_records: usize,
    pub row_group_rows: usize,
    /// When nothing is left to fold, rows lie together by what their subjects are lawful for, in files of so many rows or
    /// more.
    pub cluster_rows: Option<u64>,
}

impl Layout {
    /// Small files and row groups, so that few people fill many.
    pub fn of_files(max_files: usize) -> Self {
        Self {
            max_files,
            batch_records: 64,
            row_group_rows: 16,
            cluster_rows: None,
        }
    }
}

/// Journal, vault, permit index and projector, open.
pub struct House {
    pub dir: TempDir,
    pub journal: Arc<Failing>,
    pub vault: Arc<dyn Vault>,
    pub permit: Arc<Permit>,
    projector: Projector,
    /// Whether files are put together when nothing is left to fold.
    rests: bool,
    read: Arc<Profiles>,
    random: Repeating,
}

impl House {
    /// Opens the stores and journals the programme. Must be called within a runtime.
    pub async fn open(
        programme: &Programme,
        principals: Vec<Principal>,
        at: Timestamp,
        layout: &Layout,
    ) -> Self {
        let dir = TempDir::new().expect("a directory");
        let partitions = topics::ALL
            .iter()
            .map(|topic| {
                (
                    Topic::new(topic),
                    if *topic == topics::REGISTRY { 1 } else { 2 },
                )
            })
            .collect();
        let config = EmbeddedConfig::new(partitions);
        let journal = Arc::new(Failing {
            inner: EmbeddedJournal::open(&dir.path().join("journal"), config).expect("a journal"),
            refuses_reads: AtomicBool::new(false),
            refuses_appends: AtomicBool::new(false),
            delay: Mutex::default(),
        });
        let vault: Arc<dyn Vault> = Arc::new(
            EmbeddedVault::open(
                &dir.path().join("vault"),
                MasterKey::generate(&Repeating::default()),
                Box::new(Repeating::default()),
            )
            .expect("a vault"),
        );
        define(journal.as_ref(), programme, principals, at).await;
        let shared = Arc::clone(&journal) as Arc<dyn Journal>;
        let permit = Permit::start(Arc::clone(&shared), Arc::clone(&vault), Config::default())
            .expect("a permit index");
        let permit = Arc::new(permit);
        let mut parts = Parts::alone(
            &dir.path().join("profiles"),
            Arc::clone(&shared),
            Arc::clone(&vault),
            Owner::random(&Repeating::default()),
        )
        .expect("the topics");
        let read = Arc::new(Profiles::new(Arc::clone(&parts.storage)));
        if layout.cluster_rows.is_some() {
            let by_consent = ByConsent::new(Arc::clone(&permit), Arc::new(move || at));
            parts.clustering = Some(Arc::new(by_consent));
        }
        let projector = projector(
            parts,
            (programme.traits.clone(), programme.settings.calendar),
            layout,
        );
        Self {
            dir,
            journal,
            vault,
            permit,
            projector,
            rests: layout.cluster_rows.is_some(),
            read,
            random: Repeating::default(),
        }
    }

    /// Journals what differs in another programme.
    pub async fn redefine(&self, programme: &Programme, at: Timestamp) {
        define(self.journal.as_ref(), programme, Vec::new(), at).await;
    }

    pub fn stores(&self) -> Stores {
        Stores {
            permit: Arc::clone(&self.permit),
            journal: Arc::clone(&self.journal) as Arc<dyn Journal>,
            vault: Arc::clone(&self.vault),
            profiles: Arc::clone(&self.read),
        }
    }

    /// The stores of another process: an index of its own, which numbers people as it meets them.
    pub async fn stores_elsewhere(&self, config: Config) -> Stores {
        let here = self.stores();
        let permit = Permit::start(Arc::clone(&here.journal), Arc::clone(&here.vault), config);
        let permit = permit.expect("a permit index");
        permit.barrier().await.expect("followed");
        Stores {
            permit: Arc::new(permit),
            profiles: Arc::new(Profiles::new(Arc::clone(here.profiles.storage()))),
            ..here
        }
    }

    pub fn profiles(&self) -> PathBuf {
        self.dir.path().join("profiles")
    }

    /// Seals and journals; acknowledged when it returns. Tells what of it bears on verdicts.
    pub async fn tell(&self, drafts: Vec<Draft>) -> Vec<Fact> {
        let payloads: Vec<_> = drafts.iter().map(|draft| draft.payload.clone()).collect();
        let envelopes = Sealer::new(self.vault.as_ref(), &self.random)
            .seal_batch(drafts)
            .expect("sealed");
        let facts: Vec<Option<Fact>> = envelopes
            .iter()
            .zip(&payloads)
            .map(|(envelope, payload)| to_fact(envelope, payload).expect("a fact"))
            .collect();
        let records = envelopes
            .into_iter()
            .map(|envelope| Record {
                topic: Topic::new(envelope.kind.topic()),
                key: envelope.subject.as_bytes().to_vec().into(),
                value: envelope.encode().expect("encoded").into(),
                headers: Vec::new(),
            })
            .collect();
        let positions = self.journal.append(records).await.expect("journalled");
        facts
            .into_iter()
            .zip(positions)
            .filter_map(|(fact, position)| {
                Some(Fact {
                    order: position.offset,
                    ..fact?
                })
            })
            .collect()
    }

    /// Folds what was told so far.
    pub async fn project(&mut self) {
        if self.rests {
            // Rows are to lie as the verdicts are that were told.
            self.permit.barrier().await.expect("followed");
            self.projector.run_to_rest().await.expect("projected");
        } else {
            self.projector.run_once().await.expect("projected");
        }
    }
}

fn projector(
    parts: Parts,
    (traits, calendar): (TraitCatalog, Calendar),
    layout: &Layout,
) -> Projector {
    Projector::open(
        parts,
        Definitions::new(traits, calendar),
        Settings {
            batch_records: layout.batch_records,
            max_files: layout.max_files,
            row_group_rows: layout.row_group_rows,
            cluster_rows: layout.cluster_rows.unwrap_or(u64::MAX),
            ..Settings::default()
        },
    )
    .expect("a projector")
}

/// Journals a programme and its principals.
async fn define(
    journal: &dyn Journal,
    programme: &Programme,
    principals: Vec<Principal>,
    at: Timestamp,
) {
    let state = RegistryState::fold(journal).await.expect("a registry");
    let planned = plan(&state, programme).expect("a plan");
    apply(journal, &planned, at).await.expect("applied");
    for principal in principals {
        let state = RegistryState::fold(journal).await.expect("a registry");
        let planned = principal_added(&state, principal).expect("a plan");
        apply(journal, &planned, at).await.expect("applied");
    }
}

/// A clock that stands still until it is set.
#[derive(Clone)]
pub struct Standstill(Arc<AtomicI64>);

impl Standstill {
    pub fn at(instant: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(instant.micros())))
    }

    pub fn set(&self, instant: Timestamp) {
        self.0.store(instant.micros(), Ordering::SeqCst);
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }

    /// The next microsecond, which is nobody else's.
    pub fn tick(&self) -> Timestamp {
        Timestamp::from_micros(self.0.fetch_add(1, Ordering::SeqCst) + 1)
    }

    /// For an engine.
    pub fn clock(&self) -> Arc<dyn crate::Clock> {
        let clock = self.clone();
        Arc::new(move || clock.now())
    }
}
