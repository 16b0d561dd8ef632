//! The owner's import: files through intake, progress told as it goes, profiles caught up at the end.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use assent_intake::import::{self, Files, ImportError, Mapping, Progress};
use assent_server::{ImportProgress, ImportRequest};
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
    told.lines = lines(&request.file)?;
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
    if let Some(projection) = &stores.projection {
        projection
            .project(false)
            .await
            .map_err(|problem| Failure::failed(problem.detail))?;
    }
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
    told.rows = reached.rows;
    told.journalled = reached.journalled;
    told.duplicates = reached.duplicates;
    told.rejected = reached.rejected;
    told.reasons.clone_from(&reached.reasons);
    told.warnings.clone_from(&reached.warnings);
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
