//! The thread that asks: the leaders for their ends, and other brokers who leads.
//!
//! The client that asks the leaders is nobody else's. It follows the newest word it has heard (by leader
//! epoch), so once it has heard a broker name the leader that the witnesses name, it asks that one or a
//! later one. Each witness is heard through a client of its own, which talks to that broker only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use assent_journal::{Checkpoint, Error, ErrorKind, Topic};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};

use super::Question;
use super::agreement::{Led, Place, Word, choose, is_confirmed};
use crate::client::{Ear, listen};
use crate::ends::{Edge, positions};
use crate::error::{failed, unavailable};

/// How long the thread sleeps when nobody asks, before it serves librdkafka's own events.
const IDLE: Duration = Duration::from_secs(5);
/// A question that found no agreement is put again after this.
const AGAIN: Duration = Duration::from_millis(20);
/// A broker that did not answer is asked last for so long.
const SHUNNED: Duration = Duration::from_secs(30);

type Client = BaseConsumer<Ear>;

pub(super) struct Thread {
    config: ClientConfig,
    min_in_sync: usize,
    /// How long one attempt may take: a part of a question's patience, so that a leader that hangs can
    /// be replaced within it.
    attempt: Duration,
    asker: Client,
    witnesses: BTreeMap<i32, Client>,
    /// What was last heard, to choose whom to ask: where brokers are, who holds copies.
    addresses: BTreeMap<i32, String>,
    replicas: BTreeMap<Place, Vec<i32>>,
    shunned: BTreeMap<i32, Instant>,
}

impl Thread {
    pub(super) fn new(
        config: ClientConfig,
        min_in_sync: usize,
        patience: Duration,
    ) -> Result<Self, Error> {
        let asker = config
            .create_with_context(Ear::new("ends"))
            .map_err(|error| failed("the Kafka client cannot be made", error))?;
        Ok(Self {
            config,
            min_in_sync,
            attempt: patience / 4,
            asker,
            witnesses: BTreeMap::new(),
            addresses: BTreeMap::new(),
            replicas: BTreeMap::new(),
            shunned: BTreeMap::new(),
        })
    }

    /// Answers until the other end is dropped.
    pub(super) fn run(mut self, queue: &Receiver<Question>) {
        let mut waiting: Vec<Question> = Vec::new();
        loop {
            if waiting.is_empty() {
                match queue.recv_timeout(IDLE) {
                    Ok(question) => waiting.push(question),
                    Err(RecvTimeoutError::Timeout) => self.listen(),
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
            // Whoever asks from here on is answered by a later attempt, which covers what it must.
            waiting.extend(queue.try_iter());
            waiting = self.serve(waiting);
        }
    }

    /// One attempt for each set of partitions that is asked for. Gives back whom it did not help, while
    /// there is time.
    fn serve(&mut self, mut waiting: Vec<Question>) -> Vec<Question> {
        let mut unanswered = Vec::new();
        while let Some(first) = waiting.first() {
            let places = first.partitions.clone();
            let (asked, others) = waiting.into_iter().partition(|q| q.partitions == places);
            waiting = others;
            let outcome = self.attempt(&places);
            for question in asked {
                let late = Instant::now() + AGAIN >= question.deadline;
                match &outcome {
                    // A leader that is just being replaced, whose successor answers soon; or a topic
                    // made a moment ago that a broker has not heard of.
                    Err(error) if !late && error.kind() == ErrorKind::Unavailable => {
                        unanswered.push(question);
                    }
                    outcome => {
                        // Who was cancelled does not hear it.
                        let _ = question.answer.send(outcome.clone());
                    }
                }
            }
        }
        self.listen();
        if !unanswered.is_empty() {
            std::thread::sleep(AGAIN);
        }
        unanswered
    }

    fn attempt(&mut self, places: &[Place]) -> Result<Checkpoint, Error> {
        let begin = Instant::now();
        if !places.iter().all(|place| self.replicas.contains_key(place)) {
            // Whom to ask is not known yet.
            let heard = hear(&self.asker, places, self.attempt / 2);
            self.remember(&heard.map_err(not_told)?);
        }
        let (own, others) = self.hear_all(places)?;
        let words: Vec<Word> = own.iter().cloned().chain(others).collect();
        for place in places {
            let told = own.iter().find_map(|word| word.led.get(place));
            let confirmed = told.is_some_and(|led| {
                led.leader >= 0 && is_confirmed(place, led.leader, &words, self.min_in_sync)
            });
            if !confirmed {
                let (topic, partition) = place;
                return Err(unavailable(format!(
                    "the brokers do not agree who leads {topic}/{partition}, or too few of them answer"
                )));
            }
        }
        let left = self.attempt.saturating_sub(begin.elapsed());
        positions(&self.asker, places, Edge::End, left)
    }

    /// Hears the asker's broker and the witnesses, side by side. Returns what the asker has heard and
    /// what the witnesses have said.
    fn hear_all(&mut self, places: &[Place]) -> Result<(Vec<Word>, Vec<Word>), Error> {
        let chosen = self.choose(places);
        self.connect(&chosen)?;
        let (asker, witnesses, patience) = (&self.asker, &self.witnesses, self.attempt / 2);
        let (own, others) = std::thread::scope(|scope| {
            let asked: Vec<_> = witnesses
                .iter()
                .map(|(broker, client)| {
                    (*broker, scope.spawn(move || hear(client, places, patience)))
                })
                .collect();
            let own = hear(asker, places, patience);
            let heard = asked
                .into_iter()
                .map(|(broker, asked)| (broker, asked.join().ok()));
            (own, heard.collect::<Vec<_>>())
        });
        let own = own.map_err(not_told)?;
        self.remember(&own);
        let mut words = Vec::new();
        for (broker, heard) in others {
            match heard {
                Some(Ok(heard)) => {
                    // One that has wandered to another broker counts for that one, this once.
                    if heard.words.iter().any(|word| word.broker != broker) {
                        self.witnesses.remove(&broker);
                    }
                    words.extend(heard.words);
                }
                Some(Err(error)) => {
                    tracing::debug!(broker, error = %error, "a broker does not say who leads");
                    self.shun(broker);
                }
                None => self.shun(broker),
            }
        }
        Ok((own.words, words))
    }

    fn choose(&mut self, places: &[Place]) -> BTreeSet<i32> {
        self.shunned.retain(|_, since| since.elapsed() < SHUNNED);
        let mut brokers: Vec<i32> = self.addresses.keys().copied().collect();
        brokers.sort_by_key(|broker| self.shunned.get(broker).copied());
        choose(&self.replicas, places, &brokers, self.min_in_sync)
            .into_iter()
            .collect()
    }

    fn connect(&mut self, brokers: &BTreeSet<i32>) -> Result<(), Error> {
        // Brokers come and go; a client for one that is not asked any more is given up.
        self.witnesses.retain(|broker, _| brokers.contains(broker));
        for broker in brokers {
            if let Some(address) = self.addresses.get(broker)
                && !self.witnesses.contains_key(broker)
            {
                let client = self
                    .config
                    .clone()
                    .set("bootstrap.servers", address)
                    .create_with_context(Ear::new("witness"))
                    .map_err(|error| failed("the Kafka client cannot be made", error))?;
                self.witnesses.insert(*broker, client);
            }
        }
        Ok(())
    }

    fn shun(&mut self, broker: i32) {
        self.shunned.insert(broker, Instant::now());
        // A new connection may find it again.
        self.witnesses.remove(&broker);
    }

    fn remember(&mut self, heard: &Heard) {
        self.addresses.clone_from(&heard.addresses);
        for (place, led) in heard.words.iter().flat_map(|word| &word.led) {
            self.replicas.insert(place.clone(), led.replicas.clone());
        }
    }

    fn listen(&self) {
        listen(&self.asker);
        for client in self.witnesses.values() {
            listen(client);
        }
    }
}

/// What a client heard.
struct Heard {
    /// One for each topic, from whichever broker answered.
    words: Vec<Word>,
    /// Where the brokers are that live.
    addresses: BTreeMap<i32, String>,
}

/// Has whichever broker the client talks to say who leads.
fn hear(client: &Client, places: &[Place], patience: Duration) -> KafkaResult<Heard> {
    let begin = Instant::now();
    let mut heard = Heard {
        words: Vec::new(),
        addresses: BTreeMap::new(),
    };
    let topics: BTreeSet<&Topic> = places.iter().map(|(topic, _)| topic).collect();
    for topic in topics {
        let metadata = loop {
            let left = patience.saturating_sub(begin.elapsed());
            let metadata = client.fetch_metadata(Some(topic.as_str()), left)?;
            // The number of a broker just connected to is known from its second answer on.
            if metadata.orig_broker_id() >= 0 || begin.elapsed() >= patience {
                break metadata;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let told = metadata
            .topics()
            .iter()
            .filter(|told| told.name() == topic.as_str());
        let led = told.flat_map(|told| told.partitions()).filter_map(|told| {
            let led = Led {
                leader: told.leader(),
                replicas: told.replicas().to_vec(),
            };
            let partition = u32::try_from(told.id()).ok()?;
            Some(((topic.clone(), partition), led))
        });
        heard.words.push(Word {
            broker: metadata.orig_broker_id(),
            led: led.collect(),
        });
        heard.addresses = metadata
            .brokers()
            .iter()
            .map(|broker| (broker.id(), address(broker.host(), broker.port())))
            .collect();
    }
    Ok(heard)
}

fn address(host: &str, port: i32) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

fn not_told(error: KafkaError) -> Error {
    failed("the brokers do not tell who leads", error)
}
