//! One spelling for each identifier, so that one person is not two.
//!
//! Owns what is the same: white space, characters nobody sees, full width and half width; the case of an
//! e-mail address; how a telephone number is grouped and whether it is written as at home or as from
//! abroad. It refuses to guess: a telephone number that fits no rule stays as it was written, and a
//! customer number keeps its case and its zeros.

use assent_consent::Namespace;
use icu_normalizer::ComposingNormalizerBorrowed;

use crate::Identifier;

/// The calling code of China, where nothing else is configured.
pub const CHINA: u32 = 86;

impl Identifier {
    /// The same identifier in the one spelling that the vault knows. `calling_code` is that of the
    /// country whose telephone numbers are written without one, such as [`CHINA`].
    ///
    /// Every identifier passes here before it is looked up or stored. Doing it twice changes nothing.
    #[must_use]
    pub fn normal(self, calling_code: u32) -> Self {
        let Self { namespace, value } = self;
        let clean = clean(&ComposingNormalizerBorrowed::new_nfkc().normalize(&value));
        let value = match Kind::of(&namespace) {
            Kind::Other => clean,
            Kind::Email => clean.to_lowercase(),
            Kind::Phone => e164(&clean, calling_code).unwrap_or(clean),
        };
        Self { namespace, value }
    }
}

/// What the values of a namespace are, by the last word of its name: `work_email`, `phone`.
enum Kind {
    Email,
    Phone,
    Other,
}

impl Kind {
    fn of(namespace: &Namespace) -> Self {
        let name = namespace.as_str();
        match name.rsplit('_').next().unwrap_or(name) {
            "email" | "mail" => Self::Email,
            "phone" | "mobile" | "tel" => Self::Phone,
            _ => Self::Other,
        }
    }
}

/// A text without white space around it and without characters that cannot be seen. Nobody can tell
/// `"P01"` from `"P01\u{200b}"` or `"P01 "`, so they must not be two people.
#[must_use]
pub fn clean(text: &str) -> String {
    // Everything that ASCII has is seen, or white space.
    if text.is_ascii() {
        return text.trim().to_owned();
    }
    let seen: String = text.chars().filter(|c| !is_invisible(*c)).collect();
    // White space includes U+00A0 and U+3000.
    seen.trim().to_owned()
}

/// Format characters of no width: zero-width spaces and joiners, marks of direction, BOM.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
    )
}

/// A telephone number as E.164 writes it; `None` when it cannot be told which it is.
fn e164(text: &str, calling_code: u32) -> Option<String> {
    let is_separator = |c: char| c.is_whitespace() || "-.()/\u{2010}\u{2011}\u{2013}".contains(c);
    let dense: String = text.chars().filter(|c| !is_separator(*c)).collect();
    let (digits, is_abroad) = match dense.strip_prefix('+') {
        Some(rest) => (rest, true),
        None => match dense.strip_prefix("00") {
            Some(rest) => (rest, true),
            None => (dense.as_str(), false),
        },
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = if is_abroad {
        digits.to_owned()
    } else {
        national(digits, calling_code)?
    };
    let is_possible = (8..=15).contains(&number.len()) && !number.starts_with('0');
    is_possible.then(|| format!("+{number}"))
}

/// A number written as at home, with its calling code.
fn national(digits: &str, calling_code: u32) -> Option<String> {
    if calling_code == CHINA {
        return chinese(digits);
    }
    // One zero before the number is how most countries dial within themselves.
    let rest = digits.strip_prefix('0').unwrap_or(digits);
    Some(format!("{calling_code}{rest}"))
}

/// Of China: eleven digits of a mobile number, also with the calling code and no sign before it; an area
/// code with its zero and seven or eight digits. Short numbers and numbers without an area code are
/// different people's in different places.
fn chinese(digits: &str) -> Option<String> {
    let is_mobile = |digits: &str| digits.len() == 11 && digits.starts_with('1');
    match digits.strip_prefix("86") {
        Some(rest) if is_mobile(rest) => return Some(digits.to_owned()),
        Some(_) | None => {}
    }
    if is_mobile(digits) {
        return Some(format!("{CHINA}{digits}"));
    }
    let rest = digits.strip_prefix('0')?;
    (9..=11)
        .contains(&rest.len())
        .then(|| format!("{CHINA}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelt(namespace: &str, value: &str, calling_code: u32) -> String {
        let namespace = Namespace::parse(namespace).unwrap();
        let once = Identifier::new(namespace, value).normal(calling_code);
        assert_eq!(once.clone().normal(calling_code), once, "{value}");
        once.value
    }

    #[test]
    fn what_looks_the_same_is_the_same() {
        for value in [
            "P01",
            " P01\u{3000}",
            "P\u{200b}01",
            "Ｐ０１",
            "\u{feff}Ｐ01",
        ] {
            assert_eq!(spelt("customer", value, CHINA), "P01", "{value:?}");
        }
        // Composed and not.
        assert_eq!(spelt("customer", "e\u{301}", CHINA), "\u{e9}");
        for (one, other) in [("p01", "P01"), ("01", "1"), ("P 01", "P01")] {
            assert_ne!(
                spelt("customer", one, CHINA),
                spelt("customer", other, CHINA)
            );
        }
    }

    #[test]
    fn an_address_has_no_case() {
        for namespace in ["email", "work_email", "mail"] {
            assert_eq!(spelt(namespace, " A@Example.COM ", CHINA), "a@example.com");
            assert_eq!(spelt(namespace, "ａ＠example.com", CHINA), "a@example.com");
        }
        assert_eq!(spelt("email_id", "A", CHINA), "A");
    }

    #[test]
    fn a_chinese_number_is_one_however_it_is_written() {
        for value in [
            "13800138000",
            "138 0013 8000",
            "138-0013-8000",
            "１３８００１３８０００",
            "+8613800138000",
            "+86 138 0013 8000",
            "(+86) 138-0013-8000",
            "＋86 138 0013 8000",
            "008613800138000",
            "8613800138000",
        ] {
            for namespace in ["phone", "mobile", "home_phone"] {
                assert_eq!(spelt(namespace, value, CHINA), "+8613800138000", "{value}");
            }
        }
        assert_eq!(spelt("phone", "010-12345678", CHINA), "+861012345678");
        assert_eq!(spelt("phone", "0755 1234567", CHINA), "+867551234567");
        assert_eq!(spelt("phone", "+1 (212) 555-0100", CHINA), "+12125550100");
        // Nobody knows whose these are.
        for value in [
            "12345678",
            "138",
            "138001380001",
            "0000",
            "+",
            "+0123456789",
            "planted",
            "",
        ] {
            assert_eq!(spelt("phone", value, CHINA), value);
        }
        assert_eq!(spelt("phone", " ext. 7 ", CHINA), "ext. 7");
    }

    #[test]
    fn elsewhere_the_calling_code_is_put_before() {
        assert_eq!(spelt("phone", "0151 12345678", 49), "+4915112345678");
        assert_eq!(spelt("phone", "15112345678", 49), "+4915112345678");
        assert_eq!(spelt("phone", "13800138000", 852), "+85213800138000");
    }
}
