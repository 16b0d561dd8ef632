//! The tables of the embedded journal in redb: opening and verifying them, looking records up, and
//! writing one group of appends in one durable transaction.
//!
//! | table | key | value |
//! |---|---|---|
//! | `batches` | topic number, partition, position of the first record | a record batch ([`super::batch`]) |
//! | `ends` | topic number, partition | the position the next record takes |
//! | `topics` | name | topic number, partition count |
//! | `meta` | `format` | version of this layout |
//!
//! `batches` and `ends` say the same thing twice, on purpose: what ends elsewhere than it should is
//! recognised when the journal is opened.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError,
    TableDefinition,
};

use super::batch::{Key, Packer, Unpacker, check};
use super::layout::{Layout, Slot};
use crate::{Batch, Error, ErrorKind, ReadLimit, Record, Stored, Topic};

const BATCHES: TableDefinition<'static, Key, &'static [u8]> = TableDefinition::new("batches");
const ENDS: TableDefinition<'static, (u16, u32), u64> = TableDefinition::new("ends");
const TOPICS: TableDefinition<'static, &'static str, (u16, u32)> = TableDefinition::new("topics");
const META: TableDefinition<'static, &'static str, u64> = TableDefinition::new("meta");

/// The version of the layout above.
const FORMAT: u64 = 1;

/// Opens or creates the database file.
pub(super) fn open_file(path: &Path, cache_bytes: usize) -> Result<Database, Error> {
    let shown = path.display();
    let io = |error: std::io::Error| {
        Error::new(
            ErrorKind::Unavailable,
            format!("the journal's directory for {shown} cannot be made durable"),
        )
        .with_source(error)
    };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    std::fs::create_dir_all(directory).map_err(io)?;
    let mut builder = Builder::new();
    builder.set_cache_size(cache_bytes);
    // redb may panic on a file that was damaged from outside; to the caller that is damage, too.
    let opened = catch_unwind(AssertUnwindSafe(|| builder.create(path)))
        .map_err(|_| Error::new(ErrorKind::Corrupt, format!("{shown} is damaged")))?;
    let database = opened.map_err(|error| open_error(path, error))?;
    // A file that was just made is durable only when its directory is.
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(io)?;
    Ok(database)
}

fn open_error(path: &Path, error: DatabaseError) -> Error {
    let shown = path.display();
    let (kind, context) = match &error {
        DatabaseError::DatabaseAlreadyOpen => (
            ErrorKind::Conflict,
            format!(
                "the journal {shown} is in use by another process, use the running server (or stop it first)"
            ),
        ),
        DatabaseError::Storage(StorageError::Corrupted(_)) => (
            ErrorKind::Corrupt,
            format!("the journal {shown} is damaged or no journal; restore it from a backup"),
        ),
        DatabaseError::UpgradeRequired(_) | DatabaseError::LockProtocolMismatch => (
            ErrorKind::Conflict,
            format!("the journal {shown} belongs to another version of Assent"),
        ),
        DatabaseError::Storage(StorageError::Io(io))
            if io.kind() == std::io::ErrorKind::InvalidData =>
        {
            (
                ErrorKind::Corrupt,
                format!("{shown} is no journal, or its beginning is damaged; it was left as it is"),
            )
        }
        // The disk, an aborted repair, and whatever redb may add to its open list.
        _ => (
            ErrorKind::Unavailable,
            format!("the journal {shown} cannot be opened"),
        ),
    };
    Error::new(kind, context).with_source(error)
}

fn failed(what: &'static str) -> impl Fn(redb::Error) -> Error {
    move |error| {
        let kind = match error {
            redb::Error::Corrupted(_) => ErrorKind::Corrupt,
            _ => ErrorKind::Unavailable,
        };
        Error::new(kind, format!("the journal failed {what}")).with_source(error)
    }
}

/// The open database.
pub(super) struct Store {
    database: Database,
}

impl Store {
    /// Registers the topics that are new, checks those that are not, and finds every partition's end.
    pub(super) fn open(
        database: Database,
        wanted: &[(Topic, u32)],
    ) -> Result<(Self, Layout), Error> {
        let store = Self { database };
        let topics = store.register(wanted)?;
        let mut layout = store.ends(topics)?;
        for slot in layout.slots_mut() {
            if let Err(damage) = store.verify(slot) {
                tracing::error!(
                    topic = slot.topic.as_str(),
                    partition = slot.partition,
                    error = %damage,
                    "partition of the journal is damaged and takes no more records"
                );
                slot.damage = Some(damage);
            }
        }
        Ok((store, layout))
    }

    fn register(&self, wanted: &[(Topic, u32)]) -> Result<Vec<(Topic, u16, u32)>, Error> {
        let mut topics = Vec::new();
        let mut fault = None;
        let register = || -> Result<(), redb::Error> {
            let mut write = self.database.begin_write()?;
            write.set_quick_repair(true);
            let mut new = false;
            {
                write.open_table(BATCHES)?;
                write.open_table(ENDS)?;
                let mut meta = write.open_table(META)?;
                let format = meta.get("format")?.map(|found| found.value());
                match format {
                    None => {
                        meta.insert("format", FORMAT)?;
                        new = true;
                    }
                    Some(FORMAT) => {}
                    Some(other) => {
                        fault = Some(Error::new(
                            ErrorKind::Conflict,
                            format!(
                                "the journal has layout {other}, this version of Assent knows {FORMAT}; use a newer one"
                            ),
                        ));
                        return Ok(());
                    }
                }
                let mut table = write.open_table(TOPICS)?;
                for entry in table.iter()? {
                    let (name, value) = entry?;
                    let (id, partitions) = value.value();
                    topics.push((Topic::new(name.value()), id, partitions));
                }
                for (topic, partitions) in wanted {
                    match admit(&topics, topic, *partitions) {
                        Ok(None) => {}
                        Ok(Some(id)) => {
                            table.insert(topic.as_str(), (id, *partitions))?;
                            topics.push((topic.clone(), id, *partitions));
                            new = true;
                        }
                        Err(refused) => {
                            fault = Some(refused);
                            return Ok(());
                        }
                    }
                }
            }
            if new {
                write.commit()?;
            } else {
                write.abort()?;
            }
            Ok(())
        };
        catch(register)
            .and_then(|done| done)
            .map_err(failed("to register its topics"))?;
        match fault {
            Some(fault) => Err(fault),
            None => Ok(topics),
        }
    }

    fn ends(&self, topics: Vec<(Topic, u16, u32)>) -> Result<Layout, Error> {
        let failed = failed("to read where its partitions end");
        let read = self.database.begin_read().map_err(|e| failed(e.into()))?;
        let table = read.open_table(ENDS).map_err(|e| failed(e.into()))?;
        Layout::new(topics, |id, partition| {
            let found = table.get((id, partition)).map_err(|e| failed(e.into()))?;
            Ok(found.map_or(0, |end| end.value()))
        })
    }

    /// Compares a partition's recorded end with its last batch.
    fn verify(&self, slot: &Slot) -> Result<(), Error> {
        let end = slot.end();
        let last = || -> Result<_, redb::Error> {
            let table = self.database.begin_read()?.open_table(BATCHES)?;
            let mut range =
                table.range((slot.id, slot.partition, 0)..=(slot.id, slot.partition, u64::MAX))?;
            let Some(entry) = range.next_back() else {
                return Ok(None);
            };
            let (key, stored) = entry?;
            let key = key.value();
            Ok(Some((key.2, check(key, stored.value()))))
        };
        let found = catch(last)
            .and_then(|done| done)
            .map_err(failed("to verify a partition"))?;
        let reached = match found {
            None => 0,
            Some((first, Ok(count))) => first + u64::from(count),
            Some((first, Err(fault))) => return Err(slot.corrupt(first, &fault.to_string())),
        };
        if reached != end {
            return Err(slot.corrupt(
                reached.min(end),
                &format!("the stored batches end at {reached}, but {end} was recorded as the end"),
            ));
        }
        Ok(())
    }

    /// Reads records of a partition from `from`, which is before `end`.
    pub(super) fn read(
        &self,
        slot: &Slot,
        from: u64,
        end: u64,
        limit: ReadLimit,
    ) -> Result<Batch, Error> {
        let mut reading = Reading {
            slot,
            limit,
            bytes: 0,
            batch: Batch {
                records: Vec::new(),
                next: from,
                end,
            },
        };
        catch(|| self.read_into(&mut reading))
            .and_then(|done| done)
            .map_err(failed("to read"))??;
        Ok(reading.batch)
    }

    fn read_into(&self, reading: &mut Reading<'_>) -> Result<Result<(), Error>, redb::Error> {
        let (id, partition) = (reading.slot.id, reading.slot.partition);
        let table = self.database.begin_read()?.open_table(BATCHES)?;
        let from = reading.batch.next;
        let before = table
            .range((id, partition, 0)..=(id, partition, from))?
            .next_back();
        let first = match before {
            Some(entry) => entry?.0.value().2,
            None => from,
        };
        for entry in table.range((id, partition, first)..(id, partition, reading.batch.end))? {
            let (key, stored) = entry?;
            match reading.take_in(key.value(), stored.value()) {
                Ok(true) => {}
                Ok(false) => return Ok(Ok(())),
                Err(error) => return Ok(reading.stop_at(error)),
            }
        }
        if reading.batch.next < reading.batch.end {
            let missing = reading.missing();
            return Ok(reading.stop_at(missing));
        }
        Ok(Ok(()))
    }

    /// Writes the records in one durable transaction. Every group is a slot, the position of its first
    /// record, and the records.
    pub(super) fn write(
        &self,
        packer: &mut Packer,
        groups: &[(&Slot, u64, Vec<&Record>)],
        before_commit: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let failed = failed("to write");
        let mut write = self.database.begin_write().map_err(|e| failed(e.into()))?;
        write.set_quick_repair(true);
        {
            let mut batches = write.open_table(BATCHES).map_err(|e| failed(e.into()))?;
            let mut ends = write.open_table(ENDS).map_err(|e| failed(e.into()))?;
            for (slot, first, records) in groups {
                let (mut first, mut rest) = (*first, &records[..]);
                while !rest.is_empty() {
                    let key = (slot.id, slot.partition, first);
                    let (taken, stored) = packer.pack(key, rest).map_err(|error| {
                        Error::new(ErrorKind::Internal, "a record batch cannot be packed")
                            .with_source(error)
                    })?;
                    let old = batches.insert(key, stored).map_err(|e| failed(e.into()))?;
                    // I3: a position is given once. This cannot happen while ends are verified.
                    if old.is_some() {
                        return Err(slot.corrupt(first, "the position is already taken"));
                    }
                    first += taken as u64;
                    rest = &rest[taken..];
                }
                ends.insert((slot.id, slot.partition), first)
                    .map_err(|e| failed(e.into()))?;
            }
        }
        before_commit()?;
        write.commit().map_err(|e| failed(e.into()))
    }
}

/// redb may panic on pages that were damaged from outside: that is damage found, not a fault of ours.
fn catch<T>(work: impl FnOnce() -> T) -> Result<T, redb::Error> {
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|_| redb::Error::Corrupted("the database panicked on what it read".to_owned()))
}

/// Whether a topic is new (its number then) or already there as wanted.
fn admit(
    known: &[(Topic, u16, u32)],
    topic: &Topic,
    partitions: u32,
) -> Result<Option<u16>, Error> {
    Topic::parse(topic.as_str())?;
    if partitions == 0 {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("{topic} needs at least one partition"),
        ));
    }
    if let Some((_, _, stored)) = known.iter().find(|(name, ..)| name == topic) {
        if *stored == partitions {
            return Ok(None);
        }
        return Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "{topic} was created with {stored} partitions and cannot be opened with {partitions}: \
                 keys would move to other partitions and lose their order; configure {stored}, \
                 or copy the records into a new journal"
            ),
        ));
    }
    let next = known
        .iter()
        .map(|(_, id, _)| u32::from(*id) + 1)
        .max()
        .unwrap_or(0);
    match u16::try_from(next) {
        Ok(id) => Ok(Some(id)),
        Err(_) => Err(Error::new(
            ErrorKind::Invalid,
            "an embedded journal holds at most 65,536 topics",
        )),
    }
}

/// A read under way.
struct Reading<'a> {
    slot: &'a Slot,
    limit: ReadLimit,
    bytes: usize,
    batch: Batch,
}

impl Reading<'_> {
    /// Damage behind good records is told by the read that begins with it, so that readers get as far
    /// as they can.
    fn stop_at(&self, damage: Error) -> Result<(), Error> {
        if self.batch.records.is_empty() {
            Err(damage)
        } else {
            Ok(())
        }
    }

    fn missing(&self) -> Error {
        self.slot.corrupt(self.batch.next, "the record is missing")
    }

    /// Takes the wanted records from a stored batch. `false` when the limit or the end is reached.
    fn take_in(&mut self, key: Key, stored: &[u8]) -> Result<bool, Error> {
        let first = key.2;
        let fault = |fault: super::batch::Fault| self.slot.corrupt(first, &fault.to_string());
        let mut unpacker = Unpacker::new(key, stored).map_err(fault)?;
        // The batch must hold the position wanted: a gap would be records lost in silence.
        let skipped = self
            .batch
            .next
            .checked_sub(first)
            .filter(|skipped| *skipped < u64::from(unpacker.left()));
        let Some(skipped) = skipped else {
            return Err(self.missing());
        };
        unpacker.skip(skipped).map_err(fault)?;
        while let Some(found) = unpacker.next().map_err(fault)? {
            let record = Stored {
                position: self.slot.position(self.batch.next),
                key: found.key,
                value: found.value,
                headers: found.headers,
            };
            let weight = record.weight();
            if self.batch.next >= self.batch.end
                || !self
                    .limit
                    .admits(self.batch.records.len(), self.bytes, weight)
            {
                return Ok(false);
            }
            self.bytes += weight;
            self.batch.next += 1;
            self.batch.records.push(record);
        }
        Ok(true)
    }
}
