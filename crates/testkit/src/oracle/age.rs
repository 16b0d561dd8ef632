//! R13: children under fourteen and their guardians.

use assent_consent::{Day, Fact, FactKind, Purpose, Reason, SubjectId, Timestamp};

use super::grants::Grant;
use super::links::r3_beats;
use super::{Case, r2_had_been_received, r2_time};

/// R13: the birth dates of a subject that no other one of it supersedes.
fn standing_birth_dates(case: &Case<'_>, subject: SubjectId) -> Vec<Day> {
    let mut told = Vec::new();
    for fact in &case.facts {
        if let FactKind::BirthDate(day) = fact.kind
            && fact.subject == subject
        {
            told.push((*fact, day));
        }
    }
    let mut standing = Vec::new();
    for (fact, day) in &told {
        if !told.iter().any(|(other, _)| r3_beats(other, fact)) {
            standing.push(*day);
        }
    }
    standing
}

/// R13: what a guardian may decide is judged by the oldest of the subject's own.
fn oldest_own(case: &Case<'_>) -> Option<Day> {
    standing_birth_dates(case, case.subject).into_iter().min()
}

/// R13: the youngest of the component.
fn youngest(case: &Case<'_>) -> Option<Day> {
    let all = case.component.iter();
    all.flat_map(|subject| standing_birth_dates(case, *subject))
        .max()
}

/// R13: the start of the day after the fourteenth birthday.
fn turning_day(case: &Case<'_>, born: Day) -> Timestamp {
    let calendar = case.registry.calendar();
    calendar.start_of(born.birthday(14).plus_days(1))
}

fn is_under_14(case: &Case<'_>, born: Day) -> bool {
    case.at < turning_day(case, born)
}

/// C16: the youngest of the component decides whether only guardians can grant.
fn member_is_under_14(case: &Case<'_>) -> bool {
    youngest(case).is_some_and(|born| is_under_14(case, born))
}

/// C16: guardian grants count only by the subject's own birth date.
fn subject_is_under_14(case: &Case<'_>) -> bool {
    oldest_own(case).is_some_and(|born| is_under_14(case, born))
}

/// R13, C6: a purpose that requires a known age requires the subject's own.
pub(crate) fn r13_age_is_known(case: &Case<'_>, purpose: &Purpose) -> Result<(), Reason> {
    if purpose.requires_known_age && oldest_own(case).is_none() {
        return Err(Reason::GuardianConsentMissing);
    }
    Ok(())
}

/// R13, C6: under fourteen there must be a valid grant by a guardian.
pub(crate) fn r13_has_guardian_grant(case: &Case<'_>, valid: &[Grant<'_>]) -> Result<(), Reason> {
    if member_is_under_14(case) && valid.is_empty() {
        return Err(Reason::GuardianConsentMissing);
    }
    Ok(())
}

/// What age makes of a grant.
pub(crate) enum ByAge {
    /// It counts.
    Counts,
    /// It is as if absent.
    Absent,
    /// It ended when the subject turned fourteen.
    Ended,
}

/// R13, C16 for a grant that names neither a guardian's form nor a guardian as its actor.
pub(crate) fn r13_own_grant(case: &Case<'_>, grant: &Fact) -> ByAge {
    if member_is_under_14(case) {
        return ByAge::Absent;
    }
    match youngest(case) {
        Some(born) if r2_time(grant) < turning_day(case, born) => ByAge::Ended,
        Some(_) | None => ByAge::Counts,
    }
}

/// R13, C16 for a grant in guardian form by a guardian.
pub(crate) fn r13_guardian_grant(case: &Case<'_>, grant: &Fact, guardian: SubjectId) -> ByAge {
    let Some(born) = oldest_own(case) else {
        return ByAge::Absent;
    };
    if !r13_guardianship(case, grant, guardian) {
        return ByAge::Absent;
    }
    if subject_is_under_14(case) {
        return ByAge::Counts;
    }
    if member_is_under_14(case) || r2_time(grant) >= turning_day(case, born) {
        return ByAge::Absent;
    }
    ByAge::Ended
}

/// R13, C17: a guardianship known when the grant was received, and not ended then by what is
/// known now.
fn r13_guardianship(case: &Case<'_>, grant: &Fact, guardian: SubjectId) -> bool {
    case.facts.iter().any(|start| {
        let started = start.subject == case.subject
            && start.kind == FactKind::GuardianshipStarted { guardian }
            && r2_had_been_received(start, grant);
        let ended = case.facts.iter().any(|end| {
            end.subject == case.subject
                && end.kind == FactKind::GuardianshipEnded { guardian }
                && (r2_time(end) <= grant.received_at || end.order < grant.order)
                && !r3_beats(start, end)
        });
        started && !ended
    })
}
