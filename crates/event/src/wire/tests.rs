use serde_json::{Value, json};

use super::*;
use crate::{KeyClass, Kind, SubscriptionChangeProfile, schema};

/// The block's schema as another version might have it.
fn version(change: impl FnOnce(&mut Vec<Value>)) -> Schema {
    let block = schema::current(Kind::SubscriptionChange).block(Some(KeyClass::Profile));
    let mut json: Value = serde_json::from_str(block.unwrap().json()).unwrap();
    change(json["fields"].as_array_mut().unwrap());
    json.to_string().parse().unwrap()
}

fn sample() -> SubscriptionChangeProfile {
    SubscriptionChangeProfile {
        subscription: "s1".to_owned(),
        status: Some("active".to_owned()),
        amount: Some(9.5),
        ..SubscriptionChangeProfile::default()
    }
}

#[test]
fn a_block_written_before_an_optional_field_existed_is_read() {
    let older = version(|fields| fields.retain(|field| field["name"] != "renews_at"));
    // As the older version wrote it: without the byte that says the field is absent.
    let mut bytes = encode(&Written(&sample()), &version(|_| {}), Vec::new()).unwrap();
    let before = b"\x04s1\x00\x02\x0cactive\x00".len();
    assert_eq!(bytes.remove(before), 0);
    let Read(read) = decode::<Read<SubscriptionChangeProfile>>(&bytes, &older).unwrap();
    assert_eq!(read, sample());
    // But it is never written so: that would lose the field.
    let lossy = encode(&Written(&sample()), &older, Vec::new());
    assert_eq!(lossy, Err(DoesNotFit));
}

#[test]
fn a_block_written_with_fields_of_a_later_version_is_read() {
    let later = version(|fields| {
        fields.insert(
            1,
            json!({"name": "seats", "type": ["null", "long"], "default": null}),
        );
        fields.push(json!({"name": "tags", "type": ["null", {"type": "array", "items": "string"}], "default": null}));
    });
    // As a later version would write it: seats 7, tags absent.
    let today = version(|_| {});
    let plain = encode(&Written(&sample()), &today, Vec::new()).unwrap();
    let (subscription, rest) = plain.split_at(3);
    let bytes = [subscription, &[2, 14], rest, &[0]].concat();
    let Read(read) = decode::<Read<SubscriptionChangeProfile>>(&bytes, &later).unwrap();
    assert_eq!(read, sample());
}

#[test]
fn the_order_of_fields_is_the_schemas() {
    let turned = version(|fields| fields.reverse());
    let bytes = encode(&Written(&sample()), &turned, Vec::new()).unwrap();
    assert!(bytes.ends_with(b"\x04s1"), "{bytes:?}");
    let Read(read) = decode::<Read<SubscriptionChangeProfile>>(&bytes, &turned).unwrap();
    assert_eq!(read, sample());
}

#[test]
fn a_value_that_does_not_fit_is_refused() {
    let other = version(|fields| fields[0]["type"] = json!("boolean"));
    assert_eq!(
        encode(&Written(&sample()), &other, Vec::new()),
        Err(DoesNotFit)
    );
}
