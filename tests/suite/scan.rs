//! Looks for planted values in everything that is stored, however it is packed or written.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::Read;
use std::path::Path;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use assent_event::{Envelope, topics};
use assent_journal::{EmbeddedConfig, EmbeddedJournal, Journal, ReadLimit, Stored, Topic};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableHandle};

/// How a frame of zstd begins (RFC 8878).
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Values to be looked for, in every form in which they could lie somewhere.
pub(crate) struct Needles {
    by_start: HashMap<[u8; 4], Vec<(&'static str, Vec<u8>)>>,
}

impl Needles {
    pub(crate) fn of(values: &[(&'static str, &[u8])]) -> Self {
        let mut by_start: HashMap<[u8; 4], Vec<(&'static str, Vec<u8>)>> = HashMap::new();
        for (name, value) in values {
            for form in forms(value) {
                let start = form[..4].try_into().unwrap();
                by_start.entry(start).or_default().push((name, form));
            }
        }
        Self { by_start }
    }

    /// The names of the values that occur.
    pub(crate) fn found(&self, bytes: &[u8]) -> BTreeSet<&'static str> {
        let mut found = BTreeSet::new();
        for (place, start) in bytes.windows(4).enumerate() {
            let start: [u8; 4] = start.try_into().unwrap();
            let Some(candidates) = self.by_start.get(&start) else {
                continue;
            };
            for (name, form) in candidates {
                if bytes[place..].starts_with(form) {
                    found.insert(*name);
                }
            }
        }
        found
    }

    /// The names of the values that occur in any of the pieces.
    pub(crate) fn found_in(&self, pieces: &[Vec<u8>]) -> BTreeSet<&'static str> {
        pieces.iter().flat_map(|piece| self.found(piece)).collect()
    }
}

fn forms(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![
        value.to_vec(),
        hex::encode(value).into_bytes(),
        hex::encode_upper(value).into_bytes(),
    ];
    // Base64 of a longer text holds one of three forms, after what stood before it.
    for before in 0..3 {
        let mut shifted = vec![0; before];
        shifted.extend_from_slice(value);
        let (first, end) = ([0, 2, 3][before], shifted.len() * 8 / 6);
        forms.push(STANDARD_NO_PAD.encode(&shifted).as_bytes()[first..end].to_vec());
        forms.push(URL_SAFE_NO_PAD.encode(&shifted).as_bytes()[first..end].to_vec());
    }
    if let Ok(text) = std::str::from_utf8(value) {
        forms.push(text.encode_utf16().flat_map(u16::to_le_bytes).collect());
        forms.push(text.encode_utf16().flat_map(u16::to_be_bytes).collect());
    }
    forms
}

/// Every event of a journal, as its own reader gives them; the stores must be closed.
pub(crate) async fn events(dir: &Path) -> Vec<Envelope> {
    records(dir)
        .await
        .iter()
        .filter(|(topic, _)| topic != topics::REGISTRY)
        .map(|(_, stored)| Envelope::decode(&stored.value).unwrap())
        .collect()
}

/// Every record of a journal, with its topic.
async fn records(dir: &Path) -> Vec<(String, Stored)> {
    let journal =
        EmbeddedJournal::open(&dir.join("journal.redb"), EmbeddedConfig::default()).unwrap();
    let mut records = Vec::new();
    for topic in topics::ALL.map(Topic::new) {
        for partition in 0..journal.partitions(&topic).unwrap() {
            let mut from = 0;
            loop {
                let batch = journal
                    .read(&topic, partition, from, ReadLimit::default())
                    .await
                    .unwrap();
                let named = batch.records.into_iter();
                records.extend(named.map(|stored| (topic.as_str().to_owned(), stored)));
                from = batch.next;
                if from >= batch.end {
                    break;
                }
            }
        }
    }
    records
}

/// Everything in the journal's file: the records as read, the values as stored, what is packed in them, and the raw file
/// with whatever its free pages still hold.
pub(crate) async fn journal(dir: &Path) -> Vec<Vec<u8>> {
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    for envelope in events(dir).await {
        pieces.push(envelope.clear.clone());
        pieces.push(format!("{} {}", envelope.source, envelope.message_id).into_bytes());
        pieces.extend(envelope.sealed.into_iter().map(|block| block.ciphertext));
    }
    assert!(pieces.len() > 20, "the journal was read");
    for (_, stored) in records(dir).await {
        pieces.push(stored.value.to_vec());
        pieces.push(stored.key.to_vec());
        for (name, content) in stored.headers {
            pieces.push([name.as_bytes(), &content].concat());
        }
    }
    let path = dir.join("journal.redb");
    const BATCHES: TableDefinition<'static, (u16, u32, u64), &'static [u8]> =
        TableDefinition::new("batches");
    let database = Database::open(&path).unwrap();
    let read = database.begin_read().unwrap();
    let mut tables: Vec<String> = read
        .list_tables()
        .unwrap()
        .map(|table| table.name().to_owned())
        .collect();
    tables.sort();
    // A new table must be looked into, too.
    assert_eq!(tables, ["batches", "ends", "meta", "topics"]);
    let mut stored = 0;
    for entry in read.open_table(BATCHES).unwrap().iter().unwrap() {
        let (_, value) = entry.unwrap();
        pieces.extend(unpacked(value.value()));
        pieces.push(value.value().to_vec());
        stored += 1;
    }
    assert!(stored > 5, "batches were read");
    drop((read, database));
    pieces.push(fs::read(&path).unwrap());
    pieces
}

/// Everything in the vault's file.
pub(crate) fn vault(dir: &Path) -> Vec<Vec<u8>> {
    const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
    const INDEX: TableDefinition<'static, &[u8; 32], &[u8; 16]> = TableDefinition::new("index");
    const IDENTIFIERS: TableDefinition<'static, &[u8; 16], &[u8]> =
        TableDefinition::new("identifiers");
    const KEYS: TableDefinition<'static, &[u8; 17], &[u8]> = TableDefinition::new("keys");
    let path = dir.join("vault.redb");
    let database = Database::open(&path).unwrap();
    let read = database.begin_read().unwrap();
    let mut tables: Vec<String> = read
        .list_tables()
        .unwrap()
        .map(|table| table.name().to_owned())
        .collect();
    tables.sort();
    assert_eq!(tables, ["identifiers", "index", "keys", "meta"]);
    let mut pieces = Vec::new();
    for entry in read.open_table(META).unwrap().iter().unwrap() {
        let (key, value) = entry.unwrap();
        pieces.push([key.value().as_bytes(), value.value()].concat());
    }
    for entry in read.open_table(INDEX).unwrap().iter().unwrap() {
        let (key, value) = entry.unwrap();
        pieces.push([&key.value()[..], value.value()].concat());
    }
    for entry in read.open_table(IDENTIFIERS).unwrap().iter().unwrap() {
        let (key, value) = entry.unwrap();
        pieces.push([key.value(), value.value()].concat());
    }
    for entry in read.open_table(KEYS).unwrap().iter().unwrap() {
        let (key, value) = entry.unwrap();
        pieces.push([&key.value()[..], value.value()].concat());
    }
    drop((read, database));
    pieces.push(fs::read(&path).unwrap());
    pieces
}

/// What any frame of zstd within these bytes holds.
fn unpacked(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes
        .windows(4)
        .enumerate()
        .filter(|(_, start)| *start == ZSTD)
        .filter_map(|(place, _)| {
            let mut plain = Vec::new();
            let decoder = zstd::stream::read::Decoder::new(&bytes[place..]).ok()?;
            // What follows the frame is none; what was read until then counts.
            let _ = decoder.single_frame().read_to_end(&mut plain);
            Some(plain)
        })
        .collect()
}

/// All cells of all profile files as text, by column, and the manifests.
pub(crate) fn profiles(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut columns: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let options = FormatOptions::default();
    for entry in fs::read_dir(dir.join("profiles/data")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let table = name.split('-').next().unwrap().to_owned();
        let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(&path).unwrap())
            .unwrap()
            .build()
            .unwrap();
        for batch in reader {
            let batch = batch.unwrap();
            for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                let cells = ArrayFormatter::try_new(column, &options).unwrap();
                let text = columns
                    .entry(format!("{table}.{}", field.name()))
                    .or_default();
                for row in 0..batch.num_rows() {
                    text.extend_from_slice(cells.value(row).to_string().as_bytes());
                    text.push(b'\n');
                }
            }
        }
    }
    for entry in fs::read_dir(dir.join("profiles/manifest")).unwrap() {
        let path = entry.unwrap().path();
        columns
            .entry("manifest".to_owned())
            .or_default()
            .extend(fs::read(&path).unwrap());
    }
    columns
}

#[test]
fn a_value_is_found_in_every_form_and_frame() {
    let needles = Needles::of(&[("it", b"planted-value-1")]);
    let text = "before planted-value-1 after";
    let hidden = [
        text.as_bytes().to_vec(),
        hex::encode(text).into_bytes(),
        STANDARD_NO_PAD.encode(text).into_bytes(),
        STANDARD_NO_PAD.encode(&text[1..]).into_bytes(),
        STANDARD_NO_PAD.encode(&text[2..]).into_bytes(),
        text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
    ];
    for bytes in &hidden {
        assert_eq!(needles.found(bytes).len(), 1, "{bytes:?}");
    }
    let mut packed = b"a header".to_vec();
    // A text that is told once stands in a frame as it is; told often, it is copied from far away.
    let often = [&[b'-'; 300][..], text.as_bytes()].concat().repeat(9);
    packed.extend(zstd::bulk::compress(&often, 1).unwrap());
    packed.extend(b"a trailer");
    assert_eq!(needles.found_in(&unpacked(&packed)).len(), 1);
    assert!(needles.found(b"planted-value-2").is_empty());
}
