//! A segment whose steps do not read begins anew with its next run: who is in it for those who read what was told is
//! folded from the journal, so that they are told what the run changes for them, and no more.

use std::collections::HashMap;

use assent_consent::SubjectId;
use assent_event::{Envelope, Payload, SegmentChangeClear, topics};
use assent_journal::{ReadLimit, Stored, Topic};
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
                    let Some((member, change)) = change_of(stored) else {
                        continue;
                    };
                    if change.segment == name {
                        let known = last.entry(member).or_default();
                        if change.step >= known.0 {
                            *known = (change.step, change.entered);
                        }
                    }
                }
                if batch.next <= from {
                    // Nothing more where there should be: the rest are markers, not records.
                    break;
                }
                from = batch.next;
            }
        }
        let inside = last.into_iter().filter(|(_, (_, entered))| *entered);
        Ok(inside.map(|(member, _)| member).collect())
    }
}

/// What a record tells of whom; one that does not read tells nothing, as for others who read the topic.
fn change_of(stored: &Stored) -> Option<(SubjectId, SegmentChangeClear)> {
    let envelope = Envelope::decode(&stored.value).ok();
    let read = envelope.and_then(|envelope| {
        let payload = envelope.clear_payload().ok()?;
        Some((envelope.subject, payload))
    });
    match read {
        Some((member, Payload::SegmentChange(change))) => Some((member, change.clear)),
        Some(_) => None,
        None => {
            let position = &stored.position;
            tracing::warn!(%position, "a change of a segment does not read");
            None
        }
    }
}

/// Members by number, each given one who has none: of whom nothing is known here nobody could say that they left.
///
/// # Errors
/// As [`Permit::introduce`].
pub(super) fn numbered(members: &[SubjectId], permit: &Permit) -> Result<RoaringBitmap> {
    permit.introduce(members).map_err(|error| refused(&error))?;
    let numbers = members.iter().filter_map(|one| permit.number_of(one));
    Ok(ascending(numbers))
}

/// Who of these members may not be used any more, whatever was read of them.
pub(super) fn fallen(members: &RoaringBitmap, set: &PermitSet) -> Fallen {
    let of = |falls: &dyn Fn(u32) -> bool| ascending(members.iter().filter(|one| falls(*one)));
    let by_identity = of(&|one| set.member_number(one) != Some(one));
    Fallen {
        by_consent: of(&|one| !set.is_permitted(one)) - &by_identity,
        by_identity,
    }
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

#[cfg(test)]
mod tests {
    use assent_journal::Position;
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_record_that_does_not_read_tells_nothing_and_stops_nobody() {
        let stored = Stored {
            position: Position {
                topic: Topic::new(topics::MEMBERSHIP),
                partition: 0,
                offset: 7,
            },
            key: Bytes::from_static(b"key"),
            value: Bytes::from_static(b"not an envelope"),
            headers: Vec::new(),
        };
        assert!(change_of(&stored).is_none());
    }
}
