//! How much may be under way to the brokers at once: the bound on the producer's memory, and what turns
//! brokers that are slow or gone into an answer instead of a heap.

use std::sync::Arc;
use std::time::Duration;

use assent_journal::{Error, Record};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::RECORD_OVERHEAD;
use crate::error::full;

/// What one permit stands for, in bytes.
const UNIT: usize = 1024;

/// The bound on what is under way.
pub(crate) struct InFlight {
    units: Arc<Semaphore>,
    all: u32,
    patience: Duration,
}

impl InFlight {
    pub(crate) fn new(bytes: usize, patience: Duration) -> Self {
        // The semaphore takes an eighth of what a machine word can count.
        let most = (u32::MAX >> 3) as usize;
        let all = bytes.div_ceil(UNIT).clamp(1, most);
        Self {
            units: Arc::new(Semaphore::new(all)),
            all: all as u32,
            patience,
        }
    }

    /// Waits until these records may go; their share is free again when the answer is dropped. First
    /// come, first served, so that a large append is not passed by small ones for ever.
    pub(crate) async fn enter(
        &self,
        records: &[(Record, u32)],
    ) -> Result<OwnedSemaphorePermit, Error> {
        let bytes: usize = records
            .iter()
            .map(|(record, _)| record.weight() + RECORD_OVERHEAD)
            .sum();
        // What is larger than all there is goes alone.
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let entered = Arc::clone(&self.units).acquire_many_owned(units.min(self.all));
        match tokio::time::timeout(self.patience, entered).await {
            Ok(Ok(share)) => Ok(share),
            // The semaphore is never closed, so it is time that ran out.
            Ok(Err(_)) | Err(_) => Err(full()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assent_journal::ErrorKind;

    /// Each takes two of ten units.
    fn records(count: usize) -> Vec<(Record, u32)> {
        let record = Record {
            topic: "t".into(),
            key: "k".into(),
            value: vec![0; UNIT * 2 - RECORD_OVERHEAD - 1].into(),
            headers: vec![],
        };
        vec![(record, 0); count]
    }

    #[tokio::test]
    async fn what_is_under_way_is_bounded() {
        let in_flight = InFlight::new(UNIT * 10, Duration::from_millis(20));
        let first = in_flight.enter(&records(3)).await.unwrap();
        let second = in_flight.enter(&records(2)).await.unwrap();
        let error = in_flight.enter(&records(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.retry_after().is_some());
        drop(second);
        let third = in_flight.enter(&records(1)).await.unwrap();
        drop((first, third));
        // More than all there is goes alone, rather than never.
        let alone = in_flight.enter(&records(50)).await.unwrap();
        assert!(in_flight.enter(&records(1)).await.is_err());
        drop(alone);
        let all = in_flight.enter(&records(5)).await.unwrap();
        drop(all);
    }
}
