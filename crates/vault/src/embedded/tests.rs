use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;
use redb::ReadableTableMetadata;

use super::*;
use crate::{ErrorKind, SharedRng};

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("vault.redb")
    }

    fn open(&self, seed: u64, key: &MasterKey) -> EmbeddedVault {
        EmbeddedVault::open(&self.path(), key.clone(), random(seed)).unwrap()
    }
}

fn random(seed: u64) -> Box<dyn RandomSource> {
    Box::new(SharedRng::new(StdRng::seed_from_u64(seed)))
}

fn master(seed: u64) -> MasterKey {
    MasterKey::generate(random(seed).as_ref())
}

fn id(namespace: &str, value: &str) -> Identifier {
    Identifier {
        namespace: Namespace::parse(namespace).unwrap(),
        value: value.to_owned(),
    }
}

fn subject(vault: &EmbeddedVault, namespace: &str, value: &str) -> SubjectId {
    vault.subjects(&[id(namespace, value)], true).unwrap()[0].unwrap()
}

fn bytes(state: &KeyState) -> [u8; 32] {
    match state {
        KeyState::Live(key) => key.0,
        KeyState::Destroyed => panic!("destroyed"),
        KeyState::Absent => panic!("absent"),
    }
}

#[test]
fn an_identifier_keeps_its_subject_and_others_get_others() {
    let place = Place::new();
    let key = master(1);
    let vault = place.open(2, &key);
    let ids = [
        id("customer", "42"),
        id("customer", "43"),
        id("phone", "42"),
        id("customer", "42"),
    ];
    assert_eq!(vault.subjects(&ids, false).unwrap(), vec![None; 4]);
    let made = vault.subjects(&ids, true).unwrap();
    assert_eq!(
        made[0], made[3],
        "one identifier twice in a batch is one subject"
    );
    let distinct: HashSet<_> = made.iter().flatten().collect();
    assert_eq!(distinct.len(), 3);
    assert_eq!(vault.subjects(&ids, false).unwrap(), made);
    drop(vault);
    let again = place.open(3, &key);
    assert_eq!(again.subjects(&ids, true).unwrap(), made, "durable");
    let customer = Namespace::parse("customer").unwrap();
    let found: Vec<_> = made.iter().flatten().copied().collect();
    assert_eq!(
        again.identifiers(&found, &customer).unwrap(),
        vec![
            Some("42".into()),
            Some("43".into()),
            None,
            Some("42".into())
        ]
    );
}

#[test]
fn namespace_and_value_do_not_run_together() {
    let place = Place::new();
    let vault = place.open(2, &master(1));
    assert_ne!(subject(&vault, "a", "bc"), subject(&vault, "ab", "c"));
}

#[test]
fn no_clear_identifier_stands_in_the_file() {
    let place = Place::new();
    let key = master(1);
    let planted = "planted-13800138000";
    let vault = place.open(2, &key);
    subject(&vault, "planted_namespace", planted);
    drop(vault);
    let file = std::fs::read(place.path()).unwrap();
    let contains = |needle: &[u8]| file.windows(needle.len()).any(|w| w == needle);
    assert!(
        contains(b"planted_namespace"),
        "control: namespaces are in clear"
    );
    assert!(!contains(planted.as_bytes()));
    assert!(!contains(&key.derive().wrapping.0));
    assert!(!contains(&key.derive().index.0));
}

#[test]
fn what_is_known_costs_no_commit() {
    let place = Place::new();
    let vault = place.open(2, &master(1));
    let ids = [id("customer", "42"), id("customer", "43")];
    let made = vault.subjects(&ids, true).unwrap();
    let wanted: Vec<_> = made
        .iter()
        .map(|s| (s.unwrap(), KeyClass::Profile))
        .collect();
    vault.keys(&wanted, true).unwrap();
    // A write transaction held open blocks every other one: had the calls below any need of one,
    // they would never return.
    let blocker = vault.db.begin_write().unwrap();
    assert_eq!(vault.subjects(&ids, true).unwrap(), made);
    vault.keys(&wanted, true).unwrap();
    vault
        .keys(&[(made[0].unwrap(), KeyClass::Evidence)], false)
        .unwrap();
    vault.subjects(&[id("customer", "44")], false).unwrap();
    // And nothing at all for an empty batch.
    vault.subjects(&[], true).unwrap();
    vault.keys(&[], true).unwrap();
    blocker.abort().unwrap();
}

#[test]
fn keys_are_made_once_per_subject_and_class() {
    let place = Place::new();
    let key = master(1);
    let vault = place.open(2, &key);
    let (one, two) = (subject(&vault, "c", "1"), subject(&vault, "c", "2"));
    let wanted: Vec<_> = [one, two]
        .into_iter()
        .flat_map(|s| KeyClass::ALL.map(|class| (s, class)))
        .collect();
    for state in vault.keys(&wanted, false).unwrap() {
        assert!(matches!(state, KeyState::Absent));
    }
    let mut twice = wanted.clone();
    twice.extend(&wanted);
    let made: Vec<_> = vault
        .keys(&twice, true)
        .unwrap()
        .iter()
        .map(bytes)
        .collect();
    assert_eq!(made[..8], made[8..]);
    assert_eq!(made[..8].iter().collect::<HashSet<_>>().len(), 8);
    drop(vault);
    let again = place.open(9, &key);
    let found: Vec<_> = again
        .keys(&wanted, true)
        .unwrap()
        .iter()
        .map(bytes)
        .collect();
    assert_eq!(found, made[..8]);
}

#[test]
fn destruction_is_recorded_and_the_identifier_is_forgotten() {
    let place = Place::new();
    let key = master(1);
    let vault = place.open(2, &key);
    let (gone, stays) = (subject(&vault, "c", "1"), subject(&vault, "c", "2"));
    let of = |s: SubjectId| (s, KeyClass::Profile);
    let kept = bytes(&vault.keys(&[of(gone), of(stays)], true).unwrap()[1]);
    vault.destroy(gone).unwrap();
    for class in KeyClass::ALL {
        // Not even asking for a new key revives a destroyed one.
        let state = &vault.keys(&[(gone, class)], true).unwrap()[0];
        assert!(matches!(state, KeyState::Destroyed), "{class:?}");
    }
    assert_eq!(bytes(&vault.keys(&[of(stays)], false).unwrap()[0]), kept);
    let customer = Namespace::parse("c").unwrap();
    assert_eq!(
        vault.identifiers(&[gone, stays], &customer).unwrap(),
        vec![None, Some("2".to_owned())]
    );
    assert_eq!(vault.subjects(&[id("c", "1")], false).unwrap(), vec![None]);
    drop(vault);
    let again = place.open(3, &key);
    assert!(matches!(
        again.keys(&[of(gone)], true).unwrap()[0],
        KeyState::Destroyed
    ));
    assert_ne!(
        subject(&again, "c", "1"),
        gone,
        "who returns is a new subject"
    );
}

#[test]
fn one_class_can_be_destroyed_alone() {
    let place = Place::new();
    let vault = place.open(2, &master(1));
    let one = subject(&vault, "c", "1");
    vault.destroy_classes(one, &[KeyClass::Evidence]).unwrap();
    let states = vault
        .keys(&KeyClass::ALL.map(|class| (one, class)), true)
        .unwrap();
    let destroyed = states
        .iter()
        .filter(|s| matches!(s, KeyState::Destroyed))
        .count();
    assert_eq!(destroyed, 1);
    assert_eq!(
        subject(&vault, "c", "1"),
        one,
        "only the identity class forgets the identifier"
    );
}

#[test]
fn a_rolled_vault_opens_with_the_new_key_and_not_with_the_old() {
    let place = Place::new();
    let (old, new) = (master(1), master(7));
    let vault = place.open(2, &old);
    let subjects: Vec<_> = (0..100).map(|n| id("c", &n.to_string())).collect();
    let made: Vec<_> = vault
        .subjects(&subjects, true)
        .unwrap()
        .into_iter()
        .flatten()
        .collect();
    let wanted: Vec<_> = made.iter().map(|s| (*s, KeyClass::Profile)).collect();
    let keys: Vec<_> = vault
        .keys(&wanted, true)
        .unwrap()
        .iter()
        .map(bytes)
        .collect();
    vault.destroy(made[0]).unwrap();
    vault.roll(&new).unwrap();
    assert_eq!(vault.master_version(), 2);

    let check = |vault: &EmbeddedVault| {
        let found = vault.keys(&wanted, false).unwrap();
        assert!(matches!(found[0], KeyState::Destroyed));
        let found: Vec<_> = found[1..].iter().map(bytes).collect();
        assert_eq!(found, keys[1..]);
        let known = vault.subjects(&subjects, false).unwrap();
        assert_eq!(known[0], None);
        let known: Vec<_> = known.into_iter().flatten().collect();
        assert_eq!(known, made[1..]);
        let customer = Namespace::parse("c").unwrap();
        assert_eq!(
            vault.identifiers(&made[1..2], &customer).unwrap(),
            vec![Some("1".to_owned())]
        );
    };
    check(&vault);
    drop(vault);
    let error = EmbeddedVault::open(&place.path(), old, random(3)).unwrap_err();
    assert!(
        matches!(error, Error::WrongMasterKey { version: 2 }),
        "{error}"
    );
    assert_eq!(error.kind(), ErrorKind::Denied);
    let again = place.open(4, &new);
    check(&again);
    assert_eq!(again.master_version(), 2);
    // No index entry of the old key stays behind: it would let its holder enumerate.
    let read = again.db.begin_read().unwrap();
    assert_eq!(read.open_table(INDEX).unwrap().len().unwrap(), 99);
}

#[test]
fn a_second_opening_says_what_to_do() {
    let place = Place::new();
    let key = master(1);
    let _open = place.open(2, &key);
    let error = EmbeddedVault::open(&place.path(), key, random(3)).unwrap_err();
    assert!(matches!(error, Error::InUse { .. }));
    assert!(
        error.to_string().contains("open in another process"),
        "{error}"
    );
}

#[test]
fn a_record_moved_or_changed_is_damage_not_absence() {
    let place = Place::new();
    let key = master(1);
    let vault = place.open(2, &key);
    let (one, two) = (subject(&vault, "c", "1"), subject(&vault, "c", "2"));
    let of = |s| (s, KeyClass::Profile);
    vault.keys(&[of(one), of(two)], true).unwrap();
    let record = |s| {
        let read = vault.db.begin_read().unwrap();
        let table = read.open_table(KEYS).unwrap();
        table
            .get(&key_place(s, KeyClass::Profile))
            .unwrap()
            .unwrap()
            .value()
            .to_vec()
    };
    let put = |s, record: &[u8]| {
        let write = vault.db.begin_write().unwrap();
        write
            .open_table(KEYS)
            .unwrap()
            .insert(&key_place(s, KeyClass::Profile), record)
            .unwrap();
        write.commit().unwrap();
        vault.keys.clear();
    };
    let original = record(one);
    let moved = record(two);
    for at in 0..original.len() {
        let mut changed = original.clone();
        changed[at] ^= 1;
        put(one, &changed);
        let error = vault.keys(&[of(one)], true).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "byte {at}: {error}");
    }
    for bad in [&moved[..], &[], &original[..20]] {
        put(one, bad);
        assert_eq!(
            vault.keys(&[of(one)], true).unwrap_err().kind(),
            ErrorKind::Corrupt
        );
    }
    put(one, &original);
    bytes(&vault.keys(&[of(one)], false).unwrap()[0]);
}

#[test]
fn many_threads_agree_on_one_subject_and_one_key() {
    let place = Place::new();
    let vault = Arc::new(place.open(2, &master(1)));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let vault = Arc::clone(&vault);
            std::thread::spawn(move || {
                (0..20)
                    .map(|n| {
                        let one = subject(&vault, "c", &n.to_string());
                        (
                            one,
                            bytes(&vault.keys(&[(one, KeyClass::Profile)], true).unwrap()[0]),
                        )
                    })
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    let answers: HashSet<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    assert_eq!(answers.len(), 1);
}

#[test]
fn tiny_caches_change_nothing() {
    let place = Place::new();
    let config = VaultConfig {
        cached_subjects: 2,
        cached_keys: 2,
        store_cache_bytes: 1 << 20,
    };
    let vault = EmbeddedVault::open_with(&place.path(), master(1), random(2), &config).unwrap();
    let ids: Vec<_> = (0..100).map(|n| id("c", &n.to_string())).collect();
    let made = vault.subjects(&ids, true).unwrap();
    let wanted: Vec<_> = made
        .iter()
        .map(|s| (s.unwrap(), KeyClass::Identity))
        .collect();
    let first: Vec<_> = vault
        .keys(&wanted, true)
        .unwrap()
        .iter()
        .map(bytes)
        .collect();
    for _ in 0..3 {
        assert_eq!(vault.subjects(&ids, true).unwrap(), made);
        let again: Vec<_> = vault
            .keys(&wanted, true)
            .unwrap()
            .iter()
            .map(bytes)
            .collect();
        assert_eq!(again, first);
    }
}

#[test]
fn secrets_are_never_printed() {
    let key = MasterKey::from_hex(&"ab".repeat(32)).unwrap();
    let data = DataKey([0xab; 32]);
    let place = Place::new();
    let vault = place.open(2, &key);
    for shown in [
        format!("{key:?}"),
        format!("{data:?}"),
        format!("{:?}", KeyState::Live(data.clone())),
        format!("{vault:?}"),
    ] {
        assert!(!shown.contains("ab") && !shown.contains("171"), "{shown}");
    }
}

#[test]
fn the_master_key_file_is_made_once_and_for_its_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("master.key");
    assert_eq!(
        MasterKey::from_file(&path).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let made = MasterKey::create_file(&path, random(1).as_ref()).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.trim().len(), 64);
    let read = MasterKey::from_file(&path).unwrap();
    assert_eq!(read.derive().fingerprint, made.derive().fingerprint);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let error = MasterKey::create_file(&path, random(2).as_ref()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "never overwritten");
    for bad in ["", "ab", &"zz".repeat(32), &"ab".repeat(33)] {
        let error = MasterKey::from_hex(bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(bad.is_empty() || !error.to_string().contains(bad));
    }
}
