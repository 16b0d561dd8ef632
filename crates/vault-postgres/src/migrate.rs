//! Opening the store: migrations, then the head.
//!
//! Migrations are numbered and applied in order, each once, in one transaction with the lock of the
//! schema held alone, so that of several processes that start at once one migrates and the others
//! find it done. A store that a newer program migrated is refused.

use assent_vault::Error;
use assent_vault::stores::FORMAT;
use deadpool_postgres::Client;

use crate::connections::PgError;
use crate::error::asked;
use crate::queries::ALONE;

/// The migrations, from number 1.
const MIGRATIONS: &[(&str, &str)] = &[("vault", include_str!("../migrations/0001_vault.sql"))];

const ACTION: &str = "open";

/// Migrates the store and checks the master key against it, or founds the store under it; the
/// version of the key.
///
/// # Errors
/// [`Error::Format`] for a newer store, [`Error::WrongMasterKey`], [`Error::Settings`] for a server
/// that does not keep what it confirms.
pub(crate) async fn open(c: &Client, schema: &str, fingerprint: [u8; 32]) -> Result<u32, Error> {
    let durable = c.query_one("SELECT current_setting('fsync')::boolean", &[]);
    if !durable
        .await
        .and_then(|row| row.try_get(0))
        .map_err(asked(ACTION))?
    {
        return Err(Error::Settings(
            "PostgreSQL runs with fsync off and may lose what it confirmed; turn it on".to_owned(),
        ));
    }
    c.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE")
        .await
        .map_err(asked(ACTION))?;
    make_schema(c, schema).await.map_err(asked(ACTION))?;
    c.batch_execute(ALONE).await.map_err(asked(ACTION))?;
    let applied = applied(c).await.map_err(asked(ACTION))?;
    let known = MIGRATIONS.len();
    if applied > known {
        return Err(Error::Format {
            found: u32::try_from(applied).unwrap_or(u32::MAX),
            known: u32::try_from(known).unwrap_or(u32::MAX),
        });
    }
    for (at, (name, text)) in MIGRATIONS.iter().enumerate().skip(applied) {
        migrate(c, at + 1, name, text)
            .await
            .map_err(asked(ACTION))?;
    }
    let version = check_or_found(c, fingerprint).await?;
    c.batch_execute("COMMIT").await.map_err(asked(ACTION))?;
    Ok(version)
}

/// Makes the schema when it is missing; an account without the right to make one can use one that
/// is there.
async fn make_schema(c: &Client, schema: &str) -> Result<(), PgError> {
    let there = c
        .query_one("SELECT to_regnamespace($1) IS NOT NULL", &[&schema])
        .await?;
    if there.try_get(0)? {
        return Ok(());
    }
    // There is nothing to lock yet but the name; and a name made meanwhile is as good.
    c.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('assent vault ' || $1, 0))",
        &[&schema],
    )
    .await?;
    c.batch_execute(&format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\""))
        .await
}

/// How many migrations the store has.
async fn applied(c: &Client) -> Result<usize, PgError> {
    let there = c.query_one("SELECT to_regclass('migrations') IS NOT NULL", &[]);
    if !there.await?.try_get::<_, bool>(0)? {
        c.batch_execute(
            "CREATE TABLE migrations (number integer PRIMARY KEY, name text NOT NULL, \
             applied_at timestamptz NOT NULL DEFAULT now())",
        )
        .await?;
    }
    let last = c.query_one("SELECT coalesce(max(number), 0) FROM migrations", &[]);
    let last: i32 = last.await?.try_get(0)?;
    Ok(usize::try_from(last).unwrap_or(0))
}

async fn migrate(c: &Client, number: usize, name: &str, text: &str) -> Result<(), PgError> {
    c.batch_execute(text).await?;
    let number = i32::try_from(number).unwrap_or(i32::MAX);
    c.execute(
        "INSERT INTO migrations (number, name) VALUES ($1, $2)",
        &[&number, &name],
    )
    .await?;
    tracing::info!(number, name, "the vault's store was migrated");
    Ok(())
}

async fn check_or_found(c: &Client, fingerprint: [u8; 32]) -> Result<u32, Error> {
    let format = i32::try_from(FORMAT).unwrap_or(i32::MAX);
    c.execute(
        "INSERT INTO head (format, version, fingerprint) SELECT $1, 1, $2 \
         WHERE NOT EXISTS (SELECT FROM head)",
        &[&format, &&fingerprint[..]],
    )
    .await
    .map_err(asked(ACTION))?;
    check(c, fingerprint).await
}

/// The version of the store's master key, if it is the one with this fingerprint.
///
/// # Errors
/// [`Error::WrongMasterKey`] when it is not, [`Error::Format`] when the store's records are none
/// that this program reads.
pub(crate) async fn check(c: &Client, fingerprint: [u8; 32]) -> Result<u32, Error> {
    let row = c
        .query_opt("SELECT format, version, fingerprint FROM head", &[])
        .await
        .map_err(asked(ACTION))?
        .ok_or(Error::Damaged { what: "head" })?;
    let number = |at| -> Result<u32, Error> {
        let number: i32 = row.try_get(at).map_err(asked(ACTION))?;
        u32::try_from(number).map_err(|_| Error::Damaged { what: "head" })
    };
    let (format, version) = (number(0)?, number(1)?);
    let known: &[u8] = row.try_get(2).map_err(asked(ACTION))?;
    if format != FORMAT {
        return Err(Error::Format {
            found: format,
            known: FORMAT,
        });
    }
    if known != fingerprint {
        return Err(Error::WrongMasterKey { version });
    }
    Ok(version)
}
