//! Every dependency's licence is one that an Apache-2.0 product may ship with.

use cargo_metadata::{Metadata, MetadataCommand};

/// SPDX identifiers accepted without a further look.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    // File-level copyleft: used unmodified, as a library.
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "bzip2-1.0.6",
];

/// Single packages outside the list, each with the reason why it may stay (and a line in NOTICE).
const EXCEPTIONS: &[(&str, &str)] = &[
    // Macros only, expanded at compile time: LGPL-3.0 section 3 asks for a notice, which NOTICE gives.
    ("serde_serializer_quick_unsupported", "LGPL-3.0-only"),
];

/// Fails with one line for each package whose licence expression cannot be met by [`ALLOWED`].
pub fn check() -> Result<(), String> {
    let metadata: Metadata = MetadataCommand::new()
        .other_options(vec!["--locked".to_owned()])
        .exec()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    let faults: Vec<String> = metadata
        .packages
        .iter()
        .filter(|package| {
            let licence = package.license.as_deref().unwrap_or_default();
            !satisfied(licence) && !EXCEPTIONS.contains(&(package.name.as_str(), licence))
        })
        .map(|package| {
            format!(
                "{} {}: {:?} is not on the list (crates/xtask/src/licences.rs)",
                package.name, package.version, package.license
            )
        })
        .collect();
    if faults.is_empty() {
        eprintln!(
            "licences: {} packages, all on the list",
            metadata.packages.len()
        );
        Ok(())
    } else {
        Err(format!("\n  {}", faults.join("\n  ")))
    }
}

/// Whether an SPDX expression of `AND`, `OR` and parentheses can be met by the allow-list.
/// `A/B`, the old notation, means `A OR B`. Whatever cannot be read is not met.
fn satisfied(expression: &str) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    any_of(&tokens, &mut at) == Some(true) && at == tokens.len()
}

/// `None`: not an SPDX expression.
fn any_of(tokens: &[&str], at: &mut usize) -> Option<bool> {
    let mut met = all_of(tokens, at)?;
    while tokens.get(*at) == Some(&"OR") {
        *at += 1;
        met |= all_of(tokens, at)?;
    }
    Some(met)
}

fn all_of(tokens: &[&str], at: &mut usize) -> Option<bool> {
    let mut met = one(tokens, at)?;
    while tokens.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(tokens, at)?;
    }
    Some(met)
}

fn one(tokens: &[&str], at: &mut usize) -> Option<bool> {
    let token = *tokens.get(*at)?;
    *at += 1;
    if token == "(" {
        let met = any_of(tokens, at)?;
        let closed = tokens.get(*at) == Some(&")");
        *at += 1;
        return closed.then_some(met);
    }
    if tokens.get(*at) == Some(&"WITH") {
        let exception = tokens.get(*at + 1)?;
        *at += 2;
        return Some(ALLOWED.contains(&format!("{token} WITH {exception}").as_str()));
    }
    Some(ALLOWED.contains(&token))
}

#[cfg(test)]
mod tests {
    use super::satisfied;

    #[test]
    fn expressions_are_read_as_spdx_says() {
        for met in [
            "MIT",
            "MIT OR GPL-3.0",
            "GPL-3.0 OR MIT",
            "MIT/Apache-2.0",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
        ] {
            assert!(satisfied(met), "{met}");
        }
        for not_met in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(MIT OR Apache-2.0) AND AGPL-3.0",
            "",
            "MIT OR",
            "(MIT",
        ] {
            assert!(!satisfied(not_met), "{not_met}");
        }
    }
}
