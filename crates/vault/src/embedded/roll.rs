//! Rolling the master key: everything is wrapped anew, in one transaction.

use std::ops::Bound;

use redb::{ReadableTable, WriteTransaction};

use super::{EmbeddedVault, Working};
use crate::error::{Error, store};
use crate::master::MasterKey;
use crate::secret::KeyState;
use crate::store::{IDENTIFIERS, INDEX, KEYS, META};

/// Records rewrapped between two looks at the table; bounds memory, not the transaction.
const CHUNK: usize = if cfg!(test) { 16 } else { 4_096 };

impl EmbeddedVault {
    /// Wraps every data key, every identifier and the whole index under a new master key, and
    /// forgets the old one. Either all of it is done or none. Destroying the old master key
    /// afterwards is up to the caller; from then on older copies of the store open nothing.
    ///
    /// # Errors
    /// When the store fails or a record is damaged; then the old key remains the vault's key.
    pub fn roll(&self, new: &MasterKey) -> Result<(), Error> {
        let mut working = self.working.write();
        let next = Working::new(new, working.current.version + 1);
        let write = self.write()?;
        self.rewrap_keys(&write, &working, &next)?;
        self.rewrap_identifiers(&write, &working, &next)?;
        {
            let mut meta = write.open_table(META).map_err(store("roll"))?;
            meta.insert("version", &next.current.version.to_be_bytes()[..])
                .map_err(store("roll"))?;
            meta.insert("fingerprint", &next.current.keys.fingerprint[..])
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
        old: &Working,
        new: &Working,
    ) -> Result<(), Error> {
        let mut table = write.open_table(KEYS).map_err(store("roll"))?;
        let mut after: Option<[u8; 17]> = None;
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            for entry in table
                .range::<&[u8; 17]>(beyond(after.as_ref()))
                .map_err(store("roll"))?
                .take(CHUNK)
            {
                let (place, record) = entry.map_err(store("roll"))?;
                let place = *place.value();
                after = Some(place);
                if let KeyState::Live(key) = old.current.unwrap(&place, record.value())? {
                    chunk.push((place, new.current.wrap(&place, &key, self.random.as_ref())));
                } else {
                    // A record of destruction is not wrapped.
                    chunk.push((place, record.value().to_vec()));
                }
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
        old: &Working,
        new: &Working,
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
                let mut id = old.current.open_identifier(&subject, record.value())?;
                id.blind = new.index.of_parts(&id.namespace, &id.value);
                let sealed = new
                    .current
                    .seal_identifier(&subject, &id, self.random.as_ref());
                chunk.push((subject, id.blind, sealed));
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
