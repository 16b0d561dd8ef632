//! One broker or three that form a cluster: starting them side by side, stopping them, and where
//! tests find them.

use std::fs;
use std::path::{Path, PathBuf};

use super::certificates::{self, Certificates};
use super::node::{Node, STOP, State};
use super::{artifacts, settings};
use crate::process;

/// How many brokers a cluster has that can lose one.
pub(super) const THREE: u16 = 3;
/// The ports of one broker lie so far from those of the next: close together, so that all are below those that Linux gives
/// to outgoing connections (from 32768 on), of which any could be taken.
pub(super) const APART: u16 = 10;

/// How many brokers, where, and whether one can also talk to them in secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// The first broker's; the second and third are 10,000 and 20,000 above.
    pub(super) port: u16,
    pub(super) brokers: u16,
    pub(super) secure: bool,
}

impl Shape {
    /// One broker with its secure listener.
    pub(super) fn one(port: u16) -> Self {
        Self {
            port,
            brokers: 1,
            secure: true,
        }
    }

    /// Three brokers beside the one that has `port`.
    pub(super) fn three(port: u16) -> Self {
        Self {
            port: port + 4,
            brokers: THREE,
            secure: false,
        }
    }
}

pub(super) struct Cluster {
    directory: PathBuf,
    shape: Shape,
    nodes: Vec<Node>,
}

impl Cluster {
    /// `directory` holds the jars and a directory for each node.
    pub(super) fn new(directory: &Path, shape: Shape) -> Self {
        let nodes = (0..shape.brokers)
            .map(|n| Node::new(directory, n + 1, shape.port + n * APART))
            .collect();
        Self {
            directory: directory.to_owned(),
            shape,
            nodes,
        }
    }

    pub(super) fn node(&self, number: u16) -> Result<&Node, String> {
        let found = self.nodes.iter().find(|node| node.number == number);
        found.ok_or(format!(
            "there is no broker {number}, only 1 to {}",
            self.nodes.len()
        ))
    }

    /// `host:port` of every broker, separated by commas.
    pub(super) fn addresses(&self) -> String {
        let all: Vec<String> = self.nodes.iter().map(Node::address).collect();
        all.join(",")
    }

    /// What the tests are told: names and values of environment variables.
    pub(super) fn environment(&self) -> Result<Vec<(&'static str, String)>, String> {
        let name = match self.shape.brokers {
            1 => "ASSENT_KAFKA",
            _ => "ASSENT_KAFKA_CLUSTER",
        };
        let mut variables = vec![(name, self.addresses())];
        if self.shape.secure {
            let authority = certificates::paths(&self.directory).authority;
            let secure: Vec<String> = self.nodes.iter().map(Node::secure_address).collect();
            variables.push(("ASSENT_KAFKA_SECURE", secure.join(",")));
            variables.push(("ASSENT_KAFKA_CA", authority.display().to_string()));
        }
        if let [alone] = &self.nodes[..] {
            let proxied = [alone.proxied_address(), alone.proxy_address()];
            variables.push(("ASSENT_KAFKA_PROXIED", proxied.join(",")));
        } else {
            // By it the tests kill, pause and start brokers.
            let own = std::env::current_exe().map_err(|error| format!("xtask: {error}"))?;
            variables.push(("ASSENT_XTASK", own.display().to_string()));
        }
        Ok(variables)
    }

    /// Makes sure that every broker answers. `true` when any had to be started.
    ///
    /// Where none runs all begin empty; where some run, the others join them with what they held.
    pub(super) fn up(&self) -> Result<bool, String> {
        let missing: Vec<&Node> = self.nodes.iter().filter(|node| !node.runs()).collect();
        let running = self.nodes.iter().find(|node| node.runs());
        if let Some(node) = running
            && self.shape.secure
            && !node.is_secure()
        {
            return Err(
                "it runs without the secure listener: cargo xtask kafka reset --secure".to_owned(),
            );
        }
        if !missing.is_empty() {
            process::require("java", &["-version"], "openjdk-17-jre-headless")?;
            let libraries = artifacts::fetch(&self.directory)?;
            if running.is_none() {
                let certificates = match self.shape.secure {
                    true => Some(certificates::make(&self.directory)?),
                    false => None,
                };
                self.format(&libraries, certificates.as_ref())?;
            }
            self.start(&missing, &libraries)?;
        }
        for node in &self.nodes {
            node.wait_until_ready()?;
        }
        Ok(!missing.is_empty())
    }

    /// Starts one broker again, with what it held, and waits until it answers.
    pub(super) fn restart(&self, number: u16) -> Result<(), String> {
        let node = self.node(number)?;
        if !node.runs() {
            self.start(&[node], &artifacts::fetch(&self.directory)?)?;
        }
        node.wait_until_ready()
    }

    /// Stops the brokers and returns the numbers of their processes.
    pub(super) fn down(&self) -> Result<Vec<u32>, String> {
        let mut pids = Vec::new();
        for node in &self.nodes {
            pids.extend(node.stop()?);
        }
        Ok(pids)
    }

    /// A line for each broker; an error with the same lines unless all of them answer.
    pub(super) fn status(&self) -> Result<Vec<String>, String> {
        let mut all = true;
        let mut lines = Vec::new();
        for node in &self.nodes {
            let (number, address) = (node.number, node.address());
            let answers = node.answers();
            all &= answers;
            lines.push(match node.state() {
                State::Running(pid) if answers => {
                    format!("broker {number} answers at {address}, pid {pid}")
                }
                State::Running(pid) => format!(
                    "broker {number} runs, pid {pid}, but does not answer at {address}; see {}",
                    node.log().display()
                ),
                State::Stale(pid) => format!(
                    "broker {number} does not run; the pid file names {pid}, which is gone or another program"
                ),
                State::Absent => format!("broker {number} does not run"),
            });
        }
        match all {
            true => Ok(lines),
            false => Err(lines.join("\n")),
        }
    }

    /// Writes the settings and empty storage of every node.
    fn format(&self, libraries: &Path, certificates: Option<&Certificates>) -> Result<(), String> {
        for node in &self.nodes {
            node.check_ports(STOP)?;
        }
        for node in &self.nodes {
            node.prepare(&settings::properties(node, &self.nodes, certificates))?;
        }
        let mut formatting = Vec::new();
        for node in &self.nodes {
            let kept = self.formatted(node);
            if kept.is_dir() {
                copy(&kept, &node.data())?;
            } else {
                formatting.push((node, node.format(libraries, certificates.is_some())?));
            }
        }
        for (node, mut child) in formatting {
            let status = child.wait().map_err(|error| format!("java: {error}"))?;
            if !status.success() {
                return Err(node.with_log("the broker's storage could not be formatted"));
            }
            copy(&node.data(), &self.formatted(node))?;
        }
        Ok(())
    }

    /// Where a node's storage is kept as it was when it had just been formatted, which takes a Java of
    /// its own: it is the same every time.
    fn formatted(&self, node: &Node) -> PathBuf {
        let kind = if self.shape.secure { "secure" } else { "plain" };
        let name = format!("formatted-{}-{kind}-{}", artifacts::KAFKA, node.number);
        self.directory.join(name)
    }

    fn start(&self, nodes: &[&Node], libraries: &Path) -> Result<(), String> {
        for node in nodes {
            node.check_ports(STOP)?;
        }
        let outcome = nodes
            .iter()
            .try_for_each(|node| node.start(libraries))
            .and_then(|()| nodes.iter().try_for_each(|node| node.wait_until_ready()));
        if outcome.is_err() {
            // What does not come up must not be left behind half-started.
            for node in nodes {
                let _ = node.kill();
            }
        }
        outcome
    }
}

/// Copies the files of a directory, all or none.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let mut unfinished = to.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let unfinished = PathBuf::from(unfinished);
    let copy = || {
        fs::create_dir_all(&unfinished)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            fs::copy(entry.path(), unfinished.join(entry.file_name()))?;
        }
        fs::rename(&unfinished, to)
    };
    copy().map_err(|error| {
        format!(
            "cannot copy {} to {}: {error}",
            from.display(),
            to.display()
        )
    })
}
