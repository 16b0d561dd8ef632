//! Segments: checked against their purpose, run under it, exported with what it allows.

use std::path::Path;

use crate::{Asked, ErrorKind, ExportFormat, LawfulSession, SegmentIds, SqlCheck, check_segment};
use assent_programme::{SegmentCheck, SegmentDefinition};
use serde_json::json;
use tempfile::TempDir;

use super::oracle::{component, denied, lawful, leak};
use super::world::world;

fn segment(purpose: &str, query: &str) -> SegmentDefinition {
    serde_json::from_value(json!({
        "name": "tried", "version": 0, "purpose": purpose, "channel": null, "recipient": null,
        "description": "", "query": query, "query_line": 3, "query_column": 6,
    }))
    .expect("a segment")
}

#[test]
fn a_segment_is_checked_against_what_its_purpose_may_read() {
    let world = world();
    check_segment(
        &world.registry,
        &segment("marketing", "SELECT member_id FROM members WHERE ltv > 3"),
    )
    .expect("fine");
    for (purpose, query, code) in [
        (
            "wellness",
            "SELECT member_id\nFROM members\nWHERE ltv > 3",
            "unknown_column",
        ),
        (
            "marketing",
            "SELECT city FROM members",
            "segment_without_id",
        ),
        (
            "marketing",
            "SELECT count(*) AS member_id FROM members",
            "segment_without_id",
        ),
        (
            "marketing",
            "SELECT member_id FROM nowhere",
            "unknown_table",
        ),
        ("marketing", "DELETE FROM members", "not_a_query"),
        (
            "marketing",
            "SELECT member_id FROM members WHERE version() = ''",
            "function_not_allowed",
        ),
        ("nothing", "SELECT 1", "purpose_unknown"),
    ] {
        let error = check_segment(&world.registry, &segment(purpose, query)).expect_err(code);
        assert_eq!(
            (error.kind(), error.code()),
            (ErrorKind::Invalid, code),
            "{error}"
        );
    }
    let fault = SqlCheck
        .check(
            &world.registry,
            &segment("wellness", "SELECT member_id\nFROM members\nWHERE ltv > 3"),
        )
        .expect_err("a fault");
    assert_eq!((fault.line, fault.column), (3, 7), "{fault:?}");
    assert!(fault.fix.contains("members("), "{fault:?}");
}

#[test]
fn a_segment_runs_under_its_own_purpose_only() {
    let world = world();
    let run = world
        .runtime
        .block_on(world.for_segment("buyers").run_segment("buyers"))
        .expect("a run");
    let ids = SegmentIds::of(&run).expect("ids");
    assert_eq!(ids.column, "member_id");
    assert_eq!(ids.ids.len(), run.rows);
    assert!(run.rows > 5);
    let error = world
        .runtime
        .block_on(world.open("wellness").run_segment("buyers"))
        .expect_err("another purpose");
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Denied, "other_purpose")
    );
    let error = world
        .runtime
        .block_on(world.open("marketing").run_segment("nothing"))
        .expect_err("no such segment");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.fix(), Some("segments: buyers, firms, patients"));
    let listed = world.engine.segments(&world.principal("narrow"));
    let allowed: Vec<&str> = listed
        .iter()
        .filter(|(_, allowed)| *allowed)
        .map(|(segment, _)| segment.name.as_str())
        .collect();
    assert_eq!((listed.len(), allowed), (3, vec!["firms"]));
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().expect("a file").permissions().mode() & 0o777
}

#[test]
fn an_export_holds_allowed_identifiers_of_the_permitted() {
    let world = world();
    let directory = TempDir::new().expect("a directory");
    let session = world.for_segment("buyers");
    let export = |format| {
        world
            .runtime
            .block_on(session.export_segment("buyers", format, directory.path(), 7))
    };
    let made = export(ExportFormat::Csv).expect("an export");
    let text = std::fs::read_to_string(&made.file).expect("the file");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "namespace,identifier");
    assert_eq!(lines.len() - 1, made.manifest.rows);
    assert!(
        made.manifest.rows > 3 && made.manifest.not_exportable > 0,
        "{:?}",
        made.manifest
    );
    let lawful = lawful(world, "marketing");
    for line in &lines[1..] {
        // What a spreadsheet would run is neutralised.
        let who: usize = line
            .strip_prefix("customer_number,'=C")
            .unwrap_or_else(|| panic!("{line}"))
            .parse()
            .expect("an index");
        assert!(
            lawful.contains_key(&who),
            "{who} of {:?}",
            component(world, who)
        );
    }
    assert_eq!(leak(&text, &denied(world, &lawful)), None);
    #[cfg(unix)]
    assert_eq!(
        (mode(&made.file), mode(&made.manifest_file)),
        (0o600, 0o600)
    );
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&made.manifest_file).expect("the manifest"))
            .expect("json");
    assert_eq!(manifest["purpose"], "marketing");
    assert_eq!(manifest["sha256"].as_str().map(str::len), Some(64));
    assert_eq!(manifest["expires_at"], "2026-09-08T04:00:00Z");
    let left: Vec<_> = directory
        .path()
        .read_dir()
        .expect("files")
        .flatten()
        .collect();
    assert_eq!(left.len(), 2, "no partial file is left: {left:?}");
    assert_eq!(
        export(ExportFormat::Csv).expect_err("exclusive").code(),
        "file_exists"
    );
}

#[test]
fn a_purpose_without_exportable_identifiers_exports_nobody() {
    let world = world();
    let directory = TempDir::new().expect("a directory");
    let error = world
        .runtime
        .block_on(world.for_segment("patients").export_segment(
            "patients",
            ExportFormat::Ndjson,
            directory.path(),
            7,
        ))
        .expect_err("nobody");
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Denied, "no_exportable_identifier")
    );
    assert_eq!(directory.path().read_dir().expect("files").count(), 0);
    let firms = world
        .runtime
        .block_on(world.for_segment("firms").export_segment(
            "firms",
            ExportFormat::Ndjson,
            directory.path(),
            7,
        ))
        .expect("accounts are no persons");
    assert!(firms.manifest.rows > 0);
    let asked = Asked {
        purpose: Some("marketing".to_owned()),
        ..Asked::default()
    };
    let back = world
        .runtime
        .block_on(LawfulSession::open(
            &world.engine,
            &world.principal("analyst"),
            &asked,
            Some(super::world::days_ago(10)),
        ))
        .expect("a session");
    let error = world
        .runtime
        .block_on(back.export_segment("buyers", ExportFormat::Csv, directory.path(), 7))
        .expect_err("not of the past");
    assert_eq!(error.code(), "export_looking_back");
}
