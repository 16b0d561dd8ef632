//! End positions that can be relied on while leaders change (I2).
//!
//! A leader's own word is not enough. One that hung, or was cut off, while the others elected a successor
//! still believes to lead when it comes back, and for a moment tells an end that lacks what its successor
//! has acknowledged since. So other replicas are asked who leads. Any record acknowledged by a successor
//! stands on `min.insync.replicas` of them, which therefore knew the successor before the acknowledgement:
//! when more replicas than can be missing from those still name the same leader *after* the question was
//! put, there was no successor that acknowledged anything before it.
//!
//! One thread ([`thread`]) puts the questions. Those that wait when it begins are answered together.

mod agreement;
mod thread;

use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use assent_journal::{Checkpoint, Error, ErrorKind, Topic};
use parking_lot::Mutex;
use rdkafka::ClientConfig;
use tokio::sync::oneshot;

use self::thread::Thread;
use crate::error::unavailable;

/// A question for the ends of some partitions.
struct Question {
    partitions: Vec<(Topic, u32)>,
    deadline: Instant,
    answer: oneshot::Sender<Result<Checkpoint, Error>>,
}

/// The handle to the thread that asks.
pub(crate) struct Confirm {
    patience: Duration,
    /// `None` only while dropping.
    questions: Mutex<Option<Sender<Question>>>,
    thread: Option<JoinHandle<()>>,
}

impl Confirm {
    /// `client` reaches the brokers; a record is acknowledged once it stands on `min_in_sync` of them.
    pub(crate) fn start(
        client: ClientConfig,
        min_in_sync: u16,
        patience: Duration,
    ) -> Result<Self, Error> {
        let (questions, queue) = channel();
        let thread = Thread::new(client, usize::from(min_in_sync), patience)?;
        let thread = std::thread::Builder::new()
            .name("journal-ends".to_owned())
            .spawn(move || thread.run(&queue))
            .map_err(|error| {
                Error::new(ErrorKind::Internal, "no thread for end positions").with_source(error)
            })?;
        Ok(Self {
            patience,
            questions: Mutex::new(Some(questions)),
            thread: Some(thread),
        })
    }

    /// The ends of the partitions, which cover every append acknowledged before the call.
    pub(crate) async fn ask(&self, partitions: &[(Topic, u32)]) -> Result<Checkpoint, Error> {
        let (answer, answered) = oneshot::channel();
        let question = Question {
            partitions: partitions.to_vec(),
            deadline: Instant::now() + self.patience,
            answer,
        };
        let put = match &*self.questions.lock() {
            Some(questions) => questions.send(question).is_ok(),
            None => false,
        };
        let stopped =
            || unavailable("the thread that asks for end positions has stopped; start again");
        match put {
            true => answered.await.map_err(|_| stopped())?,
            false => Err(stopped()),
        }
    }
}

impl Drop for Confirm {
    fn drop(&mut self) {
        drop(self.questions.lock().take());
        if let Some(thread) = self.thread.take() {
            // A panic there was answered to those who waited; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}
