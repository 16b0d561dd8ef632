//! Brokers that die and brokers that hang, under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use assent_journal::contract::Backend;
use assent_journal::{ErrorKind, Group, Journal};
use assent_journal_kafka::{GroupConfig, KafkaConfig, KafkaGroup, KafkaJournal};

use super::audit::audit;
use super::cluster;
use super::control::{BROKERS, Control};
use super::load::{APPEND_TIMEOUT, Load, PARTITIONS, REQUEST_TIMEOUT, SLACK, Told, config};
use super::on_kafka::{OnKafka, Place, record};

/// Too short for the other brokers to give a silent one up, which takes them four seconds.
const BLINK: Duration = Duration::from_secs(1);

/// How often each fault is tried.
fn rounds() -> usize {
    match std::env::var("ASSENT_FAULTS").as_deref() {
        Ok("long") => 10,
        Ok(number) => number.parse().expect("ASSENT_FAULTS is `long` or a number"),
        Err(_) => 1,
    }
}

/// Some are tried only when there is time: others break the brokers in the same ways, and more.
fn is_long() -> bool {
    std::env::var("ASSENT_FAULTS").is_ok()
}

/// A new topic, spread over all brokers.
async fn topic(control: &Control) -> KafkaConfig {
    let names = OnKafka::new(Place::Three, &control.brokers);
    let config = config(names.config(&[(names.topic("t"), PARTITIONS)]));
    KafkaJournal::provision(&config).await.unwrap();
    config
}

/// Each broker, which leads some partitions, is killed in its turn, and comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_killed_costs_nothing_that_was_acknowledged() {
    let Some((control, _turn)) = cluster().await else {
        return;
    };
    let config = topic(&control).await;
    let load = Load::start(&config).await;
    for round in 0..rounds() {
        load.goes_on().await;
        let leader = BROKERS[round % BROKERS.len()];
        control.kill(leader);
        let begin = Instant::now();
        load.goes_on().await;
        println!(
            "round {round}: broker {leader} killed, all went on after {:?}",
            begin.elapsed()
        );
        control.start(leader);
        control.wait_until_whole(load.topic.as_str());
    }
    load.goes_on().await;
    audit(&config, &load.stop().await).await;
}

/// The leader of a partition hangs: for a moment, and so long that another takes its place. When it
/// wakes it still believes to lead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_hangs_costs_nothing_that_was_acknowledged() {
    let Some((control, _turn)) = cluster().await else {
        return;
    };
    let config = topic(&control).await;
    let load = Load::start(&config).await;
    for round in 0..rounds() {
        load.goes_on().await;
        let leader = control.leader(load.topic.as_str());
        control.pause(leader);
        tokio::time::sleep(BLINK).await;
        control.resume(leader);
        load.goes_on().await;

        let leader = control.leader(load.topic.as_str());
        control.pause(leader);
        let begin = Instant::now();
        load.goes_on().await;
        println!(
            "round {round}: broker {leader} hung, appends went on after {:?}",
            begin.elapsed()
        );
        control.resume(leader);
        load.goes_on().await;
        control.wait_until_whole(load.topic.as_str());
    }
    audit(&config, &load.stop().await).await;
}

/// Two of three brokers gone: nothing is acknowledged and no end is told, until they are back; then
/// nothing that was acknowledged is missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_two_of_three_nothing_is_acknowledged() {
    let Some((control, _turn)) = cluster().await else {
        return;
    };
    let config = topic(&control).await;
    let load = Load::start(&config).await;
    let probe = KafkaJournal::connect(config.clone()).await.unwrap();
    let topics = [load.topic.clone()];
    for round in 0..rounds() {
        load.goes_on().await;
        // Now they die, now they hang.
        let dies = round % 2 == 0;
        let stays = BROKERS[round % BROKERS.len()];
        let gone = BROKERS.into_iter().filter(|broker| *broker != stays);
        for broker in gone.clone() {
            match dies {
                true => control.kill(broker),
                false => control.pause(broker),
            }
        }
        // What was under way may have come through; from here on nothing may.
        let begin = Instant::now();
        let key = format!("probe {round}");
        let error = probe.append(vec![record(&load.topic, &key, "v")]).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(begin.elapsed() < APPEND_TIMEOUT + SLACK);
        load.told.lock().unknown.push(key);
        let (before, begin) = (load.acknowledged(), Instant::now());
        let error = probe.end_positions(&topics).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.retry_after().is_some());
        assert!(begin.elapsed() < REQUEST_TIMEOUT + SLACK);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(load.acknowledged(), before, "acknowledged by one broker");
        control.mend();
        load.goes_on().await;
        control.wait_until_whole(load.topic.as_str());
        let how = if dies { "dead" } else { "hanging" };
        println!("round {round}: all but broker {stays} {how}");
    }
    load.goes_on().await;
    audit(&config, &load.stop().await).await;
}

/// While a broker hangs, some records run out of time and others, which were written but not yet
/// acknowledged, are sent again. None of them may stand twice for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_run_out_of_time_double_no_others() {
    let Some((control, _turn)) = cluster().await else {
        return;
    };
    // About as long as the brokers take to give up one that hangs.
    let mut append_timeout = Duration::from_secs(4);
    let mut round = 0;
    while round < rounds() {
        let mut config = topic(&control).await;
        config.append_timeout = append_timeout;
        let topic = config.partitions[0].0.clone();
        let journal = Arc::new(KafkaJournal::connect(config.clone()).await.unwrap());
        journal
            .append(vec![record(&topic, "first 0", "v")])
            .await
            .unwrap();
        let leader = control.leader(topic.as_str());
        control.pause(leader);
        let begin = Instant::now();
        let mut appends = Vec::new();
        let acknowledged = Arc::new(AtomicU64::new(0));
        // Until some have run out of time, and some came through again.
        while begin.elapsed() < Duration::from_secs(6) || acknowledged.load(Ordering::SeqCst) < 20 {
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "appends do not go on"
            );
            let number = appends.len() as u64;
            let keys: Vec<String> = (0..10).map(|n| format!("{number}-{n} 0")).collect();
            let records = keys.iter().map(|key| record(&topic, key, "v")).collect();
            let (journal, acknowledged) = (Arc::clone(&journal), Arc::clone(&acknowledged));
            appends.push(tokio::spawn(async move {
                let outcome = journal.append(records).await;
                acknowledged.fetch_add(u64::from(outcome.is_ok()), Ordering::SeqCst);
                (keys, outcome)
            }));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut told = Told::default();
        for append in appends {
            let (keys, outcome) = append.await.unwrap();
            told.was_told(&topic, keys, outcome);
        }
        control.resume(leader);
        control.wait_until_whole(topic.as_str());
        println!("round {round}: {} records unknown", told.unknown.len());
        // The brokers may have been quicker than that. Then the round counts for nothing.
        match told.unknown.is_empty() {
            true => append_timeout /= 2,
            false => round += 1,
        }
        assert!(
            append_timeout >= Duration::from_millis(500),
            "some run out of time"
        );
        told.unknown.push("first 0".to_owned());
        audit(&config, &told).await;
    }
}

/// Leaving a group whose brokers all hang takes seconds, not for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_can_be_left_while_all_brokers_hang() {
    if !is_long() {
        return;
    }
    let Some((control, _turn)) = cluster().await else {
        return;
    };
    let config = topic(&control).await;
    let topic = config.partitions[0].0.clone();
    let member = KafkaGroup::join(&config, &GroupConfig::new(topic.as_str(), topic.clone()));
    let member = member.unwrap();
    let mut shards = member.shards();
    let all = shards.wait_for(|shards| shards.len() == PARTITIONS as usize);
    let all = tokio::time::timeout(Duration::from_secs(60), all).await;
    assert!(all.unwrap().is_ok());
    for broker in BROKERS {
        control.pause(broker);
    }
    let begin = Instant::now();
    let left = tokio::task::spawn_blocking(move || drop(member));
    let left = tokio::time::timeout(Duration::from_secs(20), left).await;
    let took = begin.elapsed();
    control.mend();
    left.expect("leaving ends").unwrap();
    println!("left after {took:?}");
}
