//! Which fact beats which (rule R3).

use crate::fact::Fact;

/// How long before its receipt a restricting fact is believed to have happened, at most: a day.
const BELIEVED_MICROS: i64 = 86_400_000_000;

/// Whether a widening fact supersedes a restricting one.
///
/// Both times must be strictly later. The claimed time alone would let a forged clock beat a
/// withdrawal received before; the receipt alone would let an old grant that arrives late reopen
/// a later withdrawal. Nor is a restricting fact believed to be old: a clock that ran far behind would
/// let old grants that arrive after it reopen what it closed. Ties restrict (I6).
pub(super) fn supersedes(widening: &Fact, restricting: &Fact) -> bool {
    let believed = restricting.received_at.plus_micros(-BELIEVED_MICROS);
    widening.time() > restricting.time().max(believed) && widening.was_received_after(restricting)
}
