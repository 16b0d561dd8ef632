//! Destruction: recorded, for ever, and by everybody (I8).

use assent_consent::Timestamp;
use assent_event::{Envelope, EventId, KeyClass, Payload, Times, Traits};

use super::{
    Backend, all_bytes, bytes, found, id, is_destroyed, keys, made, master, namespace, open,
    processes, random, subject,
};
use crate::keyring::Keyring;
use crate::{Draft, Error, KeyState, Opened, Sealer, Vault};

pub(super) fn recorded(backend: &dyn Backend) {
    let key = master(1);
    let vault = open(backend, &key, 2);
    let people = made(vault.as_ref(), &[id("c", 1), id("c", 2)]);
    let (gone, stays) = (people[0], people[1]);
    let wanted = [(gone, KeyClass::Profile), (stays, KeyClass::Profile)];
    let kept = bytes(&keys(vault.as_ref(), &wanted, true)[1]);
    vault.destroy(gone).expect("the store answers");
    vault.destroy(gone).expect("destroying twice is destroying");
    let check = |vault: &dyn Vault| {
        for class in KeyClass::ALL {
            // Not even asking for a new key revives a destroyed one; and a class that never had
            // a key will never have one.
            let state = &keys(vault, &[(gone, class)], true)[0];
            assert!(is_destroyed(state), "{class}");
        }
        assert_eq!(bytes(&keys(vault, &wanted[1..], false)[0]), kept);
        assert_eq!(found(vault, &[id("c", 1)]), vec![None]);
        let named = vault.identifiers(&people, &namespace("c"));
        assert_eq!(
            named.expect("the store answers"),
            vec![None, Some("2".to_owned())]
        );
    };
    check(vault.as_ref());
    drop(vault);
    let again = open(backend, &key, 3);
    check(again.as_ref());
    drop(again);
    let blind = |number| Keyring::new(&key, 1).blind(&id("c", number));
    assert_eq!(backend.index(), vec![blind(2)], "no trace of the forgotten");
    let again = open(backend, &key, 4);
    let returned = subject(again.as_ref(), "c", 1);
    assert_ne!(returned, gone, "who returns is a new subject");
}

pub(super) fn one_class(backend: &dyn Backend) {
    let vault = open(backend, &master(1), 2);
    let one = subject(vault.as_ref(), "c", 1);
    vault
        .destroy_classes(one, &[KeyClass::Evidence])
        .expect("the store answers");
    let states = keys(
        vault.as_ref(),
        &KeyClass::ALL.map(|class| (one, class)),
        true,
    );
    for (class, state) in KeyClass::ALL.iter().zip(&states) {
        assert_eq!(is_destroyed(state), *class == KeyClass::Evidence, "{class}");
    }
    assert_eq!(
        subject(vault.as_ref(), "c", 1),
        one,
        "only the identity class forgets the identifier"
    );
    vault.destroy_classes(one, &[]).expect("nothing to destroy");
}

fn draft(number: u8, subject: assent_consent::SubjectId) -> Draft {
    Draft {
        id: EventId::from_bytes([number; 16]),
        subject,
        source: "shop".to_owned(),
        message_id: format!("m{number}"),
        times: Times::at(Timestamp::from_millis(1_000)),
        payload: Payload::from(Traits::new().identifier("phone", "1").value("city", "2")),
    }
}

/// Every vault on the store, each with the keys and subjects in its memory, hears of it at once.
pub(super) fn destroyed_everywhere(backend: &dyn Backend) {
    let key = master(1);
    let vaults = processes(backend, &key);
    for round in 0..4 {
        let destroyer = &vaults[round % vaults.len()];
        let (ours, theirs) = (id("c", round), id("d", round));
        let people = made(destroyer.as_ref(), &[ours.clone(), theirs.clone()]);
        let (gone, stays) = (people[0], people[1]);
        let wanted: Vec<_> = people
            .iter()
            .flat_map(|person| KeyClass::ALL.map(|class| (*person, class)))
            .collect();
        let whole = all_bytes(&keys(destroyer.as_ref(), &wanted, true));
        let random = random(5);
        let sealed: Vec<Envelope> = Sealer::new(destroyer.as_ref(), random.as_ref())
            .seal_batch(vec![draft(1, gone), draft(2, stays)])
            .expect("both are there");
        for vault in &vaults {
            // Twice, the second time from memory.
            for _ in 0..2 {
                assert_eq!(all_bytes(&keys(vault.as_ref(), &wanted, true)), whole);
                assert_eq!(
                    made(vault.as_ref(), &[ours.clone(), theirs.clone()]),
                    people
                );
            }
        }

        destroyer.destroy(gone).expect("the store answers");
        for vault in &vaults {
            let sealer = Sealer::new(vault.as_ref(), random.as_ref());
            let opened = sealer.open_batch(&sealed).expect("the store answers");
            assert!(matches!(opened[0], Opened::Erased));
            assert!(matches!(opened[1], Opened::Payload(_)));
            let error = sealer.seal_batch(vec![draft(3, gone)]);
            assert!(matches!(error, Err(Error::Erased { .. })), "{error:?}");
            let states = keys(vault.as_ref(), &wanted, false);
            assert!(states[..4].iter().all(is_destroyed));
            assert_eq!(all_bytes(&states[4..]), whole[4..]);
            assert!(
                states[4..].iter().all(|s| matches!(s, KeyState::Live(_))),
                "others stay"
            );
        }
        // The first to ask makes a new subject, and all the others agree.
        let returned = subject(destroyer.as_ref(), "c", round);
        assert_ne!(returned, gone);
        for vault in &vaults {
            assert_eq!(
                made(vault.as_ref(), &[ours.clone(), theirs.clone()]),
                [returned, stays]
            );
        }
    }
}
