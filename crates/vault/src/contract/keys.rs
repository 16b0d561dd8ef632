//! Data keys: made once, kept, and trusted only where they stand.

use std::collections::HashSet;

use assent_event::KeyClass;

use super::{Backend, all_bytes, bytes, id, keys, made, master, open, random, subject};
use crate::keyring::place;
use crate::{Error, ErrorKind, KeyState};

pub(super) fn made_once(backend: &dyn Backend) {
    let key = master(1);
    let vault = open(backend, &key, 2);
    let people = made(vault.as_ref(), &[id("c", 1), id("c", 2)]);
    let wanted: Vec<_> = people
        .into_iter()
        .flat_map(|person| KeyClass::ALL.map(|class| (person, class)))
        .collect();
    for state in keys(vault.as_ref(), &wanted, false) {
        assert!(matches!(state, KeyState::Absent), "asking makes nothing");
    }
    let mut twice = wanted.clone();
    twice.extend(&wanted);
    let all = all_bytes(&keys(vault.as_ref(), &twice, true));
    assert_eq!(all[..8], all[8..]);
    assert_eq!(all[..8].iter().collect::<HashSet<_>>().len(), 8);
    drop(vault);
    let again = open(backend, &key, 9);
    // In another order, and some that are new among them.
    let mut mixed: Vec<_> = wanted.iter().rev().copied().collect();
    let other = subject(again.as_ref(), "c", 3);
    mixed.insert(4, (other, KeyClass::Profile));
    let mut answers = all_bytes(&keys(again.as_ref(), &mixed, true));
    let new = answers.remove(4);
    answers.reverse();
    assert_eq!(answers, all[..8], "durable");
    assert!(!all.contains(&new));
}

pub(super) fn small_caches(backend: &dyn Backend) {
    let vault = backend
        .open(&master(1), random(2), 2)
        .expect("the store opens under its key");
    let ids: Vec<_> = (0..100).map(|n| id("c", n)).collect();
    let people = made(vault.as_ref(), &ids);
    let wanted: Vec<_> = people.iter().map(|s| (*s, KeyClass::Identity)).collect();
    let first = all_bytes(&keys(vault.as_ref(), &wanted, true));
    for _ in 0..3 {
        assert_eq!(made(vault.as_ref(), &ids), people);
        assert_eq!(all_bytes(&keys(vault.as_ref(), &wanted, true)), first);
    }
}

pub(super) fn moved_or_changed(backend: &dyn Backend) {
    let key = master(1);
    let vault = open(backend, &key, 2);
    // One record for each byte of it, one for each other fault, and one to move.
    let ids: Vec<_> = (0..100).map(|n| id("c", n)).collect();
    let people = made(vault.as_ref(), &ids);
    let wanted: Vec<_> = people.iter().map(|s| (*s, KeyClass::Profile)).collect();
    let whole = all_bytes(&keys(vault.as_ref(), &wanted, true));
    drop(vault);

    let places: Vec<_> = people
        .iter()
        .map(|s| place(*s, KeyClass::Profile))
        .collect();
    let length = backend.record(&places[0]).len();
    assert!(length + 4 < places.len(), "there is a record for each byte");
    for (at, place) in places.iter().enumerate().take(length) {
        let mut record = backend.record(place);
        record[at] ^= 1;
        backend.put(place, &record);
    }
    let moved = backend.record(&places[99]);
    backend.put(&places[length], &moved);
    backend.put(&places[length + 1], &[]);
    backend.put(&places[length + 2], &moved[..20]);
    let broken = length + 3;

    let vault = open(backend, &key, 3);
    for (at, one) in wanted.iter().enumerate() {
        let answer = vault.keys(&[*one], true);
        if at < broken {
            match answer {
                Err(error) => {
                    assert!(
                        matches!(error, Error::Damaged { .. }),
                        "fault {at}: {error}"
                    );
                    assert_eq!(error.kind(), ErrorKind::Corrupt);
                }
                Ok(states) => panic!("fault {at} was taken for {states:?}"),
            }
        } else {
            let states = answer.expect("an untouched record opens");
            assert_eq!(bytes(&states[0]), whole[at]);
        }
    }
}
