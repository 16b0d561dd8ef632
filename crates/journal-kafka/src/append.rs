//! Appending: every record of a call is handed to the producer before the first acknowledgement is
//! waited for. Waiting for them one by one would cost a round trip, and the producer's linger, each.

use std::time::{Duration, Instant};

use assent_journal::{Error, ErrorKind, Position, Record};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::FutureRecord;
use rdkafka::producer::future_producer::DeliveryFuture;

use crate::error::{failed, full, kind_of, unavailable};
use crate::producer::{Inner, Renewed};

/// How long to wait before a full queue is tried again.
const FULL: Duration = Duration::from_millis(5);

/// Appends the records, each to the partition beside it, and waits until all are acknowledged, or until
/// `patience` is over.
pub(crate) async fn append(
    producers: &Renewed,
    records: &[(Record, u32)],
    patience: Duration,
) -> Result<Vec<Position>, Error> {
    let deadline = Instant::now() + patience;
    let producer = producers.get()?;
    let mut deliveries = Vec::with_capacity(records.len());
    for (record, partition) in records {
        // Before the first one nothing was handed over, and so nothing need be waited for.
        let deadline = if deliveries.is_empty() {
            Instant::now()
        } else {
            deadline
        };
        match enqueue(&producer, record, *partition, deadline).await {
            Ok(delivery) => deliveries.push(delivery),
            // The kind may say that nothing was written.
            Err(error) if deliveries.is_empty() => return Err(error),
            Err(error) => return Err(unknown_outcome().with_source(error)),
        }
    }
    match tokio::time::timeout_at(deadline.into(), collect(records, deliveries)).await {
        Ok(outcome) => outcome,
        Err(_) => {
            producers.retire(producer)?;
            Err(unknown_outcome())
        }
    }
}

async fn collect(
    records: &[(Record, u32)],
    deliveries: Vec<DeliveryFuture>,
) -> Result<Vec<Position>, Error> {
    let mut positions = Vec::with_capacity(records.len());
    let mut failures = Vec::new();
    for (delivery, (record, _)) in deliveries.into_iter().zip(records) {
        match delivery.await {
            Ok(Ok(delivered)) => {
                positions.push(position(record, delivered.partition, delivered.offset)?);
            }
            Ok(Err((error, _))) => failures.push(error),
            Err(_) => failures.push(KafkaError::Canceled),
        }
    }
    match failures.is_empty() {
        true => Ok(positions),
        false => Err(not_acknowledged(failures, positions.is_empty())),
    }
}

async fn enqueue(
    producer: &Inner,
    record: &Record,
    partition: u32,
    deadline: Instant,
) -> Result<DeliveryFuture, Error> {
    let mut message = FutureRecord::<[u8], [u8]>::to(record.topic.as_str())
        .partition(partition as i32)
        .key(&record.key)
        .payload(&record.value);
    if !record.headers.is_empty() {
        message = message.headers(headers(record));
    }
    loop {
        match producer.send_result(message) {
            Ok(delivery) => return Ok(delivery),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                if Instant::now() >= deadline {
                    return Err(full());
                }
                message = back;
                tokio::time::sleep(FULL).await;
            }
            Err((error, _)) => {
                return Err(failed(
                    format!("a record for {} could not be queued", record.topic),
                    error,
                ));
            }
        }
    }
}

fn headers(record: &Record) -> OwnedHeaders {
    let empty = OwnedHeaders::new_with_capacity(record.headers.len());
    record.headers.iter().fold(empty, |headers, (key, value)| {
        headers.insert(Header {
            key,
            value: Some(&value[..]),
        })
    })
}

/// A broker that has the record already, from an attempt whose answer was lost long ago, may
/// acknowledge it without telling where it is. Then it is there, but the caller cannot be told so.
fn position(record: &Record, partition: i32, offset: i64) -> Result<Position, Error> {
    match (u32::try_from(partition), u64::try_from(offset)) {
        (Ok(partition), Ok(offset)) => Ok(Position {
            topic: record.topic.clone(),
            partition,
            offset,
        }),
        _ => Err(unknown_outcome()),
    }
}

fn not_acknowledged(failures: Vec<KafkaError>, none_written: bool) -> Error {
    let turned_down = |error: &KafkaError| {
        let kind = error
            .rdkafka_error_code()
            .map_or(ErrorKind::Unavailable, kind_of);
        match kind {
            ErrorKind::Invalid | ErrorKind::Denied => true,
            ErrorKind::NotFound
            | ErrorKind::Conflict
            | ErrorKind::Unavailable
            | ErrorKind::Corrupt
            | ErrorKind::Internal => false,
        }
    };
    // Only when the brokers turned down every record is it certain that nothing was written.
    let certain = none_written && failures.iter().all(turned_down);
    match failures.into_iter().next() {
        Some(error) if certain => failed("the brokers refused the records", error),
        Some(error) => unknown_outcome().with_source(error),
        None => unknown_outcome(),
    }
}

fn unknown_outcome() -> Error {
    unavailable("the brokers did not acknowledge every record; some may have been written")
}
