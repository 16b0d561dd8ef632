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
    let status = Command::new(program)
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

/// The cargo that runs us, so that a pinned toolchain stays the pinned one.
pub fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}
