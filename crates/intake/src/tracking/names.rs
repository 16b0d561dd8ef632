//! What the names of properties mean to the programme: told once for all events of a request, which repeat them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use assent_programme::alike;

use super::identify::is_identifier;
use crate::planned::Context;

/// What is known of the names of one request, read against one registry.
#[derive(Default)]
pub(crate) struct Names(RefCell<HashMap<String, Meaning>>);

/// What a property of a name is.
#[derive(Clone)]
pub(super) enum Meaning {
    /// A direct identifier.
    Identifier,
    /// Sensitive, as the programme declares it under this spelling.
    Sensitive(Rc<str>),
    /// Nothing of the kind.
    Plain,
}

impl Names {
    pub(super) fn meaning(&self, cx: &Context<'_>, name: &str) -> Meaning {
        if let Some(known) = self.0.borrow().get(name) {
            return known.clone();
        }
        let meaning = if is_identifier(cx, name) {
            Meaning::Identifier
        } else if let Some(declared) = sensitive(cx, name) {
            Meaning::Sensitive(declared.into())
        } else {
            Meaning::Plain
        };
        self.0.borrow_mut().insert(name.to_owned(), meaning.clone());
        meaning
    }
}

/// The name under which a source of the programme declares the property sensitive, or ever did.
fn sensitive<'c>(cx: &Context<'c>, name: &str) -> Option<&'c str> {
    let mut names = std::iter::once(cx.source)
        .chain(cx.registry.sources())
        .chain(cx.registry.source_versions())
        .flat_map(|source| source.sensitive_properties.keys());
    names
        .find(|declared| alike(declared, name))
        .map(String::as_str)
}
