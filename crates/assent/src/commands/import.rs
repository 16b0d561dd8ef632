//! `assent import`: a file through intake, with a progress bar.

use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::{At, absolute};
use crate::cli::Import;
use crate::failure::Failure;

/// Brings one file in and says how many rows were taken, were duplicates, were refused.
pub async fn run(at: At, import: Import) -> Result<(), Failure> {
    let file = absolute(&import.file)?;
    let rejects = match &import.rejects {
        Some(path) => path.clone(),
        None => beside(&import)?,
    };
    let rejects = std::path::absolute(&rejects)
        .map_err(|error| Failure::usage(format!("{}: {error}", rejects.display())))?;
    let body = json!({
        "file": file,
        "mapping": absolute(&import.mapping)?,
        "rejects": rejects,
        "restart": import.restart,
    });
    let bar = ProgressBar::no_length().with_style(
        ProgressStyle::with_template(
            "{bar:30} {human_pos} of {human_len} rows, {elapsed}, {eta} left",
        )
        .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let mut last = Value::Null;
    let outcome = at
        .connected(async |connection| {
            connection
                .follow("/local/import", &body, |progress| {
                    bar.set_length(progress["lines"].as_u64().unwrap_or_default());
                    bar.set_position(progress["rows"].as_u64().unwrap_or_default());
                    last = progress;
                })
                .await
        })
        .await;
    bar.finish_and_clear();
    outcome?;
    if let Some(error) = last["error"].as_str() {
        return Err(Failure::failed(format!(
            "{error}\nEverything up to row {} is in; run the same command again to go on from there.",
            last["rows"]
        )));
    }
    if last["finished_before"] == true {
        eprintln!("this file came in before under this mapping; --restart sends it again");
        return Ok(());
    }
    eprintln!(
        "{} rows: {} events journalled, {} duplicates, {} rows rejected",
        last["rows"], last["journalled"], last["duplicates"], last["rejected"]
    );
    if last["rejected"].as_u64().unwrap_or_default() > 0 {
        eprintln!("rejected rows, with line and reason: {}", rejects.display());
    }
    Ok(())
}

/// Rejects go where the caller stands, not beside an input that may be read-only.
fn beside(import: &Import) -> Result<PathBuf, Failure> {
    let name = import
        .file
        .file_name()
        .ok_or_else(|| Failure::usage(format!("{}: not a file", import.file.display())))?;
    let mut name = name.to_os_string();
    name.push(".rejects.csv");
    Ok(PathBuf::from(name))
}
