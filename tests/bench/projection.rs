//! Projection: reading, opening, folding and committing ÷ reading, decoding and opening the same events.

use std::sync::Arc;

use assent_event::{Envelope, topics};
use assent_intake::Route;
use assent_journal::{ReadLimit, Topic};
use assent_projection::{Definitions, Owner, Parts, Projector, Settings};
use assent_vault::{Sealer, SharedRng};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::json;

use crate::house::{House, Opening, SERVER_KEY};
use crate::measure::{measured, ratio, spread};
use crate::population::{BATCH, call, introduce};

const MEMBERS: u64 = 20_000;
const EVENTS: u64 = 300_000;
const ROUNDS: usize = 5;

pub(crate) async fn run() {
    let house = Opening::sample().open().await;
    introduce(&house, MEMBERS).await;
    for first in (0..EVENTS).step_by(usize::try_from(BATCH).unwrap_or(1)) {
        let calls: Vec<_> = (first..first + BATCH)
            .map(|number| call(house.now(), number, MEMBERS))
            .collect();
        house
            .call(SERVER_KEY, Route::Batch, json!({ "batch": calls }))
            .await;
    }
    let (mut walls, mut cpus, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    let mut profile_bytes = 0;
    for round in 0..=ROUNDS {
        let (opened, events) = measured(async || open_all(&house).await).await;
        let dir = tempfile::tempdir().expect("a directory");
        let registry = house.permit.registry();
        let parts = Parts::alone(
            dir.path(),
            Arc::clone(&house.journal),
            Arc::clone(&house.vault) as Arc<dyn assent_vault::Vault>,
            Owner::from_bytes([1; 16]),
        )
        .expect("the topics");
        let mut projector = Projector::open(
            parts,
            Definitions::new(registry.traits().clone(), registry.settings().calendar),
            Settings::default(),
        )
        .expect("a projector");
        let (folded, progress) =
            measured(async || projector.run_once().await.expect("folded")).await;
        assert_eq!(progress.counts.folded, events, "both read the same events");
        profile_bytes = bytes_under(&dir.path().join("data"));
        if round > 0 {
            walls.push((opened.wall, folded.wall));
            cpus.push((opened.cpu, folded.cpu));
            #[expect(clippy::cast_precision_loss, reason = "hundreds of thousands")]
            rates.push(events as f64 / folded.wall);
        }
    }
    println!("{EVENTS} events of {MEMBERS} members, {ROUNDS} rounds");
    println!("| throughput of projection ÷ decoding and opening | by wall time | by CPU time |");
    println!("|---|---|---|");
    println!("| | {} | {} |", ratio(&walls), ratio(&cpus));
    println!(
        "(for orientation: {:.0} events a second projected)",
        spread(rates).1
    );
    let path = house.dir.path();
    #[expect(clippy::cast_precision_loss, reason = "megabytes")]
    let per_event = |bytes: u64| bytes as f64 / EVENTS as f64;
    println!("\n| on disk | bytes per event |");
    println!("|---|---|");
    println!(
        "| journal (sealed, compressed, in its store) | {:.0} |",
        per_event(bytes_under(&path.join("journal.redb")))
    );
    println!(
        "| profiles (all tables and the de-duplication window) | {:.0} |",
        per_event(profile_bytes)
    );
    #[expect(clippy::cast_precision_loss, reason = "megabytes")]
    let per_member = bytes_under(&path.join("vault.redb")) as f64 / MEMBERS as f64;
    println!("\nvault: {per_member:.0} bytes per member");
}

/// Reads every record of the projection's topics, decodes it and opens its blocks, in batches as the projector does.
async fn open_all(house: &House) -> u64 {
    let random = SharedRng::new(StdRng::seed_from_u64(0));
    let sealer = Sealer::new(house.vault.as_ref(), &random);
    let limit = ReadLimit {
        records: 65_536,
        bytes: 64 << 20,
    };
    let mut events = 0;
    for topic in [topics::PROFILE, topics::BEHAVIOUR].map(Topic::new) {
        for partition in 0..house.journal.partitions(&topic).expect("partitions") {
            let mut from = 0;
            loop {
                let batch = house
                    .journal
                    .read(&topic, partition, from, limit)
                    .await
                    .expect("read");
                if batch.records.is_empty() {
                    break;
                }
                from = batch.next;
                let envelopes: Vec<Envelope> = batch
                    .records
                    .iter()
                    .map(|stored| Envelope::decode(&stored.value).expect("decoded"))
                    .collect();
                events += sealer.open_batch(&envelopes).expect("opened").len() as u64;
            }
        }
    }
    events
}

/// The size of a file, or of all files below a directory.
pub(crate) fn bytes_under(path: &std::path::Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else {
        return std::fs::metadata(path).map_or(0, |file| file.len());
    };
    entries
        .flatten()
        .map(|entry| bytes_under(&entry.path()))
        .sum()
}
