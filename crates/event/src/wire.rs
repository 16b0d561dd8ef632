//! How Rust values become Avro data and back, against a parsed schema.
//!
//! Owns the serde adapters (fixed bytes, microseconds) and the two functions every datum passes
//! through. It refuses trailing bytes, sequences beyond [`MAX_ELEMENTS`], and to let a block type
//! be serialised by anything else: a block's serde code is reachable through the crate-private
//! [`Block`] only, so that no log line prints one by accident.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_avro_fast::Schema;
use serde_avro_fast::de::read::SliceRead;
use serde_avro_fast::de::{DeserializerConfig, DeserializerState};
use serde_avro_fast::ser::SerializerConfig;

/// The most elements a list or map may claim; the length of the input bounds it as well.
const MAX_ELEMENTS: usize = 1 << 20;

/// How deeply a datum may nest; our schemas need eight at most.
const MAX_DEPTH: usize = 16;

/// A record that stands on the wire as one datum: the clear block or a sealed one.
pub(crate) trait Block: Sized {
    /// The name of its record in the schema.
    const NAME: &'static str;
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

/// Makes a type that derives `Serialize, Deserialize` with `remote = "Self"` a [`Block`].
macro_rules! block {
    ($type:ident) => {
        impl crate::wire::Block for $type {
            const NAME: &'static str = stringify!($type);
            fn write<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $type::serialize(self, serializer)
            }
            fn read<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $type::deserialize(deserializer)
            }
        }
    };
    // A block of personal data: its Debug shows nothing but its name.
    (personal $type:ident) => {
        crate::wire::block!($type);
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($type), "(…)"))
            }
        }
    };
}
pub(crate) use block;

/// A block, to be written.
pub(crate) struct Written<'a, B>(pub(crate) &'a B);

impl<B: Block> Serialize for Written<'_, B> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write(serializer)
    }
}

/// A block that was read.
pub(crate) struct Read<B>(pub(crate) B);

impl<'de, B: Block> Deserialize<'de> for Read<B> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        B::read(deserializer).map(Self)
    }
}

/// Why a datum cannot be written. The library's text may quote values, so none is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DoesNotFit;

/// Why a datum cannot be read. The library's text may quote values, so none is kept;
/// [`crate::locate`] finds the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// Appends the datum of `value` to `into`.
pub(crate) fn encode<T: Serialize>(
    value: &T,
    schema: &Schema,
    into: Vec<u8>,
) -> Result<Vec<u8>, DoesNotFit> {
    serde_avro_fast::to_datum(value, into, &mut SerializerConfig::new(schema))
        .map_err(|_| DoesNotFit)
}

/// Reads a datum that fills `bytes` to the last one.
pub(crate) fn decode<'de, T: Deserialize<'de>>(
    bytes: &'de [u8],
    schema: &Schema,
) -> Result<T, Unreadable> {
    let mut config = DeserializerConfig::new(schema);
    config.max_seq_size = MAX_ELEMENTS;
    config.allowed_depth = MAX_DEPTH;
    let mut state = DeserializerState::with_config(SliceRead::new(bytes), config);
    let value = T::deserialize(state.deserializer()).map_err(|_| Unreadable)?;
    let rest = std::io::BufRead::fill_buf(&mut state.into_reader()).map_or(usize::MAX, <[u8]>::len);
    if rest == 0 {
        Ok(value)
    } else {
        Err(Unreadable)
    }
}

/// Bytes of a fixed length, as Avro `fixed`.
struct Fixed<const N: usize>([u8; N]);

impl<const N: usize> Serialize for Fixed<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Fixed<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<const N: usize>;
        impl<const N: usize> serde::de::Visitor<'_> for Visitor<N> {
            type Value = Fixed<N>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{N} bytes")
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Fixed<N>, E> {
                bytes
                    .try_into()
                    .map(Fixed)
                    .map_err(|_| E::invalid_length(bytes.len(), &self))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}

/// `[u8; N]` as Avro `fixed`.
pub(crate) mod fixed {
    use super::{Deserialize, Deserializer, Fixed, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer, const N: usize>(
        bytes: &[u8; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        Fixed::deserialize(deserializer).map(|Fixed(bytes)| bytes)
    }

    /// `Option<[u8; N]>` as `[null, fixed]`.
    pub(crate) mod option {
        use super::{Deserialize, Deserializer, Fixed, Serialize, Serializer};

        pub(crate) fn serialize<S: Serializer, const N: usize>(
            bytes: &Option<[u8; N]>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            bytes.map(Fixed).serialize(serializer)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
            deserializer: D,
        ) -> Result<Option<[u8; N]>, D::Error> {
            Ok(Option::deserialize(deserializer)?.map(|Fixed(bytes)| bytes))
        }
    }
}

/// `SubjectId` as Avro `fixed` of 16.
pub(crate) mod subject {
    use super::{Deserializer, Serializer, fixed};
    use assent_consent::SubjectId;

    pub(crate) fn serialize<S: Serializer>(
        subject: &SubjectId,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        fixed::serialize(&subject.to_bytes(), serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SubjectId, D::Error> {
        fixed::deserialize(deserializer).map(SubjectId::from_bytes)
    }

    /// `Option<SubjectId>` as `[null, fixed]`.
    pub(crate) mod option {
        use super::{Deserializer, Serializer, SubjectId, fixed};

        pub(crate) fn serialize<S: Serializer>(
            subject: &Option<SubjectId>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            fixed::option::serialize(&subject.map(SubjectId::to_bytes), serializer)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<SubjectId>, D::Error> {
            Ok(fixed::option::deserialize(deserializer)?.map(SubjectId::from_bytes))
        }
    }
}

/// `Timestamp` as Avro `timestamp-micros`.
pub(crate) mod micros {
    use super::{Deserialize, Deserializer, Serialize, Serializer};
    use assent_consent::Timestamp;

    pub(crate) fn serialize<S: Serializer>(
        time: &Timestamp,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(time.micros())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Timestamp, D::Error> {
        i64::deserialize(deserializer).map(Timestamp::from_micros)
    }

    /// `Option<Timestamp>` as `[null, timestamp-micros]`.
    pub(crate) mod option {
        use super::{Deserialize, Deserializer, Serialize, Serializer, Timestamp};

        pub(crate) fn serialize<S: Serializer>(
            time: &Option<Timestamp>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            time.map(Timestamp::micros).serialize(serializer)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Timestamp>, D::Error> {
            Ok(Option::deserialize(deserializer)?.map(Timestamp::from_micros))
        }
    }
}

/// `Vec<u8>` as Avro `bytes`.
pub(crate) mod bytes {
    use super::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}

#[cfg(test)]
mod tests;
