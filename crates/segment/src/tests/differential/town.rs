//! A generated town: a programme, people who decided, linked and parted, and what was told of them; folded by the real
//! stores, and known to the naive tables as the list it was made from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use assent_consent::{Calendar, Category, Fact, FactKind, SubjectId, Timestamp, Use};
use assent_programme::{Principal, Programme, Role, Settings, SourceDefinition, token_sha256};
use assent_testkit::events::{event_of, payload_of, times_of};
use assent_testkit::generate::{self, PURPOSES, day_zero};
use assent_testkit::seeded::Seeded;
use assent_vault::Draft;
use serde_json::json;
use tokio::runtime::Runtime;

use super::people::{self, catalog};
use crate::guards::Guards;
use crate::tests::distribution::Team;
use crate::tests::house::{DAY, House, Layout, Repeating, Standstill};
use crate::tests::naive::{NaiveTable, Told, category};
use crate::tests::plain::{Cut, Plain};
use crate::{Asked, Engine, LawfulSession, Limits, Worker};

/// How many stories of four subjects a town has.
const STORIES: usize = 14;
/// The properties of events that are declared sensitive.
const SENSITIVE: [(&str, &str); 2] = [("symptom", "health"), ("where", "location")];

/// One session to open: a use, and the evaluation time of one that looks back.
#[derive(Debug, Clone)]
pub struct Asking {
    pub use_: Use,
    pub as_of: Option<Timestamp>,
}

/// Everything a town is made of, without the stores.
pub struct Plan {
    pub seed: u64,
    pub told: Told,
    pub now: Timestamp,
    pub askings: Vec<Asking>,
    /// Whose texts carry which number.
    pub people: Vec<SubjectId>,
    programme: Programme,
    layout: Layout,
    partitions: usize,
}

impl Plan {
    /// The town of a seed.
    pub fn of(seed: u64) -> Self {
        let mut seeded = Seeded::new(seed.wrapping_mul(0x9e37_79b9).wrapping_add(1));
        let calendar = *seeded.pick(&[
            Calendar::default(),
            Calendar::named("UTC").expect("a zone"),
            Calendar::named("America/New_York").expect("a zone"),
        ]);
        let mut registry = generate::registry(&mut seeded);
        registry.set_calendar(calendar);
        let keeping: Vec<_> = registry.purposes().cloned().collect();
        for mut purpose in keeping {
            purpose.default_retention_days = *seeded.pick(&[30, 120, 300, 400, 700]);
            for name in ["behaviour", "transaction", "profile", "subscription"] {
                if seeded.chance(35) {
                    let days = *seeded.pick(&[20, 90, 200, 365]);
                    purpose.retention_days.insert(category(name), days);
                }
            }
            registry.insert_purpose(purpose);
        }
        let uses: Vec<Use> = (0..3)
            .map(|_| {
                let purpose = seeded.word(&PURPOSES).parse().expect("a purpose");
                generate::a_use(&registry, purpose, &mut seeded)
            })
            .collect();
        let now = day_zero().plus_micros(seeded.between(96 * 24, 125 * 24) * DAY / 24);
        let (mut facts, mut subjects) = (Vec::new(), Vec::new());
        for story in 0..STORIES {
            let told = generate::story_of(registry.clone(), &uses, seed * 1_000 + story as u64);
            facts.extend(told.history);
            subjects.extend(told.subjects);
        }
        // They are told in the order that each story says the logs have.
        facts.sort_by_key(|fact: &Fact| fact.order);
        let catalog = catalog(&mut seeded);
        let drafts = people::drafts(&mut seeded, &subjects, now);
        let mut askings: Vec<Asking> = uses
            .iter()
            .map(|use_| Asking {
                use_: use_.clone(),
                as_of: None,
            })
            .collect();
        askings.push(Asking {
            use_: uses[0].clone(),
            as_of: Some(day_zero().plus_micros(seeded.between(25 * 24, 95 * 24) * DAY / 24)),
        });
        let settings = Settings {
            calendar,
            k: u32::try_from(seeded.between(2, 6)).expect("small"),
            ..Settings::default()
        };
        let programme = Programme {
            purposes: registry
                .purposes()
                .map(|purpose| (purpose.id.clone(), purpose.clone()))
                .collect(),
            notices: registry
                .notices()
                .map(|notice| (notice.reference(), notice.clone()))
                .collect(),
            sources: vec![source()],
            traits: catalog.clone(),
            settings,
            ..Programme::default()
        };
        let properties: BTreeMap<String, Category> = SENSITIVE
            .iter()
            .map(|(name, of)| ((*name).to_owned(), category(of)))
            .collect();
        Self {
            seed,
            told: Told {
                drafts,
                facts,
                consent: registry,
                catalog,
                properties,
                k: programme.settings.k as usize,
            },
            now,
            askings,
            people: subjects,
            programme,
            layout: Layout {
                max_files: *seeded.pick(&[1, 100, 1, 3]),
                batch_records: *seeded.pick(&[1_000, 40, 100]),
                row_group_rows: *seeded.pick(&[1_000, 16, 1_000, 4]),
                cluster_rows: *seeded.pick(&[None, Some(4), Some(30)]),
            },
            partitions: *seeded.pick(&[1, 2, 3]),
        }
    }

    /// The same town without these people.
    pub fn without(&mut self, gone: &BTreeSet<SubjectId>) {
        self.told
            .drafts
            .retain(|draft| !gone.contains(&draft.subject));
        self.told.facts.retain(|fact| {
            let other = match &fact.kind {
                FactKind::Linked { other } | FactKind::Unlinked { other } => Some(other),
                _ => None,
            };
            !gone.contains(&fact.subject) && other.is_none_or(|other| !gone.contains(other))
        });
    }

    /// Founds the town: journals and folds everything.
    pub fn found(self) -> Town {
        self.found_with(Guards::ALL)
    }

    /// The same with an engine of which not every guard stands.
    pub fn found_with(self, guards: Guards) -> Town {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let house = runtime.block_on(self.tell());
        let engine = Engine::guarded(
            house.stores(),
            Standstill::at(self.now).clock(),
            Arc::new(Repeating::default()),
            self.limits(),
            (guards, None),
        );
        Town {
            plan: self,
            runtime,
            engine,
            _workers: Vec::new(),
            _house: house,
        }
    }

    /// The same town, in which so many workers help with every query.
    pub fn found_with_workers(self, workers: usize) -> Town {
        let alone = self.found();
        let (house, clock) = (&alone._house, Standstill::at(alone.plan.now));
        let limits = alone.plan.limits();
        let team = Team::of(house, &clock, &limits, workers);
        let team = alone.runtime.block_on(team);
        Town {
            engine: team.engine,
            _workers: team.workers,
            ..alone
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            partitions: self.partitions,
            ..Limits::default()
        }
    }

    async fn tell(&self) -> House {
        let officer = Principal {
            name: "officer".to_owned(),
            token_sha256: token_sha256("officer"),
            role: Role::Officer,
            purposes: self.programme.purposes.keys().cloned().collect(),
            revoked: false,
        };
        let mut house = House::open(
            &self.programme,
            vec![officer],
            day_zero().plus_micros(-600 * DAY),
            &self.layout,
        )
        .await;
        let (early, late) = self.told.drafts.split_at(self.told.drafts.len() / 2);
        house.tell(early.to_vec()).await;
        house.project().await;
        house.tell(self.facts()).await;
        house.tell(late.to_vec()).await;
        house.project().await;
        house.permit.barrier().await.expect("the barrier");
        house
    }

    fn facts(&self) -> Vec<Draft> {
        self.told
            .facts
            .iter()
            .map(|fact| Draft {
                id: event_of(fact),
                subject: fact.subject,
                source: "shop".to_owned(),
                message_id: event_of(fact).to_string(),
                times: times_of(fact),
                payload: payload_of(fact),
            })
            .collect()
    }
}

fn source() -> SourceDefinition {
    serde_json::from_value(json!({
        "id": "shop", "kind": "server", "description": "the shop",
        "write_key_sha256": token_sha256("write"), "sample": false,
        "namespaces": {"user_id": "customer_number", "anonymous_id": "device"},
        "identifiers": {}, "origins": [], "gpc_purposes": [], "consent_categories": {},
        "sensitive_properties": BTreeMap::from(SENSITIVE),
        "account_traits": {"name": "name", "industry": "industry", "size_band": "size_band",
            "country": "country", "role": "role", "buying_role": "buying_role",
            "department": "department"},
    }))
    .expect("a source")
}

/// A town with its stores open.
pub struct Town {
    pub plan: Plan,
    pub runtime: Runtime,
    engine: Arc<Engine>,
    _workers: Vec<Worker>,
    _house: House,
}

impl Town {
    pub fn has_workers(&self) -> bool {
        self.engine.fleet.is_some()
    }

    /// How many queries were answered with the help of workers, and how many had to be run again without.
    pub fn outcomes(&self) -> [u64; 2] {
        let fleet = self.engine.fleet.as_ref();
        fleet.map_or([0, 0], |fleet| fleet.outcomes())
    }

    /// A plain engine over tables of this town.
    pub fn plain(&self, tables: &[NaiveTable], at: Timestamp, cut: Cut) -> Plain {
        Plain::over(tables, at, self.plan.told.consent.calendar(), cut)
    }

    pub fn open(&self, asking: &Asking) -> LawfulSession {
        let registry = self.engine.permit().registry();
        let officer = registry.principal("officer").expect("a principal");
        self.runtime
            .block_on(LawfulSession::open(
                &self.engine,
                officer,
                &Asked::from(&asking.use_),
                asking.as_of,
            ))
            .expect("a session")
    }
}
