//! Names that never show where they do not belong: identifiers anywhere, and sensitive properties among those of an
//! event that are open to more people.
//!
//! Intake seals sensitive properties apart and leaves identifiers out, each by the declarations of that time. What was
//! declared later, by another source, or in another case would stay in clear in what was folded before, and what is
//! sealed whole holds what lies within; so every name that any source declares, or ever declared, is taken out once more
//! here, at every depth.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use assent_programme::{RegistryState, folded, is_direct_identifier};
use serde_json::{Map, Value};

/// The names, as names are compared.
#[derive(Debug, Default)]
pub(crate) struct Private {
    identifiers: BTreeSet<String>,
    sensitive: BTreeSet<String>,
}

impl Private {
    /// All names that any source declares sensitive or an identifier, or did in a version that is no longer in force.
    pub(crate) fn of(registry: &RegistryState) -> Self {
        let mut private = Self::default();
        for source in registry.source_versions() {
            let identifiers = source.identifiers.keys();
            private.identifiers.extend(identifiers.map(|n| folded(n)));
            let sensitive = source.sensitive_properties.keys();
            private.sensitive.extend(sensitive.map(|n| folded(n)));
        }
        private
    }

    /// Ordinary properties, JSON objects, without those names at any depth; null when nothing is left or it is no
    /// object. `None` when the column is no text.
    pub(super) fn without(&self, cells: &ArrayRef) -> Option<ArrayRef> {
        let texts = cells.as_string_opt::<i32>()?;
        let strip = Strip {
            private: self,
            allowed: &[],
        };
        let kept: StringArray = texts.iter().map(|text| strip.ordinary(text?)).collect();
        Some(Arc::new(kept))
    }

    /// Of sensitive properties, a JSON object, those that are allowed, by their folded names, and within them nothing
    /// that is not; `None` when nothing is left or it is no object.
    pub(super) fn only(&self, text: &str, allowed: &[&str]) -> Option<String> {
        Strip {
            private: self,
            allowed,
        }
        .sensitive(text)
    }
}

/// One pass over a value.
struct Strip<'a> {
    private: &'a Private,
    allowed: &'a [&'a str],
}

impl Strip<'_> {
    fn ordinary(&self, text: &str) -> Option<String> {
        let Value::Object(mut object) = serde_json::from_str(text).ok()? else {
            return None;
        };
        let mut taken = false;
        self.fields(&mut object, &mut taken);
        if !taken {
            return Some(text.to_owned());
        }
        (!object.is_empty()).then(|| Value::Object(object).to_string())
    }

    fn sensitive(&self, text: &str) -> Option<String> {
        let Value::Object(mut object) = serde_json::from_str(text).ok()? else {
            return None;
        };
        object.retain(|name, _| self.allowed.contains(&folded(name).as_str()));
        self.fields(&mut object, &mut false);
        (!object.is_empty()).then(|| Value::Object(object).to_string())
    }

    fn hides(&self, name: &str) -> bool {
        let folded = folded(name);
        is_direct_identifier(name)
            || self.private.identifiers.contains(&folded)
            || (self.private.sensitive.contains(&folded)
                && !self.allowed.contains(&folded.as_str()))
    }

    fn fields(&self, object: &mut Map<String, Value>, taken: &mut bool) {
        let before = object.len();
        object.retain(|name, _| !self.hides(name));
        *taken |= object.len() != before;
        for value in object.values_mut() {
            self.value(value, taken);
        }
    }

    fn value(&self, value: &mut Value, taken: &mut bool) {
        match value {
            Value::Object(object) => self.fields(object, taken),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item, taken)),
            // A value that was an object may have been kept as its text.
            Value::String(text) if text.trim_start().starts_with(['{', '[']) => {
                let mut changed = false;
                if let Ok(mut inner) = serde_json::from_str::<Value>(text) {
                    self.value(&mut inner, &mut changed);
                    if changed {
                        *text = inner.to_string();
                    }
                }
                *taken |= changed;
            }
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn private() -> Private {
        Private {
            identifiers: ["loyalty"].map(str::to_owned).into(),
            sensitive: ["health_form", "fingerprint", "symptom"]
                .map(str::to_owned)
                .into(),
        }
    }

    #[test]
    fn declared_names_go_at_every_depth_and_in_every_case() {
        let private = private();
        let strip = Strip {
            private: &private,
            allowed: &[],
        };
        for (text, left) in [
            (r#"{"page": 1}"#, Some(r#"{"page": 1}"#)),
            (r#"{" Symptom":"x","page":1}"#, Some(r#"{"page":1}"#)),
            (r#"{"SYMPTOM":"x"}"#, None),
            (r#"{"Loyalty":"x","workEmail":"x"}"#, None),
            (
                r#"{"a":{"b":[{"eMail":"x","c":2}]}}"#,
                Some(r#"{"a":{"b":[{"c":2}]}}"#),
            ),
            (
                r#"{"a":"{\"email\":\"x\",\"c\":2}"}"#,
                Some(r#"{"a":"{\"c\":2}"}"#),
            ),
            (r#"["email"]"#, None),
            ("no json", None),
        ] {
            assert_eq!(strip.ordinary(text).as_deref(), left, "{text}");
        }
    }

    #[test]
    fn within_what_is_allowed_only_the_allowed_shows() {
        let private = private();
        for (text, allowed, left) in [
            (
                r#"{"health_form":{"fingerprint":"x","pulse":60},"symptom":"y"}"#,
                &["health_form"][..],
                Some(r#"{"health_form":{"pulse":60}}"#),
            ),
            (
                r#"{"health_form":{"fingerprint":"x","pulse":60}}"#,
                &["health_form", "fingerprint"],
                Some(r#"{"health_form":{"fingerprint":"x","pulse":60}}"#),
            ),
            (
                r#"{"health_form":[{"phone":"x"},{"Loyalty":"x"},"{\"Fingerprint\":\"x\"}"]}"#,
                &["health_form"],
                Some(r#"{"health_form":[{},{},"{}"]}"#),
            ),
            // In another case it is the same property.
            (
                r#"{"Health_Form":{"pulse":60}}"#,
                &["health_form"],
                Some(r#"{"Health_Form":{"pulse":60}}"#),
            ),
            // What is sealed because of what lies within has no category of its own.
            (r#"{"visit":{"symptom":"x"}}"#, &["symptom"], None),
            // An identifier is none the less one for being declared sensitive, too.
            (r#"{"loyalty":"x"}"#, &["loyalty"], None),
            (r#"["symptom"]"#, &["symptom"], None),
        ] {
            assert_eq!(private.only(text, allowed).as_deref(), left, "{text}");
        }
    }
}
