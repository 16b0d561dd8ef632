//! PostgreSQL that is away, hangs, or throws us out.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use assent_vault::{Error, ErrorKind, Vault};
use assent_vault_postgres::{PostgresConfig, PostgresVault, Tls};

use crate::support::{Store, address, all_live, id, ids, made, master, profile_keys, random};

fn unreachable<T: std::fmt::Debug>(answer: Result<T, Error>) {
    let error = answer.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[test]
fn nobody_there_and_nobody_answering_is_unavailable() {
    // Taken and closed again: nobody listens there.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for address in [free.unwrap(), silent.local_addr().unwrap()] {
        let url = format!("postgres://a:b@{address}/c");
        let mut config = PostgresConfig::new(&url, Tls::Off).unwrap();
        config.patience = Duration::from_millis(500);
        let begin = Instant::now();
        unreachable(PostgresVault::open(&config, &master(1), random(1)).map(drop));
        assert!(begin.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn connections_cut_by_the_server_are_made_anew() {
    let Some(address) = address() else { return };
    let store = Store::new(&address);
    let name = format!("cut_{}", store.schema);
    let url = format!("{address}?application_name={name}");
    let mut config = PostgresConfig::new(&url, Tls::Off)
        .unwrap()
        .schema(&store.schema)
        .unwrap();
    config.connections = 3;
    let vault = PostgresVault::open(&config, &master(1), random(1)).unwrap();
    let people = made(&vault, &ids(0..3));
    let wanted = profile_keys(&people);
    vault.keys(&wanted, true).unwrap();
    for _ in 0..3 {
        let cut = store.number(&format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE application_name = '{name}'"
        ));
        assert!(cut > 0, "control: there was a connection");
        // A call may meet a line that is not known to be cut yet; it is told so, and the next
        // succeeds.
        let begin = Instant::now();
        loop {
            match vault.keys(&wanted, true) {
                Ok(states) => break assert!(all_live(&states)),
                Err(error) => unreachable(Err::<(), _>(error)),
            }
            assert!(begin.elapsed() < Duration::from_secs(10));
        }
        assert_eq!(made(&vault, &ids(0..3)), people);
    }
}

/// While somebody holds what a call needs, the call is given up after its patience; what can be
/// answered is answered.
#[test]
fn a_call_is_given_up_in_time_and_the_next_is_answered() {
    let Some(address) = address() else { return };
    let store = Store::new(&address);
    let mut config = store.config();
    config.patience = Duration::from_secs(2);
    config.connections = 2;
    let vault = PostgresVault::open(&config, &master(1), random(1)).unwrap();
    let people = made(&vault, &ids(0..1));
    let wanted = profile_keys(&people);
    vault.keys(&wanted, true).unwrap();
    let held = Store::new(&address);
    held.run(&format!(
        "BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('assent vault {}', 0))",
        store.schema
    ));
    // More often than there are connections: none is lost.
    for _ in 0..3 {
        let begin = Instant::now();
        unreachable(vault.subjects(&[id(7)], true));
        assert!(begin.elapsed() < Duration::from_secs(4));
        assert!(all_live(&vault.keys(&wanted, false).unwrap()));
    }
    held.run("COMMIT");
    made(&vault, &[id(7)]);
}
