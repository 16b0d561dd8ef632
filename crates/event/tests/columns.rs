//! The blocks are plain Avro: arrow-avro, which knows nothing of Assent, decodes them straight to columns.

#![allow(
    clippy::unwrap_used,
    reason = "a test stops where something is missing"
)]

mod samples;

use arrow_avro::reader::ReaderBuilder;
use arrow_avro::schema::{AvroSchema, Fingerprint, FingerprintAlgorithm, SchemaStore};
use assent_event::{KeyClass, Kind, Payload, schema};

/// Decodes blocks of one schema and class, and says how many rows came out and which columns hold a
/// value in row 0.
fn columns(
    kind: Kind,
    class: Option<KeyClass>,
    blocks: &[Vec<u8>],
) -> (usize, Vec<(String, bool)>) {
    // Any id will do: the decoder wants framed data.
    let id = 7;
    let mut store = SchemaStore::new_with_type(FingerprintAlgorithm::Id);
    let published = schema::published(kind.schema_id()).unwrap();
    let text = published.block(class).unwrap().json().to_owned();
    store
        .set(Fingerprint::Id(id), AvroSchema::new(text.clone()))
        .unwrap();
    let mut decoder = ReaderBuilder::new()
        .with_writer_schema_store(store)
        .with_reader_schema(AvroSchema::new(text))
        .with_active_fingerprint(Fingerprint::Id(id))
        .with_batch_size(64)
        .build_decoder()
        .unwrap();
    for block in blocks {
        let mut framed = vec![0];
        framed.extend_from_slice(&id.to_be_bytes());
        framed.extend_from_slice(block);
        assert_eq!(
            decoder.decode(&framed).unwrap(),
            framed.len(),
            "{kind} {class:?}"
        );
    }
    let batch = decoder.flush().unwrap().unwrap();
    let names = batch.schema();
    let present = names
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| (field.name().clone(), column.is_valid(0)))
        .collect();
    (batch.num_rows(), present)
}

fn blocks_of(payload: &Payload) -> Vec<(Option<KeyClass>, Vec<u8>)> {
    let (clear, personal) = payload.blocks().unwrap();
    std::iter::once((None, clear))
        .chain(
            personal
                .into_iter()
                .map(|(class, plain)| (Some(class), plain)),
        )
        .collect()
}

#[test]
fn every_block_decodes_to_columns() {
    let mut decoded = 0;
    for kind in Kind::ALL {
        let bare = blocks_of(&samples::bare(kind));
        for (class, plain) in blocks_of(&samples::full(kind)) {
            if plain.is_empty() {
                continue; // A clear block without fields: there is nothing to decode.
            }
            let mut blocks = vec![plain];
            blocks.extend(
                bare.iter()
                    .filter(|(c, _)| *c == class)
                    .map(|(_, plain)| plain.clone()),
            );
            let (rows, present) = columns(kind, class, &blocks);
            assert_eq!(rows, blocks.len(), "{kind} {class:?}");
            let fields: Vec<_> = schema::fields()
                .into_iter()
                .filter(|field| field.kind == Some(kind) && field.block == class)
                .map(|field| (field.path, true))
                .collect();
            assert_eq!(present, fields, "{kind} {class:?}");
            decoded += 1;
        }
    }
    assert_eq!(decoded, 19);
}
