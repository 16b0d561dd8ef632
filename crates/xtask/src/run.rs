//! Runs other programs in the workspace root and turns their failure into a sentence.

use std::path::PathBuf;
use std::process::Command;

/// The workspace root, two folders above this crate.
pub fn root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root.pop();
    root
}

/// Where cargo puts what it builds.
pub fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
    root().join(target)
}

/// Runs `program` with `args` in the workspace root, its output going to ours.
pub fn run(program: &str, args: &[&str], env: &[(&str, String)]) -> Result<(), String> {
    let shown = format!("{program} {}", args.join(" "));
    eprintln!("── {shown}");
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(tells_of_our_own_package) {
            command.env_remove(name);
        }
    }
    let status = command
        .args(args)
        .envs(env.iter().map(|(name, value)| (*name, value.as_str())))
        .current_dir(root())
        .status()
        .map_err(|error| format!("cannot start `{shown}`: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("`{shown}` failed ({status})"))
    }
}

/// What cargo told us of ourselves. A cargo that we start must not hear it: build scripts look at such variables (ring's
/// does), and everything behind them, DataFusion too, would be compiled again whenever somebody calls cargo directly.
fn tells_of_our_own_package(variable: &str) -> bool {
    [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_CRATE_",
        "CARGO_BIN_",
    ]
    .iter()
    .any(|beginning| variable.starts_with(beginning))
}

/// The cargo that runs us, so that a pinned toolchain stays the pinned one.
pub fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cargo_that_we_start_hears_is_what_others_hear() {
        assert!(tells_of_our_own_package("CARGO_PKG_VERSION"));
        assert!(tells_of_our_own_package("CARGO_MANIFEST_DIR"));
        for kept in [
            "CARGO",
            "CARGO_HOME",
            "CARGO_TARGET_DIR",
            "CARGO_INCREMENTAL",
        ] {
            assert!(!tells_of_our_own_package(kept), "{kept}");
        }
    }
}
