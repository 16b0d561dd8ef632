//! The certificate of the secure listener, made once with the keytool that comes with Java.
//!
//! It is its own authority and names 127.0.0.1 and nothing else, so a client that checks names refuses
//! it under any other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process;

/// Guards the key of a certificate that means nothing outside this machine.
pub(super) const PASSWORD: &str = "only-for-tests";

pub(super) struct Certificates {
    /// The broker's key and certificate, PKCS #12.
    pub(super) keystore: PathBuf,
    /// The certificate for clients to trust, PEM.
    pub(super) authority: PathBuf,
}

/// Where the files lie, whether they are there or not.
pub(super) fn paths(directory: &Path) -> Certificates {
    let directory = directory.join("certificates");
    Certificates {
        keystore: directory.join("broker.p12"),
        authority: directory.join("ca.pem"),
    }
}

/// Makes the files unless they are there.
pub(super) fn make(directory: &Path) -> Result<Certificates, String> {
    let certificates = paths(directory);
    // The authority is written last.
    if certificates.authority.is_file() {
        return Ok(certificates);
    }
    process::require("keytool", &["-help"], "openjdk-17-jre-headless")?;
    let Certificates {
        keystore,
        authority,
    } = &certificates;
    let prepare = || {
        fs::create_dir_all(directory.join("certificates"))?;
        match keystore.exists() {
            true => fs::remove_file(keystore),
            false => Ok(()),
        }
    };
    prepare().map_err(|error| format!("cannot prepare {}: {error}", keystore.display()))?;
    #[rustfmt::skip]
    keytool(keystore, &[
        "-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-validity", "3650",
        "-dname", "CN=127.0.0.1", "-ext", "SAN=IP:127.0.0.1", "-ext", "BC=ca:true",
    ])?;
    let authority = authority.to_string_lossy();
    keytool(keystore, &["-exportcert", "-rfc", "-file", &authority])?;
    Ok(certificates)
}

fn keytool(keystore: &Path, args: &[&str]) -> Result<(), String> {
    let output = Command::new("keytool")
        .args(args)
        .args([
            "-alias",
            "broker",
            "-storetype",
            "PKCS12",
            "-storepass",
            PASSWORD,
            "-keystore",
        ])
        .arg(keystore)
        .output()
        .map_err(|error| format!("cannot start keytool: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "keytool failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stdout).trim_end()
    ))
}
