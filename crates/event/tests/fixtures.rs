//! Events as they were written by every published version of the format, replayed by today's.
//!
//! `fixtures/envelope-{version}-{kind}-{version}-{full|bare}.bin` is a record's value whose blocks
//! were "sealed" without a cipher, and the `.json` next to it says what it means, as apache-avro
//! reads it (it shares no code with our codec). Nulls are left out, so that an optional field added
//! later changes nothing. Set `ASSENT_WRITE_FIXTURES=1` to write those of the newest versions;
//! files of older versions are never written again.

#![allow(
    clippy::unwrap_used,
    reason = "a test stops where something is missing"
)]

mod samples;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use apache_avro::Schema;
use apache_avro::types::Value;
use assent_event::{Envelope, Kind, schema};
use serde_json::{Map, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn name(kind: Kind, which: &str) -> String {
    let version = |id| schema::published(id).unwrap().version();
    let (frame, payload) = (version(schema::ENVELOPE_ID), version(kind.schema_id()));
    format!("envelope-{frame}-{kind}-{payload}-{which}")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// A value as JSON, nulls left out, bytes as hexadecimal digits.
fn json_of(value: Value) -> serde_json::Value {
    match value {
        Value::Union(_, inner) => json_of(*inner),
        Value::Record(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, json_of(value)))
            .filter(|(_, value)| !value.is_null())
            .collect::<Map<_, _>>()
            .into(),
        Value::Map(entries) => entries
            .into_iter()
            .map(|(name, value)| (name, json_of(value)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => items.into_iter().map(json_of).collect(),
        Value::Bytes(bytes) | Value::Fixed(_, bytes) => hex(&bytes).into(),
        Value::TimestampMicros(micros) => micros.into(),
        Value::Date(days) => days.into(),
        other => other.try_into().unwrap(),
    }
}

fn read(schema: &Schema, mut bytes: &[u8]) -> serde_json::Value {
    let value = apache_avro::from_avro_datum(schema, &mut bytes, None).unwrap();
    assert!(bytes.is_empty());
    json_of(value)
}

/// What an event says, after it went through today's types: decoded by the schema it was written
/// with, encoded by the newest and read by apache-avro.
fn meaning(frame: &[u8]) -> serde_json::Value {
    let envelope = Envelope::decode(frame).unwrap();
    let again = envelope.encode().unwrap();
    let newest = schema::published(schema::ENVELOPE_ID).unwrap();
    let mut header = read(newest.datum().avro(), &again[5..]);
    let fields = header.as_object_mut().unwrap();
    // What depends on the version that wrote it, and the blocks, which follow in words.
    for gone in ["schema_id", "clear", "sealed"] {
        assert!(fields.remove(gone).is_some(), "{gone}");
    }
    let payload = envelope.payload(&samples::opened(&envelope)).unwrap();
    let (clear, personal) = payload.blocks().unwrap();
    let newest = schema::published(payload.schema_id()).unwrap();
    let mut says =
        json!({"header": header, "clear": read(newest.block(None).unwrap().avro(), &clear)});
    for (class, bytes) in personal {
        says[class.as_str()] = read(newest.block(Some(class)).unwrap().avro(), &bytes);
    }
    says
}

#[test]
fn every_event_ever_written_still_means_the_same() {
    let write = std::env::var_os("ASSENT_WRITE_FIXTURES").is_some();
    if write {
        for kind in Kind::ALL {
            for (which, payload) in [("full", samples::full(kind)), ("bare", samples::bare(kind))] {
                let frame = samples::unsealed(&payload).encode().unwrap();
                let path = folder().join(name(kind, which));
                let text = serde_json::to_string_pretty(&meaning(&frame)).unwrap();
                std::fs::write(path.with_extension("json"), text + "\n").unwrap();
                std::fs::write(path.with_extension("bin"), frame).unwrap();
            }
        }
    }
    let mut replayed = BTreeSet::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "bin") {
            let frame = std::fs::read(&path).unwrap();
            let wanted = std::fs::read_to_string(path.with_extension("json")).unwrap();
            let wanted: serde_json::Value = serde_json::from_str(&wanted).unwrap();
            assert_eq!(meaning(&frame), wanted, "{}", path.display());
            replayed.insert(path.file_stem().unwrap().to_str().unwrap().to_owned());
        }
    }
    // Every version of every kind has its fixtures.
    for published in schema::all() {
        for which in ["full", "bare"] {
            if let Some(kind) = published.kind() {
                let name = format!("-{kind}-{}-{which}", published.version());
                assert!(
                    replayed.iter().any(|file| file.ends_with(&name)),
                    "{name} is missing: see the head of this file"
                );
            }
        }
    }
    // The newest fixtures are what today writes, byte for byte.
    for kind in Kind::ALL {
        for (which, payload) in [("full", samples::full(kind)), ("bare", samples::bare(kind))] {
            let path = folder().join(name(kind, which)).with_extension("bin");
            let frame = samples::unsealed(&payload).encode().unwrap();
            assert_eq!(frame, std::fs::read(path).unwrap(), "{kind} {which}");
        }
    }
}
