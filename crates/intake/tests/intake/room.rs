//! A place to test in: a journal and a vault in a temporary folder, a small programme, a clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use assent_consent::{Namespace, Notice, Purpose, SubjectId, Timestamp};
use assent_event::{ConsentDecision, Envelope, Identifier, Kind, Payload, topics};
use assent_intake::{
    Caller, Code, CurrentRegistry, Intake, Limits, Outcome, Rejected, Route, Warning, WarningCode,
};
use assent_journal::{EmbeddedConfig, EmbeddedJournal, Journal, ReadLimit, Topic};
use assent_programme::{
    AccountTraits, DerivedTrait, IdentifiedTrait, Measure, Programme, RegistryState,
    SourceDefinition, SourceKind, SourceNamespaces, TraitCatalog, TraitType,
};
use assent_vault::{EmbeddedVault, MasterKey, Opened, RandomSource, Sealer, SharedRng, Vault};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub(crate) const NOW: &str = "2026-03-01T08:00:00Z";
pub(crate) const SERVER_KEY: &str = "server-key";
pub(crate) const BROWSER_KEY: &str = "browser-key";

pub(crate) struct Room {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) journal: Arc<EmbeddedJournal>,
    pub(crate) vault: Arc<EmbeddedVault>,
    pub(crate) registry: Arc<RegistryState>,
    pub(crate) intake: Intake,
    now: Arc<AtomicI64>,
    random: Arc<SharedRng<StdRng>>,
}

/// An event as it stands in the journal, opened.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) envelope: Envelope,
    pub(crate) payload: Payload,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    /// As [`Room::new`], but only the shop's service declares identifiers and sensitive properties.
    pub(crate) fn declaring_apart() -> Self {
        let mut room = Self::new();
        room.registry = Arc::new(registry(false));
        room.restart();
        room
    }

    /// As [`Room::declaring_apart`], after the shop's service was retired.
    pub(crate) fn after_the_shop() -> Self {
        let mut room = Self::declaring_apart();
        let mut programme = programme(false);
        programme.sources.retain(|source| source.id != "shop");
        let plan = assent_programme::plan(&room.registry, &programme).unwrap();
        let later = at("2025-06-01T00:00:00Z");
        let registry = room.registry.with(&plan.definitions, later).unwrap();
        room.registry = Arc::new(registry);
        room.restart();
        room
    }

    pub(crate) fn with_limits(limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let partitions = topics::ALL.map(|topic| (Topic::new(topic), 2)).to_vec();
        let journal = EmbeddedJournal::open(
            &dir.path().join("journal.redb"),
            EmbeddedConfig::new(partitions),
        )
        .unwrap();
        let random = Arc::new(SharedRng::new(StdRng::seed_from_u64(7)));
        let vault = EmbeddedVault::open(
            &dir.path().join("vault.redb"),
            MasterKey::generate(random.as_ref()),
            Box::new(SharedRng::new(StdRng::seed_from_u64(8))),
        )
        .unwrap();
        let now = Arc::new(AtomicI64::new(at(NOW).micros()));
        let (journal, vault) = (Arc::new(journal), Arc::new(vault));
        let registry = Arc::new(registry(true));
        let intake = intake(&journal, &vault, &registry, &now, &random, limits);
        Self {
            dir,
            journal,
            vault,
            registry,
            intake,
            now,
            random,
        }
    }

    /// The same, after a restart: nothing is remembered but what is stored.
    pub(crate) fn restart(&mut self) {
        self.intake = intake(
            &self.journal,
            &self.vault,
            &self.registry,
            &self.now,
            &self.random,
            Limits::default(),
        );
    }

    pub(crate) fn set_now(&self, text: &str) {
        self.now.store(at(text).micros(), Ordering::SeqCst);
    }

    pub(crate) async fn consents(&self, key: &str, body: Value) -> Vec<Outcome> {
        self.intake
            .consents(&Caller::with_key(key), body)
            .await
            .unwrap()
    }

    /// One decision; its warnings.
    pub(crate) async fn decide(&self, key: &str, body: Value) -> Vec<WarningCode> {
        let outcome = self.consents(key, body).await.remove(0);
        journalled(outcome)
            .iter()
            .map(|warning| warning.code)
            .collect()
    }

    /// One decision that must be refused.
    pub(crate) async fn refuse(&self, key: &str, body: Value) -> Rejected {
        rejected(self.consents(key, body).await.remove(0))
    }

    pub(crate) async fn events(&self, key: &str, route: Route, body: Value) -> Vec<Outcome> {
        let body = body.to_string().into_bytes();
        self.intake
            .events(&Caller::with_key(key), route, body)
            .await
            .unwrap()
    }

    /// One call that is taken; its warnings.
    pub(crate) async fn call(&self, key: &str, route: Route, body: Value) -> Vec<Warning> {
        journalled(self.events(key, route, body).await.remove(0))
    }

    /// One call that is refused.
    pub(crate) async fn refused_call(&self, key: &str, route: Route, body: Value) -> Rejected {
        rejected(self.events(key, route, body).await.remove(0))
    }

    /// Makes these known, as if something had been sent about them.
    pub(crate) fn introduce(&self, customers: &[&str]) {
        let known: Vec<_> = customers.iter().map(|c| id("customer", c)).collect();
        self.vault.subjects(&known, true).unwrap();
    }

    /// Decisions as they come over the wire.
    pub(crate) async fn consents_text(&self, key: &str, body: &str) -> Vec<Outcome> {
        let caller = Caller::with_key(key);
        let taken = self
            .intake
            .consents_bytes(&caller, body.as_bytes().to_vec())
            .await;
        taken.unwrap()
    }

    pub(crate) fn subject(&self, namespace: &str, value: &str) -> Option<SubjectId> {
        self.vault.subjects(&[id(namespace, value)], false).unwrap()[0]
    }

    /// Everything in the journal, topic by topic and partition by partition.
    pub(crate) async fn journal(&self) -> Vec<Found> {
        let mut envelopes = Vec::new();
        for topic in topics::ALL.map(Topic::new) {
            for partition in 0..self.journal.partitions(&topic).unwrap() {
                let limit = ReadLimit::default();
                let batch = self
                    .journal
                    .read(&topic, partition, 0, limit)
                    .await
                    .unwrap();
                for stored in batch.records {
                    let envelope = Envelope::decode(&stored.value).unwrap();
                    assert_eq!(stored.key.as_ref(), envelope.subject.as_bytes());
                    assert_eq!(envelope.kind.topic(), topic.as_str());
                    assert_eq!(stored.headers.len(), 1);
                    envelopes.push(envelope);
                }
            }
        }
        let sealer = Sealer::new(self.vault.as_ref(), self.random.as_ref());
        let opened = sealer.open_batch(&envelopes).unwrap();
        envelopes
            .into_iter()
            .zip(opened)
            .map(|(envelope, opened)| Found {
                envelope,
                payload: match opened {
                    Opened::Payload(payload) => payload,
                    Opened::Erased => panic!("nothing was erased"),
                },
            })
            .collect()
    }

    /// The events of one kind, in the order of their times of receipt and, for
    /// one subject, of the journal.
    pub(crate) async fn of_kind(&self, kind: Kind) -> Vec<Found> {
        let mut found = self.journal().await;
        found.retain(|found| found.envelope.kind == kind);
        found.sort_by_key(|found| found.envelope.times.received_at);
        found
    }
}

impl Room {
    /// Another intake over the same stores, which learns definitions and receipts from here.
    pub(crate) fn intake_among(&self, others: Arc<dyn CurrentRegistry>) -> Intake {
        let now = Arc::clone(&self.now);
        Intake::new(
            Arc::clone(&self.journal) as Arc<dyn Journal>,
            Arc::clone(&self.vault) as Arc<dyn Vault>,
            others,
            Arc::new(move || Timestamp::from_micros(now.load(Ordering::SeqCst))),
            Arc::clone(&self.random) as Arc<dyn RandomSource>,
        )
    }
}

fn intake(
    journal: &Arc<EmbeddedJournal>,
    vault: &Arc<EmbeddedVault>,
    registry: &Arc<RegistryState>,
    now: &Arc<AtomicI64>,
    random: &Arc<SharedRng<StdRng>>,
    limits: Limits,
) -> Intake {
    let (registry, now) = (Arc::clone(registry), Arc::clone(now));
    Intake::with_limits(
        Arc::clone(journal) as Arc<dyn Journal>,
        Arc::clone(vault) as Arc<dyn Vault>,
        Arc::new(move || Arc::clone(&registry)),
        Arc::new(move || Timestamp::from_micros(now.load(Ordering::SeqCst))),
        Arc::clone(random) as Arc<dyn RandomSource>,
        limits,
    )
}

pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

pub(crate) fn id(namespace: &str, value: &str) -> Identifier {
    Identifier::new(Namespace::parse(namespace).unwrap(), value)
}

pub(crate) fn journalled(outcome: Outcome) -> Vec<Warning> {
    match outcome {
        Outcome::Journalled { warnings, .. } => warnings,
        other @ (Outcome::Duplicate | Outcome::Rejected(_)) => panic!("{other:?}"),
    }
}

pub(crate) fn rejected(outcome: Outcome) -> Rejected {
    match outcome {
        Outcome::Rejected(why) => {
            assert!(!why.message.is_empty() && !why.fix.is_empty(), "{why:?}");
            why
        }
        other @ (Outcome::Duplicate | Outcome::Journalled { .. }) => panic!("{other:?}"),
    }
}

pub(crate) fn code(outcome: &Outcome) -> Option<Code> {
    match outcome {
        Outcome::Rejected(why) => Some(why.code),
        Outcome::Duplicate | Outcome::Journalled { .. } => None,
    }
}

/// A withdrawal that says no more than it must.
pub(crate) fn withdrawal() -> Value {
    json!({"subject": {"customer": "42"}, "purpose": "email_marketing", "state": "withdrawn"})
}

/// What was recorded, which must be a decision.
pub(crate) fn decision(found: &Found) -> &ConsentDecision {
    match &found.payload {
        Payload::ConsentDecision(decision) => decision,
        other => panic!("{other:?}"),
    }
}

/// A grant that lacks nothing.
pub(crate) fn grant() -> Value {
    json!({
        "subject": {"customer": "42"},
        "purpose": "email_marketing",
        "state": "granted",
        "notice": {"id": "terms", "version": 2},
        "act": "checkbox_ticked",
        "message_id": "g1",
    })
}

/// `body` with one field changed, or removed when `value` is null.
pub(crate) fn with(mut body: Value, field: &str, value: Value) -> Value {
    let object = body.as_object_mut().unwrap();
    if value.is_null() {
        object.remove(field);
    } else {
        object.insert(field.to_owned(), value);
    }
    body
}

fn registry(web_declares: bool) -> RegistryState {
    RegistryState::of_programme(&programme(web_declares), at("2025-01-01T00:00:00Z")).unwrap()
}

fn programme(web_declares: bool) -> Programme {
    let purposes: Vec<Purpose> = serde_json::from_value(json!([
        purpose("marketing", None, "consent", &[], &[]),
        purpose(
            "email_marketing",
            Some("marketing"),
            "consent",
            &["email"],
            &["transaction"]
        ),
        purpose(
            "sms_marketing",
            Some("marketing"),
            "consent",
            &["sms"],
            &["transaction"]
        ),
        purpose(
            "recommendations",
            Some("marketing"),
            "consent",
            &[],
            &["behaviour"]
        ),
        purpose("ad_sharing", None, "consent", &[], &["behaviour"]),
        purpose("delivery", None, "contract", &["email"], &["transaction"]),
    ]))
    .unwrap();
    let notices: Vec<Notice> = serde_json::from_value(json!([
        notice(1, "2025-01-01"),
        notice(2, "2026-01-01"),
        notice(3, "2027-01-01")
    ]))
    .unwrap();
    let mut web = source("web", SourceKind::Browser, BROWSER_KEY);
    if !web_declares {
        web.identifiers.clear();
        web.sensitive_properties.clear();
    }
    Programme {
        purposes: purposes.into_iter().map(|p| (p.id.clone(), p)).collect(),
        notices: notices.into_iter().map(|n| (n.reference(), n)).collect(),
        sources: vec![source("shop", SourceKind::Server, SERVER_KEY), web],
        traits: traits(),
        ..Programme::default()
    }
}

fn purpose(
    id: &str,
    parent: Option<&str>,
    basis: &str,
    channels: &[&str],
    categories: &[&str],
) -> Value {
    let recipients: &[&str] = if id == "ad_sharing" {
        &["ad_network"]
    } else {
        &[]
    };
    json!({
        "id": id, "version": 1, "title": {"en": id}, "basis": basis, "parent": parent,
        "categories": categories, "channels": channels, "recipients": recipients,
        "form": if id == "ad_sharing" { "separate" } else { "general" },
        "default_retention_days": 365, "reask_after_days": 180,
        "marketing": basis == "consent", "personalises": id == "recommendations",
    })
}

fn notice(version: u32, day: &str) -> Value {
    let noticed = |channels: &[&str], categories: &[&str]| {
        json!({
            "method": "collected in the shop", "categories": categories, "channels": channels,
            "retention": "one year, then deleted",
        })
    };
    let mut sharing = noticed(&[], &["behaviour"]);
    sharing["recipients"] = json!({"ad_network": {
        "name": "Ad Network Ltd.", "contact": "privacy@ads.example", "purpose": "advertising",
        "method": "matching", "categories": ["behaviour"],
    }});
    json!({
        "id": "terms", "version": version, "change": "material",
        "effective_from": format!("{day}T00:00:00Z"),
        "handler": {"name": "Example Ltd.", "contact": "privacy@example.com"},
        "rights": "write to privacy@example.com",
        "texts": {"en": "the text", "zh": "正文"},
        "purposes": {
            "email_marketing": noticed(&["email"], &["transaction"]),
            "ad_sharing": sharing,
            "delivery": noticed(&["email"], &["transaction"]),
        },
    })
}

fn source(name: &str, kind: SourceKind, key: &str) -> SourceDefinition {
    let namespace = |name: &str| Namespace::parse(name).unwrap();
    SourceDefinition {
        id: name.to_owned(),
        kind,
        description: "for tests".to_owned(),
        write_key_sha256: hex::encode(Sha256::digest(key.as_bytes())),
        sample: false,
        namespaces: SourceNamespaces {
            user_id: namespace("customer"),
            anonymous_id: namespace("anonymous"),
        },
        identifiers: BTreeMap::from([("mobile".to_owned(), namespace("phone"))]),
        origins: Vec::new(),
        gpc_purposes: match kind {
            SourceKind::Browser => ["ad_sharing"]
                .into_iter()
                .map(|p| p.parse().unwrap())
                .collect(),
            SourceKind::Server => BTreeSet::new(),
        },
        consent_categories: BTreeMap::from([
            ("Advertising".to_owned(), "ad_sharing".parse().unwrap()),
            ("Email".to_owned(), "email_marketing".parse().unwrap()),
        ]),
        sensitive_properties: BTreeMap::from([(
            "diagnosis".to_owned(),
            assent_consent::Category::parse("health").unwrap(),
        )]),
        account_traits: AccountTraits::default(),
    }
}

fn traits() -> TraitCatalog {
    let of = |name: &str, r#type, sensitive| IdentifiedTrait {
        name: name.to_owned(),
        r#type,
        category: assent_consent::Category::parse(if sensitive { "health" } else { "profile" })
            .unwrap(),
        sensitive,
        description: "for tests".to_owned(),
    };
    TraitCatalog {
        identified: vec![
            of("city", TraitType::Text, false),
            of("age_band", TraitType::Integer, false),
            of("allergy", TraitType::Text, true),
        ],
        derived: vec![DerivedTrait {
            name: "orders".to_owned(),
            event: "Order Completed".to_owned(),
            measure: Measure::Count,
            window_days: None,
            category: assent_consent::Category::parse("transaction").unwrap(),
            sensitive: false,
            description: "for tests".to_owned(),
        }],
    }
}
