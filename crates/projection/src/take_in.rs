//! One batch of a shard: decode, de-duplicate, open, fold, write. Nothing of it is visible before the manifest.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use assent_consent::{SubjectId, Timestamp};
use assent_event::{Envelope, ErrorKind, KeyClass, Payload};
use assent_journal::{Position, Stored};
use assent_vault::{KeyState, Opened, RandomSource, Sealer, Vault};

use crate::fold::{Fold, Outcome};
use crate::held::{Held, ShardBatch};
use crate::seen::{self, Admitted, Window};
use crate::settings::{FailPoint, Settings, Step};
use crate::shard::Pile;
use crate::storage::Storage;
use crate::{Counts, DataFile, Error, Skipped, files, skip};

/// What the fold works with.
pub(crate) struct Tools<'t> {
    pub(crate) storage: &'t dyn Storage,
    pub(crate) vault: &'t dyn Vault,
    pub(crate) settings: &'t Settings,
    pub(crate) fail: &'t dyn FailPoint,
}

impl Held {
    /// Folds a batch that begins where the shard stands into new files and into what the next commit will say.
    ///
    /// # Errors
    /// On an error what is held is spoilt and must be loaded again.
    pub(crate) fn take_in(
        &mut self,
        tools: &Tools<'_>,
        batch: &ShardBatch,
    ) -> Result<Counts, Error> {
        let mut account = Account::default();
        let (admitted, envelopes, positions) =
            admit(&mut self.window, &batch.records, &mut account);
        let opened = open(tools.vault, &envelopes, &positions)?;
        let definitions = Arc::clone(&self.definitions);
        let mut fold = Fold::new(&definitions)?;
        let mut latest: Option<Timestamp> = None;
        let mut schema_ids = BTreeMap::<u32, u64>::new();
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
                        *schema_ids.entry(envelope.schema_id).or_default() += 1;
                        let times = &envelope.times;
                        latest = latest.max(Some(times.event_time.min(times.received_at)));
                    }
                },
            }
        }
        let tables = fold.finish()?;
        tools.fail.reached(Step::BeforeData);
        for (table, rows) in tables {
            let rows_of = rows.schema();
            let written = self.write(tools, table.as_str(), &rows_of, std::iter::once(Ok(rows)))?;
            self.now
                .line_mut()
                .tables
                .entry(table)
                .or_default()
                .extend(written);
        }
        if !admitted.is_empty() {
            let rows = std::iter::once(seen::to_batch(&admitted));
            let written = self.write(tools, Pile::Seen.as_str(), &seen::schema(), rows)?;
            self.now.line_mut().seen.extend(written);
        }
        let line = self.now.line_mut();
        line.latest = line.latest.max(latest);
        line.checkpoint = batch.to.clone();
        line.counts.add(&account.counts);
        for (id, records) in schema_ids {
            *line.schema_ids.entry(id).or_default() += records;
        }
        line.note(account.skipped);
        Ok(account.counts)
    }

    /// Writes a file that the next commit will name.
    pub(crate) fn write(
        &mut self,
        tools: &Tools<'_>,
        stem: &str,
        schema: &SchemaRef,
        batches: impl Iterator<Item = Result<RecordBatch, Error>>,
    ) -> Result<Option<DataFile>, Error> {
        let name = self.names.give(stem);
        let rows = tools.settings.row_group_rows;
        let written = files::write(tools.storage, &name, schema, rows, batches)?;
        Ok(written.map(|(file, staged)| {
            self.staged.push(staged);
            file
        }))
    }
}

/// Decodes and de-duplicates: what is to be opened, with positions; the rest is accounted for.
fn admit(
    window: &mut Window,
    records: &[Stored],
    account: &mut Account,
) -> (Vec<Admitted>, Vec<Envelope>, Vec<Position>) {
    let mut admitted = Vec::with_capacity(records.len());
    let mut envelopes = Vec::with_capacity(records.len());
    let mut positions = Vec::with_capacity(records.len());
    for record in records {
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
            Ok(envelope) => match window.admit(position, &envelope) {
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
