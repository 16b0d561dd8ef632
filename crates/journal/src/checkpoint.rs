//! Checkpoints, the place reached per partition, and deltas, the steps between them.
//!
//! Checkpoints are a join semilattice under [`Checkpoint::covers`], with the empty checkpoint at the
//! bottom. A partition that is not named stands at zero; naming it with zero changes nothing but what
//! [`crate::Journal::changed`] waits for.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Error, ErrorKind, Topic};

/// Per partition, the next position to read: everything before it has been taken in.
///
/// Two checkpoints are equal when they name the same places, where a partition that is not named
/// counts as zero.
#[derive(Clone, Debug, Default)]
pub struct Checkpoint {
    next: BTreeMap<Topic, BTreeMap<u32, u64>>,
}

impl Checkpoint {
    /// The bottom: nothing read anywhere.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next position to read; zero when the partition is not named.
    pub fn get(&self, topic: &Topic, partition: u32) -> u64 {
        self.next
            .get(topic)
            .and_then(|partitions| partitions.get(&partition))
            .copied()
            .unwrap_or(0)
    }

    /// Names a partition and its next position, whatever stood there before. Progress that must be
    /// gapless goes through [`Checkpoint::advance`].
    pub fn set(&mut self, topic: &Topic, partition: u32, next: u64) {
        match self.next.get_mut(topic) {
            Some(partitions) => {
                partitions.insert(partition, next);
            }
            None => {
                self.next
                    .insert(topic.clone(), BTreeMap::from([(partition, next)]));
            }
        }
    }

    /// Whether this checkpoint is at least as far as the other in every partition: a partial order.
    pub fn covers(&self, other: &Self) -> bool {
        other
            .iter()
            .all(|(topic, partition, next)| self.get(topic, partition) >= next)
    }

    /// The least checkpoint that covers both.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        let mut joined = self.clone();
        for (topic, partition, next) in other.iter() {
            let furthest = joined.get(topic, partition).max(next);
            joined.set(topic, partition, furthest);
        }
        joined
    }

    /// Takes in a delta, in all its partitions or in none.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when the delta does not begin where this checkpoint stands, naming the
    /// partition and both positions: a gap would lose records, an overlap would count them twice (I3).
    pub fn advance(&mut self, delta: &Delta) -> Result<(), Error> {
        for step in delta.iter() {
            let at = self.get(step.topic, step.partition);
            if at != step.from {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!(
                        "{}/{}: the checkpoint stands at {at}, the delta begins at {} (and ends at {})",
                        step.topic, step.partition, step.from, step.to
                    ),
                ));
            }
        }
        for step in delta.iter() {
            self.set(step.topic, step.partition, step.to);
        }
        Ok(())
    }

    /// The part that concerns the topics.
    #[must_use]
    pub fn restrict(&self, topics: &[Topic]) -> Self {
        let next = topics
            .iter()
            .filter_map(|topic| self.next.get_key_value(topic))
            .map(|(topic, partitions)| (topic.clone(), partitions.clone()))
            .collect();
        Self { next }
    }

    /// Every partition named, with its next position, ordered by topic and partition.
    pub fn iter(&self) -> impl Iterator<Item = (&Topic, u32, u64)> {
        self.next.iter().flat_map(|(topic, partitions)| {
            partitions
                .iter()
                .map(move |(partition, next)| (topic, *partition, *next))
        })
    }

    /// Whether no partition is named.
    pub fn is_empty(&self) -> bool {
        self.next.is_empty()
    }
}

impl PartialEq for Checkpoint {
    fn eq(&self, other: &Self) -> bool {
        self.covers(other) && other.covers(self)
    }
}

impl Eq for Checkpoint {}

/// `assent.consent/0@12 assent.consent/1@7`, for people and logs.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for (topic, partition, next) in self.iter() {
            write!(f, "{between}{topic}/{partition}@{next}")?;
            between = " ";
        }
        Ok(())
    }
}

/// `{"assent.consent":{"0":12}}`
impl Serialize for Checkpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            self.next
                .iter()
                .map(|(topic, partitions)| (topic.as_str(), partitions)),
        )
    }
}

impl<'de> Deserialize<'de> for Checkpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = BTreeMap::<String, BTreeMap<u32, u64>>::deserialize(deserializer)?;
        let mut next = BTreeMap::new();
        for (name, partitions) in raw {
            let topic = Topic::parse(&name).map_err(serde::de::Error::custom)?;
            next.insert(topic, partitions);
        }
        Ok(Self { next })
    }
}

/// A step of progress: per partition the half-open stretch of positions `from..to` that was taken in,
/// so that a checkpoint at `from` moves to `to`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    steps: BTreeMap<Topic, BTreeMap<u32, (u64, u64)>>,
}

/// One partition's part of a [`Delta`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step<'a> {
    topic: &'a Topic,
    partition: u32,
    from: u64,
    to: u64,
}

impl Delta {
    /// No progress at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// A step in one partition.
    ///
    /// # Errors
    /// As [`Delta::extend`].
    pub fn of(topic: &Topic, partition: u32, from: u64, to: u64) -> Result<Self, Error> {
        let mut delta = Self::new();
        delta.extend(topic, partition, from, to)?;
        Ok(delta)
    }

    /// What lies between two checkpoints.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when `to` does not cover `from`.
    pub fn between(from: &Checkpoint, to: &Checkpoint) -> Result<Self, Error> {
        let mut delta = Self::new();
        for (topic, partition, _) in from.join(to).iter() {
            let (begin, end) = (from.get(topic, partition), to.get(topic, partition));
            if begin != end {
                delta.extend(topic, partition, begin, end)?;
            }
        }
        Ok(delta)
    }

    /// Adds the stretch `from..to` of a partition, after what the delta already holds of it.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when the stretch runs backwards or does not begin where the delta's
    /// stretch of that partition ends; the text names the partition and both positions.
    pub fn extend(
        &mut self,
        topic: &Topic,
        partition: u32,
        from: u64,
        to: u64,
    ) -> Result<(), Error> {
        if to < from {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("{topic}/{partition}: a delta cannot run backwards from {from} to {to}"),
            ));
        }
        let partitions = self.steps.entry(topic.clone()).or_default();
        let Some((_, end)) = partitions.get_mut(&partition) else {
            partitions.insert(partition, (from, to));
            return Ok(());
        };
        if *end != from {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "{topic}/{partition}: the delta ends at {end}, the next stretch begins at {from} (and ends at {to})"
                ),
            ));
        }
        *end = to;
        Ok(())
    }

    /// Whether it holds no stretch.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    fn iter(&self) -> impl Iterator<Item = Step<'_>> {
        self.steps.iter().flat_map(|(topic, partitions)| {
            partitions.iter().map(move |(partition, (from, to))| Step {
                topic,
                partition: *partition,
                from: *from,
                to: *to,
            })
        })
    }
}

#[cfg(test)]
mod tests;
