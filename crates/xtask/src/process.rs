//! Other programs: whether they are there, whether a process is the one we started, and stopping it.

use std::fs;
use std::process::{Command, Stdio};

/// Fails with what to install unless `program` runs.
pub fn require(program: &str, probe: &[&str], package: &str) -> Result<(), String> {
    let present = Command::new(program)
        .args(probe)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if present {
        return Ok(());
    }
    Err(format!(
        "`{program}` is missing.\nOn Debian: apt-get install {package}"
    ))
}

/// Whether the process runs and its command line names `mark`. A number whose process ended may have
/// been given to another program; that one must not be taken for ours.
pub fn is_ours(pid: u32, mark: &str) -> bool {
    let command = match fs::read(format!("/proc/{pid}/cmdline")) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        // Without /proc (macOS) ask ps; where neither answers there is no such process.
        Err(_) => Command::new("ps")
            .args(["-ww", "-o", "command=", "-p", &pid.to_string()])
            .stderr(Stdio::null())
            .output()
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .unwrap_or_default(),
    };
    command.contains(mark)
}

/// Sends a signal (`TERM`, `KILL`) to one process. The shell's own `kill` is there on every machine.
pub fn signal(pid: u32, name: &str) -> Result<(), String> {
    let status = Command::new("sh")
        .args(["-c", &format!("kill -{name} {pid}")])
        .stderr(Stdio::null())
        .status()
        .map_err(|error| format!("cannot start sh: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("the signal {name} could not be sent to {pid}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ours_by_its_command_line_only() {
        let mut child = Command::new("sleep").arg("31.4159").spawn().unwrap();
        // The child may not have become `sleep` yet.
        let found = (0..100).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            is_ours(child.id(), "31.4159")
        });
        assert!(found);
        assert!(!is_ours(child.id(), "kafka.Kafka"));
        signal(child.id(), "TERM").unwrap();
        // Ended but not waited for, it has no command line any more.
        assert!(!child.wait().unwrap().success());
        assert!(!is_ours(child.id(), "31.4159"));
    }
}
