//! Mappings that do not fit the programme, and what an import says at its end.

use std::path::PathBuf;

use assent_event::{Kind, Payload};
use assent_intake::import::{Files, ImportError, Mapping, Progress, run};

use crate::room::Room;

const DECISIONS: &str = "\
name: newsletter
source: shop
format: csv
events:
  - do: decision
    subject:
      namespace: customer
      column: id
    fields:
      purpose: email_marketing
      state: granted
      notice: terms@2
      act: signature
      actor: agent
      evidence: {column: how}
    time: now
";

const TRAITS: &str = "\
name: people
source: shop
format: csv
events:
  - do: identify
    subject: {namespace: customer, column: id}
    traits:
      city: {column: city}
      mobile: {column: how}
";

fn files(room: &Room, contents: impl AsRef<[u8]>) -> Files {
    let input: PathBuf = room.dir.path().join("input");
    std::fs::write(&input, contents).unwrap();
    Files::beside(&input)
}

async fn import(room: &Room, yaml: &str, files: &Files) -> Result<Progress, ImportError> {
    let mapping = Mapping::parse(yaml).unwrap();
    run(&room.intake, &mapping, files, &mut |_| {}).await
}

#[tokio::test]
async fn a_wrong_constant_is_an_error_of_the_mapping_before_the_first_row() {
    let room = Room::new();
    let files = files(&room, "id,how,city\n1,paper,Suzhou\n");
    let d = |from: &str, to: &str| {
        assert!(DECISIONS.contains(from), "{from}");
        DECISIONS.replace(from, to)
    };
    let cases = [
        (d("state: granted", "state: yes"), 11, "granted, refused"),
        (
            d("state: granted", "state: maybe"),
            11,
            "granted, refused or withdrawn",
        ),
        (
            d("      state: granted\n", ""),
            5,
            "granted, refused or withdrawn",
        ),
        (
            d(
                "state: granted",
                "state:\n        column: city\n        map:\n          a: granted\n          b: yess",
            ),
            15,
            "granted, refused or withdrawn",
        ),
        (
            d("state: granted", "state: {column: city, default: yes}"),
            11,
            "granted, refused",
        ),
        (d("email_marketing", "emial"), 10, "email_marketing"),
        (d("email_marketing", "all"), 10, "each purpose"),
        (d("      purpose: email_marketing\n", ""), 5, "purpose"),
        (
            d(
                "email_marketing\n      state: granted",
                "emial\n      state: refused",
            ),
            10,
            "email_marketing",
        ),
        (
            d(
                "      purpose: email_marketing\n      state: granted",
                "      state: refused",
            ),
            5,
            "email_marketing",
        ),
        (
            d(
                "purpose: email_marketing\n      state: granted",
                "purpose: emial\n      state: {column: city}",
            ),
            10,
            "email_marketing",
        ),
        (d("terms@2", "terms@9"), 12, "terms@2"),
        (d("terms@2", "terms@3"), 12, "in force from"),
        (d("      notice: terms@2\n", ""), 5, "notice"),
        (
            d(
                "state: granted\n      notice: terms@2",
                "state: {column: city, map: {in: granted}}\n      notice: terms@9",
            ),
            12,
            "terms@2",
        ),
        (d("signature", "silence"), 13, "checkbox_ticked"),
        (
            d("act: signature", "act: signature\n      channel: pigeon"),
            14,
            "email",
        ),
        (
            d("state: granted", "state: refused\n      channel: pigeon"),
            12,
            "the purpose knows email",
        ),
        (
            d(
                "      actor: agent\n      evidence: {column: how}\n",
                "      actor: agent\n",
            ),
            5,
            "evidence",
        ),
        (
            d("act: signature", "act: signature\n      chanel: email"),
            5,
            "known fields are",
        ),
        (
            d("namespace: customer", "namespace: custmer"),
            7,
            "anonymous, customer, phone",
        ),
        (d("source: shop", "source: shoop"), 2, "shop, web"),
        (d("source: shop", "source: web"), 5, "server key"),
        (TRAITS.replace("      city:", "      town:"), 8, "city"),
        (TRAITS.replace("{column: city}", "7"), 8, "text"),
        (
            TRAITS.replace("do: identify", "do: group\n    group: {column: id}"),
            9,
            "account_traits",
        ),
        (
            DECISIONS
                .replace("decision", "fact")
                .replace("      state: granted\n", "      fact: contract_begun\n"),
            11,
            "contract_started",
        ),
        (
            DECISIONS
                .replace("decision", "fact")
                .replace("      state: granted\n", ""),
            5,
            "contract_started",
        ),
    ];
    for (yaml, line, word) in cases {
        let error = import(&room, &yaml, &files).await.unwrap_err();
        assert!(error.is_usage());
        let ImportError::Mapping(fault) = &error else {
            panic!("{error}\n{yaml}");
        };
        assert!(fault.message.contains(word), "{error}\n{yaml}");
        assert_eq!(fault.line, line, "{error}\n{yaml}");
    }
    assert!(room.journal().await.is_empty());
    assert!(!files.progress.exists() && !files.rejects.exists());
}

#[tokio::test]
async fn what_only_rows_can_tell_is_no_error_of_the_mapping() {
    let columns = "purpose: {column: a}\n      state: {column: b}\n      notice: {column: c}\n      \
                   act: {column: d}\n      channel: {column: e}\n      expires_at: 2020-01-01T00:00:00Z";
    let from = "purpose: email_marketing\n      state: granted\n      notice: terms@2\n      act: signature";
    let decision = DECISIONS.replace(from, columns);
    let fact = "fact: {column: a}\n      contract: {column: b}\n      birth_date: {column: c}\n      \
                other: {column: d}\n      purpose: {column: e}";
    let fact = DECISIONS.replace("decision", "fact").replace(from, fact);
    let restriction = DECISIONS.replace(from, "purpose: all\n      state: withdrawn");
    for yaml in [DECISIONS, TRAITS, &decision, &fact, &restriction] {
        let room = Room::new();
        let files = files(&room, "id,how,city,a,b,c,d,e\n");
        import(&room, yaml, &files).await.unwrap();
    }
}

#[tokio::test]
async fn warnings_and_reasons_are_counted_and_rejects_begin_anew() {
    let room = Room::new();
    let yaml = DECISIONS
        .replace(
            "state: granted",
            "state: {column: state, map: {in: granted, out: refused}}",
        )
        .replace("time: now", "time: {column: at, format: \"%d.%m.%Y\"}");
    let files = files(
        &room,
        "id,how,state,at\n1,paper,gone,01.02.2026\n2,paper,gone,01.02.2026\n3,paper,in,2026\n4,paper,in,01.02.2026\n",
    );
    std::fs::write(
        &files.rejects,
        "line,column,reason\n9,,of an earlier import\n",
    )
    .unwrap();
    let progress = import(&room, &yaml, &files).await.unwrap();
    let warnings = &progress.warnings;
    let unreadable = |(text, _): &(&String, &u64)| text.starts_with("state_unreadable: state: ");
    let counted = warnings.iter().find(unreadable).map(|(_, count)| *count);
    assert_eq!(counted, Some(2), "{warnings:?}");
    let reason = "at: time_invalid: it is not a time of the format %d.%m.%Y; mend the cell, or name the way it is \
                  written as `format`";
    assert_eq!(
        progress.reasons.get(reason),
        Some(&1),
        "{:?}",
        progress.reasons
    );
    assert_eq!(
        std::fs::read_to_string(&files.rejects).unwrap(),
        "line,column,reason\n4,at,\"time_invalid: it is not a time of the format %d.%m.%Y; mend the cell, or name the way it is written as `format`\"\n"
    );
    // They outlast the run, and a mended file leaves no list behind.
    let again = import(&room, &yaml, &files).await.unwrap();
    assert_eq!(again, progress);
    std::fs::remove_file(&files.progress).unwrap();
    std::fs::write(&files.input, "id,how,state,at\n4,paper,in,01.02.2026\n").unwrap();
    import(&room, &yaml, &files).await.unwrap();
    assert!(!files.rejects.exists());
}

/// What permits is not dated by the day on which somebody imports it, unless the mapping says so.
#[tokio::test]
async fn what_permits_has_a_time() {
    let undated = DECISIONS.replace("    time: now\n", "");
    let state = |to: &str| undated.replace("state: granted", to);
    let fact = |to: &str| {
        let decision = undated.replace("decision", "fact");
        decision.replace("state: granted", to)
    };
    for yaml in [
        undated.clone(),
        state("state: \" Granted\""),
        state("state: {column: city}"),
        state("state: {column: city, map: {in: granted, out: refused}}"),
        state("state: {column: city, map: {out: refused}, default: granted}"),
        fact("fact: restriction_lifted"),
        fact("fact: {column: city}"),
    ] {
        let fault = Mapping::parse(&yaml).unwrap_err();
        assert_eq!(fault.line, 5, "{yaml}");
        assert!(fault.message.contains("time: now"), "{fault}");
        Mapping::parse(&format!("{yaml}    time: now\n")).unwrap();
        Mapping::parse(&format!("{yaml}    time: {{column: at}}\n")).unwrap();
    }
    for yaml in [
        state("state: refused"),
        state("state: {column: city, map: {out: withdrawn}}"),
        fact("fact: restricted"),
        fact("fact: birth_date"),
    ] {
        Mapping::parse(&yaml).unwrap();
    }
    for wrong in ["then", "7", "[now]"] {
        let fault = Mapping::parse(&format!("{undated}    time: {wrong}\n")).unwrap_err();
        assert!(fault.message.contains("or now"), "{fault}");
    }
    // What the map does not list is no grant for being spelt like one.
    let room = Room::new();
    let restricting = state("state: {column: city, map: {out: withdrawn}}");
    let files = files(&room, "id,how,city\n1,paper,granted\n");
    let progress = import(&room, &restricting, &files).await.unwrap();
    assert_eq!(progress.journalled, 1);
    let found = room.of_kind(Kind::ConsentDecision).await.remove(0);
    let Payload::ConsentDecision(decision) = found.payload else {
        panic!();
    };
    assert_eq!(decision.clear.state, "unreadable");
}

/// A fact that restricts is taken whatever is wrong with its row, like a refusal.
#[tokio::test]
async fn a_row_that_restricts_is_not_lost_over_a_cell() {
    let yaml = DECISIONS
        .replace("decision", "fact")
        .replace(
            "state: granted",
            "fact: {column: what, map: {stop: restricted}}",
        )
        .replace(
            "purpose: email_marketing",
            "purpose: {column: purpose, map: {mail: email_marketing}}",
        )
        .replace(
            "      notice: terms@2\n      act: form_signed\n      actor: agent\n",
            "",
        )
        .replace("evidence: {column: how}", "reason: {column: how}")
        .replace("time: now", "time: {column: at, format: \"%d.%m.%Y\"}");
    let room = Room::new();
    let files = files(
        &room,
        "id,what,purpose,how,at\n1,stop,mail,x,sometime\n2,stop,post,x,01.02.2026\n3,go,mail,x,01.02.2026\n",
    );
    let progress = import(&room, &yaml, &files).await.unwrap();
    assert_eq!(
        (progress.journalled, progress.rejected),
        (2, 1),
        "{:?}",
        progress.reasons
    );
    assert_eq!(room.of_kind(Kind::SubjectFact).await.len(), 2);
}

/// RFC 8259 leaves open what a repeated name means; a mapping that took the last would take the other
/// half of `withdrawn` and `granted`.
#[tokio::test]
async fn a_name_that_stands_twice_is_no_column() {
    let room = Room::new();
    let csv = files(&room, "id,how,how\n1,paper,parchment\n");
    let error = import(&room, DECISIONS, &csv).await.unwrap_err();
    assert!(error.is_usage());
    assert!(
        error.to_string().contains("how") && error.to_string().contains("twice"),
        "{error}"
    );
    assert!(room.journal().await.is_empty());
    // A column that the mapping does not use may stand twice, as in many an export.
    let unused = files(&room, "id,how,x,x\n1,paper,1,2\n");
    assert_eq!(
        import(&room, DECISIONS, &unused).await.unwrap().journalled,
        1
    );

    let room = Room::new();
    let yaml = DECISIONS
        .replace("csv", "ndjson")
        .replace("granted", "{column: state}");
    let lines = concat!(
        "{\"id\":1,\"how\":\"paper\",\"state\":\"withdrawn\",\"state\":\"granted\"}\n",
        "{\"id\":1,\"how\":{\"a\":1,\"a\":2},\"state\":\"refused\"}\n",
        "{\"id\":2,\"how\":\"paper\",\"state\":\"refused\"}\n",
    );
    let twice = files(&room, lines);
    let progress = import(&room, &yaml, &twice).await.unwrap();
    assert_eq!((progress.journalled, progress.rejected), (1, 2));
    let reasons: Vec<_> = progress.reasons.keys().collect();
    assert!(
        reasons.iter().all(|reason| reason.contains("twice")),
        "{reasons:?}"
    );
}

#[tokio::test]
async fn a_file_that_is_no_list_of_rejects_is_left_alone() {
    let room = Room::new();
    let mut files = files(&room, "id,how\n1,paper\n");
    files.rejects = files.input.clone();
    let error = import(&room, DECISIONS, &files).await.unwrap_err();
    assert!(
        matches!(error, ImportError::RejectsElsewhere { .. }),
        "{error}"
    );
    assert!(files.input.exists() && room.journal().await.is_empty());
}

#[tokio::test]
async fn lines_are_counted_as_an_editor_does_and_bad_rows_say_why() {
    let room = Room::new();
    let rows = b"id,how,city\r\n1,paper,Suzhou\r\n\r\n,paper,x\r\n2,a,b,c,d\r\n3,\"a\r\nb\",\xc4\xe3\r\n,x,y\r\n";
    let list = files(&room, rows);
    import(&room, TRAITS, &list).await.unwrap();
    assert_eq!(
        std::fs::read_to_string(&list.rejects).unwrap(),
        "line,column,reason\n4,id,it does not name a person\n5,,\"5 fields, the header has 3\"\n6,city,it is not UTF-8; convert the file first\n8,id,it does not name a person\n"
    );
    let room = Room::new();
    let header = files(&room, b"id,how,city,\xc4\xe3\n1,a,b,c\n");
    let error = import(&room, TRAITS, &header).await.unwrap_err();
    assert!(error.to_string().contains("iconv"), "{error}");
    let lines = files(&room, b"{\"id\": \"\xc4\xe3\"}\n7\n{\n{\"id\": 1}\n");
    std::fs::remove_file(&lines.rejects).ok();
    let yaml = TRAITS.replace("csv", "ndjson");
    import(&room, &yaml, &lines).await.unwrap();
    assert_eq!(
        std::fs::read_to_string(&lines.rejects).unwrap(),
        "line,column,reason\n1,,it is not UTF-8; convert the file first\n2,,it is not a JSON object\n3,,it is not JSON\n"
    );
}

#[tokio::test]
async fn the_mapping_is_judged_before_the_progress_of_another() {
    let room = Room::new();
    let files = files(&room, "id,how\n1,paper\n");
    import(&room, DECISIONS, &files).await.unwrap();
    let other = DECISIONS.replace("signature", "silence");
    let error = import(&room, &other, &files).await.unwrap_err();
    assert!(matches!(error, ImportError::Mapping(_)), "{error}");
    let other = DECISIONS.replace("signature", "written_statement");
    let error = import(&room, &other, &files).await.unwrap_err();
    assert!(error.to_string().contains("--restart"), "{error}");
}

#[tokio::test]
async fn without_a_programme_the_first_step_is_named() {
    let mut room = Room::new();
    room.registry = std::sync::Arc::new(assent_programme::RegistryState::default());
    room.restart();
    let files = files(&room, "id,how\n1,paper\n");
    let error = import(&room, DECISIONS, &files).await.unwrap_err();
    assert!(error.to_string().contains("apply a programme"), "{error}");
}
