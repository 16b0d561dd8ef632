//! Who leads, by the word of several brokers. Pure: no Kafka in here.

use std::collections::{BTreeMap, BTreeSet};

use assent_journal::Topic;

/// A partition.
pub(super) type Place = (Topic, u32);

/// What one broker says of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Led {
    pub(super) leader: i32,
    pub(super) replicas: Vec<i32>,
}

/// What one broker says, all told.
#[derive(Clone, Debug)]
pub(super) struct Word {
    /// Who says it; negative when it did not tell.
    pub(super) broker: i32,
    pub(super) led: BTreeMap<Place, Led>,
}

/// Whether enough of the words name `leader` as the leader of `place`.
///
/// Only other replicas count: the leader cannot vouch for itself, and a broker without a copy need not
/// have heard of a successor when that acknowledged something.
pub(super) fn is_confirmed(place: &Place, leader: i32, words: &[Word], min_in_sync: usize) -> bool {
    let mut copies = 0;
    let mut witnesses = BTreeSet::new();
    for word in words {
        let Some(led) = word.led.get(place) else {
            continue;
        };
        copies = copies.max(led.replicas.len());
        if led.leader == leader && word.broker != leader && led.replicas.contains(&word.broker) {
            witnesses.insert(word.broker);
        }
    }
    // A record that a successor acknowledged is known to `min_in_sync` of the copies, of which the old
    // leader is none. So many of the others can lack it; one witness more cannot.
    copies > 0 && witnesses.len() >= copies.saturating_sub(min_in_sync)
}

/// Which brokers to ask so that every place has enough witnesses, whoever of its replicas leads it.
/// `brokers` in the order in which they are preferred.
pub(super) fn choose(
    replicas: &BTreeMap<Place, Vec<i32>>,
    places: &[Place],
    brokers: &[i32],
    min_in_sync: usize,
) -> Vec<i32> {
    let mut chosen = Vec::new();
    for broker in brokers {
        let wanted = places
            .iter()
            .filter_map(|place| replicas.get(place))
            .any(|copies| {
                let needed = copies.len().saturating_sub(min_in_sync) + 1;
                let has = copies.iter().filter(|copy| chosen.contains(*copy)).count();
                copies.contains(broker) && has < needed
            });
        if wanted {
            chosen.push(*broker);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(partition: u32) -> Place {
        ("t".into(), partition)
    }

    /// A broker's word that `leader` leads partition 0, which has copies on the first brokers.
    fn word(broker: i32, leader: i32, copies: i32) -> Word {
        let led = Led {
            leader,
            replicas: (1..=copies).collect(),
        };
        Word {
            broker,
            led: BTreeMap::from([(place(0), led)]),
        }
    }

    fn confirmed(leader: i32, words: &[Word], min_in_sync: usize) -> bool {
        is_confirmed(&place(0), leader, words, min_in_sync)
    }

    #[test]
    fn of_three_copies_one_other_must_agree() {
        assert!(!confirmed(1, &[], 2));
        // The leader's own word is none.
        assert!(!confirmed(1, &[word(1, 1, 3)], 2));
        assert!(confirmed(1, &[word(1, 1, 3), word(2, 1, 3)], 2));
        // One that has heard of a successor does not agree, nor does one without a copy.
        assert!(!confirmed(1, &[word(1, 1, 3), word(2, 2, 3)], 2));
        assert!(!confirmed(1, &[word(4, 1, 3), word(-1, 1, 3)], 2));
        // The successor needs a witness, too.
        assert!(!confirmed(2, &[word(1, 1, 3), word(2, 2, 3)], 2));
        assert!(confirmed(2, &[word(2, 2, 3), word(3, 2, 3)], 2));
        // The same witness twice is one.
        assert!(!confirmed(1, &[word(2, 1, 3), word(2, 1, 3)], 1));
        assert!(confirmed(1, &[word(2, 1, 3), word(3, 1, 3)], 1));
    }

    #[test]
    fn how_many_must_agree_follows_from_how_many_acknowledge() {
        let three_of_five = |others: &[i32]| {
            let words: Vec<Word> = others.iter().map(|broker| word(*broker, 1, 5)).collect();
            confirmed(1, &words, 3)
        };
        assert!(!three_of_five(&[2]));
        assert!(three_of_five(&[2, 5]));
        // Where every copy acknowledges no other can have done so without the leader.
        assert!(confirmed(1, &[word(1, 1, 2)], 2));
        assert!(confirmed(1, &[word(1, 1, 1)], 1));
    }

    #[test]
    fn no_more_brokers_are_asked_than_needed() {
        let replicas = BTreeMap::from([
            (place(0), vec![1, 2, 3]),
            (place(1), vec![2, 3, 4]),
            (place(2), vec![4, 5, 6]),
        ]);
        let asked = |places: &[u32], brokers: &[i32]| {
            let places: Vec<Place> = places.iter().map(|partition| place(*partition)).collect();
            choose(&replicas, &places, brokers, 2)
        };
        assert_eq!(asked(&[0], &[1, 2, 3, 4, 5, 6]), [1, 2]);
        // Those that are preferred come first.
        assert_eq!(asked(&[0], &[6, 5, 4, 3, 2, 1]), [3, 2]);
        assert_eq!(asked(&[0, 1], &[1, 2, 3, 4, 5, 6]), [1, 2, 3]);
        assert_eq!(asked(&[0, 1, 2], &[2, 3, 4, 5, 6, 1]), [2, 3, 4, 5]);
    }
}
