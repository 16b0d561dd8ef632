//! What Kafka's errors mean to a caller of the journal.

use assent_journal::{Error, ErrorKind};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// An error of the journal from one of Kafka. `what` is what failed, in words.
pub(crate) fn failed(what: impl Into<String>, error: KafkaError) -> Error {
    let kind = match &error {
        KafkaError::ClientConfig(..) | KafkaError::Nul(_) => ErrorKind::Invalid,
        other => other
            .rdkafka_error_code()
            .map_or(ErrorKind::Unavailable, kind_of),
    };
    Error::new(kind, what).with_source(error)
}

/// The kind of an error code.
pub(crate) fn kind_of(code: Code) -> ErrorKind {
    match code {
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            ErrorKind::NotFound
        }
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
        // harmless for the rest.
        _ => ErrorKind::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_says_what_to_do() {
        let of = |code| failed("x", KafkaError::Global(code)).kind();
        assert_eq!(of(Code::AllBrokersDown), ErrorKind::Unavailable);
        assert_eq!(of(Code::MessageTimedOut), ErrorKind::Unavailable);
        assert_eq!(of(Code::NotEnoughReplicas), ErrorKind::Unavailable);
        assert_eq!(of(Code::UnknownTopicOrPartition), ErrorKind::NotFound);
        assert_eq!(of(Code::TopicAuthorizationFailed), ErrorKind::Denied);
        assert_eq!(
            failed("x", KafkaError::Canceled).kind(),
            ErrorKind::Unavailable
        );
    }
}
