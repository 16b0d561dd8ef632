//! A verdict in the making, with the fact that made it.

use std::collections::BTreeSet;

use crate::fact::Fact;
use crate::slug::Category;
use crate::verdict::{Coverage, Reason, Verdict};

/// A verdict and the fact that made it, where one did.
pub(super) struct Outcome<'a> {
    pub(super) verdict: Verdict,
    pub(super) by: Option<&'a Fact>,
}

impl<'a> Outcome<'a> {
    pub(super) fn denied(reason: Reason, by: Option<&'a Fact>) -> Self {
        Self {
            verdict: Verdict::Denied(reason),
            by,
        }
    }

    /// Lawful for `categories`. A coverage of nothing is none: it is denied (I5).
    pub(super) fn lawful(categories: BTreeSet<Category>, by: Option<&'a Fact>) -> Self {
        if categories.is_empty() {
            return Self::denied(Reason::ScopeNotCovered, by);
        }
        Self {
            verdict: Verdict::Lawful(Coverage { categories }),
            by,
        }
    }
}
