//! Processes that share shards: whoever comes, goes, dies or hangs, at rest every shard has exactly
//! one owner.
//!
//! Members that are to be killed or stopped run in processes of their own: this test's binary.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use assent_journal::contract::Backend;
use assent_journal::{Group, Topic};
use assent_journal_kafka::{GroupConfig, KafkaConfig, KafkaGroup, KafkaJournal};
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::{broker, names};

const SHARDS: u32 = 7;
/// Set only for a member in a process of its own: brokers, topic and group.
const MEMBER: &str = "ASSENT_TEST_GROUP_MEMBER";

fn group(topic: &Topic) -> GroupConfig {
    GroupConfig {
        session_timeout: Duration::from_secs(2),
        ..GroupConfig::new(topic.as_str(), topic.clone())
    }
}

/// A new topic, whose name is the group's, too.
async fn topic(broker: &str) -> (KafkaConfig, Topic) {
    let names = names(broker);
    let topic = names.topic("shards");
    let config = names.config(&[(topic.clone(), SHARDS)]);
    KafkaJournal::provision(&config).await.unwrap();
    (config, topic)
}

/// A member, here or elsewhere.
trait Holds {
    fn held(&self) -> BTreeSet<u32>;
}

impl Holds for KafkaGroup {
    fn held(&self) -> BTreeSet<u32> {
        self.shards().borrow().clone()
    }
}

/// A member in a process of its own.
struct Elsewhere {
    child: Child,
    held: Arc<Mutex<BTreeSet<u32>>>,
}

impl Elsewhere {
    fn start(broker: &str, topic: &Topic) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "group::a_member_until_it_is_killed",
                "--nocapture",
            ])
            .env(MEMBER, format!("{broker} {topic}"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let held = Arc::new(Mutex::new(BTreeSet::new()));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = Arc::clone(&held);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(shards) = line.strip_prefix("holds ") {
                    let shards = shards
                        .split_whitespace()
                        .map(|shard| shard.parse().unwrap());
                    *told.lock() = shards.collect();
                }
            }
        });
        Self { child, held }
    }

    fn signal(&self, name: &str) {
        let order = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &order]).status();
        assert!(status.unwrap().success());
    }
}

impl Holds for Elsewhere {
    fn held(&self) -> BTreeSet<u32> {
        self.held.lock().clone()
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Does nothing unless it is started by [`Elsewhere`].
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_until_it_is_killed() {
    let Ok(order) = std::env::var(MEMBER) else {
        return;
    };
    let (broker, topic) = order.split_once(' ').unwrap();
    let topic = Topic::new(topic);
    let config = names(broker).config(&[(topic.clone(), SHARDS)]);
    let member = KafkaGroup::join(&config, &group(&topic)).unwrap();
    let mut shards = member.shards();
    // Far longer than any test; whoever starts it kills it.
    let _ = tokio::time::timeout(Duration::from_secs(300), async {
        while shards.changed().await.is_ok() {
            let held = shards.borrow_and_update().clone();
            let held: Vec<String> = held.iter().map(ToString::to_string).collect();
            println!("holds {}", held.join(" "));
            std::io::stdout().flush().unwrap();
        }
    })
    .await;
}

/// Waits until every shard has exactly one owner among these and stays with it, evenly shared.
async fn at_rest(members: &[&dyn Holds]) {
    let begin = Instant::now();
    let mut calm = 0;
    loop {
        let held: Vec<BTreeSet<u32>> = members.iter().map(|member| member.held()).collect();
        let all: BTreeSet<u32> = held.iter().flatten().copied().collect();
        let sizes: Vec<usize> = held.iter().map(BTreeSet::len).collect();
        let exactly_one = all == (0..SHARDS).collect() && sizes.iter().sum::<usize>() == all.len();
        let even = sizes.iter().max() <= sizes.iter().min().map(|least| least + 1).as_ref();
        calm = if exactly_one && even { calm + 1 } else { 0 };
        // Longer than a member takes to hear of a rebalance: a heartbeat, half a second.
        if calm == 8 {
            return;
        }
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "no rest: {held:?}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn leave(member: KafkaGroup) {
    tokio::task::spawn_blocking(move || drop(member))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_share_and_hand_over() {
    let Some(broker) = broker() else { return };
    let (config, topic) = topic(&broker).await;
    let join = || KafkaGroup::join(&config, &group(&topic)).unwrap();
    let one = join();
    at_rest(&[&one]).await;
    let before = one.held();
    let two = join();
    at_rest(&[&one, &two]).await;
    assert!(
        one.held().is_subset(&before),
        "what stays is not taken away"
    );
    let three = join();
    at_rest(&[&one, &two, &three]).await;
    let mut watched = two.shards();
    leave(two).await;
    // Whoever watched learns that it is over.
    while watched.changed().await.is_ok() {}
    at_rest(&[&one, &three]).await;
    leave(three).await;
    at_rest(&[&one]).await;

    // Nothing is committed: the group's positions are nobody's checkpoint.
    let asker: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &broker)
        .set("group.id", topic.as_str())
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_range(topic.as_str(), 0, SHARDS as i32 - 1);
    let committed = asker
        .committed_offsets(list, Duration::from_secs(20))
        .unwrap();
    let places: Vec<Offset> = committed.elements().iter().map(|e| e.offset()).collect();
    assert_eq!(places, [Offset::Invalid; SHARDS as usize]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shards_of_a_member_that_dies_or_hangs_go_to_others() {
    let Some(broker) = broker() else { return };
    let (config, topic) = topic(&broker).await;
    let here = KafkaGroup::join(&config, &group(&topic)).unwrap();
    let mut killed = Elsewhere::start(&broker, &topic);
    let paused = Elsewhere::start(&broker, &topic);
    at_rest(&[&here, &killed, &paused]).await;

    killed.child.kill().unwrap();
    at_rest(&[&here, &paused]).await;

    // It cannot tell that it lost its shards; the others take them all the same.
    paused.signal("STOP");
    at_rest(&[&here]).await;
    assert!(!paused.held().is_empty());
    // Back among the living it learns so, and shares again.
    paused.signal("CONT");
    at_rest(&[&here, &paused]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_owner_is_stuck_gives_its_shards_up() {
    let Some(broker) = broker() else { return };
    let (config, topic) = topic(&broker).await;
    let impatient = GroupConfig {
        max_silence: Duration::from_millis(1_500),
        ..group(&topic)
    };
    let stuck = Arc::new(KafkaGroup::join(&config, &impatient).unwrap());
    let other = KafkaGroup::join(&config, &group(&topic)).unwrap();
    let working = tokio::spawn({
        let stuck = Arc::clone(&stuck);
        async move {
            loop {
                stuck.working();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    });
    at_rest(&[&*stuck, &other]).await;
    // As long as it is heard, it stays.
    tokio::time::sleep(Duration::from_secs(2)).await;
    at_rest(&[&*stuck, &other]).await;

    working.abort();
    let mut shards = stuck.shards();
    let given_up = shards.wait_for(BTreeSet::is_empty);
    let given_up = tokio::time::timeout(Duration::from_secs(5), given_up).await;
    assert!(given_up.unwrap().is_ok());
    at_rest(&[&other]).await;
    assert!(stuck.held().is_empty());

    // Heard again, it takes its part again.
    let ticking = tokio::spawn({
        let stuck = Arc::clone(&stuck);
        async move {
            loop {
                stuck.working();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    });
    at_rest(&[&*stuck, &other]).await;
    ticking.abort();
}

/// Numbers from a seed, so that a storm can be had again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_storm_of_rebalances_every_shard_has_one_owner() {
    let Some(broker) = broker() else { return };
    let (rounds, storm) = match std::env::var("ASSENT_FAULTS").is_ok() {
        true => (6, Duration::from_secs(20)),
        false => (1, Duration::from_secs(6)),
    };
    for seed in 0..rounds {
        let (config, topic) = topic(&broker).await;
        let mut dice = Dice(seed);
        let mut members: Vec<KafkaGroup> = Vec::new();
        let mut changes = 0;
        let begin = Instant::now();
        while begin.elapsed() < storm {
            if members.is_empty() || (members.len() < 5 && dice.below(2) == 0) {
                members.push(KafkaGroup::join(&config, &group(&topic)).unwrap());
            } else {
                let place = dice.below(members.len() as u64) as usize;
                leave(members.swap_remove(place)).await;
            }
            changes += 1;
            tokio::time::sleep(Duration::from_millis(dice.below(500))).await;
        }
        if members.is_empty() {
            members.push(KafkaGroup::join(&config, &group(&topic)).unwrap());
        }
        let all: Vec<&dyn Holds> = members.iter().map(|member| member as &dyn Holds).collect();
        println!(
            "seed {seed}: {changes} changes, {} members remain",
            all.len()
        );
        at_rest(&all).await;
    }
}
