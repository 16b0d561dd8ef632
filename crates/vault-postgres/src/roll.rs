//! Rolling the master key: everything is wrapped anew, in one transaction.
//!
//! The lock of the schema is held alone meanwhile: other processes go on reading, under the old
//! key, until the commit; what they want to make or to destroy waits, and is given up after their
//! patience. From the commit on each of their calls is told by the head that the key is another.

use std::sync::Arc;

use assent_consent::SubjectId;
use assent_vault::stores::{Keyring, Place};
use assent_vault::{Error, RandomSource};
use deadpool_postgres::Client;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::connections::PgError;
use crate::error::asked;
use crate::migrate;
use crate::queries::ALONE;

/// Records rewrapped in one statement.
const CHUNK: i64 = 4_096;

const ACTION: &str = "roll the master key";

const KEYS: &str = "SELECT place, record FROM keys \
     WHERE destroyed IS NULL AND place > $1 ORDER BY place LIMIT $2";
const IDENTIFIERS: &str = "SELECT subject, record FROM identifiers \
     WHERE subject > $1 ORDER BY subject LIMIT $2";
const SET_KEYS: &str = "UPDATE keys SET record = w.record \
     FROM unnest($1::bytea[], $2::bytea[]) AS w (place, record) WHERE keys.place = w.place";
const SET_IDENTIFIERS: &str = "UPDATE identifiers SET blind = w.blind, record = w.record \
     FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) AS w (subject, blind, record) \
     WHERE identifiers.subject = w.subject";

/// What a roll is made with.
pub(crate) struct Roll {
    pub(crate) old: Arc<Keyring>,
    pub(crate) new: Arc<Keyring>,
    pub(crate) random: Arc<dyn RandomSource>,
}

impl Roll {
    /// Does it all or nothing.
    pub(crate) fn run(self, c: &Client) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            // The patience of a call is not that of a roll.
            c.batch_execute(
                "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE; \
                 SET LOCAL statement_timeout TO 0; \
                 SET LOCAL idle_in_transaction_session_timeout TO 0",
            )
            .await
            .map_err(asked(ACTION))?;
            c.batch_execute(ALONE).await.map_err(asked(ACTION))?;
            // Another process may have been first.
            migrate::check(c, *self.old.fingerprint()).await?;
            self.keys(c).await?;
            self.identifiers(c).await?;
            self.head(c).await.map_err(asked(ACTION))?;
            c.batch_execute("COMMIT").await.map_err(asked(ACTION))
        }
        .boxed()
    }

    async fn keys(&self, c: &Client) -> Result<(), Error> {
        let mut after = Vec::new();
        loop {
            let chunk = chunk(c, KEYS, &after).await.map_err(asked(ACTION))?;
            let Some((last, _)) = chunk.last() else {
                return Ok(());
            };
            after.clone_from(last);
            let mut places = Vec::with_capacity(chunk.len());
            let mut records = Vec::with_capacity(chunk.len());
            for (place, record) in chunk {
                let at = Place::try_from(&place[..]).map_err(|_| damaged("data key"))?;
                let random = self.random.as_ref();
                records.push(self.old.rewrap(&self.new, &at, &record, random)?);
                places.push(place);
            }
            c.execute(SET_KEYS, &[&places, &records])
                .await
                .map_err(asked(ACTION))?;
        }
    }

    async fn identifiers(&self, c: &Client) -> Result<(), Error> {
        let mut after = Vec::new();
        loop {
            let chunk = chunk(c, IDENTIFIERS, &after).await.map_err(asked(ACTION))?;
            let Some((last, _)) = chunk.last() else {
                return Ok(());
            };
            after.clone_from(last);
            let mut subjects = Vec::with_capacity(chunk.len());
            let mut blinds = Vec::with_capacity(chunk.len());
            let mut records = Vec::with_capacity(chunk.len());
            for (subject, record) in chunk {
                let of = <[u8; 16]>::try_from(&subject[..]).map_err(|_| damaged("identifier"))?;
                let of = SubjectId::from_bytes(of);
                let random = self.random.as_ref();
                let (blind, record) = self.old.reseal_identifier(&self.new, of, &record, random)?;
                subjects.push(subject);
                blinds.push(blind.to_vec());
                records.push(record);
            }
            c.execute(SET_IDENTIFIERS, &[&subjects, &blinds, &records])
                .await
                .map_err(asked(ACTION))?;
        }
    }

    async fn head(&self, c: &Client) -> Result<(), PgError> {
        let version = i32::try_from(self.new.version()).unwrap_or(i32::MAX);
        let fingerprint = &self.new.fingerprint()[..];
        c.execute(
            "UPDATE head SET version = $1, fingerprint = $2",
            &[&version, &fingerprint],
        )
        .await?;
        Ok(())
    }
}

async fn chunk(c: &Client, sql: &str, after: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>, PgError> {
    let rows = c.query(sql, &[&after, &CHUNK]).await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect()
}

fn damaged(what: &'static str) -> Error {
    Error::Damaged { what }
}
