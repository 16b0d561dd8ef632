//! The thread of one lane: it owns a consumer and serves the readers of any partition.
//!
//! A partition is assigned when it is first read, and again elsewhere when a reader asks for another
//! place than the one it has come to; a reader that goes on where it stopped is served from what was
//! fetched ahead. A partition of which enough lies ready is paused.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use assent_journal::{Batch, ErrorKind, Position, Stored, Topic};
use bytes::Bytes;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::buffer::{Accepted, Buffer};
use super::{Lost, Place, Request};
use crate::client::Ear;
use crate::error::kind_of;

/// How long one poll waits for records that somebody waits for.
const POLL: Duration = Duration::from_millis(5);
/// How long the thread sleeps when nobody waits, before it serves librdkafka's own events.
const IDLE: Duration = Duration::from_secs(1);
/// How many records are taken over before readers are looked after.
const ROUND: usize = 5_000;
/// A partition for which nobody waits is paused when more than this lies ready, and goes on when half
/// of it was handed out.
const AHEAD: usize = 2 << 20;

/// A partition that is assigned to the consumer.
struct Part {
    buffer: Buffer,
    paused: bool,
    /// What the reader who waits would take, in bytes.
    wanted: usize,
    /// The record after the buffer's last was not the next one. What lies before is good; the rest is
    /// asked for once more before the gap is believed.
    gap: bool,
    /// The position that was asked for once more.
    doubted: Option<u64>,
}

pub(super) struct Thread {
    consumer: BaseConsumer<Ear>,
    parts: HashMap<Place, Part>,
    waiting: VecDeque<Request>,
}

impl Thread {
    pub(super) fn new(consumer: BaseConsumer<Ear>) -> Self {
        Self {
            consumer,
            parts: HashMap::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Serves until the other end is dropped.
    pub(super) fn run(mut self, requests: &Receiver<Request>) {
        loop {
            if self.waiting.is_empty() {
                match requests.recv_timeout(IDLE) {
                    Ok(request) => self.waiting.push_back(request),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
            self.waiting.extend(requests.try_iter());
            self.serve();
            self.fetch();
            self.serve();
        }
    }

    /// Takes over what the consumer has fetched.
    fn fetch(&mut self) {
        let mut patience = if self.waiting.is_empty() {
            Duration::ZERO
        } else {
            POLL
        };
        for _ in 0..ROUND {
            let polled = self.consumer.poll(patience).map(stored);
            match polled {
                None => return,
                Some(Ok((place, record))) => self.take_over(place, record),
                Some(Err(error)) => return self.report(&error),
            }
            patience = Duration::ZERO;
        }
    }

    fn take_over(&mut self, place: Place, record: Stored) {
        let Some(part) = self.parts.get_mut(&place) else {
            return;
        };
        if part.gap {
            // Waits until what lies before the gap was handed out.
            return;
        }
        match part.buffer.accept(record) {
            Accepted::Taken => {
                if part.buffer.bytes() > part.wanted.max(AHEAD) && !part.paused {
                    part.paused = true;
                    self.tell(&place, "pause", BaseConsumer::pause);
                }
            }
            Accepted::Old => {}
            Accepted::Gap => {
                part.gap = true;
                if part.doubted == Some(part.buffer.next()) {
                    self.give_up(&place, || Lost::Missing);
                }
            }
        }
    }

    /// Answers every reader that can be answered.
    fn serve(&mut self) {
        // One reader of a partition at a time, in order; otherwise two at different places would
        // forever pull it to and fro.
        let mut busy: HashSet<Place> = HashSet::new();
        for request in std::mem::take(&mut self.waiting) {
            if request.answer.is_closed() {
                // The reader was cancelled.
            } else if busy.contains(&request.place) {
                self.waiting.push_back(request);
            } else if let Some(request) = self.try_answer(request) {
                busy.insert(request.place.clone());
                self.waiting.push_back(request);
            }
        }
    }

    /// Answers a reader, or gives it back.
    fn try_answer(&mut self, request: Request) -> Option<Request> {
        match self.parts.get(&request.place) {
            Some(part) if part.gap && part.buffer.next() == request.from => {
                self.assign(&request.place, request.from, Some(request.from));
            }
            Some(part) if part.buffer.leads_to(request.from) => {}
            Some(_) | None => self.assign(&request.place, request.from, None),
        }
        let Some(part) = self.parts.get_mut(&request.place) else {
            let _ = request.answer.send(Err(Lost::Stopped));
            return None;
        };
        let enough = part
            .buffer
            .is_enough(request.from, request.end, request.limit)
            || part.gap;
        let late = Instant::now() >= request.deadline;
        if !enough && !late {
            part.wanted = request.limit.bytes;
            self.resume_below(&request.place, usize::MAX);
            return Some(request);
        }
        part.wanted = 0;
        let records = part.buffer.take(request.end, request.limit);
        let answer = match records.last() {
            Some(last) => Ok(Batch {
                next: last.position.offset + 1,
                end: request.end,
                records,
            }),
            None => Err(Lost::Late),
        };
        // A reader that went away in this moment reads again from its checkpoint.
        let _ = request.answer.send(answer);
        self.resume_below(&request.place, AHEAD / 2);
        None
    }

    /// Lets a paused partition go on when less than `bytes` lie ready.
    fn resume_below(&mut self, place: &Place, bytes: usize) {
        if let Some(part) = self.parts.get_mut(place)
            && part.paused
            && part.buffer.bytes() < bytes
        {
            part.paused = false;
            self.tell(place, "resume", BaseConsumer::resume);
        }
    }

    /// Has the consumer fetch a partition from `from`, whatever it fetched before.
    fn assign(&mut self, place: &Place, from: u64, doubted: Option<u64>) {
        self.unassign(place);
        let mut list = TopicPartitionList::with_capacity(1);
        let offset = Offset::Offset(i64::try_from(from).unwrap_or(i64::MAX));
        let assigned = list
            .add_partition_offset(place.0.as_str(), place.1, offset)
            .and_then(|()| self.consumer.incremental_assign(&list));
        match assigned {
            Ok(()) => {
                let part = Part {
                    buffer: Buffer::at(from),
                    paused: false,
                    wanted: 0,
                    gap: false,
                    doubted,
                };
                self.parts.insert(place.clone(), part);
            }
            Err(error) => self.give_up(place, || Lost::Failed(error.clone())),
        }
    }

    fn unassign(&mut self, place: &Place) {
        // A pause outlives the assignment in librdkafka, so it is taken back first.
        self.resume_below(place, usize::MAX);
        if self.parts.remove(place).is_some() {
            self.tell(place, "unassign", BaseConsumer::incremental_unassign);
        }
    }

    /// Gives the consumer an order about one partition.
    fn tell(
        &self,
        (topic, partition): &Place,
        order: &'static str,
        give: impl FnOnce(&BaseConsumer<Ear>, &TopicPartitionList) -> KafkaResult<()>,
    ) {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(topic.as_str(), *partition);
        if let Err(error) = give(&self.consumer, &list) {
            // Readers that suffer from it run out of time and are told.
            tracing::warn!(topic = topic.as_str(), partition, order, error = %error, "the kafka consumer did not obey");
        }
    }

    /// Fails the readers of a partition, and forgets what was fetched.
    fn give_up(&mut self, place: &Place, lost: impl Fn() -> Lost) {
        self.unassign(place);
        for request in std::mem::take(&mut self.waiting) {
            if &request.place == place {
                let _ = request.answer.send(Err(lost()));
            } else {
                self.waiting.push_back(request);
            }
        }
    }

    /// An error of the consumer names no partition.
    fn report(&mut self, error: &KafkaError) {
        let kind = error.rdkafka_error_code().map(kind_of);
        if kind == Some(ErrorKind::Unavailable) && !is_fatal(error) {
            // librdkafka goes on trying by itself; readers are told when their time is over.
            tracing::debug!(error = %error, "the kafka consumer has trouble");
            return;
        }
        tracing::warn!(error = %error, "the kafka consumer failed, its readers begin anew");
        let places: Vec<Place> = self.waiting.iter().map(|r| r.place.clone()).collect();
        for place in places {
            self.give_up(&place, || Lost::Failed(error.clone()));
        }
    }
}

fn is_fatal(error: &KafkaError) -> bool {
    matches!(error, KafkaError::MessageConsumptionFatal(_))
}

/// Copies a message out of librdkafka's memory.
fn stored(polled: KafkaResult<BorrowedMessage<'_>>) -> KafkaResult<(Place, Stored)> {
    let message = polled?;
    let copy = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice).unwrap_or_default();
    let topic = Topic::new(message.topic());
    let partition = message.partition();
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        headers
            .iter()
            .map(|header| (header.key.to_owned(), copy(header.value)))
            .collect()
    });
    let stored = Stored {
        position: Position {
            topic: topic.clone(),
            partition: u32::try_from(partition).unwrap_or_default(),
            offset: u64::try_from(message.offset()).unwrap_or_default(),
        },
        key: copy(message.key()),
        value: copy(message.payload()),
        headers,
    };
    Ok(((topic, partition), stored))
}
