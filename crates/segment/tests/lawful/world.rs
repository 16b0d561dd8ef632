//! One small world of people, decisions and events, folded by the real stores and shared by all tests.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use assent_consent::{Calendar, Fact, Notice, Purpose, PurposeId, SubjectId, Timestamp};
use assent_event::{
    AccountMembership, Behaviour, ConsentDecision, EventId, Identifier, IdentityLink, Payload,
    SubscriptionChange, Times, Traits, to_fact, topics,
};
use assent_journal::{
    Batch, Checkpoint, EmbeddedConfig, EmbeddedJournal, Journal, Position, ReadLimit, Record, Topic,
};
use assent_permit::{Config, Permit};
use assent_programme::{
    Principal, Programme, RegistryState, Role, SegmentDefinition, TraitCatalog, apply, plan,
    principal_added, token_sha256,
};
use assent_projection::{Definitions, Projector, Settings};
use assent_segment::{Asked, Engine, LawfulSession, Limits, QueryResult, Stores};
use assent_vault::{Draft, EmbeddedVault, MasterKey, RandomSource, Sealer, Vault};
use async_trait::async_trait;
use serde_json::json;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How many people there are.
pub const PEOPLE: usize = 59;
const DAY: i64 = 86_400_000_000;

/// Noon in Shanghai on 1 September 2026: the present of all tests.
pub fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-09-01T04:00:00Z").expect("a time")
}

pub fn days_ago(days: i64) -> Timestamp {
    now().plus_micros(-days * DAY)
}

/// Randomness that repeats.
#[derive(Default)]
pub struct Repeating(AtomicU64);

impl RandomSource for Repeating {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let count = self.0.fetch_add(1, Ordering::SeqCst);
            let block = Sha256::digest(count.to_be_bytes());
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }
}

/// One purchase or page view.
#[derive(Debug, Clone)]
pub struct Deed {
    pub id: EventId,
    pub name: &'static str,
    pub at: Timestamp,
    pub revenue: Option<f64>,
    pub product: Option<String>,
}

/// One subject, with everything that was ever told of it. Whatever is personal carries [`Person::canary`].
#[derive(Debug, Clone)]
pub struct Person {
    pub index: usize,
    pub subject: SubjectId,
    pub city: String,
    pub note: String,
    pub ltv: f64,
    pub allergy: String,
    pub account: Option<String>,
    pub role: String,
    pub deeds: Vec<Deed>,
    pub facts: Vec<Fact>,
    pub told_at: Timestamp,
}

impl Person {
    /// A text that stands in every personal text of this person and nowhere else.
    pub fn canary(index: usize) -> String {
        format!("P{index:03}X")
    }

    /// A number that no sum or count of others comes near, by its digits.
    pub fn number(index: usize) -> f64 {
        f64::from(7_000_331 + u32::try_from(index).expect("small") * 1_000)
    }
}

pub struct World {
    pub runtime: Runtime,
    pub engine: Arc<Engine>,
    pub stores: Stores,
    pub journal: Arc<Failing>,
    pub registry: Arc<RegistryState>,
    pub people: Vec<Person>,
    pub links: Vec<(usize, usize)>,
    pub profiles: PathBuf,
    pub dir: TempDir,
}

/// The world, made on first use.
pub fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(fresh)
}

/// A world of its own, for tests that change it: many small files, members spread over them.
pub fn fresh() -> World {
    with_files(100)
}

/// A world of its own in which a table with more than so many files is compacted.
pub fn with_files(max_files: usize) -> World {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let made = runtime.block_on(make(max_files));
    World {
        runtime,
        engine: engine(&made.stores, Limits::default()),
        registry: made.stores.permit.registry(),
        profiles: made.stores.profiles.clone(),
        stores: made.stores,
        journal: made.journal,
        people: made.people,
        links: LINKS.to_vec(),
        dir: made.dir,
    }
}

/// An engine over these stores whose present is the tests'.
pub fn engine(stores: &Stores, limits: Limits) -> Arc<Engine> {
    Engine::new(
        stores.clone(),
        Arc::new(now),
        Arc::new(Repeating::default()),
        limits,
    )
}

/// A journal that can be told to refuse.
pub struct Failing {
    inner: EmbeddedJournal,
    pub refuses_reads: AtomicBool,
    pub refuses_appends: AtomicBool,
}

fn refusal(refused: &AtomicBool) -> Result<(), assent_journal::Error> {
    if refused.load(Ordering::SeqCst) {
        return Err(assent_journal::Error::new(
            assent_journal::ErrorKind::Unavailable,
            "told to refuse",
        ));
    }
    Ok(())
}

#[async_trait]
impl Journal for Failing {
    fn partitions(&self, topic: &Topic) -> Result<u32, assent_journal::Error> {
        self.inner.partitions(topic)
    }

    async fn append(&self, records: Vec<Record>) -> Result<Vec<Position>, assent_journal::Error> {
        refusal(&self.refuses_appends)?;
        self.inner.append(records).await
    }

    async fn read(
        &self,
        topic: &Topic,
        partition: u32,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Batch, assent_journal::Error> {
        refusal(&self.refuses_reads)?;
        self.inner.read(topic, partition, from, limit).await
    }

    async fn end_positions(&self, topics: &[Topic]) -> Result<Checkpoint, assent_journal::Error> {
        refusal(&self.refuses_reads)?;
        self.inner.end_positions(topics).await
    }

    async fn changed(
        &self,
        seen: &Checkpoint,
        timeout: Duration,
    ) -> Result<(), assent_journal::Error> {
        self.inner.changed(seen, timeout).await
    }
}

impl World {
    pub fn principal(&self, name: &str) -> Principal {
        self.registry.principal(name).expect("a principal").clone()
    }

    pub fn open(&self, purpose: &str) -> LawfulSession {
        self.runtime.block_on(async {
            let asked = Asked {
                purpose: Some(purpose.to_owned()),
                ..Asked::default()
            };
            LawfulSession::open(&self.engine, &self.principal("analyst"), &asked, None)
                .await
                .expect("a session")
        })
    }

    pub fn ask(&self, purpose: &str, sql: &str) -> assent_segment::Result<QueryResult> {
        let session = self.open(purpose);
        self.runtime.block_on(session.query(sql))
    }

    /// Everything that an answer shows, as text.
    pub fn seen(&self, purpose: &str, sql: &str) -> String {
        match self.ask(purpose, sql) {
            Ok(result) => String::from_utf8(
                result
                    .encode(assent_segment::format::Format::Json)
                    .expect("json"),
            )
            .expect("utf-8"),
            Err(error) => error.to_string(),
        }
    }
}

pub fn purposes() -> Vec<Purpose> {
    let base = |id: &str, categories: serde_json::Value| {
        json!({
            "id": id, "version": 1, "title": {"en": id}, "basis": "consent",
            "categories": categories, "channels": ["email"], "default_retention_days": 400,
        })
    };
    let mut marketing = base("marketing", json!(["profile", "behaviour", "transaction"]));
    marketing["retention_days"] = json!({"behaviour": 300});
    marketing["export_namespaces"] = json!(["customer_number"]);
    let mut wellness = base("wellness", json!(["profile", "behaviour", "health"]));
    wellness["sensitive"] = json!(["health"]);
    let sales = base("sales", json!(["account", "profile", "subscription"]));
    let mut audit = base(
        "audit",
        json!([
            "profile",
            "behaviour",
            "transaction",
            "account",
            "subscription"
        ]),
    );
    audit["basis"] = json!("legal_duty");
    audit["citation"] = json!("PIPL art. 54");
    audit["channels"] = json!([]);
    [marketing, wellness, sales, audit]
        .into_iter()
        .map(|value| serde_json::from_value(value).expect("a purpose"))
        .collect()
}

fn notice() -> Notice {
    let of = |categories: serde_json::Value| {
        json!({"method": "analysis and mail", "categories": categories, "channels": ["email"],
               "retention": "400 days, then deleted"})
    };
    let mut wellness = of(json!(["profile", "behaviour"]));
    wellness["sensitive"] =
        json!({"health": {"necessity": "to warn", "impact": "tells of health"}});
    let mut audit = of(json!([
        "profile",
        "behaviour",
        "transaction",
        "account",
        "subscription"
    ]));
    audit["channels"] = json!([]);
    serde_json::from_value(json!({
        "id": "privacy", "version": 1, "change": "material",
        "effective_from": "2024-01-01T00:00:00Z",
        "handler": {"name": "Assent Test Ltd", "contact": "privacy@example.org"},
        "rights": "write to us",
        "purposes": {
            "marketing": of(json!(["profile", "behaviour", "transaction"])),
            "wellness": wellness,
            "sales": of(json!(["account", "profile", "subscription"])),
            "audit": audit,
        },
        "texts": {"en": "We handle your data."},
    }))
    .expect("a notice")
}

pub fn traits() -> TraitCatalog {
    let told = |name: &str, r#type: &str, category: &str, sensitive: bool| {
        json!({"name": name, "type": r#type, "category": category, "sensitive": sensitive,
               "description": name})
    };
    let derived = |name: &str, measure: serde_json::Value, window: Option<u32>| {
        json!({"name": name, "event": "purchase", "measure": measure, "window_days": window,
               "category": "transaction", "sensitive": false, "description": name})
    };
    serde_json::from_value(json!({
        "identified": [
            told("city", "text", "profile", false),
            told("note", "text", "profile", false),
            told("ltv", "number", "transaction", false),
            told("allergy", "text", "health", true),
        ],
        "derived": [
            derived("purchases_90d", json!("count"), Some(90)),
            derived("purchases_total", json!("count"), None),
            derived("revenue_total", json!({"sum": {"property": "revenue"}}), None),
            derived("last_purchase_at", json!("last_at"), None),
        ],
    }))
    .expect("a catalogue")
}

fn segments() -> Vec<SegmentDefinition> {
    let of = |name: &str, purpose: &str, query: &str| {
        serde_json::from_value(json!({
            "name": name, "version": 0, "purpose": purpose, "channel": null, "recipient": null,
            "description": "", "query": query, "query_line": 3, "query_column": 6,
        }))
        .expect("a segment")
    };
    vec![
        of(
            "buyers",
            "marketing",
            "SELECT member_id FROM members WHERE purchases_total >= 1",
        ),
        of(
            "patients",
            "wellness",
            "SELECT member_id FROM members WHERE allergy IS NOT NULL",
        ),
        of("firms", "sales", "SELECT account_id FROM accounts"),
    ]
}

fn programme() -> Programme {
    let notice = notice();
    Programme {
        purposes: purposes().into_iter().map(|p| (p.id.clone(), p)).collect(),
        notices: BTreeMap::from([(notice.reference(), notice)]),
        segments: segments(),
        sources: vec![
            serde_json::from_value(json!({
                "id": "shop", "kind": "server", "description": "the shop",
                "write_key_sha256": token_sha256("write"), "sample": false,
                "namespaces": {"user_id": "customer_number", "anonymous_id": "device"},
                "identifiers": {}, "origins": [], "gpc_purposes": [], "consent_categories": {},
                "sensitive_properties": {"symptom": "health"},
                "account_traits": {"name": "name", "industry": "industry", "size_band": "size_band",
                    "country": "country", "role": "role", "buying_role": "buying_role",
                    "department": "department"},
            }))
            .expect("a source"),
        ],
        traits: traits(),
        ..Programme::default()
    }
}

fn principals() -> Vec<Principal> {
    let of = |name: &str, role, purposes: &[&str]| Principal {
        name: name.to_owned(),
        token_sha256: token_sha256(name),
        role,
        purposes: purposes
            .iter()
            .map(|purpose| PurposeId::parse(purpose).expect("a purpose"))
            .collect(),
        revoked: false,
    };
    vec![
        of(
            "analyst",
            Role::Analyst,
            &["marketing", "wellness", "sales"],
        ),
        of("narrow", Role::Analyst, &["sales"]),
        of("officer", Role::Officer, &["marketing", "audit"]),
        of("operator", Role::Operator, &[]),
    ]
}

/// Links: granted with nothing; granted twice; granted with refused; three in a row.
const LINKS: &[(usize, usize)] = &[(0, 1), (5, 6), (11, 14), (17, 18), (18, 23)];

struct Making<'a> {
    vault: &'a dyn Vault,
    journal: &'a dyn Journal,
    random: Repeating,
    drafts: Vec<Draft>,
    people: Vec<Person>,
    count: u64,
}

impl Making<'_> {
    fn say(&mut self, who: usize, at: Timestamp, payload: Payload) -> EventId {
        self.count += 1;
        let digest = Sha256::digest(format!("event {}", self.count));
        let id = EventId::from_bytes(digest[..16].try_into().expect("16 bytes"));
        let subject = self.people[who].subject;
        self.drafts.push(Draft {
            id,
            subject,
            source: "shop".to_owned(),
            message_id: format!("m{}", self.count),
            times: Times::at(at),
            payload,
        });
        id
    }

    fn decide(&mut self, who: usize, at: Timestamp, decision: ConsentDecision) {
        let decision = decision.notice("privacy", 1);
        self.say(who, at, Payload::ConsentDecision(decision));
    }

    async fn journal(&mut self) {
        let drafts = std::mem::take(&mut self.drafts);
        let payloads: Vec<Payload> = drafts.iter().map(|draft| draft.payload.clone()).collect();
        let envelopes = Sealer::new(self.vault, &self.random)
            .seal_batch(drafts)
            .expect("sealed");
        let mut records = Vec::new();
        for (envelope, payload) in envelopes.iter().zip(&payloads) {
            if envelope.kind.topic() == topics::CONSENT
                && let Some(mut fact) = to_fact(envelope, payload).expect("a fact")
            {
                let person = self
                    .people
                    .iter_mut()
                    .find(|person| person.subject == envelope.subject)
                    .expect("a person");
                fact.order = person.facts.len() as u64 + 1;
                person.facts.push(fact);
            }
            records.push(Record {
                topic: Topic::new(envelope.kind.topic()),
                key: envelope.subject.as_bytes().to_vec().into(),
                value: envelope.encode().expect("encoded").into(),
                headers: Vec::new(),
            });
        }
        self.journal.append(records).await.expect("journalled");
    }

    fn consent(&mut self) {
        for who in 0..PEOPLE {
            let at = days_ago(500 - who as i64);
            match who % 6 {
                0 | 5 => self.decide(who, at, ConsentDecision::granted("marketing")),
                1 => {}
                2 => self.decide(who, at, ConsentDecision::refused("marketing")),
                3 => self.decide(
                    who,
                    at,
                    ConsentDecision::granted("marketing").categories(["profile", "behaviour"]),
                ),
                _ => {
                    self.decide(who, at, ConsentDecision::granted("marketing"));
                    self.decide(who, days_ago(40), ConsentDecision::withdrawn("marketing"));
                }
            }
            match who % 5 {
                0 => self.decide(who, at, ConsentDecision::granted("wellness")),
                1 | 2 => self.decide(
                    who,
                    at,
                    ConsentDecision::granted("wellness")
                        .form("separate")
                        .indication("shop", format!("act {who}"))
                        .categories(["profile", "behaviour", "health"]),
                ),
                _ => {}
            }
            if who % 4 != 3 {
                self.decide(who, at, ConsentDecision::granted("sales"));
            }
        }
        for (left, right) in LINKS {
            let other = self.people[*right].subject;
            let link = Payload::IdentityLink(IdentityLink::linked(other));
            self.say(*left, days_ago(450), link);
        }
    }

    fn traits(&mut self) {
        for who in 0..PEOPLE {
            let person = self.people[who].clone();
            let traits = Traits::new()
                .value("city", person.city)
                .value("note", person.note)
                .value("ltv", person.ltv)
                .sensitive("allergy", person.allergy);
            self.say(who, person.told_at, Payload::Traits(traits));
            if let Some(account) = person.account {
                let membership = AccountMembership::joined(account)
                    .name(format!("{} Ltd", Person::canary(who)))
                    .industry("tools")
                    .role(person.role);
                self.say(who, person.told_at, Payload::AccountMembership(membership));
            }
            if who % 7 == 0 {
                let subscription = SubscriptionChange::of(format!("s{who}"))
                    .plan(format!("{}-plan", Person::canary(who)))
                    .status("active")
                    .amount(Person::number(who), "CNY");
                self.say(
                    who,
                    person.told_at,
                    Payload::SubscriptionChange(subscription),
                );
            }
        }
    }

    fn deeds(&mut self) {
        for round in 0..4 {
            for who in 0..PEOPLE {
                if who % 4 < round {
                    continue;
                }
                let name = if (who + round) % 3 == 0 {
                    "page_view"
                } else {
                    "purchase"
                };
                let at = days_ago((who * 3 + round * 97) as i64);
                let canary = Person::canary(who);
                let mut behaviour = Behaviour::named(name)
                    .property("page", format!("{canary}-page"))
                    // Declared sensitive, in another case: folded before intake knew.
                    .property("Symptom", format!("{canary}-open"))
                    .sensitive("symptom", format!("{canary}-symptom"));
                let (revenue, product) = if name == "purchase" {
                    let revenue = Person::number(who) + round as f64;
                    let product = format!("{canary}-product");
                    behaviour = behaviour.revenue(revenue, "CNY").product(product.clone());
                    (Some(revenue), Some(product))
                } else {
                    (None, None)
                };
                let id = self.say(who, at, Payload::Behaviour(behaviour));
                self.people[who].deeds.push(Deed {
                    id,
                    name,
                    at,
                    revenue,
                    product,
                });
            }
        }
    }
}

fn people(vault: &dyn Vault) -> Vec<Person> {
    let ids: Vec<Identifier> = (0..PEOPLE)
        .map(|who| {
            let namespace = if who % 4 == 3 {
                "device"
            } else {
                "customer_number"
            };
            Identifier::new(
                namespace.parse().expect("a namespace"),
                format!("=C{who:03}"),
            )
        })
        .collect();
    let subjects = vault.subjects(&ids, true).expect("subjects");
    subjects
        .into_iter()
        .enumerate()
        .map(|(index, subject)| {
            let canary = Person::canary(index);
            // Under marketing those who may be read hold numbers; a cast fails on everybody else.
            let readable = matches!(index % 6, 0 | 3 | 5) && index != 11;
            Person {
                index,
                subject: subject.expect("a subject"),
                city: format!("{canary}-city"),
                note: if readable {
                    "1".to_owned()
                } else {
                    format!("{canary}-note")
                },
                ltv: Person::number(index),
                allergy: format!("{canary}-allergy"),
                account: (index % 3 == 0).then(|| format!("a{}", index % 12)),
                role: format!("{canary}-role"),
                deeds: Vec::new(),
                facts: Vec::new(),
                told_at: days_ago(200 + index as i64),
            }
        })
        .collect()
}

struct Made {
    stores: Stores,
    journal: Arc<Failing>,
    people: Vec<Person>,
    dir: TempDir,
}

async fn make(max_files: usize) -> Made {
    let dir = TempDir::new().expect("a directory");
    let partitions = topics::ALL
        .iter()
        .map(|topic| {
            (
                Topic::new(topic),
                if *topic == topics::REGISTRY { 1 } else { 2 },
            )
        })
        .collect();
    let inner = EmbeddedJournal::open(&dir.path().join("journal"), EmbeddedConfig::new(partitions))
        .expect("a journal");
    let journal = Arc::new(Failing {
        inner,
        refuses_reads: AtomicBool::new(false),
        refuses_appends: AtomicBool::new(false),
    });
    let vault: Arc<dyn Vault> = Arc::new(
        EmbeddedVault::open(
            &dir.path().join("vault"),
            MasterKey::generate(&Repeating::default()),
            Box::new(Repeating::default()),
        )
        .expect("a vault"),
    );
    define(journal.as_ref()).await;
    let shared: Arc<dyn Journal> = Arc::clone(&journal) as Arc<dyn Journal>;
    let profiles = dir.path().join("profiles");
    let mut projector = Projector::open(
        &profiles,
        Arc::clone(&shared),
        Arc::clone(&vault),
        Definitions::new(traits(), Calendar::default()),
        Settings {
            batch_records: 64,
            max_files,
            row_group_rows: 16,
            ..Settings::default()
        },
    )
    .expect("a projector");
    let permit = Arc::new(
        Permit::start(Arc::clone(&shared), Arc::clone(&vault), Config::default())
            .expect("a permit index"),
    );
    let stores = Stores {
        permit,
        journal: shared,
        vault: Arc::clone(&vault),
        profiles,
    };
    let mut making = Making {
        people: people(vault.as_ref()),
        vault: vault.as_ref(),
        journal: journal.as_ref(),
        random: Repeating::default(),
        drafts: Vec::new(),
        count: 0,
    };
    making.traits();
    making.journal().await;
    projector.run_once().await.expect("projected");
    making.consent();
    making.journal().await;
    making.deeds();
    making.journal().await;
    projector.run_once().await.expect("projected");
    let people = making.people;
    stores.permit.barrier().await.expect("the barrier");
    Made {
        stores,
        journal,
        people,
        dir,
    }
}

/// Journals the programme and the principals.
async fn define(journal: &dyn Journal) {
    let state = RegistryState::fold(journal).await.expect("a registry");
    let planned = plan(&state, &programme()).expect("a plan");
    apply(journal, &planned, days_ago(600))
        .await
        .expect("applied");
    for principal in principals() {
        let state = RegistryState::fold(journal).await.expect("a registry");
        let planned = principal_added(&state, principal).expect("a plan");
        apply(journal, &planned, days_ago(600))
            .await
            .expect("applied");
    }
}

/// Journals one more decision of a person, now.
pub fn decide(world: &World, who: usize, decision: ConsentDecision) {
    let draft = Draft {
        id: EventId::from_bytes([0xEE; 16]),
        subject: world.people[who].subject,
        source: "shop".to_owned(),
        message_id: "late".to_owned(),
        times: Times::at(now()),
        payload: Payload::ConsentDecision(decision.notice("privacy", 1)),
    };
    let envelope = Sealer::new(world.stores.vault.as_ref(), &Repeating::default())
        .seal_batch(vec![draft])
        .expect("sealed")
        .remove(0);
    let record = Record {
        topic: Topic::new(topics::CONSENT),
        key: envelope.subject.as_bytes().to_vec().into(),
        value: envelope.encode().expect("encoded").into(),
        headers: Vec::new(),
    };
    world
        .runtime
        .block_on(world.journal.append(vec![record]))
        .expect("journalled");
}
