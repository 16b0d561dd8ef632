//! A small deployment in a temporary folder: journal, vault, programme, and people who decide.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use assent_consent::{
    CLOCK_TOLERANCE_MICROS, Category, ConsentForm, Fact, FactKind, Handler, LegalBasis, Notice,
    NoticeChange, NoticeId, NoticedPurpose, Purpose, PurposeId, SubjectId, Timestamp, Use,
};
use assent_event::{ConsentDecision, Envelope, EventId, Payload, Times, topics};
use assent_journal::{EmbeddedConfig, EmbeddedJournal, Journal, Position, Record, Topic};
use assent_permit::{Config, Permit};
use assent_programme::{Programme, RegistryState, apply, plan};
use assent_testkit::interrupted::Interrupted;
use assent_testkit::seeded::Seeded;
use assent_vault::{Draft, EmbeddedVault, MasterKey, RandomSource, Sealer};

/// The instant at which the tests begin: 2026-03-01T00:00:00Z.
pub const START: i64 = 1_772_323_200_000_000;
pub const DAY: i64 = 86_400_000_000;

pub struct Random(Mutex<Seeded>);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(Seeded::new(seed)))
    }

    pub fn subject(&self) -> SubjectId {
        SubjectId::from_bytes(self.0.lock().unwrap().bytes16())
    }
}

impl RandomSource for Random {
    fn fill(&self, bytes: &mut [u8]) {
        let mut seeded = self.0.lock().unwrap();
        for byte in bytes {
            *byte = seeded.bits().to_be_bytes()[0];
        }
    }
}

pub struct Deployment {
    dir: tempfile::TempDir,
    pub journal: Arc<Interrupted>,
    pub vault: Arc<EmbeddedVault>,
    pub random: Random,
    clock: AtomicI64,
    events: AtomicU64,
}

impl Deployment {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let random = Random::new(1);
        let (journal, vault) = open(dir.path());
        let deployment = Self {
            dir,
            journal,
            vault,
            random,
            clock: AtomicI64::new(START),
            events: AtomicU64::new(1),
        };
        deployment.define(&programme(None)).await;
        deployment
    }

    /// Closes the stores and opens them again.
    pub fn reopened(self) -> Self {
        let Self {
            dir,
            journal,
            vault,
            random,
            clock,
            events,
        } = self;
        assert_eq!(
            Arc::strong_count(&journal),
            1,
            "the journal is still in use"
        );
        drop((journal, vault));
        let (journal, vault) = open(dir.path());
        Self {
            dir,
            journal,
            vault,
            random,
            clock,
            events,
        }
    }

    pub fn start(&self) -> Permit {
        self.start_with(Config::default())
    }

    pub fn start_with(&self, config: Config) -> Permit {
        let journal = Arc::clone(&self.journal) as Arc<dyn Journal>;
        let vault = Arc::clone(&self.vault) as Arc<dyn assent_vault::Vault>;
        Permit::start(journal, vault, config).unwrap()
    }

    /// The next instant; every call is later by more than clocks may be apart.
    pub fn now(&self) -> Timestamp {
        let step = CLOCK_TOLERANCE_MICROS + 1;
        Timestamp::from_micros(self.clock.fetch_add(step, Ordering::SeqCst))
    }

    pub async fn define(&self, programme: &Programme) {
        let state = RegistryState::fold(self.journal.as_ref()).await.unwrap();
        let plan = plan(&state, programme).unwrap();
        apply(self.journal.as_ref(), &plan, self.now())
            .await
            .unwrap();
    }

    pub fn event(&self) -> EventId {
        let number = self.events.fetch_add(1, Ordering::SeqCst);
        let mut id = [0; 16];
        id[8..].copy_from_slice(&number.to_be_bytes());
        EventId::from_bytes(id)
    }

    pub fn seal(&self, subject: SubjectId, times: Times, payload: Payload) -> Envelope {
        let draft = Draft {
            id: self.event(),
            subject,
            source: "test".to_owned(),
            message_id: self.event().to_string(),
            times,
            payload,
        };
        let sealer = Sealer::new(self.vault.as_ref(), &self.random);
        sealer.seal_batch(vec![draft]).unwrap().remove(0)
    }

    /// Journals what happens to a subject now; acknowledged when it returns.
    pub async fn tell(&self, subject: SubjectId, payload: impl Into<Payload>) -> Position {
        self.tell_at(subject, Times::at(self.now()), payload).await
    }

    pub async fn tell_at(
        &self,
        subject: SubjectId,
        times: Times,
        payload: impl Into<Payload>,
    ) -> Position {
        let envelope = self.seal(subject, times, payload.into());
        self.append(&subject, envelope.encode().unwrap()).await
    }

    /// As [`Deployment::tell`], by the message of this id.
    pub async fn tell_by(
        &self,
        message_id: &str,
        subject: SubjectId,
        payload: impl Into<Payload>,
    ) -> EventId {
        let mut envelope = self.seal(subject, Times::at(self.now()), payload.into());
        envelope.message_id = message_id.to_owned();
        self.append(&subject, envelope.encode().unwrap()).await;
        envelope.id
    }

    pub async fn append(&self, subject: &SubjectId, value: Vec<u8>) -> Position {
        self.append_raw(subject.as_bytes(), value).await
    }

    pub async fn append_raw(&self, key: &[u8], value: Vec<u8>) -> Position {
        let record = Record {
            topic: Topic::new(topics::CONSENT),
            key: key.to_vec().into(),
            value: value.into(),
            headers: Vec::new(),
        };
        self.journal.append(vec![record]).await.unwrap().remove(0)
    }

    /// Journals facts with the ids and times they have.
    pub async fn tell_facts(&self, facts: &[Fact]) {
        let sealer = Sealer::new(self.vault.as_ref(), &self.random);
        let drafts = facts
            .iter()
            .map(|fact| Draft {
                id: assent_testkit::events::event_of(fact),
                subject: fact.subject,
                source: "test".to_owned(),
                message_id: assent_testkit::events::event_of(fact).to_string(),
                times: assent_testkit::events::times_of(fact),
                payload: assent_testkit::events::payload_of(fact),
            })
            .collect();
        let records = sealer
            .seal_batch(drafts)
            .unwrap()
            .into_iter()
            .map(|envelope| Record {
                topic: Topic::new(topics::CONSENT),
                key: envelope.subject.as_bytes().to_vec().into(),
                value: envelope.encode().unwrap().into(),
                headers: Vec::new(),
            })
            .collect();
        self.journal.append(records).await.unwrap();
    }
}

fn open(dir: &Path) -> (Arc<Interrupted>, Arc<EmbeddedVault>) {
    let config = EmbeddedConfig::new(vec![
        (Topic::new(topics::CONSENT), 3),
        (Topic::new(topics::REGISTRY), 1),
    ]);
    let journal = EmbeddedJournal::open(&dir.join("journal.redb"), config).unwrap();
    let key = MasterKey::generate(&Random::new(9));
    let vault = EmbeddedVault::open(&dir.join("vault.redb"), key, Box::new(Random::new(5)));
    (
        Arc::new(Interrupted::new(Arc::new(journal))),
        Arc::new(vault.unwrap()),
    )
}

pub fn purpose_id(name: &str) -> PurposeId {
    PurposeId::parse(name).unwrap()
}

pub fn mail() -> Use {
    Use::of(purpose_id("mail"))
}

pub fn service() -> Use {
    Use::of(purpose_id("service"))
}

pub fn records() -> Use {
    Use::of(purpose_id("records"))
}

pub fn granted() -> ConsentDecision {
    ConsentDecision::granted("mail").notice("terms", 1)
}

pub fn withdrawn() -> ConsentDecision {
    ConsentDecision::withdrawn("mail")
}

fn purpose(name: &str, basis: LegalBasis, validity: Option<u32>) -> Purpose {
    Purpose {
        id: purpose_id(name),
        version: 1,
        title: BTreeMap::from([("en".to_owned(), name.to_owned())]),
        basis,
        citation: (basis == LegalBasis::LegalDuty).then(|| "a law".to_owned()),
        parent: None,
        categories: categories(),
        sensitive: BTreeSet::new(),
        personalises: false,
        channels: BTreeSet::new(),
        recipients: BTreeSet::new(),
        form: ConsentForm::General,
        grant_validity_days: validity,
        retention_days: BTreeMap::new(),
        default_retention_days: 365,
        reask_after_days: None,
        requires_known_age: false,
        marketing: false,
        export_namespaces: Vec::new(),
    }
}

fn categories() -> BTreeSet<Category> {
    ["contact", "transaction"]
        .into_iter()
        .map(|name| Category::parse(name).unwrap())
        .collect()
}

/// `mail` on consent, lasting as many days as told, `service` on contract and `records` on legal duty.
pub fn programme(validity: Option<u32>) -> Programme {
    let purposes = [
        purpose("mail", LegalBasis::Consent, validity),
        purpose("service", LegalBasis::Contract, None),
        purpose("records", LegalBasis::LegalDuty, None),
    ];
    let said = NoticedPurpose {
        method: "automatic".to_owned(),
        categories: categories(),
        sensitive: BTreeMap::new(),
        personalises: false,
        channels: BTreeSet::new(),
        recipients: BTreeMap::new(),
        retention: "a year, then deleted".to_owned(),
    };
    let notice = Notice {
        id: NoticeId::parse("terms").unwrap(),
        version: 1,
        change: NoticeChange::Material,
        effective_from: Timestamp::from_micros(START - 30 * DAY),
        handler: Handler {
            name: "Example Trading Co., Ltd.".to_owned(),
            contact: "privacy@example.invalid".to_owned(),
        },
        rights: "write to us".to_owned(),
        purposes: purposes
            .iter()
            .map(|purpose| (purpose.id.clone(), said.clone()))
            .collect(),
        texts: BTreeMap::from([("en".to_owned(), "terms".to_owned())]),
        exemption: None,
    };
    Programme {
        purposes: purposes.into_iter().map(|p| (p.id.clone(), p)).collect(),
        notices: BTreeMap::from([(notice.reference(), notice)]),
        ..Programme::default()
    }
}

/// A grant of `mail` as a fact, for building histories.
pub fn grant_fact(id: [u8; 16], subject: SubjectId, at: Timestamp) -> Fact {
    let mut decision = assent_consent::Decision::new(
        assent_consent::DecisionState::Granted,
        assent_consent::Selector::One(purpose_id("mail")),
    );
    decision.notice = Some("terms@1".parse().unwrap());
    Fact {
        id,
        subject,
        event_time: at,
        received_at: at,
        order: 0,
        kind: FactKind::Decision(decision),
    }
}
