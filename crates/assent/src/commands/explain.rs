//! `assent explain`.

use serde_json::json;

use super::{At, print};
use crate::cli::Explain;
use crate::failure::Failure;
use assent_server::ProcessRole;

/// Prints reason counts over the base or, for an officer, one member's verdict or a query's waterfall.
pub async fn run(at: At, explain: Explain) -> Result<(), Failure> {
    let body = json!({
        "purpose": explain.use_.purpose,
        "channel": explain.use_.channel,
        "recipient": explain.use_.recipient,
        "member": explain.member,
        "identifier": explain.identifier,
        "sql": explain.sql,
        "under": explain.under,
    });
    let answer = at
        .connected(Some(ProcessRole::Query), async |connection| {
            connection
                .post("/v1/explain", explain.format.media_type(), &body)
                .await
        })
        .await?;
    print(&answer)
}
