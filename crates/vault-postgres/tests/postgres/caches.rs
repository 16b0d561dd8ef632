//! What is remembered, and what is asked all the same.

use assent_vault::{Error, KeyState, Vault};

use crate::support::{Store, address, all_live, id, ids, made, master, profile_keys};

/// What is remembered needs nothing of the tables but the head; and what is known, no write.
#[test]
fn what_is_known_costs_no_write_and_what_is_remembered_no_read() {
    let Some(address) = address() else { return };
    let store = Store::new(&address);
    let key = master(1);
    let vault = store.open(&key, 1);
    let people = made(&vault, &ids(0..3));
    let wanted = profile_keys(&people);
    vault.keys(&wanted, true).unwrap();

    let other = store.open(&key, 2);
    let before = store.number("SELECT txid_current()");
    assert_eq!(made(&other, &ids(0..3)), people);
    assert!(all_live(&other.keys(&wanted, true).unwrap()));
    other.keys(&wanted, false).unwrap();
    other.subjects(&[id(9)], false).unwrap();
    // Only what writes gets a number; other tests may run beside us, so look at ours.
    store.run("CREATE TABLE seen AS SELECT xmin::text::bigint AS by FROM keys");
    let latest = store.number("SELECT max(by) FROM seen");
    assert!(latest < before, "nothing was written");

    // Records that do not open: whoever read one would say so.
    store.run(
        "UPDATE keys SET record = 'damaged'; UPDATE identifiers SET subject = blind WHERE false",
    );
    assert!(all_live(&vault.keys(&wanted, true).unwrap()));
    let error = store.open(&key, 3).keys(&wanted, true).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "control: {error}");
}

/// A destruction that no program of ours confirmed (a restored part, an operator's hand) counts
/// all the same, as soon as the head tells of it.
#[test]
fn the_head_decides() {
    let Some(address) = address() else { return };
    let store = Store::new(&address);
    let vault = store.open(&master(1), 1);
    let people = made(&vault, &ids(0..2));
    let wanted = profile_keys(&people);
    vault.keys(&wanted, true).unwrap();
    store.run("UPDATE head SET epoch = 5; UPDATE keys SET record = '\\x00', destroyed = 5");
    for state in vault.keys(&wanted, true).unwrap() {
        assert!(matches!(state, KeyState::Destroyed));
    }
}

/// A store that was set back (a restored backup) is believed, not what was learnt from the one
/// before.
#[test]
fn a_store_set_back_is_read_anew() {
    let Some(address) = address() else { return };
    let store = Store::new(&address);
    let vault = store.open(&master(1), 1);
    let people = made(&vault, &ids(0..2));
    let wanted = profile_keys(&people[..1]);
    vault.destroy(people[1]).unwrap();
    vault.keys(&wanted, true).unwrap();
    store.run("UPDATE head SET epoch = 0; DELETE FROM keys; DELETE FROM identifiers");
    assert!(matches!(
        vault.keys(&wanted, false).unwrap()[0],
        KeyState::Live(_)
    ));
    assert!(matches!(
        vault.keys(&wanted, false).unwrap()[0],
        KeyState::Absent
    ));
    assert_eq!(vault.subjects(&[id(0)], false).unwrap(), vec![None]);
}

/// An identifier that stands there when its subject is to be made, and is forgotten before it can
/// be read: whoever asked gets a subject all the same, a new one.
#[test]
fn made_after_all_when_forgotten_in_between() {
    let Some(address) = address() else { return };
    let store = Store::new(&address);
    let key = master(1);
    let before = made(&store.open(&key, 1), &[id(1)]);
    let vault = store.open(&key, 2);
    // So that its statements are prepared, which needs the tables, too.
    made(&vault, &[id(2)]);
    // Between the statement that makes and the one that reads stands the one that asks the head,
    // which reads the keys, too.
    let other = Store::new(&address);
    let schema = &store.schema;
    other.run(&format!(
        "BEGIN; LOCK TABLE {schema}.keys IN ACCESS EXCLUSIVE MODE"
    ));
    let after = std::thread::scope(|scope| {
        let asking = scope.spawn(|| made(&vault, &[id(1)]));
        let waiting = format!(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = '{schema}.keys'::regclass"
        );
        while store.number(&waiting) == 0 {}
        other.run(&format!("DELETE FROM {schema}.identifiers; COMMIT"));
        asking.join().unwrap()
    });
    assert_ne!(after, before);
    assert_eq!(made(&store.open(&key, 3), &[id(1)]), after);
}
