//! TLS to PostgreSQL.

use std::path::PathBuf;

use assent_vault::{Error, Vault};
use assent_vault_postgres::{PostgresConfig, PostgresVault, Tls};

use crate::support::{Store, address, id, master, random};

#[test]
fn the_line_is_sealed_and_the_server_verified() {
    let (Some(address), Ok(authority)) = (address(), std::env::var("ASSENT_POSTGRES_AUTHORITY"))
    else {
        eprintln!("skipped: ASSENT_POSTGRES_AUTHORITY names no certificate");
        return;
    };
    let store = Store::new(&address);
    let open = |address: &str, authority: PathBuf| {
        let config = PostgresConfig::new(address, Tls::Authority(authority))?;
        let config = config.schema(&store.schema)?;
        PostgresVault::open(&config, &master(1), random(1))
    };
    let vault = open(&address, authority.clone().into()).unwrap();
    vault.subjects(&[id(1)], true).unwrap();
    let sealed = store.number(
        "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
         WHERE ssl AND application_name = 'assent'",
    );
    assert!(sealed > 0);

    // The certificate names 127.0.0.1, not this name of it.
    let named = address.replace("127.0.0.1", "localhost");
    let error = open(&named, authority.into()).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");

    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let error = open(&address, file("other.pem", OTHER)).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    for bad in [file("empty.pem", ""), dir.path().join("missing.pem")] {
        let error = open(&address, bad).unwrap_err();
        assert!(matches!(error, Error::Settings(_)), "{error}");
    }
}

/// The certificate of an authority that signed nothing here.
const OTHER: &str = include_str!("other-authority.pem");
