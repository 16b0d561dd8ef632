//! What a valid grant covers of a use (rules R9, R11, R14).

use std::collections::BTreeSet;

use crate::decision::Decision;
use crate::fact::Fact;
use crate::notice::{Notice, NoticedPurpose, SensitiveStatement};
use crate::slug::Category;

use super::case::Case;
use super::form::{is_separate, suffices};
use super::grant::Miss;
use super::notices::course;

/// The categories a grant covers, never empty; or how it misses.
pub(super) type Scope<'a> = Result<Vec<&'a Category>, Miss>;

/// What a grant covers: its notice version's statement, narrowed by what the decision names.
///
/// A grant that misses in several ways counts by the farthest of them (R4).
pub(super) fn scope<'a>(
    case: &Case<'a>,
    fact: &Fact,
    decision: &Decision,
    (notice, statement): (&Notice, &NoticedPurpose),
    ended: bool,
) -> Scope<'a> {
    let course = course(case, notice, statement);
    let is_separate = is_separate(case, fact, decision);
    let grant = Shown {
        case,
        decision,
        statement,
        newest: course.newest,
        is_separate,
    };
    let has_form = suffices(case.purpose.form, decision.form, is_separate)
        && (is_separate || case.purpose.recipients.is_empty());
    let categories = grant.categories();
    let misses = [
        (case.purpose.personalises && decision.personalisation == Some(false))
            .then_some(Miss::Personalisation),
        (!has_form).then_some(Miss::Separate),
        course.is_superseded.then_some(Miss::Notice),
        ended.then_some(Miss::Expired),
        grant.channel(),
        grant.recipient(),
        grant.personalisation(),
        categories.as_ref().err().copied(),
    ];
    match misses.into_iter().flatten().max() {
        Some(miss) => Err(miss),
        None => categories,
    }
}

/// A grant with what was shown, for measuring it against a use.
struct Shown<'a, 'b> {
    case: &'b Case<'a>,
    decision: &'b Decision,
    statement: &'b NoticedPurpose,
    /// What the version now in force says, where material versions followed.
    newest: Option<&'a NoticedPurpose>,
    is_separate: bool,
}

impl<'a> Shown<'a, '_> {
    /// R14: what lies outside the notice shown is the newer notice's affair if that reaches it.
    fn outside(&self, reached: impl Fn(&NoticedPurpose) -> bool) -> Miss {
        if self.newest.is_some_and(reached) {
            Miss::Notice
        } else {
            Miss::Scope
        }
    }

    /// The use's channel must be in the notice and be the decision's, if it names one. A use
    /// without a channel is covered only by a grant without one.
    fn channel(&self) -> Option<Miss> {
        match (self.case.channel, &self.decision.channel) {
            (None, None) => None,
            (None, Some(_)) => Some(Miss::Scope),
            (Some(used), Some(granted)) if used != granted => Some(Miss::Scope),
            (Some(used), _) if self.statement.channels.contains(used) => None,
            (Some(used), _) => Some(self.outside(|s| s.channels.contains(used))),
        }
    }

    /// Art. 23: consent to providing data is to one recipient, of whom the notice told.
    fn recipient(&self) -> Option<Miss> {
        if self.case.recipient != self.decision.recipient.as_ref() {
            return Some(Miss::Scope);
        }
        let recipient = self.case.recipient?;
        if self.statement.recipients.contains_key(recipient) {
            None
        } else {
            Some(self.outside(|s| s.recipients.contains_key(recipient)))
        }
    }

    /// Art. 24: a purpose that personalises needs a notice that says so.
    fn personalisation(&self) -> Option<Miss> {
        let is_told = self.statement.personalises || !self.case.purpose.personalises;
        (!is_told).then(|| self.outside(|s| s.personalises))
    }

    fn categories(&self) -> Scope<'a> {
        let covered: Vec<_> = self
            .reached(self.statement)
            .filter(|category| {
                !self.is_sensitive(category)
                    || (self.is_separate
                        && states(self.statement, category)
                        && self.names(category))
            })
            .collect();
        if covered.is_empty() {
            Err(self.missing_categories())
        } else {
            Ok(covered)
        }
    }

    /// Why no category is covered: separate consent would have reached a sensitive one; or only
    /// the notice now in force reaches any; or none does.
    fn missing_categories(&self) -> Miss {
        let told = |statement: &NoticedPurpose| {
            self.reached(statement)
                .any(|category| !self.is_sensitive(category) || states(statement, category))
        };
        if told(self.statement) {
            Miss::Separate
        } else {
            self.outside(told)
        }
    }

    /// The purpose's categories that a statement lists and the decision does not leave out.
    fn reached(&self, statement: &NoticedPurpose) -> impl Iterator<Item = &'a Category> {
        let recipient = self.case.recipient;
        self.case.purpose.categories.iter().filter(move |category| {
            let is_listed = statement.categories.contains(*category)
                || statement.sensitive.contains_key(*category);
            let is_provided = recipient.is_none_or(|recipient| {
                statement
                    .recipients
                    .get(recipient)
                    .is_none_or(|provided| provided.categories.contains(*category))
            });
            is_listed && is_provided && self.admits(category)
        })
    }

    fn is_sensitive(&self, category: &Category) -> bool {
        self.case.purpose.sensitive.contains(category)
    }

    /// Whether the decision names the category or is not limited to categories.
    fn admits(&self, category: &Category) -> bool {
        self.decision.categories.is_none() || self.names(category)
    }

    /// Whether the decision names the category explicitly, as art. 29 asks for sensitive ones.
    fn names(&self, category: &Category) -> bool {
        self.decision
            .categories
            .as_ref()
            .is_some_and(|named: &BTreeSet<Category>| named.contains(category))
    }
}

/// Whether a notice states necessity and impact of a sensitive category (art. 30).
fn states(statement: &NoticedPurpose, category: &Category) -> bool {
    statement
        .sensitive
        .get(category)
        .is_some_and(|SensitiveStatement { necessity, impact }| {
            !necessity.trim().is_empty() && !impact.trim().is_empty()
        })
}
