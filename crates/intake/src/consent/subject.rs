//! Whom a decision or fact is about.

use assent_consent::Namespace;
use assent_event::Identifier;
use assent_programme::{RegistryState, is_direct_identifier};
use serde_json::Value;

use crate::outcome::{Code, Rejected, Warning, WarningCode};
use crate::planned::Context;
use crate::text::{self, Object};

/// Namespaces that begin so are the program's own.
const RESERVED: &str = "assent_";

/// The namespace of the subjects under whose keys rejected bodies are sealed.
pub(crate) const RESERVED_NAMESPACE: &str = "assent_rejects";

/// The identifiers of an object, and how many could not be read.
#[derive(Default)]
pub(super) struct Named {
    pub(super) identifiers: Vec<Identifier>,
    pub(super) unreadable: usize,
}

/// Reads `subject` and `identifiers`.
pub(super) fn read(cx: &Context<'_>, object: &Object) -> Named {
    let mut named = Named::default();
    for field in ["subject", "identifiers"] {
        match text::field(object, field) {
            None => {}
            Some(Value::Array(list)) => list.iter().for_each(|entry| named.entry(cx, entry)),
            Some(entry) => named.entry(cx, entry),
        }
    }
    named.identifiers.sort();
    named.identifiers.dedup();
    named
}

/// Reads the one person that a field names.
pub(super) fn one(cx: &Context<'_>, object: &Object, field: &str) -> Result<Identifier, Rejected> {
    let mut named = Named::default();
    if let Some(entry) = text::field(object, field) {
        named.entry(cx, entry);
    }
    match (named.identifiers.pop(), named.identifiers.is_empty()) {
        (Some(identifier), true) if named.unreadable == 0 => Ok(identifier),
        (_, _) => Err(Rejected::new(
            Code::SubjectMissing,
            format!("/{field}"),
            format!("{field} does not name one person"),
            format!(
                "send {field}: {{\"namespace\": \"value\"}} with one entry, the value a string"
            ),
        )),
    }
}

/// Refuses an object that names nobody.
pub(super) fn nobody() -> Rejected {
    Rejected::new(
        Code::SubjectMissing,
        "/subject",
        "no identifier of a person can be read",
        "send subject: {\"namespace\": \"value\"}, the namespace a name of [a-z][a-z0-9_]*, the value a \
         string",
    )
}

/// Whether some source of the programme writes identifiers of this namespace, or may: an address is one
/// whatever is declared.
pub(crate) fn is_known(registry: &RegistryState, namespace: &Namespace) -> bool {
    let may = is_direct_identifier(namespace.as_str());
    may || registry.sources().any(|source| {
        source.namespaces.user_id == *namespace
            || source.namespaces.anonymous_id == *namespace
            || source.identifiers.values().any(|known| known == namespace)
    })
}

impl Named {
    /// Leaves out what is more than this, and tells of whoever was left out.
    pub(super) fn keep_at_most(&mut self, most: usize) -> Option<Warning> {
        self.unreadable += self.identifiers.len().saturating_sub(most);
        self.identifiers.truncate(most);
        (self.unreadable > 0).then(|| {
            Warning::new(
                WarningCode::IdentifierIgnored,
                "/subject",
                format!(
                    "an identifier could not be read, or there are more than {most}; the others were \
                     recorded"
                ),
            )
        })
    }

    fn entry(&mut self, cx: &Context<'_>, entry: &Value) {
        let Some(object) = entry.as_object() else {
            self.unreadable += 1;
            return;
        };
        if object.len() == 2
            && let Some(Value::String(namespace)) = object.get("namespace")
            && let Some(value) = object.get("value")
        {
            self.put(cx, namespace, value);
            return;
        }
        if object.is_empty() {
            self.unreadable += 1;
        }
        for (namespace, value) in object {
            self.put(cx, namespace, value);
        }
    }

    fn put(&mut self, cx: &Context<'_>, namespace: &str, value: &Value) {
        let namespace = Namespace::parse(namespace)
            .ok()
            .filter(|namespace| !namespace.as_str().starts_with(RESERVED));
        let read = namespace.zip(text::exact(value));
        match read.and_then(|(namespace, value)| cx.identifier(&namespace, value)) {
            Some(identifier) => self.identifiers.push(identifier),
            None => self.unreadable += 1,
        }
    }
}
