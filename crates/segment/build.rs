//! Tells this build from every other: a digest of what it is made of, for processes that work on one query together.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// This crate and those it is made of.
const CRATES: [&str; 8] = [
    "consent",
    "event",
    "journal",
    "permit",
    "programme",
    "projection",
    "segment",
    "vault",
];

fn main() {
    let mut files = vec![PathBuf::from("../../Cargo.lock")];
    for name in CRATES {
        let sources = Path::new("..").join(name).join("src");
        println!("cargo:rerun-if-changed={}", sources.display());
        gather(&sources, &mut files);
    }
    println!("cargo:rerun-if-changed=../../Cargo.lock");
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        file.hash(&mut hasher);
        fs::read(&file).expect("a source file").hash(&mut hasher);
    }
    let profile = std::env::var("PROFILE").unwrap_or_default();
    println!(
        "cargo:rustc-env=ASSENT_BUILD={profile}-{:016x}",
        hasher.finish()
    );
}

fn gather(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => gather(&path, files),
            false => files.push(path),
        }
    }
}
