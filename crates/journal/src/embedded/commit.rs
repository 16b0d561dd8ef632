//! Group commit: one thread takes whatever appends have gathered, writes them in one durable
//! transaction, and only then answers them.
//!
//! While a commit is on its way to the disk the next group gathers, so the price of durability is
//! shared by as many appends as arrive meanwhile. Appends are taken in the order in which they were
//! queued, and an append is never split between two groups.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};

use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

use super::batch::Packer;
use super::faults::{FaultPoint, Faults};
use super::layout::Layout;
use super::store::Store;
use crate::{Error, ErrorKind, Position, Record};

/// An append that waits for its commit.
pub(super) struct Pending {
    pub(super) records: Vec<Record>,
    /// The slot of each record.
    pub(super) slots: Vec<usize>,
    pub(super) bytes: usize,
    pub(super) answer: oneshot::Sender<Result<Vec<Position>, Error>>,
    /// The append's share of the queue, given back with the answer.
    pub(super) share: OwnedSemaphorePermit,
}

/// The committing thread's state.
pub(super) struct Committer {
    pub(super) store: Arc<Store>,
    pub(super) layout: Arc<Layout>,
    pub(super) packer: Packer,
    /// A group is closed when it holds this much.
    pub(super) group_bytes: usize,
    /// Told after every commit.
    pub(super) committed: watch::Sender<()>,
    pub(super) faults: Option<Arc<dyn Faults>>,
}

impl Committer {
    /// Commits until the journal is dropped and its queue is empty.
    pub(super) fn run(mut self, queue: Receiver<Pending>) {
        let mut broken: Option<Error> = None;
        while let Ok(first) = queue.recv() {
            let group = self.gather(first, &queue);
            if broken.is_none() {
                match self.commit(&group) {
                    Ok(()) => {}
                    Err(error) => {
                        tracing::error!(error = %error, "commit of the journal failed, it takes no more records");
                        broken = Some(sticky(&error));
                    }
                }
            }
            match &broken {
                None => self.acknowledge(group),
                Some(error) => refuse(group, error),
            }
        }
    }

    /// The first append and whatever else is already waiting, up to the size of a group.
    fn gather(&self, first: Pending, queue: &Receiver<Pending>) -> Vec<Pending> {
        let mut bytes = first.bytes;
        let mut group = vec![first];
        while bytes < self.group_bytes {
            match queue.try_recv() {
                Ok(next) => {
                    bytes += next.bytes;
                    group.push(next);
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        group
    }

    fn commit(&mut self, group: &[Pending]) -> Result<(), Error> {
        let mut by_slot: BTreeMap<usize, Vec<&Record>> = BTreeMap::new();
        for pending in group {
            for (slot, record) in pending.slots.iter().zip(&pending.records) {
                by_slot.entry(*slot).or_default().push(record);
            }
        }
        let groups: Vec<_> = by_slot
            .into_iter()
            .map(|(slot, records)| {
                let slot = self.layout.slot(slot);
                (slot, slot.end(), records)
            })
            .collect();
        let faults = self.faults.as_deref();
        self.store.write(&mut self.packer, &groups, || {
            fault_at(faults, FaultPoint::BeforeCommit)
        })?;
        fault_at(faults, FaultPoint::AfterCommit)
    }

    /// Makes the durable group visible, then answers.
    fn acknowledge(&self, group: Vec<Pending>) {
        let mut ends: BTreeMap<usize, u64> = BTreeMap::new();
        let mut answers = Vec::with_capacity(group.len());
        for pending in group {
            let positions = pending
                .slots
                .iter()
                .map(|number| {
                    let slot = self.layout.slot(*number);
                    let end = ends.entry(*number).or_insert_with(|| slot.end());
                    let position = slot.position(*end);
                    *end += 1;
                    position
                })
                .collect();
            answers.push((pending.answer, positions, pending.share));
        }
        // Ends first: whoever has an answer must find it covered by the end positions (I2).
        for (number, end) in ends {
            self.layout.slot(number).raise_end(end);
        }
        self.committed.send_replace(());
        for (answer, positions, share) in answers {
            drop(share);
            // Nobody waits any more when the caller was cancelled; the records stand nonetheless.
            let _ = answer.send(Ok(positions));
        }
    }
}

/// Answers a group whose durability is not known, or that came after one.
fn refuse(group: Vec<Pending>, error: &Error) {
    for pending in group {
        let _ = pending.answer.send(Err(error.clone()));
    }
}

/// After a failed commit nobody knows what the disk holds, and a second attempt may succeed on pages
/// that the first one lost. So the journal stays shut until it is opened and verified again.
fn sticky(error: &Error) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "a commit of the journal failed, so it takes no more records; \
         look after the disk and start again",
    )
    .with_source(error.clone())
}

fn fault_at(faults: Option<&dyn Faults>, point: FaultPoint) -> Result<(), Error> {
    match faults {
        None => Ok(()),
        Some(faults) => faults
            .at(point)
            .map_err(|text| Error::new(ErrorKind::Unavailable, text)),
    }
}
