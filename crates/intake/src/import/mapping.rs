//! What a mapping says; read from YAML and checked before the file is touched.

use std::collections::BTreeMap;
use std::fmt;

use assent_consent::{Calendar, Namespace};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::Spanned;
use sha2::{Digest, Sha256};

use super::error::MappingError;
use super::time::TimeFormat;
use crate::consent::{fact_widens, is_grant};
use crate::tracking::Route;

/// The most characters of a name: what is put behind it must fit a message id.
const MOST_NAME: usize = 48;

/// How the rows of a file become events.
#[derive(Debug, Clone)]
pub struct Mapping {
    pub(super) raw: Raw,
    pub(super) zone: Option<Calendar>,
    /// SHA-256 of the YAML, so that progress is not continued under another mapping.
    pub(super) digest: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) name: Spanned<String>,
    pub(super) source: Spanned<String>,
    pub(super) format: Format,
    #[serde(default = "comma")]
    pub(super) delimiter: Spanned<char>,
    #[serde(default)]
    pub(super) time_zone: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) key: Vec<String>,
    pub(super) events: Vec<Spanned<EventMapping>>,
}

fn comma() -> Spanned<char> {
    use serde_saphyr::Location;
    Spanned::new(',', Location::UNKNOWN, Location::UNKNOWN)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Format {
    Csv,
    Ndjson,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Do {
    Track,
    Identify,
    Page,
    Screen,
    Group,
    Decision,
    Fact,
}

impl Do {
    /// The tracking call it is; `None` for what goes to `/v1/consents`.
    pub(super) fn route(self) -> Option<Route> {
        match self {
            Self::Track => Some(Route::Track),
            Self::Identify => Some(Route::Identify),
            Self::Page => Some(Route::Page),
            Self::Screen => Some(Route::Screen),
            Self::Group => Some(Route::Group),
            Self::Decision | Self::Fact => None,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventMapping {
    #[serde(rename = "do")]
    pub(super) what: Do,
    pub(super) subject: Who,
    #[serde(default)]
    pub(super) time: Option<Time>,
    #[serde(default)]
    pub(super) when: Option<Condition>,
    #[serde(default)]
    pub(super) event: Option<Spanned<Field>>,
    #[serde(default)]
    pub(super) group: Option<Spanned<Field>>,
    #[serde(default)]
    pub(super) properties: BTreeMap<String, Spanned<Field>>,
    #[serde(default)]
    pub(super) traits: BTreeMap<String, Spanned<Field>>,
    #[serde(default)]
    pub(super) fields: BTreeMap<String, Spanned<Field>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Who {
    pub(super) namespace: Spanned<Namespace>,
    pub(super) column: String,
}

/// When the event of a row happened.
#[derive(Debug, Clone)]
pub(super) enum Time {
    Column(ColumnField),
    /// When it is imported.
    Now,
}

impl Time {
    pub(super) fn column(&self) -> Option<&ColumnField> {
        match self {
            Self::Column(field) => Some(field),
            Self::Now => None,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Condition {
    pub(super) column: String,
    #[serde(default)]
    pub(super) equals: Option<String>,
    #[serde(default)]
    pub(super) not: Option<String>,
}

/// A constant, or the value of a column.
#[derive(Debug, Clone)]
pub(super) enum Field {
    Constant(Value),
    Column(ColumnField),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ColumnField {
    pub(super) column: String,
    #[serde(default, rename = "type")]
    pub(super) kind: CellType,
    #[serde(default)]
    pub(super) format: Option<TimeFormat>,
    #[serde(default)]
    pub(super) map: Option<BTreeMap<String, Spanned<Constant>>>,
    #[serde(default)]
    pub(super) default: Option<Spanned<Constant>>,
}

/// A constant of a table or default.
#[derive(Debug, Clone)]
pub(super) struct Constant(pub(super) Value);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CellType {
    #[default]
    Text,
    Number,
    Integer,
    Boolean,
    Date,
    Time,
}

impl Mapping {
    /// Reads a mapping.
    ///
    /// # Errors
    /// The first fault, with its place in the YAML.
    pub fn parse(yaml: &str) -> Result<Self, MappingError> {
        let raw: Raw = serde_saphyr::from_str(yaml).map_err(|error| {
            let place = error.location();
            MappingError {
                line: place.map_or(1, |place| place.line()),
                column: place.map_or(1, |place| place.column()),
                message: error.to_string(),
            }
        })?;
        let zone = check(&raw)?;
        Ok(Self {
            raw,
            zone,
            digest: hex::encode(Sha256::digest(yaml.as_bytes())),
        })
    }

    /// Its name, a part of every message id.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.raw.name.value
    }

    /// The source its events are recorded under.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.raw.source.value
    }

    /// Every column it names.
    pub(super) fn columns(&self) -> impl Iterator<Item = &str> {
        let events = self
            .raw
            .events
            .iter()
            .flat_map(|event| event.value.columns());
        self.raw.key.iter().map(String::as_str).chain(events)
    }
}

impl EventMapping {
    fn columns(&self) -> impl Iterator<Item = &str> {
        let fields = self
            .properties
            .values()
            .chain(self.traits.values())
            .chain(self.fields.values())
            .chain(&self.event)
            .chain(&self.group)
            .filter_map(|field| match &field.value {
                Field::Column(field) => Some(field),
                Field::Constant(_) => None,
            });
        fields
            .chain(self.time.as_ref().and_then(Time::column))
            .map(|field| field.column.as_str())
            .chain([self.subject.column.as_str()])
            .chain(self.when.as_ref().map(|when| when.column.as_str()))
    }

    /// The field that an event's JSON has at this pointer (RFC 6901).
    pub(super) fn field_at(&self, pointer: &str) -> Option<&Spanned<Field>> {
        let path = pointer.strip_prefix('/')?;
        let name = |escaped: &str| escaped.replace("~1", "/").replace("~0", "~");
        let (first, rest) = path.split_once('/').unwrap_or((path, ""));
        match (self.what.route(), first) {
            (None, first) => self.fields.get(&name(first)),
            (Some(_), "event") => self.event.as_ref(),
            (Some(_), "groupId") => self.group.as_ref(),
            (Some(_), "properties") => self.properties.get(&name(rest)),
            (Some(_), "traits") => self.traits.get(&name(rest)),
            (Some(_), _) => None,
        }
    }

    /// The column that an event's JSON has this place from.
    pub(super) fn column_at(&self, pointer: &str) -> Option<&ColumnField> {
        if matches!(pointer, "/timestamp" | "/event_time") && self.time.is_some() {
            return self.time.as_ref().and_then(Time::column);
        }
        match &self.field_at(pointer)?.value {
            Field::Column(field) => Some(field),
            Field::Constant(_) => None,
        }
    }

    /// Whether something may come of it that widens what is lawful.
    fn may_widen(&self) -> bool {
        let (name, widens): (_, fn(&Value) -> bool) = match self.what {
            Do::Decision => ("state", is_grant),
            Do::Fact => ("fact", fact_widens),
            Do::Track | Do::Identify | Do::Page | Do::Screen | Do::Group => return false,
        };
        match self.fields.get(name).map(|field| &field.value) {
            None => false,
            Some(Field::Constant(value)) => widens(value),
            Some(Field::Column(field)) => {
                field
                    .map
                    .as_ref()
                    .is_none_or(|map| map.values().any(|listed| widens(&listed.value.0)))
                    || field
                        .default
                        .as_ref()
                        .is_some_and(|value| widens(&value.value.0))
            }
        }
    }

    /// What the kind of event needs and does not take.
    fn fault(&self) -> Option<&'static str> {
        let consents = self.what.route().is_none();
        if consents && self.fields.is_empty() {
            return Some("a decision or fact needs fields, those of /v1/consents");
        }
        if !consents && !self.fields.is_empty() {
            return Some("fields belong to a decision or fact; use properties or traits here");
        }
        match self.what {
            // Undated, a permission of years ago would undo every withdrawal since.
            Do::Decision | Do::Fact if self.time.is_none() && self.may_widen() => Some(
                "what permits needs time: the column that tells when the person decided, or time: \
                 now if that was just now",
            ),
            Do::Track if self.event.is_none() => {
                Some("track needs event: the name of what was done")
            }
            Do::Group if self.group.is_none() => Some("group needs group: the account's id"),
            Do::Track | Do::Page | Do::Screen if !self.traits.is_empty() => {
                Some("traits belong to identify or group")
            }
            Do::Identify | Do::Group | Do::Decision | Do::Fact if !self.properties.is_empty() => {
                Some("properties belong to track, page or screen")
            }
            Do::Track
            | Do::Identify
            | Do::Page
            | Do::Screen
            | Do::Group
            | Do::Decision
            | Do::Fact => self
                .when
                .as_ref()
                .filter(|when| when.equals.is_some() == when.not.is_some())
                .map(|_| "when takes either equals or not"),
        }
    }
}

/// Checks what the types cannot; the time zone.
fn check(raw: &Raw) -> Result<Option<Calendar>, MappingError> {
    let fault = MappingError::at;
    let name = &raw.name;
    let slug = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.value.is_empty() || name.value.len() > MOST_NAME || !name.value.chars().all(slug) {
        return Err(fault(
            &name.referenced,
            "a name has 1 to 48 of the characters a-z, 0-9 and _",
        ));
    }
    if !raw.delimiter.value.is_ascii() {
        return Err(fault(
            &raw.delimiter.referenced,
            "a delimiter is one ASCII character",
        ));
    }
    if raw.events.is_empty() {
        return Err(fault(
            &name.referenced,
            "events is empty: nothing would be imported",
        ));
    }
    for event in &raw.events {
        if let Some(message) = event.value.fault() {
            return Err(fault(&event.referenced, message));
        }
    }
    let Some(zone) = &raw.time_zone else {
        return Ok(None);
    };
    Calendar::named(&zone.value)
        .map(Some)
        .map_err(|error| MappingError::at(&zone.referenced, error.to_string()))
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Field::deserialize(deserializer)? {
            Field::Column(field) => Ok(Self::Column(field)),
            Field::Constant(Value::String(text)) if text == "now" => Ok(Self::Now),
            Field::Constant(_) => Err(de::Error::custom("time is {column: …}, or now")),
        }
    }
}

impl<'de> Deserialize<'de> for Constant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Field::deserialize(deserializer)? {
            Field::Constant(value) => Ok(Self(value)),
            Field::Column(_) => Err(de::Error::custom("a constant is expected here")),
        }
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Field;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a constant or {column: …}")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Field, E> {
                Ok(Field::Constant(Value::from(text)))
            }

            fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Field, E> {
                Ok(Field::Constant(Value::from(flag)))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Field, E> {
                Ok(Field::Constant(Value::from(number)))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Field, E> {
                Ok(Field::Constant(Value::from(number)))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Field, E> {
                Ok(Field::Constant(Value::from(number)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Field, A::Error> {
                let mut items = Vec::new();
                while let Some(Constant(item)) = list.next_element()? {
                    items.push(item);
                }
                Ok(Field::Constant(Value::Array(items)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Field, A::Error> {
                ColumnField::deserialize(MapAccessDeserializer::new(map)).map(Field::Column)
            }
        }

        deserializer.deserialize_any(Reader)
    }
}
