//! Exports: in which order things happen, what is left when one fails, and what an account is.

use std::path::Path;
use std::sync::atomic::Ordering;

use crate::{ErrorKind, ExportFormat, Exported, LawfulSession, Limits, Result};
use assent_programme::{RegistryState, SegmentDefinition, apply, plan};
use serde_json::json;
use tempfile::TempDir;

use super::sessions::uses;
use super::world::programme::programme;
use super::world::{World, days_ago, fresh};

fn export(world: &World, name: &str, directory: &Path) -> Result<Exported> {
    let session = world.for_segment(name);
    world
        .runtime
        .block_on(session.export_segment(name, ExportFormat::Csv, directory, 7))
}

/// Outcomes of the exports in the use log, each with whether it names its segment and query.
fn logged(world: &World) -> Vec<(String, bool)> {
    uses(world)
        .into_iter()
        .filter(|(record, _)| record.operation == "export")
        .map(|(record, _)| {
            let named = record.segment.as_deref() == Some("buyers")
                && record.segment_version == Some(1)
                && record.sql_sha256.is_some();
            (record.outcome, named)
        })
        .collect()
}

fn files(directory: &Path) -> Vec<String> {
    directory
        .read_dir()
        .expect("a directory")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn a_use_is_journalled_before_anything_is_written() {
    let world = fresh();
    let directory = TempDir::new().expect("a directory");
    world
        .house
        .journal
        .refuses_appends
        .store(true, Ordering::SeqCst);
    let error = export(&world, "buyers", directory.path()).expect_err("not journalled");
    assert_eq!(error.code(), "use_not_journalled");
    assert_eq!(files(directory.path()), [""; 0]);
    world
        .house
        .journal
        .refuses_appends
        .store(false, Ordering::SeqCst);
    // Writing fails, which is found after the use was journalled, and told there as well.
    let nowhere = directory.path().join("nowhere");
    let error = export(&world, "buyers", &nowhere).expect_err("no directory");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "file"));
    let mut told = logged(&world);
    told.sort();
    assert_eq!(
        told,
        [
            ("answered".to_owned(), true),
            ("failed: file".to_owned(), true)
        ]
    );
}

/// The name of one of the two files is taken by somebody who was faster.
#[cfg(unix)]
#[test]
fn of_an_export_that_fails_nothing_is_left() {
    let world = fresh();
    let directory = TempDir::new().expect("a directory");
    let at = world.for_segment("buyers").answered().evaluated_at.micros();
    let stem = format!("buyers-v1-{at}");
    for taken in [format!("{stem}.csv"), format!("{stem}.manifest.json")] {
        let path = directory.path().join(&taken);
        // A link that leads nowhere: nothing is there to be seen, yet the name is taken.
        std::os::unix::fs::symlink(directory.path().join("gone"), &path).expect("a link");
        let error = export(&world, "buyers", directory.path()).expect_err("taken");
        assert_eq!(error.code(), "file_exists");
        assert_eq!(files(directory.path()), [taken]);
        std::fs::remove_file(&path).expect("removed");
    }
    let mut told = logged(&world);
    told.sort();
    let of = |outcome: &str| (outcome.to_owned(), true);
    let (answered, failed) = (of("answered"), of("failed: file_exists"));
    assert_eq!(told, [answered.clone(), answered, failed.clone(), failed]);
    let made = export(&world, "buyers", directory.path()).expect("control");
    assert_eq!(made.file, directory.path().join(format!("{stem}.csv")));
    assert_eq!(files(directory.path()).len(), 2);
}

#[test]
fn an_export_has_a_limit_of_its_own() {
    let world = fresh();
    let directory = TempDir::new().expect("a directory");
    let with = |limits: Limits, into: &str| {
        let engine = world.engine_within(limits);
        let into = directory.path().join(into);
        std::fs::create_dir(&into).expect("a directory");
        world.runtime.block_on(async {
            let principal = world.principal("analyst");
            let session = LawfulSession::for_segment(&engine, &principal, "buyers", None)
                .await
                .expect("a session");
            let shown = session.run_segment("buyers").await;
            let made = session.export_segment("buyers", ExportFormat::Csv, &into, 7);
            (shown, made.await)
        })
    };
    let few = Limits {
        rows: 3,
        bytes: 50,
        ..Limits::default()
    };
    let (shown, made) = with(few, "few");
    assert_eq!(shown.expect_err("too many to show").code(), "row_limit");
    assert!(made.expect("not too many to export").manifest.rows > 3);
    let fewer = Limits {
        export_rows: 3,
        ..Limits::default()
    };
    let (shown, made) = with(fewer, "fewer");
    assert!(shown.expect("all").rows > 3);
    let error = made.expect_err("too many to export");
    assert_eq!(error.code(), "row_limit");
    assert_eq!(
        error.fix(),
        Some("split the segment, or raise query.export_rows")
    );
}

/// A query may call any text an account; a file of accounts holds accounts.
#[test]
fn an_account_is_what_the_session_shows_as_one() {
    let world = fresh();
    let segment: SegmentDefinition = serde_json::from_value(json!({
        "name": "disguised", "version": 0, "purpose": "sales", "channel": null, "recipient": null,
        "description": "", "query_line": 3, "query_column": 6,
        "query": "SELECT account_id FROM accounts UNION ALL SELECT city AS account_id FROM members",
    }))
    .expect("a segment");
    world.runtime.block_on(async {
        let state = RegistryState::fold(world.house.journal.as_ref())
            .await
            .expect("a registry");
        let mut programme = programme();
        programme.segments.push(segment);
        let planned = plan(&state, &programme).expect("a plan");
        apply(world.house.journal.as_ref(), &planned, days_ago(1))
            .await
            .expect("applied");
    });
    let directory = TempDir::new().expect("a directory");
    let honest = export(&world, "firms", directory.path()).expect("an export");
    let made = export(&world, "disguised", directory.path()).expect("an export");
    let text = |made: &Exported| std::fs::read_to_string(&made.file).expect("the file");
    assert!(
        text(&honest).lines().count() > 3,
        "control: {}",
        text(&honest)
    );
    assert_eq!(text(&made), text(&honest));
    assert!(made.manifest.not_exportable > 5, "{:?}", made.manifest);
    assert_eq!(honest.manifest.not_exportable, 0);
}
