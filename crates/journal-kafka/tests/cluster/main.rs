//! The journal on three real brokers: its contract, and what becomes of it when brokers die or hang.
//!
//! Runs when `ASSENT_KAFKA_CLUSTER` names the brokers and `ASSENT_XTASK` the program that breaks them,
//! as `cargo xtask test` does. One round of each fault then; many with `cargo xtask test --faults`.
//! The cases take turns, since they break the one cluster there is.

#![allow(clippy::unwrap_used)]

mod audit;
mod control;
mod faults;
mod load;
#[path = "../on_kafka/mod.rs"]
mod on_kafka;

use assent_journal::contract;
use tokio::sync::{Mutex, MutexGuard};

use self::control::Control;
use self::on_kafka::{OnKafka, Place};

/// The cluster, whole, and nobody else's until the guard is dropped.
async fn cluster() -> Option<(Control, MutexGuard<'static, ()>)> {
    static TURN: Mutex<()> = Mutex::const_new(());
    let brokers = Place::Three.brokers()?;
    let turn = TURN.lock().await;
    let control = Control::new(brokers);
    // A case that failed may have left something broken.
    control.mend();
    Some((control, turn))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_keeps_the_contract_on_three_brokers() {
    let Some((control, _turn)) = cluster().await else {
        return;
    };
    contract::all(|| OnKafka::new(Place::Three, &control.brokers)).await;
}
