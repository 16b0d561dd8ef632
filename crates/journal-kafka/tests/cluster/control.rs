//! Breaking brokers and mending them, through `cargo xtask kafka`.

use std::process::Command;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

/// The numbers of the brokers, by which Kafka knows them, too.
pub const BROKERS: [u16; 3] = [1, 2, 3];

pub struct Control {
    pub brokers: String,
    xtask: String,
    port: String,
}

impl Control {
    pub fn new(brokers: String) -> Self {
        let first = brokers.split(',').next().unwrap();
        let port = first.rsplit(':').next().unwrap().to_owned();
        let xtask = std::env::var("ASSENT_XTASK").expect("ASSENT_XTASK names the built xtask");
        Self {
            brokers,
            xtask,
            port,
        }
    }

    fn order(&self, words: &[&str]) -> bool {
        Command::new(&self.xtask)
            .arg("kafka")
            .args(words)
            .args(["--brokers", "3", "--port", &self.port])
            .output()
            .unwrap()
            .status
            .success()
    }

    fn one(&self, what: &str, broker: u16) {
        assert!(self.order(&[what, &broker.to_string()]), "{what} {broker}");
    }

    /// kill -9
    pub fn kill(&self, broker: u16) {
        self.one("kill", broker);
    }

    /// SIGSTOP
    pub fn pause(&self, broker: u16) {
        self.one("pause", broker);
    }

    /// SIGCONT
    pub fn resume(&self, broker: u16) {
        self.one("resume", broker);
    }

    /// Starts a broker that was killed and waits until it answers.
    pub fn start(&self, broker: u16) {
        self.one("start", broker);
    }

    /// Resumes and starts whatever is paused or gone. Each is begun before the first is waited for: the
    /// first alone of three has no quorum and never gets ready.
    pub fn mend(&self) {
        for broker in BROKERS {
            // Fails for one that does not run.
            self.order(&["resume", &broker.to_string()]);
        }
        assert!(self.order(&["up"]), "the brokers come up");
    }

    /// Leaders and in-sync copies of every partition of a topic, as some broker knows them.
    fn partitions(&self, topic: &str) -> Option<Vec<(i32, usize)>> {
        let asker: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .create()
            .unwrap();
        let metadata = asker
            .fetch_metadata(Some(topic), Duration::from_secs(3))
            .ok()?;
        let partitions = metadata.topics().first()?.partitions();
        Some(
            partitions
                .iter()
                .map(|p| (p.leader(), p.isr().len()))
                .collect(),
        )
    }

    /// The broker that leads the topic's first partition.
    pub fn leader(&self, topic: &str) -> u16 {
        let begin = Instant::now();
        loop {
            let partitions = self.partitions(topic).unwrap_or_default();
            if let Some((leader @ 1.., _)) = partitions.first() {
                return *leader as u16;
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "no leader");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until every copy of the topic is in sync again.
    pub fn wait_until_whole(&self, topic: &str) {
        let begin = Instant::now();
        loop {
            let partitions = self.partitions(topic).unwrap_or_default();
            let whole = partitions
                .iter()
                .all(|(leader, isr)| *leader > 0 && *isr == BROKERS.len());
            if whole && !partitions.is_empty() {
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(90), "{partitions:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
