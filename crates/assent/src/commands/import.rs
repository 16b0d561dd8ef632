//! `assent import`: a file through intake, with a progress bar.

mod summary;

use std::path::PathBuf;

use assent_server::{ImportProgress, ProcessRole};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{At, absolute};
use crate::cli::Import;
use crate::failure::{Explained, Failure};

/// Brings one file in and says how many events are new, were there already, and how many rows were refused.
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
    let mut last = None;
    let outcome = at
        .connected(Some(ProcessRole::Intake), async |connection| {
            connection
                .follow("/local/import", &body, |line| {
                    let progress = serde_json::from_value::<ImportProgress>(line);
                    if let Ok(progress) = &progress {
                        bar.set_length(progress.lines);
                        bar.set_position(progress.counts.rows);
                    }
                    last = Some(progress);
                })
                .await
        })
        .await;
    bar.finish_and_clear();
    outcome?;
    let last = last.ok_or_else(|| {
        Failure::failed("the import was broken off; run the same command again to go on with it")
    })?;
    summary::tell(&last.explained("the answer is not an import's")?, &rejects)
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
