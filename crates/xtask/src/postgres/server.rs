//! One server: its data directory, starting it, stopping it.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::programs::{are_root, bindir, command, run};

/// For tests on 127.0.0.1 only.
const ACCOUNT: &str = "assent";
const PASSWORD: &str = "assent-tests";

/// A server on one port.
pub(super) struct Server {
    programs: PathBuf,
    directory: PathBuf,
    port: u16,
}

impl Server {
    pub(super) fn new(port: u16) -> Result<Self, String> {
        let programs = bindir().ok_or(
            "PostgreSQL's server is missing.\nOn Debian: apt-get install postgresql".to_owned(),
        )?;
        // The account of the server must reach it, which it need not be able to below the home of
        // whoever runs the tests.
        let directory = if are_root() {
            PathBuf::from("/var/tmp")
        } else {
            let target =
                std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
            crate::run::root().join(target).join("postgres")
        };
        Ok(Self {
            programs,
            directory: directory.join(format!("assent-postgres-{port}")),
            port,
        })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where clients connect, password included.
    pub(super) fn url(&self) -> String {
        format!(
            "postgres://{ACCOUNT}:{PASSWORD}@{}/postgres",
            self.address()
        )
    }

    /// The certificate of the server, which is its own authority.
    pub(super) fn certificate(&self) -> PathBuf {
        self.directory.join("server.crt")
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn log(&self) -> PathBuf {
        self.directory.join("postgres.log")
    }

    fn program(&self, name: &str) -> Command {
        command(&self.programs.join(name))
    }

    /// Whether the server of this data directory runs.
    pub(super) fn runs(&self) -> Result<bool, String> {
        let mut status = self.program("pg_ctl");
        status.arg("status").arg("-D").arg(self.data());
        let status = status
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map_err(|error| format!("cannot start pg_ctl: {error}"))?;
        Ok(status.success())
    }

    /// Makes an empty database and starts its server.
    pub(super) fn start_empty(&self) -> Result<(), String> {
        TcpListener::bind(("127.0.0.1", self.port)).map_err(|error| {
            format!(
                "port {} cannot be had ({error}); choose another with --port or \
                 ASSENT_POSTGRES_PORT",
                self.port
            )
        })?;
        self.remove()?;
        self.make_directory()?;
        self.initialise()?;
        self.make_certificate()?;
        self.start()
    }

    /// Stops the server, if it runs, and removes its data.
    pub(super) fn stop(&self) -> Result<bool, String> {
        let runs = self.runs()?;
        if runs {
            let mut stop = self.program("pg_ctl");
            stop.args(["stop", "-w", "-m", "fast", "-D"])
                .arg(self.data());
            run(stop)?;
        }
        self.remove()?;
        Ok(runs)
    }

    /// Ends the server at once, without a checkpoint, and starts it: it recovers from its log.
    pub(super) fn crash_and_start(&self) -> Result<(), String> {
        let mut stop = self.program("pg_ctl");
        stop.args(["stop", "-w", "-m", "immediate", "-D"])
            .arg(self.data());
        run(stop)?;
        self.start()
    }

    fn start(&self) -> Result<(), String> {
        let mut start = self.program("pg_ctl");
        start
            .args(["start", "-w", "-t", "60", "-D"])
            .arg(self.data())
            .arg("-l")
            .arg(self.log());
        run(start).map_err(|told| {
            let log = fs::read_to_string(self.log()).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(15)..];
            format!(
                "{told}\nThe end of {}:\n{}",
                self.log().display(),
                last.join("\n")
            )
        })
    }

    fn initialise(&self) -> Result<(), String> {
        let password = self.directory.join("password");
        self.write(&password, PASSWORD)?;
        let mut initdb = self.program("initdb");
        initdb
            .arg("-D")
            .arg(self.data())
            .args([
                "-U",
                ACCOUNT,
                "--encoding=UTF8",
                "--locale=C",
                "--auth=scram-sha-256",
            ])
            .arg(format!("--pwfile={}", password.display()));
        run(initdb)?;
        self.write(
            &self.data().join("postgresql.auto.conf"),
            &self.configuration(),
        )
    }

    /// Durable as in production: what the tests prove about crashes rests on it.
    fn configuration(&self) -> String {
        let directory = self.directory.display();
        format!(
            "listen_addresses = '127.0.0.1'\n\
             port = {}\n\
             unix_socket_directories = '{directory}'\n\
             fsync = on\n\
             synchronous_commit = on\n\
             full_page_writes = on\n\
             max_connections = 100\n\
             shared_buffers = 64MB\n\
             ssl = on\n\
             ssl_cert_file = '{directory}/server.crt'\n\
             ssl_key_file = '{directory}/server.key'\n",
            self.port
        )
    }

    /// A certificate for 127.0.0.1, signed by itself.
    fn make_certificate(&self) -> Result<(), String> {
        let mut openssl = command(Path::new("openssl"));
        openssl
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
            ])
            .args(["-nodes", "-days", "30", "-subj", "/CN=assent tests"])
            .args(["-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(self.directory.join("server.key"))
            .arg("-out")
            .arg(self.certificate());
        run(openssl)
    }

    /// The directory, of the server's account. Others may enter it, for the certificate is there;
    /// the server itself closes its data.
    fn make_directory(&self) -> Result<(), String> {
        let mut mkdir = command(Path::new("mkdir"));
        mkdir.args(["-p", "-m", "0755"]).arg(&self.directory);
        run(mkdir)
    }

    fn remove(&self) -> Result<(), String> {
        if self.directory.exists() {
            let mut rm = command(Path::new("rm"));
            rm.args(["-rf", "--"]).arg(&self.directory);
            run(rm)?;
        }
        Ok(())
    }

    /// Writes a file as the server's account.
    fn write(&self, path: &Path, text: &str) -> Result<(), String> {
        let mut tee = command(Path::new("tee"));
        let mut child = tee
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot start tee: {error}"))?;
        let written = child.stdin.take().map(|mut input| {
            use std::io::Write;
            input.write_all(text.as_bytes())
        });
        let ended = child.wait().map_err(|error| error.to_string())?;
        match written {
            Some(Ok(())) if ended.success() => Ok(()),
            _failed => Err(format!("cannot write {}", path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_durable_and_of_this_machine() {
        let server = Server {
            programs: "nowhere".into(),
            directory: "/somewhere".into(),
            port: 4_000,
        };
        let text = server.configuration();
        for line in [
            "listen_addresses = '127.0.0.1'\n",
            "port = 4000\n",
            "fsync = on\n",
            "synchronous_commit = on\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn a_port_in_use_is_told_before_anything_is_made() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server {
            programs: "nowhere".into(),
            directory: "/nowhere/at/all".into(),
            port: taken.local_addr().unwrap().port(),
        };
        let error = server.start_empty().unwrap_err();
        assert!(error.contains(&format!("port {}", server.port)), "{error}");
    }
}
