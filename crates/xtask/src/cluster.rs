//! The shape of production as processes of this machine: `cargo xtask cluster [up|test|down]`.
//!
//! Three brokers, PostgreSQL, an object store, and one process of Assent for each role, all from `deploy/assent.toml`, the
//! file that the containers of `docker-compose.yml` read; only addresses differ. The end-to-end test speaks to it over HTTP
//! and knows nothing of how it was started. Processes are stopped by the numbers in their own pid files and by nothing else.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::run::{cargo, root, run, target};
use crate::test::{Companion, Running};
use crate::{kafka, postgres, prerequisites, process, s3};

/// Each role with the port of its process, as in `docker-compose.yml`.
const ROLES: [(&str, u16); 3] = [("intake", 7878), ("projector", 7879), ("query", 7880)];
/// Until a process is ready, and until one that was asked to stop is gone.
const PATIENCE: Duration = Duration::from_secs(60);

const USAGE: &str = "\
cargo xtask cluster [up|test|down]

  up    start brokers, PostgreSQL, an object store and one process for each role, wait until all are ready
  test  run the end-to-end test on what is up
  down  stop all of it

Without a command: up, test, and down whatever came out.";

/// `cargo xtask cluster [up|test|down]`.
pub fn run_command(args: &[String]) -> Result<(), String> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let cluster = Cluster::of("debug");
    match words[..] {
        [] => {
            cluster.is_free()?;
            let outcome = cluster.up().and_then(|()| cluster.test());
            outcome.and(cluster.down())
        }
        ["up"] => {
            cluster.is_free()?;
            cluster.up().map(|()| cluster.tell())
        }
        ["test"] => cluster.test(),
        ["down"] => cluster.down(),
        _ => Err(USAGE.to_owned()),
    }
}

/// Names and values of environment variables.
type Told = [(&'static str, String)];

/// Runs something beside a cluster of release binaries that were built before, told where everything is; then something
/// else beside its servers alone, told how processes find them; then all is stopped.
pub fn beside_release(
    all: impl FnOnce(&Told) -> Result<(), String>,
    servers: impl FnOnce(&Told) -> Result<(), String>,
) -> Result<(), String> {
    let cluster = Cluster::of("release");
    cluster.is_free()?;
    let worked = || {
        let [mut told, environment] = cluster.start_servers()?;
        cluster.start_roles(&environment)?;
        let whereabouts = cluster.whereabouts()?;
        all(&[&told[..], &whereabouts].concat())?;
        cluster.stop_roles()?;
        told.extend(environment);
        told.push((
            "ASSENT_CLUSTER_BINARY",
            cluster.binary().display().to_string(),
        ));
        servers(&told)
    };
    worked().and(cluster.down())
}

struct Cluster {
    directory: PathBuf,
    /// The folder of cargo's in which the binary lies.
    built: &'static str,
}

impl Cluster {
    fn of(built: &'static str) -> Self {
        let directory = target().join("cluster");
        Self { directory, built }
    }

    /// Nobody's processes are stopped, or taken for ours, that were started before.
    fn is_free(&self) -> Result<(), String> {
        match ROLES.iter().find(|(role, _)| self.running(role).is_some()) {
            None => Ok(()),
            Some((role, _)) => Err(format!(
                "its {role} process runs already: cargo xtask cluster down"
            )),
        }
    }

    fn up(&self) -> Result<(), String> {
        let build = ["build", "--workspace", "--locked", "--bin", "assent"];
        run(&cargo(), &build, &[])?;
        let [_, environment] = self.start_servers()?;
        self.start_roles(&environment)
    }

    /// Where the servers are that it needs, and what its processes are told of them.
    fn start_servers(&self) -> Result<[Vec<(&'static str, String)>; 2], String> {
        prerequisites::check(&[Companion::Kafka, Companion::Postgres, Companion::S3])?;
        let companions: [Box<dyn Running>; 3] = [
            Box::new(kafka::Brokers::three()?),
            Box::new(postgres::Database::up()?),
            Box::new(s3::Bucket::up()?),
        ];
        let mut told = Vec::new();
        for companion in &companions {
            told.extend(companion.environment()?);
        }
        let environment = self.settle(&told)?;
        Ok([told, environment])
    }

    fn start_roles(&self, environment: &Told) -> Result<(), String> {
        self.assent(environment, "setup", &["topics", "--create"])?;
        self.assent(environment, "setup", &["apply", "pipelines"])?;
        ROLES
            .into_iter()
            .try_for_each(|(role, port)| self.start(environment, role, port))
    }

    /// The settings' file, its secrets, and what its readers are told by the environment.
    fn settle(&self, told: &Told) -> Result<Vec<(&'static str, String)>, String> {
        let cannot = |error: std::io::Error| format!("{}: {error}", self.directory.display());
        let secrets = self.directory.join("secrets");
        fs::create_dir_all(&secrets).map_err(cannot)?;
        fs::copy(root().join("deploy/assent.toml"), self.settings()).map_err(cannot)?;
        let make = root().join("deploy/make-secrets.sh");
        run(
            "sh",
            &[&make.to_string_lossy(), &secrets.to_string_lossy()],
            &[],
        )?;
        let value = |name: &str| {
            let found = told.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.as_str()).unwrap_or_default()
        };
        let (connection, password) = without_password(value("ASSENT_POSTGRES"))?;
        fs::write(secrets.join("postgres"), password).map_err(cannot)?;
        let (endpoint, bucket) = value("ASSENT_S3")
            .rsplit_once('/')
            .ok_or("the object store told no bucket")?;
        Ok(vec![
            ("ASSENT_CONFIG", self.settings().display().to_string()),
            (
                "ASSENT_JOURNAL__KAFKA__BROKERS",
                value("ASSENT_KAFKA_CLUSTER").to_owned(),
            ),
            ("ASSENT_VAULT__POSTGRES__CONNECTION", connection),
            ("ASSENT_PROFILES__S3__ENDPOINT", endpoint.to_owned()),
            ("ASSENT_PROFILES__S3__BUCKET", bucket.to_owned()),
        ])
    }

    fn settings(&self) -> PathBuf {
        self.directory.join("assent.toml")
    }

    fn data(&self, role: &str) -> PathBuf {
        self.directory.join(role)
    }

    fn pid_file(&self, role: &str) -> PathBuf {
        self.directory.join(format!("{role}.pid"))
    }

    fn log(&self, role: &str) -> PathBuf {
        self.directory.join(format!("{role}.log"))
    }

    /// The number of a role's process, if that runs.
    fn running(&self, role: &str) -> Option<u32> {
        let pid = fs::read_to_string(self.pid_file(role)).ok()?;
        let pid = pid.trim().parse().ok()?;
        process::is_ours(pid, &self.data(role).to_string_lossy()).then_some(pid)
    }

    fn binary(&self) -> PathBuf {
        target().join(self.built).join("assent")
    }

    fn program(&self, environment: &Told, data: &str) -> Command {
        let mut command = Command::new(self.binary());
        command
            .current_dir(root())
            .envs(
                environment
                    .iter()
                    .map(|(name, value)| (*name, value.as_str())),
            )
            .arg("--data-dir")
            .arg(self.data(data));
        command
    }

    /// `assent ARGS` to its end; what it printed.
    fn assent(&self, environment: &Told, data: &str, args: &[&str]) -> Result<String, String> {
        let mut command = self.program(environment, data);
        let output = command
            .args(args)
            .output()
            .map_err(|error| format!("cannot start assent: {error}"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(format!(
            "assent {}: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        ))
    }

    fn start(&self, environment: &Told, role: &str, port: u16) -> Result<(), String> {
        let told = |error: std::io::Error| format!("cannot start {role}: {error}");
        let log = File::create(self.log(role)).map_err(told)?;
        let child = self
            .program(environment, role)
            .args(["serve", "--roles", role, "--port", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(told)?)
            .stderr(log)
            // Ctrl-C in our terminal is not meant for it.
            .process_group(0)
            .spawn()
            .map_err(told)?;
        fs::write(self.pid_file(role), child.id().to_string()).map_err(told)?;
        self.wait(environment, role, child)
    }

    fn wait(&self, environment: &Told, role: &str, mut child: Child) -> Result<(), String> {
        let begin = Instant::now();
        loop {
            let lacks = match self.assent(environment, role, &["ready"]) {
                Ok(_) => return Ok(()),
                Err(lacks) => lacks,
            };
            let ended = child.try_wait().map_err(|error| error.to_string())?;
            if ended.is_some() || begin.elapsed() > PATIENCE {
                return Err(format!(
                    "the {role} process does not come up; see {}\n{lacks}",
                    self.log(role).display()
                ));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn tell(&self) {
        for (role, port) in ROLES {
            println!(
                "{role} http://127.0.0.1:{port}, data in {}",
                self.data(role).display()
            );
        }
        eprintln!("`cargo xtask cluster down` stops all of it");
    }

    /// The end-to-end test, as somebody who may ask for one purpose.
    fn test(&self) -> Result<(), String> {
        let test = [
            "test",
            "--workspace",
            "--locked",
            "--test",
            "process",
            "--",
            "cluster::",
        ];
        run(&cargo(), &test, &self.whereabouts()?)
    }

    /// Where the processes are, and a token of somebody who may ask for one purpose: names and values of environment
    /// variables.
    fn whereabouts(&self) -> Result<Vec<(&'static str, String)>, String> {
        let mut processes = Vec::new();
        for (role, _) in ROLES {
            let pid = self
                .running(role)
                .ok_or_else(|| format!("no {role} process runs: cargo xtask cluster up"))?;
            processes.push(pid.to_string());
        }
        let settings = vec![("ASSENT_CONFIG", self.settings().display().to_string())];
        let name = format!("tester-{}", std::process::id());
        let add = ["principal", "add", &name, "--purpose", "email_marketing"];
        let token = self.assent(&settings, "query", &add)?;
        let addresses = ROLES.map(|(_, port)| format!("127.0.0.1:{port}")).join(",");
        Ok(vec![
            ("ASSENT_CLUSTER", addresses),
            ("ASSENT_CLUSTER_PROCESSES", processes.join(",")),
            ("ASSENT_CLUSTER_TOKEN", token.trim().to_owned()),
        ])
    }

    /// Stops everything that is up; what is not is no error.
    fn down(&self) -> Result<(), String> {
        let outcome = self.stop_roles();
        let word =
            |words: &[&str]| -> Vec<String> { words.iter().map(|w| (*w).to_owned()).collect() };
        outcome
            .and(kafka::run(&word(&["down", "--brokers", "3"])))
            .and(postgres::run(&word(&["down"])))
            .and(s3::run(&word(&["down"])))
    }

    fn stop_roles(&self) -> Result<(), String> {
        let stopped = ROLES.map(|(role, _)| self.stop(role));
        stopped.into_iter().collect()
    }

    fn stop(&self, role: &str) -> Result<(), String> {
        let begin = Instant::now();
        while let Some(pid) = self.running(role) {
            let patient = begin.elapsed() < PATIENCE / 2;
            // It may have ended since; then the next look sees it.
            let _ = process::signal(pid, if patient { "TERM" } else { "KILL" });
            if begin.elapsed() > PATIENCE {
                return Err(format!("the {role} process, pid {pid}, cannot be stopped"));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        let _ = fs::remove_file(self.pid_file(role));
        Ok(())
    }
}

/// An address of PostgreSQL without its password, and the password.
fn without_password(url: &str) -> Result<(String, &str), String> {
    let parted = || {
        let (account, rest) = url.split_once('@')?;
        let (scheme, account) = account.split_once("://")?;
        let (user, password) = account.split_once(':')?;
        Some((format!("{scheme}://{user}@{rest}"), password))
    };
    parted().ok_or_else(|| "PostgreSQL told no address with a password".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_goes_into_a_file_of_its_own() {
        assert_eq!(
            without_password("postgres://me:secret@127.0.0.1:5432/db"),
            Ok(("postgres://me@127.0.0.1:5432/db".to_owned(), "secret"))
        );
        assert!(without_password("postgres://me@127.0.0.1/db").is_err());
        assert!(without_password("").is_err());
    }

    #[test]
    fn bad_lines_show_the_usage() {
        for bad in ["start", "up down", "--once"] {
            let words: Vec<String> = bad.split(' ').map(str::to_owned).collect();
            let told = run_command(&words).unwrap_err();
            assert!(told.contains("cluster [up|test|down]"), "{told}");
        }
    }
}
