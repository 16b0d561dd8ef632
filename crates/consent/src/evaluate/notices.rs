//! Which notice version counts (rules R7, R14; art. 14(2), 17, 18).

use crate::notice::{Notice, NoticeChange, NoticedPurpose, RecipientStatement};
use crate::registry::Registry;
use crate::slug::PurposeId;
use crate::time::Timestamp;

use super::case::Case;

/// Whether people are told of the purpose, or need not be (R7): bases other than consent remove
/// consent, never notice.
///
/// The version in force of some notice lists it; or a version that cites an exemption (art. 18)
/// does, in force or not, that no later version in force has replaced.
pub(super) fn is_noticed(registry: &Registry, purpose: &PurposeId, at: Timestamp) -> bool {
    registry.notices_by_id().any(|versions| {
        let in_force = in_force(versions.values(), at);
        let from = in_force.map_or(0, |notice| notice.version);
        in_force.is_some_and(|notice| notice.purposes.contains_key(purpose))
            || versions
                .range(from..)
                .any(|(_, notice)| is_exempt(notice) && notice.purposes.contains_key(purpose))
    })
}

fn is_exempt(notice: &Notice) -> bool {
    notice
        .exemption
        .as_ref()
        .is_some_and(|citation| !citation.trim().is_empty())
}

/// The version in force: the highest of those effective.
fn in_force<'a>(versions: impl Iterator<Item = &'a Notice>, at: Timestamp) -> Option<&'a Notice> {
    versions
        .filter(|notice| notice.effective_from <= at)
        .max_by_key(|notice| notice.version)
}

/// What became of the notice version under which a grant was given.
#[derive(Default)]
pub(super) struct Course<'a> {
    /// A later material version changed what the person decided on: the grant no longer counts.
    pub(super) is_superseded: bool,
    /// What the version in force says of the purpose, if material versions followed.
    pub(super) newest: Option<&'a NoticedPurpose>,
}

/// R14: a grant stands on its own notice version; later material versions never widen it.
pub(super) fn course<'a>(
    case: &Case<'a>,
    granted: &Notice,
    statement: &NoticedPurpose,
) -> Course<'a> {
    let (registry, purpose, at) = (case.registry, case.purpose, case.record.at);
    let followers = || {
        registry.versions(&granted.id).filter(|later| {
            later.version > granted.version
                && later.change == NoticeChange::Material
                && later.effective_from <= at
        })
    };
    if followers().next().is_none() {
        return Course::default();
    }
    Course {
        is_superseded: followers()
            .any(|later| changes_decision(case, statement, later.purposes.get(&purpose.id))),
        newest: in_force(registry.versions(&granted.id), at)
            .and_then(|notice| notice.purposes.get(&purpose.id)),
    }
}

/// Whether a later statement differs in what the person decided on: it is gone, its method is
/// another, it personalises where the old one did not, or the recipient is gone or does otherwise.
fn changes_decision(case: &Case<'_>, old: &NoticedPurpose, later: Option<&NoticedPurpose>) -> bool {
    let becomes_personal = |later: &NoticedPurpose| {
        case.purpose.personalises && later.personalises && !old.personalises
    };
    let changes_recipient = |later: &NoticedPurpose| {
        case.recipient.is_some_and(|recipient| {
            let then = old.recipients.get(recipient);
            then.is_some_and(|then| does_otherwise(then, later.recipients.get(recipient)))
        })
    };
    later.is_none_or(|later| {
        later.method != old.method || becomes_personal(later) || changes_recipient(later)
    })
}

/// Art. 23: consent to providing data is to what the recipient does with it.
fn does_otherwise(then: &RecipientStatement, later: Option<&RecipientStatement>) -> bool {
    later.is_none_or(|later| later.purpose != then.purpose || later.method != then.method)
}
