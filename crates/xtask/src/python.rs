//! Virtual environments for tests, each made once of requirements that are pinned and come from the package index that
//! pip is set up with; and the one of Confluent's own Python client, `target/python`, which reads and writes the log as
//! programs of others do.

use std::fs;
use std::path::{Path, PathBuf};

use crate::run::{root, run, target};
use crate::test::Running;

/// What the environment of Confluent's client holds, from the root.
const REQUIREMENTS: &str = "tests/suite/wire/requirements.txt";

/// `cargo xtask python`: makes the environment and prints what to set.
pub fn run_command(args: &[String]) -> Result<(), String> {
    if let Some(unknown) = args.first() {
        return Err(format!("no option `{unknown}`; there is none"));
    }
    for (name, value) in Python::up()?.environment()? {
        println!("{name}={value}");
    }
    Ok(())
}

/// Makes an environment in that directory unless it is there with these very requirements, a file below the root.
pub fn environment(directory: &Path, requirements: &str) -> Result<(), String> {
    let wanted = root().join(requirements);
    let made = directory.join("requirements.txt");
    if same(&wanted, &made) {
        return Ok(());
    }
    if directory.exists() {
        fs::remove_dir_all(directory)
            .map_err(|error| format!("cannot remove {}: {error}", directory.display()))?;
    }
    let path = directory.to_string_lossy();
    run("python3", &["-m", "venv", &path], &[])?;
    let interpreter = directory.join("bin/python");
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ];
    let arguments = [&pip[..], &["-r", requirements]].concat();
    run(&interpreter.to_string_lossy(), &arguments, &[])?;
    // Written last: an environment that was left half-made is made anew.
    fs::copy(&wanted, &made)
        .map(drop)
        .map_err(|error| format!("cannot write {}: {error}", made.display()))
}

/// The environment of Confluent's client.
pub struct Python {
    interpreter: PathBuf,
}

impl Python {
    /// Makes the environment where it is missing.
    pub fn up() -> Result<Self, String> {
        let directory = target().join("python");
        environment(&directory, REQUIREMENTS)?;
        Ok(Self {
            interpreter: directory.join("bin/python"),
        })
    }
}

impl Running for Python {
    fn environment(&self) -> Result<Vec<(&'static str, String)>, String> {
        let interpreter = self.interpreter.to_string_lossy().into_owned();
        Ok(vec![("ASSENT_PYTHON", interpreter)])
    }

    /// Nothing runs; the environment stays for the next time.
    fn down(self: Box<Self>) -> Result<(), String> {
        Ok(())
    }
}

/// Whether both files are there and the same.
fn same(one: &Path, other: &Path) -> bool {
    match (fs::read(one), fs::read(other)) {
        (Ok(one), Ok(other)) => one == other,
        (Err(_), _) | (_, Err(_)) => false,
    }
}
