//! Intake: batches through loopback HTTP, acknowledged after the journal, ÷ sealing and appending the same events.

use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::net::TcpListener;

use assent_journal::{Record, Topic};
use assent_vault::{Draft, Sealer, SharedRng};
use serde_json::json;

use crate::client::Client;
use crate::house::{House, Opening, SERVER_KEY};
use crate::measure::{measured, ratio, spread};
use crate::population::{BATCH, call, draft, introduce};

const MEMBERS: u64 = 20_000;
const ROUNDS: u64 = 7;
/// Requests of one round, over all connections.
const REQUESTS: u64 = 80;
const CONNECTIONS: u64 = 4;

pub(crate) async fn run() {
    let house = Arc::new(Opening::sample().open().await);
    introduce(&house, MEMBERS).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let router = house.router();
    let server = tokio::spawn(async move { axum::serve(listener, router).await });

    let (mut walls, mut cpus, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    // The first round warms up and does not count.
    for round in 0..=ROUNDS {
        let first = round * REQUESTS * BATCH;
        let bodies: Vec<Vec<Vec<u8>>> = (0..CONNECTIONS)
            .map(|connection| {
                mine(connection)
                    .map(|request| body(&house, first + request * BATCH))
                    .collect()
            })
            .collect();
        let (http, ()) = measured(async || {
            let sent: Vec<_> = bodies
                .into_iter()
                .map(|bodies| tokio::spawn(send(address.to_string(), bodies)))
                .collect();
            for connection in sent {
                connection.await.expect("sent");
            }
        })
        .await;

        let drafts: Vec<Vec<Vec<Draft>>> = (0..CONNECTIONS)
            .map(|connection| {
                mine(connection)
                    .map(|request| drafts(&house, first + request * BATCH))
                    .collect()
            })
            .collect();
        let (bare, ()) = measured(async || {
            let appended: Vec<_> = drafts
                .into_iter()
                .map(|batches| tokio::spawn(append(Arc::clone(&house), batches, round)))
                .collect();
            for writer in appended {
                writer.await.expect("appended");
            }
        })
        .await;
        if round > 0 {
            walls.push((bare.wall, http.wall));
            cpus.push((bare.cpu, http.cpu));
            #[expect(clippy::cast_precision_loss, reason = "tens of thousands")]
            rates.push((REQUESTS * BATCH) as f64 / http.wall);
        }
    }
    server.abort();
    println!(
        "batches of {BATCH} over {CONNECTIONS} connections, {ROUNDS} rounds of {} events",
        REQUESTS * BATCH
    );
    println!(
        "| throughput over HTTP ÷ sealing and appending the same events | by wall time | by CPU time |"
    );
    println!("|---|---|---|");
    println!("| | {} | {} |", ratio(&walls), ratio(&cpus));
    println!(
        "(for orientation: {:.0} events a second over HTTP, client on the same cores)",
        spread(rates).1
    );
}

fn mine(connection: u64) -> impl Iterator<Item = u64> {
    (0..REQUESTS).filter(move |request| request % CONNECTIONS == connection)
}

fn body(house: &House, first: u64) -> Vec<u8> {
    let calls: Vec<_> = (first..first + BATCH)
        .map(|number| call(house.now(), number, MEMBERS))
        .collect();
    json!({ "batch": calls, "writeKey": SERVER_KEY })
        .to_string()
        .into_bytes()
}

fn drafts(house: &House, first: u64) -> Vec<Draft> {
    (first..first + BATCH)
        .map(|number| draft(house, number, MEMBERS))
        .collect()
}

/// One connection: a request, its answer, the next.
async fn send(address: String, bodies: Vec<Vec<u8>>) {
    let mut client = Client::connect(&address).await;
    for body in bodies {
        let answer = client.post("/v1/batch", None, body).await;
        assert_eq!(answer["journalled"], BATCH, "every event is new and taken");
    }
}

/// One writer: seal a batch, append it, the next.
async fn append(house: Arc<House>, batches: Vec<Vec<Draft>>, seed: u64) {
    let random = Arc::new(SharedRng::new(StdRng::seed_from_u64(seed)));
    for drafts in batches {
        let (house, random) = (Arc::clone(&house), Arc::clone(&random));
        let journal = Arc::clone(&house.journal);
        let records = tokio::task::spawn_blocking(move || {
            let envelopes = Sealer::new(house.vault.as_ref(), random.as_ref())
                .seal_batch(drafts)
                .expect("sealed");
            envelopes
                .iter()
                .map(|envelope| Record {
                    topic: Topic::new(envelope.kind.topic()),
                    key: envelope.subject.as_bytes().to_vec().into(),
                    value: envelope.encode().expect("encoded").into(),
                    headers: Vec::new(),
                })
                .collect::<Vec<_>>()
        })
        .await
        .expect("sealed");
        journal.append(records).await.expect("appended");
    }
}
