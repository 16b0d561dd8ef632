//! `assent write-key`: a new key for a source.

use super::print_bytes;
use crate::clock;
use crate::failure::Failure;

/// Prints a key on standard output and, as talk, the line for `sources.yaml`.
pub fn run() -> Result<(), Failure> {
    let key: String = clock::random::<24>()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    print_bytes(format!("{key}\n").as_bytes())?;
    eprintln!(
        "in sources.yaml: write_key_sha256: {}",
        assent_programme::token_sha256(&key)
    );
    Ok(())
}
