//! Generated purchases, always there: other columns in another order, for which a mapping is all that is needed.

use std::path::Path;

use assent_intake::import;
use assent_projection::{Snapshot, Table, canonical_dump};
use assent_testkit::seeded::Seeded;
use tempfile::TempDir;

use crate::house::{House, Opening, repository};
use crate::oracle::FileForm;
use crate::retail;

const MAPPING: &str = "tests/suite/mappings/kiosk.yaml";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purchases_in_another_form_need_only_a_mapping() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("kiosk.csv");
    write(&file, 8, 2_000, 8_000);
    let form = FileForm {
        delimiter: b';',
        customer: "card",
        date: "sold_on",
        amount: "total",
        day_first: true,
    };
    let mapping = repository().join(MAPPING);
    retail::check(&file, &form, &mapping, 2_000).await;
}

#[tokio::test]
async fn what_is_imported_again_counts_once() {
    let house = Opening {
        programme: repository().join("tests/programmes/cdnow"),
        now: "1998-07-01T12:00:00+08:00",
        sealed: true,
    }
    .open()
    .await;
    let (file, mapping) = (
        house.dir.path().join("kiosk.csv"),
        repository().join(MAPPING),
    );
    write(&file, 9, 50, 400);
    let counts = |progress: &import::Progress| (progress.journalled, progress.duplicates);
    let first = house.import(&file, &mapping).await;
    assert_eq!(counts(&first), (400, 0));
    // It is remembered that the end was reached.
    assert_eq!(house.import(&file, &mapping).await, first);
    assert_eq!(house.project().await.counts.folded, 400);
    // With that forgotten, the door still knows the events; after a restart the fold does.
    let forget = |house: &House| {
        std::fs::remove_file(house.dir.path().join("import.csv.progress.json")).unwrap();
    };
    forget(&house);
    assert_eq!(counts(&house.import(&file, &mapping).await), (0, 400));
    let house = house.restart().await;
    forget(&house);
    assert_eq!(counts(&house.import(&file, &mapping).await), (400, 0));
    let again = house.project().await;
    assert_eq!((again.counts.folded, again.counts.duplicates), (0, 400));
    // Folding everything anew says the same (I4).
    let step_by_step = dump(&house);
    assert_eq!(
        step_by_step.len(),
        450,
        "a row for each customer and each event"
    );
    house.rebuild().await;
    assert_eq!(dump(&house), step_by_step);
}

/// What the profiles say, whatever files they stand in.
fn dump(house: &House) -> Vec<String> {
    let snapshot = Snapshot::latest(&house.dir.path().join("profiles"))
        .unwrap()
        .unwrap();
    [Table::Members, Table::Events]
        .into_iter()
        .flat_map(|table| canonical_dump(&snapshot, table).unwrap())
        .collect()
}

/// Few customers buy much and many buy once, as in life; equal rows but for the receipt occur.
fn write(file: &Path, seed: u64, customers: u64, purchases: u64) {
    let mut random = Seeded::new(seed);
    let mut writer = csv::WriterBuilder::new()
        .delimiter(b';')
        .from_path(file)
        .unwrap();
    writer
        .write_record(["sold_on", "till", "total", "receipt", "card"])
        .unwrap();
    for receipt in 0..purchases {
        let customer = if receipt < customers {
            receipt
        } else {
            random.below(customers).min(random.below(customers))
        };
        let month = random.between(0, 18);
        let date = format!(
            "{:02}.{:02}.{}",
            random.between(1, 29),
            1 + month % 12,
            1997 + month / 12
        );
        let cents = random.between(50, 12_000);
        let amount = match cents % 100 {
            0 => format!("{}", cents / 100),
            rest if rest % 10 == 0 => format!("{}.{}", cents / 100, rest / 10),
            rest => format!("{}.{rest:02}", cents / 100),
        };
        let till = random.below(9).to_string();
        writer
            .write_record([
                &date,
                &till,
                &amount,
                &format!("r{receipt}"),
                &format!("K-{customer:04}"),
            ])
            .unwrap();
    }
    writer.flush().unwrap();
}
