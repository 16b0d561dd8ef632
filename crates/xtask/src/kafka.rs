//! A real Apache Kafka for tests: `cargo xtask kafka up|down|reset|status|kill|pause|resume|start`.
//!
//! Maven Central has Kafka's broker as ordinary artifacts, so Java and Maven are all a machine needs.
//! One broker or three in KRaft mode run on 127.0.0.1, in `target/kafka`. They begin empty every time
//! they are brought up, and are stopped by the numbers in their own pid files and by nothing else.
//! `docs/kafka-for-tests.md` tells what was needed beyond Kafka's manual.

mod artifacts;
mod certificates;
mod cluster;
mod command;
mod node;
mod settings;
mod wire;

use std::path::PathBuf;

use self::cluster::{Cluster, Shape};
use crate::test::Running;

use self::command::{Command, Fault, Order};

/// `cargo xtask kafka …`.
pub fn run(args: &[String]) -> Result<(), String> {
    let Order { command, shape } = command::parse(args)?;
    let cluster = Cluster::new(&directory(), shape);
    match command {
        Command::Up => {
            let started = cluster.up()?;
            told_up(&cluster, if started { "is up" } else { "was up already" })
        }
        Command::Reset => {
            cluster.down()?;
            cluster.up()?;
            told_up(&cluster, "is up, and empty")
        }
        Command::Down => {
            match cluster.down()?[..] {
                [] => eprintln!("no Kafka of ours runs at {}", cluster.addresses()),
                ref pids => eprintln!("Kafka at {} is stopped, pids {pids:?}", cluster.addresses()),
            }
            Ok(())
        }
        Command::Status => {
            for line in cluster.status()? {
                println!("{line}");
            }
            Ok(())
        }
        Command::Fault(fault, number) => {
            let node = cluster.node(number)?;
            match fault {
                Fault::Kill => node.kill(),
                Fault::Pause => node.signal("STOP"),
                Fault::Resume => node.signal("CONT"),
                Fault::Start => cluster.restart(number),
            }
        }
    }
}

fn told_up(cluster: &Cluster, how: &str) -> Result<(), String> {
    eprintln!(
        "Kafka {} {how} at {}",
        artifacts::KAFKA,
        cluster.addresses()
    );
    eprintln!("run its tests with");
    for (name, value) in cluster.environment()? {
        println!("{name}={value}");
    }
    Ok(())
}

/// Brokers for the length of a test run.
pub struct Brokers {
    clusters: Vec<Cluster>,
    /// Which of them this run started; those that were up before stay up.
    ours: Vec<bool>,
}

impl Brokers {
    /// One that also asks for TLS and SASL, and beside it a cluster of three.
    pub fn up() -> Result<Self, String> {
        let port = command::default_port()?;
        Self::of([Shape::one(port), Shape::three(port)])
    }

    /// The cluster of three alone.
    pub fn three() -> Result<Self, String> {
        Self::of([Shape::three(command::default_port()?)])
    }

    /// Starts the brokers and waits until they answer; takes those that `cargo xtask kafka up` left.
    fn of(shapes: impl IntoIterator<Item = Shape>) -> Result<Self, String> {
        let mut brokers = Self {
            clusters: Vec::new(),
            ours: Vec::new(),
        };
        for shape in shapes {
            let cluster = Cluster::new(&directory(), shape);
            match cluster.up() {
                Ok(started) => {
                    brokers.ours.push(started);
                    brokers.clusters.push(cluster);
                }
                Err(error) => {
                    // What did come up is not left behind.
                    return brokers.stop().and(Err(error));
                }
            }
        }
        Ok(brokers)
    }

    fn stop(self) -> Result<(), String> {
        let mut outcome = Ok(());
        for (cluster, ours) in self.clusters.iter().zip(self.ours) {
            if ours {
                outcome = outcome.and(cluster.down().map(|_| ()));
            }
        }
        outcome
    }
}

impl Running for Brokers {
    fn environment(&self) -> Result<Vec<(&'static str, String)>, String> {
        let mut all = Vec::new();
        for cluster in &self.clusters {
            all.extend(cluster.environment()?);
        }
        Ok(all)
    }

    fn down(self: Box<Self>) -> Result<(), String> {
        self.stop()
    }
}

/// `target/kafka`, wherever cargo keeps its target directory.
fn directory() -> PathBuf {
    crate::run::target().join("kafka")
}
