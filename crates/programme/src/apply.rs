//! Journalling a plan.

use assent_consent::Timestamp;
use assent_event::topics;
use assent_journal::{Journal, Position, Record, Topic};

use crate::definition::Digest;
use crate::error::Error;
use crate::plan::Plan;
use crate::record::{KEY, encode_set};
use crate::registry::RegistryState;

/// What applying a plan led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The digest in force from there on.
    pub digest: Digest,
    /// How many definitions were journalled; 0 when the plan changed nothing.
    pub definitions: usize,
    /// Where the last of them stands; `None` when there were none.
    pub position: Option<Position>,
}

/// Journals a plan, if the registry is still the one it was made on.
///
/// Compare, append, read again: see `record.rs` for why that is enough without a conditional append.
///
/// # Errors
/// [`Error::Conflict`] when the registry moved on, before or while this was applied: nothing of the plan
/// took effect. [`Error::Journal`] of kind `Unavailable` leaves the outcome unknown: plan again and see.
pub async fn apply(journal: &dyn Journal, plan: &Plan, at: Timestamp) -> Result<Applied, Error> {
    let mut state = RegistryState::fold(journal).await?;
    let conflict = |found| Error::Conflict {
        expected: plan.parent,
        found,
    };
    if state.digest() != plan.parent {
        return Err(conflict(state.digest()));
    }
    if plan.definitions.is_empty() {
        return Ok(Applied {
            digest: plan.parent,
            definitions: 0,
            position: None,
        });
    }
    // What the fold would refuse must never reach the journal: it would stop every reader.
    state.with(&plan.definitions, at)?;
    let (set, values) =
        encode_set(plan.parent, at, &plan.definitions).ok_or_else(|| Error::Refused {
            key: "the set of definitions".to_owned(),
            reason: "a body holds a fraction".to_owned(),
        })?;
    let topic = Topic::new(topics::REGISTRY);
    let records = values
        .into_iter()
        .map(|value| Record {
            topic: topic.clone(),
            key: KEY.into(),
            value: value.into(),
            headers: Vec::new(),
        })
        .collect();
    let positions = journal.append(records).await?;
    state.catch_up(journal).await?;
    let last = positions.into_iter().max_by_key(|p| p.offset);
    let won = state.sets().iter().any(|accepted| {
        accepted.digest == set && last.as_ref().is_some_and(|p| p.offset == accepted.offset)
    });
    if won {
        Ok(Applied {
            digest: set,
            definitions: plan.definitions.len(),
            position: last,
        })
    } else {
        Err(conflict(state.digest()))
    }
}
