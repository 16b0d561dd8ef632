//! The disk is full: nothing more is acknowledged, nothing that was is lost, and with space again all goes on (I3).
//!
//! Needs a small file system of its own, which only root may mount; elsewhere it says that it is skipped.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::running::{Server, assent_ok, decision, rows};

/// The whole file system.
const SIZE: u64 = 48 << 20;
/// What is taken away from it until the disk has been full.
const BALLAST: usize = 20 << 20;
/// Events of one request, and bytes that each carries.
const BATCH: u64 = 100;
const WEIGHT: usize = 4_000;

/// A file system in memory, unmounted at the end.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    fn mount(at: &'a Path) -> Option<Self> {
        let options = format!("size={SIZE}");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(at)
            .output();
        mount
            .is_ok_and(|output| output.status.success())
            .then_some(Self(at))
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

/// Text that does not compress.
fn noise(seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..WEIGHT)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            char::from(b'a' + (state % 26) as u8)
        })
        .collect()
}

/// The status of the answer, if there is one.
fn send(server: &Server, batch: u64) -> Option<u16> {
    let events: Vec<Value> = (0..BATCH)
        .map(|place| {
            let order = batch * BATCH + place;
            json!({
                "type": "track", "event": "Order Completed", "userId": "m1", "messageId": format!("order-{order}"),
                "properties": { "revenue": 1, "currency": "CNY", "note": noise(order) },
            })
        })
        .collect();
    let answer = server.post("/v1/batch", "demo-server-key", &json!({ "batch": events }))?;
    if answer.status == 200 {
        let told = answer.json();
        let taken = told["journalled"].as_u64().unwrap() + told["duplicates"].as_u64().unwrap();
        assert_eq!(taken, BATCH, "{told}");
    }
    Some(answer.status)
}

#[test]
fn a_full_disk_acknowledges_nothing_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_small) = Small::mount(folder.path()) else {
        eprintln!("the test of a full disk is skipped: only root may mount a small one");
        return;
    };
    let ballast = folder.path().join("ballast");
    std::fs::write(&ballast, vec![0; BALLAST]).unwrap();
    let data = folder.path().join("data");
    assent_ok(&data, &["apply", "pipelines"]);
    let add = ["principal", "add", "me", "--purpose", "email_marketing"];
    let token = assent_ok(&data, &add);

    let server = Server::start(&data, &[]);
    let grant = decision("m1", "granted", "g1");
    let granted = server.post("/v1/consents", "demo-server-key", &grant);
    assert_eq!(granted.unwrap().status, 200);
    let begin = Instant::now();
    let mut acknowledged = 0;
    let refused = loop {
        match send(&server, acknowledged) {
            Some(200) => acknowledged += 1,
            other => break other,
        }
        assert!(begin.elapsed() < Duration::from_secs(120), "it never fills");
    };
    assert_eq!(refused, Some(503), "after {acknowledged} batches");
    println!("full after {acknowledged} batches of {BATCH}");
    // It says so as long as that lasts, and goes on saying it.
    assert_eq!(send(&server, acknowledged), Some(503));
    server.signal_kill();
    drop(server);

    std::fs::remove_file(&ballast).unwrap();
    let server = Server::start(&data, &[]);
    for batch in acknowledged..acknowledged + 3 {
        assert_eq!(send(&server, batch), Some(200), "with space again");
    }
    assert!(server.stop());
    let sql = "SELECT count(*) AS n, sum(revenue) AS r FROM events";
    let rows = rows(&data, token.trim(), sql);
    let expected = (acknowledged + 3) * BATCH;
    assert_eq!(rows[0]["n"], expected, "{rows}");
    assert_eq!(rows[0]["r"].as_f64(), Some(expected as f64), "{rows}");
}
