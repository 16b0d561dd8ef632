//! The identifiers an event carries: its own id, and what a source calls a person.
//!
//! Refuses to print what a source calls a person: that is personal data (PIPL art. 4).

use std::fmt;
use std::str::FromStr;

use assent_consent::Namespace;

/// The id of one event: 16 opaque bytes, made by intake, never derived from personal data.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId([u8; 16]);

/// A text that is not 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event id is 32 hexadecimal digits")]
pub struct InvalidEventId;

impl EventId {
    /// The id made of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes of the id.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// The bytes of the id, borrowed (for associated data and keys).
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl From<[u8; 16]> for EventId {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventId({self})")
    }
}

impl FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| InvalidEventId)?;
        Ok(Self(bytes))
    }
}

/// What a source calls a person: a value in a namespace (`customer`, `phone`, `anonymous` …).
///
/// Looked up and sealed by the vault; `Debug` shows the namespace only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identifier {
    /// Whose numbering it is.
    pub namespace: Namespace,
    /// The number, address or name itself: personal data.
    pub value: String,
}

impl Identifier {
    /// The identifier `value` in `namespace`.
    #[must_use]
    pub fn new(namespace: Namespace, value: impl Into<String>) -> Self {
        Self {
            namespace,
            value: value.into(),
        }
    }
}

impl fmt::Debug for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identifier({}:…)", self.namespace.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_reads_back_what_it_prints() {
        let id = EventId::from_bytes(*b"\x00\x01\x7f\x80\xfe\xff0123456789");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        assert_eq!("".parse::<EventId>(), Err(InvalidEventId));
        assert_eq!("zz".repeat(16).parse::<EventId>(), Err(InvalidEventId));
        assert_eq!("é".repeat(16).parse::<EventId>(), Err(InvalidEventId));
    }

    #[test]
    fn an_identifier_never_prints_its_value() {
        let phone = Identifier::new(Namespace::parse("phone").unwrap(), "13800138000");
        let shown = format!("{phone:?}");
        assert!(shown.contains("phone") && !shown.contains("138"), "{shown}");
    }
}
