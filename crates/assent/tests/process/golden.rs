//! Texts that are compared with files under `tests/golden`. Where ASSENT_WRITE_GOLDEN is set the files are written.

use std::path::Path;

/// Compares a text with its file.
pub fn golden(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("ASSENT_WRITE_GOLDEN").is_some() {
        std::fs::write(&file, text).expect("writable");
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(text == committed, "{name} is now\n{text}");
}
