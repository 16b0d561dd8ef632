//! Where a malformed datum goes wrong, in words without values.
//!
//! Owns a walk over the bytes by the schema, run only after the codec has refused them; so the
//! codec's own messages, which may quote values, never leave. It refuses nothing and allocates
//! nothing but the path.

use std::fmt;

use apache_avro::Schema;

/// Where and how a datum is malformed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The names of the fields from the block's record down, joined by dots; empty is the record
    /// itself.
    pub field: String,
    /// What is wrong there.
    pub reason: FaultReason,
}

/// What is wrong with a datum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultReason {
    /// The bytes end within the field.
    Truncated,
    /// A length or count is negative, or larger than what is left.
    BadLength,
    /// The branch of an optional field is neither of the two.
    BadBranch,
    /// A boolean is neither 0 nor 1.
    BadBoolean,
    /// A text is not UTF-8.
    NotUtf8,
    /// There are bytes after the last field.
    TrailingBytes,
    /// The bytes follow the schema, but a value lies outside of what the field may hold.
    OutOfRange,
}

impl fmt::Display for FaultReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the bytes end too early",
            Self::BadLength => "a length is impossible",
            Self::BadBranch => "an optional value is neither absent nor present",
            Self::BadBoolean => "a boolean is neither 0 nor 1",
            Self::NotUtf8 => "a text is not UTF-8",
            Self::TrailingBytes => "bytes are left over",
            Self::OutOfRange => "a value is out of range",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            write!(f, "{}", self.reason)
        } else {
            write!(f, "{} at {}", self.reason, self.field)
        }
    }
}

/// Finds what the codec refused in `bytes`.
pub(crate) fn fault(schema: &Schema, bytes: &[u8]) -> Fault {
    let mut walk = Walk {
        rest: bytes,
        path: Vec::new(),
    };
    let reason = match walk.value(schema) {
        Err(reason) => reason,
        Ok(()) if walk.rest.is_empty() => FaultReason::OutOfRange,
        Ok(()) => FaultReason::TrailingBytes,
    };
    Fault {
        field: walk.path.join("."),
        reason,
    }
}

struct Walk<'a, 's> {
    rest: &'a [u8],
    /// Fields entered and not left again: after an error it leads to the place.
    path: Vec<&'s str>,
}

impl<'a, 's> Walk<'a, 's> {
    fn value(&mut self, schema: &'s Schema) -> Result<(), FaultReason> {
        match schema {
            Schema::Null => Ok(()),
            Schema::Boolean => match self.take(1)? {
                [0 | 1] => Ok(()),
                _ => Err(FaultReason::BadBoolean),
            },
            Schema::Float => self.take(4).map(drop),
            Schema::Double => self.take(8).map(drop),
            Schema::Bytes => self.sized().map(drop),
            Schema::String => {
                let text = self.sized()?;
                std::str::from_utf8(text)
                    .map(drop)
                    .map_err(|_| FaultReason::NotUtf8)
            }
            Schema::Fixed(fixed) => self.take(fixed.size).map(drop),
            Schema::Union(union) => {
                let branch = usize::try_from(self.long()?).ok();
                let branch = branch.and_then(|index| union.variants().get(index));
                self.value(branch.ok_or(FaultReason::BadBranch)?)
            }
            Schema::Record(record) => {
                for field in &record.fields {
                    self.path.push(&field.name);
                    self.value(&field.schema)?;
                    self.path.pop();
                }
                Ok(())
            }
            Schema::Array(array) => self.items(|walk| walk.value(&array.items)),
            Schema::Map(map) => self.items(|walk| {
                walk.value(&Schema::String)?;
                walk.value(&map.types)
            }),
            // Every other type our schemas use is an int or a long under a logical type; the schema
            // tests see to it.
            _ => self.long().map(drop),
        }
    }

    /// The blocks of an array or map. Every item of ours takes at least a byte, so the input bounds
    /// the walk.
    fn items(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<(), FaultReason>,
    ) -> Result<(), FaultReason> {
        loop {
            let count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                self.long()?;
            }
            if count.unsigned_abs() > self.rest.len() as u64 {
                return Err(FaultReason::BadLength);
            }
            for _ in 0..count.unsigned_abs() {
                item(self)?;
            }
        }
    }

    fn sized(&mut self) -> Result<&'a [u8], FaultReason> {
        let length = usize::try_from(self.long()?).map_err(|_| FaultReason::BadLength)?;
        if length > self.rest.len() {
            return Err(FaultReason::BadLength);
        }
        self.take(length)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], FaultReason> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(FaultReason::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A zigzag variable-length integer of at most 64 bits.
    fn long(&mut self) -> Result<i64, FaultReason> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = *self.take(1)? else {
                return Err(FaultReason::Truncated);
            };
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        Err(FaultReason::OutOfRange)
    }
}
