//! How much intake takes at once.

/// Bounds of one request. Oversize *items* are rejected one by one; an oversize *body* is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one event, about as it stands in compact JSON; at most 256 KiB, so that an envelope
    /// always fits a record of the journal.
    pub event_bytes: usize,
    /// Bytes of one body, after inflation.
    pub body_bytes: usize,
    /// Events of one body.
    pub events: usize,
    /// Records that the events of one body may become: decisions for several identifiers, links.
    pub records: usize,
    /// How many marks of (source, message id) are remembered to answer "duplicate" without work: one of a
    /// tracking call, two of a grant.
    pub remembered: usize,
}

/// The most [`Limits::event_bytes`] may be.
const MOST_EVENT_BYTES: usize = 256 << 10;

impl Default for Limits {
    fn default() -> Self {
        Self {
            event_bytes: 32 << 10,
            body_bytes: 4 << 20,
            events: 2_500,
            records: 10_000,
            remembered: 200_000,
        }
    }
}

impl Limits {
    /// The same limits, the event's within what a record can hold.
    pub(crate) fn capped(mut self) -> Self {
        self.event_bytes = self.event_bytes.min(MOST_EVENT_BYTES);
        self
    }
}
