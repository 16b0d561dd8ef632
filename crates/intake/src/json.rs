//! JSON whose repeated names are not overlooked.
//!
//! RFC 8259 §4 leaves open what a name means that stands twice in an object, and a reader that takes
//! the last one would read `{"state":"withdrawn","state":"granted"}` as a grant. Here what stands
//! under a repeated name becomes a list of all of it, and is told: whoever wants one value finds none.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Value};

use crate::error::Error;

/// A value, and whether a name is repeated in it.
pub(crate) struct Sent {
    pub(crate) value: Value,
    pub(crate) repeated: bool,
}

impl Sent {
    /// A value that was made or parsed elsewhere.
    pub(crate) fn whole(value: Value) -> Self {
        Self {
            value,
            repeated: false,
        }
    }

    /// One value.
    ///
    /// # Errors
    /// [`Error::NotJson`].
    pub(crate) fn one(bytes: &[u8]) -> Result<Self, Error> {
        read(bytes)
    }

    /// The values of an array, or one value; and whether it was an array.
    ///
    /// # Errors
    /// [`Error::NotJson`].
    pub(crate) fn many(bytes: &[u8]) -> Result<(Vec<Self>, bool), Error> {
        if bytes.trim_ascii_start().starts_with(b"[") {
            Ok((read(bytes)?, true))
        } else {
            Ok((vec![read(bytes)?], false))
        }
    }
}

fn read<'b, T: Deserialize<'b>>(bytes: &'b [u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::NotJson {
        line: error.line(),
        column: error.column(),
    })
}

impl<'de> Deserialize<'de> for Sent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Sent;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Sent, E> {
        Ok(Sent::whole(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Sent, E> {
        Ok(Sent::whole(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Sent, E> {
        Ok(Sent::whole(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Sent, E> {
        Ok(Sent::whole(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Sent, E> {
        Ok(Sent::whole(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Sent, E> {
        Ok(Sent::whole(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Sent, E> {
        Ok(Sent::whole(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Sent, A::Error> {
        let (mut list, mut repeated) = (Vec::new(), false);
        while let Some(item) = items.next_element::<Sent>()? {
            repeated |= item.repeated;
            list.push(item.value);
        }
        Ok(Sent {
            value: Value::Array(list),
            repeated,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Sent, A::Error> {
        let (mut object, mut repeated) = (Map::new(), false);
        while let Some((name, item)) = fields.next_entry::<String, Sent>()? {
            repeated |= item.repeated;
            match object.entry(name) {
                Entry::Vacant(place) => {
                    place.insert(item.value);
                }
                Entry::Occupied(mut place) => {
                    repeated = true;
                    let mut all = listed(place.get_mut().take());
                    all.extend(listed(item.value));
                    place.insert(Value::Array(all));
                }
            }
        }
        Ok(Sent {
            value: Value::Object(object),
            repeated,
        })
    }
}

fn listed(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        one @ (Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Object(_)) => vec![one],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Sent;

    #[test]
    fn json_is_read_as_ever_but_for_repeated_names() {
        let plain = json!({"a": [1, -2, 1.5, "x\n", null, true, {"b": {}}], "c": "\u{4e2d}"});
        let sent = Sent::one(plain.to_string().as_bytes()).unwrap();
        assert_eq!((sent.value, sent.repeated), (plain, false));
        let sent = Sent::one(br#"{"a":1,"b":2,"a":[3],"a":null}"#).unwrap();
        assert_eq!(sent.value, json!({"a": [1, 3, null], "b": 2}));
        assert!(sent.repeated);
        assert!(Sent::one(br#"{"a":[{"b":1,"b":1}]}"#).unwrap().repeated);
        assert!(Sent::one(b"{} {}").is_err());
        assert!(Sent::one(b"").is_err());
    }

    #[test]
    fn each_value_of_an_array_answers_for_itself() {
        let (items, array) = Sent::many(br#" [{"a":1,"a":1},{"a":1},5]"#).unwrap();
        assert!(array);
        let repeated: Vec<bool> = items.iter().map(|item| item.repeated).collect();
        assert_eq!(repeated, [true, false, false]);
        let (items, array) = Sent::many(b"5").unwrap();
        assert_eq!((items[0].value.clone(), array), (Value::from(5), false));
        // As deep as serde_json goes, and no deeper.
        assert!(Sent::many("[".repeat(100_000).as_bytes()).is_err());
    }
}
