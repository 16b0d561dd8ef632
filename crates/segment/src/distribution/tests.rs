//! What a worker refuses: places where it does not stand, and plans that are not ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use assent_consent::{PurposeId, Timestamp, Use};
use assent_journal::{Checkpoint, Topic};
use assent_projection::{Owner, Snapshot, Table};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::prelude::{CsvReadOptions, ParquetReadOptions, SessionContext};
use datafusion_distributed::grpc::create_worker_client;
use datafusion_distributed::{
    DistributedExt, ExecuteTaskRequest, MaybeEncoded, ProducerHead, SetPlanRequest, TaskKey,
};
use datafusion_proto::physical_plan::PhysicalExtensionCodec;
use futures::StreamExt;
use http::HeaderMap;
use url::Url;

use super::channels::Channels;
use super::fleet::place;
use super::place::{QueryPlace, Secret};
use super::refusal::Refusal;
use super::share::{LawfulShareExec, LeafCodec};
use super::worker::Bench;
use crate::LawfulSession;
use crate::gate::{LawfulScanExec, Share};
use crate::tests::distribution::{Team, secret, team};
use crate::tests::world::{World, fresh};

fn place_of(session: &LawfulSession) -> QueryPlace {
    place(&session.gate, session.engine.permit(), 8_192)
}

/// A leaf that reads the first of two halves of the members.
fn half(session: &LawfulSession) -> Arc<dyn ExecutionPlan> {
    let mut shapes = session.shapes.iter();
    let shape = shapes.find(|shape| shape.table.as_str() == "members");
    let shape = shape.expect("a table of the purpose");
    let gate = Arc::new(session.gate.clone());
    let scan = LawfulScanExec::plan(gate, shape, shape.schema(), 1).expect("a scan");
    let share = Share {
        task: 0,
        tasks: 2,
        partitions: 1,
    };
    Arc::new(LawfulShareExec::new(Arc::new(scan), share))
}

#[test]
fn a_worker_stands_where_the_place_says_or_not_at_all() {
    let world = fresh();
    let team = team(&world, 1);
    let bench = Bench::new(Arc::clone(&team.elsewhere[0]), secret());
    let session = world.open("marketing");
    let good = place_of(&session);
    let stand = |change: &dyn Fn(&mut QueryPlace)| {
        let mut place = good.clone();
        change(&mut place);
        world.runtime.block_on(bench.gate_at(&place))
    };
    let gate = stand(&|_| {}).expect("the control");
    assert_eq!(gate.declared, session.gate.declared);
    assert_eq!(
        gate.standing.evaluated_at(),
        session.gate.standing.evaluated_at()
    );
    assert_eq!(gate.manifest(), session.gate.manifest());

    let refused = |what: &str, change: &dyn Fn(&mut QueryPlace), why: Refusal| {
        assert_eq!(stand(change).expect_err(what), why, "{what}");
    };
    refused(
        "a position that nobody reached",
        &|place| {
            let consent = Topic::new(assent_event::topics::CONSENT);
            let next = place.position.get(&consent, 0) + 1;
            place.position.set(&consent, 0, next);
        },
        Refusal::Behind,
    );
    refused(
        "other definitions",
        &|place| place.definitions = "0".repeat(64),
        Refusal::Definitions,
    );
    refused(
        "a purpose that is not defined",
        &|place| place.declared = Use::of(PurposeId::parse("nothing").expect("a name")),
        Refusal::Definitions,
    );
    refused(
        "another purpose under these verdicts",
        &|place| place.declared = Use::of(PurposeId::parse("sales").expect("a name")),
        Refusal::Verdicts,
    );
    refused(
        "other verdicts",
        &|place| place.then.fingerprint ^= 1,
        Refusal::Verdicts,
    );
    refused(
        "another instant",
        &|place| place.then.at = Timestamp::from_micros(0),
        Refusal::Verdicts,
    );
    refused(
        "another present",
        &|place| {
            let mut now = place.then;
            now.fingerprint ^= 1;
            place.now = Some(now);
        },
        Refusal::Verdicts,
    );
    refused(
        "a manifest of another number",
        &|place| place.manifest = place.manifest.map(|(number, by)| (number + 1_000, by)),
        Refusal::Manifest,
    );
    refused(
        "a manifest of another writer",
        &|place| {
            let other = Owner::from_bytes([9; 16]);
            place.manifest = place.manifest.map(|(number, _)| (number, other));
        },
        Refusal::Manifest,
    );
    // A place without one of its parts is none.
    let text = serde_json::to_value(&good).expect("json");
    for part in ["declared", "position", "then", "definitions", "build"] {
        let mut text = text.clone();
        text.as_object_mut().expect("an object").remove(part);
        assert!(
            serde_json::from_value::<QueryPlace>(text).is_err(),
            "{part}"
        );
    }
    // Nor is one of nowhere a place to read from: it is reached at once, and the verdicts show that it is another.
    let nowhere = stand(&|place| place.position = Checkpoint::new());
    assert!(nowhere.is_ok(), "the position waits, the verdicts decide");
}

/// Stages of a query wait for one another, so its tasks share one turn; another query is refused rather than waited with.
#[test]
fn a_worker_works_on_so_many_queries_and_refuses_the_next() {
    let world = fresh();
    let team = team(&world, 1);
    let bench = Bench::new(Arc::clone(&team.elsewhere[0]), secret());
    let places: Vec<QueryPlace> = (0..5)
        .map(|_| {
            world.clock.tick();
            place_of(&world.open("marketing"))
        })
        .collect();
    let turn = |place: usize| bench.held_at(&places[place]);
    let mut held: Vec<_> = (0..4).map(|place| turn(place).expect("a turn")).collect();
    assert_eq!(turn(4).err(), Some(Refusal::Busy));
    // A further task of the first.
    held.push(turn(0).expect("the same turn"));
    drop(held.remove(0));
    assert_eq!(turn(4).err(), Some(Refusal::Busy));
    held.clear();
    assert!(turn(4).is_ok());
}

/// The number of a query, which a worker takes once.
static QUERY: AtomicU64 = AtomicU64::new(1);

/// Sends a plan to a worker, with these headers, and tells what it says.
fn send(
    world: &World,
    team: &Team,
    headers: HeaderMap,
    codec: impl PhysicalExtensionCodec + 'static,
    plan: &Arc<dyn ExecutionPlan>,
) -> Result<(), String> {
    let url = Url::parse(&format!("unix://{}", team.sockets[0].display())).expect("an address");
    world.runtime.block_on(async {
        let state = SessionContext::new().state();
        let state = datafusion::execution::SessionStateBuilder::new_from_existing(state)
            .with_distributed_user_codec(codec)
            .with_distributed_channel_resolver(Channels::default())
            .build();
        let channel = Channels::default().channel(&url);
        let mut client = create_worker_client(channel.expect("a socket"));
        let task_key = TaskKey {
            query_id: uuid::Uuid::from_u128(QUERY.fetch_add(1, Ordering::SeqCst).into()),
            stage_id: 1,
            task_number: 0,
        };
        let request = SetPlanRequest {
            task_key,
            task_count: 2,
            plan: MaybeEncoded::Decoded(Arc::clone(plan)),
            work_unit_feed_declarations: Vec::new(),
            target_worker_url: url.clone(),
            query_start_time_ns: 0,
        };
        let (metrics, context) = (ExecutionPlanMetricsSet::new(), state.task_ctx());
        let held = futures::stream::pending().boxed();
        let set = client
            .coordinator_channel(headers.clone(), request, held, metrics.clone(), &context)
            .await;
        let _open = set.map_err(|error| error.to_string())?;
        let request = ExecuteTaskRequest {
            task_key,
            target_partition_start: 0,
            target_partition_end: 1,
            producer_head: ProducerHead::None,
        };
        let streams = client
            .execute_task(headers, request, metrics, &context)
            .await;
        for mut stream in streams.map_err(|error| error.to_string())? {
            while let Some(batch) = stream.next().await {
                batch.map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    })
}

#[test]
fn a_plan_without_a_sealed_place_is_refused() {
    let world = fresh();
    let session = world.open("marketing");
    let (place, half) = (place_of(&session), half(&session));
    let team = team(&world, 1);
    let say = |headers: HeaderMap, digest: &str| {
        send(
            &world,
            &team,
            headers,
            LeafCodec::writing(digest.to_owned()),
            &half,
        )
    };
    let digest = place.digest();
    assert_eq!(say(place.sealed(&secret()), &digest), Ok(()), "the control");

    let refused = |headers, digest: &str, why: Refusal| {
        let said = say(headers, digest).expect_err(why.code());
        assert!(said.contains(why.code()), "{said}");
    };
    refused(HeaderMap::new(), &digest, Refusal::NoPlace);
    let forger = Secret::new([41; 32]).expect("long enough");
    refused(place.sealed(&forger), &digest, Refusal::Unsealed);
    // A leaf that was made for another place.
    let other = place_of(&world.open("sales"));
    refused(other.sealed(&secret()), &digest, Refusal::Leaf);
    refused(place.sealed(&secret()), &other.digest(), Refusal::Leaf);
    world
        .clock
        .set(world.clock.now().plus_micros(600 * 1_000_000));
    refused(place.sealed(&secret()), &digest, Refusal::Stale);
}

/// The engine could read files by itself; a worker that let it would have no gate.
#[test]
fn a_plan_that_reads_past_the_gate_is_refused() {
    let world = fresh();
    let team = team(&world, 1);
    let place = place_of(&world.open("marketing"));
    let snapshot = Snapshot::latest(&world.house.profiles());
    let snapshot = snapshot.expect("profiles").expect("a manifest");
    let profiles = snapshot.files(Table::Members)[0].path.clone();
    let profiles = world.house.profiles().join(profiles);
    let text = world.house.dir.path().join("secrets.csv");
    std::fs::write(&text, "a,b\n1,2\n").expect("written");
    let say = |sql: &str| {
        let plan = world.runtime.block_on(async {
            let context = SessionContext::new();
            let (profiles, text) = (profiles.to_str(), text.to_str());
            let (profiles, text) = (profiles.expect("utf-8"), text.expect("utf-8"));
            let as_parquet = ParquetReadOptions::default();
            let parquet = context.register_parquet("members", profiles, as_parquet);
            parquet.await.expect("a file of members");
            let csv = context.register_csv("secrets", text, CsvReadOptions::default());
            csv.await.expect("a file");
            let rows = context.sql(sql).await.expect("a query");
            rows.create_physical_plan().await.expect("a plan")
        });
        let codec = LeafCodec::writing(place.digest());
        send(&world, &team, place.sealed(&secret()), codec, &plan)
    };
    assert_eq!(say("SELECT 1 AS one"), Ok(()), "the control");
    assert_eq!(say("SELECT * FROM (VALUES (1), (2))"), Ok(()));
    // There is no store to read it from.
    let said = say("SELECT * FROM members").expect_err("no store");
    assert!(said.contains("No suitable object store"), "{said}");
    for sql in [
        "SELECT * FROM secrets",
        "SELECT count(*) FROM secrets WHERE a = 1",
        "COPY (SELECT 1) TO 'stolen.csv'",
    ] {
        let said = say(sql).expect_err(sql);
        assert!(said.contains(Refusal::Node.code()), "{sql}: {said}");
    }
}
