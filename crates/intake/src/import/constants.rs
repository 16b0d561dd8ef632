//! What a mapping says itself, held against the programme before the first row.
//!
//! Each event is read once as intake will read it, with its constants in place, and nothing recorded.
//! A complaint about a constant, or about a field that is not there, would be made of every row: it
//! is an error of the mapping. A complaint about a column is not, since no cell was read. The values
//! of a `map` or `default` are tried one by one.

use assent_consent::{Namespace, PurposeId};
use assent_event::Identifier;
use assent_programme::RegistryState;
use serde_json::{Value, json};
use serde_saphyr::{Location, Spanned};

use super::error::MappingError;
use super::mapping::{Do, EventMapping, Field, Mapping};
use crate::consent::{Scope, is_known};
use crate::outcome::{Code, WarningCode};
use crate::receive::{Intake, Submitted};
use crate::source::Source;
use crate::text::{self, Object};

/// Whom the events are about that are read for their constants only.
const NOBODY: &str = "0";

/// Checks every event of a mapping.
pub(super) fn check(
    intake: &Intake,
    mapping: &Mapping,
    source: &Source,
) -> Result<(), MappingError> {
    let registry = intake.registry();
    for event in &mapping.raw.events {
        let namespace = &event.value.subject.namespace;
        check_namespace(&registry, namespace)?;
        let probe = Probe {
            intake,
            source,
            registry: &registry,
            event,
        };
        probe.check(None)?;
        for tried in probe.alternatives() {
            probe.check(Some(&tried))?;
        }
    }
    Ok(())
}

fn check_namespace(
    registry: &RegistryState,
    namespace: &Spanned<Namespace>,
) -> Result<(), MappingError> {
    if is_known(registry, &namespace.value) {
        return Ok(());
    }
    let mut known: Vec<&str> = registry
        .sources()
        .flat_map(|source| {
            let ids = [&source.namespaces.user_id, &source.namespaces.anonymous_id];
            ids.into_iter().chain(source.identifiers.values())
        })
        .map(Namespace::as_str)
        .collect();
    known.sort_unstable();
    known.dedup();
    let message = format!(
        "no source of the programme has identifiers of the namespace {}; there are {}. Declare it \
         in sources.yaml, or nobody will be recognised by it",
        namespace.value,
        known.join(", ")
    );
    Err(MappingError::at(&namespace.referenced, message))
}

/// A value that a column can take by its `map` or `default`.
struct Tried<'m> {
    pointer: String,
    value: &'m Value,
    place: Location,
}

impl Tried<'_> {
    /// Whether it decides what is asked of all other fields.
    fn decides(&self) -> bool {
        matches!(self.pointer.as_str(), "/state" | "/fact")
    }
}

struct Probe<'p> {
    intake: &'p Intake,
    source: &'p Source,
    registry: &'p RegistryState,
    event: &'p Spanned<EventMapping>,
}

/// What intake says of an event, whether it takes it or not.
struct Complaint {
    pointer: String,
    text: String,
    /// Said of the name of the field, whatever its value.
    of_name: bool,
    /// Said of who sends the event.
    of_source: bool,
}

impl<'p> Probe<'p> {
    /// `tried` stands for its column. Only complaints about it count then, unless it is the state.
    fn check(&self, tried: Option<&Tried<'_>>) -> Result<(), MappingError> {
        let item = self.item(tried);
        for complaint in self.complaints(&item) {
            let event = &self.event.value;
            let place = match (tried, event.field_at(&complaint.pointer)) {
                (Some(tried), _) if tried.pointer == complaint.pointer => &tried.place,
                (Some(tried), _) if !tried.decides() => continue,
                (_, _) if complaint.of_source => &self.event.referenced,
                (_, Some(field)) => match field.value {
                    Field::Column(_) if !complaint.of_name => continue,
                    Field::Column(_) | Field::Constant(_) => &field.referenced,
                },
                // A tracking call has few fields that it needs, and most can be said in two ways.
                (_, None) if event.what.route().is_some() => continue,
                (_, None) if event.column_at(&complaint.pointer).is_some() => continue,
                (_, None) => &self.event.referenced,
            };
            let field = complaint.pointer.trim_start_matches('/');
            let separator = if field.is_empty() { "" } else { ": " };
            let message = format!("{field}{separator}{}", complaint.text);
            return Err(MappingError::at(place, message));
        }
        Ok(())
    }

    /// What the columns of the event can turn into.
    fn alternatives(&self) -> Vec<Tried<'p>> {
        let event = &self.event.value;
        let named = |prefix: &'static str| {
            move |(name, field): (&String, &'p Spanned<Field>)| {
                let name = name.replace('~', "~0").replace('/', "~1");
                (format!("{prefix}{name}"), field)
            }
        };
        let single = |name: &str, field: &'p Option<Spanned<Field>>| {
            field.as_ref().map(|field| (name.to_owned(), field))
        };
        let fields = (event.fields.iter().map(named("/")))
            .chain(event.properties.iter().map(named("/properties/")))
            .chain(event.traits.iter().map(named("/traits/")))
            .chain(single("/event", &event.event))
            .chain(single("/groupId", &event.group));
        let mut all = Vec::new();
        for (pointer, field) in fields {
            let Field::Column(column) = &field.value else {
                continue;
            };
            let listed = column.map.iter().flat_map(|map| map.values());
            all.extend(listed.chain(&column.default).map(|constant| Tried {
                pointer: pointer.clone(),
                value: &constant.value.0,
                place: constant.referenced,
            }));
        }
        all
    }

    /// The event with its constants. What comes from a column is absent where that is possible.
    fn item(&self, tried: Option<&Tried<'_>>) -> Submitted {
        let event = &self.event.value;
        let route = event.what.route();
        let absent = match route {
            Some(_) => Value::from("0"),
            None => Value::Null,
        };
        let value = |pointer: &str, field: &Spanned<Field>| match (tried, &field.value) {
            (Some(tried), _) if tried.pointer == pointer => tried.value.clone(),
            (_, Field::Constant(value)) => value.clone(),
            (_, Field::Column(_)) => absent.clone(),
        };
        let mut body = Object::new();
        let about = Identifier {
            namespace: event.subject.namespace.value.clone(),
            value: NOBODY.to_owned(),
        };
        let Some(route) = route else {
            for (name, field) in &event.fields {
                let pointer = format!("/{name}");
                body.insert(name.clone(), value(&pointer, field));
            }
            self.decide(&mut body);
            let subject = json!({ about.namespace.as_str(): about.value });
            body.insert("subject".to_owned(), subject);
            body.insert("message_id".to_owned(), Value::from(NOBODY));
            return Submitted::Consent(Value::Object(body));
        };
        for (name, field) in [("event", &event.event), ("groupId", &event.group)] {
            if let Some(field) = field {
                body.insert(name.to_owned(), value(&format!("/{name}"), field));
            }
        }
        for (place, fields) in [("properties", &event.properties), ("traits", &event.traits)] {
            let mut object = Object::new();
            for (name, field) in fields {
                let escaped = name.replace('~', "~0").replace('/', "~1");
                let value = value(&format!("/{place}/{escaped}"), field);
                object.insert(name.clone(), value);
            }
            body.insert(place.to_owned(), Value::Object(object));
        }
        Submitted::Call {
            route,
            about: Some(about),
            value: Value::Object(body),
        }
    }

    /// Puts what asks least of the other fields where rows will tell the state or fact.
    fn decide(&self, body: &mut Object) {
        let told = |body: &Object, name: &str| body.get(name).is_some_and(Value::is_null);
        match self.event.value.what {
            Do::Fact if told(body, "fact") => {
                body.insert("fact".to_owned(), Value::from("restricted"));
            }
            Do::Fact if !body.contains_key("fact") => {
                body.insert("fact".to_owned(), Value::from(""));
            }
            Do::Decision if told(body, "state") => {
                body.insert("state".to_owned(), Value::from("refused"));
            }
            Do::Decision
            | Do::Fact
            | Do::Track
            | Do::Identify
            | Do::Page
            | Do::Screen
            | Do::Group => {}
        }
        // Whether it ends too early depends on when the person decided.
        if text::time(body, "expires_at").is_ok() {
            body.remove("expires_at");
        }
    }

    /// Whether grants and restrictions can both come of this event.
    fn state_is_told_by_rows(&self) -> bool {
        let state = self.event.value.fields.get("state");
        state.is_some_and(|state| matches!(state.value, Field::Column(_)))
    }

    fn complaints(&self, item: &Submitted) -> Vec<Complaint> {
        let reading = match self.intake.read(self.source, item) {
            Err(why) => {
                return vec![Complaint {
                    text: format!("{}; {}", why.message, why.fix),
                    of_name: why.code == Code::FieldUnknown,
                    of_source: why.code == Code::ServerKeyRequired,
                    pointer: why.pointer,
                }];
            }
            Ok(reading) => reading,
        };
        let warnings = reading.warnings.into_iter();
        let told = warnings.filter(|warning| {
            // What a restriction ignores a grant may need.
            !(self.state_is_told_by_rows() && warning.pointer == "/personalisation")
        });
        told.map(|warning| Complaint {
            text: self
                .allowed(&warning.pointer, item)
                .unwrap_or(warning.message),
            of_name: warning.code == WarningCode::TraitUndeclared,
            of_source: false,
            pointer: warning.pointer,
        })
        .collect()
    }

    /// What a decision or fact may say in this field, when the programme knows.
    fn allowed(&self, pointer: &str, item: &Submitted) -> Option<String> {
        let Submitted::Consent(body) = item else {
            return self.declared(pointer);
        };
        let consent = self.registry.consent();
        let named = body.get("purpose").and_then(Value::as_str);
        let purpose = named.and_then(|name| PurposeId::parse(name).ok());
        let scope = Scope::of_purposes(consent, purpose.filter(|id| id.as_str() != "all").as_ref());
        let list = |names: Vec<&str>| match names.is_empty() {
            true => "the purpose has none; leave the field out".to_owned(),
            false => format!("the purpose knows {}", names.join(", ")),
        };
        Some(match pointer {
            "/state" => "write granted, refused or withdrawn".to_owned(),
            "/purpose" => {
                let known: Vec<&str> = consent.purposes().map(|known| known.id.as_str()).collect();
                format!(
                    "name a purpose of the programme: {}; or all, for a restriction of all of them",
                    known.join(", ")
                )
            }
            "/channel" => list(scope.channels.iter().map(|name| name.as_str()).collect()),
            "/recipient" => list(scope.recipients.iter().map(|name| name.as_str()).collect()),
            "/categories" => list(scope.categories.iter().map(|name| name.as_str()).collect()),
            "" => "one of the fields is none of a decision's; check their names".to_owned(),
            _ => return None,
        })
    }

    fn declared(&self, pointer: &str) -> Option<String> {
        let name = pointer.strip_prefix("/traits/")?;
        let traits = self.registry.traits();
        let is_identify = self.event.value.what == Do::Identify;
        if !is_identify || traits.identified(name).is_some() || traits.derived(name).is_some() {
            return None;
        }
        let known: Vec<&str> = traits
            .identified
            .iter()
            .map(|declared| declared.name.as_str())
            .collect();
        Some(format!(
            "traits.yaml does not declare it; declared are {}",
            known.join(", ")
        ))
    }
}
