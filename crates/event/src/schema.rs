//! The published schemas: texts, parsed forms, fingerprints and the classification of every field.
//!
//! Owns which schema has which id, for ever: `schemas/history/` holds every version ever published,
//! and an id is never given twice. Schemas are parsed once. It refuses to invent a schema for an id
//! it does not know.

use std::sync::LazyLock;

use apache_avro::Schema as Avro;
use serde_avro_fast::Schema;
use sha2::{Digest, Sha256};

mod fields;
mod offered;

pub use fields::{Field, Sensitivity, fields};
pub use offered::{Incompatible, NotASchema, Offered};

use crate::{KeyClass, Kind};

/// The header of a record that carries the fingerprint of its payload schema.
pub const FINGERPRINT_HEADER: &str = "assent-schema-fingerprint";

/// The id of the envelope's newest schema.
pub const ENVELOPE_ID: u32 = 1;

/// Every version ever published: id, kind (none: the envelope), version, text. Ascending by id;
/// never changed, only added to.
const HISTORY: [(u32, Option<Kind>, u32, &str); 13] = [
    (
        1,
        None,
        1,
        include_str!("../../../schemas/history/envelope/1.avsc"),
    ),
    (
        10,
        Some(Kind::ConsentDecision),
        1,
        include_str!("../../../schemas/history/consent_decision/1.avsc"),
    ),
    (
        11,
        Some(Kind::IdentityLink),
        1,
        include_str!("../../../schemas/history/identity_link/1.avsc"),
    ),
    (
        12,
        Some(Kind::SubjectFact),
        1,
        include_str!("../../../schemas/history/subject_fact/1.avsc"),
    ),
    (
        13,
        Some(Kind::Traits),
        1,
        include_str!("../../../schemas/history/traits/1.avsc"),
    ),
    (
        14,
        Some(Kind::AccountMembership),
        1,
        include_str!("../../../schemas/history/account_membership/1.avsc"),
    ),
    (
        15,
        Some(Kind::SubscriptionChange),
        1,
        include_str!("../../../schemas/history/subscription_change/1.avsc"),
    ),
    (
        16,
        Some(Kind::Behaviour),
        1,
        include_str!("../../../schemas/history/behaviour/1.avsc"),
    ),
    (
        17,
        Some(Kind::Use),
        1,
        include_str!("../../../schemas/history/use/1.avsc"),
    ),
    (
        18,
        Some(Kind::Rejection),
        1,
        include_str!("../../../schemas/history/rejection/1.avsc"),
    ),
    (
        19,
        Some(Kind::Behaviour),
        2,
        include_str!("../../../schemas/history/behaviour/2.avsc"),
    ),
    (
        20,
        Some(Kind::Use),
        2,
        include_str!("../../../schemas/history/use/2.avsc"),
    ),
    (
        21,
        Some(Kind::SegmentChange),
        1,
        include_str!("../../../schemas/history/segment_change/1.avsc"),
    ),
];

/// The newest schema of a kind, as written by people.
#[must_use]
pub const fn text(kind: Kind) -> &'static str {
    match kind {
        Kind::ConsentDecision => include_str!("../../../schemas/consent_decision.avsc"),
        Kind::IdentityLink => include_str!("../../../schemas/identity_link.avsc"),
        Kind::SubjectFact => include_str!("../../../schemas/subject_fact.avsc"),
        Kind::Traits => include_str!("../../../schemas/traits.avsc"),
        Kind::AccountMembership => include_str!("../../../schemas/account_membership.avsc"),
        Kind::SubscriptionChange => include_str!("../../../schemas/subscription_change.avsc"),
        Kind::Behaviour => include_str!("../../../schemas/behaviour.avsc"),
        Kind::Use => include_str!("../../../schemas/use.avsc"),
        Kind::Rejection => include_str!("../../../schemas/rejection.avsc"),
        Kind::SegmentChange => include_str!("../../../schemas/segment_change.avsc"),
    }
}

/// The newest schema of the envelope, as written by people.
#[must_use]
pub const fn envelope_text() -> &'static str {
    include_str!("../../../schemas/envelope.avsc")
}

/// SHA-256 over the canonical form of a published schema (attributes and documentation do not
/// count); none if nobody published that id.
#[must_use]
pub fn fingerprint(schema_id: u32) -> Option<[u8; 32]> {
    published(schema_id).map(|schema| *schema.fingerprint())
}

/// Every published version, ascending by id.
#[must_use]
pub fn all() -> &'static [Published] {
    &PUBLISHED
}

/// The published schema of this id.
#[must_use]
pub fn published(schema_id: u32) -> Option<&'static Published> {
    let schemas = all();
    schemas
        .binary_search_by_key(&schema_id, Published::id)
        .ok()
        .map(|index| &schemas[index])
}

pub(crate) fn current(kind: Kind) -> &'static Published {
    published(kind.schema_id()).expect("the newest schema of every kind stands in HISTORY; tested")
}

pub(crate) fn envelope() -> &'static Published {
    published(ENVELOPE_ID).expect("the newest schema of the envelope stands in HISTORY; tested")
}

/// One published version of a schema, parsed.
#[derive(Debug)]
pub struct Published {
    id: u32,
    kind: Option<Kind>,
    version: u32,
    fingerprint: [u8; 32],
    whole: Datum,
    blocks: Vec<(Option<KeyClass>, Datum)>,
}

impl Published {
    /// Its id on the wire.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// The kind it is a version of; none is the envelope.
    #[must_use]
    pub const fn kind(&self) -> Option<Kind> {
        self.kind
    }

    /// The full name of its record.
    #[must_use]
    pub fn name(&self) -> String {
        let name = self.whole.avro.name();
        name.map_or_else(String::new, |name| name.fullname(None))
    }

    /// Which version, counted from 1.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// SHA-256 over its canonical form.
    #[must_use]
    pub const fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// The schema of the whole record, in all its blocks.
    #[must_use]
    pub const fn datum(&self) -> &Datum {
        &self.whole
    }

    /// The schema of one block; none is the clear one. The envelope has no blocks.
    #[must_use]
    pub fn block(&self, class: Option<KeyClass>) -> Option<&Datum> {
        self.blocks
            .iter()
            .find(|(of, _)| *of == class)
            .map(|(_, datum)| datum)
    }

    /// The blocks it has, the clear one (none) first.
    pub fn blocks(&self) -> impl Iterator<Item = (Option<KeyClass>, &Datum)> {
        self.blocks.iter().map(|(class, datum)| (*class, datum))
    }
}

/// What one Avro datum is written by, in the forms the libraries want.
pub struct Datum {
    json: String,
    avro: Avro,
    schema: Schema,
}

impl std::fmt::Debug for Datum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.json)
    }
}

impl Datum {
    /// As JSON text.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// As apache-avro has it: for attributes and compatibility, not for encoding.
    #[must_use]
    pub const fn avro(&self) -> &Avro {
        &self.avro
    }

    pub(crate) const fn schema(&self) -> &Schema {
        &self.schema
    }

    fn parse(json: &serde_json::Value) -> Result<Self, Box<dyn std::error::Error>> {
        let text = json.to_string();
        Ok(Self {
            avro: Avro::parse_str(&text)?,
            schema: text.parse()?,
            json: text,
        })
    }
}

static PUBLISHED: LazyLock<Vec<Published>> = LazyLock::new(|| {
    HISTORY
        .into_iter()
        .map(|(id, kind, version, text)| {
            parse(id, kind, version, text).expect("every published schema parses; tested")
        })
        .collect()
});

fn parse(
    id: u32,
    kind: Option<Kind>,
    version: u32,
    text: &str,
) -> Result<Published, Box<dyn std::error::Error>> {
    let json: serde_json::Value = serde_json::from_str(text)?;
    let whole = Datum::parse(&json)?;
    let fingerprint = Sha256::digest(whole.avro.canonical_form()).into();
    let mut blocks = Vec::new();
    if kind.is_some() {
        let namespace = &json["namespace"];
        for field in json["fields"].as_array().into_iter().flatten() {
            let name = field["name"].as_str().unwrap_or_default();
            let (class, record) = match name {
                "clear" => (None, &field["type"]),
                sealed => (Some(sealed.parse()?), &field["type"][1]),
            };
            let mut record = record.clone();
            record["namespace"] = namespace.clone();
            blocks.push((class, Datum::parse(&record)?));
        }
    }
    Ok(Published {
        id,
        kind,
        version,
        fingerprint,
        whole,
        blocks,
    })
}

#[cfg(test)]
mod tests;
