//! The algebra of checkpoints, by property, and its error texts, by example.

use proptest::collection::vec;
use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};

use super::{Checkpoint, Delta};
use crate::{ErrorKind, Topic};

/// Few topics, partitions and positions, so that ties, zeros and gaps all turn up.
fn checkpoint() -> impl Strategy<Value = Checkpoint> {
    vec((0..3u8, 0..3u32, 0..4u64), 0..6).prop_map(|places| {
        let mut checkpoint = Checkpoint::new();
        for (topic, partition, next) in places {
            checkpoint.set(&Topic::new(format!("t{topic}")), partition, next);
        }
        checkpoint
    })
}

proptest! {
    #[test]
    fn covers_is_a_partial_order(a in checkpoint(), b in checkpoint(), c in checkpoint()) {
        prop_assert!(a.covers(&a));
        prop_assert_eq!(a.covers(&b) && b.covers(&a), a == b);
        if a.covers(&b) && b.covers(&c) {
            prop_assert!(a.covers(&c));
        }
        prop_assert!(a.covers(&Checkpoint::new()));
    }

    #[test]
    fn join_is_the_least_upper_bound(a in checkpoint(), b in checkpoint(), c in checkpoint()) {
        let joined = a.join(&b);
        prop_assert!(joined.covers(&a) && joined.covers(&b));
        prop_assert_eq!(&joined, &b.join(&a));
        prop_assert_eq!(a.join(&a), a.clone());
        prop_assert_eq!(joined.join(&c), a.join(&b.join(&c)));
        if c.covers(&a) && c.covers(&b) {
            prop_assert!(c.covers(&joined));
        }
        // Least also means that every position comes from one of the two.
        for (topic, partition, next) in joined.iter() {
            prop_assert!(next == a.get(topic, partition) || next == b.get(topic, partition));
        }
    }

    #[test]
    fn a_delta_leads_from_one_checkpoint_to_the_other_and_from_nowhere_else(
        a in checkpoint(), b in checkpoint(), other in checkpoint(),
    ) {
        let to = a.join(&b);
        let delta = Delta::between(&a, &to).unwrap();
        let mut moved = a.clone();
        moved.advance(&delta).unwrap();
        prop_assert_eq!(&moved, &to);
        prop_assert_eq!(delta.is_empty(), a == to);

        // Taking it in twice is an error unless there was nothing to take in.
        prop_assert_eq!(moved.clone().advance(&delta).is_ok(), delta.is_empty());

        // Running backwards is no delta.
        prop_assert_eq!(Delta::between(&to, &a).is_ok(), a == to);

        // From another place it is refused exactly if a partition it touches stands elsewhere, and
        // then nothing moves.
        let fits = to
            .iter()
            .filter(|(t, p, next)| a.get(t, *p) != *next)
            .all(|(t, p, _)| other.get(t, p) == a.get(t, p));
        let mut tried = other.clone();
        prop_assert_eq!(tried.advance(&delta).is_ok(), fits);
        if !fits {
            prop_assert_eq!(tried, other);
        }
    }

    #[test]
    fn json_keeps_every_name(a in checkpoint()) {
        let text = serde_json::to_string(&a).unwrap();
        let back: Checkpoint = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(back.iter().collect::<Vec<_>>(), a.iter().collect::<Vec<_>>());
    }

    #[test]
    fn restricting_keeps_the_topics_asked_for(a in checkpoint()) {
        let wanted = [Topic::new("t0"), Topic::new("t2")];
        let part = a.restrict(&wanted);
        prop_assert!(a.covers(&part));
        prop_assert!(part.iter().all(|(topic, ..)| wanted.contains(topic)));
        let rest = a.restrict(&[Topic::new("t1")]);
        prop_assert_eq!(part.join(&rest), a);
    }
}

#[test]
fn json_has_the_published_form() {
    let mut checkpoint = Checkpoint::new();
    checkpoint.set(&"assent.consent".into(), 0, 12);
    checkpoint.set(&"assent.consent".into(), 10, 3);
    let text = serde_json::to_string(&checkpoint).unwrap();
    assert_eq!(text, r#"{"assent.consent":{"0":12,"10":3}}"#);
    assert!(serde_json::from_str::<Checkpoint>(r#"{"a b":{"0":1}}"#).is_err());
    assert!(serde_json::from_str::<Checkpoint>(r#"{"a":{"0":-1}}"#).is_err());
}

#[test]
fn naming_a_partition_with_zero_is_seen_but_counts_for_nothing() {
    let mut named = Checkpoint::new();
    named.set(&"t".into(), 4, 0);
    assert_eq!(named, Checkpoint::new());
    assert!(!named.is_empty());
    assert_eq!(named.iter().count(), 1);
}

#[test]
fn errors_name_the_partition_and_both_positions() {
    let topic = Topic::new("assent.consent");
    let mut checkpoint = Checkpoint::new();
    checkpoint.set(&topic, 3, 41);
    let gap = Delta::of(&topic, 3, 43, 50).unwrap();
    let error = checkpoint.advance(&gap).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(
        error.to_string(),
        "assent.consent/3: the checkpoint stands at 41, the delta begins at 43 (and ends at 50)"
    );

    let mut delta = Delta::of(&topic, 3, 41, 43).unwrap();
    delta.extend(&topic, 3, 43, 44).unwrap();
    let error = delta.extend(&topic, 3, 45, 46).unwrap_err();
    assert_eq!(
        error.to_string(),
        "assent.consent/3: the delta ends at 44, the next stretch begins at 45 (and ends at 46)"
    );
    assert!(Delta::of(&topic, 3, 2, 1).is_err());
    checkpoint.advance(&delta).unwrap();
    assert_eq!(checkpoint.get(&topic, 3), 44);
}
