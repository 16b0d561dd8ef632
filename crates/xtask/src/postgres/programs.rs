//! PostgreSQL's programs: where they are, and running them under an account that they accept.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Debian keeps the programs of each version here, away from the search path.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The account of Debian's package, under which the server runs when we are root: it refuses to be
/// root itself.
const ACCOUNT: &str = "postgres";

/// The directory of `initdb` and `pg_ctl`: of the search path, or of the newest version of Debian's
/// package.
pub fn bindir() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(found) = std::env::split_paths(&path).find(|dir| dir.join("pg_ctl").is_file()) {
        return Some(found);
    }
    let versions = std::fs::read_dir(DEBIAN).ok()?;
    let newest = versions
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok()?.parse().ok())
        .max_by_key(|version: &u32| *version)?;
    let dir = Path::new(DEBIAN).join(newest.to_string()).join("bin");
    dir.join("pg_ctl").is_file().then_some(dir)
}

/// Whether this process is root.
pub(super) fn are_root() -> bool {
    let told = Command::new("id").arg("-u").output();
    told.is_ok_and(|told| told.stdout.trim_ascii() == b"0")
}

/// A program as whoever may run the server: ourselves, or the account of the package.
pub(super) fn command(program: &Path) -> Command {
    let mut command = if are_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", ACCOUNT, "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    // It may not read where we are.
    command.current_dir("/").stdin(Stdio::null());
    command
}

/// Runs it to its end; the error is what it said.
pub(super) fn run(mut command: Command) -> Result<(), String> {
    let shown = format!("{command:?}");
    let told = command
        .output()
        .map_err(|error| format!("cannot start {shown}: {error}"))?;
    if told.status.success() {
        return Ok(());
    }
    Err(format!(
        "{shown} failed ({}):\n{}{}",
        told.status,
        String::from_utf8_lossy(&told.stdout),
        String::from_utf8_lossy(&told.stderr)
    ))
}
