//! Names that people write in definitions and SQL: lower-case, short, without surprises.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A text that is not a valid name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what}: not a valid name; write a lower-case letter followed by at most 63 lower-case \
     letters, digits or underscores, such as {example}"
)]
pub struct InvalidName {
    what: &'static str,
    example: &'static str,
}

const LONGEST: usize = 64;

fn is_slug(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= LONGEST
        && bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

macro_rules! slug {
    ($(#[$doc:meta])* $name:ident, $what:literal, $example:literal) => {
        $(#[$doc])*
        ///
        /// One lower-case letter followed by at most 63 lower-case letters, digits or underscores.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Reads a name.
            ///
            /// # Errors
            /// [`InvalidName`], naming the field and the form asked for; the refused text is not
            /// repeated, since it may be anything.
            pub fn parse(text: &str) -> Result<Self, InvalidName> {
                if is_slug(text) {
                    Ok(Self(Arc::from(text)))
                } else {
                    Err(InvalidName { what: $what, example: $example })
                }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(de::Error::custom)
            }
        }
    };
}

slug!(
    /// Names a purpose, such as `email_marketing`.
    PurposeId, "purpose", "email_marketing"
);
slug!(
    /// Names a way to reach a person, such as `email` or `sms`.
    Channel, "channel", "email"
);
slug!(
    /// Names a category of personal data, such as `contact` or `health`.
    Category, "category", "transaction"
);
slug!(
    /// Names another handler to whom data is provided (art. 23).
    RecipientId, "recipient", "card_partner"
);
slug!(
    /// Names a notice; with its version it is a [`crate::NoticeRef`].
    NoticeId, "notice", "membership_terms"
);
slug!(
    /// Names a space of identifiers, such as `customer_no` or `phone`.
    Namespace, "namespace", "customer_no"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_and_short() {
        for good in ["a", "email_marketing", "p2", &"x".repeat(64)] {
            assert_eq!(PurposeId::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "_a",
            "2p",
            "E-mail",
            "email marketing",
            "営業",
            &"x".repeat(65),
        ] {
            assert!(Channel::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_error_names_the_field_and_the_fix() {
        let error = Category::parse("Order History").unwrap_err().to_string();
        assert!(error.starts_with("category:"), "{error}");
        assert!(error.contains("such as transaction"), "{error}");
        assert!(!error.contains("Order"), "{error}");
    }

    #[test]
    fn serde_validates() {
        let read = serde_json::from_str::<Namespace>("\"phone\"").unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), "\"phone\"");
        assert!(serde_json::from_str::<Namespace>("\"Phone\"").is_err());
    }
}
