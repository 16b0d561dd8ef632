//! One small world of people, decisions and events, folded by the real stores and shared by all tests.

pub mod programme;

use std::sync::{Arc, OnceLock};

use assent_consent::{Category, SubjectId, Timestamp};
use assent_event::{
    AccountMembership, Behaviour, ConsentDecision, EventId, Identifier, IdentityLink, Payload,
    SubscriptionChange, Times, Traits,
};
use assent_programme::{Principal, RegistryState};
use assent_vault::{Draft, Vault};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;

use super::house::{DAY, House, Layout, Repeating, Standstill};
use super::naive::Told;
use crate::guards::Guards;
use crate::{Asked, Engine, LawfulSession, Limits, QueryResult};

/// How many people there are.
pub const PEOPLE: usize = 59;

/// Noon in Shanghai on 1 September 2026: the present of all tests.
pub fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-09-01T04:00:00Z").expect("a time")
}

pub fn days_ago(days: i64) -> Timestamp {
    now().plus_micros(-days * DAY)
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
    pub house: House,
    pub clock: Standstill,
    pub registry: Arc<RegistryState>,
    pub people: Vec<Person>,
    pub told: Told,
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
    let (house, people, told) = runtime.block_on(make(max_files));
    let clock = Standstill::at(now());
    World {
        runtime,
        engine: engine(&house, &clock, Limits::default(), Guards::ALL),
        registry: house.permit.registry(),
        house,
        clock,
        people,
        told,
    }
}

fn engine(house: &House, clock: &Standstill, limits: Limits, guards: Guards) -> Arc<Engine> {
    let random = Arc::new(Repeating::default());
    Engine::guarded(
        house.stores(),
        clock.clock(),
        random,
        limits,
        (guards, None),
    )
}

impl World {
    /// Another engine over the same stores.
    pub fn engine_within(&self, limits: Limits) -> Arc<Engine> {
        self.engine_guarded(limits, Guards::ALL)
    }

    /// Another engine over the same stores, of which not every guard stands.
    pub fn engine_guarded(&self, limits: Limits, guards: Guards) -> Arc<Engine> {
        engine(&self.house, &self.clock, limits, guards)
    }

    pub fn principal(&self, name: &str) -> Principal {
        self.registry.principal(name).expect("a principal").clone()
    }

    pub fn open(&self, purpose: &str) -> LawfulSession {
        self.open_as_of(purpose, None)
    }

    pub fn open_as_of(&self, purpose: &str, as_of: Option<Timestamp>) -> LawfulSession {
        self.runtime.block_on(async {
            let asked = Asked {
                purpose: Some(purpose.to_owned()),
                ..Asked::default()
            };
            LawfulSession::open(&self.engine, &self.principal("analyst"), &asked, as_of)
                .await
                .expect("a session")
        })
    }

    pub fn for_segment(&self, name: &str) -> LawfulSession {
        let analyst = self.principal("analyst");
        self.runtime
            .block_on(LawfulSession::for_segment(
                &self.engine,
                &analyst,
                name,
                None,
            ))
            .expect("a session")
    }

    pub fn ask(&self, purpose: &str, sql: &str) -> crate::Result<QueryResult> {
        let session = self.open(purpose);
        self.runtime.block_on(session.query(sql))
    }

    /// Everything that an answer shows, as text.
    pub fn seen(&self, purpose: &str, sql: &str) -> String {
        match self.ask(purpose, sql) {
            Ok(result) => {
                String::from_utf8(result.encode(crate::format::Format::Json).expect("json"))
                    .expect("utf-8")
            }
            Err(error) => error.to_string(),
        }
    }
}

/// Links: granted with nothing; granted twice; granted with refused; three in a row.
pub const LINKS: &[(usize, usize)] = &[(0, 1), (5, 6), (11, 14), (17, 18), (18, 23)];

struct Making {
    drafts: Vec<Draft>,
    people: Vec<Person>,
    count: u64,
}

impl Making {
    fn say(&mut self, who: usize, at: Timestamp, payload: Payload) {
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
    }

    fn decide(&mut self, who: usize, at: Timestamp, decision: ConsentDecision) {
        let decision = decision.notice("privacy", 1);
        self.say(who, at, Payload::ConsentDecision(decision));
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
                    // Declared by a source that was retired.
                    .property("Mood", format!("{canary}-open"))
                    .property(
                        "bag",
                        json!({"till_card": format!("{canary}-open"), "size": 3}),
                    )
                    // An identifier by its words.
                    .property("workEmail", format!("{canary}-open"))
                    .sensitive("symptom", format!("{canary}-symptom"))
                    .sensitive(
                        "health_form",
                        json!({"fingerprint": format!("{canary}-print"),
                               "phone": format!("{canary}-phone"), "pulse": 60}),
                    );
                // Whoever did it had refused marketing then.
                if who % 5 == 0 && round == 1 {
                    behaviour = behaviour
                        .property("mark", format!("{canary}-refused"))
                        .denied(["marketing"]);
                }
                if name == "purchase" {
                    behaviour = behaviour
                        .revenue(Person::number(who) + round as f64, "CNY")
                        .product(format!("{canary}-product"));
                }
                self.say(who, at, Payload::Behaviour(behaviour));
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
                account: match index % 20 {
                    // One that is too small to be counted.
                    4 => Some("few".to_owned()),
                    _ => (index % 3 == 0).then(|| format!("a{}", index % 12)),
                },
                role: format!("{canary}-role"),
                told_at: days_ago(200 + index as i64),
            }
        })
        .collect()
}

/// Tells everything, in the order in which it is journalled and folded.
async fn make(max_files: usize) -> (House, Vec<Person>, Told) {
    let programme = programme::programme();
    let mut before = programme.clone();
    before.sources.push(programme::retired_source());
    let mut house = House::open(
        &before,
        programme::principals(),
        days_ago(600),
        &Layout::of_files(max_files),
    )
    .await;
    house.redefine(&programme, days_ago(600)).await;
    let mut making = Making {
        people: people(house.vault.as_ref()),
        drafts: Vec::new(),
        count: 0,
    };
    making.traits();
    let mut drafts = std::mem::take(&mut making.drafts);
    house.tell(drafts.clone()).await;
    house.project().await;
    making.consent();
    let facts = house.tell(std::mem::take(&mut making.drafts)).await;
    making.deeds();
    house.tell(making.drafts.clone()).await;
    house.project().await;
    house.permit.barrier().await.expect("the barrier");
    drafts.extend(making.drafts);
    let told = Told {
        drafts,
        facts,
        consent: house.permit.registry().consent().clone(),
        catalog: programme.traits,
        properties: [(
            "symptom".to_owned(),
            Category::parse("health").expect("a category"),
        )]
        .into(),
        k: programme.settings.k as usize,
    };
    (house, making.people, told)
}

/// Journals one more decision of a person, now.
pub fn decide(world: &World, who: usize, decision: ConsentDecision) {
    let draft = decided(world, world.people[who].subject, decision);
    world.runtime.block_on(world.house.tell(vec![draft]));
}

/// A decision made now, to be journalled.
pub fn decided(world: &World, subject: SubjectId, decision: ConsentDecision) -> Draft {
    let at = world.clock.tick();
    let mut id = [0xEE; 16];
    id[8..].copy_from_slice(&at.micros().to_be_bytes());
    let id = EventId::from_bytes(id);
    Draft {
        id,
        subject,
        source: "shop".to_owned(),
        message_id: id.to_string(),
        times: Times::at(at),
        payload: Payload::ConsentDecision(decision.notice("privacy", 1)),
    }
}
