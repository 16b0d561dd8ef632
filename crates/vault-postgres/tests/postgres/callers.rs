//! Whoever calls: threads, threads of a pool for blocking work, and asynchronous tasks themselves.

use std::sync::Arc;

use assent_vault::Vault;

use crate::support::{Store, address, all_live, id, ids, made, master, profile_keys};

fn use_it(vault: &dyn Vault) {
    let people = made(vault, &ids(0..3));
    assert!(all_live(&vault.keys(&profile_keys(&people), true).unwrap()));
}

fn in_a_runtime(mut builder: tokio::runtime::Builder) {
    let Some(address) = address() else { return };
    let store = Store::new(&address);
    let vault = Arc::new(store.open(&master(1), 1));
    let runtime = builder.enable_all().build().unwrap();
    let last = runtime.block_on(async {
        use_it(vault.as_ref());
        let in_task = Arc::clone(&vault);
        tokio::spawn(async move { use_it(in_task.as_ref()) })
            .await
            .unwrap();
        let apart = Arc::clone(&vault);
        tokio::task::spawn_blocking(move || use_it(apart.as_ref()))
            .await
            .unwrap();
        // It may also be dropped there.
        tokio::spawn(async move {
            let known = vault.subjects(&[id(0)], false).unwrap();
            drop(vault);
            known
        })
        .await
        .unwrap()
    });
    assert!(last[0].is_some());
}

#[test]
fn a_runtime_of_one_thread() {
    in_a_runtime(tokio::runtime::Builder::new_current_thread());
}

#[test]
fn a_runtime_of_many_threads() {
    in_a_runtime(tokio::runtime::Builder::new_multi_thread());
}

#[test]
fn more_callers_than_connections() {
    let Some(address) = address() else { return };
    let store = Store::new(&address);
    let mut config = store.config();
    config.connections = 1;
    let vault =
        assent_vault_postgres::PostgresVault::open(&config, &master(1), crate::support::random(1))
            .unwrap();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| use_it(&vault));
        }
    });
}
