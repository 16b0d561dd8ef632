//! TLS and SASL, on a broker that asks for both.

use std::error::Error as _;
use std::time::Duration;

use assent_journal::contract::Backend;
use assent_journal::{ErrorKind, Group, Journal};
use assent_journal_kafka::{
    GroupConfig, KafkaConfig, KafkaGroup, KafkaJournal, Mechanism, Password, Sasl, Security, Tls,
};

use super::on_kafka::{OnKafka, Place, record};

/// What `cargo xtask kafka up --secure` gives its brokers.
const NAME: &str = "assent";
const PASSWORD: &str = "only-for-tests";

fn security(mechanism: Mechanism, password: &str) -> Security {
    let tls = Tls {
        ca_file: Some(std::env::var("ASSENT_KAFKA_CA").unwrap().into()),
    };
    let sasl = Sasl {
        mechanism,
        name: NAME.into(),
        password: Password::new(password),
    };
    Security::SaslTls(tls, sasl)
}

/// A topic's name, and how to reach it once the security is right.
fn config(brokers: &str) -> KafkaConfig {
    let names = OnKafka::new(Place::Secure, brokers);
    let mut config = names.config(&[(names.topic("t"), 1)]);
    config.request_timeout = Duration::from_secs(2);
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_name_and_password_over_tls_all_is_as_ever() {
    let Some(brokers) = Place::Secure.brokers() else {
        return;
    };
    for mechanism in [Mechanism::ScramSha256, Mechanism::Plain] {
        let mut config = config(&brokers);
        config.security = security(mechanism, PASSWORD);
        let topic = config.partitions[0].0.clone();
        KafkaJournal::provision(&config).await.unwrap();
        assert_eq!(KafkaJournal::check(&config).await.unwrap(), []);
        let journal = KafkaJournal::connect(config.clone()).await.unwrap();
        let placed = journal.append(vec![record(&topic, "k", "v")]).await;
        assert_eq!(placed.unwrap()[0].offset, 0);
        let ends = journal.end_positions(std::slice::from_ref(&topic)).await;
        assert_eq!(ends.unwrap().get(&topic, 0), 1);
        let batch = journal
            .read(&topic, 0, 0, Default::default())
            .await
            .unwrap();
        assert_eq!(&batch.records[0].value[..], b"v");
        let group = GroupConfig::new(topic.as_str(), topic.clone());
        let member = KafkaGroup::join(&config, &group).unwrap();
        let mut shards = member.shards();
        let joined = shards.wait_for(|shards| shards.contains(&0));
        let joined = tokio::time::timeout(Duration::from_secs(20), joined).await;
        assert!(joined.unwrap().is_ok());
    }
}

/// Every way to be turned away is told as such at the start, and not as an outage.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_turned_away_is_told_why() {
    let Some(brokers) = Place::Secure.brokers() else {
        return;
    };
    let right = || security(Mechanism::ScramSha256, PASSWORD);
    let tls = |ca_file| match right() {
        Security::SaslTls(_, sasl) => Security::SaslTls(Tls { ca_file }, sasl),
        Security::Plaintext | Security::Tls(_) => unreachable!(),
    };
    let otherwise = brokers.replace("127.0.0.1", "localhost");
    let wrong = "not-the-password";
    let cases = [
        (
            &brokers,
            security(Mechanism::ScramSha256, wrong),
            "uthentication",
        ),
        (&brokers, security(Mechanism::Plain, wrong), "uthentication"),
        // A mechanism that the broker does not offer.
        (
            &brokers,
            security(Mechanism::ScramSha512, PASSWORD),
            "SCRAM-SHA-512",
        ),
        // The system's authorities have not signed it.
        (&brokers, tls(None), "certificate"),
        // It was not made out to that name.
        (&otherwise, right(), "certificate"),
    ];
    let tried = cases.map(|(brokers, security, reason)| {
        let mut config = config(brokers);
        config.security = security;
        // On a busy machine the broker's word takes a while; before it, this is an outage like any.
        config.request_timeout = Duration::from_secs(15);
        tokio::spawn(async move {
            let error = KafkaJournal::provision(&config).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
            assert!(error.to_string().contains(reason), "{reason}: {error}");
            let told = format!("{error:?} {:?} {config:?}", error.source());
            for secret in [wrong, PASSWORD] {
                assert!(!told.contains(secret), "{told}");
            }
        })
    });
    for tried in tried {
        tried.await.unwrap();
    }
    // Who does not speak TLS at all is not understood, which is no different from an outage.
    let error = KafkaJournal::provision(&config(&brokers))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_certificate_file_that_is_not_there_is_told() {
    let mut config = config("127.0.0.1:1");
    config.security = Security::Tls(Tls {
        ca_file: Some("no/such/file.pem".into()),
    });
    let error = KafkaJournal::provision(&config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("ssl.ca.location"), "{error}");
}
