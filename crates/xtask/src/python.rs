//! Confluent's own Python client for tests: `target/python`, a virtual environment made once.
//!
//! It reads and writes the log as programs of others do, so what it needs is pinned and comes from the package index
//! that pip is set up with.

use std::fs;
use std::path::{Path, PathBuf};

use crate::run::{root, run, target};
use crate::test::Running;

/// What the environment holds, from the root.
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

/// The environment.
pub struct Python {
    interpreter: PathBuf,
}

impl Python {
    /// Makes the environment unless it is there with these very requirements.
    pub fn up() -> Result<Self, String> {
        let directory = target().join("python");
        let python = Self {
            interpreter: directory.join("bin/python"),
        };
        let wanted = root().join(REQUIREMENTS);
        let made = directory.join("requirements.txt");
        if !same(&wanted, &made) {
            if directory.exists() {
                fs::remove_dir_all(&directory)
                    .map_err(|error| format!("cannot remove {}: {error}", directory.display()))?;
            }
            python.make(&directory)?;
            // Written last: an environment that was left half-made is made anew.
            fs::copy(&wanted, &made)
                .map_err(|error| format!("cannot write {}: {error}", made.display()))?;
        }
        Ok(python)
    }

    fn make(&self, directory: &Path) -> Result<(), String> {
        run(
            "python3",
            &["-m", "venv", &directory.to_string_lossy()],
            &[],
        )?;
        run(
            &self.interpreter.to_string_lossy(),
            &[
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "-r",
                REQUIREMENTS,
            ],
            &[],
        )
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
