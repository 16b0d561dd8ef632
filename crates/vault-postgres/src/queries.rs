//! The statements: one transaction and one round trip for each call.
//!
//! The statements of a transaction are sent together, without waiting for the answers in between
//! (`join!` polls them in order, and each is sent when it is first polled). Every transaction reads
//! the head, in the same snapshot as what is asked or before it; the caller decides by the head
//! whether the rest of the answer may be used.
//!
//! A transaction that writes holds the lock of the schema with others that write; a roll of the
//! master key or a migration holds it alone. What would be written under a master key that is no
//! longer the store's is not written at all.

use std::collections::HashSet;

use assent_vault::stores::{Blind, DESTROYED_RECORD, FORMAT, Place};
use deadpool_postgres::Client;
use futures::join;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::connections::PgError;

/// What the store says about itself.
#[derive(Debug)]
pub(crate) struct Head {
    /// The format of its records.
    pub(crate) format: u32,
    /// The version of its master key.
    pub(crate) version: u32,
    /// How many destructions there were.
    pub(crate) epoch: i64,
    /// The keys destroyed since the epoch that was named.
    pub(crate) destroyed: HashSet<Place>,
}

/// Two columns of bytes.
pub(crate) type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

const READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";
const WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE";
const COMMIT: &str = "COMMIT";

/// The lock of the schema, shared. [`ALONE`] is its other half.
const TOGETHER: &str =
    "SELECT pg_advisory_xact_lock_shared(hashtextextended('assent vault ' || current_schema(), 0))";
/// The lock of the schema, held alone.
pub(crate) const ALONE: &str =
    "SELECT pg_advisory_xact_lock(hashtextextended('assent vault ' || current_schema(), 0))";

const HEAD: &str = "SELECT h.format, h.version, h.epoch, k.place \
     FROM head h LEFT JOIN keys k ON k.destroyed > $1";

const FIND_SUBJECTS: &str = "SELECT blind, subject FROM identifiers WHERE blind = ANY($1)";
const FIND_IDENTIFIERS: &str = "SELECT subject, record FROM identifiers WHERE subject = ANY($1)";
const FIND_KEYS: &str = "SELECT place, record FROM keys WHERE place = ANY($1)";

// In one order for everybody, so that batches that cross do not wait for one another in a circle.
const MAKE_SUBJECTS: &str = "INSERT INTO identifiers (subject, blind, record) \
     SELECT w.subject, w.blind, w.record \
     FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) AS w (subject, blind, record), head h \
     WHERE h.format = $4 AND h.version = $5 ORDER BY w.blind \
     ON CONFLICT (blind) DO NOTHING";
const MAKE_KEYS: &str = "INSERT INTO keys (place, record) \
     SELECT w.place, w.record \
     FROM unnest($1::bytea[], $2::bytea[]) AS w (place, record), head h \
     WHERE h.format = $3 AND h.version = $4 ORDER BY w.place \
     ON CONFLICT (place) DO NOTHING";

// The row of the head is locked by whoever counts up, until the commit: epochs are committed in
// their order.
const COUNT_UP: &str = "UPDATE head SET epoch = epoch + 1 WHERE format = $1 RETURNING format";
const DESTROY: &str = "INSERT INTO keys (place, record, destroyed) \
     SELECT w.place, $2::bytea, h.epoch FROM unnest($1::bytea[]) AS w (place), head h \
     WHERE h.format = $3 ORDER BY w.place \
     ON CONFLICT (place) DO UPDATE SET record = excluded.record, destroyed = excluded.destroyed \
     WHERE keys.destroyed IS NULL";
const FORGET: &str = "DELETE FROM identifiers USING head \
     WHERE identifiers.subject = $1 AND head.format = $2";

type Params<'p> = [&'p (dyn ToSql + Sync)];

/// The head alone.
pub(crate) async fn head(c: &Client, since: i64) -> Result<Head, PgError> {
    let head = c.prepare_cached(HEAD).await?;
    read_head(&c.query(&head, &[&since]).await?)
}

/// The subjects of index entries that are there: entry and subject.
pub(crate) async fn find_subjects(
    c: &Client,
    since: i64,
    blinds: &[Blind],
) -> Result<(Head, Pairs), PgError> {
    read(c, since, FIND_SUBJECTS, &slices(blinds)).await
}

/// The sealed identifiers of subjects: subject and record.
pub(crate) async fn find_identifiers(
    c: &Client,
    since: i64,
    subjects: &[[u8; 16]],
) -> Result<(Head, Pairs), PgError> {
    read(c, since, FIND_IDENTIFIERS, &slices(subjects)).await
}

/// The records of keys that are there: place and record.
pub(crate) async fn find_keys(
    c: &Client,
    since: i64,
    places: &[Place],
) -> Result<(Head, Pairs), PgError> {
    read(c, since, FIND_KEYS, &slices(places)).await
}

/// A subject about to be made.
pub(crate) struct NewSubject {
    pub(crate) subject: [u8; 16],
    pub(crate) blind: Blind,
    pub(crate) record: Vec<u8>,
}

/// As [`find_subjects`], after making those that are missing.
pub(crate) async fn make_subjects(
    c: &Client,
    since: i64,
    version: u32,
    new: &[NewSubject],
) -> Result<(Head, Pairs), PgError> {
    let subjects: Vec<&[u8]> = new.iter().map(|one| &one.subject[..]).collect();
    let blinds: Vec<&[u8]> = new.iter().map(|one| &one.blind[..]).collect();
    let records: Vec<&[u8]> = new.iter().map(|one| &one.record[..]).collect();
    let (format, version) = (number(FORMAT), number(version));
    let params: &Params<'_> = &[&subjects, &blinds, &records, &format, &version];
    write(c, since, (MAKE_SUBJECTS, params), (FIND_SUBJECTS, &blinds)).await
}

/// As [`find_keys`], after making those that are missing.
pub(crate) async fn make_keys(
    c: &Client,
    since: i64,
    version: u32,
    new: &[(Place, Vec<u8>)],
) -> Result<(Head, Pairs), PgError> {
    let places: Vec<&[u8]> = new.iter().map(|(place, _)| &place[..]).collect();
    let records: Vec<&[u8]> = new.iter().map(|(_, record)| &record[..]).collect();
    let (format, version) = (number(FORMAT), number(version));
    let params: &Params<'_> = &[&places, &records, &format, &version];
    write(c, since, (MAKE_KEYS, params), (FIND_KEYS, &places)).await
}

/// Destroys keys, and forgets the identifier of `forgotten`. `false` when the store has a format
/// that this program does not write; then nothing was done.
pub(crate) async fn destroy(
    c: &Client,
    places: &[Place],
    forgotten: Option<[u8; 16]>,
) -> Result<bool, PgError> {
    let together = c.prepare_cached(TOGETHER).await?;
    let count_up = c.prepare_cached(COUNT_UP).await?;
    let destroy = c.prepare_cached(DESTROY).await?;
    let forget = c.prepare_cached(FORGET).await?;
    let (places, format) = (slices(places), number(FORMAT));
    // No subject has no bytes.
    let forgotten = forgotten.as_ref().map_or(&[][..], |subject| &subject[..]);
    let count_params: &Params<'_> = &[&format];
    let destroy_params: &Params<'_> = &[&places, &DESTROYED_RECORD, &format];
    let forget_params: &Params<'_> = &[&forgotten, &format];
    let (begun, locked, counted, destroyed, forgot, committed) = join!(
        c.batch_execute(WRITE),
        c.query(&together, &[]),
        c.query(&count_up, count_params),
        c.execute(&destroy, destroy_params),
        c.execute(&forget, forget_params),
        c.batch_execute(COMMIT),
    );
    begun?;
    locked?;
    let counted = counted?;
    destroyed?;
    forgot?;
    committed?;
    Ok(!counted.is_empty())
}

/// Head and rows of one snapshot.
async fn read(
    c: &Client,
    since: i64,
    find: &str,
    wanted: &[&[u8]],
) -> Result<(Head, Pairs), PgError> {
    let head = c.prepare_cached(HEAD).await?;
    let find = c.prepare_cached(find).await?;
    let head_params: &Params<'_> = &[&since];
    let find_params: &Params<'_> = &[&wanted];
    let (begun, heads, rows, ended) = join!(
        c.batch_execute(READ),
        c.query(&head, head_params),
        c.query(&find, find_params),
        c.batch_execute(COMMIT),
    );
    begun?;
    let (heads, rows) = (heads?, rows?);
    ended?;
    Ok((read_head(&heads)?, pairs(&rows)?))
}

/// Inserts what is missing, then reads the head and what stands there now. A row that somebody else
/// inserted meanwhile is seen by the statement after the insert, not by the insert itself.
async fn write(
    c: &Client,
    since: i64,
    (make, make_params): (&str, &Params<'_>),
    (find, wanted): (&str, &[&[u8]]),
) -> Result<(Head, Pairs), PgError> {
    let together = c.prepare_cached(TOGETHER).await?;
    let make = c.prepare_cached(make).await?;
    let head = c.prepare_cached(HEAD).await?;
    let find = c.prepare_cached(find).await?;
    let head_params: &Params<'_> = &[&since];
    let find_params: &Params<'_> = &[&wanted];
    let (begun, locked, made, heads, rows, committed) = join!(
        c.batch_execute(WRITE),
        c.query(&together, &[]),
        c.execute(&make, make_params),
        c.query(&head, head_params),
        c.query(&find, find_params),
        c.batch_execute(COMMIT),
    );
    begun?;
    locked?;
    made?;
    let (heads, rows) = (heads?, rows?);
    committed?;
    Ok((read_head(&heads)?, pairs(&rows)?))
}

fn read_head(rows: &[Row]) -> Result<Head, PgError> {
    let mut head = Head {
        // What no store has: a store without a head is none of ours.
        format: 0,
        version: 0,
        epoch: 0,
        destroyed: HashSet::with_capacity(rows.len()),
    };
    for row in rows {
        head.format = u32::try_from(row.try_get::<_, i32>(0)?).unwrap_or(0);
        head.version = u32::try_from(row.try_get::<_, i32>(1)?).unwrap_or(0);
        head.epoch = row.try_get(2)?;
        let place: Option<&[u8]> = row.try_get(3)?;
        head.destroyed
            .extend(place.and_then(|place| Place::try_from(place).ok()));
    }
    Ok(head)
}

fn pairs(rows: &[Row]) -> Result<Pairs, PgError> {
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect()
}

fn slices<const N: usize>(many: &[[u8; N]]) -> Vec<&[u8]> {
    many.iter().map(|one| &one[..]).collect()
}

/// PostgreSQL has no unsigned numbers; ours count from one and stay small.
fn number(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
