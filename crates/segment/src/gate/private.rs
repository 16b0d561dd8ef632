//! Names that never show among the ordinary properties of an event.
//!
//! Intake seals sensitive properties apart and leaves identifiers out, each by the declaration of the source that sent
//! them at that time. What was declared later, by another source, or in another case would stay in clear in what was
//! folded before; so every declared name of any source is taken out once more here.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use assent_programme::RegistryState;
use serde_json::Value;

/// Direct identifiers whatever a source declares, as intake has it.
const IDENTIFIERS: [&str; 3] = ["email", "phone", "openid"];

/// The names, in lower case.
#[derive(Debug)]
pub(super) struct Private {
    names: BTreeSet<String>,
}

impl Private {
    /// All names that any source declares sensitive or an identifier.
    pub(super) fn of(registry: &RegistryState) -> Self {
        let declared = registry.sources().flat_map(|source| {
            let sensitive = source.sensitive_properties.keys();
            sensitive.chain(source.identifiers.keys())
        });
        Self {
            names: declared
                .map(|name| name.to_lowercase())
                .chain(IDENTIFIERS.map(str::to_owned))
                .collect(),
        }
    }

    /// JSON objects without those names at any depth; null when nothing is left or it is no object. `None` when the
    /// column is no text.
    pub(super) fn without(&self, cells: &ArrayRef) -> Option<ArrayRef> {
        let texts = cells.as_string_opt::<i32>()?;
        let kept: StringArray = texts.iter().map(|text| self.strip(text?)).collect();
        Some(Arc::new(kept))
    }

    fn strip(&self, text: &str) -> Option<String> {
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

    fn fields(&self, object: &mut serde_json::Map<String, Value>, taken: &mut bool) {
        let before = object.len();
        object.retain(|name, _| !self.names.contains(&name.to_lowercase()));
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

    #[test]
    fn declared_names_go_at_every_depth_and_in_every_case() {
        let private = Private {
            names: ["symptom", "email"].map(str::to_owned).into(),
        };
        for (text, left) in [
            (r#"{"page": 1}"#, Some(r#"{"page": 1}"#)),
            (r#"{"Symptom":"x","page":1}"#, Some(r#"{"page":1}"#)),
            (r#"{"SYMPTOM":"x"}"#, None),
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
            assert_eq!(private.strip(text).as_deref(), left, "{text}");
        }
    }
}
