//! Rolling the master key: everything is wrapped anew, in one transaction.

use std::ops::Bound;

use assent_consent::SubjectId;
use redb::{ReadableTable, WriteTransaction};

use super::EmbeddedVault;
use super::tables::{IDENTIFIERS, INDEX, KEYS, META};
use crate::error::{Error, store};
use crate::keyring::{Keyring, Place};
use crate::master::MasterKey;

/// Records rewrapped between two looks at the table; bounds memory, not the transaction.
const CHUNK: usize = if cfg!(test) { 16 } else { 4_096 };

impl EmbeddedVault {
    /// [`crate::Vault::roll`].
    pub(super) fn roll_to(&self, new: &MasterKey) -> Result<(), Error> {
        let mut working = self.working.write();
        let next = Keyring::new(new, working.version() + 1);
        let write = self.write()?;
        self.rewrap_keys(&write, &working, &next)?;
        self.rewrap_identifiers(&write, &working, &next)?;
        {
            let mut meta = write.open_table(META).map_err(store("roll"))?;
            meta.insert("version", &next.version().to_be_bytes()[..])
                .map_err(store("roll"))?;
            meta.insert("fingerprint", &next.fingerprint()[..])
                .map_err(store("roll"))?;
        }
        write.commit().map_err(store("commit"))?;
        // Index entries are other ones now; the data keys themselves are unchanged.
        self.subjects.clear();
        *working = next;
        Ok(())
    }

    fn rewrap_keys(
        &self,
        write: &WriteTransaction,
        old: &Keyring,
        new: &Keyring,
    ) -> Result<(), Error> {
        let mut table = write.open_table(KEYS).map_err(store("roll"))?;
        let mut after: Option<Place> = None;
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            for entry in table
                .range::<&Place>(beyond(after.as_ref()))
                .map_err(store("roll"))?
                .take(CHUNK)
            {
                let (place, record) = entry.map_err(store("roll"))?;
                let place = *place.value();
                after = Some(place);
                let record = old.rewrap(new, &place, record.value(), self.random.as_ref())?;
                chunk.push((place, record));
            }
            for (place, record) in &chunk {
                table
                    .insert(place, record.as_slice())
                    .map_err(store("roll"))?;
            }
            if chunk.len() < CHUNK {
                return Ok(());
            }
        }
    }

    fn rewrap_identifiers(
        &self,
        write: &WriteTransaction,
        old: &Keyring,
        new: &Keyring,
    ) -> Result<(), Error> {
        write.delete_table(INDEX).map_err(store("roll"))?;
        let mut index = write.open_table(INDEX).map_err(store("roll"))?;
        let mut table = write.open_table(IDENTIFIERS).map_err(store("roll"))?;
        let mut after: Option<[u8; 16]> = None;
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            for entry in table
                .range::<&[u8; 16]>(beyond(after.as_ref()))
                .map_err(store("roll"))?
                .take(CHUNK)
            {
                let (subject, record) = entry.map_err(store("roll"))?;
                let subject = *subject.value();
                after = Some(subject);
                let (blind, record) = old.reseal_identifier(
                    new,
                    SubjectId::from_bytes(subject),
                    record.value(),
                    self.random.as_ref(),
                )?;
                chunk.push((subject, blind, record));
            }
            for (subject, blind, record) in &chunk {
                index.insert(blind, subject).map_err(store("roll"))?;
                table
                    .insert(subject, record.as_slice())
                    .map_err(store("roll"))?;
            }
            if chunk.len() < CHUNK {
                return Ok(());
            }
        }
    }
}

/// The range that starts right after a key, or at the beginning.
fn beyond<const N: usize>(after: Option<&[u8; N]>) -> (Bound<&[u8; N]>, Bound<&[u8; N]>) {
    (
        after.map_or(Bound::Unbounded, Bound::Excluded),
        Bound::Unbounded,
    )
}
