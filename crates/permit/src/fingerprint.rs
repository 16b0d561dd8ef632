//! What two processes compare to know that they stand on the same verdicts: one number for a whole set.
//!
//! Subjects have other numbers in each process, so a set cannot be handed over as it is. The fingerprint is a sum over
//! subjects, in no order, of a hash of the subject, the verdict and the member; whoever has the verdict of somebody never
//! heard of, and is a member of their own, counts nothing, so it does not matter of which strangers a process knows. A set
//! that shares most of what it is made of with the one before is summed up by the difference.
//!
//! It guards against accidents, not against forgers, and both sides must be the same build of this program.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use assent_consent::{Reason, SubjectId};

use crate::set::PermitSet;

/// How many subjects are summed up before others get to give numbers.
const STRETCH: u32 = if cfg!(test) { 8 } else { 16_384 };

/// A set whose sum is known.
pub(crate) struct Summed {
    set: Arc<PermitSet>,
    /// What a stranger's verdict hashes to; part of what is summed.
    untold: u64,
    sum: u64,
}

impl Summed {
    /// The sum of a set, beginning with one of the same use and the same numbers if there is one.
    pub(crate) fn of(set: &Arc<PermitSet>, before: Option<Self>) -> Self {
        let untold = verdict(set, set.untold);
        let sum = match before {
            Some(before) if before.untold == untold => {
                let changed = set.changed_since(&before.set);
                let was = total(&before.set, &changed);
                let is = total(set, &changed);
                before.sum.wrapping_sub(was).wrapping_add(is)
            }
            Some(_) | None => {
                let everybody = 0..u32::try_from(set.len()).unwrap_or(u32::MAX);
                total(set, std::slice::from_ref(&everybody))
            }
        };
        Self {
            set: Arc::clone(set),
            untold,
            sum,
        }
    }

    /// The fingerprint.
    pub(crate) fn fingerprint(&self) -> u64 {
        hash(&(self.untold, self.sum, &self.set.use_))
    }
}

fn total(set: &PermitSet, numbers: &[Range<u32>]) -> u64 {
    let by_code: Vec<u64> = (0..set.codes_end())
        .map(|code| verdict(set, code))
        .collect();
    let untold = verdict(set, set.untold);
    let stretches = numbers.iter().flat_map(|range| {
        let end = range.end;
        let starts = range.clone().step_by(STRETCH as usize);
        starts.map(move |start| start..end.min(start.saturating_add(STRETCH)))
    });
    let of_stretch = |stretch: Range<u32>| -> u64 {
        let subjects = set.numbers.subjects();
        let subject = |number: u32| subjects.get(usize::try_from(number).ok()?).copied();
        let of = |number: u32| -> Option<u64> {
            let member = set.member_number(number)?;
            let verdict = by_code.get(usize::from(set.code(number))).copied()?;
            let is_stranger = member == number && verdict == untold;
            (!is_stranger).then(|| hash_of(subject(number), verdict, subject(member)))
        };
        stretch.filter_map(of).fold(0, u64::wrapping_add)
    };
    stretches.map(of_stretch).fold(0, u64::wrapping_add)
}

fn hash_of(subject: Option<SubjectId>, verdict: u64, member: Option<SubjectId>) -> u64 {
    let bytes = |id: Option<SubjectId>| id.map(|id| *id.as_bytes());
    hash(&(bytes(subject), verdict, bytes(member)))
}

/// By what it says, not by its code, which is this process's own.
fn verdict(set: &PermitSet, code: u16) -> u64 {
    let says: Result<_, Reason> = set.says(code);
    hash(&says)
}

fn hash(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}
