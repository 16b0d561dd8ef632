//! Canonical JSON and digests: one text for one value, so that equal definitions have equal bytes.
//!
//! RFC 8785 without floating-point numbers: members sorted by UTF-16 code units, no insignificant
//! whitespace, integers as they are. Bodies hold no fractions, so refusing them costs nothing and
//! spares us the number formatting of ECMAScript.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The canonical text of a value; `None` if it holds a number that is not an integer.
#[must_use]
pub fn canonical_json(value: &Value) -> Option<String> {
    let mut out = String::new();
    write_value(value, &mut out)?;
    Some(out)
}

fn write_value(value: &Value, out: &mut String) -> Option<()> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            out.push_str(&number.to_string());
        }
        Value::Number(_) => return None,
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(item, out)?;
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut sorted: Vec<(&String, &Value)> = members.iter().collect();
            sorted.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (index, (name, member)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_text(name, out);
                out.push(':');
                write_value(member, out)?;
            }
            out.push('}');
        }
    }
    Some(())
}

/// The escapes of RFC 8785 §3.2.2.2.
fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if c < '\u{20}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// SHA-256 in lower-case hex.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_are_sorted_by_utf16_and_nothing_is_insignificant() {
        // U+1F600 is a surrogate pair (d83d …) and sorts before U+FB33, unlike in UTF-8.
        let value =
            json!({"\u{fb33}": 1, "\u{1f600}": 2, "b": [true, null, "x"], "a": {"z": -3, "y": 4}});
        assert_eq!(
            canonical_json(&value).unwrap(),
            "{\"a\":{\"y\":4,\"z\":-3},\"b\":[true,null,\"x\"],\"\u{1f600}\":2,\"\u{fb33}\":1}"
        );
    }

    #[test]
    fn text_is_escaped_as_rfc_8785_says() {
        let value = json!("\u{20ac}$\u{f}\nA'\u{42}\"\\\"/\u{7f}");
        assert_eq!(
            canonical_json(&value).unwrap(),
            "\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\"/\u{7f}\""
        );
    }

    #[test]
    fn fractions_are_refused() {
        assert_eq!(canonical_json(&json!({"k": [1.5]})), None);
        assert_eq!(
            canonical_json(&json!(u64::MAX)).unwrap(),
            "18446744073709551615"
        );
    }

    #[test]
    fn the_digest_is_sha256() {
        assert_eq!(
            sha256_hex(b"demo-server-key"),
            hex::encode(Sha256::digest(b"demo-server-key"))
        );
        assert_eq!(
            sha256_hex(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
