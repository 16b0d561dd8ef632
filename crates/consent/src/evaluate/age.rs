//! Children under fourteen (rule R13, art. 31).

use crate::calendar::{Calendar, Day};
use crate::fact::{Fact, FactKind};
use crate::ids::SubjectId;
use crate::time::Timestamp;

use super::record::Record;
use super::supersede::supersedes;

/// When people stop being children: the start of the day after the fourteenth birthday.
///
/// The PIPL has no transition rule; this is the conservative reading.
pub(super) fn turns_fourteen(calendar: Calendar, born: Day) -> Timestamp {
    calendar.start_of(born.birthday(14).plus_days(1))
}

/// What is known of a subject's age at an instant.
#[derive(Default)]
pub(super) struct Age {
    /// When the subject stops being a child, by the oldest of its own birth dates that stand.
    own: Option<Timestamp>,
    /// When the person does, by the youngest that stands of all its subjects.
    youngest: Option<Timestamp>,
}

/// How a grant counts in view of the subject's age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It counts.
    Counts,
    /// It counted while the subject was a child, and does no longer.
    Outgrown,
    /// It never counted, or cannot now.
    Absent,
}

impl Age {
    pub(super) fn of(record: &Record<'_>, calendar: Calendar) -> Self {
        let mut age = Self::default();
        for (fact, born) in record.known().filter_map(birth_date) {
            if is_superseded(record, fact) {
                continue;
            }
            let end = turns_fourteen(calendar, born);
            age.youngest = age.youngest.max(Some(end));
            if fact.subject == record.subject {
                age.own = Some(age.own.map_or(end, |own| own.min(end)));
            }
        }
        age
    }

    /// Whether the person is a child at `at`, as far as is known.
    pub(super) fn is_child(&self, at: Timestamp) -> bool {
        self.youngest.is_some_and(|end| at < end)
    }

    /// Whether the subject's own birth date is known. A linked subject's can only make the
    /// person younger: it proves nothing in the subject's favour, or a link would widen.
    pub(super) fn is_known(&self) -> bool {
        self.own.is_some()
    }

    /// How a grant of the person (not of a guardian) counts.
    pub(super) fn of_own_grant(&self, grant: &Fact, at: Timestamp) -> Standing {
        if self.is_child(at) {
            Standing::Absent
        } else if self.is_child(grant.time()) {
            Standing::Outgrown
        } else {
            Standing::Counts
        }
    }

    /// How a grant of a guardian counts. It must rest on the subject's own birth date.
    pub(super) fn of_guardian_grant(&self, grant: &Fact, at: Timestamp) -> Standing {
        match self.own {
            Some(end) if grant.time() >= end => Standing::Absent,
            Some(end) if at < end => Standing::Counts,
            // The subject has turned fourteen, but another birth date says the person has not:
            // nobody's grant counts.
            Some(_) if self.is_child(at) => Standing::Absent,
            Some(_) => Standing::Outgrown,
            None => Standing::Absent,
        }
    }
}

/// The fact with its birth date, if it is one.
fn birth_date(fact: &Fact) -> Option<(&Fact, Day)> {
    let FactKind::BirthDate(day) = fact.kind else {
        return None;
    };
    Some((fact, day))
}

/// Whether a birth date was corrected: by another one of its subject, later in both ways (R3).
fn is_superseded(record: &Record<'_>, told: &Fact) -> bool {
    let mut told_of_subject = record
        .known()
        .filter_map(birth_date)
        .filter(|(other, _)| other.subject == told.subject);
    told_of_subject.any(|(other, _)| supersedes(other, told))
}

/// Whether `guardian` was the subject's guardian when `grant` was received.
///
/// A guardianship counts when we surely knew of it by then. It had ended by then if an end known
/// now says so, even one that reached us later, or if we surely knew of the end by then; unless the
/// guardianship was started anew after it.
pub(super) fn was_guardian(record: &Record<'_>, guardian: SubjectId, grant: &Fact) -> bool {
    let ended = |start: &Fact| {
        record.own().any(|fact| {
            matches!(fact.kind, FactKind::GuardianshipEnded { guardian: g } if g == guardian)
                && (fact.time() <= grant.received_at || fact.order < grant.order)
                && !supersedes(start, fact)
        })
    };
    record.own().any(|fact| {
        matches!(fact.kind, FactKind::GuardianshipStarted { guardian: g } if g == guardian)
            && fact.had_been_received_with(grant)
            && !ended(fact)
    })
}
