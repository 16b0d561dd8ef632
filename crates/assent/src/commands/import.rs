//! `assent import`: a file through intake, with a progress bar.

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::{At, absolute};
use crate::cli::Import;
use crate::failure::Failure;
use assent_server::ProcessRole;

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
        .connected(Some(ProcessRole::Intake), async |connection| {
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
    told(&last, &rejects)
}

/// How it ended, on standard error.
fn told(last: &Value, rejects: &Path) -> Result<(), Failure> {
    if let Some(error) = last["error"].as_str() {
        return Err(stopped(last, error));
    }
    let count = |name: &str| last[name].as_u64().unwrap_or_default();
    let rejected = count("rejected");
    let nothing = rejected > 0 && count("journalled") + count("duplicates") == 0;
    if last["finished_before"] == true {
        eprintln!("this file came in before under this mapping; --restart sends it again");
        if !nothing {
            return Ok(());
        }
    }
    eprintln!(
        "{} rows: {} events journalled, {} duplicates, {rejected} rows rejected",
        last["rows"], last["journalled"], last["duplicates"]
    );
    for line in counted(&last["warnings"], usize::MAX) {
        eprintln!("{line}");
    }
    if rejected == 0 {
        return Ok(());
    }
    let mut lines = vec![format!(
        "rejected rows, with line and reason: {}",
        rejects.display()
    )];
    lines.extend(counted(&last["reasons"], TOP));
    if nothing {
        lines.insert(0, "nothing was taken: every row was rejected".to_owned());
        return Err(Failure::failed(lines.join("\n")));
    }
    eprintln!("{}", lines.join("\n"));
    Ok(())
}

/// Reasons to reject that are told; the file has all of them.
const TOP: usize = 3;

/// An import that stopped before the end of its file.
fn stopped(last: &Value, error: &str) -> Failure {
    if last["usage"] == true {
        return Failure::usage(error);
    }
    if last["resumable"] == true {
        return Failure::failed(format!(
            "{error}\nEverything up to row {} is in; run the same command again to go on from there.",
            last["rows"]
        ));
    }
    Failure::failed(error)
}

/// The most frequent of what was counted, as `N × text`.
fn counted(counts: &Value, most: usize) -> Vec<String> {
    let mut counts: Vec<(u64, &str)> = counts
        .as_object()
        .into_iter()
        .flatten()
        .map(|(text, count)| (count.as_u64().unwrap_or_default(), text.as_str()))
        .collect();
    counts.sort_by_key(|(count, text)| (std::cmp::Reverse(*count), *text));
    counts
        .iter()
        .take(most)
        .map(|(count, text)| format!("{count} × {text}"))
        .collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    fn end(last: &Value) -> Option<Failure> {
        told(last, Path::new("rejects.csv")).err()
    }

    #[test]
    fn only_what_can_go_on_says_so() {
        let stop = |usage, resumable| {
            let last = json!({"error": "why", "rows": 7, "usage": usage, "resumable": resumable});
            let failure = end(&last).unwrap();
            (failure.exit, failure.message.contains("up to row 7"))
        };
        assert_eq!(stop(true, false), (Exit::Usage, false));
        assert_eq!(stop(false, false), (Exit::Failed, false));
        assert_eq!(stop(false, true), (Exit::Failed, true));
    }

    #[test]
    fn an_import_that_took_nothing_fails_with_the_most_frequent_reasons() {
        let mut last = json!({
            "rows": 10, "journalled": 0, "duplicates": 0, "rejected": 10,
            "reasons": {"a": 1, "b": 2, "c": 3, "d": 4}, "warnings": {},
        });
        let failure = end(&last).unwrap();
        assert_eq!(failure.exit, Exit::Failed);
        let reasons: Vec<&str> = failure.message.lines().skip(2).collect();
        assert_eq!(reasons, ["4 × d", "3 × c", "2 × b"]);
        last["finished_before"] = true.into();
        assert!(end(&last).is_some());
        last["journalled"] = 1.into();
        assert!(end(&last).is_none());
    }
}
