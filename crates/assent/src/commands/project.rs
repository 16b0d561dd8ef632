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
    Ok(())
}
