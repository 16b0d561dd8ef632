//! `assent import`: what it says and its exit statuses.

use std::path::Path;

use crate::running::{assent, assent_ok};

const MAPPING: &str = "\
name: sales
source: demo-server
format: csv
events:
  - do: track
    subject: {namespace: customer_no, column: no}
    time: {column: day, format: \"%Y-%m-%d\"}
    event: Order Completed
    properties: {revenue: {column: amount, type: number}}
  - do: decision
    subject: {namespace: customer_no, column: no}
    fields: {purpose: email_marketing, state: {column: state, map: {out: withdrawn}}}
    when: {column: state, not: \"\"}
";

/// Imports these rows under this mapping.
fn import(dir: &Path, mapping: &str, rows: &str, more: &[&str]) -> (i32, String) {
    let path = |name: &str| dir.join(name).to_str().expect("UTF-8").to_owned();
    std::fs::write(path("mapping.yaml"), mapping).expect("written");
    std::fs::write(path("sales.csv"), rows).expect("written");
    let (mapping, rejects) = (path("mapping.yaml"), path("rejects.csv"));
    let file = path("sales.csv");
    let mut args = vec![
        "import",
        &file,
        "--mapping",
        &mapping,
        "--rejects",
        &rejects,
    ];
    args.extend(more);
    let output = assent(&dir.join("data"), &args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap_or(-1), said)
}

#[test]
fn an_import_says_what_is_wrong_and_when_it_is_worth_trying_again() {
    let dir = tempfile::tempdir().unwrap();
    let rows = "no,day,amount,state\n1,2026-01-01,5,\n2,yesterday,5,\n3,2026-01-01,free,\n4,yesterday,5,\n5,2026-01-01,5,gone\n";

    assent_ok(&dir.path().join("data"), &["apply", "pipelines"]);

    for (from, to, part) in [
        ("out: withdrawn", "out: gone", "mapping.yaml: line 12"),
        ("demo-server", "shop", "demo-browser, demo-server"),
        ("column: amount", "column: price", "no column \"price\""),
        (
            "event: Order Completed",
            "event: {}",
            "mapping.yaml: line 8",
        ),
    ] {
        let (exit, said) = import(dir.path(), &MAPPING.replace(from, to), rows, &[]);
        assert_eq!(exit, 2, "{said}");
        assert!(
            said.contains(part) && !said.contains("go on from there"),
            "{said}"
        );
    }

    let (exit, said) = import(dir.path(), MAPPING, rows, &[]);
    assert_eq!(exit, 0, "{said}");
    for part in [
        "5 rows: 3 events journalled, 0 duplicates, 3 rows rejected",
        "1 × state_unreadable: state: ",
        "2 × day: it is not a time of the format %Y-%m-%d",
        "1 × amount: it is not a number",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (exit, said) = import(dir.path(), MAPPING, rows, &[]);
    assert!(exit == 0 && said.contains("came in before"), "{said}");

    let other = MAPPING.replace("Order Completed", "Order Paid");
    let (exit, said) = import(dir.path(), &other, rows, &[]);
    assert!(exit == 2 && said.contains("--restart"), "{said}");
    let bad = "no,day,amount,state\n7,yesterday,5,\n8,yesterday,5,\n";
    let (exit, said) = import(dir.path(), &other, bad, &["--restart"]);
    assert!(exit == 1 && said.contains("nothing was taken"), "{said}");
    assert!(said.contains("2 × day: "), "{said}");
    let listed = std::fs::read_to_string(dir.path().join("rejects.csv")).unwrap();
    assert_eq!(listed.lines().count(), 3, "{listed}");
    let good = "no,day,amount,state\n7,2026-01-02,5,\n";
    let (exit, said) = import(dir.path(), &other, good, &["--restart"]);
    assert_eq!(exit, 0, "{said}");
    assert!(!dir.path().join("rejects.csv").exists());
}
