//! When files are put together at rest: seldom enough not to hold up what comes next.

use std::time::{Duration, Instant};

/// Of the time, one part in so many at most goes into putting files together at rest: a stream that leaves a moment's rest
/// after each commit would else be held up by it.
const SHARE: u32 = 10;

/// When files were last put together at rest, and how long that took.
#[derive(Debug, Default)]
pub(crate) struct Rests {
    last: Option<(Instant, Duration)>,
}

impl Rests {
    /// Whether it is time again.
    pub(crate) fn are_due(&self, now: Instant) -> bool {
        self.last
            .is_none_or(|(end, took)| now.saturating_duration_since(end) >= took * (SHARE - 1))
    }

    /// Notes one.
    pub(crate) fn note(&mut self, begin: Instant, end: Instant) {
        self.last = Some((end, end.saturating_duration_since(begin)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_the_time_at_most_goes_into_rests() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut rests = Rests::default();
        assert!(rests.are_due(start), "the first is always");
        rests.note(start, at(2));
        assert!(!rests.are_due(at(19)));
        assert!(rests.are_due(at(20)));
        rests.note(at(20), at(20));
        assert!(rests.are_due(at(20)), "there was nothing to do");
    }
}
