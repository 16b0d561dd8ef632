//! What only the whole programme shows: names that lead nowhere, bases that do not carry what is done,
//! notices that say too little or too much.
//!
//! Everything here is lawfulness or a slip that would make a definition silently without effect; matters
//! of taste are no faults. Articles are of the PIPL unless another law is named.

mod notices;
mod purposes;
mod segments;
mod sources;
mod traits;

use std::collections::{BTreeMap, BTreeSet};

use assent_consent::{Category, Notice, NoticeId, NoticedPurpose, PurposeId};
use assent_event::schema;

use crate::definition::DefinitionKind;
use crate::fault::Fault;
use crate::programme::Programme;
use crate::read::Unread;

/// Categories that art. 28 names. Whatever holds them is sensitive, declared or not.
const SENSITIVE: &[&str] = &[
    "biometric",
    "religion",
    "specific_identity",
    "health",
    "medical",
    "financial_account",
    "whereabouts",
];

/// Checks a programme as a whole.
pub(crate) fn whole(programme: &Programme, unread: &Unread, faults: &mut Vec<Fault>) {
    let found_reading = faults.len();
    let mut check = Check {
        programme,
        unread,
        found_reading,
        faults,
    };
    purposes::check(&mut check);
    notices::check(&mut check);
    segments::check(&mut check);
    traits::check(&mut check);
    sources::check(&mut check);
}

/// The programme under check and what was found.
struct Check<'a> {
    programme: &'a Programme,
    unread: &'a Unread,
    /// How many of the faults come from reading.
    found_reading: usize,
    faults: &'a mut Vec<Fault>,
}

impl<'a> Check<'a> {
    fn add(
        &mut self,
        kind: DefinitionKind,
        name: &str,
        path: &[&str],
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let fault = self.programme.origins.fault(kind, name, path, message, fix);
        self.faults.push(fault);
    }

    /// What the notices, in any version, say of a purpose.
    fn statements(&self, purpose: &PurposeId) -> Vec<&'a NoticedPurpose> {
        let notices = self.programme.notices.values();
        notices.filter_map(|n| n.purposes.get(purpose)).collect()
    }

    /// The newest version of each notice.
    fn newest(&self) -> BTreeMap<&'a NoticeId, &'a Notice> {
        // In the order of versions, so that the last one stays.
        self.programme
            .notices
            .values()
            .map(|n| (&n.id, n))
            .collect()
    }

    /// Every category that some data is of: fields of events, traits, sensitive properties; and those that the law
    /// names. `None` when a file that may declare more could not be read.
    fn categories(&self) -> Option<BTreeSet<String>> {
        let declaring = ["traits.yaml", "sources.yaml"];
        let mut reading = self.faults[..self.found_reading].iter();
        if reading.any(|fault| declaring.contains(&fault.file.as_str())) {
            return None;
        }
        let of_events = schema::fields().into_iter().map(|field| field.category);
        let mut known: BTreeSet<String> = of_events.filter(|name| name != "none").collect();
        known.extend(SENSITIVE.iter().map(|&name| name.to_owned()));
        let Programme {
            traits, sources, ..
        } = self.programme;
        let identified = traits.identified.iter().map(|of| &of.category);
        let derived = traits.derived.iter().map(|of| &of.category);
        let properties = sources.iter().flat_map(|s| s.sensitive_properties.values());
        let declared = identified.chain(derived).chain(properties);
        known.extend(declared.map(ToString::to_string));
        Some(known)
    }

    /// Where a sensitive category comes from, if it is one: the law, a trait or a source's property.
    fn why_sensitive(&self, category: &Category) -> Option<String> {
        if is_sensitive(category) {
            return Some("art. 28 names it".to_owned());
        }
        let Programme {
            traits, sources, ..
        } = self.programme;
        let identified = traits
            .identified
            .iter()
            .map(|t| (&t.name, t.sensitive, &t.category));
        let derived = traits
            .derived
            .iter()
            .map(|t| (&t.name, t.sensitive, &t.category));
        let mut of_traits = identified.chain(derived);
        if let Some((name, ..)) = of_traits.find(|(_, sensitive, c)| *sensitive && *c == category) {
            return Some(format!("the trait {name} declares it"));
        }
        sources.iter().find_map(|source| {
            let (property, _) = source
                .sensitive_properties
                .iter()
                .find(|(_, c)| *c == category)?;
            Some(format!(
                "the property {property} of source {} declares it",
                source.id
            ))
        })
    }
}

fn is_sensitive(category: &Category) -> bool {
    SENSITIVE.contains(&category.as_str())
}

/// Names, for messages.
fn listed<'n, T: std::fmt::Display + 'n>(names: impl IntoIterator<Item = &'n T>) -> String {
    let names: Vec<String> = names.into_iter().map(ToString::to_string).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}
