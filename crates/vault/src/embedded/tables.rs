//! The tables of the redb file.

use redb::TableDefinition;

use crate::blind::Blind;
use crate::keyring::Place;

/// `format`, `version` (of the master key) and `fingerprint` (of the master key).
pub(super) const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
/// Blind index entry → subject.
pub(super) const INDEX: TableDefinition<'static, &Blind, &[u8; 16]> = TableDefinition::new("index");
/// Subject → its sealed identifier.
pub(super) const IDENTIFIERS: TableDefinition<'static, &[u8; 16], &[u8]> =
    TableDefinition::new("identifiers");
/// Subject and class → its wrapped key, or the record of its destruction.
pub(super) const KEYS: TableDefinition<'static, &Place, &[u8]> = TableDefinition::new("keys");
