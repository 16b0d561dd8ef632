//! Ids that are not names: subjects, and references to one version of a notice.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::hex16;
use crate::slug::NoticeId;

/// One natural person as one source knows them: sixteen opaque random bytes.
///
/// Written as 32 hexadecimal digits. It is random and never derived from an identifier, so
/// showing it tells nothing about the person.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectId([u8; 16]);

/// A text that is not a subject id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a subject id: expected 32 hexadecimal digits")]
pub struct InvalidSubjectId;

impl SubjectId {
    /// The id made of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes of the id.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The bytes of the id, by value.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl From<[u8; 16]> for SubjectId {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for SubjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for SubjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubjectId({self})")
    }
}

impl FromStr for SubjectId {
    type Err = InvalidSubjectId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        hex16::read(text).map(Self).ok_or(InvalidSubjectId)
    }
}

impl Serialize for SubjectId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        hex16::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for SubjectId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        hex16::deserialize(deserializer).map(Self)
    }
}

/// One immutable version of a notice, written `id@version`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NoticeRef {
    /// Which notice.
    pub id: NoticeId,
    /// Which version of it.
    pub version: u32,
}

/// A text that is not a reference to a notice version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a notice version: write the notice's id, @ and its version, such as membership_terms@3"
)]
pub struct InvalidNoticeRef;

impl fmt::Display for NoticeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.version)
    }
}

impl FromStr for NoticeRef {
    type Err = InvalidNoticeRef;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, version) = text.split_once('@').ok_or(InvalidNoticeRef)?;
        Ok(Self {
            id: NoticeId::parse(id).map_err(|_| InvalidNoticeRef)?,
            version: version.parse().map_err(|_| InvalidNoticeRef)?,
        })
    }
}

impl Serialize for NoticeRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NoticeRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_id_is_thirty_two_hexadecimal_digits() {
        let text = "000102030405060708090a0b0c0d0eff";
        let id: SubjectId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(id.as_bytes()[15], 0xff);
        assert_eq!(text.to_uppercase().parse(), Ok(id));
        assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{text}\""));
        for bad in [
            "",
            "00",
            "zz0102030405060708090a0b0c0d0eff",
            &format!("{text}0"),
        ] {
            assert!(bad.parse::<SubjectId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_notice_version_is_written_with_an_at_sign() {
        let reference: NoticeRef = "membership_terms@3".parse().unwrap();
        assert_eq!(reference.version, 3);
        assert_eq!(reference.to_string(), "membership_terms@3");
        for bad in [
            "membership_terms",
            "membership_terms@",
            "Terms@3",
            "a@-1",
            "a@3@4",
        ] {
            assert_eq!(bad.parse::<NoticeRef>(), Err(InvalidNoticeRef), "{bad}");
        }
    }
}
