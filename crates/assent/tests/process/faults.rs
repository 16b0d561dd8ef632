//! Processes killed and paused, their database and their brokers restarted, under load: every event that was acknowledged
//! is counted once (I3), and no withdrawal that was acknowledged is ignored by a later query (I2).
//!
//! The plain test command tries a few faults once; with `ASSENT_FAULTS` all of them are tried, for so many rounds or, if it is
//! `long`, for eight.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::deployed::{Brokers, Deployment, bucket, ready, shards, try_asked, until};
use crate::orders;
use crate::proxies::Moment;
use crate::proxies::bucket::{BucketProxy, Fate};
use crate::running::{Server, decision};

/// Shards of the deployment.
const PARTITIONS: u64 = 4;
/// Orders of one request.
const BATCH: u64 = 10;
/// Members the orders are of.
const BUYERS: u64 = 13;
/// Threads that grant, ask, withdraw and ask, each about a member of its own.
const WAVERERS: u64 = 2;
/// What a projector may be silent for before its share goes to others.
const SESSION: Duration = Duration::from_secs(3);
/// How long the object store is in trouble, at least.
const TROUBLE: Duration = Duration::from_secs(3);
/// Until a client gives up: more than any fault of these takes.
const PATIENCE: Duration = Duration::from_secs(90);

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// `kill -9` of a process that takes events in, started again.
    Intake,
    /// Of one that folds.
    Projector,
    /// Of one that answers.
    Query,
    /// A projector is stopped until its share went to another, and wakes.
    Zombie,
    /// PostgreSQL ends as in a crash and is started again.
    Database,
    /// A broker is killed and started again.
    Broker,
    /// Projectors come and go, some by `kill -9`.
    Storm,
    /// The object store refuses requests, and breaks connections before and after it did what was asked.
    Store,
}

impl Fault {
    const PICKED: [Self; 5] = [
        Self::Projector,
        Self::Intake,
        Self::Zombie,
        Self::Query,
        Self::Store,
    ];
    const ALL: [Self; 8] = [
        Self::Projector,
        Self::Intake,
        Self::Zombie,
        Self::Query,
        Self::Database,
        Self::Broker,
        Self::Storm,
        Self::Store,
    ];
}

/// Two processes of each role; one of each pair may be missing for a while.
struct Roles<'a> {
    deployment: &'a Deployment,
    intakes: Pair,
    projectors: Pair,
    queries: Pair,
    /// Before the bucket, where there is one.
    store: Option<BucketProxy>,
}

struct Pair {
    role: &'static str,
    servers: [std::sync::RwLock<Option<Server>>; 2],
}

impl Pair {
    fn start(deployment: &Deployment, role: &'static str) -> Self {
        let servers = [0, 1].map(|which| {
            let server = deployment.serve(&format!("{role}-{which}"), role);
            std::sync::RwLock::new(Some(server))
        });
        Self { role, servers }
    }

    /// Speaks to one of the two, if it is there.
    fn with<T>(&self, which: usize, speak: impl FnOnce(&Server) -> T) -> Option<T> {
        let server = self.servers[which % 2].read().unwrap();
        server.as_ref().map(speak)
    }

    /// SIGKILL, and away with it.
    fn kill(&self, which: usize) {
        self.with(which, Server::signal_kill);
        // A request under way holds it until its connection breaks.
        *self.servers[which % 2].write().unwrap() = None;
    }

    fn start_again(&self, deployment: &Deployment, which: usize) {
        let name = format!("{}-{}", self.role, which % 2);
        let server = deployment.serve(&name, self.role);
        until("the process to be ready again", || ready(&server));
        *self.servers[which % 2].write().unwrap() = Some(server);
    }
}

/// What clients did so far, and whether they are to go on.
#[derive(Default)]
struct Load {
    ended: AtomicBool,
    /// Batches of orders that were acknowledged, by number.
    batches: AtomicU64,
    /// Queries asked after an acknowledgement, and those of them that were refused.
    asked: AtomicU64,
    refused: AtomicU64,
}

impl Load {
    fn goes_on(&self) -> bool {
        !self.ended.load(Ordering::SeqCst)
    }

    /// Waits until clients of every kind have got somewhere.
    fn progresses(&self, what: &str) {
        let seen = || {
            (
                self.batches.load(Ordering::SeqCst),
                self.asked.load(Ordering::SeqCst) - self.refused.load(Ordering::SeqCst),
            )
        };
        let before = seen();
        let begin = Instant::now();
        while seen().0 < before.0 + 3 || seen().1 < before.1 + 4 {
            assert!(
                begin.elapsed() < PATIENCE,
                "{what}: {before:?} became {:?} only",
                seen()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Roles<'_> {
    /// Posts until it is acknowledged, by one intake or the other, as a client does who gets no answer or 503.
    fn post(&self, path: &str, body: &Value, first: usize) {
        let begin = Instant::now();
        for turn in first.. {
            let answer = self
                .intakes
                .with(turn, |server| server.post(path, "demo-server-key", body))
                .flatten();
            match answer {
                Some(answer) if answer.status == 200 => {
                    // Of a process that was killed meanwhile half of it may be missing.
                    if let Ok(told) = serde_json::from_slice::<Value>(&answer.body) {
                        assert_eq!(told["rejected"], Value::Null, "{told}");
                        return;
                    }
                }
                Some(answer) => assert_eq!(answer.status, 503, "{:?}", answer.json()),
                None => {}
            }
            assert!(begin.elapsed() < PATIENCE, "nobody acknowledges {path}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn orders(&self, load: &Load) {
        for number in 0.. {
            if !load.goes_on() {
                return;
            }
            let orders = orders::batch(number * BATCH, BATCH, BUYERS);
            self.post("/v1/batch", &orders, (number % 2) as usize);
            load.batches.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn decide(&self, customer: &str, state: &str, message: &str, first: usize) {
        let decision = decision(customer, state, message);
        self.post("/v1/consents", &decision, first);
    }

    /// Whether a query asked now shows the member; `None` where it is refused, or nobody answers.
    fn shows(&self, token: &str, city: &str, which: usize) -> Option<bool> {
        let sql = format!("SELECT count(*) AS n FROM members WHERE city = '{city}'");
        let answer = self
            .queries
            .with(which, |server| try_asked(server, token, &sql));
        let (status, n) = answer.flatten()?;
        match status {
            200 => Some(n.as_u64() == Some(1) || n.as_str() == Some("1")),
            503 => None,
            other => panic!("{other} for {sql}"),
        }
    }

    /// Grants, asks, withdraws, asks. What was acknowledged counts for the very next query, wherever it is asked.
    fn wavers(&self, load: &Load, token: &str, who: u64) {
        let customer = format!("waverer-{who}");
        for trial in 0.. {
            for (state, shown) in [("granted", true), ("withdrawn", false)] {
                if !load.goes_on() {
                    return;
                }
                let turn = (trial + who) as usize;
                self.decide(
                    &customer,
                    state,
                    &format!("{customer}-{state}-{trial}"),
                    turn,
                );
                let seen = self.shows(token, &customer, turn + usize::from(shown));
                load.asked.fetch_add(1, Ordering::SeqCst);
                match seen {
                    Some(seen) => assert_eq!(
                        seen, shown,
                        "{customer}, trial {trial}: {state}, and a query does not know"
                    ),
                    None => {
                        load.refused.fetch_add(1, Ordering::SeqCst);
                    }
                }
            }
        }
    }

    fn inject(&self, fault: Fault, round: usize, load: &Load) {
        let pair = match fault {
            Fault::Intake => Some(&self.intakes),
            Fault::Projector => Some(&self.projectors),
            Fault::Query => Some(&self.queries),
            Fault::Zombie | Fault::Database | Fault::Broker | Fault::Storm | Fault::Store => None,
        };
        if let Some(pair) = pair {
            pair.kill(round);
            load.progresses("with one of two");
            pair.start_again(self.deployment, round);
        }
        match fault {
            Fault::Intake | Fault::Projector | Fault::Query => {}
            Fault::Zombie => self.sleeps(round),
            Fault::Database => {
                shell(&std::env::var("ASSENT_POSTGRES_RESTART").expect("told with ASSENT_POSTGRES"))
            }
            Fault::Broker => {
                let broker = |command: &str| {
                    let xtask = std::env::var("ASSENT_XTASK").expect("told with the brokers");
                    let number = round % 3 + 1;
                    shell(&format!("{xtask} kafka {command} {number} --brokers 3"));
                };
                broker("kill");
                load.progresses("with two of three brokers");
                broker("start");
            }
            Fault::Storm => self.storm(round),
            Fault::Store => {
                let store = self.store.as_ref().expect("tried only where there is one");
                troubled(store, || load.progresses("with a store in trouble"));
            }
        }
    }

    /// A projector is stopped where it stands for longer than its session, and wakes when its share is somebody else's.
    fn sleeps(&self, which: usize) {
        let signal = |name: &str| {
            self.projectors.with(which, |server| server.signal(name));
        };
        let held = || self.projectors.with(which + 1, shards).unwrap_or_default();
        signal("STOP");
        std::thread::sleep(SESSION);
        until("the other to hold all shards", || held() == PARTITIONS);
        signal("CONT");
        until("a share for each again", || held() < PARTITIONS);
    }

    fn storm(&self, round: usize) {
        let mut guests: Vec<Server> = Vec::new();
        for turn in 0..12_usize {
            if guests.len() < 3 && (turn + round) % 3 != 2 {
                guests.push(
                    self.deployment
                        .serve(&format!("guest-{round}-{turn}"), "projector"),
                );
            } else if let Some(guest) = guests.pop() {
                if turn % 2 == 0 {
                    guest.signal_kill();
                } else {
                    assert!(guest.stop(), "a guest leaves in good order");
                }
            }
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}

/// While `work` goes on, two requests of five do not get the store's answer.
fn troubled(store: &BucketProxy, work: impl FnOnce()) {
    let requests = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&requests);
    store.rule(move |_, moment| {
        // Both moments of a request count, so that all kinds of trouble meet all kinds of requests in the course of time.
        match (counted.fetch_add(1, Ordering::SeqCst) % 17, moment) {
            (0 | 5, Moment::Before) => Fate::Refused,
            (1 | 6, Moment::Before) | (2..=4 | 11, Moment::After) => Fate::Lost,
            (_, _) => Fate::GoesOn,
        }
    });
    work();
    std::thread::sleep(TROUBLE);
    store.calm();
    let requests = requests.load(Ordering::SeqCst);
    assert!(
        requests > 50,
        "only {requests} requests met with trouble, or none"
    );
}

fn shell(line: &str) {
    let status = Command::new("sh").args(["-c", line]).status();
    assert!(status.is_ok_and(|status| status.success()), "{line}");
}

#[test]
fn faults_of_roles_lose_nothing_and_ignore_nothing() {
    let (faults, rounds) = match std::env::var("ASSENT_FAULTS").as_deref() {
        Ok("long") => (&Fault::ALL[..], 8),
        Ok(number) => {
            let rounds = number.parse();
            (
                &Fault::ALL[..],
                rounds.expect("ASSENT_FAULTS is `long` or a number"),
            )
        }
        Err(_) => (&Fault::PICKED[..], 1),
    };
    let address = std::env::var("ASSENT_S3").ok();
    let store = address.map(|address| BucketProxy::before(&address));
    let faults: Vec<Fault> = faults
        .iter()
        .copied()
        .filter(|fault| store.is_some() || !matches!(fault, Fault::Store))
        .collect();
    let profiles = match &store {
        Some(store) => bucket(&store.address()),
        None => "[profiles]\ndir = \"profiles\"".to_owned(),
    };
    let Some(deployment) = Deployment::new(Brokers::Three, PARTITIONS, &profiles) else {
        return;
    };
    let session = format!("{}s", SESSION.as_secs());
    let deployment = deployment.with("ASSENT_JOURNAL__KAFKA__SESSION_TIMEOUT", &session);
    deployment.ok("nobody", &["topics", "--create"]);
    deployment.ok("nobody", &["apply", "pipelines"]);
    let add = ["principal", "add", "me", "--purpose", "email_marketing"];
    let token = deployment.ok("nobody", &add);
    let token = token.trim();
    let roles = Roles {
        deployment: &deployment,
        intakes: Pair::start(&deployment, "intake"),
        projectors: Pair::start(&deployment, "projector"),
        queries: Pair::start(&deployment, "query"),
        store,
    };
    for buyer in 0..BUYERS {
        roles.decide(
            &format!("buyer-{buyer}"),
            "granted",
            &format!("grant-{buyer}"),
            0,
        );
    }
    for who in 0..WAVERERS {
        let customer = format!("waverer-{who}");
        let is = json!({ "userId": customer, "messageId": format!("is-{who}"), "traits": { "city": customer } });
        roles.post("/v1/identify", &is, 0);
        roles.decide(&customer, "granted", &format!("first-{who}"), 1);
        until("the profile", || {
            roles.shows(token, &customer, 0) == Some(true)
                && roles.shows(token, &customer, 1) == Some(true)
        });
    }

    let load = Load::default();
    std::thread::scope(|scope| {
        scope.spawn(|| roles.orders(&load));
        for who in 0..WAVERERS {
            let (load, roles) = (&load, &roles);
            scope.spawn(move || roles.wavers(load, token, who));
        }
        // Also when a fault is not got over: the others wait for it.
        let ending = Ending(&load);
        for round in 0..rounds {
            for fault in &faults {
                load.progresses("before the fault");
                let begin = Instant::now();
                roles.inject(*fault, round, &load);
                load.progresses("after the fault");
                println!(
                    "round {round}, {fault:?}: over after {:.1?}",
                    begin.elapsed()
                );
            }
        }
        drop(ending);
    });

    let batches = load.batches.load(Ordering::SeqCst);
    println!(
        "{} faults; {batches} batches acknowledged, {} queries after an acknowledgement, of which {} refused",
        rounds * faults.len(),
        load.asked.load(Ordering::SeqCst),
        load.refused.load(Ordering::SeqCst)
    );
    for which in [0, 1] {
        let told = roles.queries.with(which, |server| {
            orders::counted_once(server, token, batches * BATCH, PATIENCE);
        });
        told.expect("started again");
    }
    for pair in [roles.intakes, roles.projectors, roles.queries] {
        for server in pair.servers {
            let server = server.into_inner().unwrap().expect("started again");
            assert!(server.stop());
        }
    }
}

/// Tells clients to end, whatever happens.
struct Ending<'a>(&'a Load);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::SeqCst);
    }
}
