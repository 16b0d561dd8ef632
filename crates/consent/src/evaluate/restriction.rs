//! What denies every purpose and basis: erasure and restriction (rules R5, R6).

use crate::fact::{Fact, FactKind};
use crate::slug::PurposeId;

use super::record::{Lineage, Record, latest};
use super::supersede::supersedes;

/// R5, art. 47: an erasure of any subject of the person. Nothing supersedes it.
pub(super) fn erasure<'a>(record: &Record<'a>) -> Option<&'a Fact> {
    latest(
        record
            .known()
            .filter(|fact| matches!(fact.kind, FactKind::Erased)),
    )
}

/// R6, art. 44 and 47: a restriction that stands and reaches the purpose.
pub(super) fn restriction<'a>(record: &Record<'a>, lineage: &Lineage<'_>) -> Option<&'a Fact> {
    latest(record.known().filter(|fact| {
        let FactKind::Restricted { purpose } = &fact.kind else {
            return false;
        };
        purpose.as_ref().is_none_or(|p| lineage.includes(p))
            && !lifted(record, fact, purpose.as_ref())
    }))
}

/// A lifting reaches restrictions of its own subject only: it carries no proof that the person
/// behind a linked subject asked for it (R3).
fn lifted(record: &Record<'_>, restriction: &Fact, restricted: Option<&PurposeId>) -> bool {
    record.known().any(|fact| {
        let FactKind::RestrictionLifted { purpose } = &fact.kind else {
            return false;
        };
        let reaches = purpose.is_none() || purpose.as_ref() == restricted;
        reaches && fact.subject == restriction.subject && supersedes(fact, restriction)
    })
}
