//! One batch of the log: decode, de-duplicate, open, fold, write. Nothing of it is visible before the manifest.

use assent_consent::{SubjectId, Timestamp};
use assent_event::{Envelope, ErrorKind, KeyClass, Payload};
use assent_journal::{Checkpoint, Position, Stored, Topic};
use assent_vault::{KeyState, Opened, RandomSource, Sealer, Vault};

use crate::fold::{Fold, Outcome};
use crate::manifest::SKIPPED_NAMED;
use crate::seen::{self, Admitted, Window};
use crate::settings::{Settings, Step};
use crate::store::Store;
use crate::{Counts, Error, Manifest, Skipped, files, skip};

/// Records read from the journal, with the positions behind them.
#[derive(Debug, Default)]
pub(crate) struct LogBatch {
    /// Records of one partition are in order.
    pub(crate) records: Vec<Stored>,
    /// Per partition read, the next position.
    pub(crate) next: Vec<(Topic, u32, u64)>,
}

impl LogBatch {
    /// The checkpoint after this batch.
    pub(crate) fn after(&self, checkpoint: &Checkpoint) -> Checkpoint {
        let mut after = checkpoint.clone();
        for (topic, partition, next) in &self.next {
            after.set(topic, *partition, *next);
        }
        after
    }
}

/// The projection as it will be with the next commit.
pub(crate) struct State {
    /// The last manifest published, changed by what was taken in since; its number is that of the last published.
    pub(crate) manifest: Manifest,
    pub(crate) window: Window,
}

/// What the fold works with.
pub(crate) struct Tools<'t> {
    pub(crate) store: &'t Store,
    pub(crate) vault: &'t dyn Vault,
    pub(crate) settings: &'t Settings,
}

impl State {
    /// Folds a batch into new files and into this state.
    ///
    /// # Errors
    /// On an error this state is spoilt and must be loaded again.
    pub(crate) fn take_in(&mut self, tools: &Tools<'_>, batch: LogBatch) -> Result<Counts, Error> {
        let mut account = Account::default();
        let (admitted, envelopes, positions) = self.admit(&batch, &mut account);
        let opened = open(tools.vault, &envelopes, &positions)?;
        let mut fold = Fold::new(&self.manifest.definitions)?;
        let mut latest = self.manifest.latest;
        for ((envelope, opened), position) in envelopes.iter().zip(&opened).zip(&positions) {
            match opened {
                Err(Closed::Erased) => account.counts.erased += 1,
                Err(Closed::Unreadable) => account.skip(position, skip::PAYLOAD_UNREADABLE),
                Ok(payload) => match fold.add(envelope, payload) {
                    Outcome::Skipped(code) => account.skip(position, code),
                    Outcome::Folded(unreadable) => {
                        account.counts.folded += 1;
                        for code in unreadable {
                            account.leave_out(position, code);
                        }
                        let ids = &mut self.manifest.schema_ids;
                        *ids.entry(envelope.schema_id).or_default() += 1;
                        let times = &envelope.times;
                        let at = times.event_time.min(times.received_at);
                        latest = Some(latest.map_or(at, |latest: Timestamp| latest.max(at)));
                    }
                },
            }
        }
        let tables = fold.finish()?;
        tools.store.reached(Step::BeforeData);
        let number = self.manifest.number + 1;
        for (table, rows) in tables {
            let file = files::write(
                tools.store,
                table.as_str(),
                number,
                &rows.schema(),
                tools.settings.row_group_rows,
                std::iter::once(Ok(rows)),
            )?;
            self.manifest.tables.entry(table).or_default().extend(file);
        }
        if !admitted.is_empty() {
            let file = write_seen(tools, number, &admitted)?;
            self.manifest.seen.extend(file);
        }
        tools.store.sync_data()?;
        tools.store.reached(Step::AfterData);
        self.manifest.latest = latest;
        self.manifest.checkpoint = batch.after(&self.manifest.checkpoint);
        self.manifest.counts.add(&account.counts);
        self.note(account.skipped);
        Ok(account.counts)
    }

    /// Decodes and de-duplicates: what is to be opened, with positions; the rest is accounted for.
    fn admit(
        &mut self,
        batch: &LogBatch,
        account: &mut Account,
    ) -> (Vec<Admitted>, Vec<Envelope>, Vec<Position>) {
        let mut admitted = Vec::with_capacity(batch.records.len());
        let mut envelopes = Vec::with_capacity(batch.records.len());
        let mut positions = Vec::with_capacity(batch.records.len());
        for record in &batch.records {
            let position = &record.position;
            match Envelope::decode(&record.value) {
                Err(error) => account.skip(
                    position,
                    match error.kind() {
                        ErrorKind::NotFound => skip::SCHEMA_UNKNOWN,
                        ErrorKind::Invalid | ErrorKind::Corrupt | ErrorKind::Internal => {
                            skip::ENVELOPE_UNREADABLE
                        }
                    },
                ),
                Ok(envelope) if envelope.kind.topic() != position.topic.as_str() => {
                    account.skip(position, skip::KIND_MISPLACED);
                }
                Ok(envelope) => match self.window.admit(position, &envelope) {
                    None => account.counts.duplicates += 1,
                    Some(admission) => {
                        admitted.push(admission);
                        envelopes.push(envelope);
                        positions.push(position.clone());
                    }
                },
            }
        }
        (admitted, envelopes, positions)
    }

    /// Keeps the greatest skipped positions: the same whatever the batches were.
    fn note(&mut self, skipped: Vec<Skipped>) {
        let noted = &mut self.manifest.skipped;
        noted.extend(skipped);
        noted.sort();
        let surplus = noted.len().saturating_sub(SKIPPED_NAMED);
        noted.drain(..surplus);
    }
}

/// Writes admissions to a file of their own.
pub(crate) fn write_seen(
    tools: &Tools<'_>,
    number: u64,
    admitted: &[Admitted],
) -> Result<Option<crate::DataFile>, Error> {
    files::write(
        tools.store,
        "seen",
        number,
        &seen::schema(),
        tools.settings.row_group_rows,
        std::iter::once(seen::to_batch(admitted)),
    )
}

/// What became of the records of a batch.
#[derive(Default)]
struct Account {
    counts: Counts,
    skipped: Vec<Skipped>,
}

impl Account {
    fn skip(&mut self, position: &Position, code: &'static str) {
        tracing::warn!(%position, code, "record skipped");
        *self.counts.skipped.entry(code.to_owned()).or_default() += 1;
        self.skipped.push(Skipped::new(position, code));
    }

    fn leave_out(&mut self, position: &Position, code: &'static str) {
        *self.counts.values.entry(code.to_owned()).or_default() += 1;
        self.skipped.push(Skipped::new(position, code));
    }
}

/// An envelope after the vault was asked: what it says, or why it says nothing.
type Fate = Result<Payload, Closed>;

/// Why an envelope says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closed {
    /// The vault records that its key was destroyed.
    Erased,
    /// A block was opened and cannot be decoded.
    Unreadable,
}

/// Opens envelopes in bulk; those that cannot be decoded do not spoil the others.
fn open(
    vault: &dyn Vault,
    envelopes: &[Envelope],
    positions: &[Position],
) -> Result<Vec<Fate>, Error> {
    let sealer = Sealer::new(vault, &NoRandomness);
    let failed = |source| Error::Vault {
        position: positions
            .first()
            .map_or_else(String::new, ToString::to_string),
        source: Box::new(source),
    };
    let mut fates = match sealer.open_batch(envelopes) {
        Ok(opened) => opened.into_iter().map(fate).collect(),
        Err(assent_vault::Error::Codec { .. }) => {
            // Rare: find the malformed ones by opening one at a time.
            let mut fates = Vec::with_capacity(envelopes.len());
            for envelope in envelopes {
                fates.push(match sealer.open_batch(std::slice::from_ref(envelope)) {
                    Ok(opened) => opened
                        .into_iter()
                        .map(fate)
                        .next()
                        .unwrap_or(Err(Closed::Unreadable)),
                    Err(assent_vault::Error::Codec { .. }) => Err(Closed::Unreadable),
                    Err(other) => return Err(failed(other)),
                });
            }
            fates
        }
        Err(other) => return Err(failed(other)),
    };
    // An event without personal blocks opens also for an erased subject; it is a tombstone like its others.
    let unsealed: Vec<usize> = (0..envelopes.len())
        .filter(|at| envelopes[*at].sealed.is_empty())
        .collect();
    let asked: Vec<SubjectId> = unsealed.iter().map(|at| envelopes[*at].subject).collect();
    for (at, live) in unsealed
        .into_iter()
        .zip(live(vault, &asked).map_err(failed)?)
    {
        if !live {
            fates[at] = Err(Closed::Erased);
        }
    }
    Ok(fates)
}

fn fate(opened: Opened) -> Fate {
    match opened {
        Opened::Payload(payload) => Ok(payload),
        Opened::Erased => Err(Closed::Erased),
    }
}

/// Whether the vault does not record the subject's profile key as destroyed.
pub(crate) fn live(
    vault: &dyn Vault,
    subjects: &[SubjectId],
) -> Result<Vec<bool>, assent_vault::Error> {
    if subjects.is_empty() {
        return Ok(Vec::new());
    }
    let wanted: Vec<(SubjectId, KeyClass)> = subjects
        .iter()
        .map(|subject| (*subject, KeyClass::Profile))
        .collect();
    let states = vault.keys(&wanted, false)?;
    Ok(states
        .iter()
        .map(|state| match state {
            KeyState::Live(_) | KeyState::Absent => true,
            KeyState::Destroyed => false,
        })
        .collect())
}

/// Opening draws nothing at random; a sealer asks for a source all the same.
struct NoRandomness;

impl RandomSource for NoRandomness {
    fn fill(&self, bytes: &mut [u8]) {
        // Would make sealing fail loudly: a projector never seals.
        unreachable!(
            "{} bytes of randomness asked for while opening",
            bytes.len()
        )
    }
}
