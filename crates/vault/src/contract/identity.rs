//! Identifiers and their subjects.

use std::collections::HashSet;

use super::{Backend, found, id, made, master, namespace, open, subject};

pub(super) fn keeps_its_subject(backend: &dyn Backend) {
    let key = master(1);
    let vault = open(backend, &key, 2);
    let ids = [id("c", 42), id("c", 43), id("phone", 42), id("c", 42)];
    assert_eq!(found(vault.as_ref(), &ids), vec![None; 4]);
    let subjects = made(vault.as_ref(), &ids);
    assert_eq!(
        subjects[0], subjects[3],
        "one identifier twice in a batch is one subject"
    );
    assert_eq!(subjects.iter().collect::<HashSet<_>>().len(), 3);
    let known: Vec<_> = subjects.iter().copied().map(Some).collect();
    assert_eq!(found(vault.as_ref(), &ids), known);
    drop(vault);

    let again = open(backend, &key, 3);
    assert_eq!(found(again.as_ref(), &ids), known, "durable");
    assert_eq!(made(again.as_ref(), &ids), subjects);
    // Some known, some new, in one batch.
    let mixed = made(again.as_ref(), &[id("c", 99), id("c", 43), id("c", 98)]);
    assert_eq!(mixed[1], subjects[1]);
    assert_ne!(mixed[0], mixed[2]);
    let of = |name: &str| {
        again
            .identifiers(&subjects, &namespace(name))
            .expect("the store answers")
    };
    let text = |value: &str| Some(value.to_owned());
    assert_eq!(of("c"), vec![text("42"), text("43"), None, text("42")]);
    assert_eq!(of("phone"), vec![None, None, text("42"), None]);
    assert_eq!(of("openid"), vec![None; 4]);
}

pub(super) fn no_running_together(backend: &dyn Backend) {
    let vault = open(backend, &master(1), 2);
    assert_ne!(
        subject(vault.as_ref(), "a", "bc"),
        subject(vault.as_ref(), "ab", "c")
    );
}

pub(super) fn nothing_in_clear(backend: &dyn Backend) {
    let key = master(1);
    let planted = "planted-13800138000";
    let vault = open(backend, &key, 2);
    let person = subject(vault.as_ref(), "planted_namespace", planted);
    drop(vault);
    let stored = backend.stored();
    let contains = |needle: &[u8]| stored.windows(needle.len()).any(|at| at == needle);
    assert!(
        contains(b"planted_namespace") && contains(person.as_bytes()),
        "control: namespaces and subjects stand in clear"
    );
    assert!(!contains(planted.as_bytes()));
    assert!(!contains(&key.derive().wrapping.0));
    assert!(!contains(&key.derive().identifiers.0));
    assert!(!contains(&key.derive().index.0));
}

pub(super) fn nothing_asked(backend: &dyn Backend) {
    let vault = open(backend, &master(1), 2);
    for create in [false, true] {
        assert!(vault.subjects(&[], create).expect("no answer").is_empty());
        assert!(vault.keys(&[], create).expect("no answer").is_empty());
    }
    let none = vault.identifiers(&[], &namespace("c")).expect("no answer");
    assert!(none.is_empty());
}

pub(super) fn large_batch(backend: &dyn Backend) {
    let key = master(1);
    let vault = open(backend, &key, 2);
    let ids: Vec<_> = (0..10_000).map(|n| id("c", n)).collect();
    let subjects = made(vault.as_ref(), &ids);
    assert_eq!(subjects.iter().collect::<HashSet<_>>().len(), ids.len());
    drop(vault);
    let again = open(backend, &key, 3);
    let known: Vec<_> = found(again.as_ref(), &ids).into_iter().flatten().collect();
    assert_eq!(known, subjects, "in the order of the questions");
}
