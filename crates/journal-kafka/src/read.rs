//! Reading: a few lanes, each a thread that owns one consumer ([`thread`]).
//!
//! There are no consumer groups: who reads keeps its own checkpoint. A consumer fetches a partition
//! from one place only, so readers at different places of a partition (the permit index at the end, a
//! rebuild at the beginning) go to different lanes, and each finds its own fetched ahead.

mod buffer;
mod thread;

use std::collections::HashMap;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use assent_journal::{Batch, Error, ErrorKind, ReadLimit, Topic};
use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use tokio::sync::oneshot;

use self::thread::Thread;
use crate::client::Ear;
use crate::error::{failed, unavailable};

/// How many readers of one partition find their place again at once; a further one takes the place
/// that has lain idle longest, and costs a round trip.
const LANES: usize = 3;

/// Why a read got no records.
pub(crate) enum Lost {
    /// The consumer reported an error.
    Failed(KafkaError),
    /// The record did not come in time.
    Late,
    /// Kafka has records behind the position, but not the one at it.
    Missing,
    /// The reading thread is gone.
    Stopped,
}

impl Lost {
    /// The error for a position that is known to be within the log.
    pub(crate) fn into_error(self, topic: &Topic, partition: u32, from: u64) -> Error {
        let place = format!("{topic}/{partition}@{from}");
        match self {
            Self::Failed(error) => {
                let error = failed(format!("{place} cannot be read"), error);
                match error.kind() {
                    // The caller has made sure that the position is there: whoever says otherwise
                    // does not lead any more.
                    ErrorKind::Conflict => unavailable(error.to_string()).with_source(error),
                    ErrorKind::Invalid
                    | ErrorKind::NotFound
                    | ErrorKind::Denied
                    | ErrorKind::Unavailable
                    | ErrorKind::Corrupt
                    | ErrorKind::Internal => error,
                }
            }
            Self::Late => unavailable(format!(
                "{place} did not come in time; the brokers may be out of reach"
            )),
            Self::Missing => Error::new(
                ErrorKind::Corrupt,
                format!(
                    "{place} is missing, though later records are there; the topic may not be \
                     compacted nor written in Kafka transactions"
                ),
            ),
            Self::Stopped => Error::new(
                ErrorKind::Unavailable,
                "the journal's reading thread has stopped; start again",
            ),
        }
    }
}

type Answer = Result<Batch, Lost>;
type Place = (Topic, i32);

struct Request {
    place: Place,
    from: u64,
    end: u64,
    limit: ReadLimit,
    deadline: Instant,
    answer: oneshot::Sender<Answer>,
}

/// The handle to the lanes.
pub(crate) struct Reader {
    consumer: ClientConfig,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Started when first needed.
    lanes: Vec<Lane>,
    /// Where each lane has come to in a partition.
    at: HashMap<Place, Vec<Turn>>,
    clock: u64,
}

struct Lane {
    /// `None` only while dropping.
    requests: Option<Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone, Copy)]
struct Turn {
    next: u64,
    used: u64,
}

impl Reader {
    pub(crate) fn new(consumer: ClientConfig) -> Self {
        Self {
            consumer,
            state: Mutex::new(State::default()),
        }
    }

    /// Reads from `from`, which is before `end`.
    pub(crate) async fn read(
        &self,
        topic: &Topic,
        partition: u32,
        from: u64,
        end: u64,
        limit: ReadLimit,
        patience: Duration,
    ) -> Answer {
        let place = (topic.clone(), partition as i32);
        let (answer, answered) = oneshot::channel();
        let request = Request {
            place: place.clone(),
            from,
            end,
            limit,
            deadline: Instant::now() + patience,
            answer,
        };
        let lane = {
            let mut state = self.state.lock();
            let lane = state.choose(&place, from);
            state.lane(lane, &self.consumer)?.send(request)?;
            lane
        };
        let batch = answered.await.map_err(|_| Lost::Stopped)??;
        self.state.lock().came_to(&place, lane, from, batch.next);
        Ok(batch)
    }
}

impl State {
    /// The lane that stands at `from`, or one that was not used for the partition, or the one that
    /// lay idle longest.
    fn choose(&mut self, place: &Place, from: u64) -> usize {
        self.clock += 1;
        let turn = Turn {
            next: from,
            used: self.clock,
        };
        let turns = self.at.entry(place.clone()).or_default();
        let lane = match turns.iter().position(|turn| turn.next == from) {
            Some(lane) => lane,
            None if turns.len() < LANES => {
                turns.push(turn);
                turns.len() - 1
            }
            None => (0..LANES)
                .min_by_key(|lane| turns[*lane].used)
                .unwrap_or_default(),
        };
        turns[lane] = turn;
        lane
    }

    /// Remembers where a lane has come to, unless it was sent elsewhere meanwhile.
    fn came_to(&mut self, place: &Place, lane: usize, from: u64, next: u64) {
        let turns = self.at.get_mut(place);
        if let Some(turn) = turns.and_then(|turns| turns.get_mut(lane))
            && turn.next == from
        {
            turn.next = next;
        }
    }

    fn lane(&mut self, lane: usize, consumer: &ClientConfig) -> Result<&Lane, Lost> {
        while self.lanes.len() <= lane {
            let consumer: BaseConsumer<Ear> = consumer
                .create_with_context(Ear::new("reader"))
                .map_err(Lost::Failed)?;
            self.lanes.push(Lane::start(consumer)?);
        }
        Ok(&self.lanes[lane])
    }
}

impl Lane {
    fn start(consumer: BaseConsumer<Ear>) -> Result<Self, Lost> {
        let (requests, queue) = channel();
        let thread = std::thread::Builder::new()
            .name("journal-read".to_owned())
            .spawn(move || Thread::new(consumer).run(&queue))
            .map_err(|_| Lost::Stopped)?;
        Ok(Self {
            requests: Some(requests),
            thread: Some(thread),
        })
    }

    fn send(&self, request: Request) -> Result<(), Lost> {
        let requests = self.requests.as_ref().ok_or(Lost::Stopped)?;
        requests.send(request).map_err(|_| Lost::Stopped)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // All lanes are told before the first is waited for.
        let mut state = self.state.lock();
        for lane in &mut state.lanes {
            drop(lane.requests.take());
        }
        for lane in &mut state.lanes {
            if let Some(thread) = lane.thread.take() {
                // A panic there was answered to those who waited; there is nobody left to tell.
                let _ = thread.join();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_finds_its_lane_again_and_the_idle_one_is_given_away() {
        let mut state = State::default();
        let place = (Topic::new("t"), 0);
        let other = (Topic::new("t"), 1);
        assert_eq!(state.choose(&place, 0), 0);
        state.came_to(&place, 0, 0, 10);
        assert_eq!(state.choose(&place, 0), 1);
        state.came_to(&place, 1, 0, 5);
        // Each goes on in its own lane; another partition begins with the first.
        assert_eq!(state.choose(&place, 10), 0);
        state.came_to(&place, 0, 10, 20);
        assert_eq!(state.choose(&other, 10), 0);
        assert_eq!(state.choose(&place, 5), 1);
        state.came_to(&place, 1, 5, 8);
        assert_eq!(state.choose(&place, 99), 2);
        // A fourth takes the lane that was used longest ago, and that reader starts over.
        assert_eq!(state.choose(&place, 500), 0);
        // An answer that comes after the lane was given away changes nothing.
        state.came_to(&place, 0, 20, 30);
        assert_eq!(state.choose(&place, 500), 0);
    }
}
