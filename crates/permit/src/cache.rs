//! The verdicts for one use, kept up to date by what changed.
//!
//! A verdict changes when a fact arrives for the subject or one it was ever linked with, when a
//! definition changes, or when time passes the instant that [`assent_consent::evaluate`] named.
//! Only those are worked out again; the rest is shared with the sets handed out before.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

use assent_consent::{
    Coverage, Evaluation, Fact, Reason, SubjectId, Timestamp, Use, Verdict, evaluate,
};

use crate::chunked::Chunked;
use crate::error::{Error, ErrorKind};
use crate::fingerprint::Summed;
use crate::history::index;
use crate::set::{FIRST_COVERAGE, PermitSet, code_of};
use crate::state::State;

/// How many verdicts are worked out before they are recorded; fewer are not worth threads.
const STRETCH: usize = if cfg!(test) { 64 } else { 16_384 };

pub(crate) struct UseCache {
    use_: Use,
    /// How many threads work when there is much to work out.
    threads: usize,
    /// The instant up to which verdicts are worked out.
    at: Timestamp,
    generation: u64,
    /// How much of [`State::touched`] was followed.
    followed: usize,
    codes: Chunked<u16>,
    coverages: Arc<Vec<Coverage>>,
    places: HashMap<Coverage, u16>,
    permitted: usize,
    /// When which verdict must be looked at again; may hold more than needed, never less.
    due: BinaryHeap<Reverse<(Timestamp, u32)>>,
    latest: Option<Arc<PermitSet>>,
    summed: Option<Summed>,
    /// How many verdicts were worked out.
    #[cfg(test)]
    judged: u64,
}

impl UseCache {
    pub(crate) fn new(use_: Use, threads: usize) -> Self {
        Self {
            use_,
            threads: threads.max(1),
            at: Timestamp::MIN,
            generation: u64::MAX,
            followed: 0,
            codes: Chunked::default(),
            coverages: Arc::default(),
            places: HashMap::new(),
            permitted: 0,
            due: BinaryHeap::new(),
            latest: None,
            summed: None,
            #[cfg(test)]
            judged: 0,
        }
    }

    /// The instant it stands at; it cannot answer for an earlier one.
    pub(crate) fn at(&self) -> Timestamp {
        self.at
    }

    /// Brings the verdicts to what `state` knows at `at`, which must not lie before
    /// [`UseCache::at`], and returns them.
    pub(crate) fn set_at(&mut self, state: &State, at: Timestamp) -> Result<Arc<PermitSet>, Error> {
        if let Some(latest) = &self.latest
            && latest.at == at
            && latest.position == state.applied
            && self.generation == state.generation
            // Who is introduced is applied nowhere.
            && self.followed == state.touched.len()
        {
            return Ok(Arc::clone(latest));
        }
        let result = self.follow(state, at);
        if result.is_err() {
            // Half-way is nowhere: begin afresh next time.
            *self = Self::new(self.use_.clone(), self.threads);
        }
        result
    }

    /// As [`crate::Permit::fingerprint`], of a set of this use.
    pub(crate) fn fingerprint(&mut self, set: &Arc<PermitSet>) -> u64 {
        let summed = Summed::of(set, self.summed.take());
        let fingerprint = summed.fingerprint();
        self.summed = Some(summed);
        fingerprint
    }

    fn follow(&mut self, state: &State, at: Timestamp) -> Result<Arc<PermitSet>, Error> {
        if self.generation != state.generation {
            *self = Self {
                generation: state.generation,
                ..Self::new(self.use_.clone(), self.threads)
            };
            self.grow(state);
            self.at = at;
            self.work_out_all(state, at)?;
        } else {
            self.grow(state);
            self.at = at;
            let changed = self.changed(state, at);
            self.work_out(state, &changed, at)?;
        }
        self.followed = state.touched.len();
        if self.due.len() > 2 * self.codes.len() + 1_024 {
            self.thin_out();
        }
        let untold = self.untold(state, at)?;
        let set = Arc::new(PermitSet {
            use_: self.use_.clone(),
            at,
            position: state.applied.clone(),
            codes: self.codes.clone(),
            members: members_at(state, at),
            coverages: Arc::clone(&self.coverages),
            permitted: self.permitted,
            untold,
            numbers: Arc::clone(&state.numbers),
        });
        self.latest = Some(Arc::clone(&set));
        Ok(set)
    }

    /// The code of whom nothing is known.
    fn untold(&mut self, state: &State, at: Timestamp) -> Result<u16, Error> {
        let nobody = SubjectId::from_bytes([0; 16]);
        let evaluation = evaluate(&state.consent, &[], nobody, &self.use_, at);
        self.code(evaluation.verdict)
    }

    /// Denies numbers it has not seen until they are worked out.
    fn grow(&mut self, state: &State) {
        while self.codes.len() < state.histories.len() {
            self.codes.push(code_of(Reason::NoDecision));
        }
    }

    /// The numbers whose verdict may have changed: touched since, with all who were ever linked
    /// with them, and those whose time has come.
    fn changed(&mut self, state: &State, at: Timestamp) -> Vec<u32> {
        let mut touched: Vec<u32> = state.touched.iter_from(self.followed).copied().collect();
        touched.sort_unstable();
        touched.dedup();
        let mut changed = Vec::with_capacity(touched.len());
        let mut groups = HashSet::new();
        for number in touched {
            match state.groups.of(number) {
                None => changed.push(number),
                Some(group) if groups.insert(group.first().copied()) => {
                    changed.extend_from_slice(group);
                }
                Some(_) => {}
            }
        }
        while let Some(Reverse((instant, number))) = self.due.peek().copied() {
            if instant > at {
                break;
            }
            self.due.pop();
            changed.push(number);
        }
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    fn work_out_all(&mut self, state: &State, at: Timestamp) -> Result<(), Error> {
        let count = u32::try_from(state.histories.len()).unwrap_or(u32::MAX);
        let all: Vec<u32> = (0..count).collect();
        self.work_out(state, &all, at)
    }

    /// `numbers` are in ascending order.
    fn work_out(&mut self, state: &State, numbers: &[u32], at: Timestamp) -> Result<(), Error> {
        for stretch in numbers.chunks(STRETCH) {
            let use_ = &self.use_;
            let threads = if stretch.len() < STRETCH {
                1
            } else {
                self.threads
            };
            let share = stretch.len().div_ceil(threads).max(1);
            let answers: Vec<Vec<(u32, Evaluation)>> = if threads == 1 {
                vec![judge(state, stretch, use_, at)]
            } else {
                std::thread::scope(|scope| {
                    let working: Vec<_> = stretch
                        .chunks(share)
                        .map(|part| scope.spawn(move || judge(state, part, use_, at)))
                        .collect();
                    working
                        .into_iter()
                        .map(|thread| thread.join().map_err(|_| panicked()))
                        .collect::<Result<_, Error>>()
                })?
            };
            for (number, evaluation) in answers.into_iter().flatten() {
                self.record(number, evaluation)?;
            }
        }
        Ok(())
    }

    fn record(&mut self, number: u32, evaluation: Evaluation) -> Result<(), Error> {
        #[cfg(test)]
        {
            self.judged += 1;
        }
        if let Some(instant) = evaluation.reconsider_at {
            self.due.push(Reverse((instant, number)));
        }
        let code = self.code(evaluation.verdict)?;
        let before = self.codes.get(index(number)).copied();
        if before != Some(code)
            && let Some(place) = self.codes.get_mut(index(number))
        {
            *place = code;
            self.permitted += usize::from(code >= FIRST_COVERAGE);
            self.permitted -= usize::from(before.is_some_and(|b| b >= FIRST_COVERAGE));
        }
        Ok(())
    }

    /// The code of a verdict.
    fn code(&mut self, verdict: Verdict) -> Result<u16, Error> {
        match verdict {
            Verdict::Denied(reason) => Ok(code_of(reason)),
            Verdict::Lawful(coverage) => self.place(coverage),
        }
    }

    /// The code of a coverage.
    fn place(&mut self, coverage: Coverage) -> Result<u16, Error> {
        if let Some(code) = self.places.get(&coverage) {
            return Ok(*code);
        }
        let code = u16::try_from(self.coverages.len())
            .ok()
            .and_then(|place| place.checked_add(FIRST_COVERAGE))
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Internal,
                    format!(
                        "purpose {} has more than 65000 different coverages; split it",
                        self.use_.purpose
                    ),
                )
            })?;
        Arc::make_mut(&mut self.coverages).push(coverage.clone());
        self.places.insert(coverage, code);
        Ok(code)
    }

    /// Keeps the earliest instant of each number: looking early is harmless and finds the next.
    fn thin_out(&mut self) {
        let mut earliest: HashMap<u32, Timestamp> = HashMap::new();
        for Reverse((instant, number)) in self.due.drain() {
            let kept = earliest.entry(number).or_insert(instant);
            *kept = instant.min(*kept);
        }
        self.due = earliest
            .into_iter()
            .map(|(number, instant)| Reverse((instant, number)))
            .collect();
    }
}

/// What the rules say of these numbers, which are in ascending order.
fn judge(state: &State, numbers: &[u32], use_: &Use, at: Timestamp) -> Vec<(u32, Evaluation)> {
    // Facts of a group are gathered once, for the first of its numbers that is met.
    let mut gathered: HashMap<u32, (usize, Vec<Fact>)> = HashMap::new();
    let mut answers = Vec::with_capacity(numbers.len());
    for number in numbers {
        let Some(subject) = state.numbers.subject(*number) else {
            continue;
        };
        let Some(group) = state.groups.of(*number) else {
            if let Some(history) = state.histories.get(index(*number)) {
                let evaluation = evaluate(&state.consent, &history.facts, subject, use_, at);
                answers.push((*number, evaluation));
            }
            continue;
        };
        let key = group.first().copied().unwrap_or(*number);
        let (left, facts) = gathered
            .remove(&key)
            .unwrap_or_else(|| (group.len(), state.facts_of_group(group)));
        answers.push((*number, evaluate(&state.consent, &facts, subject, use_, at)));
        if left > 1 {
            gathered.insert(key, (left - 1, facts));
        }
    }
    answers
}

fn panicked() -> Error {
    Error::new(ErrorKind::Internal, "a verdict could not be worked out")
}

/// Who is a member with whom at `at`: as the state has it, unless something was received later.
fn members_at(state: &State, at: Timestamp) -> Chunked<u32> {
    let mut members = state.members.clone();
    if at >= state.latest_receipt {
        return members;
    }
    for group in state.groups.iter() {
        let Some(first) = group.first() else {
            continue;
        };
        for (number, member) in state.members_at(*first, at) {
            if let Some(place) = members.get_mut(index(number)) {
                *place = member;
            }
        }
    }
    members
}

#[cfg(test)]
mod tests;
