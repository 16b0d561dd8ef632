//! The owner's import: files through intake, progress told as it goes, profiles caught up at the end.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use assent_intake::import::{self, Files, ImportError, Mapping, Progress, Unread};
use assent_projection::Counts;
use assent_server::{ImportCounts, ImportProgress, ImportRequest};
use tokio::sync::mpsc;

use crate::failure::{Exit, Explained, Failure};
use crate::node::Stores;

/// Runs an import to its end or to what stops it; either is the last progress sent.
pub async fn run(
    stores: &Stores,
    request: ImportRequest,
    progress: mpsc::UnboundedSender<ImportProgress>,
) {
    let mut told = ImportProgress::default();
    if let Err(failure) = import(stores, &request, &progress, &mut told).await {
        told.usage = failure.exit == Exit::Usage;
        told.resumable &= !told.usage;
        told.error = Some(failure.message);
    } else {
        told.resumable = false;
    }
    // Nobody listening any more is no reason to fail what is done.
    let _ = progress.send(told);
}

async fn import(
    stores: &Stores,
    request: &ImportRequest,
    progress: &mpsc::UnboundedSender<ImportProgress>,
    told: &mut ImportProgress,
) -> Result<(), Failure> {
    let intake = stores.intake()?;
    let yaml = std::fs::read_to_string(&request.mapping).explained(request.mapping.display())?;
    let mapping = Mapping::parse(&yaml)
        .map_err(|error| stopped(&request.mapping, &ImportError::Mapping(error)))?;
    import::check(intake, &mapping, &request.file)
        .map_err(|error| stopped(&request.mapping, &error))?;
    let files = Files {
        input: request.file.clone(),
        progress: stores.imports.join(progress_name(&request.file, &mapping)),
        rejects: request.rejects.clone(),
    };
    crate::stores::private_dir(&stores.imports)?;
    if request.restart && files.progress.exists() {
        std::fs::remove_file(&files.progress).explained(files.progress.display())?;
    }
    let earlier = import::reached(&mapping, &files);
    let earlier = earlier.map_err(|error| stopped(&request.mapping, &error))?;
    told.earlier = counts(&earlier);
    told.lines = lines(&request.file)?;
    let hint = import::unread(&mapping, &intake.registry());
    told.hints.extend(hint.map(unread));
    let folded_before = folded(stores).await.ok();
    let mut report = |reached: &Progress| {
        told.resumable = true;
        tell(told, reached);
        let _ = progress.send(told.clone());
    };
    let done = import::run(intake, &mapping, &files, &mut report)
        .await
        .map_err(|error| stopped(&request.mapping, &error))?;
    tell(told, &done);
    told.finished_before = !told.resumable && done.rows > 0;
    // Everything is in; what may fail now is no part of the import.
    told.resumable = false;
    let folded = folded(stores).await?;
    told.repeated = folded_before.and_then(|before| {
        let since = folded?.since(before?)?;
        repeated(done.profiled - earlier.profiled, since)
    });
    Ok(())
}

/// What stopped an import, with its causes; an error of the mapping names its file.
fn stopped(mapping: &Path, error: &ImportError) -> Failure {
    let mut message = match error {
        ImportError::Mapping(fault) => format!("{}: {fault}", mapping.display()),
        ImportError::File { .. }
        | ImportError::Format { .. }
        | ImportError::Encoding { .. }
        | ImportError::ColumnMissing { .. }
        | ImportError::ColumnTwice { .. }
        | ImportError::RejectsElsewhere { .. }
        | ImportError::ProgressOfAnother { .. }
        | ImportError::Intake { .. } => error.to_string(),
    };
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        message.push_str(&format!(": {error}"));
        cause = error.source();
    }
    if error.is_usage() {
        Failure::usage(message)
    } else {
        Failure::failed(message)
    }
}

fn tell(told: &mut ImportProgress, reached: &Progress) {
    told.counts = counts(reached);
    told.reasons.clone_from(&reached.reasons);
    told.warnings.clone_from(&reached.warnings);
    told.warning_lines.clone_from(&reached.warning_lines);
}

fn counts(reached: &Progress) -> ImportCounts {
    ImportCounts {
        rows: reached.rows,
        journalled: reached.journalled,
        duplicates: reached.duplicates,
        rejected: reached.rejected,
    }
}

/// A mistyped name makes a segment empty and says nothing.
fn unread(unread: Unread) -> String {
    let quoted = |names: Vec<String>| {
        let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
        names.join(", ")
    };
    let read = match unread.read.is_empty() {
        true => "there are no traits of events".to_owned(),
        false => format!("traits read {}", quoted(unread.read)),
    };
    format!(
        "no trait reads {}, so no column of members comes of it; {read}",
        quoted(unread.events)
    )
}

/// Records that profiles were built from.
#[derive(Debug, Clone, Copy)]
struct Folded {
    new: u64,
    repeated: u64,
}

impl Folded {
    /// What came to it; `None` if it began anew in between.
    fn since(self, before: Self) -> Option<Self> {
        Some(Self {
            new: self.new.checked_sub(before.new)?,
            repeated: self.repeated.checked_sub(before.repeated)?,
        })
    }
}

/// Catches the profiles up, and tells what they were built from; `None` where they are not built.
async fn folded(stores: &Stores) -> Result<Option<Folded>, Failure> {
    let (Some(projection), Some(profiles)) = (&stores.projection, &stores.profiles) else {
        return Ok(None);
    };
    let caught_up = projection.project(false).await;
    caught_up.map_err(|problem| Failure::failed(problem.detail))?;
    let profiles = Arc::clone(profiles);
    let read = tokio::task::spawn_blocking(move || profiles.latest()).await;
    // That it cannot be told is no reason to fail: the profiles are there.
    let Some(snapshot) = read.ok().and_then(Result::ok) else {
        return Ok(None);
    };
    let counts = snapshot.map_or_else(Counts::default, |found| found.manifest().counts());
    Ok(Some(Folded {
        new: counts.folded,
        repeated: counts.duplicates,
    }))
}

/// How many of so many events were repetitions. An event makes one record or more, and others may send at the same
/// time: what does not add up is not told.
fn repeated(events: u64, folded: Folded) -> Option<u64> {
    match (folded.new, folded.repeated) {
        (new, 0) if new >= events => Some(0),
        (0, repeated) if repeated >= events => Some(events),
        (new, repeated) if new + repeated == events => Some(repeated),
        _ => None,
    }
}

/// One progress record a file and mapping, in the data directory: the input may lie where nothing can be written.
fn progress_name(input: &Path, mapping: &Mapping) -> PathBuf {
    let place = assent_programme::token_sha256(&input.to_string_lossy());
    PathBuf::from(format!("{}-{}.json", mapping.name(), &place[..16]))
}

/// Lines of the file, for the progress bar; a cell may hold several, so rows are at most as many.
fn lines(path: &Path) -> Result<u64, Failure> {
    let file = std::fs::File::open(path).explained(path.display())?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut lines = 0;
    loop {
        let held = reader.fill_buf().explained(path.display())?;
        if held.is_empty() {
            return Ok(lines);
        }
        lines += held.iter().filter(|byte| **byte == b'\n').count() as u64;
        let length = held.len();
        reader.consume(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_in_before_is_told_where_the_sums_are_right() {
        let told = |events, new, repeated_records| {
            let repeated_records = Folded {
                new,
                repeated: repeated_records,
            };
            repeated(events, repeated_records)
        };
        assert_eq!(told(0, 0, 0), Some(0));
        assert_eq!(told(3, 3, 0), Some(0));
        assert_eq!(told(3, 2, 1), Some(1));
        // Two records each.
        assert_eq!(told(3, 6, 0), Some(0));
        assert_eq!(told(3, 0, 6), Some(3));
        assert_eq!(told(3, 4, 2), None);
        // Not all of it has been folded.
        assert_eq!(told(3, 2, 0), None);
        assert_eq!(told(3, 0, 2), None);
    }
}
