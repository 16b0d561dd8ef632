//! The form a grant counts as (rule R8; art. 14, 23, 29, 31).

use crate::basis::ConsentForm;
use crate::decision::{Decision, DecisionState};
use crate::fact::Fact;

use super::case::Case;

/// Whether a grant counts as separate consent: it was given in such a form, by an indication of
/// its own that indicates nothing else.
pub(super) fn is_separate(case: &Case<'_>, fact: &Fact, decision: &Decision) -> bool {
    match decision.form {
        ConsentForm::General => false,
        ConsentForm::Separate | ConsentForm::Written | ConsentForm::Guardian => decision
            .indication
            .as_deref()
            .filter(|indication| !indication.trim().is_empty())
            .is_some_and(|indication| !is_bundled(case, fact, decision, indication)),
    }
}

/// Bundling (law.md §4): one indication cannot satisfy separate consent and anything else. Any
/// other grant of any subject of the person counts, valid or not, if it is for something else.
fn is_bundled(case: &Case<'_>, fact: &Fact, granted: &Decision, indication: &str) -> bool {
    case.record.decisions().any(|(other_fact, other)| {
        other.state == DecisionState::Granted
            && other_fact.id != fact.id
            && other.indication.as_deref() == Some(indication)
            && (other.purpose != granted.purpose
                || other.recipient != granted.recipient
                || other.categories != granted.categories)
    })
}

/// Whether the form suffices for what the purpose asks: general, then separate, then written. A
/// purpose that asks for a guardian's consent is satisfied by that alone.
pub(super) fn suffices(wanted: ConsentForm, given: ConsentForm, is_separate: bool) -> bool {
    match wanted {
        ConsentForm::General => true,
        ConsentForm::Separate => is_separate,
        ConsentForm::Written | ConsentForm::Guardian => is_separate && given == wanted,
    }
}
