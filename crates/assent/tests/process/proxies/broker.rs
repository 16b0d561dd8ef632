//! A proxy before the single broker, by which records come late, connections break at a request of some kind, or nothing
//! goes through at all.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Door, Moment, Rules, shut};

/// What a process asks of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// To append records.
    Append,
    /// For records.
    Records,
    /// Where partitions end.
    Ends,
    /// Anything else.
    Other,
}

impl Ask {
    /// By the number that Kafka gives to each kind of request (its protocol guide, "API Keys").
    fn of(request: &[u8]) -> Self {
        match request {
            [0, 0, ..] => Self::Append,
            [0, 1, ..] => Self::Records,
            [0, 2, ..] => Self::Ends,
            _ => Self::Other,
        }
    }
}

/// The proxy. In the beginning it lets everything through at once.
pub struct BrokerProxy {
    door: Door,
    state: Arc<State>,
}

struct State {
    broker: String,
    /// Whether it goes on; else the connection breaks.
    rules: Rules<Ask, bool>,
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
            rules: Rules::all(true),
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

    /// Lays a rule on what comes from now on: whether it goes on, or its connection breaks.
    pub fn rule(&self, rule: impl Fn(Ask, Moment) -> bool + Send + Sync + 'static) {
        self.state.rules.lay(rule);
    }

    /// Lets everything through again.
    pub fn calm(&self) {
        self.rule(|_, _| true);
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
        let asks = Mutex::new(HashMap::new());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                frames(client_in, broker_out, |request| {
                    let ask = Ask::of(request);
                    let goes_on = self.rules.ask(ask, Moment::Before);
                    if let Some(number) = request.get(4..8) {
                        asks.lock().unwrap().insert(number.to_vec(), ask);
                    }
                    goes_on
                })
            });
            frames(broker, client, |answer| {
                let number = answer.get(..4).unwrap_or_default();
                let ask = asks.lock().unwrap().remove(number).unwrap_or(Ask::Other);
                if ask == Ask::Records {
                    let delay = self.delay_millis.load(Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(delay));
                }
                self.rules.ask(ask, Moment::After)
            })
        })
    }
}

/// Copies messages, each after its length in four bytes, until one does not go on or a side is gone; then neither goes on.
fn frames(
    mut from: TcpStream,
    mut to: TcpStream,
    mut goes_on: impl FnMut(&[u8]) -> bool,
) -> std::io::Result<()> {
    let mut copy = || {
        loop {
            let mut length = [0; 4];
            from.read_exact(&mut length)?;
            let mut message = vec![0; u32::from_be_bytes(length) as usize];
            from.read_exact(&mut message)?;
            if !goes_on(&message) {
                return Ok(());
            }
            to.write_all(&length)?;
            to.write_all(&message)?;
        }
    };
    let ended = copy();
    shut(&from, &to);
    ended
}
