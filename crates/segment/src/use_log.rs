//! The use log: nothing leaves before `assent.use` has it (I7).
//!
//! A record holds no personal data and no SQL, only the hash of the text: a text may quote people. Where an officer looked
//! at one person, it has the opaque id.

use assent_consent::{LegalBasis, PurposeId, SubjectId, Timestamp, Use};
use assent_event::{Envelope, EventId, Payload, Times, UseRecord, UseRecordClear};
use sha2::{Digest, Sha256};

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::journalled;

/// What is about to leave.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entry {
    pub(crate) operation: &'static str,
    pub(crate) sql: Option<String>,
    pub(crate) segment: Option<(String, u32)>,
    pub(crate) rows: Option<usize>,
    pub(crate) outcome: String,
    /// The one member looked at, by opaque id.
    pub(crate) about: Option<SubjectId>,
    /// The purpose that was named for it; nothing about it has been checked.
    pub(crate) about_purpose: Option<String>,
}

/// Who uses it, for what, at which place.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) principal: String,
    pub(crate) declared: Use,
    pub(crate) basis: LegalBasis,
    pub(crate) position: String,
    pub(crate) as_of: Option<Timestamp>,
}

/// Journals a use and waits until it is durable.
///
/// # Errors
/// `Unavailable` when it could not be journalled; then nothing may leave.
pub(crate) async fn journal(engine: &Engine, user: &User, entry: Entry) -> Result<()> {
    let mut id = [0; 16];
    engine.random.fill(&mut id);
    let id = EventId::from_bytes(id);
    let (segment, segment_version) = entry
        .segment
        .map_or((None, None), |(name, version)| (Some(name), Some(version)));
    // What was named may be any text until it is found to be a name of a purpose.
    let about_purpose = entry
        .about_purpose
        .filter(|name| PurposeId::parse(name).is_ok());
    let clear = UseRecordClear {
        operation: entry.operation.to_owned(),
        principal: user.principal.clone(),
        purpose: user.declared.purpose.to_string(),
        channel: user.declared.channel.as_ref().map(ToString::to_string),
        recipient: user.declared.recipient.as_ref().map(ToString::to_string),
        basis: user.basis.as_str().to_owned(),
        sql_sha256: entry.sql.as_deref().map(sha256_hex),
        position: user.position.clone(),
        segment,
        segment_version,
        as_of: user.as_of,
        rows: entry.rows.and_then(|rows| i64::try_from(rows).ok()),
        outcome: entry.outcome,
        about: entry.about.map(|member| member.to_string()),
        about_purpose,
    };
    let record = Envelope::without_personal_blocks(
        id,
        SubjectId::from_bytes([0; 16]),
        "assent",
        id.to_string(),
        Times::at(engine.clock.now()),
        &Payload::Use(UseRecord::from(clear)),
    )
    .and_then(|envelope| journalled::record(user.principal.as_bytes(), &envelope));
    let record = record.map_err(|_| refused())?;
    match engine.stores.journal.append(vec![record]).await {
        Ok(_) => Ok(()),
        Err(error) => {
            tracing::warn!(kind = ?error.kind(), "a use could not be journalled, so nothing left");
            Err(refused())
        }
    }
}

fn refused() -> Error {
    Error::unavailable(
        "use_not_journalled",
        "the use could not be journalled, so nothing is answered",
    )
    .help("try again; if it persists, run `assent doctor`")
}

/// SHA-256 of a text, lower-case hexadecimal.
pub(crate) fn sha256_hex(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}
