//! Opening: migrations, the master key, and what is refused.

use assent_vault::{Error, ErrorKind, Vault};
use assent_vault_postgres::{Password, PostgresConfig, PostgresVault, Tls};

use crate::support::{Store, address, all_live, id, ids, made, master, profile_keys, random};

#[test]
fn many_that_start_at_once_found_one_store() {
    let Some(address) = address() else { return };
    let store = Store::new(&address);
    let key = master(1);
    let vaults: Vec<_> = std::thread::scope(|scope| {
        let starting: Vec<_> = (0..6)
            .map(|seed| {
                let (store, key) = (&store, &key);
                scope.spawn(move || store.open(key, seed))
            })
            .collect();
        starting.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(store.number("SELECT count(*) FROM head"), 1);
    assert_eq!(store.number("SELECT count(*) FROM migrations"), 1);
    let first = made(&vaults[0], &ids(0..3));
    for vault in &vaults {
        assert_eq!(made(vault, &ids(0..3)), first);
    }
    // And again on what is there.
    drop(vaults);
    assert_eq!(made(&store.open(&key, 9), &ids(0..3)), first);
    assert_eq!(store.number("SELECT count(*) FROM migrations"), 1);
}

#[test]
fn another_master_key_opens_nothing_and_changes_nothing() {
    let Some(address) = address() else { return };
    let store = Store::new(&address);
    store.open(&master(1), 1);
    let error = store.try_open(&master(2), 2).unwrap_err();
    assert!(
        matches!(error, Error::WrongMasterKey { version: 1 }),
        "{error}"
    );
    assert_eq!(error.kind(), ErrorKind::Denied);
    store.open(&master(1), 3);
}

#[test]
fn a_newer_store_is_refused() {
    let Some(address) = address() else { return };
    let store = Store::new(&address);
    let vault = store.open(&master(1), 1);
    let people = made(&vault, &ids(0..2));
    vault.keys(&profile_keys(&people), true).unwrap();

    // Migrated by a newer program, but still to be lived with.
    store.run("INSERT INTO migrations (number, name) VALUES (2, 'newer')");
    let error = store.try_open(&master(1), 2).unwrap_err();
    assert!(
        matches!(error, Error::Format { found: 2, known: 1 }),
        "{error}"
    );
    assert!(all_live(&vault.keys(&profile_keys(&people), true).unwrap()));

    // Not any more: whoever has it open stops, and writes nothing.
    store.run("UPDATE head SET format = 2");
    let refused = [
        vault.keys(&profile_keys(&people), true).map(drop),
        vault.subjects(&[id(7)], true).map(drop),
        vault.subjects(&[id(0)], false).map(drop),
        vault.destroy(people[0]),
        vault.roll(&master(3)),
    ];
    for answer in refused {
        let error = answer.unwrap_err();
        assert!(
            matches!(error, Error::Format { found: 2, known: 1 }),
            "{error}"
        );
    }
    assert_eq!(store.number("SELECT count(*) FROM identifiers"), 2);
    assert_eq!(
        store.number("SELECT count(*) FROM keys WHERE destroyed IS NOT NULL"),
        0
    );
    assert_eq!(store.number("SELECT epoch FROM head"), 0);
    store.run("DELETE FROM migrations WHERE number = 2");
    let error = store.try_open(&master(1), 2).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}

#[test]
fn a_store_without_its_head_is_damaged() {
    let Some(address) = address() else { return };
    let store = Store::new(&address);
    let vault = store.open(&master(1), 1);
    let people = made(&vault, &ids(0..1));
    store.run("DELETE FROM head");
    let error = vault.keys(&profile_keys(&people), true).unwrap_err();
    assert!(matches!(error, Error::Format { found: 0, .. }), "{error}");
}

#[test]
fn an_account_that_is_not_let_in_is_told_so() {
    let Some(address) = address() else { return };
    let store = Store::new(&address);
    let wrong = Password::new("planted-secret");
    let config = store.config().password(&wrong);
    let error = PostgresVault::open(&config, &master(1), random(1)).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(!format!("{error} {error:?}").contains("planted"));
    // An account with no right to make the schema.
    store.run("DROP ROLE IF EXISTS assent_reader; CREATE ROLE assent_reader LOGIN PASSWORD 'r'");
    let reader = format!("{address}?user=assent_reader&password=r");
    let config = PostgresConfig::new(&reader, Tls::Off)
        .unwrap()
        .schema(&store.schema)
        .unwrap();
    let error = PostgresVault::open(&config, &master(1), random(1)).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    // With a store that is there, the rights to read and write its tables are enough.
    let owner = store.open(&master(1), 1);
    let people = made(&owner, &ids(0..1));
    let schema = &store.schema;
    store.run(&format!(
        "GRANT USAGE ON SCHEMA {schema} TO assent_reader; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO assent_reader"
    ));
    let vault = PostgresVault::open(&config, &master(1), random(1)).unwrap();
    assert_eq!(made(&vault, &ids(0..1)), people);
    drop(vault);
    store.run(&format!(
        "REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM assent_reader; \
         REVOKE ALL ON SCHEMA {schema} FROM assent_reader; DROP ROLE assent_reader"
    ));
}

/// With many keys, the server would compile a statement for longer than it takes.
#[test]
fn no_statement_is_compiled() {
    let Some(address) = address() else { return };
    let store = Store::new(&address);
    let vault = store.open(&master(1), 1);
    store.run("CREATE TABLE noted (jit text)");
    store.run(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN INSERT INTO noted VALUES (current_setting('jit')); RETURN NEW; END $$",
    );
    store.run("CREATE TRIGGER note BEFORE INSERT ON keys FOR EACH ROW EXECUTE FUNCTION note()");
    let people = made(&vault, &ids(0..3));
    vault.keys(&profile_keys(&people), true).unwrap();
    let noted = store.number("SELECT count(*) FROM noted");
    let off = store.number("SELECT count(*) FROM noted WHERE jit = 'off'");
    assert!(noted >= 3, "control: {noted}");
    assert_eq!(off, noted);
}
