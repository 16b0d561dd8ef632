//! Creating topics, and being refused what is not there or not as configured.

use std::time::Duration;

use assent_journal::contract::Backend;
use assent_journal::{ErrorKind, Journal, Topic};
use assent_journal_kafka::{KafkaConfig, KafkaJournal, Replication, Setting, Severity};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;

use super::{broker, config, names};

async fn connect_error(config: KafkaConfig) -> assent_journal::Error {
    match KafkaJournal::connect(config).await {
        Ok(_) => panic!("the journal was opened"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn topics_are_created_once_and_never_changed() {
    let Some(broker) = broker() else { return };
    let names = names(&broker);
    let (one, two) = (names.topic("one"), names.topic("two"));
    let first = config(&broker, &[(one.clone(), 2)]);

    let error = connect_error(first.clone()).await;
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("assent topics"), "{error}");

    let created = KafkaJournal::provision(&first).await.unwrap();
    assert_eq!(created, std::slice::from_ref(&one));
    let both = config(&broker, &[(one.clone(), 2), (two.clone(), 3)]);
    let created = KafkaJournal::provision(&both).await.unwrap();
    assert_eq!(created, std::slice::from_ref(&two));
    assert!(KafkaJournal::provision(&both).await.unwrap().is_empty());
    let journal = KafkaJournal::connect(both).await.unwrap();
    assert_eq!(journal.partitions(&two).unwrap(), 3);

    // Other counts are refused before anything is created.
    let three = names.topic("three");
    let other = config(&broker, &[(three.clone(), 1), (one, 4)]);
    let error = KafkaJournal::provision(&other).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(
        error.to_string().contains("partitions is 2, wanted 4"),
        "{error}"
    );
    let error = connect_error(config(&broker, &[(three, 1)])).await;
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

/// Sets a topic's settings to these, and all others to the broker's.
async fn alter(broker: &str, topic: &Topic, settings: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", broker)
        .create()
        .unwrap();
    let mut change = AlterConfig::new(ResourceSpecifier::Topic(topic.as_str()));
    for (name, value) in settings {
        change = change.set(name, value);
    }
    let changed = admin.alter_configs(&[change], &AdminOptions::new()).await;
    changed.unwrap().pop().unwrap().unwrap();
}

#[tokio::test]
async fn a_topic_that_breaks_a_promise_keeps_the_journal_closed() {
    let Some(broker) = broker() else { return };
    let names = names(&broker);
    let (ever, day) = (names.topic("ever"), names.topic("day"));
    let mut config = names.config(&[(ever.clone(), 2), (day.clone(), 2)]);
    config
        .retention
        .insert(day.clone(), Duration::from_secs(86_400));

    let told = |findings: Vec<assent_journal_kafka::Finding>| {
        let told = findings.into_iter();
        told.map(|found| (found.topic, found.setting, found.found, found.severity))
            .collect::<Vec<_>>()
    };
    let missing = |topic: &Topic| {
        let missing = "missing".to_owned();
        (topic.clone(), Setting::Presence, missing, Severity::Refuses)
    };
    let findings = KafkaJournal::check(&config).await.unwrap();
    assert_eq!(told(findings), [missing(&ever), missing(&day)]);
    // Looking creates nothing.
    let findings = KafkaJournal::check(&config).await.unwrap();
    assert_eq!(findings.len(), 2);

    // What we create is what we want.
    KafkaJournal::provision(&config).await.unwrap();
    assert_eq!(KafkaJournal::check(&config).await.unwrap(), []);
    drop(KafkaJournal::connect(config.clone()).await.unwrap());

    // The broker's defaults delete after a week, and two partitions too few are not noticed alone.
    alter(&broker, &ever, &[("cleanup.policy", "compact,delete")]).await;
    config.partitions[0].1 = 3;
    let expected = [
        (Setting::Partitions, "2"),
        (Setting::CleanupPolicy, "compact,delete"),
        (Setting::RetentionTime, "604800000"),
    ]
    .map(|(setting, found)| (ever.clone(), setting, found.to_owned(), Severity::Refuses));
    assert_eq!(told(KafkaJournal::check(&config).await.unwrap()), expected);
    let error = connect_error(config.clone()).await;
    assert_eq!(error.kind(), ErrorKind::Conflict);
    for (_, setting, ..) in &expected {
        assert!(error.to_string().contains(setting.as_str()), "{error}");
    }
    let error = KafkaJournal::provision(&config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);

    // Kept too long is no ground to stop.
    config.partitions[0].1 = 2;
    alter(&broker, &ever, &[("retention.ms", "-1")]).await;
    alter(&broker, &day, &[("retention.ms", "-1")]).await;
    let warned = [(
        day,
        Setting::RetentionTime,
        "-1".to_owned(),
        Severity::Warns,
    )];
    assert_eq!(told(KafkaJournal::check(&config).await.unwrap()), warned);
    drop(KafkaJournal::connect(config).await.unwrap());
}

#[tokio::test]
async fn what_the_brokers_refuse_is_told() {
    let Some(broker) = broker() else { return };
    let topic = names(&broker).topic("copies");
    let mut config = config(&broker, &[(topic, 1)]);
    config.replication = Replication {
        factor: 3,
        min_in_sync: 2,
    };
    let error = KafkaJournal::provision(&config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    for bad in [("a b", 1), ("t", 0)] {
        let config = super::config(&broker, &[(Topic::new(bad.0), bad.1)]);
        let error = KafkaJournal::provision(&config).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
}

/// Needs no broker: nothing listens on port 1.
#[tokio::test]
async fn brokers_out_of_reach_are_unavailable() {
    let mut config = config("127.0.0.1:1", &[("t".into(), 1)]);
    config.request_timeout = Duration::from_millis(300);
    let error = KafkaJournal::provision(&config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let error = connect_error(config.clone()).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    config
        .properties
        .insert("no.such.property".into(), "1".into());
    let error = connect_error(config).await;
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}
