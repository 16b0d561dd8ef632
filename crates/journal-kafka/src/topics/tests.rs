use super::*;
use crate::config::Replication;

const DAY: Duration = Duration::from_secs(86_400);

/// A topic of six partitions kept for ever and one kept for a day, on brokers of the usual kind.
fn config() -> KafkaConfig {
    let mut config = KafkaConfig::new("b", vec![("ever".into(), 6), ("day".into(), 6)]);
    config.retention.insert("day".into(), DAY);
    config
}

fn described(changes: &[(&str, &str)]) -> Described {
    let mut settings: Vec<(String, String)> = [
        ("min.insync.replicas", "2"),
        ("unclean.leader.election.enable", "false"),
        ("cleanup.policy", "delete"),
        ("retention.ms", "-1"),
        ("retention.bytes", "-1"),
        ("max.message.bytes", "1048588"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    for (name, value) in changes {
        let place = settings.iter_mut().find(|(found, _)| found == name);
        place.unwrap().1 = (*value).to_owned();
    }
    Described {
        partitions: 6,
        replicas: 3,
        settings: Some(Settings(settings)),
    }
}

fn findings(topic: &str, described: &Described) -> Vec<(Setting, Severity)> {
    compare(&config(), &topic.into(), 6, Some(described))
        .unwrap()
        .into_iter()
        .map(|finding| (finding.setting, finding.severity))
        .collect()
}

#[test]
fn what_is_as_configured_is_not_told() {
    assert_eq!(findings("ever", &described(&[])), []);
    assert_eq!(
        findings("day", &described(&[("retention.ms", "86400000")])),
        []
    );
    // More copies than wanted do no harm, nor does room for larger batches.
    let mut more = described(&[("max.message.bytes", "5000000")]);
    more.replicas = 5;
    assert_eq!(findings("ever", &more), []);
    // Kafka 4.1 and later can be told to clean up nothing at all.
    let nothing = described(&[("cleanup.policy", ""), ("retention.ms", "604800000")]);
    assert_eq!(findings("ever", &nothing), []);
}

#[test]
fn every_setting_that_breaks_a_promise_refuses() {
    use Setting as S;
    for (setting, value) in [
        (S::MinInSyncReplicas, "1"),
        (S::MinInSyncReplicas, "4"),
        (S::UncleanLeaderElection, "true"),
        (S::CleanupPolicy, "compact"),
        (S::CleanupPolicy, "compact,delete"),
        (S::RetentionTime, "604800000"),
        (S::RetentionTime, "9223372036854775807"),
        (S::RetentionBytes, "1073741824"),
        (S::MaxMessageBytes, "1000000"),
    ] {
        let found = findings("ever", &described(&[(setting.as_str(), value)]));
        assert_eq!(found, [(setting, Severity::Refuses)], "{value}");
    }
    let mut fewer = described(&[]);
    fewer.replicas = 2;
    // Two copies and two of them needed: the loss of one stops everything, which is told as well.
    assert_eq!(
        findings("ever", &fewer),
        [
            (S::ReplicationFactor, Severity::Refuses),
            (S::MinInSyncReplicas, Severity::Warns)
        ]
    );
    let mut other = described(&[]);
    other.partitions = 12;
    assert_eq!(
        findings("ever", &other),
        [(S::Partitions, Severity::Refuses)]
    );
}

#[test]
fn retention_refuses_when_shorter_and_warns_when_longer() {
    let of = |value| findings("day", &described(&[("retention.ms", value)]));
    assert_eq!(of("3600000"), [(Setting::RetentionTime, Severity::Refuses)]);
    assert_eq!(of("604800000"), [(Setting::RetentionTime, Severity::Warns)]);
    assert_eq!(of("-1"), [(Setting::RetentionTime, Severity::Warns)]);
    let nothing = described(&[("cleanup.policy", "")]);
    assert_eq!(
        findings("day", &nothing),
        [(Setting::CleanupPolicy, Severity::Warns)]
    );
}

#[test]
fn one_copy_is_judged_as_one_copy() {
    let mut config = config();
    config.replication = Replication {
        factor: 1,
        min_in_sync: 1,
    };
    let mut one = described(&[
        ("min.insync.replicas", "1"),
        ("unclean.leader.election.enable", "true"),
    ]);
    one.replicas = 1;
    let findings = compare(&config, &"ever".into(), 6, Some(&one)).unwrap();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].severity, Severity::Warns);
    assert!(refusal(&findings).is_none());
}

#[test]
fn what_refuses_is_told_with_what_to_do() {
    let missing = compare(&config(), &"ever".into(), 6, None).unwrap();
    let error = refusal(&missing).unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("assent topics"), "{error}");

    let wrong = described(&[
        ("retention.ms", "1000"),
        ("cleanup.policy", "compact,delete"),
    ]);
    let findings = compare(&config(), &"ever".into(), 6, Some(&wrong)).unwrap();
    let error = refusal(&findings).unwrap();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    for part in [
        "ever: retention.ms is 1000, wanted -1",
        "cleanup.policy is compact,delete",
    ] {
        assert!(error.to_string().contains(part), "{error}");
    }
    // A broker that keeps a setting to itself is no ground to go on.
    let mut silent = described(&[]);
    silent.settings = Some(Settings(vec![]));
    assert!(compare(&config(), &"ever".into(), 6, Some(&silent)).is_err());
    // Unless it was not to be asked for.
    silent.settings = None;
    assert_eq!(self::findings("ever", &silent), []);
    silent.partitions = 1;
    assert_eq!(
        self::findings("ever", &silent),
        [(Setting::Partitions, Severity::Refuses)]
    );
}
