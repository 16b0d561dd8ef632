//! What somebody did: the name, the few fields every programme sums up, and the properties.

use std::collections::BTreeMap;

use assent_consent::PurposeId;
use assent_event::{Behaviour, BehaviourProfile, BehaviourSensitive};
use assent_programme::alike;
use serde_json::Value;

use super::Call;
use super::identify::is_identifier;
use crate::outcome::{Warning, WarningCode};
use crate::text;

impl Call<'_> {
    /// The behaviour of this name. `also` are fields of the call itself that become properties.
    pub(super) fn behaviour(&mut self, name: &str, also: &[&str]) -> Behaviour {
        let mut profile = BehaviourProfile {
            name: name.to_owned(),
            ..BehaviourProfile::default()
        };
        let mut sensitive = BTreeMap::new();
        let own = also
            .iter()
            .filter_map(|name| Some((*name, text::field(self.object, name)?)));
        let properties = text::object(self.object, "properties");
        let given = properties
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.as_str(), value));
        for (name, value) in own.chain(given).filter(|(_, value)| !value.is_null()) {
            let kept = self.without_identifiers(name, value);
            if kept.as_ref() != Some(value) {
                self.warnings.push(Warning::new(
                    WarningCode::IdentifierInProperties,
                    "/properties",
                    "a direct identifier was left out; send it as a trait of identify",
                ));
            }
            let Some(value) = kept else {
                continue;
            };
            if let Some(declared) = self.sensitive_name(name) {
                // Under the declared spelling, since that is what traits and purposes name.
                let name = if sensitive.contains_key(declared) {
                    name
                } else {
                    declared
                };
                sensitive.insert(name.to_owned(), value.to_string());
            } else if self.holds_sensitive(&value) {
                sensitive.insert(name.to_owned(), value.to_string());
            } else {
                put(&mut profile, name, &value);
            }
        }
        let denied = self.denied_by_stamp();
        Behaviour {
            sensitive: (!sensitive.is_empty()).then_some(BehaviourSensitive {
                properties: sensitive,
            }),
            ..Behaviour::from(profile)
        }
        .denied(denied.iter().map(PurposeId::as_str))
    }

    /// The name under which a source of the programme declares the property sensitive, or ever did.
    fn sensitive_name(&self, name: &str) -> Option<&str> {
        let registry = self.cx.registry;
        let mut names = std::iter::once(self.cx.source)
            .chain(registry.sources())
            .chain(registry.source_versions())
            .flat_map(|source| source.sensitive_properties.keys());
        names
            .find(|declared| alike(declared, name))
            .map(String::as_str)
    }

    /// Whether a property within the value is declared sensitive. The value is sealed whole then.
    fn holds_sensitive(&self, value: &Value) -> bool {
        match value {
            Value::Object(fields) => fields.iter().any(|(name, value)| {
                self.sensitive_name(name).is_some() || self.holds_sensitive(value)
            }),
            Value::Array(items) => items.iter().any(|item| self.holds_sensitive(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
    }

    /// The value without direct identifiers in it; `None` when it is one.
    fn without_identifiers(&self, name: &str, value: &Value) -> Option<Value> {
        if is_identifier(self.cx, name) {
            return None;
        }
        Some(match value {
            Value::Object(fields) => Value::Object(
                fields
                    .iter()
                    .filter_map(|(name, value)| {
                        Some((name.clone(), self.without_identifiers(name, value)?))
                    })
                    .collect(),
            ),
            Value::Array(items) => Value::Array(
                items
                    .iter()
                    .filter_map(|item| self.without_identifiers("", item))
                    .collect(),
            ),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        })
    }
}

/// Puts a property where it belongs; one that does not have the type of its field stays a property.
fn put(profile: &mut BehaviourProfile, name: &str, value: &Value) {
    let taken = match name {
        "revenue" => {
            profile.revenue = text::number(value);
            profile.revenue.is_some()
        }
        "quantity" => {
            profile.quantity = text::integer(value);
            profile.quantity.is_some()
        }
        "currency" => {
            profile.currency = text::plain(value);
            profile.currency.is_some()
        }
        "product" => {
            profile.product = text::plain(value);
            profile.product.is_some()
        }
        "product_id" => {
            // The id stays a property as well: `product` may come and be something else.
            if profile.product.is_none() {
                profile.product = text::plain(value);
            }
            false
        }
        _ => false,
    };
    if !taken {
        profile
            .properties
            .insert(name.to_owned(), value.to_string());
    }
}
