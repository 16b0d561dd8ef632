//! The wire that others can read and write: Confluent's own Python client, its schema registry client and its Avro
//! against a real broker and our routes. What is written here is what docs/wire.md tells programs of others to do.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use assent_consent::{Channel, PurposeId, Reason, SubjectId, Use};
use assent_event::{Envelope, Kind, Payload, schema};
use assent_intake::Route;
use assent_journal::{Journal, ReadLimit, Stored, Topic, partition_of};
use assent_journal_kafka::{KafkaConfig, KafkaJournal, Replication};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::house::{House, Opening, SERVER_KEY, grant, topics};

/// What a phone number looks like that must be readable nowhere.
const PHONE: &str = "13800138000";

/// Confluent's client, where it is to find broker and registry.
struct Foreign {
    python: String,
    brokers: String,
    registry: String,
}

impl Foreign {
    /// Runs a command of `wire/foreign.py` and returns what it prints.
    async fn run(&self, command: &str, arguments: &[&str], input: String) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/suite/wire/foreign.py");
        let mut child = Command::new(&self.python);
        child.arg(script).arg(command).args(arguments);
        let told = tokio::task::spawn_blocking(move || {
            let mut child = child
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            child
                .stdin
                .take()
                .unwrap()
                .write_all(input.as_bytes())
                .unwrap();
            child.wait_with_output().unwrap()
        });
        let told = told.await.unwrap();
        assert!(told.status.success(), "foreign.py {command} failed");
        String::from_utf8(told.stdout).unwrap()
    }

    async fn reset(&self) {
        self.run("reset", &[&self.brokers], String::new()).await;
    }

    async fn ask_registry(&self) -> Value {
        let told = self.run("registry", &[&self.registry], String::new()).await;
        serde_json::from_str(&told).unwrap()
    }

    async fn read(&self) -> Vec<Value> {
        let arguments = [&*self.brokers, &*self.registry];
        let told = self.run("read", &arguments, String::new()).await;
        told.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    async fn write(&self, records: &[Value]) {
        let arguments = [&*self.brokers, &*self.registry];
        self.run("write", &arguments, json!(records).to_string())
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_program_reads_the_log_and_writes_decisions() {
    let (Ok(brokers), Ok(python)) = (
        std::env::var("ASSENT_KAFKA"),
        std::env::var("ASSENT_PYTHON"),
    ) else {
        // Written past the test harness, which would swallow the words of a test that passes.
        let _ = writeln!(
            std::io::stderr(),
            "skipped for want of ASSENT_KAFKA or ASSENT_PYTHON: `cargo xtask kafka up` and `cargo xtask python` \
             print what to set, `cargo xtask test` does it all"
        );
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let foreign = Foreign {
        python,
        registry: format!("http://{}", listener.local_addr().unwrap()),
        brokers: brokers.clone(),
    };
    foreign.reset().await;
    let mut config = KafkaConfig::new(brokers, topics());
    config.replication = Replication {
        factor: 1,
        min_in_sync: 1,
    };
    KafkaJournal::provision(&config).await.unwrap();
    let journal: Arc<dyn Journal> = Arc::new(KafkaJournal::connect(config).await.unwrap());
    let house = Opening::sample().open_on(Arc::clone(&journal)).await;
    let router = house.router();
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });

    the_registry_speaks_to_its_clients(&foreign.ask_registry().await);
    let said = say_everything(&house).await;
    let read = foreign.read().await;
    everything_is_read(&read, &written(journal.as_ref()).await);
    decisions_of_another_program(&house, &foreign, &people(&read, &said)).await;

    serving.abort();
    drop(house);
    foreign.reset().await;
}

fn the_registry_speaks_to_its_clients(told: &Value) {
    let subjects: BTreeSet<&str> = told["subjects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    for kind in Kind::ALL {
        let record = schema::published(kind.schema_id()).unwrap().name();
        let name = format!("{}-{record}", kind.topic());
        assert!(subjects.contains(&*name), "{name}");
        assert!(subjects.contains(&*format!("{}-value", kind.topic())));
    }
    let decision = Kind::ConsentDecision.schema_id();
    assert_eq!(told["latest"]["id"], decision);
    assert_eq!(told["looked_up"], decision);
    assert_eq!(told["registered"], decision);
    assert_eq!(told["level"], "FULL_TRANSITIVE");
    assert_eq!(told["same_is_compatible"], true);
    assert_eq!(told["wider_is_compatible"], true);
    assert_eq!(told["breaking_is_compatible"], false);
    for (what, code, word) in [
        ("wider", 42_205, "comes with a release"),
        ("breaking", 409, "incompatible"),
        ("no_schema", 42_201, "Invalid schema"),
        ("no_subject", 40_401, "not found"),
        ("no_version", 40_402, "not found"),
        ("no_id", 40_403, "not found"),
    ] {
        assert_eq!(told[what]["code"], code, "{what}: {told}");
        let message = told[what]["message"].as_str().unwrap();
        assert!(message.contains(word), "{what}: {message}");
    }
}

/// Everybody whom another program decides for below, by what becomes of them.
const LAWFUL: [&str; 6] = ["1001", "1002", "1003", "1004", "1005", "1006"];
const UNDECIDED: [&str; 4] = ["2001", "2002", "2003", "2004"];

/// Events of every kind; the message id by which each person is found in the log.
async fn say_everything(house: &House) -> BTreeMap<&'static str, String> {
    let mut said = BTreeMap::new();
    for person in LAWFUL {
        let mut body = grant(person, "email_marketing");
        let message = format!("decision-{person}");
        body["message_id"] = message.as_str().into();
        body["evidence"] = format!("form of {PHONE}").into();
        house.decide(body).await;
        said.insert(person, message);
    }
    for person in UNDECIDED {
        let message = format!("traits-{person}");
        // A telephone each: who shares one is linked.
        let phone = if person == UNDECIDED[0] {
            PHONE.to_owned()
        } else {
            format!("+86139123{person}")
        };
        let traits = json!({"phone": phone, "city": "Hangzhou"});
        let call = json!({"userId": person, "messageId": message, "traits": traits});
        house.call(SERVER_KEY, Route::Identify, call).await;
        said.insert(person, message);
    }
    let born = json!({"subject": {"customer_no": "1001"}, "fact": "birth_date", "birth_date": "1990-01-02"});
    house.decide(born).await;
    let bought = json!({
        "userId": "1001", "event": "Order Completed",
        "properties": {"revenue": 12.5, "currency": "CNY", "health_concern": "sleep"},
    });
    house.call(SERVER_KEY, Route::Track, bought).await;
    for day in ["2026-01-05", "2026-01-06", "2026-01-07"] {
        let bought = json!({
            "userId": "1002", "event": "Order Completed", "timestamp": format!("{day}T12:00:00Z"),
            "messageId": day, "properties": {"revenue": 20, "currency": "CNY"},
        });
        house.call(SERVER_KEY, Route::Track, bought).await;
    }
    let subscribed = json!({
        "userId": "1001", "event": "Subscription Started",
        "properties": {"subscription": "tea", "plan": "monthly", "status": "active"},
    });
    house.call(SERVER_KEY, Route::Track, subscribed).await;
    let company =
        json!({"userId": "1001", "groupId": "acme", "traits": {"name": "Acme", "role": "buyer"}});
    house.call(SERVER_KEY, Route::Group, company).await;
    let alias = json!({"userId": "1001", "previousId": "visitor-1"});
    house.call(SERVER_KEY, Route::Alias, alias).await;
    let nothing =
        json!({"subject": {"customer_no": "1001"}, "state": "granted", "purpose": "nothing"});
    house.consents(SERVER_KEY, nothing).await;
    house.project().await;
    let count = "SELECT count(*) FROM members";
    house.ask("email_marketing/email", count).await.unwrap();
    assert_eq!(house.run("lapsing_regulars").await.rows, 1);
    said
}

/// Every record of the topics that carry Avro, as our own reader has them.
async fn written(journal: &dyn Journal) -> Vec<Stored> {
    let mut records = Vec::new();
    for topic in Kind::ALL
        .map(Kind::topic)
        .into_iter()
        .collect::<BTreeSet<_>>()
    {
        let topic = Topic::new(topic);
        let ends = journal.end_positions(std::slice::from_ref(&topic)).await;
        let ends = ends.unwrap();
        for partition in 0..journal.partitions(&topic).unwrap() {
            let mut at = 0;
            while at < ends.get(&topic, partition) {
                let limit = ReadLimit::default();
                let batch = journal.read(&topic, partition, at, limit).await.unwrap();
                at = batch.next;
                records.extend(batch.records);
            }
        }
    }
    records
}

/// The other program read every record, and what it read says what we read.
fn everything_is_read(read: &[Value], written: &[Stored]) {
    let mut by_place: BTreeMap<(&str, u64, u64), &Value> = BTreeMap::new();
    for line in read {
        let number = |name: &str| line[name].as_u64().unwrap();
        let topic = line["topic"].as_str().unwrap();
        by_place.insert((topic, number("partition"), number("offset")), line);
    }
    let mut kinds = BTreeSet::new();
    let mut classes = BTreeSet::new();
    for stored in written {
        let place = &stored.position;
        let line = by_place
            .remove(&(place.topic.as_str(), place.partition.into(), place.offset))
            .unwrap_or_else(|| panic!("{place} was not read"));
        let envelope = Envelope::decode(&stored.value).unwrap();
        assert_eq!(line["key"], hex::encode(&stored.key));
        let sealed: Vec<Value> = envelope
            .sealed
            .iter()
            .map(|block| {
                json!({
                    "class": block.class.as_str(),
                    "nonce": hex::encode(block.nonce),
                    "ciphertext": hex::encode(&block.ciphertext),
                })
            })
            .collect();
        let times = envelope.times;
        let expected = json!({
            "id": hex::encode(envelope.id.as_bytes()),
            "kind": envelope.kind.name(),
            "schema_id": envelope.schema_id,
            "subject": hex::encode(envelope.subject.as_bytes()),
            "source": envelope.source,
            "message_id": envelope.message_id,
            "event_time": times.event_time.micros(),
            "received_at": times.received_at.micros(),
            "sent_at": times.sent_at.map(|at| at.micros()),
            "original": times.original.map(|at| at.micros()),
            "clear": hex::encode(&envelope.clear),
            "sealed": sealed,
        });
        assert_eq!(line["envelope"], expected, "{place}");
        if let Payload::ConsentDecision(decision) = envelope.clear_payload().unwrap() {
            let clear = &line["clear"];
            assert_eq!(clear["state"], decision.clear.state.as_str());
            assert_eq!(clear["purpose"], json!(decision.clear.purpose));
            assert_eq!(
                clear["notice_version"],
                json!(decision.clear.notice_version)
            );
        }
        let fingerprint = schema::fingerprint(envelope.schema_id).unwrap();
        let header = &line["headers"][schema::FINGERPRINT_HEADER];
        assert_eq!(*header, hex::encode(fingerprint), "{place}");
        assert!(!line.to_string().contains(PHONE), "{place}");
        kinds.insert(envelope.kind);
        classes.extend(envelope.sealed.iter().map(|block| block.class));
    }
    assert!(by_place.is_empty(), "read what nobody wrote");
    assert_eq!(kinds, Kind::ALL.into(), "there was an event of every kind");
    assert_eq!(classes.len(), 4, "and a block of every class");
}

/// The subject of each person, as a program that reads the log learns it: by the id of a message that it sent itself.
fn people(
    read: &[Value],
    said: &BTreeMap<&'static str, String>,
) -> BTreeMap<&'static str, SubjectId> {
    let subject_of = |message: &String| {
        let line = read
            .iter()
            .find(|line| line["envelope"]["message_id"] == message.as_str());
        let subject = line.unwrap()["envelope"]["subject"].as_str().unwrap();
        SubjectId::from_bytes(hex::decode(subject).unwrap().try_into().unwrap())
    };
    said.iter()
        .map(|(person, message)| (*person, subject_of(message)))
        .collect()
}

/// A decision without sealed parts is one like any other; what cannot be read, or stands where it should not,
/// restricts (I5), and the officer is told the reason.
async fn decisions_of_another_program(
    house: &House,
    foreign: &Foreign,
    people: &BTreeMap<&'static str, SubjectId>,
) {
    let mut use_ = Use::of(PurposeId::parse("email_marketing").unwrap());
    use_.channel = Some(Channel::parse("email").unwrap());
    let reason = |person: &str| {
        let at = house.now().max(house.permit.latest_receipt());
        let told = house
            .permit
            .evaluate_subject(people[person], &use_, at, None);
        told.unwrap().evaluation.verdict.reason()
    };
    house.permit.barrier().await.unwrap();
    for person in LAWFUL {
        assert_eq!(reason(person), None, "control: {person} is lawful before");
    }
    for person in UNDECIDED {
        assert_eq!(reason(person), Some(Reason::NoDecision), "{person}");
    }

    house.tick();
    house.tick();
    let record = |person: &str, clear: Value| {
        json!({
            "subject": hex::encode(people[person].as_bytes()),
            "record": "ConsentDecision",
            "kind": "consent_decision",
            "at": house.now().micros(),
            "clear": clear,
        })
    };
    let decision = |state: &str| {
        json!({
            "state": state, "purpose": "email_marketing", "form": "general", "act": "",
            "has_evidence": false, "actor": "subject", "authenticated": true,
        })
    };
    let mut granted = decision("granted");
    granted["notice_id"] = "membership".into();
    granted["notice_version"] = 2.into();
    granted["act"] = "checkbox_ticked".into();
    let with = |mut value: Value, name: &str, to: Value| {
        value[name] = to;
        value
    };

    let home = partition_of(
        people["2003"].as_bytes(),
        house.journal.partitions(&consent()).unwrap(),
    );
    let records = [
        record("1001", decision("withdrawn")),
        record("1002", decision("perhaps")),
        with(
            record("1003", decision("withdrawn")),
            "raw",
            hex::encode("no envelope").into(),
        ),
        with(record("1004", granted.clone()), "schema_id", 999.into()),
        // Nobody else can seal; a birth date in clear has no place to stand.
        json!({
            "subject": hex::encode(people["1005"].as_bytes()),
            "record": "SubjectFact",
            "kind": "subject_fact",
            "at": house.now().micros(),
            "clear": {"fact": "birth_date"},
        }),
        record("2001", granted.clone()),
        record("2002", with(granted.clone(), "notice_version", 99.into())),
        with(
            record("2003", granted.clone()),
            "partition",
            ((home + 1) % 4).into(),
        ),
        with(
            record("2004", granted.clone()),
            "sealed",
            json!(["evidence"]),
        ),
    ];
    foreign.write(&records).await;

    house.permit.barrier().await.unwrap();
    for (person, expected) in [
        ("1001", Some(Reason::Withdrawn)),
        ("1002", Some(Reason::Conflict)),
        ("1003", Some(Reason::Restricted)),
        // Nothing of it can be read, so it may have refused the channel.
        ("1004", Some(Reason::ChannelNotPermitted)),
        ("1005", Some(Reason::Conflict)),
        ("1006", None),
        ("2001", None),
        // A notice that nobody published makes no grant.
        ("2002", Some(Reason::NoDecision)),
        ("2003", Some(Reason::Conflict)),
        ("2004", None),
    ] {
        assert_eq!(reason(person), expected, "{person}");
    }
    // And no answer has them any more, nor lacks the others.
    let set = house.permit.permitted_live(&use_, house.now()).unwrap();
    let permitted: BTreeSet<&str> = people
        .iter()
        .filter(|(_, subject)| {
            let number = set.number_of(subject).unwrap();
            set.reason(number).is_none()
        })
        .map(|(person, _)| *person)
        .collect();
    assert_eq!(permitted, BTreeSet::from(["1006", "2001", "2004"]));
}

fn consent() -> Topic {
    Topic::new(assent_event::topics::CONSENT)
}
