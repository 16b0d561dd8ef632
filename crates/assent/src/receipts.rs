//! When the journal's latest event was received, by the last record of each partition: what a clock is held against
//! when intake starts.

use assent_consent::Timestamp;
use assent_event::{Envelope, topics};
use assent_journal::{Journal, ReadLimit, Topic};

/// The topics that intake alone writes to, always by its own clock.
const TAKEN_IN: [&str; 4] = [
    topics::CONSENT,
    topics::PROFILE,
    topics::BEHAVIOUR,
    topics::REJECTS,
];

/// The latest receipt in the journal; [`Timestamp::MIN`] when nothing was received yet.
///
/// # Errors
/// The journal cannot be asked.
pub async fn latest(journal: &dyn Journal) -> Result<Timestamp, assent_journal::Error> {
    let ends = journal.end_positions(&TAKEN_IN.map(Topic::new)).await?;
    let mut latest = Timestamp::MIN;
    for (topic, partition, end) in ends.iter().filter(|(_, _, end)| *end > 0) {
        let limit = ReadLimit {
            records: 1,
            ..ReadLimit::default()
        };
        let batch = journal.read(topic, partition, end - 1, limit).await?;
        for stored in batch.records {
            // What cannot be read tells no time; others will.
            if let Ok(envelope) = Envelope::decode(&stored.value) {
                latest = latest.max(envelope.times.received_at);
            }
        }
    }
    Ok(latest)
}
