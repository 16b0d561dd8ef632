//! Intakes and queries are killed at every step of their work, as brokers and database see it: what was acknowledged holds
//! wherever it is asked for (I2), and each order counts once (I3). The plain test command picks a third of the steps; with
//! `ASSENT_FAULTS` each has its turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::deployed::{Brokers, Deployment, asked, ready, try_asked, until};
use crate::orders;
use crate::proxies::broker::{Ask, BrokerProxy};
use crate::proxies::database::DatabaseProxy;
use crate::proxies::{Moment, Victim};
use crate::running::{Server, decision};

/// Orders of one request.
const BATCH: u64 = 5;
/// Members the orders are of.
const BUYERS: u64 = 3;
/// Until a step is come to.
const PATIENCE: Duration = Duration::from_secs(30);
/// The member who changes their mind.
const WAVERER: &str = "waverer";
const SHOWN: &str = "SELECT count(*) AS n FROM members WHERE city = '杭州'";

/// Where a process is killed: at a request to a broker or at its answer, or at one of the commits of a request.
#[derive(Clone, Copy, Debug)]
enum Step {
    Broker(Ask, Moment),
    /// The commit of this number, from 0 on: whoever is new is looked for, becomes somebody, and gets keys.
    Commit(usize, Moment),
}

const OF_INTAKE: [Step; 10] = [
    Step::Broker(Ask::Ends, Moment::Before),
    Step::Broker(Ask::Ends, Moment::After),
    Step::Broker(Ask::Append, Moment::Before),
    Step::Broker(Ask::Append, Moment::After),
    Step::Commit(0, Moment::Before),
    Step::Commit(0, Moment::After),
    Step::Commit(1, Moment::Before),
    Step::Commit(1, Moment::After),
    Step::Commit(2, Moment::Before),
    Step::Commit(2, Moment::After),
];

/// A query asks how far the log goes, hears the rest of it, and records the use of what it shows.
const OF_QUERY: [Step; 5] = [
    Step::Broker(Ask::Ends, Moment::Before),
    Step::Broker(Ask::Ends, Moment::After),
    Step::Broker(Ask::Records, Moment::After),
    Step::Broker(Ask::Append, Moment::Before),
    Step::Broker(Ask::Append, Moment::After),
];

/// What stands between victims and their servers.
struct Scene {
    broker: BrokerProxy,
    database: DatabaseProxy,
}

impl Scene {
    /// Kills the victim at the next such step.
    fn strikes(&self, step: Step, victim: &Arc<Victim>) {
        let victim = Arc::clone(victim);
        match step {
            Step::Broker(ask, moment) => self
                .broker
                .rule(move |seen, now| (seen, now) != (ask, moment) || !victim.kill()),
            Step::Commit(number, moment) => {
                let commits = AtomicUsize::new(0);
                self.database.rule(move |now| {
                    now != moment
                        || commits.fetch_add(1, Ordering::SeqCst) < number
                        || !victim.kill()
                });
            }
        }
    }

    fn calms(&self) {
        self.broker.calm();
        self.database.calm();
    }
}

/// All of them, or a few of each kind.
fn picked(steps: &[Step]) -> impl Iterator<Item = Step> {
    let all = std::env::var_os("ASSENT_FAULTS").is_some();
    steps.iter().copied().step_by(if all { 1 } else { 3 })
}

/// Posts to the victim, and where that does not acknowledge, to the other one, as a client does.
fn post(victim: &Server, other: &Server, path: &str, body: &Value) {
    let answer = victim.post(path, "demo-server-key", body);
    if answer.is_some_and(|answer| answer.status == 200) {
        return;
    }
    let answer = other.post(path, "demo-server-key", body);
    let answer = answer.expect("nothing happens to the other one");
    assert_eq!(answer.status, 200, "{path}: {:?}", answer.json());
}

/// One round of a client's day, by number: orders, somebody new, and a change of mind. Returns what a query shows from
/// now on.
fn round(number: u64, victim: &Server, other: &Server) -> Value {
    let grants = number.is_multiple_of(2);
    let state = if grants { "granted" } else { "withdrawn" };
    let message = |of: &str| format!("{of}-{number}");
    let newcomer = decision(&message("newcomer"), "granted", &message("new"));
    post(victim, other, "/v1/consents", &newcomer);
    let orders = orders::batch(number * BATCH, BATCH, BUYERS);
    post(victim, other, "/v1/batch", &orders);
    let mind = decision(WAVERER, state, &message("mind"));
    post(victim, other, "/v1/consents", &mind);
    u64::from(grants).into()
}

#[test]
fn an_intake_or_a_query_killed_at_any_step_loses_and_ignores_nothing() {
    let Some(mut deployment) = Deployment::new(Brokers::One, 2, "[profiles]\ndir = \"profiles\"")
    else {
        return;
    };
    let (Some(broker), Ok(database)) = (BrokerProxy::told(), std::env::var("ASSENT_POSTGRES"))
    else {
        eprintln!(
            "kills at each step are skipped: set ASSENT_KAFKA_PROXIED as `cargo xtask kafka up` says"
        );
        return;
    };
    let scene = Scene {
        broker,
        database: DatabaseProxy::before(&database),
    };
    deployment.ok("nobody", &["topics", "--create"]);
    deployment.ok("nobody", &["apply", "pipelines"]);
    let add = ["principal", "add", "me", "--purpose", "email_marketing"];
    let token = deployment.ok("nobody", &add);
    let token = token.trim();
    let intake = deployment.serve("intake", "intake");
    let projector = deployment.serve("projector", "projector");
    let query = deployment.serve("query", "query");
    // Victims alone see their servers through the proxies.
    deployment = deployment
        .with("ASSENT_JOURNAL__KAFKA__BROKERS", scene.broker.address())
        .with(
            "ASSENT_VAULT__POSTGRES__CONNECTION",
            &scene.database.connection(),
        );
    let is = json!({ "userId": WAVERER, "messageId": "is", "traits": { "city": "杭州" } });
    post(&intake, &intake, "/v1/identify", &is);
    for customer in (0..BUYERS).map(|buyer| format!("buyer-{buyer}")) {
        let grant = decision(&customer, "granted", &format!("{customer}-grants"));
        post(&intake, &intake, "/v1/consents", &grant);
    }
    let mind = decision(WAVERER, "granted", "first");
    post(&intake, &intake, "/v1/consents", &mind);
    until("the profile", || {
        asked(&query, token, SHOWN) == (200, 1.into())
    });

    let (mut kills, mut rounds) = (0, 0);
    let mut until_killed = |step: Step, victim: &Arc<Victim>, turn: &mut dyn FnMut(u64)| {
        let begin = Instant::now();
        scene.strikes(step, victim);
        while !victim.is_killed() {
            assert!(begin.elapsed() < PATIENCE, "{step:?} does not come");
            turn(rounds);
            rounds += 1;
        }
        scene.calms();
        kills += 1;
    };
    for step in picked(&OF_INTAKE) {
        let server = deployment.serve("victim", "intake");
        until("the intake", || ready(&server));
        until_killed(step, &Victim::of(&server), &mut |number| {
            let shown = round(number, &server, &intake);
            assert_eq!(asked(&query, token, SHOWN), (200, shown), "{step:?}");
        });
    }
    for step in picked(&OF_QUERY) {
        let server = deployment.serve("victim", "query");
        until("the query process", || ready(&server));
        until_killed(step, &Victim::of(&server), &mut |number| {
            let shown = round(number, &intake, &intake);
            // Either the victim answers rightly, or it does not answer.
            if let Some(told) = try_asked(&server, token, SHOWN) {
                assert_eq!(told, (200, shown.clone()), "{step:?}");
            }
            assert_eq!(asked(&query, token, SHOWN), (200, shown), "{step:?}");
        });
    }
    println!("{kills} kills, {rounds} rounds");
    orders::counted_once(&query, token, rounds * BATCH, PATIENCE);
    assert!(query.stop() && projector.stop() && intake.stop());
}
