//! When a call happened: the sender's clock, corrected by when the sender says it sent.

use serde_json::Value;

use crate::outcome::{Rejected, Warning, WarningCode};
use crate::planned::{Context, ItemTimes, JITTER_MICROS};
use crate::text::{self, Object};
use assent_consent::Timestamp;

pub(super) fn read(
    cx: &Context<'_>,
    object: &Object,
    shared_sent: Option<&Value>,
    warnings: &mut Vec<Warning>,
) -> Result<ItemTimes, Rejected> {
    let timestamp = text::time(object, "timestamp")?;
    let original = text::time(object, "originalTimestamp")?;
    let sent = text::field(object, "sentAt")
        .or(shared_sent.filter(|value| !value.is_null()))
        .and_then(|value| {
            let read = value
                .as_str()
                .and_then(|text| Timestamp::parse_rfc3339(text.trim()).ok());
            if read.is_none() {
                warnings.push(Warning::new(
                    WarningCode::TimeIgnored,
                    "/sentAt",
                    "it is not an RFC 3339 time; the sender's clock was not corrected",
                ));
            }
            read
        });
    let base = timestamp.or(original);
    let skew = sent.map_or(0, |sent| cx.now.micros().saturating_sub(sent.micros()));
    let event = base.map(|base| base.plus_micros(skew));
    if event.is_some_and(|event| event.micros().saturating_sub(cx.now.micros()) > JITTER_MICROS) {
        warnings.push(Warning::new(
            WarningCode::ClockAhead,
            "/timestamp",
            "it lies in the future; the event counts as of its receipt",
        ));
    }
    Ok(ItemTimes {
        event,
        original: base,
        sent,
    })
}
