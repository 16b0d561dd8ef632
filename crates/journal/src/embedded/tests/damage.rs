//! Damaged record batches are recognised and named, and the other partitions go on.

use redb::{Database, ReadableTable, TableDefinition};

use super::{EmbeddedConfig, EmbeddedJournal, File, record};
use crate::contract::Backend;
use crate::{Batch, Error, ErrorKind, Journal, ReadLimit, Record, Topic, partition_of};

const BATCHES: TableDefinition<'static, (u16, u32, u64), &'static [u8]> =
    TableDefinition::new("batches");
const ENDS: TableDefinition<'static, (u16, u32), u64> = TableDefinition::new("ends");

const PARTITIONS: u32 = 2;

/// A key of each partition.
fn key(partition: u32) -> String {
    (0..)
        .map(|n| format!("key-{n}"))
        .find(|key| partition_of(key.as_bytes(), PARTITIONS) == partition)
        .unwrap()
}

/// Three batches of ten records in each of two partitions.
async fn filled(file: &File, topic: &Topic) {
    let journal = file.open(&[(topic.clone(), PARTITIONS)]).await;
    for batch in 0..3 {
        for partition in 0..PARTITIONS {
            let records: Vec<Record> = (0..10)
                .map(|n| record(topic, &key(partition), &format!("value {batch} {n}")))
                .collect();
            journal.append(records).await.unwrap();
        }
    }
}

/// Changes the stored bytes of one batch.
fn damage(file: &File, at: (u16, u32, u64), change: impl FnOnce(&mut Vec<u8>)) {
    let database = Database::create(file.path()).unwrap();
    let write = database.begin_write().unwrap();
    {
        let mut table = write.open_table(BATCHES).unwrap();
        let mut stored = table.get(at).unwrap().unwrap().value().to_vec();
        change(&mut stored);
        table.insert(at, &stored[..]).unwrap();
    }
    write.commit().unwrap();
}

async fn read(
    journal: &EmbeddedJournal,
    topic: &Topic,
    partition: u32,
    from: u64,
) -> Result<Batch, Error> {
    journal
        .read(topic, partition, from, ReadLimit::default())
        .await
}

fn open(file: &File) -> EmbeddedJournal {
    EmbeddedJournal::open(&file.path(), EmbeddedConfig::default()).unwrap()
}

#[tokio::test]
async fn a_torn_flipped_or_newer_batch_is_named_and_the_rest_goes_on() {
    type Change = fn(&mut Vec<u8>);
    let changes: [(&str, Change); 4] = [
        ("cut short", |stored| stored.truncate(9)),
        ("checksum", |stored| {
            let middle = stored.len() / 2;
            stored[middle] ^= 4;
        }),
        ("checksum", |stored| {
            let shorter = stored.len() - 1;
            stored.truncate(shorter);
        }),
        ("format version 2", |stored| stored[0] = 2),
    ];
    let topic = Topic::new("t");
    for (why, change) in changes {
        let file = File::new();
        filled(&file, &topic).await;
        damage(&file, (0, 1, 10), change);
        let journal = open(&file);

        // A read that begins in the batch fails and names it.
        for from in [10, 15] {
            let error = read(&journal, &topic, 1, from).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            let text = error.to_string();
            assert!(text.contains("t/1@10") && text.contains(why), "{text}");
        }
        // Before and behind it there is nothing wrong, nor in the other partition.
        let before = read(&journal, &topic, 1, 0).await.unwrap();
        assert_eq!(
            (before.records.len(), before.next, before.end),
            (10, 10, 30)
        );
        assert_eq!(
            read(&journal, &topic, 1, 20).await.unwrap().records.len(),
            10
        );
        assert_eq!(
            read(&journal, &topic, 0, 0).await.unwrap().records.len(),
            30
        );
        journal
            .append(vec![record(&topic, &key(0), "more")])
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_damaged_last_batch_closes_its_partition_to_appends() {
    let topic = Topic::new("t");
    let file = File::new();
    filled(&file, &topic).await;
    damage(&file, (0, 1, 20), |stored| stored[20] ^= 1);
    let journal = open(&file);
    let both = vec![
        record(&topic, &key(0), "more"),
        record(&topic, &key(1), "more"),
    ];
    let error = journal.append(both).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("t/1@20"), "{error}");
    // The end is still told, so that a barrier waits for what cannot be read instead of passing over it.
    let ends = journal
        .end_positions(std::slice::from_ref(&topic))
        .await
        .unwrap();
    assert_eq!(ends.get(&topic, 1), 30);
    assert_eq!(ends.get(&topic, 0), 30, "nothing of the append was written");
    let alone = vec![record(&topic, &key(0), "more")];
    journal.append(alone).await.unwrap();
}

#[tokio::test]
async fn ends_that_disagree_with_the_batches_are_found_when_opening() {
    let topic = Topic::new("t");
    for end in [29, 31, 0] {
        let file = File::new();
        filled(&file, &topic).await;
        {
            let database = Database::create(file.path()).unwrap();
            let write = database.begin_write().unwrap();
            write.open_table(ENDS).unwrap().insert((0, 1), end).unwrap();
            write.commit().unwrap();
        }
        let journal = open(&file);
        let error = journal
            .append(vec![record(&topic, &key(1), "more")])
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        let text = error.to_string();
        assert!(text.contains("end at 30"), "{text}");
        assert!(text.contains(&format!("but {end} was recorded")), "{text}");
    }
}

#[tokio::test]
async fn a_missing_batch_is_a_gap_and_not_passed_over() {
    let topic = Topic::new("t");
    let file = File::new();
    filled(&file, &topic).await;
    {
        let database = Database::create(file.path()).unwrap();
        let write = database.begin_write().unwrap();
        write
            .open_table(BATCHES)
            .unwrap()
            .remove((0, 1, 10))
            .unwrap();
        write.commit().unwrap();
    }
    let journal = open(&file);
    let before = read(&journal, &topic, 1, 0).await.unwrap();
    assert_eq!((before.records.len(), before.next), (10, 10));
    for from in [10, 19] {
        let error = read(&journal, &topic, 1, from).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("missing"), "{error}");
    }
    assert_eq!(
        read(&journal, &topic, 1, 20).await.unwrap().records.len(),
        10
    );
}

/// Bits that flip on the disk itself, where redb does not look.
#[tokio::test]
async fn a_bit_flipped_in_the_file_is_found() {
    let topic = Topic::new("t");
    let file = File::new();
    let journal = file.open(&[(topic.clone(), 1)]).await;
    // Values that do not compress stand in the file as they are.
    let value: String = (0..3_000u32)
        .map(|n| char::from(b'!' + (n.wrapping_mul(2_654_435_761) >> 25) as u8 % 90))
        .collect();
    journal
        .append(vec![record(&topic, "k", "first")])
        .await
        .unwrap();
    journal
        .append(vec![record(&topic, "k", &value)])
        .await
        .unwrap();
    journal
        .append(vec![record(&topic, "k", "last")])
        .await
        .unwrap();
    drop(journal);

    let stored = {
        let database = Database::create(file.path()).unwrap();
        let write = database.begin_write().unwrap();
        let table = write.open_table(BATCHES).unwrap();
        let stored = table.get((0, 0, 1)).unwrap().unwrap().value().to_vec();
        drop(table);
        write.abort().unwrap();
        stored
    };
    let mut bytes = std::fs::read(file.path()).unwrap();
    let places: Vec<usize> = (0..bytes.len() - stored.len())
        .filter(|at| bytes[*at..*at + stored.len()] == stored[..])
        .collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at + stored.len() / 2] ^= 0x10;
    }
    std::fs::write(file.path(), bytes).unwrap();

    let journal = open(&file);
    assert_eq!(read(&journal, &topic, 0, 0).await.unwrap().next, 1);
    let error = read(&journal, &topic, 0, 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("t/0@1"), "{error}");
    assert_eq!(read(&journal, &topic, 0, 2).await.unwrap().records.len(), 1);
}
