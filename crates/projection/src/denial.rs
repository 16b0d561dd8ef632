//! What was refused when it happened: the purposes an event's own stamp denies, kept beside what was folded from it.
//!
//! A verdict is about a subject and the present; a stamp is about one event and for ever. So rows that say something of
//! events with different stamps are never merged on disk: each row of `members` and `events` carries the stamp of all it
//! was folded from, and a reader leaves out the rows denied for its purpose before it merges the others. What is known of
//! a member then is what would be known had those events never been sent.

use std::collections::BTreeSet;

use assent_consent::PurposeId;
use assent_event::Behaviour;

/// Name of the column, in `members` and `events`. No trait is called so, since no name starts with `_`.
pub const DENIED: &str = "__denied";

/// Stands for every purpose, where a stamp names something that is none: what cannot be read denies (I5).
const EVERYTHING: &str = "*";

/// The text of a row folded from that behaviour: the purposes, ascending, with a space between; empty if none is denied.
pub(crate) fn text(behaviour: &Behaviour) -> String {
    let denied = behaviour.clear.denied_purposes.iter().flatten();
    let purposes: BTreeSet<&str> = denied.map(String::as_str).collect();
    if purposes
        .iter()
        .any(|purpose| PurposeId::parse(purpose).is_err())
    {
        return EVERYTHING.to_owned();
    }
    purposes.into_iter().collect::<Vec<_>>().join(" ")
}

/// Whether a row with that text in [`DENIED`] must not be used for a purpose: the text names the purpose or one of its
/// ancestors, all of which stand in `lineage` (see [`assent_consent::Registry::lineage`]).
#[must_use]
pub fn denies(text: &str, lineage: &[&PurposeId]) -> bool {
    text.split(' ').any(|denied| {
        denied == EVERYTHING || lineage.iter().any(|purpose| purpose.as_str() == denied)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purpose(name: &str) -> PurposeId {
        PurposeId::parse(name).unwrap()
    }

    #[test]
    fn a_stamp_denies_what_it_names_and_its_parts() {
        let (part, whole, other) = (purpose("email"), purpose("marketing"), purpose("service"));
        let stamped = |names: &[&str]| text(&Behaviour::named("x").denied(names.to_vec()));
        let of_part = [&part, &whole];
        assert_eq!(stamped(&[]), "");
        assert_eq!(stamped(&["marketing", "ads", "ads"]), "ads marketing");
        assert!(denies(&stamped(&["ads", "marketing"]), &of_part));
        assert!(
            !denies(&stamped(&["email"]), &[&whole]),
            "a part leaves the whole"
        );
        assert!(!denies(&stamped(&["marketing"]), &[&other]));
        assert!(!denies(&stamped(&["mark"]), &of_part));
        assert!(!denies(&stamped(&[]), &of_part));
    }

    #[test]
    fn a_stamp_that_names_no_purpose_denies_all_of_them() {
        for unreadable in ["", "Two Words", "*", "marketing "] {
            let text = text(&Behaviour::named("x").denied(["ads", unreadable]));
            assert!(denies(&text, &[&purpose("service")]), "{unreadable:?}");
        }
    }
}
