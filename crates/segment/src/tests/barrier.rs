//! I2 under load: whoever withdrew, and was told so, is in no session that is opened afterwards, whatever else goes on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use assent_consent::SubjectId;
use assent_event::ConsentDecision;
use assent_testkit::seeded::Seeded;

use super::world::{self, Person, World, fresh};
use crate::guards::{Guard, Guards};
use crate::{Asked, Engine, LawfulSession, Limits};

/// Trials of the plain test.
const TRIALS: u64 = 4_000;
/// How many tasks decide and read, and how many only decide.
const READERS: u64 = 4;
const WRITERS: u64 = 2;
/// Decisions of one subject before the next takes its place, so that no history becomes long.
const EACH: u64 = 20;
/// Of so many trials one asks by SQL, about somebody with a profile.
const ASKED: u64 = 40;
/// People of the world who are linked with nobody.
const ALONE: std::ops::Range<usize> = 24..59;

/// What came of some trials.
#[derive(Debug, Default)]
struct Outcome {
    trials: u64,
    /// Answers that did not honour what was acknowledged before.
    stale: u64,
    /// From the acknowledgement until the barrier let through.
    waits: Vec<Duration>,
    /// From the acknowledgement until a session stood.
    opened: Vec<Duration>,
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.trials += other.trials;
        self.stale += other.stale;
        self.waits.extend(other.waits);
        self.opened.extend(other.opened);
    }

    fn told(&mut self) -> String {
        let percentiles = |times: &mut Vec<Duration>| {
            times.sort();
            let at = |share: usize| times[(times.len() - 1) * share / 100];
            format!(
                "p50 {:.1?}, p99 {:.1?}, greatest {:.1?}",
                at(50),
                at(99),
                at(100)
            )
        };
        format!(
            "{} trials, {} stale; barrier: {}; session: {}",
            self.trials,
            self.stale,
            percentiles(&mut self.waits),
            percentiles(&mut self.opened)
        )
    }
}

/// Decides, is told that it counts, and looks at once.
struct Reader {
    world: Arc<World>,
    engine: Arc<Engine>,
    seeded: Seeded,
    /// How often each of the people has decided; an even number leaves them granted.
    decided: BTreeMap<usize, u64>,
    people: Vec<usize>,
}

impl Reader {
    async fn run(mut self, trials: u64) -> Outcome {
        let mut outcome = Outcome::default();
        let mut subject = self.stranger();
        for trial in 0..trials {
            if trial % EACH == 0 {
                subject = self.stranger();
            }
            if trial % ASKED == ASKED - 1 {
                let who =
                    self.people[usize::try_from(trial / ASKED).expect("small") % self.people.len()];
                outcome.stale += u64::from(!self.is_honoured_in_an_answer(who).await);
            } else {
                let grants = trial % 2 == 0;
                self.tell(subject, grants).await;
                outcome.stale += u64::from(self.permits(subject, &mut outcome).await != grants);
            }
            outcome.trials += 1;
        }
        outcome
    }

    fn stranger(&mut self) -> SubjectId {
        SubjectId::from_bytes(self.seeded.bytes16())
    }

    async fn tell(&self, subject: SubjectId, grants: bool) {
        tell(&self.world, subject, grants).await;
    }

    async fn open(&self) -> LawfulSession {
        let asked = Asked {
            purpose: Some("marketing".to_owned()),
            ..Asked::default()
        };
        let analyst = self.world.principal("analyst");
        let session = LawfulSession::open(&self.engine, &analyst, &asked, None);
        session.await.expect("a session")
    }

    /// Whether a session opened now may read the subject.
    async fn permits(&mut self, subject: SubjectId, outcome: &mut Outcome) -> bool {
        let acknowledged = Instant::now();
        // Every other time the barrier is asked by itself, to see how long it takes.
        if self.seeded.chance(50) && self.engine.guards.stand(Guard::Barrier) {
            self.engine.permit().barrier().await.expect("the barrier");
            outcome.waits.push(acknowledged.elapsed());
        }
        let session = self.open().await;
        outcome.opened.push(acknowledged.elapsed());
        let standing = &session.gate.standing;
        standing
            .number_of(&subject)
            .is_some_and(|number| standing.is_lawful(number))
    }

    async fn is_honoured_in_an_answer(&mut self, who: usize) -> bool {
        let times = self.decided.entry(who).or_default();
        let grants = (*times).is_multiple_of(2);
        *times += 1;
        tell(&self.world, self.world.people[who].subject, grants).await;
        let sql = format!(
            "SELECT 1 FROM members WHERE city = '{}-city'",
            Person::canary(who)
        );
        let rows = self.open().await.query(&sql).await.expect("rows").rows;
        rows == usize::from(grants)
    }
}

async fn tell(world: &World, subject: SubjectId, grants: bool) {
    let decision = if grants {
        ConsentDecision::granted("marketing")
    } else {
        ConsentDecision::withdrawn("marketing")
    };
    world
        .house
        .tell(vec![world::decided(world, subject, decision)])
        .await;
}

/// Decides as fast as it can until told to stop.
async fn write(world: Arc<World>, seed: u64, stop: Arc<AtomicBool>, written: Arc<AtomicU64>) {
    let mut seeded = Seeded::new(seed);
    while !stop.load(Ordering::SeqCst) {
        let subject = SubjectId::from_bytes(seeded.bytes16());
        tell(&world, subject, seeded.chance(50)).await;
        written.fetch_add(1, Ordering::SeqCst);
    }
}

/// So many trials by several readers among several writers.
fn trials(world: &Arc<World>, engine: &Arc<Engine>, trials: u64) -> Outcome {
    let stop = Arc::new(AtomicBool::new(false));
    let written = Arc::new(AtomicU64::new(0));
    world.runtime.block_on(async {
        let writers: Vec<_> = (0..WRITERS)
            .map(|seed| {
                let (stop, written) = (Arc::clone(&stop), Arc::clone(&written));
                tokio::spawn(write(Arc::clone(world), 1_000 + seed, stop, written))
            })
            .collect();
        let readers: Vec<_> = (0..READERS)
            .map(|seed| {
                let share = |who: &usize| *who as u64 % READERS == seed;
                let reader = Reader {
                    world: Arc::clone(world),
                    engine: Arc::clone(engine),
                    seeded: Seeded::new(seed),
                    decided: BTreeMap::new(),
                    people: ALONE.filter(share).collect(),
                };
                tokio::spawn(reader.run(trials / READERS))
            })
            .collect();
        let mut outcome = Outcome::default();
        for reader in readers {
            outcome.add(reader.await.expect("a reader"));
        }
        stop.store(true, Ordering::SeqCst);
        for writer in writers {
            writer.await.expect("a writer");
        }
        println!(
            "{}; {} other decisions meanwhile",
            outcome.told(),
            written.load(Ordering::SeqCst)
        );
        assert!(
            written.load(Ordering::SeqCst) > trials / 20,
            "the load was none"
        );
        outcome
    })
}

fn besieged() -> (Arc<World>, Arc<Engine>) {
    let world = fresh();
    let engine = world.engine_within(Limits::default());
    (Arc::new(world), engine)
}

#[test]
fn four_thousand_sessions_under_load_and_none_is_stale() {
    let (world, engine) = besieged();
    assert_eq!(trials(&world, &engine, TRIALS).stale, 0);
}

/// A permit index that is late makes sessions wait, and makes none stale.
#[test]
fn a_slow_index_makes_sessions_wait() {
    let (world, engine) = besieged();
    let delay = Duration::from_millis(20);
    world.house.journal.delay_consent(delay);
    let mut outcome = trials(&world, &engine, 200);
    assert_eq!(outcome.stale, 0);
    outcome.waits.sort();
    let median = outcome.waits[outcome.waits.len() / 2];
    assert!(median >= delay / 2, "{median:?}");
}

/// The control: the same trials find stale sessions when the barrier is off.
#[test]
fn without_the_barrier_sessions_are_stale() {
    let (world, _) = besieged();
    let engine = world.engine_guarded(Limits::default(), Guards::without(&[Guard::Barrier]));
    world.house.journal.delay_consent(Duration::from_millis(20));
    let mut outcome = Outcome::default();
    world.runtime.block_on(async {
        let reader = Reader {
            world: Arc::clone(&world),
            engine,
            seeded: Seeded::new(1),
            decided: BTreeMap::new(),
            people: ALONE.collect(),
        };
        outcome = reader.run(100).await;
    });
    assert!(
        outcome.stale > 20,
        "{} of {}",
        outcome.stale,
        outcome.trials
    );
}

/// As many trials as `ASSENT_BARRIER_TRIALS` says; `cargo xtask fuzz barrier` sets it.
#[test]
#[ignore = "runs for long"]
fn barrier() {
    let text = std::env::var("ASSENT_BARRIER_TRIALS").ok();
    let count = text.map_or(100_000, |text| text.parse().expect("a number"));
    let (world, engine) = besieged();
    assert_eq!(trials(&world, &engine, count).stale, 0);
}
