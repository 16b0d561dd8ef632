//! Until when a verdict holds without new facts (rule R17).
//!
//! Everything in the rules that depends on the instant of evaluation, besides the facts known,
//! is listed here: what is left out would make a verdict stale. Too early costs an evaluation,
//! too late would be unlawful.

use crate::basis::LegalBasis;
use crate::decision::Decision;
use crate::fact::{Fact, FactKind};
use crate::ids::SubjectId;
use crate::slug::PurposeId;
use crate::time::Timestamp;

use super::age::turns_fourteen;
use super::case::Case;
use super::grant::{expiry, granted_purpose};
use super::record::Record;

/// The earliest of several instants after a given one.
struct Horizon {
    after: Timestamp,
    next: Option<Timestamp>,
}

impl Horizon {
    fn consider(&mut self, instant: Timestamp) {
        if instant > self.after && self.next.is_none_or(|next| instant < next) {
            self.next = Some(instant);
        }
    }
}

/// When the next fact of the history becomes known. Nothing else changes an erasure, a
/// restriction or the denial of a purpose that is not registered.
pub(super) fn next_receipt(record: &Record<'_>) -> Option<Timestamp> {
    receipts(record).next
}

fn receipts(record: &Record<'_>) -> Horizon {
    let mut horizon = Horizon {
        after: record.at,
        next: None,
    };
    for fact in record.history() {
        horizon.consider(fact.received_at);
    }
    horizon
}

/// When the verdict of a case could change next.
pub(super) fn reconsider_at(case: &Case<'_>) -> Option<Timestamp> {
    let mut horizon = receipts(case.record);
    for fact in case.record.known() {
        fact_changes(case, fact, &mut horizon);
    }
    if case.purpose.basis != LegalBasis::Consent {
        for versions in case.registry.notices_by_id() {
            let lists = |id: &PurposeId| versions.values().any(|n| n.purposes.contains_key(id));
            if lists(&case.purpose.id) {
                for notice in versions.values() {
                    horizon.consider(notice.effective_from);
                }
            }
        }
    }
    horizon.next
}

fn fact_changes(case: &Case<'_>, fact: &Fact, horizon: &mut Horizon) {
    let is_own = |subject: SubjectId| subject == case.record.subject;
    match &fact.kind {
        FactKind::Decision(decision) if is_own(fact.subject) => {
            grant_changes(case, fact, decision, horizon);
        }
        FactKind::ContractStarted { starts_at, .. } if is_own(fact.subject) => {
            horizon.consider(*starts_at);
        }
        FactKind::ContractEnded { ends_at, .. } if is_own(fact.subject) => {
            horizon.consider(*ends_at);
        }
        FactKind::BirthDate(born) => {
            horizon.consider(turns_fourteen(case.registry.calendar(), *born));
        }
        FactKind::Decision(_)
        | FactKind::ContractStarted { .. }
        | FactKind::ContractEnded { .. }
        | FactKind::Linked { .. }
        | FactKind::Unlinked { .. }
        | FactKind::GuardianshipStarted { .. }
        | FactKind::GuardianshipEnded { .. }
        | FactKind::Restricted { .. }
        | FactKind::RestrictionLifted { .. }
        | FactKind::Erased
        | FactKind::PublicSource { .. } => {}
    }
}

/// A grant changes when it ends and when another version of its notice comes into force.
fn grant_changes(case: &Case<'_>, fact: &Fact, decision: &Decision, horizon: &mut Horizon) {
    let Some(purpose) = granted_purpose(case, decision) else {
        return;
    };
    if let Some(end) = expiry(case, fact, decision, purpose) {
        horizon.consider(end);
    }
    if let Some(notice) = &decision.notice {
        for version in case.registry.versions(&notice.id) {
            horizon.consider(version.effective_from);
        }
    }
}
