//! What is permitted for one use at one instant: an immutable snapshot that queries hold.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use assent_consent::{Category, Coverage, Reason, SubjectId, Timestamp, Use};
use assent_journal::Checkpoint;
use parking_lot::RwLockReadGuard;

use crate::chunked::Chunked;
use crate::history::index;
use crate::numbers::Numbers;

/// A verdict in two bytes: below [`FIRST_COVERAGE`] the reason of a denial, above it the place of a
/// coverage in the set's table.
pub(crate) const FIRST_COVERAGE: u16 = 16;
const _: () = assert!(Reason::ALL.len() <= FIRST_COVERAGE as usize);

/// The subjects permitted for one use, as of one instant and one place in the journal.
///
/// Subjects have numbers that are stable for the life of the process. A subject without a number
/// was never heard of, neither on the consent topic nor as one with a profile, and is denied.
#[derive(Debug)]
pub struct PermitSet {
    /// The use it answers for.
    pub use_: Use,
    /// The instant at which verdicts were given.
    pub at: Timestamp,
    /// What was known: everything before these positions.
    pub position: Checkpoint,
    pub(crate) codes: Chunked<u16>,
    /// The subject with the smallest id in the component, by number; itself where not named.
    pub(crate) members: Chunked<u32>,
    pub(crate) coverages: Arc<Vec<Coverage>>,
    pub(crate) permitted: usize,
    /// The code of whom nothing is known.
    pub(crate) untold: u16,
    pub(crate) numbers: Arc<Numbers>,
}

/// Which verdicts cover one category; made once per column, asked once per row.
#[derive(Debug, Clone)]
pub struct CategoryMask {
    by_code: Vec<bool>,
}

impl CategoryMask {
    /// Whether every lawful verdict of the set covers the category.
    #[must_use]
    pub fn covers_all_lawful(&self) -> bool {
        let lawful = self.by_code.iter().skip(usize::from(FIRST_COVERAGE));
        lawful.copied().all(|covered| covered)
    }

    /// Whether the verdict with this code covers the category.
    #[must_use]
    pub fn covers(&self, code: u16) -> bool {
        self.by_code
            .get(usize::from(code))
            .copied()
            .unwrap_or(false)
    }
}

/// Who belongs to which member.
#[derive(Debug)]
pub struct Members<'a> {
    set: &'a PermitSet,
    subjects: RwLockReadGuard<'a, Vec<SubjectId>>,
}

impl Members<'_> {
    /// As [`PermitSet::member_of`].
    #[must_use]
    pub fn of(&self, number: u32) -> Option<SubjectId> {
        let member = self.set.member_number(number)?;
        self.subjects.get(index(member)).copied()
    }
}

impl PermitSet {
    /// How many subjects it knows; their numbers are `0..len`.
    #[must_use]
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    /// Whether it knows no subject at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.codes.len() == 0
    }

    /// The number of a subject; `None`: never heard of, and so denied.
    #[must_use]
    pub fn number_of(&self, subject: &SubjectId) -> Option<u32> {
        self.numbers.get(subject).filter(|n| self.knows(*n))
    }

    /// The subject of a number.
    #[must_use]
    pub fn subject_of(&self, number: u32) -> Option<SubjectId> {
        self.numbers.subject(number).filter(|_| self.knows(number))
    }

    /// Whether the subject may be used at all; `false` for an unknown number.
    #[must_use]
    pub fn is_permitted(&self, number: u32) -> bool {
        self.code(number) >= FIRST_COVERAGE
    }

    /// What may be used of the subject; `None`: denied.
    #[must_use]
    pub fn coverage(&self, number: u32) -> Option<&Coverage> {
        let place = self.code(number).checked_sub(FIRST_COVERAGE)?;
        self.coverages.get(usize::from(place))
    }

    /// Why the subject is denied; `None`: it is not.
    #[must_use]
    pub fn reason(&self, number: u32) -> Option<Reason> {
        self.says(self.code(number)).err()
    }

    /// What a code stands for.
    pub(crate) fn says(&self, code: u16) -> Result<&Coverage, Reason> {
        let denied = || Reason::ALL.get(usize::from(code)).copied();
        match code.checked_sub(FIRST_COVERAGE) {
            Some(place) => self.coverages.get(usize::from(place)),
            None => None,
        }
        .ok_or_else(|| denied().unwrap_or(Reason::NoDecision))
    }

    /// Codes lie below it.
    pub(crate) fn codes_end(&self) -> u16 {
        let coverages = u16::try_from(self.coverages.len()).unwrap_or(u16::MAX);
        FIRST_COVERAGE.saturating_add(coverages)
    }

    /// The verdict in two bytes, equal for equal verdicts of this set; for [`CategoryMask::covers`]
    /// and for grouping rows. Unknown numbers have the code of `no_decision`.
    #[must_use]
    pub fn code(&self, number: u32) -> u16 {
        usize::try_from(number)
            .ok()
            .and_then(|n| self.codes.get(n))
            .copied()
            .unwrap_or_else(|| code_of(Reason::NoDecision))
    }

    /// Which verdicts of this set cover a category.
    #[must_use]
    pub fn mask(&self, category: &Category) -> CategoryMask {
        self.mask_where(|coverage| coverage.categories.contains(category))
    }

    /// Which verdicts of this set cover all of these categories.
    #[must_use]
    pub fn mask_of_all(&self, categories: &BTreeSet<Category>) -> CategoryMask {
        self.mask_where(|coverage| coverage.categories.is_superset(categories))
    }

    fn mask_where(&self, covers: impl Fn(&Coverage) -> bool) -> CategoryMask {
        let denied = std::iter::repeat_n(false, usize::from(FIRST_COVERAGE));
        let covered = self.coverages.iter().map(covers);
        CategoryMask {
            by_code: denied.chain(covered).collect(),
        }
    }

    /// The member the subject belongs to: the smallest subject id of its component. A subject never
    /// heard of is a member of its own; `None` for a number that is not in the set.
    #[must_use]
    pub fn member_of(&self, number: u32) -> Option<SubjectId> {
        self.numbers.subject(self.member_number(number)?)
    }

    /// For asking [`PermitSet::member_of`] many times in a row: it is not to be held for long, nor while the set is asked
    /// for subjects otherwise, since nobody new is numbered meanwhile.
    #[must_use]
    pub fn members(&self) -> Members<'_> {
        Members {
            set: self,
            subjects: self.numbers.subjects(),
        }
    }

    /// Whether every subject has the same verdict and the same member in both sets, as far as can be told without
    /// looking at each: sets of one use with nothing changed between them share what they are made of.
    #[must_use]
    pub fn is_unchanged_since(&self, other: &Self) -> bool {
        self.codes.shares_all_with(&other.codes) && self.members.shares_all_with(&other.members)
    }

    /// The numbers whose verdict or member may be another than in a set of the same use; all others are known to be as
    /// they were. Takes no time for what both share.
    #[must_use]
    pub fn changed_since(&self, other: &Self) -> Vec<Range<u32>> {
        let known = self.coverages.starts_with(&other.coverages)
            || other.coverages.starts_with(&self.coverages);
        let everybody = self.codes.len().max(other.codes.len());
        let changed = match known {
            true => {
                let mut changed = self.codes.differing(&other.codes);
                changed.extend(self.members.differing(&other.members));
                changed.sort_unstable_by_key(|range| (range.start, range.end));
                changed.dedup();
                changed
            }
            false => std::iter::once(0..everybody).collect(),
        };
        let number = |place| u32::try_from(place).unwrap_or(u32::MAX);
        let ranges = changed.into_iter();
        ranges
            .map(|range| number(range.start)..number(range.end))
            .collect()
    }

    /// As [`PermitSet::member_of`], by number: equal for the subjects of one member.
    #[must_use]
    pub fn member_number(&self, number: u32) -> Option<u32> {
        self.members.get(usize::try_from(number).ok()?).copied()
    }

    /// How many subjects are permitted.
    #[must_use]
    pub fn permitted_len(&self) -> usize {
        self.permitted
    }

    /// How many members are permitted (`None`) or denied, by reason. A member is permitted when any
    /// of its subjects is; else the reason is that of its first subject, by id.
    #[must_use]
    pub fn reason_counts(&self) -> BTreeMap<Option<Reason>, u64> {
        let mut reached = vec![false; self.codes.len()];
        for (code, member) in self.codes.iter().zip(self.members.iter()) {
            if *code >= FIRST_COVERAGE
                && let Some(reached) = reached.get_mut(index(*member))
            {
                *reached = true;
            }
        }
        let mut counts = BTreeMap::new();
        for ((number, member), reached) in (0_u32..).zip(self.members.iter()).zip(reached) {
            if number == *member {
                let reason = if reached { None } else { self.reason(number) };
                *counts.entry(reason).or_insert(0) += 1;
            }
        }
        counts
    }

    fn knows(&self, number: u32) -> bool {
        usize::try_from(number).is_ok_and(|n| n < self.codes.len())
    }
}

/// The code of a denial.
pub(crate) fn code_of(reason: Reason) -> u16 {
    let place = Reason::ALL
        .iter()
        .position(|other| *other == reason)
        .expect("Reason::ALL holds every reason");
    u16::try_from(place).expect("there are fewer reasons than codes")
}
