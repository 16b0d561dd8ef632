use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use apache_avro::schema::{RecordField, RecordSchema};
use apache_avro::schema_compatibility::SchemaCompatibility;

use super::fields::{classification, inner_record, leaves};
use super::*;

/// The categories a field may have. A new one is a decision: add it here and to the documentation.
const CATEGORIES: [&str; 11] = [
    "none",
    "identity",
    "contact",
    "transaction",
    "behaviour",
    "profile",
    "account",
    "subscription",
    "health",
    "location",
    "consent",
];

fn current_schemas() -> impl Iterator<Item = &'static Published> {
    std::iter::once(envelope()).chain(Kind::ALL.into_iter().map(current))
}

fn name(kind: Option<Kind>) -> &'static str {
    kind.map_or("envelope", Kind::name)
}

/// Every field at any depth, with whether it is a block of a payload or holds a record.
fn walk<'s>(path: &str, record: &'s RecordSchema, seen: &mut Vec<(String, &'s RecordField)>) {
    for field in &record.fields {
        let path = format!("{path}.{}", field.name);
        if let Some(inner) = inner_record(&field.schema) {
            walk(&path, inner, seen);
        }
        seen.push((path, field));
    }
}

fn every_field() -> Vec<(String, &'static RecordField)> {
    let mut seen = Vec::new();
    for schema in current_schemas() {
        let Avro::Record(record) = schema.datum().avro() else {
            panic!("{} is not a record", name(schema.kind()));
        };
        walk(name(schema.kind()), record, &mut seen);
    }
    seen
}

#[test]
fn every_leaf_field_is_classified_and_every_field_documented() {
    let fields = every_field();
    assert!(
        fields.len() > 80,
        "the walk sees too little: {}",
        fields.len()
    );
    for (path, field) in &fields {
        assert!(
            field.doc.as_ref().is_some_and(|doc| doc.len() > 3),
            "{path}: no doc"
        );
        if inner_record(&field.schema).is_some() && !path.starts_with("envelope") {
            continue;
        }
        let (category, _) = classification(field).unwrap_or_else(|| {
            panic!("{path}: assent.category or assent.sensitivity missing or unknown")
        });
        assert!(
            CATEGORIES.contains(&category.as_str()),
            "{path}: {category}"
        );
    }
}

#[test]
fn a_field_without_classification_is_noticed() {
    let broken =
        text(Kind::Behaviour).replacen("\"assent.sensitivity\"", "\"assent.sensitive\"", 1);
    assert_ne!(broken, text(Kind::Behaviour));
    let published = parse(16, Some(Kind::Behaviour), 1, &broken).unwrap();
    let mut found = Vec::new();
    for (class, datum) in published.blocks() {
        leaves(Some(Kind::Behaviour), class, "", datum.avro(), &mut found);
    }
    let whole = fields()
        .iter()
        .filter(|field| field.kind == Some(Kind::Behaviour))
        .count();
    assert_eq!(found.len() + 1, whole);
}

#[test]
fn what_stands_in_clear_is_not_personal_and_what_is_sealed_is() {
    for field in fields() {
        assert_eq!(
            field.block.is_none(),
            field.sensitivity == Sensitivity::None,
            "{field:?}"
        );
    }
    let sensitive: BTreeSet<Option<KeyClass>> = fields()
        .into_iter()
        .filter(|field| field.sensitivity == Sensitivity::Sensitive)
        .map(|field| field.block)
        .collect();
    assert_eq!(
        sensitive,
        BTreeSet::from([Some(KeyClass::Sensitive), Some(KeyClass::Evidence)])
    );
}

#[test]
fn every_field_reported_once() {
    let fields = fields();
    let leaves = every_field()
        .into_iter()
        .filter(|(_, field)| inner_record(&field.schema).is_none())
        .count();
    assert_eq!(fields.len(), leaves);
    let keys: BTreeSet<_> = fields.iter().map(|f| (f.kind, f.block, &f.path)).collect();
    assert_eq!(keys.len(), leaves);
}

/// Only shapes that every library of the stack reads alike (see `docs/decisions`): no unions but
/// `[null, T]` with null as default, no enums, no logical types but dates and instants.
fn check_shape(path: &str, schema: &Avro, default: Option<&serde_json::Value>) {
    match schema {
        Avro::Boolean | Avro::Int | Avro::Long | Avro::Double | Avro::Bytes | Avro::String => {}
        Avro::Fixed(_) | Avro::Date | Avro::TimestampMicros => {}
        Avro::Record(record) => {
            for field in &record.fields {
                let path = format!("{path}.{}", field.name);
                check_shape(&path, &field.schema, field.default.as_ref());
            }
        }
        Avro::Array(array) => check_shape(path, &array.items, None),
        Avro::Map(map) => check_shape(path, &map.types, None),
        Avro::Union(union) => {
            let [Avro::Null, present] = union.variants() else {
                panic!("{path}: a union other than [null, T]");
            };
            assert!(!matches!(present, Avro::Union(_) | Avro::Null), "{path}");
            assert_eq!(default, Some(&serde_json::Value::Null), "{path}: default");
            check_shape(path, present, None);
        }
        other => panic!("{path}: {other:?} is not used here"),
    }
}

#[test]
fn schemas_use_only_shapes_all_libraries_agree_on() {
    for schema in all() {
        check_shape(name(schema.kind()), schema.datum().avro(), None);
    }
}

#[test]
fn top_level_fields_are_the_blocks() {
    for kind in Kind::ALL {
        let Avro::Record(record) = current(kind).datum().avro() else {
            panic!("{kind} is not a record");
        };
        let names: Vec<&str> = record
            .fields
            .iter()
            .map(|field| field.name.as_str())
            .collect();
        let wanted: Vec<&str> = std::iter::once("clear")
            .chain(
                crate::payload::classes(kind)
                    .iter()
                    .map(|class| class.as_str()),
            )
            .collect();
        assert_eq!(names, wanted, "{kind}");
        assert!(matches!(record.fields[0].schema, Avro::Record(_)), "{kind}");
        for class in crate::payload::classes(kind) {
            let block = current(kind).block(Some(*class)).unwrap();
            let block = Avro::parse_str(block.json()).unwrap();
            let whole = inner_record(
                &record.fields[names.iter().position(|n| *n == class.as_str()).unwrap()].schema,
            );
            assert_eq!(
                inner_record(&block).unwrap().fields,
                whole.unwrap().fields,
                "{kind} {class}"
            );
        }
    }
    let none = current(Kind::IdentityLink).block(Some(KeyClass::Profile));
    assert!(none.is_none());
}

#[test]
fn ids_are_unique_ascending_and_the_newest_is_what_is_written() {
    assert!(all().windows(2).all(|pair| pair[0].id() < pair[1].id()));
    let mut newest: BTreeMap<&str, &Published> = BTreeMap::new();
    for schema in all() {
        let before = newest.insert(name(schema.kind()), schema);
        assert_eq!(
            before.map_or(0, Published::version) + 1,
            schema.version(),
            "{}",
            name(schema.kind())
        );
        assert_eq!(fingerprint(schema.id()), Some(*schema.fingerprint()));
    }
    for kind in Kind::ALL {
        assert_eq!(newest[kind.name()].id(), kind.schema_id());
    }
    assert_eq!(newest["envelope"].id(), ENVELOPE_ID);
    assert!(published(0).is_none() && published(u32::MAX).is_none());
    assert_eq!(fingerprint(2), None);
}

/// A published schema never changes: whoever changes one has to change this list, and should
/// publish a version instead.
#[test]
fn published_schemas_are_pinned() {
    let pinned: Vec<String> = all()
        .iter()
        .map(|schema| {
            let digest = hex::encode(schema.fingerprint());
            format!(
                "{} {} {} {}",
                schema.id(),
                name(schema.kind()),
                schema.version(),
                &digest[..16]
            )
        })
        .collect();
    assert_eq!(
        pinned,
        [
            "1 envelope 1 e0c0eb586211f07a",
            "10 consent_decision 1 fe008b221e233cc1",
            "11 identity_link 1 24232b96d0f01d40",
            "12 subject_fact 1 6abba69527be59b6",
            "13 traits 1 0cb2a93398b64364",
            "14 account_membership 1 ca5c053b287835f7",
            "15 subscription_change 1 9ae7d9768896b5d5",
            "16 behaviour 1 10deae08fdd503a2",
            "17 use 1 5ca1ffb31a653968",
            "18 rejection 1 d1c86cfe2ac263b7",
            "19 behaviour 2 71e004f110b73ca9",
            "20 use 2 2379d8819542be93",
            "21 segment_change 1 21550e69392afb6d",
        ]
    );
}

fn schemas_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas")
}

#[test]
fn every_file_is_embedded_and_the_current_one_is_the_newest_published() {
    let mut files = BTreeSet::new();
    for folder in std::fs::read_dir(schemas_folder().join("history")).unwrap() {
        let folder = folder.unwrap();
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let file = file.unwrap().file_name().into_string().unwrap();
            files.insert(format!("{}/{file}", folder.file_name().to_str().unwrap()));
        }
    }
    let embedded: BTreeSet<String> = all()
        .iter()
        .map(|schema| format!("{}/{}.avsc", name(schema.kind()), schema.version()))
        .collect();
    assert_eq!(files, embedded);

    for schema in current_schemas() {
        let text = schema.kind().map_or(envelope_text(), text);
        let (_, _, _, newest) = HISTORY.iter().find(|entry| entry.0 == schema.id()).unwrap();
        assert_eq!(
            text,
            *newest,
            "{}: publish the change as a new version",
            name(schema.kind())
        );
    }
    let current = std::fs::read_dir(schemas_folder())
        .unwrap()
        .filter(|entry| {
            entry
                .as_ref()
                .unwrap()
                .path()
                .extension()
                .is_some_and(|e| e == "avsc")
        })
        .count();
    assert_eq!(current, Kind::ALL.len() + 1);
}

/// Full compatibility of two versions: either reads what the other wrote, as a whole and block by
/// block.
fn compatible(one: &Published, other: &Published) -> Result<(), String> {
    let mutual = |what: &str, a: &Avro, b: &Avro| {
        SchemaCompatibility::mutual_read(a, b).map_err(|error| format!("{what}: {error}"))
    };
    mutual("whole", one.datum().avro(), other.datum().avro())?;
    for (class, block) in one.blocks() {
        match other.block(class) {
            Some(also) => {
                let what = class.map_or("clear", KeyClass::as_str);
                mutual(what, block.avro(), also.avro())?;
            }
            // A later version may add a block; one that takes a block away cannot read what was
            // sealed in it.
            None if one.version() < other.version() => {
                return Err(format!("the {class:?} block is gone"));
            }
            None => {}
        }
    }
    Ok(())
}

#[test]
fn every_two_versions_read_each_other() {
    for one in all() {
        for other in all().iter().filter(|other| other.kind() == one.kind()) {
            if let Err(error) = compatible(one, other) {
                panic!(
                    "{} {} and {}: {error}",
                    name(one.kind()),
                    one.version(),
                    other.version()
                );
            }
        }
    }
}

/// The controls of the test above: changes that must be refused, and one that must not.
#[test]
fn incompatible_changes_are_caught() {
    let kind = Kind::SubscriptionChange;
    let base: serde_json::Value = serde_json::from_str(text(kind)).unwrap();
    let fields = "/fields/1/type/1/fields";
    let changed = |change: &dyn Fn(&mut Vec<serde_json::Value>)| {
        let mut json = base.clone();
        change(json.pointer_mut(fields).unwrap().as_array_mut().unwrap());
        parse(15, Some(kind), 2, &json.to_string()).unwrap()
    };
    let verdict = |next: &Published| compatible(current(kind), next);

    let same = changed(&|_| {});
    assert_eq!(verdict(&same), Ok(()));
    let optional = changed(&|fields| {
        fields
            .push(serde_json::json!({"name": "seats", "type": ["null", "long"], "default": null}));
    });
    assert_eq!(verdict(&optional), Ok(()));
    let required = changed(&|fields| {
        fields.push(serde_json::json!({"name": "seats", "type": "long"}));
    });
    assert!(verdict(&required).is_err(), "a required field was added");
    let dropped = changed(&|fields| {
        fields.remove(0);
    });
    assert!(verdict(&dropped).is_err(), "a required field was dropped");
    let retyped = changed(&|fields| fields[1]["type"] = serde_json::json!(["null", "long"]));
    assert!(
        verdict(&retyped).is_err(),
        "an optional field changed its type"
    );
    let mut json = base.clone();
    json["fields"].as_array_mut().unwrap().pop();
    let blockless = parse(15, Some(kind), 2, &json.to_string()).unwrap();
    assert!(verdict(&blockless).is_err(), "a block was taken away");
    let renamed = changed(&|fields| fields[0]["name"] = serde_json::json!("id"));
    assert!(verdict(&renamed).is_err(), "a required field was renamed");
}
