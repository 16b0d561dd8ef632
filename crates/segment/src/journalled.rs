//! What this crate journals itself, framed as every other record of the log.

use assent_event::{Envelope, Error, schema};
use assent_journal::{Record, Topic};

/// The record of an event under this key, with the fingerprint of its schema (docs/wire.md).
///
/// # Errors
/// As [`Envelope::encode`].
pub(crate) fn record(key: &[u8], envelope: &Envelope) -> Result<Record, Error> {
    let fingerprint = schema::fingerprint(envelope.schema_id).unwrap_or_default();
    Ok(Record {
        topic: Topic::new(envelope.kind.topic()),
        key: key.to_vec().into(),
        value: envelope.encode()?.into(),
        headers: vec![(
            schema::FINGERPRINT_HEADER.to_owned(),
            fingerprint.to_vec().into(),
        )],
    })
}
