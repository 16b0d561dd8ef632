//! A restriction that is said again and again is kept twice: when it was first said, and last.
//!
//! A browser's signal, or a sender that repeats itself, would else make a subject's history grow for ever, and with
//! it every verdict about the subject. Of what goes eight bytes stay, by which its message is known again (rule R2). What restricts counts each time it comes (rule R2), but of equal ones of one
//! log, between which nothing widened there, the first and the latest say it all of the present: what supersedes the
//! latest supersedes those before it (R3).
//!
//! Whoever looks back to an instant between the two sees the first only. That can tell of a linked subject that a
//! grant made in between answered it, where a later one, dropped here, was not answered; nobody is in an answer for
//! it, since who is shown is lawful now, too. The log holds all of them.

use assent_consent::{DecisionState, Fact, FactKind};

use crate::history::{History, Place};

impl History {
    /// Takes a fact in, the latest of its log; the one that has nothing more to say then goes.
    pub(crate) fn take(&mut self, fact: Fact, place: Place) {
        if let Some(replaced) = self.replaced_by(&fact) {
            let gone = self.facts.remove(replaced);
            self.places.remove(replaced);
            self.gone.push(beginning(gone.id));
        }
        self.facts.push(fact);
        self.places.push(place);
    }

    /// Whether a fact of this id was taken in, also one that is gone since. Two ids that begin alike can only deny.
    pub(crate) fn has(&self, id: [u8; 16]) -> bool {
        self.facts.iter().any(|one| one.id == id) || self.gone.contains(&beginning(id))
    }

    fn replaced_by(&self, fact: &Fact) -> Option<usize> {
        if !goes_on(&fact.kind) {
            return None;
        }
        // What was taken back since widened all the same: what is kept must not hang on when another log was read.
        let widened = self.brought.iter().map(|(_, order)| *order).max();
        let backwards = self.facts.iter().enumerate().rev();
        let mut run = backwards.filter(|(_, one)| {
            one.kind == fact.kind && widened.is_none_or(|last| one.order > last)
        });
        let (place, latest) = run.next()?;
        let has_first = run.next().is_some();
        let is_later = fact.received_at >= latest.received_at && fact.time() >= latest.time();
        (has_first && is_later).then_some(place)
    }
}

fn beginning(id: [u8; 16]) -> u64 {
    let (first, _) = id.split_first_chunk::<8>().expect("16 is more than 8");
    u64::from_be_bytes(*first)
}

/// Whether it restricts until something supersedes it, however often it was said.
fn goes_on(kind: &FactKind) -> bool {
    match kind {
        FactKind::Decision(decision) => decision.state != DecisionState::Granted,
        FactKind::Restricted { .. } => true,
        FactKind::Linked { .. }
        | FactKind::Unlinked { .. }
        | FactKind::ContractStarted { .. }
        | FactKind::ContractEnded { .. }
        | FactKind::BirthDate(_)
        | FactKind::GuardianshipStarted { .. }
        | FactKind::GuardianshipEnded { .. }
        | FactKind::RestrictionLifted { .. }
        | FactKind::Erased
        | FactKind::PublicSource { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use assent_consent::{Decision, PurposeId, Selector, SubjectId, Timestamp};

    use super::*;
    use crate::messages::Message;

    fn decision(state: DecisionState, purpose: &str) -> FactKind {
        let purpose = PurposeId::parse(purpose).unwrap();
        FactKind::Decision(Decision::new(state, Selector::One(purpose)))
    }

    /// Takes facts of these kinds in, received at these instants and happened at those.
    fn history(told: &[(FactKind, i64, i64)]) -> History {
        let mut history = History::default();
        for (offset, (kind, happened, received)) in (0_u64..).zip(told) {
            let fact = Fact {
                id: [u8::try_from(offset).unwrap(); 16],
                subject: SubjectId::from_bytes([1; 16]),
                event_time: Timestamp::from_micros(*happened),
                received_at: Timestamp::from_micros(*received),
                order: offset,
                kind: kind.clone(),
            };
            if kind.widens() {
                history.brought.push((Message::numbered(offset), offset));
            }
            let partition = 0;
            history.take(fact, Place { partition, offset });
        }
        assert!(
            history
                .facts
                .iter()
                .map(|f| f.order)
                .eq(history.places.iter().map(|p| p.offset))
        );
        history
    }

    fn kept(told: &[(FactKind, i64, i64)]) -> Vec<u64> {
        history(told)
            .places
            .iter()
            .map(|place| place.offset)
            .collect()
    }

    #[test]
    fn of_equal_restrictions_the_first_and_the_latest_are_kept() {
        let (mail, ads) = (
            decision(DecisionState::Refused, "mail"),
            decision(DecisionState::Refused, "ads"),
        );
        let at = |kind: &FactKind, instant| (kind.clone(), instant, instant);
        let whole = history(&[at(&mail, 1), at(&mail, 2), at(&mail, 3)]);
        for id in [0, 1, 2, 9] {
            assert_eq!(whole.has([id; 16]), id < 3, "{id}");
        }
        let both: Vec<_> = (0..200).flat_map(|n| [at(&mail, n), at(&ads, n)]).collect();
        assert_eq!(kept(&both[..20]), [0, 1, 18, 19]);
        assert_eq!(history(&both[..250]).facts.len(), 4);
        let restricted = FactKind::Restricted { purpose: None };
        let again = [at(&restricted, 1), at(&restricted, 2), at(&restricted, 3)];
        assert_eq!(kept(&again), [0, 2]);
    }

    #[test]
    fn what_widened_in_between_begins_anew() {
        let refused = decision(DecisionState::Refused, "mail");
        let granted = decision(DecisionState::Granted, "mail");
        let at = |kind: &FactKind, instant| (kind.clone(), instant, instant);
        let told = [
            at(&refused, 1),
            at(&refused, 2),
            at(&refused, 3),
            at(&granted, 4),
            at(&refused, 5),
            at(&refused, 6),
            at(&refused, 7),
        ];
        assert_eq!(kept(&told), [0, 2, 3, 4, 6]);
    }

    #[test]
    fn what_is_not_later_in_every_respect_or_not_equal_is_kept_besides() {
        let refused = decision(DecisionState::Refused, "mail");
        let withdrawn = decision(DecisionState::Withdrawn, "mail");
        let told = [
            (refused.clone(), 1, 1),
            (refused.clone(), 9, 9),
            // Happened before the latest.
            (refused.clone(), 5, 10),
            // Received by a clock that runs behind.
            (refused, 4, 4),
            (withdrawn.clone(), 11, 11),
            (withdrawn, 12, 12),
        ];
        assert_eq!(kept(&told), [0, 1, 2, 3, 4, 5]);
        let linked = FactKind::Linked {
            other: SubjectId::from_bytes([2; 16]),
        };
        let links: Vec<_> = (0..4).map(|n| (linked.clone(), n, n)).collect();
        assert_eq!(kept(&links), [0, 1, 2, 3]);
    }
}
