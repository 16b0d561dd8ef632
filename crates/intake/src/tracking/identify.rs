//! What somebody is like: declared traits by their type, identifiers apart, nothing else.

use std::collections::BTreeMap;

use assent_consent::{Calendar, Day, Namespace, Timestamp};
use assent_event::{Identifier, Traits, TraitsIdentity, TraitsProfile, TraitsSensitive};
use assent_programme::{SourceDefinition, TraitType, alike, folded, is_direct_identifier};
use serde_json::Value;

use super::Call;
use crate::outcome::{Rejected, Warning, WarningCode};
use crate::planned::{Context, Often, Planned, Say};
use crate::text;

/// Whether a property of this name is a direct identifier: by its words, or because a source of the programme declares
/// it or ever did. What is an identifier from one of them is not harmless from another.
pub(super) fn is_identifier(cx: &Context<'_>, name: &str) -> bool {
    is_direct_identifier(name)
        || declared(cx, name).is_some()
        || declared_before(cx, name).is_some()
}

/// The namespace of a trait that is an identifier: as the source declares it, or any other source of the programme,
/// or a version of one that is no longer in force; one that says so by its words has its own name as namespace. A trait
/// of the catalogue is one only by what is in force.
fn namespace_of(cx: &Context<'_>, name: &str) -> Option<Namespace> {
    let by_its_words = || {
        is_direct_identifier(name)
            .then(|| Namespace::parse(&folded(name)).ok())
            .flatten()
    };
    declared(cx, name)
        .cloned()
        .or_else(|| match cx.registry.traits().identified(name) {
            Some(told) if told.is_direct_identifier() => by_its_words(),
            Some(_) => None,
            None => declared_before(cx, name).cloned().or_else(by_its_words),
        })
}

fn declared<'a>(cx: &'a Context<'_>, name: &str) -> Option<&'a Namespace> {
    namespace_in(
        std::iter::once(cx.source).chain(cx.registry.sources()),
        name,
    )
}

fn declared_before<'a>(cx: &'a Context<'_>, name: &str) -> Option<&'a Namespace> {
    namespace_in(cx.registry.source_versions(), name)
}

fn namespace_in<'a>(
    mut sources: impl Iterator<Item = &'a SourceDefinition>,
    name: &str,
) -> Option<&'a Namespace> {
    sources.find_map(|source| {
        let mut identifiers = source.identifiers.iter();
        let (_, namespace) = identifiers.find(|(declared, _)| alike(declared, name))?;
        Some(namespace)
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
        let mut identifiers = Vec::new();
        let mut profile = BTreeMap::new();
        let mut sensitive = BTreeMap::new();
        let calendar = self.cx.registry.settings().calendar;
        for (name, value) in given {
            if let Some(namespace) = namespace_of(self.cx, name) {
                let identifier =
                    text::exact(value).and_then(|value| self.cx.identifier(&namespace, value));
                match identifier {
                    Some(identifier) => identifiers.push(identifier),
                    None => self.left_out(
                        WarningCode::FieldIgnored,
                        name,
                        "it is no identifier; send a string",
                    ),
                }
                continue;
            }
            let Some(declared) = self.cx.registry.traits().identified(name) else {
                let fix = if is_direct_identifier(name) {
                    "it identifies people directly: list it under `identifiers:` of the source"
                } else if self.cx.registry.traits().derived(name).is_some() {
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
        let mut planned = self.identified_by(&identifiers);
        let named = identifiers
            .into_iter()
            .map(|Identifier { namespace, value }| (namespace.as_str().to_owned(), value));
        let identifiers: BTreeMap<_, _> = named.collect();
        let traits = Traits {
            identity: (!identifiers.is_empty()).then_some(TraitsIdentity { identifiers }),
            profile: (!profile.is_empty()).then_some(TraitsProfile { values: profile }),
            sensitive: (!sensitive.is_empty()).then_some(TraitsSensitive { values: sensitive }),
            ..Traits::default()
        };
        planned.insert(0, Planned::first(self.about(), traits));
        Ok(planned)
    }

    /// Whoever is told to have an address or a number is one person with whoever refuses by it: else a
    /// withdrawal by e-mail would reach nobody. Only a service knows whose they are.
    fn identified_by(&self, identifiers: &[Identifier]) -> Vec<Planned> {
        let about = self.about();
        let others = identifiers
            .iter()
            .filter(|other| self.cx.server() && **other != about);
        others
            .map(|other| {
                let link = Say::Link {
                    other: other.clone(),
                    or: None,
                    linked: true,
                };
                let suffix = format!("/link/{}", other.namespace);
                Planned::further(about.clone(), suffix, link).only(Often::WhileItStands)
            })
            .collect()
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
