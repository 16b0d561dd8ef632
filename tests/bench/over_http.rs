//! Members and events handed to a running intake, as a shop's back end would.

use assent_consent::Timestamp;
use serde_json::{Value, json};

use crate::client::Client;
use crate::house::SERVER_KEY;
use crate::population::{BATCH, call, customer};

/// Connections that send at once.
pub(crate) const CONNECTIONS: u64 = 4;

/// The body of a batch.
pub(crate) fn batch(calls: &[Value]) -> Vec<u8> {
    json!({ "batch": calls, "writeKey": SERVER_KEY })
        .to_string()
        .into_bytes()
}

/// The body of the batch that begins with event `first` of `members` people.
pub(crate) fn events(now: Timestamp, first: u64, members: u64) -> Vec<u8> {
    let calls: Vec<Value> = (first..first + BATCH)
        .map(|number| call(now, number, members))
        .collect();
    batch(&calls)
}

/// The first sight of a member costs an entry in the vault and keys: before anything is measured.
pub(crate) async fn introduce(client: &mut Client, members: u64) {
    for first in (0..members).step_by(usize::try_from(BATCH).expect("small")) {
        let calls: Vec<Value> = (first..first + BATCH)
            .map(|member| {
                json!({
                    "type": "identify", "userId": customer(member),
                    "messageId": format!("i-{member}"), "traits": { "city": "杭州" },
                })
            })
            .collect();
        client.post("/v1/batch", None, batch(&calls)).await;
    }
}

/// Sends the first `events` events of `members` people, at least, over all connections.
pub(crate) async fn fill(address: &str, events: u64, members: u64) {
    let now = now();
    let mut sending = tokio::task::JoinSet::new();
    for connection in 0..CONNECTIONS {
        let mut client = Client::connect(address).await;
        sending.spawn(async move {
            for first in (connection * BATCH..events)
                .step_by(usize::try_from(CONNECTIONS * BATCH).expect("small"))
            {
                let body = self::events(now, first, members);
                let answer = client.post("/v1/batch", None, body).await;
                assert_eq!(answer["journalled"], BATCH, "every event is new and taken");
            }
        });
    }
    while let Some(connection) = sending.join_next().await {
        connection.expect("sent");
    }
}

/// By the wall clock, which the server's intake goes by, too.
pub(crate) fn now() -> Timestamp {
    let since = std::time::UNIX_EPOCH.elapsed().expect("after 1970");
    Timestamp::from_micros(i64::try_from(since.as_micros()).expect("before the year 294246"))
}
