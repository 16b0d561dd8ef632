//! A whole deployment on real brokers, one process a role, as `cargo xtask bench kafka` starts it: intake beside a bare
//! producer of the same bytes, what a query waits for, and from when on it sees what was acknowledged.

use std::time::{Duration, Instant};

use assent_event::topics;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::json;

use crate::client::Client;
use crate::fleet::told;
use crate::house::SERVER_KEY;
use crate::measure::{Process, Run, measured, ratio, spread};
use crate::over_http::{CONNECTIONS, batch, events, introduce, now};
use crate::population::BATCH;

const MEMBERS: u64 = 20_000;
const ROUNDS: u64 = 7;
/// Requests of one round, over all connections.
const REQUESTS: u64 = 200;
/// Events that are waited for, one after another, while others come in at a third of the peak.
const PROBES: u64 = 200;
const PATIENCE: Duration = Duration::from_secs(30);
/// Where the bare producer writes.
const BARE: &str = "bench.bare";

/// What `cargo xtask bench kafka` tells.
struct Deployment {
    brokers: String,
    addresses: [String; 3],
    processes: [Process; 3],
    /// The header of who asks.
    bearer: String,
}

impl Deployment {
    fn told() -> Self {
        let three = |name: &str| -> [String; 3] {
            let parts: Vec<String> = told(name).split(',').map(str::to_owned).collect();
            parts.try_into().expect("one for each role")
        };
        Self {
            brokers: told("ASSENT_KAFKA_CLUSTER"),
            addresses: three("ASSENT_CLUSTER"),
            processes: three("ASSENT_CLUSTER_PROCESSES")
                .map(|pid| Process::of(pid.parse().expect("a process"))),
            bearer: format!("Bearer {}", told("ASSENT_CLUSTER_TOKEN")),
        }
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    async fn intake(&self) -> Client {
        Client::connect(&self.addresses[0]).await
    }
}

pub(crate) async fn run() {
    let deployment = Deployment::told();
    let [_, projector, _] = &deployment.processes;
    // Its work would be in one side of the ratio only.
    projector.signal("STOP");
    introduce(&mut deployment.intake().await, MEMBERS).await;
    let peak = intake(&deployment).await;
    projector.signal("CONT");
    folded(&deployment).await;
    visible(&deployment, peak).await;
    println!("\n| role | peak memory, MiB |\n|---|---|");
    for (role, process) in ["intake", "projector", "query"]
        .iter()
        .zip(&deployment.processes)
    {
        println!("| {role} | {} |", process.peak_memory_mib());
    }
}

/// Waits until the projector has come to the end.
async fn folded(deployment: &Deployment) {
    let mut projector = Client::connect(&deployment.addresses[1]).await;
    let begin = Instant::now();
    loop {
        let text = String::from_utf8(projector.get("/metrics").await).expect("text");
        let lags: Vec<f64> = text
            .lines()
            .filter(|line| line.starts_with("assent_projection_lag_records{"))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse().ok())
            .collect();
        if !lags.is_empty() && lags.iter().sum::<f64>() == 0.0 {
            return;
        }
        assert!(begin.elapsed() < 10 * PATIENCE, "not folded: {lags:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Throughput over HTTP ÷ that of a producer which is handed the finished records. Events a second over HTTP.
async fn intake(deployment: &Deployment) -> f64 {
    let [intake, ..] = &deployment.processes;
    let mut log = Log::at_the_end(deployment);
    let bare = Bare::new(deployment, log.partitions).await;
    let (mut walls, mut cpus, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    // The first round warms up and does not count.
    for round in 0..=ROUNDS {
        let first = round * REQUESTS * BATCH;
        let now = now();
        let mut sent = tokio::task::JoinSet::new();
        let mut ready = Vec::new();
        for connection in 0..CONNECTIONS {
            let bodies: Vec<Vec<u8>> = (0..REQUESTS)
                .filter(|request| request % CONNECTIONS == connection)
                .map(|request| events(now, first + request * BATCH, MEMBERS))
                .collect();
            ready.push((deployment.intake().await, bodies));
        }
        let (begin, cpu) = (Instant::now(), intake.cpu_seconds());
        for (mut client, bodies) in ready {
            sent.spawn(async move {
                for body in bodies {
                    let answer = client.post("/v1/batch", None, body).await;
                    assert_eq!(answer["journalled"], BATCH, "every event is new and taken");
                }
            });
        }
        while let Some(connection) = sent.join_next().await {
            connection.expect("sent");
        }
        let http = Run {
            wall: begin.elapsed().as_secs_f64(),
            cpu: intake.cpu_seconds() - cpu,
        };
        let records = log.next(REQUESTS * BATCH);
        let (bare, ()) = measured(async || bare.send(&records)).await;
        if round > 0 {
            walls.push((bare.wall, http.wall));
            cpus.push((bare.cpu, http.cpu));
            #[expect(clippy::cast_precision_loss, reason = "tens of thousands")]
            rates.push((REQUESTS * BATCH) as f64 / http.wall);
        }
    }
    println!(
        "batches of {BATCH} over {CONNECTIONS} connections, {ROUNDS} rounds of {} events",
        REQUESTS * BATCH
    );
    println!(
        "| throughput over HTTP ÷ a bare producer of the same bytes | by wall time | by CPU time |"
    );
    println!("|---|---|---|");
    println!("| | {} | {} |", ratio(&walls), ratio(&cpus));
    let peak = spread(rates).1;
    println!(
        "(for orientation: {peak:.0} events a second over HTTP; clients, brokers and all roles on the same cores)"
    );
    peak
}

/// Records of the behaviour topic as they stand on the brokers: partition, key, value.
struct Log {
    consumer: BaseConsumer,
    partitions: i32,
}

type Raw = (i32, Vec<u8>, Vec<u8>);

impl Log {
    fn at_the_end(deployment: &Deployment) -> Self {
        let consumer: BaseConsumer = deployment
            .config()
            .set("group.id", "bench")
            .set("enable.auto.commit", "false")
            .create()
            .expect("a consumer");
        let topic = topics::BEHAVIOUR;
        let metadata = consumer
            .fetch_metadata(Some(topic), PATIENCE)
            .expect("told");
        let partitions = metadata.topics()[0].partitions().len();
        let partitions = i32::try_from(partitions).expect("few");
        let mut from = TopicPartitionList::new();
        for partition in 0..partitions {
            let (_, end) = consumer
                .fetch_watermarks(topic, partition, PATIENCE)
                .expect("told");
            from.add_partition_offset(topic, partition, Offset::Offset(end))
                .expect("an offset");
        }
        consumer.assign(&from).expect("assigned");
        Self {
            consumer,
            partitions,
        }
    }

    fn next(&mut self, records: u64) -> Vec<Raw> {
        (0..records)
            .map(|_| {
                let message = self
                    .consumer
                    .poll(PATIENCE)
                    .expect("a record")
                    .expect("read");
                let part = |bytes: Option<&[u8]>| bytes.expect("there").to_vec();
                (
                    message.partition(),
                    part(message.key()),
                    part(message.payload()),
                )
            })
            .collect()
    }
}

/// A producer with nothing around it, which asks for the same safety.
struct Bare(BaseProducer);

impl Bare {
    async fn new(deployment: &Deployment, partitions: i32) -> Self {
        let admin: AdminClient<DefaultClientContext> =
            deployment.config().create().expect("an admin client");
        let topic = NewTopic::new(BARE, partitions, TopicReplication::Fixed(3))
            .set("min.insync.replicas", "2");
        let made = admin.create_topics([&topic], &AdminOptions::new()).await;
        assert!(
            made.expect("answered").iter().all(Result::is_ok),
            "{BARE} is made"
        );
        let producer = deployment
            .config()
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", "lz4")
            .create()
            .expect("a producer");
        Self(producer)
    }

    fn send(&self, records: &[Raw]) {
        for (partition, key, value) in records {
            let mut record = BaseRecord::to(BARE)
                .partition(*partition)
                .key(key)
                .payload(value);
            while let Err((error, back)) = self.0.send(record) {
                assert!(
                    matches!(
                        error,
                        KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)
                    ),
                    "{error}"
                );
                self.0.poll(Duration::from_millis(1));
                record = back;
            }
        }
        self.0.flush(PATIENCE).expect("acknowledged");
    }
}

/// From an acknowledgement until a query sees the event, and what a query waits at the barrier, while events come in at a
/// third of the peak.
async fn visible(deployment: &Deployment, peak: f64) {
    let grant = json!({
        "subject": { "customer_no": "probe" }, "purpose": "email_marketing", "state": "granted",
        "act": "checkbox_ticked", "notice": { "id": "membership", "version": 2 },
        "message_id": "probe-grant",
    });
    let mut client = deployment.intake().await;
    let basic = format!("Basic {}", STANDARD.encode(format!("{SERVER_KEY}:")));
    client
        .post("/v1/consents", Some(&basic), grant.to_string().into_bytes())
        .await;
    let load = tokio::spawn(load(deployment.intake().await, peak / 3.0));
    let mut query = Client::connect(&deployment.addresses[2]).await;
    let (mut lags, mut barriers) = (Vec::new(), Vec::new());
    for probe in 0..PROBES {
        let is = json!({
            "type": "identify", "userId": "probe", "messageId": format!("probe-{probe}"),
            "traits": { "city": format!("probe-{probe}") },
        });
        client.post("/v1/batch", None, batch(&[is])).await;
        let acknowledged = Instant::now();
        loop {
            let before = barrier_waited(&mut query).await;
            let seen = seen(&mut query, &deployment.bearer, probe).await;
            let after = barrier_waited(&mut query).await;
            barriers.push((after - before) * 1_000.0);
            if seen {
                break;
            }
            assert!(acknowledged.elapsed() < PATIENCE, "it is not seen");
        }
        lags.push(acknowledged.elapsed().as_secs_f64() * 1_000.0);
    }
    load.abort();
    println!("\n| at a third of the peak | p50 | p99 |\n|---|---|---|");
    for (what, figures) in [
        ("acknowledged until seen by a query, ms", lags),
        ("wait of a query at the barrier, ms", barriers),
    ] {
        let (middle, high) = percentiles(figures);
        println!("| {what} | {middle:.1} | {high:.1} |");
    }
}

async fn seen(query: &mut Client, bearer: &str, probe: u64) -> bool {
    let sql = format!("SELECT count(*) AS n FROM members WHERE city = 'probe-{probe}'");
    let body = json!({ "sql": sql, "purpose": "email_marketing" }).to_string();
    let rows = query
        .post("/v1/query", Some(bearer), body.into_bytes())
        .await;
    rows[0]["n"] == 1 || rows[0]["n"] == "1"
}

/// Seconds that queries of the process have waited so far. Only ours are asked of it.
async fn barrier_waited(query: &mut Client) -> f64 {
    let text = String::from_utf8(query.get("/metrics").await).expect("text");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("assent_barrier_wait_seconds_sum "));
    line.map_or(0.0, |seconds| seconds.parse().expect("a number"))
}

/// Sends `rate` events a second until it is stopped.
async fn load(mut client: Client, rate: f64) {
    #[expect(clippy::cast_precision_loss, reason = "hundreds")]
    let mut turns = tokio::time::interval(Duration::from_secs_f64(BATCH as f64 / rate));
    let mut first = (ROUNDS + 1) * REQUESTS * BATCH;
    loop {
        turns.tick().await;
        client
            .post("/v1/batch", None, events(now(), first, MEMBERS))
            .await;
        first += BATCH;
    }
}

/// The median and what 99 of 100 stay under.
fn percentiles(mut figures: Vec<f64>) -> (f64, f64) {
    figures.sort_by(f64::total_cmp);
    let at = |percent: usize| figures[(figures.len() - 1) * percent / 100];
    (at(50), at(99))
}
