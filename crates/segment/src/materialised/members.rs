//! Whom a run found, as bitmaps over the numbers that subjects have in this process, and who of them still stands.
//!
//! A member stands as long as each subject that was read for it is lawful for all that it was lawful for then, and is
//! still that member's: what a run found out rests on nothing else.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use assent_consent::{Category, SubjectId};
use assent_permit::{Permit, PermitSet};
use roaring::RoaringBitmap;

use super::step::Basis;
use crate::error::Result;
use crate::session::refused;

/// The members of one run.
#[derive(Debug)]
pub(crate) struct RunMembers {
    members: RoaringBitmap,
    /// The subjects that were read, by what they were lawful for.
    bases: Vec<(BTreeSet<Category>, RoaringBitmap)>,
    /// Of subjects that are not a member themselves: whose.
    linked: HashMap<u32, u32>,
    known: Mutex<Known>,
}

/// The subjects on whom the run can rest no longer, as of the set that was asked about last.
#[derive(Debug, Default)]
struct Known {
    asked: Option<Arc<PermitSet>>,
    fallen: RoaringBitmap,
}

impl RunMembers {
    /// Gives everybody a number who has none yet: of whom nothing is known here nobody can say later that they may stay.
    ///
    /// # Errors
    /// As [`Permit::introduce`].
    pub(crate) fn numbered(bases: &[Basis], permit: &Permit) -> Result<Self> {
        let mut all: Vec<SubjectId> = Vec::new();
        for basis in bases {
            all.extend(&basis.alone);
            all.extend(basis.linked.iter().flat_map(|(one, member)| [one, member]));
        }
        permit.introduce(&all).map_err(|error| refused(&error))?;
        let number = |subject: &SubjectId| permit.number_of(subject);
        let mut made = Self {
            members: RoaringBitmap::new(),
            bases: Vec::with_capacity(bases.len()),
            linked: HashMap::new(),
            known: Mutex::default(),
        };
        for basis in bases {
            let mut subjects = ascending(basis.alone.iter().filter_map(number));
            made.members |= &subjects;
            for (subject, member) in &basis.linked {
                if let (Some(subject), Some(member)) = (number(subject), number(member)) {
                    subjects.insert(subject);
                    made.members.insert(member);
                    made.linked.insert(subject, member);
                }
            }
            made.bases.push((basis.covers.clone(), subjects));
        }
        Ok(made)
    }

    /// Everybody the run found.
    pub(crate) fn all(&self) -> &RoaringBitmap {
        &self.members
    }

    fn member_of(&self, subject: u32) -> u32 {
        self.linked.get(&subject).copied().unwrap_or(subject)
    }

    /// Members who do not stand any more, as of this set of the run's own use. Looks at those only whose verdict may have
    /// changed since it was asked last.
    pub(crate) fn fallen(&self, set: &Arc<PermitSet>) -> Fallen {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = match &known.asked {
            Some(asked) => set.changed_since(asked),
            None => std::iter::once(0..u32::MAX).collect(),
        };
        let bases = self.bases.iter();
        let bases: Vec<_> = bases
            .map(|(covers, subjects)| (set.mask_of_all(covers), subjects))
            .collect();
        for range in changed {
            known.fallen.remove_range(range.clone());
            for (mask, subjects) in &bases {
                let gone = subjects.range(range.clone()).filter(|subject| {
                    !mask.covers(set.code(*subject)) || self.has_moved(*subject, set)
                });
                known.fallen |= ascending(gone);
            }
        }
        known.asked = Some(Arc::clone(set));
        let moved = known.fallen.iter().filter(|one| self.has_moved(*one, set));
        let by_identity = ascending(moved.map(|one| self.member_of(one)));
        let members = match self.linked.is_empty() {
            true => known.fallen.clone(),
            false => ascending(known.fallen.iter().map(|one| self.member_of(one))),
        };
        Fallen {
            by_consent: members - &by_identity,
            by_identity,
        }
    }

    /// Whether the subject is another member's now.
    fn has_moved(&self, subject: u32, set: &PermitSet) -> bool {
        set.member_number(subject) != Some(self.member_of(subject))
    }
}

/// Members who do not stand any more, by number.
#[derive(Debug, Default)]
pub(crate) struct Fallen {
    /// No longer lawful for all that the run rested on.
    pub(crate) by_consent: RoaringBitmap,
    /// Another member since, whatever else.
    pub(crate) by_identity: RoaringBitmap,
}

impl Fallen {
    pub(crate) fn all(&self) -> RoaringBitmap {
        &self.by_consent | &self.by_identity
    }
}

/// A bitmap of numbers in any order.
pub(crate) fn ascending(numbers: impl Iterator<Item = u32>) -> RoaringBitmap {
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort_unstable();
    numbers.into_iter().collect()
}
