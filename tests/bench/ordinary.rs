//! The same data as a platform without a gate would have it: finished rows of everybody, and decisions, in ordinary Parquet
//! files.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::consented::{Consented, Decision};
use crate::gate::TABLES;
use crate::house::House;
use crate::population::customer;

/// An answer has at most a million rows, and people have some ten events each.
const SLICE_MEMBERS: u64 = 50_000;

/// Ordinary Parquet files (zstd, sorted by member).
pub(crate) struct Ordinary {
    dir: PathBuf,
}

impl Ordinary {
    /// Writes them to an empty directory; under `duty` nobody is denied.
    pub(crate) async fn write(
        house: &House,
        duty: &str,
        dir: &Path,
        consented: &Consented,
    ) -> Self {
        let ordinary = Self {
            dir: dir.to_owned(),
        };
        // Slices by the first two digits of the member's id.
        let slices = consented.members.div_ceil(SLICE_MEMBERS).clamp(1, 256);
        for table in TABLES {
            let mut writer = None;
            for slice in 0..slices {
                let digits = |slice: u64| format!("{:02x}", slice * 256 / slices);
                let below = match slice + 1 == slices {
                    true => String::new(),
                    false => format!("AND member_id < '{}'", digits(slice + 1)),
                };
                let sql = format!(
                    "SELECT * FROM {table} WHERE member_id >= '{}' {below} ORDER BY member_id",
                    digits(slice)
                );
                let rows = house.ask_as("officer", duty, &sql).await.expect("rows");
                let path = ordinary.file(table);
                let writer = writer.get_or_insert_with(|| begin(&path, &rows.schema));
                for batch in &rows.batches {
                    writer.write(batch).expect("written");
                }
            }
            writer.expect("a slice").close().expect("closed");
        }
        ordinary.decisions(house, consented);
        ordinary
    }

    /// The list of all decisions, and who has granted now.
    fn decisions(&self, house: &House, consented: &Consented) {
        let mut ids: BTreeMap<u64, String> = BTreeMap::new();
        for member in 0..consented.members {
            let subject = house.subject("customer_no", &customer(member));
            ids.insert(member, subject.to_string());
        }
        let mut latest: BTreeMap<(&str, &str), &Decision> = BTreeMap::new();
        let mut all: Vec<(&str, &Decision)> = Vec::new();
        for decision in &consented.decisions {
            let id = ids[&decision.member].as_str();
            latest.insert((id, decision.purpose), decision);
            all.push((id, decision));
        }
        all.sort_by_key(|(id, decision)| (*id, decision.decided_at));
        write(&self.file("decisions"), &all);
        let granted = latest.into_iter().map(|((id, _), decision)| (id, decision));
        let granted: Vec<(&str, &Decision)> =
            granted.filter(|(_, decision)| decision.granted).collect();
        write(&self.file("granted"), &granted);
    }

    /// The file of a table.
    pub(crate) fn file(&self, table: &str) -> PathBuf {
        self.dir.join(format!("{table}.parquet"))
    }

    /// Every file, by the name of its table for DuckDB.
    pub(crate) fn files(&self) -> Vec<(String, PathBuf)> {
        let people = TABLES.map(|table| (format!("all_{table}"), self.file(table)));
        let decisions = ["decisions", "granted"].map(|table| (table.to_owned(), self.file(table)));
        people.into_iter().chain(decisions).collect()
    }
}

fn begin(path: &Path, schema: &arrow::datatypes::SchemaRef) -> ArrowWriter<File> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .build();
    let file = File::create_new(path).expect("a new file");
    ArrowWriter::try_new(file, Arc::clone(schema), Some(properties)).expect("a writer")
}

fn write(path: &Path, decisions: &[(&str, &Decision)]) {
    let told = |of: fn(&Decision) -> &str| {
        StringArray::from_iter_values(decisions.iter().map(|(_, decision)| of(decision)))
    };
    let ids = StringArray::from_iter_values(decisions.iter().map(|(id, _)| id));
    let granted: BooleanArray = decisions
        .iter()
        .map(|(_, decision)| Some(decision.granted))
        .collect();
    let at = decisions
        .iter()
        .map(|(_, decision)| decision.decided_at.micros());
    let columns: [(&str, ArrayRef); 4] = [
        ("member_id", Arc::new(ids)),
        ("purpose", Arc::new(told(|decision| decision.purpose))),
        ("granted", Arc::new(granted)),
        (
            "decided_at",
            Arc::new(TimestampMicrosecondArray::from_iter_values(at)),
        ),
    ];
    let batch = RecordBatch::try_from_iter(columns).expect("of one length");
    let mut writer = begin(path, &batch.schema());
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
}
