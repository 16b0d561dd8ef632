//! Folding everything anew from Kafka: with one, two and four shards, in one and two processes, and of many events.

use std::time::{Duration, Instant};

use crate::client::Client;
use crate::fleet::{Fleet, Served};
use crate::measure::{Run, measured_processes, ratio, spread};
use crate::over_http::{fill, introduce};

const SHARDS: [u32; 3] = [1, 2, 4];
const MEMBERS: u64 = 20_000;
const EVENTS: u64 = 500_000;
const ROUNDS: usize = 3;
/// Events of the last part, when nobody says how many.
const MANY: u64 = 2_000_000;
/// By this variable somebody says it.
const MANY_TOLD: &str = "ASSENT_BENCH_EVENTS";
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn run() {
    if let Ok(many) = std::env::var(MANY_TOLD) {
        return rebuilt(many.parse().expect("a number")).await;
    }
    println!("{EVENTS} events of {MEMBERS} members, {ROUNDS} rounds\n");
    println!(
        "| shards | events a second in one process | throughput of two processes ÷ one | CPU of two ÷ one |"
    );
    println!("|---|---|---|---|");
    for shards in SHARDS {
        scaled(shards).await;
    }
    rebuilt(MANY).await;
}

async fn filled(shards: u32, events: u64, members: u64) -> Fleet {
    let fleet = Fleet::of(shards).await;
    let intake = fleet.serve("intake", "intake");
    introduce(&mut Client::connect(&intake.address).await, members).await;
    fill(&intake.address, events, members).await;
    intake.stop();
    fleet
}

/// One process, then two, in turn.
async fn scaled(shards: u32) {
    let fleet = filled(shards, EVENTS, MEMBERS).await;
    let first = fleet.serve("first", "projector");
    caught_up(&fleet, &["first"]);
    let (mut walls, mut cpus, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let one = rebuild(&fleet, shards, &[("first", &first)]).await;
        let second = fleet.serve("second", "projector");
        // Once it has a share, or has waited for one in vain, it has joined.
        fleet.assent("second", &["project"]);
        let two = rebuild(&fleet, shards, &[("first", &first), ("second", &second)]).await;
        second.stop();
        walls.push((one.wall, two.wall));
        cpus.push((two.cpu, one.cpu));
        #[expect(clippy::cast_precision_loss, reason = "hundreds of thousands")]
        rates.push((EVENTS + MEMBERS) as f64 / one.wall);
    }
    println!(
        "| {shards} | {:.0} | {} | {} |",
        spread(rates).1,
        ratio(&walls),
        ratio(&cpus)
    );
}

async fn rebuilt(events: u64) {
    let shards = 4;
    let members = MEMBERS.max(events / 100);
    let begin = Instant::now();
    let fleet = filled(shards, events, members).await;
    println!(
        "\n{events} events of {members} members, {shards} shards, in two processes; sent over HTTP in {:.0} s",
        begin.elapsed().as_secs_f64()
    );
    let projectors = ["first", "second"].map(|name| (name, fleet.serve(name, "projector")));
    let [first, second] = projectors.each_ref().map(|(name, served)| (*name, served));
    let begin = Instant::now();
    holders(shards, &[first, second]).await;
    caught_up(&fleet, &["first", "second"]);
    println!(
        "folded for the first time, with two processes that had yet to start, in {:.0} s",
        begin.elapsed().as_secs_f64()
    );
    let run = rebuild(&fleet, shards, &[first, second]).await;
    #[expect(clippy::cast_precision_loss, reason = "millions")]
    let rate = (events + members) as f64 / run.wall;
    println!("\n| folded anew in | events a second | CPU | peak memory of each process |");
    println!("|---|---|---|---|");
    println!(
        "| {:.0} s | {rate:.0} | {:.0} s | {} and {} MiB |",
        run.wall,
        run.cpu,
        first.1.process.peak_memory_mib(),
        second.1.process.peak_memory_mib()
    );
}

/// Folds everything anew, in all of these processes.
async fn rebuild(fleet: &Fleet, shards: u32, projectors: &[(&str, &Served)]) -> Run {
    // Joining and leaving takes seconds, which are no part of the work.
    let holders = holders(shards, projectors).await;
    let processes: Vec<_> = projectors
        .iter()
        .map(|(_, served)| &served.process)
        .collect();
    measured_processes(&processes, || {
        fleet.assent(holders[0], &["project", "--rebuild"]);
        caught_up(fleet, &holders);
    })
}

/// Waits until no shard is left to be folded anew and each of these processes has come to the end of what it holds.
fn caught_up(fleet: &Fleet, names: &[&str]) {
    while names
        .iter()
        .map(|name| fleet.assent(name, &["project"]))
        .any(|talk| talk.contains("still to be rebuilt"))
    {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until these hold all shards, and each of them one if there are enough. Those that hold any, by name: asked to
/// project, another would wait for a share first.
async fn holders<'p>(shards: u32, projectors: &[(&'p str, &Served)]) -> Vec<&'p str> {
    let enough = usize::try_from(shards).is_ok_and(|shards| shards >= projectors.len());
    let begin = Instant::now();
    loop {
        let (mut held, mut holders) = (0, Vec::new());
        for (name, projector) in projectors {
            let mut client = Client::connect(&projector.address).await;
            let text = String::from_utf8(client.get("/metrics").await).expect("text");
            let told = text
                .lines()
                .find_map(|line| line.strip_prefix("assent_projection_shards "));
            let share = told.map_or(0, |told| told.parse::<u32>().expect("a number"));
            held += share;
            holders.extend((share > 0).then_some(*name));
        }
        if held == shards && (!enough || holders.len() == projectors.len()) {
            return holders;
        }
        assert!(begin.elapsed() < PATIENCE, "{held} of {shards} shards held");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
