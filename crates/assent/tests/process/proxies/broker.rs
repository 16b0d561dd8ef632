//! A proxy before the single broker, by which records come late, or nothing goes through at all.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Door;

/// Kafka's number of the request for records; a consumer's question for positions is another one.
const FETCH: [u8; 2] = [0, 1];

/// The proxy. In the beginning it lets everything through at once.
pub struct BrokerProxy {
    door: Door,
    state: Arc<State>,
}

struct State {
    broker: String,
    delay_millis: AtomicU64,
    cut: AtomicBool,
    /// Both ends of each connection, to break them.
    streams: Mutex<Vec<TcpStream>>,
}

impl BrokerProxy {
    /// Before the listener that `ASSENT_KAFKA_PROXIED` names, where its clients look for it. `None` without one.
    pub fn told() -> Option<Self> {
        let told = std::env::var("ASSENT_KAFKA_PROXIED").ok()?;
        let (broker, clients) = told.split_once(',').expect("two addresses");
        let state = Arc::new(State {
            broker: broker.to_owned(),
            delay_millis: AtomicU64::new(0),
            cut: AtomicBool::new(false),
            streams: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        // A connection that breaks concerns nobody but its client.
        let door = Door::open(clients, move |client| {
            let _ = shared.pass(client);
        });
        Some(Self { door, state })
    }

    /// `host:port` for clients.
    pub fn address(&self) -> &str {
        &self.door.address
    }

    /// Records, and news that there are none, come this much later from now on.
    pub fn delay(&self, delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).unwrap();
        self.state.delay_millis.store(millis, Ordering::SeqCst);
    }

    /// Breaks all connections and takes no more.
    pub fn cut(&self) {
        self.state.cut.store(true, Ordering::SeqCst);
        for stream in self.state.streams.lock().unwrap().drain(..) {
            // It may be gone already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Takes connections again.
    pub fn mend(&self) {
        self.state.cut.store(false, Ordering::SeqCst);
    }
}

impl State {
    fn pass(&self, client: TcpStream) -> std::io::Result<()> {
        let broker = TcpStream::connect(&self.broker)?;
        {
            let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
            if self.cut.load(Ordering::SeqCst) {
                return Ok(());
            }
            streams.extend([client.try_clone()?, broker.try_clone()?]);
        }
        let (client_in, broker_out) = (client.try_clone()?, broker.try_clone()?);
        // By the numbers that their answers will bear.
        let fetches = Mutex::new(HashSet::new());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                frames(client_in, broker_out, |request| {
                    if request.starts_with(&FETCH)
                        && let Some(number) = request.get(4..8)
                    {
                        fetches.lock().unwrap().insert(number.to_vec());
                    }
                })
            });
            frames(broker, client, |answer| {
                let number = answer.get(..4).unwrap_or_default();
                if fetches.lock().unwrap().remove(number) {
                    let delay = self.delay_millis.load(Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(delay));
                }
            })
        })
    }
}

/// Copies messages, each after its length in four bytes, until one side is gone; then neither goes on.
fn frames(
    mut from: TcpStream,
    mut to: TcpStream,
    mut before: impl FnMut(&[u8]),
) -> std::io::Result<()> {
    let mut copy = || {
        loop {
            let mut length = [0; 4];
            from.read_exact(&mut length)?;
            let mut message = vec![0; u32::from_be_bytes(length) as usize];
            from.read_exact(&mut message)?;
            before(&message);
            to.write_all(&length)?;
            to.write_all(&message)?;
        }
    };
    let ended = copy();
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
    ended
}
