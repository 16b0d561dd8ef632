//! Names of events that nothing in the programme reads: most are slips of the pen.

use std::collections::BTreeSet;

use assent_programme::RegistryState;

use super::mapping::{Do, EventMapping, Field, Mapping};
use crate::text;
use crate::tracking;

/// The names of events that a mapping writes and no trait of the programme reads, and those that traits
/// read. A name that a column tells is not looked at, unless its `map` or `default` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// What nothing reads, by name; not empty.
    pub events: Vec<String>,
    /// What traits read, by name.
    pub read: Vec<String>,
}

/// Holds the names of a mapping's events against the traits; `None` when each is read.
#[must_use]
pub fn unread(mapping: &Mapping, registry: &RegistryState) -> Option<Unread> {
    let derived = registry.traits().derived.iter();
    let read: BTreeSet<String> = derived.map(|derived| derived.event.clone()).collect();
    let events: BTreeSet<String> = (mapping.raw.events.iter())
        .flat_map(|event| names(&event.value))
        .filter(|name| !read.contains(name) && !tracking::is_read_by_intake(name))
        .collect();
    (!events.is_empty()).then(|| Unread {
        events: events.into_iter().collect(),
        read: read.into_iter().collect(),
    })
}

/// The names that a tracked event can have, as far as the mapping says them.
fn names(event: &EventMapping) -> Vec<String> {
    let said = match event.event.as_ref().map(|field| &field.value) {
        Some(_) if event.what != Do::Track => Vec::new(),
        None => Vec::new(),
        Some(Field::Constant(name)) => vec![name],
        Some(Field::Column(field)) => {
            let listed = field.map.iter().flat_map(|map| map.values());
            let all = listed.chain(&field.default);
            all.map(|constant| &constant.value.0).collect()
        }
    };
    said.into_iter().filter_map(text::plain).collect()
}
