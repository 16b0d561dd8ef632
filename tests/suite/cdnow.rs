//! Purchases in the form of the CDNOW file: 69,659 real ones by 23,544 customers, where the file is there, and generated
//! ones always; evaluated in the middle of 1998.

use std::io::Write;
use std::path::{Path, PathBuf};

use assent_testkit::seeded::Seeded;
use tempfile::TempDir;

use crate::house::repository;
use crate::oracle::FileForm;
use crate::retail;

const FILE: &str = "cdnow_purchases.csv";
/// Names the folder of the real file.
const FOLDER: &str = "ASSENT_DATA";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_purchases_are_seen_as_the_oracle_sees_them() {
    let data =
        std::env::var_os(FOLDER).map_or_else(|| repository().join("../shared/data"), PathBuf::from);
    let file = data.join(FILE);
    if file.is_file() {
        return seen_as_the_oracle_sees(&file, 1_998).await;
    }
    // Past what the harness captures: nobody should think that it ran.
    writeln!(
        std::io::stderr(),
        "\nSKIPPED real_purchases_are_seen_as_the_oracle_sees_them: there is no {FILE} in {}; name the folder of the \
         real data in {FOLDER}",
        data.display()
    )
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generated_purchases_of_the_same_form_are_seen_as_the_oracle_sees_them() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join(FILE);
    write(&file, 10, 1_500, 5_000);
    seen_as_the_oracle_sees(&file, 1_999).await;
}

async fn seen_as_the_oracle_sees(file: &Path, seed: u64) {
    let form = FileForm {
        delimiter: b',',
        customer: "customer_id",
        date: "date",
        amount: "amount_usd",
        day_first: false,
    };
    let mapping = repository().join("pipelines/imports/cdnow.yaml");
    retail::check(file, &form, &mapping, seed).await;
}

/// Rows without a number of their own, sorted by customer; equal rows, and amounts of zero, occur.
fn write(file: &Path, seed: u64, customers: u64, purchases: u64) {
    let mut random = Seeded::new(seed);
    let mut rows: Vec<[String; 3]> = (0..purchases)
        .map(|number| {
            let customer = if number < customers {
                number
            } else {
                random.below(customers).min(random.below(customers))
            };
            let month = random.between(0, 18);
            let date = format!(
                "{}-{:02}-{:02}",
                1997 + month / 12,
                1 + month % 12,
                random.between(1, 29)
            );
            let amount = match random.below(40) {
                0 => "0".to_owned(),
                price => format!("{}.{}", 5 + price * 2, 49 + price % 2 * 50),
            };
            [format!("{:05}", customer + 1), date, amount]
        })
        .collect();
    // Some buy the same twice a day.
    let twice: Vec<_> = rows.iter().step_by(50).cloned().collect();
    rows.extend(twice);
    rows.sort();
    let mut writer = csv::Writer::from_path(file).unwrap();
    writer
        .write_record(["customer_id", "date", "amount_usd"])
        .unwrap();
    for row in rows {
        writer.write_record(row).unwrap();
    }
    writer.flush().unwrap();
}
