//! When files are put together at rest: seldom enough not to hold up what else there is to do.

use std::time::{Duration, Instant};

/// Of the time, one part in so many at most goes into putting files together at rest: a stream that leaves a moment's rest
/// after each commit would else keep a processor busy with it.
const SHARE: u32 = 10;

/// When files were last put together at rest, and how long that took. A rest is several merges, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Rests {
    under_way: bool,
    /// When the last merge ended.
    last: Option<Instant>,
    /// How long the merges of the last rest took, together.
    took: Duration,
}

impl Rests {
    /// Begins a rest if it is time again, and says so; `None` while there is to be none, or `Some(false)` within one.
    pub(crate) fn begin(&mut self, now: Instant) -> Option<bool> {
        if self.under_way {
            return Some(false);
        }
        let wait = self.took * (SHARE - 1);
        if let Some(last) = self.last
            && now.saturating_duration_since(last) < wait
        {
            return None;
        }
        self.under_way = true;
        self.took = Duration::ZERO;
        Some(true)
    }

    /// Notes a merge at rest.
    pub(crate) fn note(&mut self, took: Duration, now: Instant) {
        self.took += took;
        self.last = Some(now);
    }

    /// There is nothing left to be put together.
    pub(crate) fn end(&mut self) {
        self.under_way = false;
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
        assert_eq!(rests.begin(start), Some(true), "the first is always");
        rests.note(Duration::from_secs(1), at(1));
        assert_eq!(rests.begin(at(1)), Some(false), "it goes on");
        rests.note(Duration::from_secs(1), at(2));
        rests.end();
        assert_eq!(rests.begin(at(19)), None);
        assert_eq!(rests.begin(at(20)), Some(true));
        rests.end();
        assert_eq!(rests.begin(at(20)), Some(true), "there was nothing to do");
    }
}
