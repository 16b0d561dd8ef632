//! Which fact beats which (rule R3).

use crate::fact::Fact;

/// Whether a widening fact supersedes a restricting one.
///
/// Both times must be strictly later. The claimed time alone would let a forged clock beat a
/// withdrawal received before; the receipt alone would let an old grant that arrives late reopen
/// a later withdrawal. Ties restrict (I6).
pub(super) fn supersedes(widening: &Fact, restricting: &Fact) -> bool {
    widening.time() > restricting.time() && widening.was_received_after(restricting)
}
