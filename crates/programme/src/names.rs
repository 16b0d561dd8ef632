//! Names that are neither purposes nor categories: columns, segments, sources, principals; and which of them name
//! direct identifiers.

use std::fmt;
use std::str::FromStr;

/// A name of the form `[a-z][a-z0-9_]{0,63}`: it can stand in SQL without quotes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slug(pub(crate) String);

/// The text is not such a name.
#[derive(Debug)]
pub(crate) struct NotASlug;

impl fmt::Display for NotASlug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "this is not a valid name; write a lower-case letter followed by at most 63 lower-case \
             letters, digits or underscores",
        )
    }
}

impl FromStr for Slug {
    type Err = NotASlug;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_name(text, b"_") {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotASlug)
        }
    }
}

/// A name of a source or principal: as [`Slug`], with hyphens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Handle(pub(crate) String);

/// The text is not such a name.
#[derive(Debug)]
pub(crate) struct NotAHandle;

impl fmt::Display for NotAHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "this is not a valid name; write a lower-case letter followed by at most 63 lower-case \
             letters, digits, hyphens or underscores",
        )
    }
}

impl FromStr for Handle {
    type Err = NotAHandle;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_name(text, b"_-") {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAHandle)
        }
    }
}

fn is_name(text: &str, marks: &[u8]) -> bool {
    let mut bytes = text.bytes();
    text.len() <= 64
        && bytes.next().is_some_and(|b| b.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || marks.contains(&b))
}

/// A SHA-256 in lower-case hex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sha256Hex(pub(crate) String);

/// The text is not a SHA-256 in lower-case hex.
#[derive(Debug)]
pub(crate) struct NotASha256;

impl fmt::Display for NotASha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "this is not a SHA-256; write the 64 lower-case hex digits that \
             `printf %s KEY | sha256sum` prints, in quotes, never the key itself",
        )
    }
}

impl FromStr for Sha256Hex {
    type Err = NotASha256;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 64 && text.bytes().all(digit) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotASha256)
        }
    }
}

/// A name of a property or trait as names are compared: without the space around it, whatever its case.
#[must_use]
pub fn folded(name: &str) -> String {
    name.trim().to_lowercase()
}

/// Whether two names of properties or traits are one. Whoever sends `Symptom` means `symptom`.
#[must_use]
pub fn alike(a: &str, b: &str) -> bool {
    let (a, b) = (a.trim(), b.trim());
    a.eq_ignore_ascii_case(b) || (!(a.is_ascii() && b.is_ascii()) && folded(a) == folded(b))
}

/// Words that name a direct identifier: something by which a person can be reached or recognised by
/// anybody, not by us alone.
const DIRECT: &[&str] = &[
    "phone", "mobile", "msisdn", "tel", "email", "mail", "openid", "unionid", "wechat", "weixin",
    "alipay", "passport", "idcard", "ssn", "imei", "oaid", "idfa", "gaid", "aaid", "mac",
];
/// Words that may follow such a word and change nothing.
const TAILS: &[&str] = &["number", "no", "address"];

fn is_direct(word: &str) -> bool {
    DIRECT.contains(&word) || word.ends_with("phone") || word.ends_with("email")
}

/// Whether the last word names a direct identifier, or the last two in one: `open id`.
fn ends_direct(words: &[String]) -> bool {
    match words {
        [.., before, last] => {
            is_direct(last) || DIRECT.contains(&format!("{before}{last}").as_str())
        }
        [last] => is_direct(last),
        [] => false,
    }
}

/// The words of a name in lower case: `workEmail`, `work_email` and `Work-Email` have the same two.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut small = false;
    for c in name.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && small) {
            words.push(String::new());
        }
        small = c.is_lowercase();
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Whether a namespace holds direct identifiers: a word of its name says so. Exports never carry these.
pub(crate) fn is_direct_namespace(name: &str) -> bool {
    let words = words(name);
    (1..=words.len()).any(|end| ends_direct(&words[..end]))
}

/// Whether a trait or property of this name holds a direct identifier: its last word says so.
/// `email_opens_90d` counts something, `work_email` is an address. The one rule for what is sealed at
/// intake, refused as a column and taken out at the gate, whatever a source declares.
#[must_use]
pub fn is_direct_identifier(name: &str) -> bool {
    let words = words(name);
    match words.as_slice() {
        [rest @ .., tail] if TAILS.contains(&tail.as_str()) => ends_direct(rest),
        all => ends_direct(all),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn direct_identifiers_are_told_from_numbers_of_ours() {
        for name in [
            "phone",
            "mobile_phone",
            "telephone",
            "email",
            "work_email",
            "openid",
            "wechat_openid",
            "open_id",
            "id_card",
            "unionid",
            "mobile",
            "phone_sha256",
        ] {
            assert!(is_direct_namespace(name), "{name}");
        }
        for name in ["customer_no", "member_no", "loyalty_card", "order_id"] {
            assert!(!is_direct_namespace(name), "{name}");
            assert!(!is_direct_identifier(name), "{name}");
        }
        for name in [
            "phone",
            "work_email",
            "phone_number",
            "email_address",
            "wechat_open_id",
            "id_card_no",
            " Phone ",
            "PHONE",
            "workEmail",
            "mobilePhoneNumber",
            "openID",
            "WeChat",
            "E-Mail",
        ] {
            assert!(is_direct_identifier(name), "{name}");
        }
        for name in ["email_opens_90d", "phoneBrand", "last_mail_at", "no", ""] {
            assert!(!is_direct_identifier(name), "{name}");
        }
    }

    #[test]
    fn names_are_one_whatever_their_case_and_the_space_around_them() {
        assert!(alike(" Symptom", "symptom"));
        assert!(alike("Ärger", "ärger"));
        assert!(!alike("symptom", "symptoms"));
    }

    #[test]
    fn hashes_are_lower_case_and_whole() {
        assert!("a".repeat(64).parse::<Sha256Hex>().is_ok());
        for wrong in [
            "A".repeat(64),
            "a".repeat(63),
            "g".repeat(64),
            "demo-server-key".to_owned(),
        ] {
            assert!(wrong.parse::<Sha256Hex>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_have_a_form() {
        assert!("purchases_90d".parse::<Slug>().is_ok());
        assert!("cdnow-import".parse::<Slug>().is_err());
        assert!("cdnow-import".parse::<Handle>().is_ok());
        for wrong in ["", "9x", "Upper", "a b", "ä"] {
            assert!(wrong.parse::<Handle>().is_err(), "{wrong}");
        }
    }
}
