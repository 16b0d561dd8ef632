//! `assent plan` and `assent apply`.

use std::path::Path;

use serde_json::{Value, json};

use super::{At, absolute, print_bytes};
use crate::failure::Failure;

/// Shows what `apply` would change.
pub async fn plan(at: At, dir: &Path) -> Result<(), Failure> {
    let body = json!({ "dir": absolute(dir)? });
    let answer = at
        .founding(None, async |connection| {
            connection
                .post("/local/plan", "application/json", &body)
                .await?
                .json()
        })
        .await?;
    let changes = show(&answer)?;
    eprintln!(
        "{}",
        match changes {
            0 => "nothing to change".to_owned(),
            n => format!("{n} to journal: assent apply {}", dir.display()),
        }
    );
    Ok(())
}

/// Journals the definitions.
pub async fn apply(at: At, dir: &Path) -> Result<(), Failure> {
    let body = json!({ "dir": absolute(dir)? });
    let answer = at
        .founding(None, async |connection| {
            connection
                .post("/local/apply", "application/json", &body)
                .await?
                .json()
        })
        .await?;
    let changes = show(&answer)?;
    eprintln!("{changes} journalled");
    Ok(())
}

/// Prints the changes, a line each, and returns how many there are.
fn show(answer: &Value) -> Result<usize, Failure> {
    let mut lines = String::new();
    let mut count = 0;
    for change in answer["changes"].as_array().into_iter().flatten() {
        let action = change["action"].as_str().unwrap_or_default();
        if action == "unchanged" {
            continue;
        }
        count += 1;
        let key = change["key"].as_str().unwrap_or_default();
        lines.push_str(&format!("{action:<8} {key}\n"));
    }
    print_bytes(lines.as_bytes())?;
    Ok(count)
}
