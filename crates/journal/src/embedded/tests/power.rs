//! Loss of power: of what was written since the last completed fsync, any part may be gone.
//!
//! The disk here keeps such writes apart, and on a crash keeps a random part of them, in any order.
//! A process killed by a signal loses none of its writes, so that test (`tests/kill.rs`) cannot see a
//! missing fsync; this one can.

use std::io;
use std::sync::{Arc, Mutex};

use redb::{Builder, StorageBackend};

use super::{EmbeddedConfig, EmbeddedJournal, record};
use crate::{Journal, ReadLimit, Topic};

/// A small generator of its own: the test is the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[derive(Debug)]
enum Write {
    Bytes(u64, Vec<u8>),
    Length(u64),
}

#[derive(Debug, Default)]
struct Platters {
    /// What the process sees.
    seen: Vec<u8>,
    /// What an fsync has made durable.
    durable: Vec<u8>,
    /// What came since.
    loose: Vec<Write>,
    /// After the power is gone nothing more is written.
    off: bool,
    /// Fsyncs left before the power goes.
    fsyncs_left: u64,
}

impl Write {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::Bytes(at, bytes) => {
                let end = *at as usize + bytes.len();
                if image.len() < end {
                    image.resize(end, 0);
                }
                image[*at as usize..end].copy_from_slice(bytes);
            }
            Self::Length(length) => image.resize(*length as usize, 0),
        }
    }
}

#[derive(Clone, Debug)]
struct Disk(Arc<Mutex<Platters>>);

impl Disk {
    fn new(image: Vec<u8>, fsyncs_left: u64) -> Self {
        Self(Arc::new(Mutex::new(Platters {
            seen: image.clone(),
            durable: image,
            fsyncs_left,
            ..Platters::default()
        })))
    }

    /// What is found after the power came back.
    fn after_power_loss(&self, dice: &mut Dice) -> Vec<u8> {
        let platters = self.0.lock().unwrap();
        let mut image = platters.durable.clone();
        let mut kept: Vec<&Write> = platters
            .loose
            .iter()
            .filter(|_| dice.below(2) == 0)
            .collect();
        // Fisher-Yates: the disk owes no order between fsyncs.
        for at in (1..kept.len()).rev() {
            kept.swap(at, dice.below(at as u64 + 1) as usize);
        }
        for write in kept {
            write.apply(&mut image);
        }
        image
    }
}

fn off() -> io::Error {
    io::Error::other("the power is off")
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.0.lock().unwrap().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let platters = self.0.lock().unwrap();
        let at = offset as usize;
        let found = platters.seen.get(at..at + out.len());
        out.copy_from_slice(found.ok_or_else(|| io::Error::other("beyond the end"))?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.put(Write::Length(len))
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let mut platters = self.0.lock().unwrap();
        if platters.off || platters.fsyncs_left == 0 {
            platters.off = true;
            return Err(off());
        }
        platters.fsyncs_left -= 1;
        platters.durable = platters.seen.clone();
        platters.loose.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.put(Write::Bytes(offset, data.to_vec()))
    }
}

impl Disk {
    fn put(&self, write: Write) -> Result<(), io::Error> {
        let mut platters = self.0.lock().unwrap();
        if platters.off {
            return Err(off());
        }
        write.apply(&mut platters.seen);
        platters.loose.push(write);
        Ok(())
    }
}

fn open(disk: &Disk, topic: &Topic) -> Result<EmbeddedJournal, crate::Error> {
    let database = Builder::new()
        .set_cache_size(1 << 20)
        .create_with_backend(disk.clone())
        .unwrap();
    EmbeddedJournal::start(database, EmbeddedConfig::new(vec![(topic.clone(), 2)]))
}

async fn values(journal: &EmbeddedJournal, topic: &Topic) -> Vec<u64> {
    let mut found = Vec::new();
    for partition in 0..2 {
        let batch = journal
            .read(topic, partition, 0, ReadLimit::default())
            .await
            .unwrap();
        assert_eq!(batch.next, batch.end);
        let mut last = None;
        for stored in batch.records {
            let text = String::from_utf8(stored.value.to_vec()).unwrap();
            let value: u64 = text.split(' ').next().unwrap().parse().unwrap();
            assert!(last < Some(value), "order within the partition");
            last = Some(value);
            found.push(value);
        }
    }
    found.sort_unstable();
    found
}

#[tokio::test]
async fn what_was_acknowledged_survives_the_loss_of_power() {
    let topic = Topic::new("t");
    let padding = "p".repeat(300);
    for seed in 0..12 {
        let mut dice = Dice(seed);
        // The journal is made in peace.
        let disk = Disk::new(Vec::new(), u64::MAX);
        drop(open(&disk, &topic).unwrap());
        let mut image = disk.0.lock().unwrap().durable.clone();
        let (mut next, mut acknowledged) = (0u64, Vec::new());
        for _outage in 0..6 {
            let disk = Disk::new(image, 2 + dice.below(30));
            let journal = open(&disk, &topic).unwrap();
            // Exactly once each: none lost, none doubled; of those not acknowledged some may be there.
            let found = values(&journal, &topic).await;
            assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "{found:?}");
            for value in &acknowledged {
                assert!(
                    found.binary_search(value).is_ok(),
                    "seed {seed}: {value} is lost"
                );
            }
            acknowledged = found;
            let mut appends = 0;
            loop {
                // Every commit takes an fsync at least, of which few are left.
                appends += 1;
                assert!(appends < 100, "commits are acknowledged without an fsync");
                let count = 1 + dice.below(20);
                let records = (next..next + count)
                    .map(|n| record(&topic, &format!("key {n}"), &format!("{n} {padding}")))
                    .collect();
                let done = journal.append(records).await;
                let begin = next;
                next += count;
                if done.is_err() {
                    break;
                }
                acknowledged.extend(begin..next);
            }
            image = disk.after_power_loss(&mut dice);
            drop(journal);
        }
        assert!(
            acknowledged.len() > 50,
            "seed {seed}: the test did some work"
        );
    }
}
