//! `assent project`.

use serde_json::json;

use super::At;
use crate::failure::Failure;
use assent_server::ProcessRole;

/// Catches the profiles up with the journal, or folds them anew.
pub async fn run(at: At, rebuild: bool) -> Result<(), Failure> {
    let answer = at
        .connected(Some(ProcessRole::Projector), async |connection| {
            connection
                .post(
                    "/local/project",
                    "application/json",
                    &json!({ "rebuild": rebuild }),
                )
                .await?
                .json()
        })
        .await?;
    eprintln!(
        "manifest {}: {} events folded, {} duplicates, {} skipped",
        answer["manifest"], answer["folded"], answer["duplicates"], answer["skipped"]
    );
    let left = answer["to_be_rebuilt"].as_array().map_or(0, Vec::len);
    if left > 0 {
        eprintln!(
            "{left} shards are still to be rebuilt by the projectors that hold them; queries see the old profiles"
        );
    }
    Ok(())
}
