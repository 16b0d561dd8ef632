//! Rows of the `events` table.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Builder, Int64Builder, RecordBatch, StringBuilder, UInt64Array,
};
use arrow::compute::take_record_batch;
use assent_event::Envelope;
use serde_json::Value;
use std::collections::BTreeMap;

use super::columns::{Stamp, id_array};
use crate::Error;
use crate::groups::{bytes_at, ids, subjects};
use crate::layout::events_schema;
use crate::merge::scalar::instant_array;
use crate::merge::typed;

/// What an event tells beside its envelope.
pub(crate) struct Told<'e> {
    /// The text of [`crate::denial`].
    pub(crate) denied: &'e str,
    pub(crate) name: &'e str,
    pub(crate) revenue: Option<f64>,
    pub(crate) currency: Option<&'e str>,
    pub(crate) quantity: Option<i64>,
    pub(crate) product: Option<&'e str>,
    pub(crate) properties: &'e BTreeMap<String, String>,
    pub(crate) sensitive: Option<&'e BTreeMap<String, String>>,
}

/// Rows of behaviour, in the order they were read.
#[derive(Debug, Default)]
pub(crate) struct EventRows {
    subjects: Vec<u128>,
    denied: StringBuilder,
    ids: Vec<u128>,
    sources: StringBuilder,
    names: StringBuilder,
    times: Vec<Option<i64>>,
    received: Vec<Option<i64>>,
    revenues: Float64Builder,
    currencies: StringBuilder,
    quantities: Int64Builder,
    products: StringBuilder,
    properties: StringBuilder,
    sensitive: StringBuilder,
}

impl EventRows {
    pub(crate) fn add(
        &mut self,
        subject: u128,
        envelope: &Envelope,
        stamp: Stamp,
        told: &Told<'_>,
    ) {
        self.subjects.push(subject);
        self.denied.append_value(told.denied);
        self.ids.push(stamp.by);
        self.sources.append_value(&envelope.source);
        self.names.append_value(told.name);
        self.times.push(Some(stamp.at));
        self.received
            .push(Some(envelope.times.received_at.micros()));
        self.revenues.append_option(told.revenue);
        self.currencies.append_option(told.currency);
        self.quantities.append_option(told.quantity);
        self.products.append_option(told.product);
        self.properties.append_option(json_object(told.properties));
        self.sensitive
            .append_option(told.sensitive.and_then(json_object));
    }

    /// The rows, sorted.
    pub(crate) fn finish(mut self) -> Result<RecordBatch, Error> {
        let columns: Vec<ArrayRef> = vec![
            id_array(&self.subjects)?,
            Arc::new(self.denied.finish()),
            id_array(&self.ids)?,
            Arc::new(self.sources.finish()),
            Arc::new(self.names.finish()),
            instant_array(self.times),
            instant_array(self.received),
            Arc::new(self.revenues.finish()),
            Arc::new(self.currencies.finish()),
            Arc::new(self.quantities.finish()),
            Arc::new(self.products.finish()),
            Arc::new(self.properties.finish()),
            Arc::new(self.sensitive.finish()),
        ];
        sorted(&RecordBatch::try_new(events_schema(), columns)?)
    }
}

/// The rows of a batch of events in the order of the table: subject, time, event id.
pub(crate) fn sorted(batch: &RecordBatch) -> Result<RecordBatch, Error> {
    let subjects = subjects(batch)?;
    let ids = ids(batch, "event_id")?;
    let batches = std::slice::from_ref(batch);
    let times = typed::<arrow::array::TimestampMicrosecondArray>(batches, "event_time")?[0];
    let mut rows: Vec<(u128, i64, u128, u64)> = (0..batch.num_rows())
        .map(|row| {
            (
                u128::from_be_bytes(bytes_at(subjects, row)),
                times.value(row),
                u128::from_be_bytes(bytes_at(ids, row)),
                row as u64,
            )
        })
        .collect();
    rows.sort();
    let order = UInt64Array::from_iter_values(rows.iter().map(|row| row.3));
    Ok(take_record_batch(batch, &order)?)
}

/// Properties as one JSON object, keys ascending; `None` when there are none. A value that is not JSON, against the
/// contract of the event, becomes a JSON string rather than breaking the object.
fn json_object(properties: &BTreeMap<String, String>) -> Option<String> {
    if properties.is_empty() {
        return None;
    }
    let mut text = String::from("{");
    for (key, value) in properties {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&Value::from(key.as_str()).to_string());
        text.push(':');
        match serde_json::from_str::<serde::de::IgnoredAny>(value) {
            Ok(_) => text.push_str(value),
            Err(_) => text.push_str(&Value::from(value.as_str()).to_string()),
        }
    }
    text.push('}');
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_become_one_object_whatever_they_hold() {
        let properties = BTreeMap::from([
            ("b".to_owned(), "[1, 2]".to_owned()),
            ("a\"".to_owned(), "\"x\"".to_owned()),
            ("c".to_owned(), "bare } text".to_owned()),
        ]);
        let text = json_object(&properties).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["b"][1], 2);
        assert_eq!(value["a\""], "x");
        assert_eq!(value["c"], "bare } text");
        assert_eq!(json_object(&BTreeMap::new()), None);
    }
}
