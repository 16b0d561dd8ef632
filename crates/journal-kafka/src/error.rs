//! What Kafka's errors mean to a caller of the journal.

use std::time::Duration;

use assent_journal::{Error, ErrorKind};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// When an outage may be over: about as long as a new leader takes.
const OUTAGE: Duration = Duration::from_secs(5);
/// When a queue that is full may have room: a few round trips.
const FULL: Duration = Duration::from_secs(1);

/// An error of the journal from one of Kafka. `what` is what failed, in words.
pub(crate) fn failed(what: impl Into<String>, error: KafkaError) -> Error {
    let what = what.into();
    let kind = match &error {
        // The value that was refused may be a password: it is told to nobody.
        KafkaError::ClientConfig(_, reason, property, _) => {
            return Error::new(
                ErrorKind::Invalid,
                format!("{what}: property {property}: {reason}"),
            );
        }
        // Its source holds the bytes around the zero, which may be a password's.
        KafkaError::Nul(_) => {
            return Error::new(
                ErrorKind::Invalid,
                format!("{what}: a property holds a zero byte"),
            );
        }
        // Such as a certificate that cannot be read.
        KafkaError::ClientCreation(reason) => {
            return Error::new(ErrorKind::Invalid, format!("{what}: {reason}"));
        }
        other => other
            .rdkafka_error_code()
            .map_or(ErrorKind::Unavailable, kind_of),
    };
    hinted(Error::new(kind, what)).with_source(error)
}

/// An outage, in words.
pub(crate) fn unavailable(what: impl Into<String>) -> Error {
    hinted(Error::new(ErrorKind::Unavailable, what))
}

/// Too much is under way already; nothing was written.
pub(crate) fn full() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "too many records are waiting for the brokers; nothing was written",
    )
    .with_retry_after(FULL)
}

fn hinted(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Unavailable => error.with_retry_after(OUTAGE),
        ErrorKind::Invalid
        | ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::Denied
        | ErrorKind::Corrupt
        | ErrorKind::Internal => error,
    }
}

/// The kind of an error code.
pub(crate) fn kind_of(code: Code) -> ErrorKind {
    match code {
        Code::MessageSizeTooLarge
        | Code::InvalidTopic
        | Code::InvalidRecord
        | Code::InvalidPartitions
        | Code::InvalidReplicationFactor
        | Code::InvalidConfig
        | Code::PolicyViolation => ErrorKind::Invalid,
        Code::TopicAlreadyExists | Code::OffsetOutOfRange | Code::AutoOffsetReset => {
            ErrorKind::Conflict
        }
        Code::TopicAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::SaslAuthenticationFailed
        | Code::Authentication => ErrorKind::Denied,
        Code::BadMessage | Code::BadCompression | Code::InvalidMessage => ErrorKind::Corrupt,
        // Kafka has well over a hundred codes, most of them of the moment: a leader that moves, a
        // broker that is gone, time that ran out. Trying again later is right for all of those and
        // harmless for the rest. A topic that a broker does not know is among them: it was there when
        // the journal was opened, and a broker that has just started may not have heard of it yet.
        _ => ErrorKind::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;
    use rdkafka::ClientConfig;
    use rdkafka::consumer::BaseConsumer;

    #[test]
    fn a_kind_says_what_to_do() {
        let of = |code| failed("x", KafkaError::Global(code)).kind();
        assert_eq!(of(Code::AllBrokersDown), ErrorKind::Unavailable);
        assert_eq!(of(Code::MessageTimedOut), ErrorKind::Unavailable);
        assert_eq!(of(Code::NotEnoughReplicas), ErrorKind::Unavailable);
        assert_eq!(of(Code::UnknownTopicOrPartition), ErrorKind::Unavailable);
        assert_eq!(of(Code::TopicAuthorizationFailed), ErrorKind::Denied);
        assert_eq!(
            failed("x", KafkaError::Canceled).kind(),
            ErrorKind::Unavailable
        );
    }

    #[test]
    fn an_outage_says_when_to_try_again_and_a_refusal_does_not() {
        let of = |code| failed("x", KafkaError::Global(code)).retry_after();
        assert_eq!(of(Code::MessageTimedOut), Some(OUTAGE));
        assert_eq!(of(Code::TopicAuthorizationFailed), None);
        assert_eq!(full().retry_after(), Some(FULL));
    }

    #[test]
    fn what_a_property_held_is_not_told() {
        for (name, value) in [("sasl.pasword", "hunter2"), ("sasl.password", "hun\0ter2")] {
            let made = ClientConfig::new()
                .set(name, value)
                .create::<BaseConsumer>();
            let error = match made {
                Ok(_) => panic!("{name} was taken"),
                Err(error) => failed("the client cannot be made", error),
            };
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.source().is_none());
            let told = format!("{error} {error:?}");
            assert!(!told.contains("hun"), "{told}");
        }
    }
}
