//! Generated purchases, always there: other columns in another order, for which a mapping is all that is needed.

use std::path::Path;

use assent_testkit::seeded::Seeded;
use tempfile::TempDir;

use crate::house::repository;
use crate::oracle::FileForm;
use crate::retail;

const CUSTOMERS: u64 = 2_000;
const PURCHASES: u64 = 8_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purchases_in_another_form_need_only_a_mapping() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("kiosk.csv");
    write(&file, 8);
    let form = FileForm {
        delimiter: b';',
        customer: "card",
        date: "sold_on",
        amount: "total",
        day_first: true,
    };
    let mapping = repository().join("tests/suite/mappings/kiosk.yaml");
    retail::check(&file, &form, &mapping, 2_000).await;
}

/// Few customers buy much and many buy once, as in life; equal rows but for the receipt occur.
fn write(file: &Path, seed: u64) {
    let mut random = Seeded::new(seed);
    let mut writer = csv::WriterBuilder::new()
        .delimiter(b';')
        .from_path(file)
        .unwrap();
    writer
        .write_record(["sold_on", "till", "total", "receipt", "card"])
        .unwrap();
    for receipt in 0..PURCHASES {
        let customer = if receipt < CUSTOMERS {
            receipt
        } else {
            random.below(CUSTOMERS).min(random.below(CUSTOMERS))
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
