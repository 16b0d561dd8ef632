//! Who commits: a token that tells one run of one projector from every other.

use std::fmt;
use std::str::FromStr;

use assent_vault::RandomSource;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// 16 bytes drawn at random when a projector starts. Two that are alike would take each other's commits for their own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner([u8; 16]);

impl Owner {
    /// Draws a token.
    #[must_use]
    pub fn random(random: &dyn RandomSource) -> Self {
        let mut bytes = [0; 16];
        random.fill(&mut bytes);
        Self(bytes)
    }

    /// The token of these bytes, for tests.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The first eight digits: enough to tell files apart.
    pub(crate) fn short(&self) -> String {
        self.to_string()[..8].to_owned()
    }

    /// A byte that differs between owners and between attempts, by which rivals get out of step.
    pub(crate) fn jitter(&self, attempt: usize) -> u8 {
        self.0[attempt % self.0.len()]
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Owner({self})")
    }
}

impl FromStr for Owner {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "an owner is 32 hexadecimal digits";
        if text.len() != 32 || !text.is_ascii() {
            return Err(WRONG);
        }
        let mut bytes = [0; 16];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| WRONG)?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Owner {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Owner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_is_written() {
        let owner = Owner::from_bytes(*b"0123456789\x00\xffabcd");
        assert_eq!(owner.to_string().parse(), Ok(owner));
        assert_eq!(owner.short(), "30313233");
        for wrong in [
            "",
            "00",
            "g0000000000000000000000000000000",
            "é000000000000000000000000000000",
        ] {
            assert!(wrong.parse::<Owner>().is_err(), "{wrong}");
        }
    }
}
