//! What somebody is like: declared traits by their type, identifiers apart, nothing else.

use std::collections::BTreeMap;

use assent_consent::{Calendar, Day, Namespace, Timestamp};
use assent_event::{Traits, TraitsIdentity, TraitsProfile, TraitsSensitive};
use assent_programme::TraitType;
use serde_json::Value;

use super::Call;
use crate::outcome::{Rejected, Warning, WarningCode};
use crate::planned::{Context, Planned};
use crate::text;

/// Traits that are direct identifiers whatever a source declares.
const IDENTIFIERS: [&str; 3] = ["email", "phone", "openid"];

/// Whether a trait or property of this name is a direct identifier.
pub(super) fn is_identifier(cx: &Context<'_>, name: &str) -> bool {
    namespace_of(cx, name).is_some()
}

/// The namespace of an identifier of this name: as the source declares it, or any other source of
/// the programme. What is an identifier from one of them is not harmless from another.
fn namespace_of(cx: &Context<'_>, name: &str) -> Option<Namespace> {
    let others = cx.registry.sources();
    let declared = std::iter::once(cx.source)
        .chain(others)
        .flat_map(|source| &source.identifiers)
        .find(|(declared, _)| text::alike(declared, name))
        .map(|(_, namespace)| namespace.clone());
    declared.or_else(|| {
        let known = IDENTIFIERS.iter().find(|known| text::alike(known, name))?;
        Namespace::parse(known).ok()
    })
}

impl Call<'_> {
    pub(super) fn identify(&mut self) -> Result<Vec<Planned>, Rejected> {
        self.must_describe("traits")?;
        let mut given: BTreeMap<&str, &Value> = BTreeMap::new();
        let context = self.context("traits").and_then(Value::as_object);
        let own = text::object(self.object, "traits");
        // The item's own traits win over those of its context.
        for (name, value) in context.into_iter().chain(own).flatten() {
            given.insert(name, value);
        }
        let mut identifiers = BTreeMap::new();
        let mut profile = BTreeMap::new();
        let mut sensitive = BTreeMap::new();
        let calendar = self.cx.registry.settings().calendar;
        for (name, value) in given {
            if let Some(namespace) = namespace_of(self.cx, name) {
                match text::exact(value) {
                    Some(value) => {
                        identifiers.insert(namespace.as_str().to_owned(), value);
                    }
                    None => self.left_out(
                        WarningCode::FieldIgnored,
                        name,
                        "it is no identifier; send a string",
                    ),
                }
                continue;
            }
            let Some(declared) = self.cx.registry.traits().identified(name) else {
                let fix = if self.cx.registry.traits().derived(name).is_some() {
                    "it is derived from behaviour and cannot be told"
                } else {
                    "declare it in traits.yaml"
                };
                self.left_out(WarningCode::TraitUndeclared, name, fix);
                continue;
            };
            let Some(value) = typed(value, declared.r#type, calendar) else {
                let fix = format!("it is declared as {}", declared.r#type.as_str());
                self.left_out(WarningCode::TraitMistyped, name, &fix);
                continue;
            };
            let block = if declared.sensitive {
                &mut sensitive
            } else {
                &mut profile
            };
            block.insert(name.to_owned(), value.to_string());
        }
        let traits = Traits {
            identity: (!identifiers.is_empty()).then_some(TraitsIdentity { identifiers }),
            profile: (!profile.is_empty()).then_some(TraitsProfile { values: profile }),
            sensitive: (!sensitive.is_empty()).then_some(TraitsSensitive { values: sensitive }),
            ..Traits::default()
        };
        Ok(vec![Planned::first(self.about(), traits)])
    }

    /// Reports a trait that was left out. A warning goes to the sender only, so it may name it.
    pub(super) fn left_out(&mut self, code: WarningCode, name: &str, why: &str) {
        let escaped = name.replace('~', "~0").replace('/', "~1");
        self.warnings.push(Warning::new(
            code,
            format!("/traits/{escaped}"),
            format!("the trait was left out: {why}"),
        ));
    }
}

/// The value as the declared type has it, as a JSON scalar; null stays null and deletes.
fn typed(value: &Value, declared: TraitType, calendar: Calendar) -> Option<Value> {
    if value.is_null() {
        return Some(Value::Null);
    }
    match declared {
        TraitType::Text => value.as_str().map(Value::from),
        TraitType::Number => text::number(value).map(Value::from),
        TraitType::Integer => text::integer(value).map(Value::from),
        TraitType::Boolean => match value {
            Value::Bool(_) => Some(value.clone()),
            Value::String(text) if text == "true" => Some(Value::Bool(true)),
            Value::String(text) if text == "false" => Some(Value::Bool(false)),
            Value::Null
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => None,
        },
        TraitType::Date => {
            let text = value.as_str()?.trim();
            let day = Day::parse(text).ok().or_else(|| {
                let instant = Timestamp::parse_rfc3339(text).ok()?;
                Some(calendar.day_of(instant))
            })?;
            Some(Value::from(day.to_string()))
        }
        TraitType::Timestamp => {
            let instant = Timestamp::parse_rfc3339(value.as_str()?.trim()).ok()?;
            Some(Value::from(instant.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_take_the_declared_type_or_none() {
        let calendar = Calendar::default();
        let typed = |value: Value, declared| typed(&value, declared, calendar);
        assert_eq!(typed(json!("x"), TraitType::Text), Some(json!("x")));
        assert_eq!(typed(json!(1), TraitType::Text), None);
        assert_eq!(typed(json!("1.5"), TraitType::Number), Some(json!(1.5)));
        assert_eq!(typed(json!("7"), TraitType::Integer), Some(json!(7)));
        assert_eq!(typed(json!(7.5), TraitType::Integer), None);
        assert_eq!(typed(json!("true"), TraitType::Boolean), Some(json!(true)));
        assert_eq!(typed(json!("yes"), TraitType::Boolean), None);
        let date = |value| typed(value, TraitType::Date);
        assert_eq!(date(json!("2026-03-01")), Some(json!("2026-03-01")));
        // 20:00 UTC is the next day in Shanghai.
        assert_eq!(
            date(json!("2026-03-01T20:00:00Z")),
            Some(json!("2026-03-02"))
        );
        assert_eq!(date(json!("01/03/2026")), None);
        for declared in TraitType::ALL {
            assert_eq!(
                typed(Value::Null, declared),
                Some(Value::Null),
                "{declared:?}"
            );
            assert_eq!(typed(json!([1]), declared), None, "{declared:?}");
        }
    }
}
