//! How every field is classified: its data category and its sensitivity, read from the attributes
//! in `schemas/`.
//!
//! Owns the one place where data is classified. It refuses to guess: a field without both
//! attributes is not reported, and a test fails.

use apache_avro::Schema as Avro;
use apache_avro::schema::{RecordField, RecordSchema};

use super::{current, envelope};
use crate::{KeyClass, Kind};

/// How much a field's values ask for protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sensitivity {
    /// By itself it tells nothing about an identifiable person: not personal, or linked to a person
    /// by the opaque subject id only. All that stands in clear is of this kind.
    None,
    /// Personal information (PIPL art. 4).
    Personal,
    /// Sensitive personal information (PIPL art. 28).
    Sensitive,
    /// Identifies a person directly; never selectable.
    Identifier,
}

impl Sensitivity {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::None,
        Self::Personal,
        Self::Sensitive,
        Self::Identifier,
    ];

    /// Its name in the schemas.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Personal => "personal",
            Self::Sensitive => "sensitive",
            Self::Identifier => "identifier",
        }
    }
}

/// A field of a schema that holds values, and how they are classified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The kind; none is the envelope.
    pub kind: Option<Kind>,
    /// The block; none is the clear one, or the envelope's header.
    pub block: Option<KeyClass>,
    /// The names from the block's record down, joined by dots.
    pub path: String,
    /// The data category.
    pub category: String,
    /// The sensitivity.
    pub sensitivity: Sensitivity,
    /// What it means.
    pub doc: String,
}

/// Every field of the newest schemas with its classification. A field that lacks one is missing
/// here; a test sees to it that there is none.
#[must_use]
pub fn fields() -> Vec<Field> {
    let mut found = Vec::new();
    leaves(None, None, "", envelope().datum().avro(), &mut found);
    for kind in Kind::ALL {
        for (class, datum) in current(kind).blocks() {
            leaves(Some(kind), class, "", datum.avro(), &mut found);
        }
    }
    found
}

/// The record within a field's type, through `[null, T]` and lists; its fields are classified, not
/// the field itself.
pub(super) fn inner_record(schema: &Avro) -> Option<&RecordSchema> {
    match schema {
        Avro::Record(record) => Some(record),
        Avro::Array(array) => inner_record(&array.items),
        Avro::Map(map) => inner_record(&map.types),
        Avro::Union(union) => union.variants().iter().find_map(inner_record),
        _ => None,
    }
}

pub(super) fn leaves(
    kind: Option<Kind>,
    block: Option<KeyClass>,
    prefix: &str,
    schema: &Avro,
    found: &mut Vec<Field>,
) {
    for field in inner_record(schema)
        .into_iter()
        .flat_map(|record| &record.fields)
    {
        let path = format!("{prefix}{}", field.name);
        if inner_record(&field.schema).is_some() {
            leaves(kind, block, &format!("{path}."), &field.schema, found);
        } else if let Some((category, sensitivity)) = classification(field) {
            found.push(Field {
                kind,
                block,
                path,
                category,
                sensitivity,
                doc: field.doc.clone().unwrap_or_default(),
            });
        }
    }
}

pub(super) fn classification(field: &RecordField) -> Option<(String, Sensitivity)> {
    let attribute = |name| {
        field
            .custom_attributes
            .get(name)
            .and_then(|value| value.as_str())
    };
    let category = attribute("assent.category")?;
    let sensitivity = attribute("assent.sensitivity")?;
    let sensitivity = Sensitivity::ALL
        .into_iter()
        .find(|known| known.as_str() == sensitivity)?;
    Some((category.to_owned(), sensitivity))
}
