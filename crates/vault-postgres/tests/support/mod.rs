//! A schema for each test, and a client of our own to look at it.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use assent_consent::{Namespace, SubjectId};
use assent_event::{Identifier, KeyClass};
use assent_vault::{Error, KeyState, MasterKey, RandomSource, SharedRng, Vault};
use assent_vault_postgres::{PostgresConfig, PostgresVault, Tls};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio_postgres::{NoTls, Row};

static SCHEMAS: AtomicU32 = AtomicU32::new(0);

/// Where PostgreSQL is, or `None` after saying so.
pub fn address() -> Option<String> {
    let address = std::env::var("ASSENT_POSTGRES").ok();
    if address.is_none() {
        eprintln!(
            "skipped: no PostgreSQL; `cargo xtask postgres up` starts one and tells what to set"
        );
    }
    address
}

/// A schema of one test's own, dropped at its end.
pub struct Store {
    pub address: String,
    pub schema: String,
    client: Client,
}

/// A client that blocks, for tests.
struct Client {
    runtime: tokio::runtime::Runtime,
    client: tokio_postgres::Client,
}

impl Client {
    fn new(address: &str) -> Result<Self, tokio_postgres::Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (client, connection) = runtime.block_on(tokio_postgres::connect(address, NoTls))?;
        runtime.spawn(connection);
        Ok(Self { runtime, client })
    }

    fn run(&self, sql: &str) -> Result<(), tokio_postgres::Error> {
        self.runtime.block_on(self.client.batch_execute(sql))
    }
}

impl Store {
    pub fn new(address: &str) -> Self {
        let number = SCHEMAS.fetch_add(1, Ordering::Relaxed);
        let schema = format!("test_{}_{number}", std::process::id());
        let client = Client::new(address).unwrap();
        client.run(&format!("SET search_path TO {schema}")).unwrap();
        Self {
            address: address.to_owned(),
            schema,
            client,
        }
    }

    pub fn config(&self) -> PostgresConfig {
        let mut config = PostgresConfig::new(&self.address, Tls::Off)
            .unwrap()
            .schema(&self.schema)
            .unwrap();
        config.patience = Duration::from_secs(20);
        config
    }

    pub fn open(&self, key: &MasterKey, seed: u64) -> PostgresVault {
        self.try_open(key, seed).unwrap()
    }

    pub fn try_open(&self, key: &MasterKey, seed: u64) -> Result<PostgresVault, Error> {
        PostgresVault::open(&self.config(), key, random(seed))
    }

    /// Runs statements in the schema.
    pub fn run(&self, sql: &str) {
        self.client.run(sql).unwrap();
    }

    /// Asks in the schema.
    pub fn rows(&self, sql: &str) -> Vec<Row> {
        let Client { runtime, client } = &self.client;
        runtime.block_on(client.query(sql, &[])).unwrap()
    }

    pub fn bytes(&self, sql: &str) -> Vec<Vec<u8>> {
        self.rows(sql).iter().map(|row| row.get(0)).collect()
    }

    pub fn number(&self, sql: &str) -> i64 {
        self.rows(sql)[0].get(0)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // On another connection, since a test may have ended ours, or the server.
        if let Ok(client) = Client::new(&self.address) {
            let _ = client.run(&format!("DROP SCHEMA IF EXISTS {} CASCADE", self.schema));
        }
    }
}

pub fn random(seed: u64) -> Box<dyn RandomSource> {
    Box::new(SharedRng::new(StdRng::seed_from_u64(seed)))
}

pub fn master(seed: u64) -> MasterKey {
    MasterKey::generate(random(seed).as_ref())
}

pub fn id(value: impl ToString) -> Identifier {
    Identifier::new(Namespace::parse("c").unwrap(), value.to_string())
}

pub fn ids(values: std::ops::Range<u32>) -> Vec<Identifier> {
    values.map(id).collect()
}

pub fn made(vault: &dyn Vault, ids: &[Identifier]) -> Vec<SubjectId> {
    let made = vault.subjects(ids, true).unwrap();
    made.into_iter().map(Option::unwrap).collect()
}

pub fn profile_keys(people: &[SubjectId]) -> Vec<(SubjectId, KeyClass)> {
    people.iter().map(|one| (*one, KeyClass::Profile)).collect()
}

pub fn all_live(states: &[KeyState]) -> bool {
    states.iter().all(|s| matches!(s, KeyState::Live(_)))
}

pub fn shared(vault: PostgresVault) -> Arc<dyn Vault> {
    Arc::new(vault)
}
