//! Schemas that others wrote, compared with the published ones.
//!
//! Owns the two questions that a schema registry is asked: is it one of ours, and would it go with
//! ours. It refuses to publish anything: a version of ours comes with a release.

use apache_avro::Schema as Avro;
use apache_avro::schema_compatibility::SchemaCompatibility;

use super::Published;

/// A schema that somebody offers.
#[derive(Debug)]
pub struct Offered {
    avro: Avro,
    canonical: String,
}

/// A text that is no Avro schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an Avro schema: {0}")]
pub struct NotASchema(String);

/// Two schemas of which one cannot read what the other wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("version {version} and it cannot read each other: {reason}")]
pub struct Incompatible {
    /// The published version.
    pub version: u32,
    /// Where they differ.
    pub reason: String,
}

impl Offered {
    /// Parses a schema, which must stand alone.
    ///
    /// # Errors
    /// [`NotASchema`] with what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, NotASchema> {
        let avro = Avro::parse_str(text).map_err(|error| NotASchema(error.to_string()))?;
        Ok(Self {
            canonical: avro.canonical_form(),
            avro,
        })
    }

    /// Whether the same data follows both: their canonical forms are the same. Documentation,
    /// attributes and defaults do not count.
    #[must_use]
    pub fn is(&self, published: &Published) -> bool {
        self.canonical == published.datum().avro().canonical_form()
    }

    /// Whether each of the two reads what the other wrote.
    ///
    /// # Errors
    /// [`Incompatible`] where they do not.
    pub fn goes_with(&self, published: &Published) -> Result<(), Incompatible> {
        SchemaCompatibility::mutual_read(&self.avro, published.datum().avro()).map_err(|error| {
            Incompatible {
                version: published.version(),
                reason: error.to_string(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, schema};

    fn current(kind: Kind) -> &'static Published {
        schema::published(kind.schema_id()).unwrap()
    }

    /// The text of the kind's newest schema with another list of fields.
    fn with_fields(kind: Kind, change: impl FnOnce(&mut Vec<serde_json::Value>)) -> Offered {
        let mut json: serde_json::Value = serde_json::from_str(schema::text(kind)).unwrap();
        let clear = &mut json["fields"][0]["type"]["fields"];
        change(clear.as_array_mut().unwrap());
        Offered::parse(&json.to_string()).unwrap()
    }

    #[test]
    fn ours_is_known_again_whatever_is_said_about_it() {
        for published in schema::all() {
            let text = published.datum().json();
            let offered = Offered::parse(text).unwrap();
            assert!(offered.is(published));
            assert_eq!(offered.goes_with(published), Ok(()));
            let mut bare: serde_json::Value = serde_json::from_str(text).unwrap();
            bare.as_object_mut().unwrap().remove("doc");
            assert!(Offered::parse(&bare.to_string()).unwrap().is(published));
            let others = schema::all()
                .iter()
                .filter(|one| one.id() != published.id());
            for other in others {
                assert!(!offered.is(other));
            }
        }
    }

    #[test]
    fn what_can_be_read_by_each_goes_together() {
        let kind = Kind::IdentityLink;
        let field = |default: bool| {
            let mut field = serde_json::json!({"name": "new", "type": ["null", "string"]});
            if default {
                field["default"] = serde_json::Value::Null;
            }
            field
        };
        let wider = with_fields(kind, |fields| fields.push(field(true)));
        assert!(!wider.is(current(kind)));
        assert_eq!(wider.goes_with(current(kind)), Ok(()));
        let breaking = with_fields(kind, |fields| fields.push(field(false)));
        assert_eq!(breaking.goes_with(current(kind)).unwrap_err().version, 1);
        let missing = with_fields(kind, |fields| drop(fields.remove(0)));
        assert!(missing.goes_with(current(kind)).is_err());
    }

    #[test]
    fn what_is_no_schema_is_told() {
        for text in [
            "",
            "{",
            "\"assent.event.Envelope\"",
            "{\"type\": \"record\"}",
            "[]]",
        ] {
            assert!(Offered::parse(text).is_err(), "{text}");
        }
    }
}
