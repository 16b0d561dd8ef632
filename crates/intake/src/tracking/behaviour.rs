//! What somebody did: the name, the few fields every programme sums up, and the properties.

use std::borrow::Cow;
use std::collections::BTreeMap;

use assent_consent::PurposeId;
use assent_event::{Behaviour, BehaviourProfile, BehaviourSensitive};
use serde_json::Value;

use super::Call;
use super::names::Meaning;
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
            if !matches!(kept, Some(Cow::Borrowed(_))) {
                self.warnings.push(Warning::new(
                    WarningCode::IdentifierInProperties,
                    "/properties",
                    "a direct identifier was left out; send it as a trait of identify",
                ));
            }
            let Some(value) = kept else {
                continue;
            };
            if let Meaning::Sensitive(declared) = self.meaning(name) {
                // Under the declared spelling, since that is what traits and purposes name.
                let name = if sensitive.contains_key(&*declared) {
                    name
                } else {
                    &declared
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

    fn meaning(&self, name: &str) -> Meaning {
        self.cx.names.meaning(self.cx, name)
    }

    fn is_identifier(&self, name: &str) -> bool {
        matches!(self.meaning(name), Meaning::Identifier)
    }

    /// Whether a property within the value is declared sensitive. The value is sealed whole then.
    fn holds_sensitive(&self, value: &Value) -> bool {
        match value {
            Value::Object(fields) => fields.iter().any(|(name, value)| {
                matches!(self.meaning(name), Meaning::Sensitive(_)) || self.holds_sensitive(value)
            }),
            Value::Array(items) => items.iter().any(|item| self.holds_sensitive(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
    }

    /// Whether a property within the value is a direct identifier.
    fn holds_identifier(&self, value: &Value) -> bool {
        match value {
            Value::Object(fields) => fields
                .iter()
                .any(|(name, value)| self.is_identifier(name) || self.holds_identifier(value)),
            Value::Array(items) => items.iter().any(|item| self.holds_identifier(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
    }

    /// The value without direct identifiers in it, as it was where it has none; `None` when it is one.
    fn without_identifiers<'v>(&self, name: &str, value: &'v Value) -> Option<Cow<'v, Value>> {
        if self.is_identifier(name) {
            return None;
        }
        if !self.holds_identifier(value) {
            return Some(Cow::Borrowed(value));
        }
        let kept = |name: &str, value| self.without_identifiers(name, value).map(Cow::into_owned);
        Some(Cow::Owned(match value {
            Value::Object(fields) => {
                let fields = fields.iter();
                let kept =
                    fields.filter_map(|(name, value)| Some((name.clone(), kept(name, value)?)));
                Value::Object(kept.collect())
            }
            Value::Array(items) => {
                Value::Array(items.iter().filter_map(|item| kept("", item)).collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        }))
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
