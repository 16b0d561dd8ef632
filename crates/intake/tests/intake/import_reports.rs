//! What an import tells about single rows and about its mapping.

use std::path::PathBuf;

use assent_intake::import::{Files, Mapping, Progress, Unread, reached, run, unread};

use crate::room::Room;

const ORDERS: &str = r#"
name: orders
source: shop
format: csv
events:
  - do: track
    subject: {namespace: customer, column: who}
    time: {column: day, format: "%d.%m.%Y %H:%M"}
    event: Order Completed
"#;

fn files(room: &Room, contents: &str) -> Files {
    let input: PathBuf = room.dir.path().join("input");
    std::fs::write(&input, contents).unwrap();
    Files::beside(&input)
}

async fn import(room: &Room, yaml: &str, files: &Files) -> Progress {
    let mapping = Mapping::parse(yaml).unwrap();
    let done = run(&room.intake, &mapping, files, &mut |_| {}).await;
    done.unwrap()
}

/// The room's clock shows 2026-03-01.
#[tokio::test]
async fn rows_dated_ahead_are_taken_and_named_by_line_and_column() {
    let room = Room::new();
    let mut rows = "who,day\n1,01.02.2026 10:00\n".to_owned();
    for _ in 0..7 {
        rows.push_str("2,01.02.2062 10:00\n");
    }
    let files = files(&room, &rows);
    let progress = import(&room, ORDERS, &files).await;
    assert_eq!((progress.journalled, progress.rejected), (8, 0));
    let (text, count) = progress.warnings.first_key_value().unwrap();
    assert!(
        text.starts_with("clock_ahead: day: ") && text.contains("as of its receipt"),
        "{text}"
    );
    assert_eq!(*count, 7);
    assert_eq!(progress.warning_lines[text], [3, 4, 5, 6, 7]);
    // They outlast the run.
    let found = reached(&Mapping::parse(ORDERS).unwrap(), &files).unwrap();
    assert_eq!(found.warning_lines, progress.warning_lines);
}

#[tokio::test]
async fn what_is_wrong_with_a_time_is_told_by_its_cause_and_never_by_its_value() {
    let yaml = ORDERS.replace("events:", "time_zone: Europe/Berlin\nevents:")
        + r#"  - do: decision
    subject: {namespace: customer, column: who}
    time: {column: decided}
    when: {column: decided, not: ""}
    fields:
      purpose: email_marketing
      state: granted
      notice: terms@2
      act: signature
      actor: agent
      evidence: form
"#;
    let room = Room::new();
    let files = files(
        &room,
        "who,day,decided\n1,someday,\n1,31.02.2025 10:00,\n1,29.03.2015 02:30,\n1,,\n1,01.02.2026 10:00,2026-01-05T10:00:00\n",
    );
    let progress = import(&room, &yaml, &files).await;
    assert_eq!((progress.journalled, progress.rejected), (1, 5));
    let rejects = std::fs::read_to_string(&files.rejects).unwrap();
    let lines: Vec<&str> = rejects.lines().skip(1).collect();
    for (line, (place, cause, fix)) in lines.iter().zip([
        ("2,day,", "not a time of the format", "`format`"),
        ("3,day,", "no such day or time", "mend the cell"),
        ("4,day,", "put forward", "`time_zone`"),
        ("5,day,", "it is empty", "`when`"),
        ("6,decided,", "time_invalid: it has no offset", "+08:00"),
    ]) {
        assert!(
            line.starts_with(place) && line.contains(cause) && line.contains(fix),
            "{line}"
        );
        for value in ["someday", "31.02", "29.03", "2026-01-05"] {
            assert!(!line.contains(value), "{line}");
        }
    }
    assert_eq!(lines.len(), 5, "{rejects}");
}

#[test]
fn a_zone_by_name_is_no_format() {
    let error = Mapping::parse(&ORDERS.replace("%H:%M", "%H:%M %Z")).unwrap_err();
    assert!(
        error.line == 8 && error.message.contains("time_zone"),
        "{error}"
    );
}

#[test]
fn events_that_no_trait_reads_are_named() {
    let room = Room::new();
    let found = |yaml: &str| unread(&Mapping::parse(yaml).unwrap(), &room.intake.registry());
    assert_eq!(found(ORDERS), None);
    let named = |events: &[&str]| {
        Some(Unread {
            events: events.iter().map(|&name| name.to_owned()).collect(),
            read: vec!["Order Completed".to_owned()],
        })
    };
    assert_eq!(
        found(&ORDERS.replace("Order Completed", "Order Complete")),
        named(&["Order Complete"])
    );
    // Intake reads these itself.
    assert_eq!(
        found(&ORDERS.replace("Order Completed", "Subscription Started")),
        None
    );
    let by_column = "{column: kind, map: {a: Order Completed, b: Order Completd}, default: Other}";
    assert_eq!(
        found(&ORDERS.replace("Order Completed", by_column)),
        named(&["Order Completd", "Other"])
    );
    assert_eq!(
        found(&ORDERS.replace("Order Completed", "{column: kind}")),
        None
    );
}
