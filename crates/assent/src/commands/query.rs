//! `assent query`.

use serde_json::json;

use super::{At, print};
use crate::cli::Query;
use crate::failure::Failure;
use assent_server::ProcessRole;

/// Runs one lawful query and prints its rows.
pub async fn run(at: At, query: Query) -> Result<(), Failure> {
    let body = json!({
        "sql": query.sql,
        "purpose": query.use_.purpose,
        "channel": query.use_.channel,
        "recipient": query.use_.recipient,
        "as_of": query.as_of,
    });
    let answer = at
        .connected(Some(ProcessRole::Query), async |connection| {
            connection
                .post("/v1/query", query.format.media_type(), &body)
                .await
        })
        .await?;
    print(&answer)
}
