//! The file that lists rejected rows by line, column and reason; never their contents.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::path::Path;

use super::error::ImportError;

const HEADER: &str = "line,column,reason";

/// A row, or one event of it, that was refused.
pub(super) struct Reject {
    pub(super) line: u64,
    pub(super) column: String,
    pub(super) reason: String,
}

/// Without its line: what is counted.
impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.column.is_empty() {
            write!(f, "{}: ", self.column)?;
        }
        f.write_str(&self.reason)
    }
}

/// Makes room for the list of an import that begins: what an earlier one listed goes.
///
/// # Errors
/// [`ImportError::RejectsElsewhere`] when the file is another one than such a list.
pub(super) fn begin(path: &Path) -> Result<(), ImportError> {
    match is_list(path) {
        Ok(None) => Ok(()),
        Ok(Some(true)) => remove(path),
        Ok(Some(false)) => Err(ImportError::RejectsElsewhere {
            path: path.to_owned(),
        }),
        Err(source) => Err(failed("read", path, source)),
    }
}

/// Removes a list that holds nothing of this import. Another file stays.
pub(super) fn remove(path: &Path) -> Result<(), ImportError> {
    match is_list(path) {
        Ok(Some(true)) => {
            std::fs::remove_file(path).map_err(|source| failed("remove", path, source))
        }
        Ok(None | Some(false)) => Ok(()),
        Err(source) => Err(failed("read", path, source)),
    }
}

/// Adds to the list, durably.
pub(super) fn add(path: &Path, rejects: &[Reject]) -> Result<(), ImportError> {
    if rejects.is_empty() {
        return Ok(());
    }
    let write = || -> std::io::Result<()> {
        let new = !path.exists();
        let file: File = OpenOptions::new().create(true).append(true).open(path)?;
        let mut writer = csv::Writer::from_writer(file);
        if new {
            writer.write_record(HEADER.split(','))?;
        }
        for reject in rejects {
            let line = reject.line.to_string();
            writer.write_record([&line, &reject.column, &reject.reason])?;
        }
        writer.flush()?;
        writer.get_ref().sync_all()
    };
    write().map_err(|source| failed("write", path, source))
}

/// Whether the file is such a list, or empty; `None` when there is none.
fn is_list(path: &Path) -> std::io::Result<Option<bool>> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => {}
        // A pipe or a terminal takes what is written and has nothing to begin anew.
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let file = File::open(path)?;
    let mut begin = Vec::new();
    file.take(HEADER.len() as u64).read_to_end(&mut begin)?;
    Ok(Some(begin.is_empty() || begin == HEADER.as_bytes()))
}

fn failed(action: &'static str, path: &Path, source: std::io::Error) -> ImportError {
    ImportError::File {
        action,
        path: path.to_owned(),
        source,
    }
}
