//! The stored form of a record batch: many records as one compressed, checksummed value.
//!
//! ```text
//! 0   u8      format version, 1
//! 1   u8      codec of the body: 0 plain, 1 zstd
//! 2   u16     zero
//! 4   u32     number of records
//! 8   u32     length of the body when plain
//! 12  u32     CRC-32 of the batch's key (14 bytes), of bytes 0..12 and of the body
//! 16  ..      body
//! ```
//!
//! All numbers are little-endian. The body holds, per record, the lengths of key and value and the
//! number of headers (u32 each), key, value, and per header the two lengths, name and value. The key
//! takes part in the checksum, so that a batch found in another's place is recognised. A reader
//! refuses what it does not understand; it never guesses.

use std::collections::HashMap;

use bytes::Bytes;

use crate::Record;

/// The key of a batch: topic number, partition, position of its first record.
pub(super) type Key = (u16, u32, u64);

/// The only format there is so far.
const VERSION: u8 = 1;
const PLAIN: u8 = 0;
const ZSTD: u8 = 1;
const HEADER: usize = 16;

/// Stored values stay just below 128 KiB: redb gives a large value pages of the next power of two, so
/// a value just above one wastes almost as much again (measured: 1.38 times the payload at 130,000
/// bytes, 2.72 times at 66,000).
const STORED_AIM: usize = 130_000;
/// Bounds for the plain size of a batch; the upper one is what a reader decompresses at a time.
const PLAIN_AIM: std::ops::RangeInclusive<usize> = 64 << 10..=1 << 20;
/// What a reader is ready to decompress: one record above the aim and some more.
const PLAIN_MOST: usize = 8 << 20;
/// The fastest level: sealed bytes hardly compress, what stands around them compresses easily.
const LEVEL: i32 = 1;

/// Why stored bytes are no batch of this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("the stored batch is cut short")]
    Torn,
    #[error("the stored batch has format version {0}, which this version of Assent does not know")]
    Version(u8),
    #[error("the stored batch does not match its checksum")]
    Checksum,
    #[error("the stored batch has an unknown codec")]
    Codec,
    #[error("the stored batch does not decompress to what its header says")]
    Body,
}

/// Packs records into batches. It keeps its buffers, and learns how well the records compress.
pub(super) struct Packer {
    compressor: zstd::bulk::Compressor<'static>,
    plain: Vec<u8>,
    /// Where each record of `plain` ends.
    ends: Vec<usize>,
    stored: Vec<u8>,
    /// Stored bytes per plain byte, as last seen in each topic.
    ratios: HashMap<u16, f64>,
}

impl Packer {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            compressor: zstd::bulk::Compressor::new(LEVEL)?,
            plain: Vec::new(),
            ends: Vec::new(),
            stored: Vec::new(),
            ratios: HashMap::new(),
        })
    }

    /// Packs as many of the first records as make one well-sized batch, at least one. Returns how many
    /// it took and the value to store under `key`.
    ///
    /// `records` must not be empty.
    pub(super) fn pack(
        &mut self,
        key: Key,
        records: &[&Record],
    ) -> std::io::Result<(usize, &[u8])> {
        let ratio = self.ratios.get(&key.0).copied().unwrap_or(1.0);
        let aim = (STORED_AIM as f64 / ratio * 0.97) as usize;
        let aim = aim.clamp(*PLAIN_AIM.start(), *PLAIN_AIM.end());
        self.plain.clear();
        self.ends.clear();
        for record in records {
            let begin = self.plain.len();
            put_record(&mut self.plain, record);
            if self.plain.len() > aim && !self.ends.is_empty() {
                self.plain.truncate(begin);
                break;
            }
            self.ends.push(self.plain.len());
        }
        let mut taken = self.ends.len();
        loop {
            let plain = self.ends[taken - 1];
            let length = self.seal(key, taken as u32, plain)?;
            if plain >= *PLAIN_AIM.start() {
                let ratio = (length as f64 / plain as f64).clamp(0.01, 1.0);
                self.ratios.insert(key.0, ratio);
            }
            if length <= STORED_AIM || taken == 1 {
                return Ok((taken, &self.stored[..length]));
            }
            // The records compressed worse than those before: fewer of them.
            let fewer = taken as f64 * (STORED_AIM as f64 / length as f64) * 0.97;
            taken = (fewer as usize).clamp(1, taken - 1);
        }
    }

    /// Writes the batch of the first `plain` bytes into `stored` and returns its length.
    fn seal(&mut self, key: Key, count: u32, plain: usize) -> std::io::Result<usize> {
        let room = HEADER + zstd::zstd_safe::compress_bound(plain);
        if self.stored.len() < room {
            self.stored.resize(room, 0);
        }
        let body = &self.plain[..plain];
        let compressed = self
            .compressor
            .compress_to_buffer(body, &mut self.stored[HEADER..])?;
        let (codec, length) = if compressed < plain {
            (ZSTD, compressed)
        } else {
            self.stored[HEADER..HEADER + plain].copy_from_slice(body);
            (PLAIN, plain)
        };
        let length = HEADER + length;
        let stored = &mut self.stored[..length];
        stored[0] = VERSION;
        stored[1] = codec;
        stored[2..4].fill(0);
        stored[4..8].copy_from_slice(&count.to_le_bytes());
        stored[8..12].copy_from_slice(&(plain as u32).to_le_bytes());
        let checksum = checksum(key, stored);
        stored[12..16].copy_from_slice(&checksum.to_le_bytes());
        Ok(length)
    }
}

fn put_record(out: &mut Vec<u8>, record: &Record) {
    // Lengths fit in u32: `Record::check` bounds the whole record far below that.
    let length = |n: usize| (n as u32).to_le_bytes();
    out.extend_from_slice(&length(record.key.len()));
    out.extend_from_slice(&length(record.value.len()));
    out.extend_from_slice(&length(record.headers.len()));
    out.extend_from_slice(&record.key);
    out.extend_from_slice(&record.value);
    for (name, value) in &record.headers {
        out.extend_from_slice(&length(name.len()));
        out.extend_from_slice(&length(value.len()));
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(value);
    }
}

/// `stored` must be at least a header long.
fn checksum(key: Key, stored: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&key.0.to_le_bytes());
    crc.update(&key.1.to_le_bytes());
    crc.update(&key.2.to_le_bytes());
    crc.update(&stored[..12]);
    crc.update(&stored[HEADER..]);
    crc.finalize()
}

/// Checks that `stored` is the batch of `key` and returns how many records it holds.
pub(super) fn check(key: Key, stored: &[u8]) -> Result<u32, Fault> {
    let version = *stored.first().ok_or(Fault::Torn)?;
    if version != VERSION {
        return Err(Fault::Version(version));
    }
    if stored.len() < HEADER {
        return Err(Fault::Torn);
    }
    if word(stored, 12) != checksum(key, stored) {
        return Err(Fault::Checksum);
    }
    Ok(word(stored, 4))
}

/// A record read back; its parts are slices of the decompressed batch.
pub(super) struct Unpacked {
    pub(super) key: Bytes,
    pub(super) value: Bytes,
    pub(super) headers: Vec<(String, Bytes)>,
}

/// The records of a batch, one by one.
pub(super) struct Unpacker {
    body: Bytes,
    at: usize,
    left: u32,
}

impl Unpacker {
    /// Checks the batch and decompresses it.
    pub(super) fn new(key: Key, stored: &[u8]) -> Result<Self, Fault> {
        let left = check(key, stored)?;
        let plain = word(stored, 8) as usize;
        if plain > PLAIN_MOST {
            return Err(Fault::Body);
        }
        let body = &stored[HEADER..];
        let body = match stored[1] {
            PLAIN => Bytes::copy_from_slice(body),
            ZSTD => zstd::bulk::decompress(body, plain)
                .map(Bytes::from)
                .map_err(|_| Fault::Body)?,
            _ => return Err(Fault::Codec),
        };
        if body.len() != plain {
            return Err(Fault::Body);
        }
        Ok(Self { body, at: 0, left })
    }

    /// How many records are left.
    pub(super) fn left(&self) -> u32 {
        self.left
    }

    /// Passes over `count` records without building them.
    pub(super) fn skip(&mut self, count: u64) -> Result<(), Fault> {
        for _ in 0..count {
            self.left = self.left.checked_sub(1).ok_or(Fault::Body)?;
            let (key, value, headers) = (self.length()?, self.length()?, self.length()?);
            self.take(key)?;
            self.take(value)?;
            for _ in 0..headers {
                let (name, value) = (self.length()?, self.length()?);
                self.take(name)?;
                self.take(value)?;
            }
        }
        Ok(())
    }

    /// The next record; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<Unpacked>, Fault> {
        if self.left == 0 {
            // Bytes behind the last record are no batch of ours either.
            return if self.at == self.body.len() {
                Ok(None)
            } else {
                Err(Fault::Body)
            };
        }
        self.left -= 1;
        let (key, value, count) = (self.length()?, self.length()?, self.length()?);
        let key = self.take(key)?;
        let value = self.take(value)?;
        let mut headers = Vec::new();
        for _ in 0..count {
            let (name, value) = (self.length()?, self.length()?);
            let name = self.take(name)?;
            let name = std::str::from_utf8(&name).map_err(|_| Fault::Body)?;
            headers.push((name.to_owned(), self.take(value)?));
        }
        Ok(Some(Unpacked {
            key,
            value,
            headers,
        }))
    }

    fn length(&mut self) -> Result<usize, Fault> {
        let bytes = self.body.get(self.at..self.at + 4).ok_or(Fault::Body)?;
        self.at += 4;
        Ok(word(bytes, 0) as usize)
    }

    fn take(&mut self, length: usize) -> Result<Bytes, Fault> {
        let end = self.at.checked_add(length).ok_or(Fault::Body)?;
        if end > self.body.len() {
            return Err(Fault::Body);
        }
        let taken = self.body.slice(self.at..end);
        self.at = end;
        Ok(taken)
    }
}

/// The little-endian word at `at`; `bytes` must reach that far.
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests;
