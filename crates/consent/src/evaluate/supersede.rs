//! Which fact beats which, and which of two was received first (rules R2, R3).

use crate::fact::Fact;

/// How far the clocks of the processes that receive facts may be apart, in microseconds: a second.
///
/// Facts of one subject stand in one log, whose order no clock can turn. Facts of different
/// subjects have nothing but their receipts, so those decide only if they differ by more.
pub const CLOCK_TOLERANCE_MICROS: i64 = 1_000_000;

/// Whether a widening fact supersedes a restricting one.
///
/// Both times must be strictly later. The claimed time alone would let a forged clock beat a
/// withdrawal received before; the receipt alone would let an old grant that arrives late reopen
/// a later withdrawal. Ties restrict (I6).
pub(super) fn supersedes(widening: &Fact, restricting: &Fact) -> bool {
    widening.time() > restricting.time() && received_after(widening, restricting)
}

/// Whether `later` was surely received after `earlier`: by the clocks and, for one subject, by the
/// log, since a clock that runs ahead must not put a grant after a withdrawal that was acknowledged
/// after it (I2).
pub(super) fn received_after(later: &Fact, earlier: &Fact) -> bool {
    if later.subject == earlier.subject {
        later.received_at > earlier.received_at && later.order > earlier.order
    } else {
        later.received_at > earlier.received_at.plus_micros(CLOCK_TOLERANCE_MICROS)
    }
}

/// Whether `known` had surely been received when `fact` was, before it or together with it. What
/// bears the same receipt in one log came together.
pub(super) fn received_by(known: &Fact, fact: &Fact) -> bool {
    if known.subject == fact.subject {
        known.received_at == fact.received_at || received_after(fact, known)
    } else {
        known.received_at.plus_micros(CLOCK_TOLERANCE_MICROS) <= fact.received_at
    }
}
