//! Rolling the master key: everything wrapped anew, nothing lost, nothing misread.

use std::sync::atomic::{AtomicBool, Ordering};

use assent_consent::SubjectId;
use assent_event::KeyClass;

use super::{
    Backend, all_bytes, bytes, found, id, is_destroyed, keys, made, master, namespace, open,
    processes, random,
};
use crate::keyring::{Keyring, place};
use crate::{Error, ErrorKind, KeyState, Vault};

fn refuses<T: std::fmt::Debug>(answer: Result<T, Error>, version: u32) {
    match answer {
        Err(Error::WrongMasterKey { version: found }) => assert_eq!(found, version),
        other => panic!("expected a refusal of the master key, got {other:?}"),
    }
}

pub(super) fn rolled(backend: &dyn Backend) {
    let (old, new) = (master(1), master(7));
    let vault = open(backend, &old, 2);
    let ids: Vec<_> = (0..100).map(|n| id("c", n)).collect();
    let people = made(vault.as_ref(), &ids);
    let wanted: Vec<_> = people.iter().map(|s| (*s, KeyClass::Profile)).collect();
    let whole = all_bytes(&keys(vault.as_ref(), &wanted, true));
    vault.destroy(people[0]).expect("the store answers");
    assert_eq!(vault.master_version(), 1);
    vault.roll(&new).expect("the store answers");
    assert_eq!(vault.master_version(), 2);

    let check = |vault: &dyn Vault| {
        let states = keys(vault, &wanted, false);
        assert!(is_destroyed(&states[0]));
        assert_eq!(all_bytes(&states[1..]), whole[1..]);
        let known = found(vault, &ids);
        assert_eq!(known[0], None);
        let known: Vec<_> = known.into_iter().flatten().collect();
        assert_eq!(known, people[1..]);
        let named = vault.identifiers(&people[1..2], &namespace("c"));
        assert_eq!(
            named.expect("the store answers"),
            vec![Some("1".to_owned())]
        );
    };
    check(vault.as_ref());
    vault.adopt(&new).expect("it is the vault's own key");
    refuses(vault.adopt(&old), 2);
    check(vault.as_ref());
    drop(vault);

    let error = backend.open(&old, random(3), 0).err();
    let error = error.expect("the old key opens nothing any more");
    assert_eq!(error.kind(), ErrorKind::Denied);
    refuses(Err::<(), _>(error), 2);
    let again = open(backend, &new, 4);
    check(again.as_ref());
    assert_eq!(again.master_version(), 2);
    drop(again);
    // No index entry of the old key stays behind: it would let its holder enumerate.
    let mut index = backend.index();
    index.sort_unstable();
    let keyring = Keyring::new(&new, 2);
    let mut known: Vec<_> = ids[1..].iter().map(|id| keyring.blind(id)).collect();
    known.sort_unstable();
    assert_eq!(index, known);
}

/// Either all of it is done or none.
pub(super) fn failed(backend: &dyn Backend) {
    let (old, new) = (master(1), master(7));
    let vault = open(backend, &old, 2);
    // More than are rewrapped at a time, so that some are when the last is met.
    let ids: Vec<_> = (0..5_000).map(|n| id("c", n)).collect();
    let people = made(vault.as_ref(), &ids);
    let wanted: Vec<_> = people.iter().map(|s| (*s, KeyClass::Profile)).collect();
    let whole = all_bytes(&keys(vault.as_ref(), &wanted, true));
    drop(vault);
    let last = people.iter().max().expect("there are people");
    let spoilt = place(*last, KeyClass::Profile);
    let record = backend.record(&spoilt);
    backend.put(&spoilt, b"damaged");

    let vault = open(backend, &old, 3);
    let error = vault
        .roll(&new)
        .expect_err("one record cannot be rewrapped");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(vault.master_version(), 1);
    let (others, theirs): (Vec<_>, Vec<_>) = wanted
        .iter()
        .copied()
        .zip(whole.iter().copied())
        .filter(|((person, _), _)| person != last)
        .unzip();
    assert_eq!(all_bytes(&keys(vault.as_ref(), &others, true)), theirs);
    assert_eq!(made(vault.as_ref(), &ids), people);
    drop(vault);
    backend.put(&spoilt, &record);
    let vault = open(backend, &old, 4);
    assert_eq!(all_bytes(&keys(vault.as_ref(), &wanted, true)), whole);
    vault.roll(&new).expect("every record is whole");
    assert_eq!(all_bytes(&keys(vault.as_ref(), &wanted, true)), whole);
}

pub(super) fn noticed_by_others(backend: &dyn Backend) {
    if !backend.shared() {
        return;
    }
    let (old, new) = (master(1), master(7));
    let vaults = processes(backend, &old);
    let (roller, other) = (&vaults[0], &vaults[1]);
    let ids = [id("c", 1), id("c", 2)];
    let people = made(other.as_ref(), &ids);
    let wanted: Vec<_> = people.iter().map(|s| (*s, KeyClass::Profile)).collect();
    let whole = all_bytes(&keys(other.as_ref(), &wanted, true));

    roller.roll(&new).expect("the store answers");
    // Whether it remembers the answer or not, whether it is to make something or not.
    for create in [false, true] {
        refuses(other.keys(&wanted, create), 2);
        refuses(other.keys(&[(people[0], KeyClass::Evidence)], create), 2);
        refuses(other.subjects(&ids, create), 2);
        refuses(other.subjects(&[id("c", 3)], create), 2);
    }
    refuses(other.identifiers(&people, &namespace("c")), 2);
    refuses(other.roll(&master(8)), 2);
    refuses(other.adopt(&old), 2);
    refuses(other.adopt(&master(8)), 2);
    assert_eq!(other.master_version(), 1);
    // Nothing was made under the old key.
    let untouched = keys(roller.as_ref(), &[(people[0], KeyClass::Evidence)], false);
    assert!(matches!(untouched[0], KeyState::Absent));
    assert_eq!(found(roller.as_ref(), &[id("c", 3)]), vec![None]);

    other.adopt(&new).expect("it is the store's key now");
    assert_eq!(other.master_version(), 2);
    assert_eq!(all_bytes(&keys(other.as_ref(), &wanted, true)), whole);
    assert_eq!(made(other.as_ref(), &ids), people);
}

/// Others go on making subjects and keys while one rolls: whatever was answered stands afterwards.
pub(super) fn made_meanwhile(backend: &dyn Backend) {
    let (old, new) = (master(1), master(7));
    let vaults = processes(backend, &old);
    let ids: Vec<_> = (0..2_000).map(|n| id("before", n)).collect();
    made(vaults[0].as_ref(), &ids);
    let over = AtomicBool::new(false);
    let mut answered: Vec<(SubjectId, String, [u8; 32])> = Vec::new();
    std::thread::scope(|scope| {
        let makers: Vec<_> = vaults
            .iter()
            .enumerate()
            .map(|(number, vault)| {
                let over = &over;
                scope.spawn(move || {
                    let mut answered = Vec::new();
                    for n in 0.. {
                        let value = format!("{number}-{n}");
                        let attempt = || -> Result<_, Error> {
                            let person = vault.subjects(&[id("c", &value)], true)?[0];
                            let person = person.expect("`create` makes a subject");
                            let state = vault.keys(&[(person, KeyClass::Profile)], true)?;
                            Ok((person, bytes(&state[0])))
                        };
                        match attempt() {
                            Ok((person, key)) => answered.push((person, value, key)),
                            Err(error) => {
                                refuses(Err::<(), _>(error), 2);
                                vault.adopt(&new_key()).expect("it is the store's key now");
                            }
                        }
                        if over.load(Ordering::Acquire) {
                            break;
                        }
                    }
                    answered
                })
            })
            .collect();
        vaults[0].roll(&new).expect("the store answers");
        over.store(true, Ordering::Release);
        for maker in makers {
            answered.extend(maker.join().expect("the maker ends"));
        }
    });
    drop(vaults);
    assert!(!answered.is_empty());
    let again = open(backend, &new, 9);
    for (person, value, key) in answered {
        assert_eq!(found(again.as_ref(), &[id("c", value)]), vec![Some(person)]);
        let state = keys(again.as_ref(), &[(person, KeyClass::Profile)], false);
        assert_eq!(bytes(&state[0]), key);
    }
}

/// The key of [`made_meanwhile`], which its threads cannot borrow and clone in turns.
fn new_key() -> crate::MasterKey {
    master(7)
}
