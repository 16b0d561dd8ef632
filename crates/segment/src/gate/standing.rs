//! Who is lawful, and for which categories: one permit set for the present, and one more when a session looks back.
//!
//! Looking back is a use too: a row must have been lawful at the evaluation time *and* be lawful now, and what was
//! erased since is in no set of the present. A cell must be covered by both.

use std::sync::Arc;

use assent_consent::{Category, SubjectId, Timestamp};
use assent_permit::{CategoryMask, Members, PermitSet};

/// The verdicts a session stands on.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    /// At the evaluation time; it also tells who was linked with whom then.
    at: Arc<PermitSet>,
    /// Now, when the evaluation time is not now.
    now: Option<Arc<PermitSet>>,
}

impl Standing {
    /// Of the present.
    pub(crate) fn live(set: Arc<PermitSet>) -> Self {
        Self { at: set, now: None }
    }

    /// Of an earlier instant, narrowed to what is lawful now.
    pub(crate) fn as_of(at: Arc<PermitSet>, now: Arc<PermitSet>) -> Self {
        Self { at, now: Some(now) }
    }

    /// The evaluation time.
    pub(crate) fn evaluated_at(&self) -> Timestamp {
        self.at.at
    }

    /// The present.
    pub(crate) fn present(&self) -> Timestamp {
        self.now.as_ref().map_or(self.at.at, |now| now.at)
    }

    /// Whether the evaluation time is another than now.
    pub(crate) const fn looks_back(&self) -> bool {
        self.now.is_some()
    }

    /// The set of the evaluation time.
    pub(crate) fn set(&self) -> &PermitSet {
        &self.at
    }

    /// The same, to be kept.
    pub(crate) fn shared(&self) -> Arc<PermitSet> {
        Arc::clone(&self.at)
    }

    /// The set of the present, when the evaluation time is another.
    pub(crate) fn shared_now(&self) -> Option<Arc<PermitSet>> {
        self.now.clone()
    }

    /// The number of a subject; numbers are the same in all sets of a process.
    pub(crate) fn number_of(&self, subject: &SubjectId) -> Option<u32> {
        self.at
            .number_of(subject)
            .or_else(|| self.now.as_ref()?.number_of(subject))
    }

    /// Whether rows of the subject may be read at all.
    pub(crate) fn is_lawful(&self, number: u32) -> bool {
        self.at.is_permitted(number) && self.now.as_ref().is_none_or(|now| now.is_permitted(number))
    }

    /// The number of the member that the subject belongs to; itself when nothing is known of links.
    pub(crate) fn member_number(&self, number: u32) -> u32 {
        self.at.member_number(number).unwrap_or(number)
    }

    /// The id of a member, by the number of any of its subjects.
    pub(crate) fn member_of(&self, number: u32) -> Option<SubjectId> {
        self.at
            .member_of(number)
            .or_else(|| self.at.subject_of(number))
    }

    /// For asking who the members of many subjects are; not to be held while others are asked for.
    pub(crate) fn members(&self) -> Members<'_> {
        self.at.members()
    }

    /// Whether what this one says, but for the instants, is known to be what the other says.
    pub(crate) fn is_unchanged_since(&self, other: &Self) -> bool {
        let now = match (&self.now, &other.now) {
            (None, None) => true,
            (Some(now), Some(other)) => now.is_unchanged_since(other),
            (Some(_), None) | (None, Some(_)) => false,
        };
        now && self.at.is_unchanged_since(&other.at)
    }

    /// Who may be read for a category; made once per column.
    pub(crate) fn cover(&self, category: &Category) -> Cover {
        Cover {
            at: self.at.mask(category),
            now: self.now.as_ref().map(|now| now.mask(category)),
        }
    }

    /// Whether the subject's cells of a category may be read.
    pub(crate) fn covers(&self, cover: &Cover, number: u32) -> bool {
        let then = cover.at.covers(self.at.code(number));
        let today = match (&self.now, &cover.now) {
            (Some(now), Some(mask)) => mask.covers(now.code(number)),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        then && today
    }
}

impl Cover {
    /// Whether it covers everybody who is lawful.
    pub(crate) fn is_for_all_lawful(&self) -> bool {
        let mut masks = std::iter::once(&self.at).chain(&self.now);
        masks.all(CategoryMask::covers_all_lawful)
    }
}

/// The verdicts that cover one category.
#[derive(Debug, Clone)]
pub(crate) struct Cover {
    at: CategoryMask,
    now: Option<CategoryMask>,
}
