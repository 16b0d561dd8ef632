//! Files.

use std::path::PathBuf;

use assent_event::{Kind, Payload};
use assent_intake::import::{Files, ImportError, Mapping, Progress, run};

use crate::room::{Room, SERVER_KEY, at};

const PURCHASES: &str = r#"
name: cdnow_purchases
source: shop
format: csv
events:
  - do: track
    subject: {namespace: customer, column: customer_id}
    time: {column: date, format: "%Y-%m-%d"}
    event: Order Completed
    properties:
      revenue: {column: amount_usd, type: number}
      currency: USD
"#;

fn mapping(yaml: &str) -> Mapping {
    Mapping::parse(yaml).unwrap()
}

fn files(room: &Room, contents: &str) -> Files {
    let input: PathBuf = room.dir.path().join("input");
    std::fs::write(&input, contents).unwrap();
    Files::beside(&input)
}

async fn import(room: &Room, mapping: &Mapping, files: &Files) -> Progress {
    run(&room.intake, mapping, files, &mut |_| {})
        .await
        .unwrap()
}

async fn message_ids(room: &Room) -> Vec<String> {
    let found = room.of_kind(Kind::Behaviour).await;
    let mut ids: Vec<_> = found
        .into_iter()
        .map(|found| found.envelope.message_id)
        .collect();
    ids.sort();
    ids
}

/// Rows as in the CDNOW data, some of them equal.
fn purchases(rows: usize) -> String {
    let mut text = "customer_id,date,amount_usd\n".to_owned();
    for row in 0..rows {
        let (customer, day) = (row % 7, row % 3 + 1);
        text.push_str(&format!("{customer:05},1997-01-0{day},11.77\n"));
    }
    text
}

#[tokio::test]
async fn purchases_become_behaviour_in_the_calendar() {
    let room = Room::new();
    let files = files(
        &room,
        "customer_id,date,amount_usd\n00001,1997-01-01,11.77\n00002,1997-01-12,12\n",
    );
    let mut heard = 0;
    let progress = run(&room.intake, &mapping(PURCHASES), &files, &mut |_| {
        heard += 1
    })
    .await
    .unwrap();
    assert_eq!(
        (progress.rows, progress.journalled, progress.rejected),
        (2, 2, 0)
    );
    assert!(progress.finished && heard == 1);
    let mut found = room.of_kind(Kind::Behaviour).await;
    found.sort_by_key(|found| found.envelope.times.event_time);
    let Payload::Behaviour(behaviour) = &found[0].payload else {
        panic!();
    };
    let profile = behaviour.profile.as_ref().unwrap();
    assert_eq!(
        (profile.name.as_str(), profile.revenue),
        ("Order Completed", Some(11.77))
    );
    assert_eq!(profile.currency.as_deref(), Some("USD"));
    assert_eq!(
        found[0].envelope.times.event_time,
        at("1996-12-31T16:00:00Z")
    );
    assert_eq!(
        Some(found[0].envelope.subject),
        room.subject("customer", "00001")
    );
    assert!(!files.rejects.exists());
}

#[tokio::test]
async fn equal_rows_stay_distinct_and_a_second_run_is_a_duplicate() {
    let mut room = Room::new();
    let files = files(&room, &purchases(100));
    let mapping = mapping(PURCHASES);
    import(&room, &mapping, &files).await;
    let ids = message_ids(&room).await;
    let mut distinct = ids.clone();
    distinct.dedup();
    assert_eq!((ids.len(), distinct.len()), (100, 100));
    assert!(ids.iter().all(|id| id.len() < 100));
    std::fs::remove_file(&files.progress).unwrap();
    let again = import(&room, &mapping, &files).await;
    assert_eq!((again.journalled, again.duplicates), (0, 100));
    // After a restart the filter is empty; the fold recognises the ids.
    room.restart();
    std::fs::remove_file(&files.progress).unwrap();
    import(&room, &mapping, &files).await;
    let mut twice = message_ids(&room).await;
    assert_eq!(twice.len(), 200);
    twice.dedup();
    assert_eq!(twice, ids);
}

#[tokio::test]
async fn an_interrupted_import_goes_on_where_it_stopped() {
    let mut room = Room::new();
    let mapping = mapping(PURCHASES);
    let files = files(&room, &purchases(2_500));
    let mut reports = Vec::new();
    // Interrupted after the second batch: the future is dropped at its next await.
    let stop = std::sync::atomic::AtomicBool::new(false);
    let mut report = |progress: &Progress| {
        reports.push(progress.rows);
        stop.store(reports.len() == 2, std::sync::atomic::Ordering::SeqCst);
    };
    {
        let import = run(&room.intake, &mapping, &files, &mut report);
        tokio::pin!(import);
        std::future::poll_fn(|cx| {
            if stop.load(std::sync::atomic::Ordering::SeqCst) {
                return std::task::Poll::Ready(());
            }
            import.as_mut().poll(cx).map(|_| ())
        })
        .await;
    }
    assert_eq!(reports, [1_000, 2_000]);
    room.restart();
    let progress = import(&room, &mapping, &files).await;
    assert_eq!((progress.rows, progress.finished), (2_500, true));
    let mut ids = message_ids(&room).await;
    ids.dedup();
    assert_eq!(ids.len(), 2_500, "none is missing");
    // A finished import has nothing to do; a file that has grown has its new rows to do.
    let before = room.journal().await.len();
    import(&room, &mapping, &files).await;
    assert_eq!(room.journal().await.len(), before);
    std::fs::write(&files.input, purchases(2_510)).unwrap();
    import(&room, &mapping, &files).await;
    assert_eq!(room.journal().await.len(), before + 10);
}

#[tokio::test]
async fn progress_of_another_file_or_mapping_is_refused() {
    let room = Room::new();
    let files = files(&room, &purchases(3));
    import(&room, &mapping(PURCHASES), &files).await;
    let other = mapping(&PURCHASES.replace("USD", "CNY"));
    let error = run(&room.intake, &other, &files, &mut |_| {})
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            ImportError::ProgressOfAnother {
                what: "mapping",
                ..
            }
        ),
        "{error}"
    );
    std::fs::write(&files.input, purchases(3).replace("11", "12")).unwrap();
    let error = run(&room.intake, &mapping(PURCHASES), &files, &mut |_| {})
        .await
        .unwrap_err();
    assert!(
        matches!(error, ImportError::ProgressOfAnother { what: "file", .. }),
        "{error}"
    );
}

#[tokio::test]
async fn bad_rows_are_listed_by_line_and_column_and_the_rest_goes_in() {
    let room = Room::new();
    let files = files(
        &room,
        "customer_id,date,amount_usd\n1,1997-01-01,5\n2,1997-13-01,5\n3,1997-01-01,secret-five\n4\n,1997-01-01,5\n6,1997-01-01,\n",
    );
    let progress = import(&room, &mapping(PURCHASES), &files).await;
    assert_eq!(
        (progress.rows, progress.journalled, progress.rejected),
        (6, 2, 4)
    );
    let rejects = std::fs::read_to_string(&files.rejects).unwrap();
    let lines: Vec<&str> = rejects.lines().collect();
    assert_eq!(
        lines,
        [
            "line,column,reason",
            "3,date,\"it is written as a time of the format %Y-%m-%d, but there is no such day or time; mend the cell, or the order of day and month in `format`\"",
            "4,amount_usd,\"it is not a number such as 1234.5, without currency or thousands separators\"",
            "5,,\"1 field, the header has 3\"",
            "6,customer_id,it does not name a person",
        ]
    );
    assert!(!rejects.contains("secret"));
}

#[tokio::test]
async fn a_key_identifies_rows() {
    let room = Room::new();
    let yaml = format!("key: [order]\n{}", PURCHASES.trim_start());
    let files = files(
        &room,
        "order,customer_id,date,amount_usd\na,1,1997-01-01,5\nb,1,1997-01-01,5\na,1,1997-01-01,5\na,1,1997-01-01,6\n ,1,1997-01-01,7\n,1,1997-01-01,8\n",
    );
    let progress = import(&room, &mapping(&yaml), &files).await;
    assert_eq!(
        (progress.journalled, progress.duplicates, progress.rejected),
        (2, 1, 3)
    );
    let rejects = std::fs::read_to_string(&files.rejects).unwrap();
    let lines: Vec<&str> = rejects.lines().skip(1).collect();
    assert!(
        lines[0].starts_with("5,order,") && lines[0].contains("same key and other contents"),
        "{rejects}"
    );
    for (line, number) in lines[1..].iter().zip([6, 7]) {
        assert!(
            line.starts_with(&format!("{number},order,\"the key is empty")),
            "{line}"
        );
    }
    assert_eq!(
        progress.reasons.values().copied().collect::<Vec<_>>(),
        [1, 2]
    );
    // The rows before are known again when an import goes on behind them.
    let grown = std::fs::read_to_string(&files.input).unwrap() + "b,1,1997-01-01,9\n";
    std::fs::write(&files.input, grown).unwrap();
    let progress = import(&room, &mapping(&yaml), &files).await;
    assert_eq!((progress.journalled, progress.rejected), (2, 4));
}

#[tokio::test]
async fn numbers_that_json_rounds_tell_no_rows_and_no_people_apart() {
    let room = Room::new();
    let rows = concat!(
        r#"{"order":1,"who":18446744073709551616}"#,
        "\n",
        r#"{"order":18446744073709551617,"who":2}"#,
        "\n",
        r#"{"order":"18446744073709551617","who":"18446744073709551616"}"#,
        "\n",
    );
    let yaml = r"
name: rounded
source: shop
format: ndjson
key: [order]
events:
  - do: track
    subject: {namespace: customer, column: who}
    event: e
";
    let files = files(&room, rows);
    let progress = import(&room, &mapping(yaml), &files).await;
    assert_eq!((progress.journalled, progress.rejected), (1, 2));
    let rejects = std::fs::read_to_string(&files.rejects).unwrap();
    let lines: Vec<&str> = rejects.lines().skip(1).collect();
    assert!(
        lines[0].starts_with("1,who,") && lines[0].contains("round"),
        "{rejects}"
    );
    assert!(
        lines[1].starts_with("2,order,") && lines[1].contains("round"),
        "{rejects}"
    );
}

#[tokio::test]
async fn subscribers_of_ndjson_become_several_events_each() {
    let room = Room::new();
    let yaml = r#"
name: subscribers
source: shop
format: ndjson
key: [id]
events:
  - do: identify
    subject: {namespace: customer, column: id}
    traits:
      city: {column: /home/city}
      email: {column: mail}
  - do: track
    subject: {namespace: customer, column: id}
    event: Subscription Started
    properties:
      subscription_id: {column: id}
      plan: {column: contract, map: {Month-to-month: monthly, Two year: biennial}, default: other}
      amount: {column: charges, type: number}
  - do: group
    subject: {namespace: customer, column: id}
    group: {column: company}
    when: {column: company, not: ""}
"#;
    let files = files(
        &room,
        "{\"id\": 1, \"home\": {\"city\": \"Suzhou\"}, \"mail\": \"a@example.com\", \"contract\": \"Two year\", \"charges\": \"20.5\"}\n\n{\"id\": 2, \"contract\": \"x\", \"charges\": 3, \"company\": \"acme\"}\nnot json\n",
    );
    let progress = import(&room, &mapping(yaml), &files).await;
    assert_eq!(
        (progress.rows, progress.journalled, progress.rejected),
        (3, 5, 1)
    );
    assert_eq!(room.of_kind(Kind::AccountMembership).await.len(), 1);
    let changes = room.of_kind(Kind::SubscriptionChange).await;
    let plans: Vec<_> = changes
        .iter()
        .map(|found| match &found.payload {
            Payload::SubscriptionChange(change) => change.profile.as_ref().unwrap().plan.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        plans,
        [Some("biennial".to_owned()), Some("other".to_owned())]
    );
    let traits = room.of_kind(Kind::Traits).await;
    let Payload::Traits(first) = &traits[0].payload else {
        panic!();
    };
    assert_eq!(first.profile.as_ref().unwrap().values["city"], "\"Suzhou\"");
    assert_eq!(
        first.identity.as_ref().unwrap().identifiers["email"],
        "a@example.com"
    );
}

#[tokio::test]
async fn decisions_of_a_file_keep_their_order_and_restrictions_are_never_lost() {
    let room = Room::new();
    let yaml = r#"
name: preference_centre
source: shop
format: csv
delimiter: ";"
time_zone: Asia/Shanghai
events:
  - do: decision
    subject: {namespace: customer, column: id}
    time: {column: at, format: "%Y-%m-%d %H:%M"}
    fields:
      purpose: email_marketing
      state: {column: state, map: {in: granted, out: withdrawn}}
      notice: terms@2
      act: switch_turned_on
      actor: system
      evidence: export of the preference centre
      channel: {column: channel}
"#;
    let files = files(
        &room,
        "id;state;at;channel\n1;in;2026-01-05 10:00;email\n1;out;2026-01-06 10:00;\n1;out;sometime;pigeon\n1;in;sometime;\n1;gone;2026-01-07 10:00;\n1;in;;\n",
    );
    let progress = import(&room, &mapping(yaml), &files).await;
    assert_eq!((progress.journalled, progress.rejected), (4, 2));
    let found = room.of_kind(Kind::ConsentDecision).await;
    let states: Vec<_> = found
        .iter()
        .map(|found| match &found.payload {
            Payload::ConsentDecision(decision) => decision.clear.state.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    // The channel that cannot be read is refused besides, whichever it is.
    assert_eq!(
        states,
        [
            "granted",
            "withdrawn",
            "withdrawn",
            "withdrawn",
            "unreadable"
        ]
    );
    assert_eq!(
        found[0].envelope.times.event_time,
        at("2026-01-05T02:00:00Z")
    );
}

#[tokio::test]
async fn a_column_that_is_not_there_stops_before_anything_is_sent() {
    let room = Room::new();
    let files = files(&room, "customer,date,amount_usd\n1,1997-01-01,5\n");
    let error = run(&room.intake, &mapping(PURCHASES), &files, &mut |_| {})
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("customer_id") && error.to_string().contains("customer, date")
    );
    let files = Files::beside(&room.dir.path().join("absent"));
    let error = run(&room.intake, &mapping(PURCHASES), &files, &mut |_| {})
        .await
        .unwrap_err();
    assert!(matches!(error, ImportError::File { .. }), "{error}");
}

#[tokio::test]
async fn a_file_is_as_good_as_a_request() {
    // The same purchase by both doors makes the same payload.
    let room = Room::new();
    let files = files(
        &room,
        "customer_id,date,amount_usd\n00001,1997-01-01,11.77\n",
    );
    import(&room, &mapping(PURCHASES), &files).await;
    let body = serde_json::json!({
        "userId": "00001", "event": "Order Completed", "timestamp": "1997-01-01T00:00:00+08:00",
        "properties": {"revenue": 11.77, "currency": "USD"},
    });
    room.call(SERVER_KEY, assent_intake::Route::Track, body)
        .await;
    let found = room.of_kind(Kind::Behaviour).await;
    assert_eq!(found[0].payload, found[1].payload);
    assert_eq!(
        found[0].envelope.times.event_time,
        found[1].envelope.times.event_time
    );
    assert_eq!(found[0].envelope.subject, found[1].envelope.subject);
}

#[test]
fn faults_of_a_mapping_are_named_by_line() {
    let cases = [
        (PURCHASES.replace("format: csv", "format: xml"), 4, "xml"),
        (PURCHASES.replace("do: track", "do: dance"), 6, "dance"),
        (
            PURCHASES.replace("    event: Order Completed\n", ""),
            6,
            "needs event",
        ),
        (
            PURCHASES.replace("name: cdnow_purchases", "name: CD now"),
            2,
            "1 to 48",
        ),
        (PURCHASES.replace("%Y-%m-%d", "%Q"), 8, "strftime"),
        (PURCHASES.replace("type: number", "typ: number"), 11, "typ"),
        (
            PURCHASES.replace("namespace: customer", "namespace: A b"),
            7,
            "",
        ),
        (
            PURCHASES.replace("format: csv", "format: csv\ntime_zone: Mars/Base"),
            5,
            "Mars",
        ),
        ("name: [".to_owned(), 1, ""),
    ];
    for (yaml, line, word) in cases {
        let error = Mapping::parse(&yaml).unwrap_err();
        assert!(error.message.contains(word), "{error}");
        assert_eq!(error.line, line, "{error}");
    }
}
