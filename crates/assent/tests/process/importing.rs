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
    assert_eq!(exit, 4, "{said}");
    for part in [
        "5 rows: 3 events new, 0 already there, 3 rows rejected",
        "1 × state_unreadable: state: ",
        " (line 6)",
        "2 × day: it is not a time of the format %Y-%m-%d",
        "1 × amount: it is not a number",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (exit, said) = import(dir.path(), MAPPING, rows, &[]);
    assert_eq!(exit, 4, "{said}");
    assert!(
        said.contains("0 new, 3 already there: all 5 rows came in before"),
        "{said}"
    );

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

/// Each command is a process of its own, so intake remembers nothing; profiles do.
#[test]
fn what_came_in_before_is_told_as_such_and_a_run_tells_of_itself() {
    let dir = tempfile::tempdir().unwrap();
    assent_ok(&dir.path().join("data"), &["apply", "pipelines"]);
    let two = "no,day,amount,state\n1,2026-01-01,5,\n2,2026-01-01,6,\n";
    let (exit, said) = import(dir.path(), MAPPING, two, &[]);
    assert_eq!(exit, 0, "{said}");
    assert!(said.contains("2 rows: 2 events new, 0 already there, 0 rows rejected"));
    assert!(!said.contains("hint: "), "{said}");

    let (exit, said) = import(dir.path(), MAPPING, two, &["--restart"]);
    assert_eq!(exit, 0, "{said}");
    assert!(
        said.contains("2 rows: 0 events new, 2 already there, 0 rows rejected")
            && said.contains("under another key only"),
        "{said}"
    );

    let three = format!("{two}3,2026-01-01,7,\n");
    let (exit, said) = import(dir.path(), MAPPING, &three, &[]);
    assert_eq!(exit, 0, "{said}");
    assert!(
        said.contains("earlier runs: 2 rows: 2 events taken, 0 rows rejected")
            && said.contains("this run: 1 rows: 1 events new, 0 already there, 0 rows rejected"),
        "{said}"
    );
    let (exit, said) = import(dir.path(), MAPPING, &three, &["--restart"]);
    assert_eq!(exit, 0, "{said}");
    let (exit, again) = import(dir.path(), MAPPING, &three, &[]);
    assert_eq!(exit, 0, "{again}");
    assert!(
        said.contains("3 rows: 0 events new, 3 already there")
            && again.contains("0 new, 3 already there: all 3 rows came in before"),
        "{said}{again}"
    );
}

#[test]
fn an_event_that_no_trait_reads_is_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    assent_ok(&dir.path().join("data"), &["apply", "pipelines"]);
    let mapping = MAPPING.replace("Order Completed", "Order Complete");
    let rows = "no,day,amount,state\n1,2026-01-01,5,\n";
    let (exit, said) = import(dir.path(), &mapping, rows, &[]);
    assert_eq!(exit, 0, "{said}");
    assert!(
        said.contains("no trait reads \"Order Complete\"") && said.contains("\"Order Completed\""),
        "{said}"
    );
}
