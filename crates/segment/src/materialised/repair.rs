//! A segment whose steps do not read begins anew with its next run: who is in it for those who read what was told is
//! folded from the journal, so that they are told what the run changes for them, and no more.

use std::collections::HashMap;
use std::sync::Arc;

use assent_consent::SubjectId;
use assent_event::{Envelope, Payload, topics};
use assent_journal::{ReadLimit, Topic};
use assent_permit::{Permit, PermitSet};
use roaring::RoaringBitmap;

use super::members::ascending;
use super::{Fallen, Materialised, told_file, unavailable};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::session::refused;

impl Engine {
    /// Who is in a segment by the greatest step that was told of each. Reads the whole topic.
    ///
    /// # Errors
    /// `Unavailable` when the journal cannot be read.
    pub(super) async fn told_of(&self, name: &str) -> Result<Vec<SubjectId>> {
        let topic = Topic::new(topics::MEMBERSHIP);
        let (journal, of) = (&self.stores.journal, [topic.clone()]);
        let starts = journal.start_positions(&of).await.map_err(unread)?;
        let ends = journal.end_positions(&of).await.map_err(unread)?;
        let mut last: HashMap<SubjectId, (u64, bool)> = HashMap::new();
        for partition in 0..journal.partitions(&topic).map_err(unread)? {
            let mut from = starts.get(&topic, partition);
            while from < ends.get(&topic, partition) {
                let batch = journal.read(&topic, partition, from, ReadLimit::default());
                let batch = batch.await.map_err(unread)?;
                for stored in &batch.records {
                    let envelope = Envelope::decode(&stored.value).map_err(unread)?;
                    let Payload::SegmentChange(change) =
                        envelope.clear_payload().map_err(unread)?
                    else {
                        continue;
                    };
                    let change = change.clear;
                    if change.segment != name {
                        continue;
                    }
                    let known = last.entry(envelope.subject).or_default();
                    if change.step >= known.0 {
                        *known = (change.step, change.entered);
                    }
                }
                from = batch.next;
            }
        }
        let inside = last.into_iter().filter(|(_, (_, entered))| *entered);
        Ok(inside.map(|(member, _)| member).collect())
    }
}

/// Members by number, and who of them may not be used any more, whatever is read of them.
///
/// # Errors
/// As [`Permit::introduce`].
pub(super) fn stand(
    members: &[SubjectId],
    permit: &Permit,
    set: &Arc<PermitSet>,
) -> Result<(RoaringBitmap, Fallen)> {
    permit.introduce(members).map_err(|error| refused(&error))?;
    let members = ascending(members.iter().filter_map(|one| permit.number_of(one)));
    let of = |falls: &dyn Fn(u32) -> bool| ascending(members.iter().filter(|one| falls(*one)));
    let by_identity = of(&|one| set.member_number(one) != Some(one));
    let by_consent = of(&|one| !set.is_permitted(one)) - &by_identity;
    let fallen = Fallen {
        by_consent,
        by_identity,
    };
    Ok((members, fallen))
}

impl Materialised {
    /// The number after the last step, whether or not that one reads. Blocks.
    pub(super) fn next_number(&self, name: &str) -> Result<u64> {
        let steps = self.listed()?.remove(name).unwrap_or_default();
        Ok(steps.keys().last().map_or(1, |last| last + 1))
    }

    /// Marks all steps before this one as told: what was told of them is what the one that begins anew rests on. Blocks.
    pub(super) fn settle(&self, name: &str, begins: u64) -> Result<()> {
        let steps = self.listed()?.remove(name).unwrap_or_default();
        for (number, listed) in steps {
            if number < begins && !listed.told {
                let marked = self.storage.create(&told_file(name, number), b"");
                marked.map_err(unavailable)?;
            }
        }
        Ok(())
    }
}

fn unread(error: impl std::error::Error) -> Error {
    tracing::warn!(%error, "what was told of a segment could not be read");
    Error::unavailable(
        "segment_told",
        "the segment begins anew, and what was told of it cannot be read now",
    )
    .help("try again; if it persists, run `assent doctor`")
}
