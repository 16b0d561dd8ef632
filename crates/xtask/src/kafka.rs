//! A real Apache Kafka for tests. (The journal's engineer fills this in; main.rs and test.rs use exactly these three and `run`.)

/// A broker started by this process.
pub struct Broker;

impl Broker {
    /// Starts a broker and waits until it answers.
    pub fn up() -> Result<Self, String> {
        Err("not built yet".to_owned())
    }
    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        String::new()
    }
    /// Stops it.
    pub fn down(self) -> Result<(), String> {
        Ok(())
    }
}

/// `cargo xtask kafka up|down|status`.
pub fn run(_args: &[String]) -> Result<(), String> {
    Err("not built yet".to_owned())
}
