//! How fast the projector is next to what it cannot avoid: decoding and opening the same events. Not a test: run it
//! with `cargo test --release -p assent-projection -- --ignored --nocapture measure`.

use std::time::Instant;

use assent_event::Envelope;
use assent_journal::Topic;
use assent_projection::{Groups, Settings, Table, members};
use assent_vault::{RandomSource, Sealer};

use crate::catalog::{catalog, definitions};
use crate::replay::{newest, open, settings};
use crate::story::{DAY, Room, at, story, topics};

struct Nothing;

impl RandomSource for Nothing {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

#[tokio::test]
#[ignore = "a measurement"]
async fn measure() {
    const EVENTS: usize = 60_000;
    let room = Room::new();
    let journal = room.journal(story(1, EVENTS, 250, true));
    let mut values = Vec::with_capacity(EVENTS);
    for topic in topics() {
        values.extend(journal.values(&Topic::new(topic.as_str())));
    }

    let begun = Instant::now();
    for chunk in values.chunks(65_536) {
        let decoded = chunk.iter().map(|value| Envelope::decode(value).unwrap());
        let envelopes: Vec<Envelope> = decoded.collect();
        let sealer = Sealer::new(room.vault.as_ref(), &Nothing);
        assert_eq!(sealer.open_batch(&envelopes).unwrap().len(), chunk.len());
    }
    let opening = begun.elapsed();

    let settings = Settings {
        batch_records: 65_536,
        ..settings()
    };
    let mut projector = open(&room, "p", &journal, &definitions(), settings);
    let begun = Instant::now();
    let progress = projector.run_once().await.unwrap();
    let projecting = begun.elapsed();
    assert_eq!(progress.counts.records(), EVENTS as u64);

    let snapshot = newest(&room, "p");
    let partials = snapshot.read(Table::Members).unwrap();
    let begun = Instant::now();
    let groups = Groups::by_subject(&partials).unwrap();
    let calendar = definitions().calendar;
    members::finish(&partials, &groups, &catalog(), at(90 * DAY), calendar).unwrap();
    let finishing = begun.elapsed();

    let rate = |elapsed: std::time::Duration| EVENTS as f64 / elapsed.as_secs_f64();
    println!(
        "decode and open {:.0}/s, project {:.0}/s, ratio {:.2}; finish {} partial rows in {finishing:?}",
        rate(opening),
        rate(projecting),
        opening.as_secs_f64() / projecting.as_secs_f64(),
        partials.iter().map(|batch| batch.num_rows()).sum::<usize>(),
    );
}
