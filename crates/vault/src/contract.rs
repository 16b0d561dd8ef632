//! The contract of [`Vault`], as a suite of cases that every implementation passes.
//!
//! An implementation's test gives a [`Backend`] and calls [`all`]. A case panics where the contract
//! is broken; the last case printed is the one before it. Where a store may be open in several
//! processes, two vaults opened on it stand for two processes: they share nothing but the store.

mod erasure;
mod identity;
mod keys;
mod races;
mod rolling;

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use assent_consent::{Namespace, SubjectId};
use assent_event::{Identifier, KeyClass};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::blind::Blind;
use crate::keyring::Place;
use crate::secret::KEY_LEN;
use crate::{Error, KeyState, MasterKey, RandomSource, SharedRng, Vault};

/// The store of one case.
pub trait Backend: Send + Sync {
    /// Whether several vaults, as of several processes, may be open on it at once.
    fn shared(&self) -> bool;

    /// Opens the store, or makes it. The vault remembers at most `remembered` subjects and as many
    /// keys.
    ///
    /// # Errors
    /// What the implementation's own opening says.
    fn open(
        &self,
        master: &MasterKey,
        random: Box<dyn RandomSource>,
        remembered: usize,
    ) -> Result<Arc<dyn Vault>, Error>;

    /// Every byte that stands in the store. No vault is open meanwhile.
    fn stored(&self) -> Vec<u8>;

    /// The entries of the blind index. No vault is open meanwhile.
    fn index(&self) -> Vec<Blind>;

    /// The record of a data key, as it stands in the store. No vault is open meanwhile.
    fn record(&self, place: &Place) -> Vec<u8>;

    /// Puts another record in its place. No vault is open meanwhile.
    fn put(&self, place: &Place, record: &[u8]);
}

/// A case: its name and what it does.
type Case = (&'static str, fn(&dyn Backend));

/// Every case of the suite.
const CASES: &[Case] = &[
    (
        "an identifier keeps its subject",
        identity::keeps_its_subject,
    ),
    (
        "namespace and value do not run together",
        identity::no_running_together,
    ),
    (
        "no identifier stands in clear in the store",
        identity::nothing_in_clear,
    ),
    ("nothing asked, nothing answered", identity::nothing_asked),
    ("a large batch", identity::large_batch),
    ("keys are made once", keys::made_once),
    ("small caches change nothing", keys::small_caches),
    (
        "a record moved or changed is damage",
        keys::moved_or_changed,
    ),
    ("destruction is recorded", erasure::recorded),
    ("one class is destroyed alone", erasure::one_class),
    (
        "what was destroyed opens nowhere",
        erasure::destroyed_everywhere,
    ),
    ("a roll changes the master key only", rolling::rolled),
    ("a roll that fails changes nothing", rolling::failed),
    (
        "a roll is noticed by the other vaults",
        rolling::noticed_by_others,
    ),
    (
        "what is made during a roll is not lost",
        rolling::made_meanwhile,
    ),
    ("all agree on one subject and one key", races::all_agree),
    (
        "batches that cross do not block one another",
        races::crossing,
    ),
    ("no key comes back from destruction", races::no_resurrection),
    (
        "an identifier forgotten and asked for at once",
        races::forgotten_and_asked,
    ),
];

/// Far more than a case takes; what is not done by then never will be.
const PATIENCE: Duration = Duration::from_secs(120);

/// As many subjects and keys as any case needs.
const ENOUGH: usize = 100_000;

/// Runs every case, each on a store of its own.
pub fn all<B: Backend + 'static>(mut backend: impl FnMut() -> B) {
    for (name, case) in CASES {
        let store = backend();
        let begin = Instant::now();
        let (done, waiting) = mpsc::channel();
        let running = std::thread::spawn(move || {
            case(&store);
            // The receiver is gone only when the case took too long, which is told already.
            let _ = done.send(());
        });
        if waiting.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            panic!("the case `{name}` hangs");
        }
        if let Err(panic) = running.join() {
            eprintln!("contract: the case `{name}` fails");
            std::panic::resume_unwind(panic);
        }
        println!("contract: {name}, {} ms", begin.elapsed().as_millis());
    }
}

fn random(seed: u64) -> Box<dyn RandomSource> {
    Box::new(SharedRng::new(StdRng::seed_from_u64(seed)))
}

fn master(seed: u64) -> MasterKey {
    MasterKey::generate(random(seed).as_ref())
}

fn open(backend: &dyn Backend, key: &MasterKey, seed: u64) -> Arc<dyn Vault> {
    backend
        .open(key, random(seed), ENOUGH)
        .expect("the store opens under its key")
}

/// The vaults of two processes, where the store may be shared; else one.
fn processes(backend: &dyn Backend, key: &MasterKey) -> Vec<Arc<dyn Vault>> {
    // Of different randomness, so that agreement is no accident of the seed.
    let seeds: &[u64] = if backend.shared() { &[11, 12] } else { &[11] };
    let vaults = seeds.iter().map(|seed| open(backend, key, *seed));
    vaults.collect()
}

fn namespace(name: &str) -> Namespace {
    Namespace::parse(name).expect("the suite's namespaces are well formed")
}

fn id(name: &str, value: impl ToString) -> Identifier {
    Identifier::new(namespace(name), value.to_string())
}

fn found(vault: &dyn Vault, ids: &[Identifier]) -> Vec<Option<SubjectId>> {
    vault.subjects(ids, false).expect("the store answers")
}

fn made(vault: &dyn Vault, ids: &[Identifier]) -> Vec<SubjectId> {
    let made = vault.subjects(ids, true).expect("the store answers");
    assert_eq!(made.len(), ids.len(), "one answer for each question");
    let made = made.into_iter();
    made.map(|subject| subject.expect("whoever is asked for with `create` has a subject"))
        .collect()
}

fn subject(vault: &dyn Vault, name: &str, value: impl ToString) -> SubjectId {
    made(vault, &[id(name, value)])[0]
}

fn keys(vault: &dyn Vault, wanted: &[(SubjectId, KeyClass)], create: bool) -> Vec<KeyState> {
    let states = vault.keys(wanted, create).expect("the store answers");
    assert_eq!(states.len(), wanted.len(), "one answer for each question");
    states
}

/// The key itself; only this crate can look.
fn bytes(state: &KeyState) -> [u8; KEY_LEN] {
    match state {
        KeyState::Live(key) => key.0,
        KeyState::Destroyed => panic!("the key is destroyed"),
        KeyState::Absent => panic!("the key is absent"),
    }
}

fn all_bytes(states: &[KeyState]) -> Vec<[u8; KEY_LEN]> {
    states.iter().map(bytes).collect()
}

fn is_destroyed(state: &KeyState) -> bool {
    matches!(state, KeyState::Destroyed)
}
