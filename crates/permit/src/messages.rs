//! Which message brought what for whom, so that what a sender repeats is known again (rule R2).
//!
//! A message is remembered by a digest of its source and id, which stand in clear in the log anyway: it tells
//! nothing of a person, and so it may outlive one who was erased.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

/// What one source sends under one message id. A collision of digests can only deny.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Message(u64);

impl Message {
    /// The message of this id from this source.
    pub(crate) fn of(source: &str, message_id: &str) -> Self {
        let mut hasher = Sha256::new();
        hasher.update((source.len() as u64).to_be_bytes());
        hasher.update(source.as_bytes());
        hasher.update(message_id.as_bytes());
        let digest: [u8; 32] = hasher.finalize().into();
        let (first, _) = digest.split_first_chunk::<8>().expect("32 is more than 8");
        Self(u64::from_be_bytes(*first))
    }

    /// Of a record that cannot be read. It brings nothing that widens, so nothing is known by it again.
    pub(crate) fn unknown() -> Self {
        Self(0)
    }

    #[cfg(test)]
    pub(crate) fn numbered(number: u64) -> Self {
        Self(number)
    }
}

/// For whom each message brought a fact that widens, by number. Only ever added to, so that all states of an
/// index share it.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    first: HashMap<Message, u32>,
    /// Those beyond the first, of the few messages that have more.
    further: HashMap<Message, Vec<u32>>,
}

impl Messages {
    /// The message brought a fact that widens for this subject; adding it twice changes nothing.
    pub(crate) fn add(&mut self, message: Message, number: u32) {
        let first = *self.first.entry(message).or_insert(number);
        if first != number {
            let further = self.further.entry(message).or_default();
            if !further.contains(&number) {
                further.push(number);
            }
        }
    }

    /// For whom it did.
    pub(crate) fn all(&self, message: Message) -> impl Iterator<Item = u32> {
        let first = self.first.get(&message);
        let further = self.further.get(&message).into_iter().flatten();
        first.into_iter().chain(further).copied()
    }

    /// For whom else it did.
    pub(crate) fn others(&self, message: Message, number: u32) -> Vec<u32> {
        self.all(message).filter(|other| *other != number).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_its_source_and_its_id() {
        let message = Message::of("shop", "m1");
        assert_eq!(message, Message::of("shop", "m1"));
        for other in [
            ("shop", "m2"),
            ("web", "m1"),
            ("shopm", "1"),
            ("", "shopm1"),
        ] {
            assert_ne!(message, Message::of(other.0, other.1));
        }
    }

    #[test]
    fn everybody_for_whom_it_brought_something_is_told() {
        let mut messages = Messages::default();
        let message = Message::of("shop", "m1");
        assert!(messages.others(message, 1).is_empty());
        for number in [1, 1, 2, 3, 2, 1] {
            messages.add(message, number);
        }
        assert_eq!(messages.others(message, 1), [2, 3]);
        assert_eq!(messages.others(message, 2), [1, 3]);
        assert_eq!(messages.others(message, 9), [1, 2, 3]);
        assert!(messages.others(Message::of("shop", "m2"), 9).is_empty());
    }
}
