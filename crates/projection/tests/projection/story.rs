//! Generated logs: subjects that tell, buy, join and subscribe, with repetitions and malformed records among it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use assent_consent::{SubjectId, Timestamp};
use assent_event::{
    AccountMembership, Behaviour, EventId, Kind, Payload, SubscriptionChange, Times, Traits, topics,
};
use assent_journal::{Journal, Position, Record, Topic};
use assent_projection::{Owner, Parts};
use assent_vault::{Draft, EmbeddedVault, MasterKey, Sealer, SharedRng};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use crate::memory_journal::MemoryJournal;

/// 2026-03-01T00:00:00Z
pub const EPOCH: i64 = 1_772_323_200_000_000;
pub const SECOND: i64 = 1_000_000;
pub const DAY: i64 = 24 * 3600 * SECOND;

pub fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(EPOCH + micros)
}

pub fn subject(number: u8) -> SubjectId {
    // Spread over the key space, so that partitions and files interleave.
    SubjectId::from([number.wrapping_mul(37); 16])
}

/// A vault on disk whose keys come from a seed.
pub struct Room {
    pub dir: tempfile::TempDir,
    pub vault: Arc<EmbeddedVault>,
    random: SharedRng<StdRng>,
}

pub fn open_vault(path: &Path) -> EmbeddedVault {
    let random = SharedRng::new(StdRng::seed_from_u64(1));
    let master = MasterKey::generate(&random);
    EmbeddedVault::open(path, master, Box::new(random)).unwrap()
}

impl Room {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let vault = Arc::new(open_vault(&dir.path().join("vault.redb")));
        Self {
            dir,
            vault,
            random: SharedRng::new(StdRng::seed_from_u64(2)),
        }
    }

    /// Sealed records of these drafts, in order.
    pub fn seal(&self, drafts: Vec<Draft>) -> Vec<Record> {
        let sealer = Sealer::new(self.vault.as_ref(), &self.random);
        sealer
            .seal_batch(drafts)
            .unwrap()
            .iter()
            .map(|envelope| Record {
                topic: Topic::new(envelope.kind.topic()),
                key: envelope.subject.to_bytes().to_vec().into(),
                value: envelope.encode().unwrap().into(),
                headers: Vec::new(),
            })
            .collect()
    }

    /// The parts of a projector that works alone in a directory of this room.
    pub fn alone(&self, name: &str, journal: Arc<dyn Journal>) -> Parts {
        let vault = self.vault.clone();
        Parts::alone(&self.dir.path().join(name), journal, vault, owner()).unwrap()
    }

    pub fn journal(&self, drafts: Vec<Draft>) -> Arc<MemoryJournal> {
        let journal = MemoryJournal::default();
        self.append(&journal, drafts);
        Arc::new(journal)
    }

    pub fn append(&self, journal: &MemoryJournal, drafts: Vec<Draft>) -> Vec<Position> {
        let records = self.seal(drafts);
        records
            .into_iter()
            .map(|record| journal.put(record))
            .collect()
    }
}

/// A token that no other projector of the tests has.
pub fn owner() -> Owner {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    // Tests start processes of their own.
    bytes[8..12].copy_from_slice(&std::process::id().to_le_bytes());
    Owner::from_bytes(bytes)
}

pub fn topics() -> [Topic; 2] {
    [topics::PROFILE, topics::BEHAVIOUR].map(Topic::new)
}

/// An event of that subject, message id and time, received when it happened.
pub fn draft(number: u64, who: u8, time: i64, payload: impl Into<Payload>) -> Draft {
    let mut id = [7; 16];
    id[8..].copy_from_slice(&number.to_be_bytes());
    Draft {
        id: EventId::from_bytes(id),
        subject: subject(who),
        source: "shop".to_owned(),
        message_id: format!("m{number}"),
        times: Times::at(at(time)),
        payload: payload.into(),
    }
}

/// A log of `length` events by `people` subjects over about 100 days; about one in eight repeats an earlier message.
pub fn story(seed: u64, length: usize, people: u8, repetitions: bool) -> Vec<Draft> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut log: Vec<Draft> = Vec::with_capacity(length);
    let mut now = 0;
    for number in 0..length {
        now += rng.random_range(0..200 * DAY / length as i64);
        let who = rng.random_range(0..people);
        let mut next = if repetitions && !log.is_empty() && rng.random_ratio(1, 8) {
            // Mostly of something recent, as retries are, so that it falls within the window.
            let from = if rng.random_ratio(3, 4) {
                log.len().saturating_sub(12)
            } else {
                0
            };
            let mut again = log[rng.random_range(from..log.len())].clone();
            // A repetition is received again, and intake gives it an id of its own.
            again.id = EventId::from_bytes(rng.random());
            again
        } else {
            let payload = payload(&mut rng);
            Draft {
                id: EventId::from_bytes(rng.random()),
                ..draft(number as u64, who, now, payload)
            }
        };
        // Late by up to some days, or with a clock that runs ahead.
        let event_time = now + rng.random_range(-5 * DAY..DAY / 10);
        let received_at = now - rng.random_range(0..3600) * SECOND;
        next.times = Times::new(at(event_time), at(received_at));
        log.push(next);
    }
    log
}

fn payload(rng: &mut StdRng) -> Payload {
    match rng.random_range(0..10) {
        0..=2 => traits(rng).into(),
        3 => {
            let account = format!("a{}", rng.random_range(0..3));
            let mut membership = AccountMembership::joined(account);
            membership.clear.left = rng.random_ratio(1, 4);
            if rng.random() {
                membership = membership.name(word(rng)).country("CN");
            }
            if rng.random() {
                membership = membership.role(word(rng)).department(word(rng));
            }
            if rng.random() {
                membership = membership.industry(word(rng)).buying_role("decider");
            }
            membership.into()
        }
        4 => {
            let mut change = SubscriptionChange::of(format!("s{}", rng.random_range(0..2)));
            if let Some(profile) = &mut change.profile {
                profile.status = Some(word(rng));
                profile.amount = rng.random::<bool>().then(|| money(rng));
                profile.renews_at = rng.random::<bool>().then(|| at(rng.random_range(0..DAY)));
            }
            change.into()
        }
        _ => behaviour(rng).into(),
    }
}

fn traits(rng: &mut StdRng) -> Traits {
    let mut traits = Traits::new();
    if rng.random() {
        let city = if rng.random_ratio(1, 5) {
            Value::Null
        } else {
            word(rng).into()
        };
        traits = traits.value("city", city);
    }
    if rng.random() {
        traits = traits
            .value("score", money(rng))
            .value("vip", rng.random::<bool>());
    }
    if rng.random() {
        traits = traits.value("visits", rng.random_range(0..9));
    }
    if rng.random_ratio(1, 4) {
        traits = traits
            .value(
                "anniversary",
                format!("2026-03-0{}", rng.random_range(1..9)),
            )
            .value("last_login", at(rng.random_range(0..DAY)).to_string());
    }
    if rng.random_ratio(1, 4) {
        traits = traits.sensitive("allergy", word(rng));
    }
    if rng.random_ratio(1, 10) {
        traits = traits
            .value("visits", "not a number")
            .value("undeclared", 1);
    }
    traits.identifier("phone", "13800138000")
}

fn behaviour(rng: &mut StdRng) -> Behaviour {
    let name = if rng.random_ratio(2, 3) {
        "Order Completed"
    } else {
        "Product Viewed"
    };
    let mut behaviour = Behaviour::named(name);
    if rng.random() {
        behaviour = behaviour
            .revenue(money(rng), "CNY")
            .quantity(rng.random_range(1..5));
    }
    if rng.random() {
        behaviour = behaviour.product(word(rng));
    }
    if rng.random() {
        behaviour = behaviour.property("coupon", word(rng));
    }
    if rng.random_ratio(1, 4) {
        let dose = if rng.random_ratio(1, 4) {
            Value::from("two")
        } else {
            2.into()
        };
        behaviour = behaviour.sensitive("dose", dose);
    }
    if rng.random_ratio(1, 6) {
        behaviour = behaviour.denied(["ads"]);
    }
    behaviour
}

/// Amounts whose float sums depend on their order.
fn money(rng: &mut StdRng) -> f64 {
    f64::from(rng.random_range(-100_000..1_000_000)) / 1000.0 * 1.1
}

fn word(rng: &mut StdRng) -> String {
    ["上海", "Beijing", "a b", "", "Ω"][rng.random_range(0..5)].to_owned()
}

/// Records that cannot be folded: garbage, an envelope in the wrong topic.
pub fn malformed(room: &Room, journal: &MemoryJournal) -> Vec<Position> {
    let mut stray = room.seal(vec![draft(900_000, 1, 0, Traits::new().value("city", "x"))]);
    let mut record = stray.remove(0);
    record.topic = Topic::new(Kind::Behaviour.topic());
    let garbage = |value: &'static [u8]| Record {
        topic: Topic::new(topics::PROFILE),
        key: b"key".to_vec().into(),
        value: value.into(),
        headers: Vec::new(),
    };
    vec![
        journal.put(record),
        journal.put(garbage(b"garbage")),
        journal.put(garbage(b"\0\0\0\0\x01")),
        journal.put(garbage(b"\0\0\0\x7f\x01 of a newer program")),
    ]
}
