//! The head of the file: which format it has, and which master key wraps it.

use redb::{Database, ReadableTable};

use super::tables::{IDENTIFIERS, INDEX, KEYS, META};
use crate::error::{Error, store};
use crate::keyring::FORMAT;
use crate::master::MasterKey;

/// Checks the master key against the store, or founds a new store under it; the key's version.
pub(super) fn check_or_found(db: &Database, master: &MasterKey) -> Result<u32, Error> {
    let damaged = Error::Damaged { what: "head" };
    let fingerprint = master.derive().fingerprint;
    let write = db.begin_write().map_err(store("open"))?;
    let version = {
        let mut meta = write.open_table(META).map_err(store("open"))?;
        let read = |name: &str| -> Result<Option<Vec<u8>>, Error> {
            let value = meta.get(name).map_err(store("open"))?;
            Ok(value.map(|bytes| bytes.value().to_vec()))
        };
        let number = |bytes: Vec<u8>| bytes.try_into().ok().map(u32::from_be_bytes);
        match (read("format")?, read("version")?, read("fingerprint")?) {
            (None, None, None) => {
                for (name, value) in [
                    ("format", &FORMAT.to_be_bytes()[..]),
                    ("version", &1_u32.to_be_bytes()[..]),
                    ("fingerprint", &fingerprint[..]),
                ] {
                    meta.insert(name, value).map_err(store("open"))?;
                }
                // The tables exist from the start, so that no reader has to ask whether they do.
                write.open_table(INDEX).map_err(store("open"))?;
                write.open_table(IDENTIFIERS).map_err(store("open"))?;
                write.open_table(KEYS).map_err(store("open"))?;
                None
            }
            (Some(format), Some(version), Some(known)) => {
                let (Some(format), Some(version)) = (number(format), number(version)) else {
                    return Err(damaged);
                };
                if format != FORMAT {
                    return Err(Error::Format {
                        found: format,
                        known: FORMAT,
                    });
                }
                if known != fingerprint {
                    return Err(Error::WrongMasterKey { version });
                }
                Some(version)
            }
            (_, _, _) => return Err(damaged),
        }
    };
    match version {
        Some(version) => {
            write.abort().map_err(store("open"))?;
            Ok(version)
        }
        None => {
            write.commit().map_err(store("commit"))?;
            Ok(1)
        }
    }
}
