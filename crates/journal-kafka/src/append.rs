//! Appending: every record of a call is handed to the producer before the first acknowledgement is
//! waited for. Waiting for them one by one would cost a round trip, and the producer's linger, each.

use std::time::{Duration, Instant};

use assent_journal::{Error, ErrorKind, Position, Record};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::FutureRecord;
use rdkafka::producer::future_producer::{DeliveryFuture, FutureProducer};

use crate::error::{failed, kind_of};

/// How long to wait before a full queue is tried again.
const FULL: Duration = Duration::from_millis(5);

/// Appends the records, each to the partition beside it, and waits until all are acknowledged.
pub(crate) async fn append(
    producer: &FutureProducer,
    records: &[(Record, u32)],
    patience: Duration,
) -> Result<Vec<Position>, Error> {
    let mut deliveries = Vec::with_capacity(records.len());
    for (record, partition) in records {
        let delivery = enqueue(producer, record, *partition, patience).await;
        match delivery {
            Ok(delivery) => deliveries.push(delivery),
            // Nothing was handed over yet, so the kind may say that nothing was written.
            Err(error) if deliveries.is_empty() => return Err(error),
            Err(error) => return Err(unknown_outcome().with_source(error)),
        }
    }
    let mut positions = Vec::with_capacity(records.len());
    let mut first_failure = None;
    for (delivery, (record, _)) in deliveries.into_iter().zip(records) {
        match delivery.await {
            Ok(Ok(delivered)) => {
                positions.push(position(record, delivered.partition, delivered.offset)?)
            }
            Ok(Err((error, _))) => {
                first_failure.get_or_insert(error);
            }
            Err(_) => {
                first_failure.get_or_insert(KafkaError::Canceled);
            }
        }
    }
    match first_failure {
        None => Ok(positions),
        Some(error) => Err(not_acknowledged(error, positions.is_empty())),
    }
}

async fn enqueue(
    producer: &FutureProducer,
    record: &Record,
    partition: u32,
    patience: Duration,
) -> Result<DeliveryFuture, Error> {
    let begin = Instant::now();
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
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                if begin.elapsed() < patience =>
            {
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

fn position(record: &Record, partition: i32, offset: i64) -> Result<Position, Error> {
    match (u32::try_from(partition), u64::try_from(offset)) {
        (Ok(partition), Ok(offset)) => Ok(Position {
            topic: record.topic.clone(),
            partition,
            offset,
        }),
        _ => Err(Error::new(
            ErrorKind::Internal,
            format!(
                "the producer acknowledged a record of {} without its position",
                record.topic
            ),
        )),
    }
}

fn not_acknowledged(error: KafkaError, none_written: bool) -> Error {
    let kind = error
        .rdkafka_error_code()
        .map_or(ErrorKind::Unavailable, kind_of);
    match kind {
        // The brokers turned down every record, and said why.
        ErrorKind::Invalid | ErrorKind::Denied | ErrorKind::NotFound if none_written => {
            failed("the brokers refused the records", error)
        }
        _ => unknown_outcome().with_source(error),
    }
}

fn unknown_outcome() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the brokers did not acknowledge every record; some may have been written",
    )
}
