use std::path::PathBuf;
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::contract::{self, Backend};
use crate::{ErrorKind, SharedRng};

struct Room {
    dir: tempfile::TempDir,
}

impl Room {
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

impl Backend for Room {
    fn shared(&self) -> bool {
        false
    }

    fn open(
        &self,
        master: &MasterKey,
        random: Box<dyn RandomSource>,
        remembered: usize,
    ) -> Result<Arc<dyn Vault>, Error> {
        let config = VaultConfig {
            cached_subjects: remembered,
            cached_keys: remembered,
            store_cache_bytes: 1 << 20,
        };
        let vault = EmbeddedVault::open_with(&self.path(), master.clone(), random, &config)?;
        Ok(Arc::new(vault))
    }

    fn stored(&self) -> Vec<u8> {
        std::fs::read(self.path()).unwrap()
    }

    fn index(&self) -> Vec<Blind> {
        let db = Database::open(self.path()).unwrap();
        let table = db.begin_read().unwrap().open_table(INDEX).unwrap();
        let entries = table.iter().unwrap();
        entries.map(|entry| *entry.unwrap().0.value()).collect()
    }

    fn record(&self, place: &Place) -> Vec<u8> {
        let db = Database::open(self.path()).unwrap();
        let table = db.begin_read().unwrap().open_table(KEYS).unwrap();
        table.get(place).unwrap().unwrap().value().to_vec()
    }

    fn put(&self, place: &Place, record: &[u8]) {
        let db = Database::open(self.path()).unwrap();
        let write = db.begin_write().unwrap();
        let mut table = write.open_table(KEYS).unwrap();
        table.insert(place, record).unwrap();
        drop(table);
        write.commit().unwrap();
    }
}

fn random(seed: u64) -> Box<dyn RandomSource> {
    Box::new(SharedRng::new(StdRng::seed_from_u64(seed)))
}

fn master(seed: u64) -> MasterKey {
    MasterKey::generate(random(seed).as_ref())
}

fn id(namespace: &str, value: &str) -> Identifier {
    Identifier::new(Namespace::parse(namespace).unwrap(), value)
}

#[test]
fn the_contract() {
    contract::all(Room::new);
}

#[test]
fn what_is_known_costs_no_commit() {
    let room = Room::new();
    let vault = room.open(2, &master(1));
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
fn a_second_opening_says_what_to_do() {
    let room = Room::new();
    let key = master(1);
    let _open = room.open(2, &key);
    let error = EmbeddedVault::open(&room.path(), key, random(3)).unwrap_err();
    assert!(matches!(error, Error::InUse { .. }));
    assert!(
        error.to_string().contains("open in another process"),
        "{error}"
    );
}

#[test]
fn secrets_are_never_printed() {
    let key = MasterKey::from_hex(&"ab".repeat(32)).unwrap();
    let data = DataKey([0xab; 32]);
    let room = Room::new();
    let vault = room.open(2, &key);
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
