//! Real purchases: the CDNOW file of 69,659 purchases by 23,544 customers, evaluated in the middle of 1998.

use std::path::PathBuf;

use crate::house::repository;
use crate::oracle::FileForm;
use crate::retail;

const FILE: &str = "cdnow_purchases.csv";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_purchases_are_seen_as_the_oracle_sees_them() {
    let data = std::env::var_os("ASSENT_DATA")
        .map_or_else(|| repository().join("../shared/data"), PathBuf::from);
    let file = data.join(FILE);
    if !file.is_file() {
        println!(
            "skipped: there is no {FILE} in {}; name the folder of the real data in ASSENT_DATA",
            data.display()
        );
        return;
    }
    let form = FileForm {
        delimiter: b',',
        customer: "customer_id",
        date: "date",
        amount: "amount_usd",
        day_first: false,
    };
    let mapping = repository().join("pipelines/imports/cdnow.yaml");
    retail::check(&file, &form, &mapping, 1_998).await;
}
