//! PostgreSQL crashes and comes back while the vault is in use: nothing acknowledged is lost.
//!
//! In a binary of its own, since it takes the server away from everybody.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::HashSet;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use assent_consent::SubjectId;
use assent_event::KeyClass;
use assent_vault::{Error, KeyState, Vault};

use support::{Store, address, all_live, id, ids, made, master, profile_keys};

/// Held by the test that has the server to itself.
static ALONE: Mutex<()> = Mutex::new(());

/// The command that restarts the server, or `None` after saying so.
fn restart_command() -> Option<Vec<String>> {
    let command = std::env::var("ASSENT_POSTGRES_RESTART").ok();
    if command.is_none() {
        eprintln!("skipped: ASSENT_POSTGRES_RESTART names no command");
    }
    Some(command?.split_whitespace().map(str::to_owned).collect())
}

fn restart(command: &[String]) {
    let status = Command::new(&command[0]).args(&command[1..]).status();
    assert!(status.unwrap().success(), "the server came back");
}

/// What a thread was told.
#[derive(Default)]
struct Told {
    made: Vec<(String, SubjectId)>,
    destroyed: Vec<SubjectId>,
    failures: usize,
}

#[test]
fn a_crash_under_load() {
    let _alone = ALONE.lock().unwrap();
    let (Some(address), Some(command)) = (address(), restart_command()) else {
        return;
    };
    let store = Store::new(&address);
    let key = master(1);
    let vaults = [store.open(&key, 1), store.open(&key, 2)];
    let over = AtomicBool::new(false);
    let told: Vec<Told> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6)
            .map(|number| {
                let (vault, over) = (&vaults[number % 2], &over);
                scope.spawn(move || load(vault, number, over))
            })
            .collect();
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(700));
            restart(&command);
        }
        std::thread::sleep(Duration::from_millis(700));
        over.store(true, Ordering::Release);
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });

    let failures: usize = told.iter().map(|one| one.failures).sum();
    assert!(failures > 0, "control: the crashes were felt");
    // By those who lived through it and by one who did not.
    let fresh = store.open(&key, 3);
    let made: usize = told.iter().map(|one| one.made.len()).sum();
    println!("{made} people made, {failures} calls refused");
    assert!(made > 100, "control: there was load");
    for vault in [&vaults[0], &vaults[1], &fresh] {
        for one in &told {
            let destroyed: HashSet<_> = one.destroyed.iter().collect();
            assert!(!destroyed.is_empty());
            let names: Vec<_> = one.made.iter().map(|(name, _)| id(name)).collect();
            let found = vault.subjects(&names, false).unwrap();
            let wanted: Vec<_> = one
                .made
                .iter()
                .map(|(_, s)| (*s, KeyClass::Profile))
                .collect();
            let states = vault.keys(&wanted, false).unwrap();
            for (((name, subject), found), state) in one.made.iter().zip(found).zip(states) {
                if destroyed.contains(subject) {
                    assert_eq!(found, None, "{name}");
                    assert!(matches!(state, KeyState::Destroyed), "{name}");
                } else {
                    assert_eq!(found, Some(*subject), "{name}");
                    assert!(matches!(state, KeyState::Live(_)), "{name}");
                }
            }
        }
    }
}

/// Makes people and keys, and destroys every tenth, until told to stop.
fn load(vault: &dyn Vault, number: usize, over: &AtomicBool) -> Told {
    let mut told = Told::default();
    let mut count = 0;
    while !over.load(Ordering::Acquire) {
        count += 1;
        let name = format!("{number}-{count}");
        // The same again until it is confirmed.
        let subject = until_confirmed(&mut told.failures, || {
            let subject = vault.subjects(&[id(&name)], true)?[0].unwrap();
            let states = vault.keys(&[(subject, KeyClass::Profile)], true)?;
            assert!(all_live(&states));
            Ok(subject)
        });
        if count % 10 == 0 {
            until_confirmed(&mut told.failures, || vault.destroy(subject));
            told.destroyed.push(subject);
        }
        told.made.push((name, subject));
    }
    told
}

fn until_confirmed<T>(failures: &mut usize, attempt: impl Fn() -> Result<T, Error>) -> T {
    let begin = Instant::now();
    loop {
        match attempt() {
            Ok(done) => return done,
            Err(error) => {
                assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
                *failures += 1;
            }
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "it comes back");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A setting of the server, until it is dropped.
struct Setting<'s> {
    store: &'s Store,
    name: &'static str,
    /// What it is without us.
    usual: &'static str,
}

impl<'s> Setting<'s> {
    fn set(store: &'s Store, name: &'static str, value: &'static str, usual: &'static str) -> Self {
        let setting = Self { store, name, usual };
        setting.change(&format!("SET {name} = {value}"), value);
        setting
    }

    fn change(&self, change: &str, value: &str) {
        self.store.run(&format!("ALTER SYSTEM {change}"));
        self.store.run("SELECT pg_reload_conf()");
        let begin = Instant::now();
        loop {
            // A new connection begins with what is in force.
            let now = Store::new(&self.store.address);
            let found: String = now.rows(&format!("SHOW {}", self.name))[0].get(0);
            if found == value {
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(10));
        }
    }
}

impl Drop for Setting<'_> {
    fn drop(&mut self) {
        self.change(&format!("RESET {}", self.name), self.usual);
    }
}

/// A server that may lose what it confirms is refused; its default for commits is overruled.
#[test]
fn a_server_that_forgets_is_refused() {
    let _alone = ALONE.lock().unwrap();
    let Some(address) = address() else { return };
    let store = Store::new(&address);
    let forgetful = Setting::set(&store, "synchronous_commit", "off", "on");
    let vault = store.open(&master(1), 1);
    store.run(
        "CREATE TABLE noted AS SELECT ''::text AS setting WHERE false; \
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         INSERT INTO noted VALUES (current_setting('synchronous_commit')); RETURN NEW; END $$; \
         CREATE TRIGGER note BEFORE INSERT ON keys FOR EACH ROW EXECUTE FUNCTION note()",
    );
    let people = made(&vault, &ids(0..1));
    vault.keys(&profile_keys(&people), true).unwrap();
    let noted: String = store.rows("SELECT setting FROM noted")[0].get(0);
    assert_eq!(noted, "on");
    drop(forgetful);

    let careless = Setting::set(&store, "fsync", "off", "on");
    let error = store.try_open(&master(1), 2).unwrap_err();
    assert!(matches!(error, Error::Settings(_)), "{error}");
    drop(careless);
    store.try_open(&master(1), 3).unwrap();
}
