//! What happened to each subject, and which subjects belong together.

use std::sync::Arc;

use assent_consent::{Fact, SubjectId, Timestamp, component};

use crate::chunked::Chunked;
use crate::messages::Message;

/// Where a fact stands: partition and offset on the consent topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) partition: u32,
    pub(crate) offset: u64,
}

/// One subject's facts, in order of arrival in its partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) facts: Vec<Fact>,
    /// Beside `facts`, which [`assent_consent::evaluate`] takes as one slice.
    pub(crate) places: Vec<Place>,
    /// The messages that brought facts that widen, and the offsets of these, whether they count or not.
    pub(crate) brought: Vec<(Message, u64)>,
    /// Of facts that said nothing new, how their ids begin; see [`crate::runs`].
    pub(crate) gone: Vec<u64>,
}

/// Who was ever linked with whom, directly or through others.
///
/// Groups only grow. Whether a link still stands is for the rules to say, at the instant asked
/// about; a group is what the rules must be shown so that they can (R3 looks at past links, too).
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups {
    /// The group of each number, [`ALONE`] for most.
    of: Chunked<u32>,
    groups: Chunked<Arc<Vec<u32>>>,
}

const ALONE: u32 = u32::MAX;

impl Groups {
    /// Adds the next number, alone.
    pub(crate) fn add(&mut self) {
        self.of.push(ALONE);
    }

    /// The numbers that belong with this one, itself included; `None` when it is alone.
    pub(crate) fn of(&self, number: u32) -> Option<&[u32]> {
        let group = *self.of.get(index(number))?;
        if group == ALONE {
            return None;
        }
        self.groups.get(index(group)).map(|group| group.as_slice())
    }

    /// Puts the two and all that belong with them together.
    pub(crate) fn join(&mut self, a: u32, b: u32) {
        let (Some(&in_a), Some(&in_b)) = (self.of.get(index(a)), self.of.get(index(b))) else {
            return;
        };
        if a == b || (in_a == in_b && in_a != ALONE) {
            return;
        }
        let size = |number| self.of(number).map_or(1, <[u32]>::len);
        // Those of the smaller group move, so that nobody moves often.
        let (stays, into, moves, from) = if size(a) >= size(b) {
            (a, in_a, b, in_b)
        } else {
            (b, in_b, a, in_a)
        };
        let into = if into == ALONE {
            self.found(stays)
        } else {
            into
        };
        let moved = match self.groups.get_mut(index(from)) {
            Some(group) => std::mem::take(Arc::make_mut(group)),
            None => vec![moves],
        };
        for number in &moved {
            self.set(*number, into);
        }
        if let Some(group) = self.groups.get_mut(index(into)) {
            Arc::make_mut(group).extend(moved);
        }
    }

    /// Makes a group of one; there are fewer groups than numbers, so [`ALONE`] is none.
    fn found(&mut self, number: u32) -> u32 {
        let group = u32::try_from(self.groups.len()).unwrap_or(ALONE);
        self.groups.push(Arc::new(vec![number]));
        self.set(number, group);
        group
    }

    fn set(&mut self, number: u32, group: u32) {
        if let Some(place) = self.of.get_mut(index(number)) {
            *place = group;
        }
    }

    /// Every group of two or more.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u32]> {
        self.groups
            .iter()
            .map(|group| group.as_slice())
            .filter(|group| !group.is_empty())
    }
}

/// For each number of a group, the number whose subject id is the smallest of its component at `at`.
///
/// `subjects` names the subjects of `group`, in its order; `links` are the links and un-links of the whole group.
pub(crate) fn members_of_group(
    group: &[u32],
    subjects: &[SubjectId],
    links: &[&Fact],
    at: Timestamp,
) -> Vec<(u32, u32)> {
    let mut found: Vec<(u32, u32)> = Vec::with_capacity(group.len());
    let mut done = vec![false; group.len()];
    for (place, subject) in subjects.iter().enumerate() {
        if done[place] {
            continue;
        }
        let together = component(links.iter().copied(), *subject, at);
        let inside: Vec<usize> = (place..group.len())
            .filter(|p| !done[*p] && together.contains(&subjects[*p]))
            .collect();
        let smallest = inside
            .iter()
            .copied()
            .min_by_key(|p| subjects[*p])
            .unwrap_or(place);
        for p in inside {
            done[p] = true;
            found.push((group[p], group[smallest]));
        }
        if !done[place] {
            done[place] = true;
            found.push((group[place], group[place]));
        }
    }
    found
}

/// A number as an index. Numbers are u32, and so are indices at least.
pub(crate) fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_grow_and_never_lose_anybody() {
        let mut groups = Groups::default();
        for _ in 0..8 {
            groups.add();
        }
        assert_eq!(groups.of(3), None);
        groups.join(3, 3);
        assert_eq!(groups.of(3), None);
        groups.join(0, 1);
        groups.join(2, 3);
        groups.join(4, 0);
        groups.join(1, 3);
        groups.join(3, 0);
        groups.join(6, 7);
        let mut all = groups.of(2).unwrap().to_vec();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4]);
        for number in [0, 1, 3, 4] {
            assert_eq!(groups.of(number), groups.of(2));
        }
        assert_eq!(groups.of(5), None);
        assert_eq!(groups.of(6).map(<[u32]>::len), Some(2));
        assert_eq!(groups.iter().count(), 2);
        groups.join(99, 0);
        groups.join(5, 6);
        groups.join(5, 0);
        assert_eq!(groups.of(7).map(<[u32]>::len), Some(8));
    }
}
